"""The inventory of networks built from addresses: every network, facts from documents of any kind, counts, once."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from cowrie_pipeline.enrichment.network_claims import PATHS
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.steps import asn_inventory_build
from cowrie_pipeline.steps.asn_inventory_build import AsnBuildReport, Malformed, build_asn_inventory
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import asn_inventory, asn_session_counts, ip_inventory
from cowrie_pipeline_tests.steps.made_days import NOW, World, connect, load_events, one, rows

SEEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def build(warehouse: Warehouse, **options: Any) -> AsnBuildReport:
    return build_asn_inventory(warehouse, rules=read_network_rules(), **({"now": LATER} | options))


def add(warehouse: Warehouse, asn: int | None, *documents: Any, first: int = 1, seen: datetime = SEEN) -> list[str]:
    """Add an address to a network for each document, whatever it is; a text that starts with `!` is stored as it is."""
    addresses = [f"198.51.{(asn or 0) % 256}.{first + number}" for number in range(len(documents))]
    with warehouse.begin() as connection:
        if asn is not None:
            connection.execute(
                text(
                    "INSERT INTO asn_inventory (asn_number, created_at, updated_at) VALUES (:asn, '2026-01-01 "
                    "00:00:00.000000', '2026-01-01 00:00:00.000000') ON CONFLICT DO NOTHING"
                ),
                {"asn": asn},
            )
        for number, (address, document) in enumerate(zip(addresses, documents, strict=True)):
            connection.execute(
                insert(ip_inventory).values(
                    ip_address=address,
                    current_asn=asn,
                    first_seen=seen + timedelta(hours=number),
                    last_seen=seen + timedelta(days=number),
                    created_at=NOW,
                )
            )
            written = document[1:] if isinstance(document, str) and document[:1] == "!" else json.dumps(document)
            kind = "jsonb" if warehouse.dialect == "postgresql" else "text"
            connection.execute(
                text(
                    f"UPDATE ip_inventory SET enrichment = CAST(:document AS {kind}) WHERE ip_address = "
                    f"CAST(:address AS {'inet' if kind == 'jsonb' else 'text'})"
                ),
                {"document": written, "address": address},
            )
    return addresses


def maxmind(asn: int, organization: Any) -> dict[str, Any]:
    return {"maxmind": {"asn": asn, "organization": organization, "country": "FR", "status": "hit"}}


def older(**entries: Mapping[str, Any]) -> dict[str, Any]:
    return dict(entries)


def network(warehouse: Warehouse, asn: int) -> dict[str, Any]:
    return one(warehouse, asn_inventory, asn_inventory.c.asn_number == asn)


def facts(warehouse: Warehouse, asn: int) -> tuple[Any, ...]:
    row = network(warehouse, asn)
    return row["organization_name"], row["organization_country"], row["rir_registry"]


# ---- what is filled


def test_a_network_gets_the_organization_that_most_of_its_addresses_name(warehouse: Warehouse) -> None:
    add(warehouse, 15169, maxmind(15169, "Old Name"), maxmind(15169, "GOOGLE"), maxmind(15169, "GOOGLE"))
    report = build(warehouse)
    assert (report.networks, report.organizations, report.recounted, report.malformed) == (1, 1, 1, 0)
    row = network(warehouse, 15169)
    assert (row["organization_name"], row["organization_source"]) == ("GOOGLE", "maxmind")
    assert (row["unique_ip_count"], row["first_seen"]) == (3, SEEN)
    assert (row["last_seen"], row["updated_at"]) == (SEEN + timedelta(days=2), LATER)
    # where MaxMind places an address says nothing of where the network is registered
    assert (row["organization_country"], row["rir_registry"]) == (None, None)


def test_names_that_equally_many_addresses_say_are_decided_alike_every_time(warehouse: Warehouse) -> None:
    add(warehouse, 1, maxmind(1, "B"), maxmind(1, "A"))
    build(warehouse)
    assert facts(warehouse, 1)[0] == "A"


def test_the_older_spelling_is_read_too_and_cymru_where_maxmind_says_nothing(warehouse: Warehouse) -> None:
    add(warehouse, 1, older(maxmind={"asn": 1, "asn_org": "Older Ltd", "country": "FR"}))
    add(warehouse, 2, older(cymru={"asn": 2, "org": "CYMRU-NAME", "country": "NL", "registry": "RIPENCC"}))
    add(warehouse, 3, older(cymru_asn={"asn": 3, "organization": "AS NAME", "country": "DE", "registry": "ripencc"}))
    report = build(warehouse)
    assert facts(warehouse, 1) == ("Older Ltd", None, None)
    assert facts(warehouse, 2) == ("CYMRU-NAME", "NL", "ripencc")
    assert facts(warehouse, 3) == ("AS NAME", "DE", "ripencc")
    assert (report.organizations, report.countries, report.registries) == (3, 2, 2)
    assert network(warehouse, 2)["organization_source"] == "cymru"


def test_maxmind_goes_before_cymru_and_the_networks_own_entry_before_the_address_s(warehouse: Warehouse) -> None:
    entries = {
        "maxmind": {"asn": 1, "organization": "By MaxMind", "status": "hit"},
        "cymru_asn": {"asn": 1, "organization": "BY-CYMRU", "country": "DE", "registry": "ripencc", "status": "hit"},
    }
    add(warehouse, 1, entries, *[older(cymru={"asn": 1, "org": "X", "country": "US", "registry": "arin"})] * 5)
    build(warehouse)
    assert facts(warehouse, 1) == ("By MaxMind", "DE", "ripencc")


def test_what_an_entry_says_of_another_network_is_not_taken(warehouse: Warehouse) -> None:
    add(warehouse, 13335, older(maxmind={"asn": 15169, "organization": "GOOGLE"}))
    assert build(warehouse).organizations == 0
    assert facts(warehouse, 13335) == (None, None, None)


def test_facts_that_are_there_are_kept_and_only_missing_ones_filled(warehouse: Warehouse) -> None:
    add(warehouse, 1, older(maxmind={"asn": 1, "organization": "NEW"}, cymru={"country": "NL", "registry": "arin"}))
    with warehouse.begin() as connection:
        connection.execute(
            update(asn_inventory).values(
                organization_name="KEPT", organization_source="peeringdb", rir_registry="apnic"
            )
        )
    report = build(warehouse)
    assert (report.organizations, report.countries, report.registries) == (0, 1, 0)
    assert facts(warehouse, 1) == ("KEPT", "NL", "apnic")
    assert network(warehouse, 1)["organization_source"] == "peeringdb"


def test_a_number_for_a_name_is_stored_as_its_digits(warehouse: Warehouse) -> None:
    add(warehouse, 1, older(maxmind={"organization": 123}))
    add(warehouse, 2, older(maxmind={"asn_org": 123}))
    report = build(warehouse)
    assert (facts(warehouse, 1)[0], facts(warehouse, 2)[0], report.malformed) == ("123", "123", 0)


# ---- what is malformed


MALFORMED = [
    ("a text", "the document is a text"),
    (None, "the document is JSON null"),
    (7, "the document is a number"),
    (1.5, "the document is a number"),
    (True, "the document is a truth value"),
    ([1, 2], "the document is an array"),
    ({"maxmind": "x"}, "maxmind is a text"),
    ({"maxmind": ["organization"]}, "maxmind is an array"),
    ({"cymru": 5}, "cymru is a number"),
    ({"cymru_asn": False}, "cymru_asn is a truth value"),
    ({"maxmind": {"organization": ["x"]}}, "maxmind.organization is an array"),
    ({"maxmind": {"organization": {"name": "x"}}}, "maxmind.organization is an object"),
    ({"maxmind": {"organization": 1.5}}, "maxmind.organization is a number"),
    ({"cymru": {"country": True}}, "cymru.country is a truth value"),
]


@pytest.mark.parametrize(("document", "found"), MALFORMED, ids=[json.dumps(each) for each, _ in MALFORMED])
def test_a_malformed_document_is_skipped_counted_and_named(warehouse: Warehouse, document: Any, found: str) -> None:
    (address,) = add(warehouse, 64500, document)
    report = build(warehouse)
    assert (report.malformed, report.malformed_named) == (1, (Malformed(address, 64500, found, 1),))
    assert facts(warehouse, 64500) == (None, None, None)
    assert network(warehouse, 64500)["unique_ip_count"] == 1


HARMLESS = [
    {},
    {"maxmind": None},
    {"maxmind": {}},
    {"maxmind": {"organization": None}},
    {"maxmind": {"asn_org": ""}},
    {"cymru": {"country": "XX", "registry": "nobody"}},
    {"greynoise": "x"},
    {"x": {"y": []}},
]


@pytest.mark.parametrize("document", HARMLESS, ids=json.dumps)
def test_a_document_that_says_nothing_is_not_malformed(warehouse: Warehouse, document: Any) -> None:
    add(warehouse, 64500, document)
    assert build(warehouse).malformed == 0
    assert facts(warehouse, 64500) == (None, None, None)


def test_malformed_documents_keep_nobody_from_being_read(warehouse: Warehouse) -> None:
    add(warehouse, 64500, *(each for each, _ in MALFORMED), {"maxmind": "x", "cymru": {"org": "STILL READ"}})
    add(warehouse, 64501, *[maxmind(64501, "GOOD")] * 2, *["text"] * 30)
    report = build(warehouse)
    assert report.malformed == len(MALFORMED) + 1 + 30
    assert facts(warehouse, 64500)[0] == "STILL READ"
    assert facts(warehouse, 64501)[0] == "GOOD"
    named = {(each.asn_number, each.found): each.addresses for each in report.malformed_named}
    assert (named[64501, "the document is a text"], named[64500, "cymru is a number"]) == (30, 1)


def test_a_number_that_is_equal_but_no_as_number_is_told_from_one_that_is(warehouse: Warehouse) -> None:
    sound, odd = ({"maxmind": {"asn": asn, "organization": "X"}} for asn in (1, 1.0))
    add(warehouse, 1, odd, sound, sound, odd, sound)
    report = build(warehouse)
    assert (report.organizations, report.malformed) == (1, 2)
    assert [(each.found, each.addresses) for each in report.malformed_named] == [("maxmind.asn is a number", 2)]


def test_documents_are_counted_alike_however_many_are_remembered(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asn_inventory_build, "_DOCUMENTS_REMEMBERED", 2)
    add(warehouse, 1, *[maxmind(1, name) for name in ("A", "B", "C", "B", "A", "D", "B")], "none")
    report = build(warehouse)
    assert (facts(warehouse, 1)[0], report.malformed) == ("B", 1)


def test_no_more_than_some_malformed_documents_are_named(warehouse: Warehouse) -> None:
    for asn in range(1, 31):
        add(warehouse, asn, "text")
    report = build(warehouse)
    assert (report.malformed, len(report.malformed_named)) == (30, 20)
    assert list(report.malformed_named) == sorted(report.malformed_named, key=lambda each: each.ip_address)


ODD_TEXTS = ["!{cut", "!", "!" + "[" * 5000, '!{"maxmind": {"organization": "\\ud800"}}', "!NaN"]


@pytest.mark.parametrize("document", ODD_TEXTS)
def test_text_that_is_no_json_is_malformed_too(warehouse: Warehouse, document: str) -> None:
    if warehouse.dialect == "postgresql":
        pytest.skip("PostgreSQL's own type keeps such text out")
    add(warehouse, 64500, document, maxmind(64500, "GOOD"))
    report = build(warehouse)
    assert report.malformed == 1
    assert facts(warehouse, 64500)[0] == "GOOD"


def test_bytes_that_are_no_text_are_malformed_too(warehouse: Warehouse) -> None:
    if warehouse.dialect == "postgresql":
        pytest.skip("PostgreSQL's own type keeps such bytes out")
    add(warehouse, 64500, {}, {}, maxmind(64500, "GOOD"))
    with warehouse.begin() as connection:
        invalid = b'{"maxmind":{"organization":"\xff"}}'.hex()
        for number, value in ((1, "x'ff00'"), (2, f"CAST(x'{invalid}' AS TEXT)")):
            connection.execute(
                text(f"UPDATE ip_inventory SET enrichment = {value} WHERE ip_address = '198.51.{64500 % 256}.{number}'")
            )
    report = build(warehouse)
    assert report.malformed == 2
    assert facts(warehouse, 64500)[0] == "GOOD"


# ---- how many, how often


def test_nothing_comes_of_an_empty_inventory(warehouse: Warehouse) -> None:
    assert build(warehouse) == AsnBuildReport()


def test_addresses_without_a_network_are_ignored(warehouse: Warehouse) -> None:
    add(warehouse, None, maxmind(1, "X"), "malformed")
    assert build(warehouse) == AsnBuildReport()
    assert rows(warehouse, asn_inventory) == []


def test_25_networks_in_batches_of_10_are_25(warehouse: Warehouse) -> None:
    for asn in range(1, 26):
        add(warehouse, asn, maxmind(asn, f"Network {asn}"))
    progress: list[tuple[int, int]] = []
    report = build(warehouse, batch_size=10, on_progress=lambda done, total: progress.append((done, total)))
    assert (report.networks, report.organizations, report.recounted) == (25, 25, 25)
    assert progress == [(10, 25), (20, 25), (25, 25)]
    assert [row["organization_name"] for row in rows(warehouse, asn_inventory)] == [
        f"Network {n}" for n in range(1, 26)
    ]


def test_a_second_time_changes_nothing(warehouse: Warehouse) -> None:
    for asn in range(1, 4):
        add(warehouse, asn, maxmind(asn, f"Network {asn}"), "malformed")
    first = build(warehouse)
    before = rows(warehouse, asn_inventory)
    again = build(warehouse, now=LATER + timedelta(days=1))
    assert (first.changed, again.changed) == (True, False)
    assert again == AsnBuildReport(networks=3, malformed=3, malformed_named=first.malformed_named)
    assert rows(warehouse, asn_inventory) == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(warehouse: Warehouse) -> None:
    add(warehouse, 1, maxmind(1, "X"), 7)
    before = rows(warehouse, asn_inventory), rows(warehouse, ip_inventory)
    dry = build(warehouse, dry_run=True)
    assert (rows(warehouse, asn_inventory), rows(warehouse, ip_inventory)) == before
    wet = build(warehouse)
    assert dry == AsnBuildReport(**{name: getattr(wet, name) for name in wet.__dataclass_fields__} | {"dry_run": True})


def test_networks_without_a_row_get_one(warehouse: Warehouse, database_url: str) -> None:
    add(warehouse, 1, maxmind(1, "X"))
    add(warehouse, 2, "malformed")
    if warehouse.dialect == "postgresql":
        with warehouse.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ip_inventory DROP CONSTRAINT fk_ip_inventory_current_asn")
            connection.exec_driver_sql("DELETE FROM asn_inventory")
    else:
        import sqlite3

        imported = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        imported.execute("DELETE FROM asn_inventory")
        imported.commit()
        imported.close()
    assert build(warehouse, dry_run=True).created == 2
    report = build(warehouse)
    assert (report.created, report.recounted, report.organizations) == (2, 2, 1)
    found = rows(warehouse, asn_inventory)
    assert [(row["organization_name"], row["unique_ip_count"]) for row in found] == [("X", 1), (None, 1)]
    assert not build(warehouse).changed


def test_counts_are_counted_again_whatever_was_stored(warehouse: Warehouse) -> None:
    add(warehouse, 1, {}, {})
    add(warehouse, 2)
    with warehouse.begin() as connection:
        connection.execute(insert(asn_session_counts).values(day=date(2026, 3, 1), asn_number=1, sessions=5))
        connection.execute(insert(asn_session_counts).values(day=date(2026, 3, 2), asn_number=1, sessions=6))
        connection.execute(insert(asn_session_counts).values(day=date(2026, 3, 2), asn_number=0, sessions=60))
        connection.execute(update(asn_inventory).values(unique_ip_count=9, total_session_count=9, last_seen=LATER))
    assert build(warehouse).recounted == 2
    here, gone = rows(warehouse, asn_inventory)
    assert (here["unique_ip_count"], here["total_session_count"]) == (2, 11)
    assert (here["first_seen"], here["last_seen"]) == (SEEN, SEEN + timedelta(days=1))
    assert (gone["unique_ip_count"], gone["total_session_count"], gone["last_seen"]) == (0, 0, None)


def test_what_the_cascade_has_written_needs_no_build(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [connect("2026-03-09 10:00", session=f"{n:012x}", src_ip=a) for n, a in enumerate(("8.8.8.8", "1.1.1.1"))],
    )
    World({"8.8.8.8": 15169, "1.1.1.1": 13335}.get).enrich(warehouse, "2026-03-09")
    assert not build(warehouse).changed


def test_a_batch_of_none_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="at least 1 network at a time, found 0"):
        build(warehouse, batch_size=0)


def test_the_statement_takes_out_of_documents_what_the_table_of_claims_names() -> None:
    statement = read_sql("transforms/documents_of_networks", "postgresql").statement
    assert [part for part in statement.split("'") if part.startswith("{")] == [
        f"{{{service},{key}}}" for service, key in PATHS
    ]


def test_networks_of_an_earlier_database_are_classified(warehouse: Warehouse) -> None:
    add(warehouse, 64500, {"maxmind": {"asn": 64500, "organization": "Some Hosting GmbH"}})
    add(warehouse, 14061, None)
    dry, report = build(warehouse, dry_run=True), build(warehouse)
    assert dry.classified == report.classified == 2
    found = {row["asn_number"]: row["asn_type"] for row in rows(warehouse, asn_inventory)}
    assert found == {64500: "HOSTING", 14061: "HOSTING"}
    assert {row["ip_type"] for row in rows(warehouse, ip_inventory)} == {"DATACENTER"}
    assert build(warehouse).classified == 0
