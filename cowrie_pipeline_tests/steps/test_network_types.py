"""The types of networks in the database, and what follows for their addresses and snapshots."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.network_types import NetworkRules, read_network_rules
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.inventories import InventoryReport
from cowrie_pipeline.steps.network_types import classify_networks
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory, session_summaries
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import NOW, attack, one, rows, run_cascade, span

DAY = "2026-03-09"
ALIBABA, ACME = 45_102, 65_010
ADDRESS = "47.242.217.70"
RULES = read_network_rules()


def enrich(
    warehouse: Warehouse,
    said: Mapping[str, Any],
    *,
    after: timedelta = timedelta(),
    rules: NetworkRules | None = None,
    **sources: Any,
) -> InventoryReport:
    """Run the cascade with MaxMind saying `said` of addresses, and with other sources."""
    recorded = [RecordingSource("maxmind", lambda each: said.get(each, Status.NOT_FOUND), cached=False)]
    recorded += [RecordingSource(name, lambda each, known=known: known[each]) for name, known in sources.items()]  # type: ignore[misc]
    with Cascade(recorded, network_rules=rules) as cascade:
        return run_cascade(warehouse, cascade, span(DAY), now=NOW + after)


def said(asn: int, organization: str | None = "Acme Hosting", country: str = "CN") -> dict[str, Any]:
    return {"asn": asn, "country": country} | ({"organization": organization} if organization else {})


def types(warehouse: Warehouse) -> dict[str, str | None]:
    return {row["ip_address"]: row["ip_type"] for row in rows(warehouse, ip_inventory)}


def network(warehouse: Warehouse, asn: int = ACME) -> dict[str, Any]:
    return one(warehouse, asn_inventory, asn_inventory.c.asn_number == asn)


def classify(
    warehouse: Warehouse, asns: list[int] | None = None, *, rules: NetworkRules = RULES, after: int = 1
) -> int:
    with warehouse.begin(lock="facts") as connection:
        return classify_networks(connection, asns, rules=rules, now=NOW + timedelta(hours=after))


def listed(folder: Path, text: str) -> NetworkRules:
    folder.mkdir(exist_ok=True)
    (folder / "mine.csv").write_text(f"asn,type\n{text}\n", encoding="ascii")
    return read_network_rules(folder)


# ---- the cascade classifies what it writes


def test_all_five_fields_of_a_snapshot_are_those_of_the_inventory(warehouse: Warehouse, tmp_path: Path) -> None:
    """Case 31: a data center of Alibaba, known by its number; no source said a word of the address's type."""
    attack(warehouse, tmp_path, ADDRESS)
    enrich(warehouse, {ADDRESS: said(ALIBABA, "Alibaba US Technology Co., Ltd.")})
    with warehouse.begin() as connection:
        take_snapshots(connection, span(DAY), now=NOW)
    session, address = one(warehouse, session_summaries), one(warehouse, ip_inventory)
    assert (address["current_asn"], address["geo_country"], address["ip_type"]) == (ALIBABA, "CN", "DATACENTER")
    assert (
        session["snapshot_asn"],
        session["snapshot_country"],
        session["snapshot_ip_type"],
        session["snapshot_document"],
        session["snapshot_at"],
    ) == (ALIBABA, "CN", "DATACENTER", address["enrichment_digest"], NOW)
    row = network(warehouse, ALIBABA)
    assert (row["asn_type"], row["is_known_hosting"], row["is_known_vpn"]) == ("CLOUD", True, False)
    assert row["asn_type_basis"] == "known: Alibaba Cloud (APNIC: Alibaba)"


@pytest.mark.parametrize("organization", ["Acme Hosting", "Acme", None])
def test_no_network_is_without_a_type(warehouse: Warehouse, tmp_path: Path, organization: str | None) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    enrich(warehouse, {ADDRESS: said(ACME, organization)})
    row = network(warehouse)
    assert row["asn_type"] == ("HOSTING" if organization == "Acme Hosting" else "UNKNOWN")
    assert row["asn_type_basis"]
    assert (row["is_known_hosting"], row["is_known_vpn"]) == (None, None)


@pytest.mark.parametrize(
    ("organization", "spur", "ip_type"),
    [
        ("Acme Hosting", None, "DATACENTER"),
        ("Acme Cloud", None, "DATACENTER"),
        ("Acme VPN", None, "VPN"),
        ("Acme Telecom", None, None),
        ("Acme University", None, None),
        ("Acme Hosting", "TOR", "TOR"),
        ("Acme Hosting", "VPN", "VPN"),
        ("Acme Hosting", "MOBILE", "DATACENTER"),
        ("Acme VPN", "TOR", "VPN"),
        ("Acme Telecom", "MOBILE", "MOBILE"),
    ],
)
def test_a_network_is_one_more_witness_of_the_type_of_an_address(
    warehouse: Warehouse, tmp_path: Path, organization: str, spur: str | None, ip_type: str | None
) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    known = {ADDRESS: {"tunnels": [{"type": spur}]} if spur else Status.NOT_FOUND}
    enrich(warehouse, {ADDRESS: said(ACME, organization)}, spur=known)
    assert types(warehouse) == {ADDRESS: ip_type}


def test_an_address_without_a_network_has_the_type_that_sources_say(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS, "10.0.0.1")
    enrich(warehouse, {}, spur={ADDRESS: {"tunnels": [{"type": "PROXY"}]}})
    assert types(warehouse) == {ADDRESS: "PROXY", "10.0.0.1": None}


def test_the_name_that_the_row_has_decides_and_not_the_one_that_came(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    enrich(warehouse, {ADDRESS: said(ACME, "Acme Hosting")})
    enrich(warehouse, {ADDRESS: said(ACME, "Acme Telecom")}, after=timedelta(days=30))
    assert (network(warehouse)["organization_name"], network(warehouse)["asn_type"]) == ("Acme Hosting", "HOSTING")
    assert types(warehouse) == {ADDRESS: "DATACENTER"}


def test_a_network_that_gets_its_name_later_is_classified_with_all_its_addresses(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, ADDRESS, "8.8.8.8")
    enrich(warehouse, {ADDRESS: said(ACME, None)})
    assert (network(warehouse)["asn_type"], types(warehouse)) == ("UNKNOWN", {"8.8.8.8": None, ADDRESS: None})
    with warehouse.begin() as connection:
        is_met_before = ip_inventory.c.ip_address == ADDRESS
        connection.execute(update(ip_inventory).where(is_met_before).values(enrichment_due_at=NOW + timedelta(days=99)))
    enrich(warehouse, {"8.8.8.8": said(ACME, "Acme Hosting")}, after=timedelta(days=30))
    assert types(warehouse) == {"8.8.8.8": "DATACENTER", ADDRESS: "DATACENTER"}


def test_what_is_wrong_with_an_operators_lists_is_in_the_report(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    report = enrich(warehouse, {ADDRESS: said(ACME)}, rules=listed(tmp_path / "lists", f"nonsense,vpn\n{ACME},vpn"))
    assert types(warehouse) == {ADDRESS: "VPN"}
    (finding,) = report.findings
    assert "no AS number in 1" in finding


# ---- networks that are there already


def put(warehouse: Warehouse, *networks: tuple[int, str | None]) -> None:
    with warehouse.begin() as connection:
        connection.execute(
            insert(asn_inventory),
            [
                {"asn_number": asn, "organization_name": name, "created_at": NOW, "updated_at": NOW}
                for asn, name in networks
            ],
        )


def test_all_networks_are_classified_once_and_then_none_changes(warehouse: Warehouse) -> None:
    put(warehouse, (3320, None), (16509, "Amazon"), (ACME, "Acme Hosting"), (65_011, "Acme"), (65_012, None))
    assert classify(warehouse) == 5
    assert [row["asn_type"] for row in rows(warehouse, asn_inventory)] == [
        "ISP",
        "CLOUD",
        "HOSTING",
        "UNKNOWN",
        "UNKNOWN",
    ]
    assert {row["updated_at"] for row in rows(warehouse, asn_inventory)} == {NOW + timedelta(hours=1)}
    assert classify(warehouse, after=2) == 0
    assert {row["updated_at"] for row in rows(warehouse, asn_inventory)} == {NOW + timedelta(hours=1)}


def test_only_the_networks_asked_for_are_classified(warehouse: Warehouse) -> None:
    put(warehouse, (3320, None), (16509, "Amazon"), (ACME, "Acme Hosting"))
    assert classify(warehouse, [ACME, ACME, 99]) == 1
    assert classify(warehouse, []) == 0
    assert {row["asn_number"]: row["asn_type"] for row in rows(warehouse, asn_inventory)} == {
        3320: None,
        16509: None,
        ACME: "HOSTING",
    }


def test_when_a_rule_changes_addresses_follow_and_keep_what_their_sources_said(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    addresses = ["8.8.8.8", "8.8.4.4", "9.9.9.9", "1.1.1.1", ADDRESS]
    attack(warehouse, tmp_path, *addresses)
    spur: dict[str, Any] = dict.fromkeys(addresses, Status.NOT_FOUND)
    spur |= {
        "8.8.4.4": {"infrastructure": "DATACENTER"},
        "9.9.9.9": {"tunnels": [{"type": "TOR"}]},
        "1.1.1.1": {"infrastructure": "MOBILE"},
    }
    maxmind = dict.fromkeys(addresses, said(ACME)) | {ADDRESS: said(ALIBABA)}
    enrich(warehouse, maxmind, spur=spur)
    sources_alone = {"8.8.8.8": None, "8.8.4.4": "DATACENTER", "9.9.9.9": "TOR", "1.1.1.1": "MOBILE"}
    hosting = {"8.8.8.8": "DATACENTER", "8.8.4.4": "DATACENTER", "9.9.9.9": "TOR", "1.1.1.1": "DATACENTER"}
    known = {ADDRESS: "DATACENTER"}
    assert types(warehouse) == hosting | known
    for rule, expected in (
        ("isp", sources_alone),
        ("vpn", dict.fromkeys(hosting, "VPN")),
        ("cloud", hosting),
        ("education", sources_alone),
        ("hosting", hosting),
    ):
        assert classify(warehouse, rules=listed(tmp_path / "lists", f"{ACME},{rule}")) == 1
        assert types(warehouse) == expected | known, rule
    row = network(warehouse)
    assert (row["asn_type_basis"], row["is_known_hosting"], row["is_known_vpn"]) == (
        "list: mine.csv says 'hosting'",
        True,
        False,
    )
    assert classify(warehouse) == 1, "without the list the name decides"
    assert types(warehouse) == hosting | known


def test_a_type_that_nobody_knows_is_no_obstacle(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    put(warehouse, (ACME, "Acme Telecom"))
    with warehouse.begin() as connection:
        connection.execute(update(ip_inventory).values(current_asn=ACME, ip_type="hotspot"))
        connection.execute(update(asn_inventory).values(asn_type="SHOP"))
    assert classify(warehouse) == 1
    assert types(warehouse) == {ADDRESS: "hotspot"}
    assert classify(warehouse, rules=listed(tmp_path / "lists", f"{ACME},vpn")) == 1
    assert types(warehouse) == {ADDRESS: "VPN"}


def test_ten_thousand_networks_with_addresses_are_classified_in_one_pass(warehouse: Warehouse) -> None:
    put(warehouse, *((1_000_000 + number, f"Acme {number} Hosting") for number in range(10_000)))
    with warehouse.begin() as connection:
        connection.execute(
            insert(ip_inventory),
            [
                {
                    "ip_address": f"11.0.{n // 250}.{n % 250}",
                    "current_asn": 1_000_000 + n % 10_000,
                    "created_at": NOW,
                    "ip_type": [None, "TOR", "MOBILE"][n % 3],
                }
                for n in range(12_000)
            ],
        )
    assert classify(warehouse) == 10_000
    with warehouse.read() as connection:
        counts = connection.execute(
            select(ip_inventory.c.ip_type, func.count())
            .group_by(ip_inventory.c.ip_type)
            .order_by(ip_inventory.c.ip_type)
        ).all()
    assert dict(map(tuple, counts)) == {"DATACENTER": 8_000, "TOR": 4_000}
