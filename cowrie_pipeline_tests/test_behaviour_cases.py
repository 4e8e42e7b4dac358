"""The behaviour cases 1 to 36 of `reference/known-failures.md`: each has its test here, or is named where it is tested.

Where ours does something else than the case says, the test's docstring gives our rule and why.
"""

import importlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.merge import merge
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.inventories import due_addresses
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.steps.stale_enrichment import refresh_stale
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    enrichment_cache,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.recording import RecordingSource, Script
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    attack,
    command,
    connect,
    load,
    load_events,
    one,
    rows,
    run_cascade,
    scan,
    span,
    write_log,
)

DAY = "2026-03-09"
GOOGLE, OTHER = "8.8.8.8", "9.9.9.9"

# Cases that are about the wire, or about one module alone: what tests them.
ELSEWHERE: Mapping[int, tuple[str, ...]] = {
    16: (
        "contract.test_cymru_by_dns.test_an_ipv4_address_is_asked_by_its_octets_in_reverse",
        "contract.test_cymru_by_dns.test_an_ipv6_address_is_asked_by_its_nibbles_in_reverse_in_the_zone_of_ipv6",
        "contract.test_cymru_by_dns.test_what_a_record_leaves_blank_is_absent",
    ),
    17: (
        "contract.test_cymru_by_dns.test_what_cannot_be_an_origin_is_none",
        "contract.test_cymru_by_dns.test_what_a_record_leaves_blank_is_absent",
        "contract.test_cymru_by_dns.test_a_text_in_another_format_is_an_error_and_asked_again",
    ),
    18: (
        "contract.test_cymru_by_whois.test_all_addresses_are_asked_over_one_connection_and_each_has_its_outcome",
        "contract.test_cymru_by_whois.test_no_connection_carries_more_than_ten_thousand_addresses",
        "contract.test_cymru_by_whois.test_records_that_nobody_asked_for_are_left_out",
        "contract.test_cymru_by_dns.test_an_as_number_gives_its_registry_facts",
    ),
    19: (
        "contract.test_cymru_by_dns.test_a_lost_packet_is_asked_again",
        "contract.test_cymru_by_dns.test_three_lost_packets_are_an_error",
    ),
    20: (
        "contract.test_http_sources.test_that_nothing_is_known_is_an_answer_for_as_long_as_negatives_hold",
        "contract.test_http_sources.test_who_is_refused_asks_no_more_and_says_so_once",
        "contract.test_http_sources.test_a_429_pauses_everybody_for_as_long_as_it_says",
        "contract.test_http_sources.test_past_the_budget_nobody_is_asked_and_the_rest_is_due_when_there_is_more",
        "warehouse.test_allowances.test_a_quota_may_be_used_up_at_once_and_comes_back_when_its_window_is_over",
    ),
    21: ("contract.test_service_oddities.test_a_greynoise_field_that_cannot_be_read_is_absent",),
    22: (
        "enrichment.test_maxmind.test_a_city_file_alone_gives_a_place_and_no_asn",
        "enrichment.test_maxmind.test_an_asn_file_alone_gives_an_asn_and_no_place",
        "enrichment.test_maxmind.test_an_address_in_no_file_is_not_found",
        "enrichment.test_maxmind.test_no_folder_and_no_files_make_the_source_unusable_and_are_findings",
        "contract.test_downloads.test_of_a_tar_only_the_member_that_is_wanted_is_taken",
        "contract.test_downloads.test_a_bad_archive_leaves_the_good_file",
    ),
    23: ("steps.test_asn_inventory_build.test_a_malformed_document_is_skipped_counted_and_named",),
    24: ("steps.test_asn_inventory_build.test_a_number_for_a_name_is_stored_as_its_digits",),
    25: ("steps.test_asn_inventory_build.test_the_older_spelling_is_read_too_and_cymru_where_maxmind_says_nothing",),
    26: (
        "steps.test_asn_inventory_build.test_addresses_without_a_network_are_ignored",
        "steps.test_asn_inventory_build.test_nothing_comes_of_an_empty_inventory",
        "steps.test_asn_inventory_build.test_a_second_time_changes_nothing",
        "steps.test_asn_inventory_build.test_25_networks_in_batches_of_10_are_25",
    ),
}


def says(**of_address: Mapping[str, Any] | Status) -> Script:
    """Answer every address, or only the one that is named (`ip_8_8_8_8`), alike."""
    return lambda key: of_address.get(f"ip_{key.replace('.', '_')}", of_address.get("always", Status.NOT_FOUND))


def hits(**payload: Any) -> Script:
    return says(always=payload)


def enrich(warehouse: Warehouse, *sources: RecordingSource, later: timedelta = timedelta(0)) -> Any:
    with Cascade(sources) as cascade:
        return run_cascade(warehouse, cascade, span(DAY), now=NOW + later)


def address(warehouse: Warehouse, ip_address: str = GOOGLE) -> dict[str, Any]:
    return one(warehouse, ip_inventory, ip_inventory.c.ip_address == ip_address)


def snapshots_taken(warehouse: Warehouse, *, later: timedelta = timedelta(0), day: str = DAY) -> None:
    with warehouse.begin() as connection:
        take_snapshots(connection, span(day), now=NOW + later)


def sources(**scripts: Script) -> list[RecordingSource]:
    """Return sources in the order in which they are named; MaxMind is on disk and its answers are not cached."""
    return [
        RecordingSource(name, script, cached=name != "maxmind", expires_after=timedelta(days=7))
        for name, script in scripts.items()
    ]


# ---- the cascade


def test_case_1_what_maxmind_knows_is_not_asked_elsewhere(warehouse: Warehouse, tmp_path: Path) -> None:
    """The case wants the network's country from the address (US); ours is the registry's, and nobody told it."""
    attack(warehouse, tmp_path, GOOGLE)
    maxmind, cymru = sources(maxmind=hits(asn=15169, organization="GOOGLE", country="US"), cymru=hits(asn=1))
    enrich(warehouse, maxmind, cymru)
    row, network = address(warehouse), one(warehouse, asn_inventory)
    assert (row["current_asn"], row["geo_country"]) == (15169, "US")
    assert (network["asn_number"], network["organization_name"], network["rir_registry"]) == (15169, "GOOGLE", None)
    assert network["organization_country"] is None
    assert not cymru.calls


def test_case_2_cymru_gives_the_network_that_maxmind_lacks(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, "1.1.1.1")
    enrich(
        warehouse,
        *sources(
            maxmind=hits(country="AU"),
            cymru=hits(asn=13335, origins=[13335], country="AU", registry="apnic"),
            cymru_asn=hits(asn=13335, organization="CLOUDFLARENET", country="US", registry="apnic"),
        ),
    )
    row, network = address(warehouse, "1.1.1.1"), one(warehouse, asn_inventory)
    assert row["current_asn"] == 13335
    assert {"maxmind", "cymru"} <= row["enrichment"].keys()
    assert (network["organization_name"], network["rir_registry"]) == ("CLOUDFLARENET", "apnic")


def test_case_3_where_nobody_knows_there_is_no_network(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=says(), cymru=says()))
    assert address(warehouse)["current_asn"] is None
    assert rows(warehouse, asn_inventory) == []


def test_case_4_two_addresses_of_one_network_are_one_row(warehouse: Warehouse, tmp_path: Path) -> None:
    (maxmind,) = sources(maxmind=hits(asn=15169))
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, maxmind)
    first_seen = one(warehouse, asn_inventory)["last_seen"]
    attack(warehouse, tmp_path / "later", OTHER, at=f"{DAY} 11:00")
    enrich(warehouse, maxmind)
    network = one(warehouse, asn_inventory)
    assert network["last_seen"] == first_seen + timedelta(hours=1)
    assert network["unique_ip_count"] == 2


def test_case_5_a_name_that_is_known_stays(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=hits(asn=15169, organization="GOOGLE")))
    enrich(
        warehouse,
        *sources(maxmind=hits(asn=15169, organization="GOOGLE LLC"), rir=hits(registry="arin", country="US")),
        later=timedelta(days=8),
    )
    network = one(warehouse, asn_inventory)
    assert (network["organization_name"], network["rir_registry"]) == ("GOOGLE", "arin")


def test_case_6_what_is_missing_is_filled(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=hits(asn=15169)))
    network = one(warehouse, asn_inventory)
    assert (network["organization_name"], network["organization_country"], network["rir_registry"]) == (None,) * 3
    enrich(
        warehouse,
        *sources(maxmind=hits(asn=15169, organization="GOOGLE"), rir=hits(registry="arin", country="US")),
        later=timedelta(days=8),
    )
    network = one(warehouse, asn_inventory)
    assert (network["organization_name"], network["organization_country"], network["rir_registry"]) == (
        "GOOGLE",
        "US",
        "arin",
    )


def test_case_7_a_fresh_row_asks_nobody(warehouse: Warehouse, tmp_path: Path) -> None:
    """A row that is fresh is not even due; that an answer was remembered is counted where its row was lost."""
    attack(warehouse, tmp_path, GOOGLE)
    maxmind, cymru = sources(maxmind=says(), cymru=hits(asn=15169))
    enrich(warehouse, maxmind, cymru)
    before = address(warehouse)
    assert enrich(warehouse, maxmind, cymru).addresses_due == 0
    assert address(warehouse) == before
    with warehouse.begin() as connection:
        connection.execute(update(ip_inventory).values(enrichment=None, enrichment_due_at=None))
    assert enrich(warehouse, maxmind, cymru).cache_hits == {"cymru": 1}
    assert len(cymru.calls) == 1


def test_case_8_a_source_that_raises_costs_only_its_own_facts(warehouse: Warehouse, tmp_path: Path) -> None:
    def broken(_key: str) -> Status:
        raise ConnectionResetError

    attack(warehouse, tmp_path, GOOGLE)
    report = enrich(warehouse, *sources(maxmind=hits(asn=15169, country="US"), greynoise=broken))
    row = address(warehouse)
    assert (row["current_asn"], row["geo_country"], row["is_scanner"]) == (15169, "US", None)
    assert row["enrichment"]["greynoise"]["status"] == "error"
    assert report.outcomes["greynoise"] == {"error": 1}


def test_case_9_where_all_fail_the_row_is_there_and_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    report = enrich(warehouse, *sources(maxmind=says(always=Status.ERROR), cymru=says(always=Status.ERROR)))
    row = address(warehouse)
    assert (row["enrichment_state"], row["current_asn"], row["session_count"]) == ("unknown", None, 1)
    assert report.outcomes == {"cymru": {"error": 1}, "maxmind": {"error": 1}}
    assert one(warehouse, enrichment_cache, enrichment_cache.c.service == "cymru")["status"] == "error"


def test_case_10_a_stale_row_is_new_in_columns_and_document(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=hits(asn=4134, country="CN")))
    enrich(warehouse, *sources(maxmind=hits(asn=4837, country="HK")), later=timedelta(days=8))
    row = address(warehouse)
    assert (row["current_asn"], row["geo_country"]) == (4837, "HK")
    assert (row["enrichment"]["maxmind"]["asn"], row["enrichment"]["maxmind"]["country"]) == (4837, "HK")
    assert row["asn_last_verified"] == NOW + timedelta(days=8)


def test_case_11_a_network_that_somebody_else_made_meanwhile_is_kept(warehouse: Warehouse, tmp_path: Path) -> None:
    def while_asked(_key: str) -> Mapping[str, Any]:
        times = {"created_at": NOW, "updated_at": NOW}
        with warehouse.begin() as connection:
            exists = connection.execute(select(asn_inventory.c.asn_number)).first()
            if exists is None:
                made = {"asn_number": 15169, "organization_name": "made meanwhile", "organization_source": "maxmind"}
                connection.execute(insert(asn_inventory).values(made | times))
        return {"asn": 15169, "organization": "GOOGLE"}

    attack(warehouse, tmp_path, GOOGLE, OTHER)
    enrich(warehouse, *sources(maxmind=while_asked))
    network = one(warehouse, asn_inventory)
    assert (network["organization_name"], network["unique_ip_count"]) == ("made meanwhile", 2)
    assert {row["current_asn"] for row in rows(warehouse, ip_inventory)} == {15169}


@pytest.mark.parametrize(
    ("service", "days", "is_due"),
    [("cymru", 89, False), ("cymru", 91, True), ("greynoise", 6, False), ("greynoise", 8, True), ("dshield", 8, True)],
)
def test_case_12_an_answer_is_stale_after_the_time_of_its_service(
    warehouse: Warehouse, tmp_path: Path, service: str, days: int, is_due: bool
) -> None:
    """MaxMind's answers are not tied to the age of the file: that made all addresses stale at once, every week."""
    attack(warehouse, tmp_path, GOOGLE)
    with build_enrichment(Settings(), {}, MemoryAllowance()) as enrichment:
        hold = {state.source.name: state.source.terms.hit_for for state in enrichment.sources}
    source = RecordingSource(service, hits(asn=15169, noise=False), expires_after=hold[service])
    enrich(warehouse, source)
    with warehouse.read() as connection:
        later = NOW + timedelta(days=days)
        assert bool(due_addresses(connection, span(DAY), sources=service, now=later)) is is_due


def test_case_12_what_has_no_document_or_one_of_other_sources_is_stale(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, OTHER)
    (dshield,) = sources(dshield=hits(reports=1))
    with warehouse.read() as connection:
        assert set(due_addresses(connection, span(DAY), sources="dshield", now=NOW)) == {GOOGLE, OTHER}
    enrich(warehouse, dshield)
    with warehouse.read() as connection:
        assert due_addresses(connection, span(DAY), sources="dshield", now=NOW) == {}
        assert set(due_addresses(connection, span(DAY), sources="maxmind+dshield", now=NOW)) == {GOOGLE, OTHER}


def test_case_13_refreshing_one_source_keeps_the_others_block(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    greynoise = RecordingSource("greynoise", hits(noise=True), expires_after=timedelta(days=30))
    enrich(warehouse, *sources(maxmind=hits(asn=4134)), greynoise)
    before = address(warehouse)["enrichment"]["greynoise"]
    enrich(warehouse, *sources(maxmind=hits(asn=4837)), greynoise, later=timedelta(days=8))
    row = address(warehouse)
    assert row["enrichment"]["greynoise"] == before
    assert (row["current_asn"], row["is_scanner"], len(greynoise.calls)) == (4837, True, 1)


def test_case_14_an_address_without_a_network_gets_it_when_it_is_refreshed(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=says(), cymru=says()))
    with Cascade(sources(maxmind=says(), cymru=hits(asn=15169, origins=[15169]))) as cascade:
        later = NOW + timedelta(days=8)
        ledger = WarehouseCache(warehouse, day=later.date())
        report = refresh_stale(warehouse, cascade, ledger=ledger, now=later, at_most=10)
    assert report.addresses_due == 1
    assert address(warehouse)["current_asn"] == one(warehouse, asn_inventory)["asn_number"] == 15169


@pytest.mark.parametrize("bogon", ["10.0.0.1", "127.0.0.1", "169.254.1.2", "100.64.0.9", "fc00::7"])
def test_case_15_nobody_is_asked_about_a_bogon(warehouse: Warehouse, tmp_path: Path, bogon: str) -> None:
    attack(warehouse, tmp_path, bogon)
    maxmind, cymru = sources(maxmind=hits(asn=1), cymru=hits(asn=1))
    enrich(warehouse, maxmind, cymru)
    assert address(warehouse, bogon)["is_bogon"] is True
    assert not maxmind.calls
    assert not cymru.calls


def test_every_case_has_a_test() -> None:
    here = {int(name.split("_")[2]) for name in globals() if name.startswith("test_case_")}
    assert sorted(here | ELSEWHERE.keys()) == list(range(1, 37))


@pytest.mark.parametrize("case", sorted(ELSEWHERE))
def test_a_case_that_is_tested_elsewhere_has_its_tests(case: int) -> None:
    for name in ELSEWHERE[case]:
        module, _, test = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"cowrie_pipeline_tests.{module}"), test)), case


# ---- networks


def test_case_27_days_made_again_count_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, OTHER)
    maxmind = sources(maxmind=hits(asn=15169))[0]
    enrich(warehouse, maxmind)
    before = one(warehouse, asn_inventory), rows(warehouse, ip_inventory)
    for _ in range(3):
        with warehouse.begin() as connection:
            connection.execute(text("DELETE FROM loaded_days"))
        load(warehouse, DAY)
        enrich(warehouse, maxmind)
    assert (one(warehouse, asn_inventory), rows(warehouse, ip_inventory)) == before


def test_case_28_an_address_that_moves_keeps_its_past(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=hits(asn=4134)))
    snapshots_taken(warehouse)
    later = timedelta(days=8)
    after = "2026-03-17"
    scan(warehouse, write_log(tmp_path / "later.json", [connect(f"{after} 10:00", session="b" * 12, src_ip=GOOGLE)]))
    load(warehouse, after)
    with Cascade(sources(maxmind=hits(asn=4837))) as cascade:
        run_cascade(warehouse, cascade, span(after), now=NOW + later)
    snapshots_taken(warehouse, later=later, day=after)
    history = rows(warehouse, ip_asn_history)
    assert [row["asn_number"] for row in history] == [4134, 4837]
    assert [row["observed_from"] for row in history] == [NOW, NOW + later]
    sessions = rows(warehouse, session_summaries)
    assert [row["snapshot_asn"] for row in sorted(sessions, key=lambda row: row["first_event_at"])] == [4134, 4837]
    counts = {row["asn_number"]: row["unique_ip_count"] for row in rows(warehouse, asn_inventory)}
    assert counts == {4134: 0, 4837: 1}


# ---- what is believed, and snapshots


@pytest.mark.parametrize(
    ("document", "country"),
    [
        ({"maxmind": {"country": "US"}, "cymru": {"country": "CN"}, "dshield": {"country": "FR"}}, "US"),
        ({"cymru": {"country": "CN"}, "dshield": {"country": "FR"}}, "CN"),
        ({"dshield": {"country": "FR"}}, "FR"),
        ({"maxmind": {"country": "XX"}}, None),
        ({}, None),
    ],
)
def test_case_29_the_country_is_that_of_the_first_who_knows(document: Mapping[str, Any], country: str | None) -> None:
    """The case says XX for unknown; ours is NULL, so that coverage counts what is known."""
    assert merge({name: {"status": "hit", **entry} for name, entry in document.items()}).geo_country == country


@pytest.mark.parametrize(
    ("entry", "is_scanner"),
    [({"noise": True}, True), ({"noise": False}, False), ({"noise": "true"}, None), ({}, None), (None, None)],
)
def test_case_30_a_scanner_is_who_is_seen_to_scan(entry: Mapping[str, Any] | None, is_scanner: bool | None) -> None:
    """The case says false for what is missing; ours is unknown, which is not the same as seen not to scan."""
    document = {} if entry is None else {"greynoise": {"status": "hit", **entry}}
    assert merge(document).is_scanner is is_scanner


def test_case_31_a_snapshot_says_what_the_inventory_says(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, "47.242.217.70")
    enrich(
        warehouse,
        *sources(
            maxmind=hits(asn=45102, country="CN", organization="Alibaba"),
            abuseipdb=hits(usage_type="Data Center/Web Hosting/Transit"),
        ),
    )
    snapshots_taken(warehouse)
    row, session = address(warehouse, "47.242.217.70"), one(warehouse, session_summaries)
    assert (session["snapshot_asn"], session["snapshot_country"], session["snapshot_ip_type"]) == (
        45102,
        "CN",
        "DATACENTER",
    )
    assert (row["current_asn"], row["geo_country"], row["ip_type"]) == (45102, "CN", "DATACENTER")
    assert session["snapshot_document"] == row["enrichment_digest"]
    assert session["snapshot_basis"] == "observed"


def test_case_32_what_is_unknown_is_null_in_a_snapshot_and_counters_are_kept(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            connect(f"{DAY} 10:00", session="a" * 12, src_ip=GOOGLE),
            connect(f"{DAY} 11:00", session="b" * 12, src_ip=None),
            command(f"{DAY} 11:01", "id", session="b" * 12, src_ip=None),
        ],
    )
    enrich(warehouse, *sources(maxmind=hits(asn=15169, country="XX")))
    snapshots_taken(warehouse)
    placed = one(warehouse, session_summaries, session_summaries.c.session_id == "a" * 12)
    assert (placed["snapshot_asn"], placed["snapshot_country"]) == (15169, None)
    nowhere = one(warehouse, session_summaries, session_summaries.c.session_id == "b" * 12)
    assert (nowhere["source_ip"], nowhere["snapshot_asn"], nowhere["snapshot_at"]) == (None, None, None)
    assert (nowhere["event_count"], nowhere["command_count"]) == (2, 1)


def test_case_33_more_events_of_a_session_leave_its_snapshot(warehouse: Warehouse, tmp_path: Path) -> None:
    session = "a" * 12
    scan(warehouse, write_log(tmp_path / "1.json", [connect(f"{DAY} 10:00", session=session, src_ip=GOOGLE)]))
    load(warehouse, DAY)
    enrich(warehouse, *sources(maxmind=hits(asn=4134, country="CN")))
    snapshots_taken(warehouse)
    more = [command(f"{DAY} 10:0{minute}", "id", session=session, src_ip=GOOGLE) for minute in (1, 2)]
    scan(warehouse, write_log(tmp_path / "2.json", more))
    load(warehouse, DAY)
    enrich(warehouse, *sources(maxmind=hits(asn=4837, country="HK")), later=timedelta(days=8))
    snapshots_taken(warehouse, later=timedelta(days=8))
    row = one(warehouse, session_summaries)
    assert (row["event_count"], row["snapshot_asn"], row["snapshot_country"]) == (3, 4134, "CN")


def test_case_34_an_address_that_the_inventory_lacks_is_never_lost(warehouse: Warehouse, tmp_path: Path) -> None:
    """Loading makes the inventory's row, so that the address is kept and the foreign key holds."""
    attack(warehouse, tmp_path, GOOGLE)
    assert one(warehouse, session_summaries)["source_ip"] == GOOGLE == one(warehouse, ip_inventory)["ip_address"]


def test_case_35_of_several_types_the_first_in_the_order_counts() -> None:
    order = ["VPN", "TOR", "PROXY", "DATACENTER", "RESIDENTIAL", "MOBILE"]
    for number, first in enumerate(order):
        tunnels = [{"type": kind} for kind in reversed(order[number:])]
        assert merge({"spur": {"status": "hit", "tunnels": tunnels}}).ip_type == first


def test_case_36_a_snapshot_needs_no_join_and_a_session_outlives_its_address(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    enrich(warehouse, *sources(maxmind=hits(asn=4134, country="CN")))
    snapshots_taken(warehouse)
    enrich(warehouse, *sources(maxmind=hits(asn=4837, country="HK")), later=timedelta(days=8))
    then = select(session_summaries.c.snapshot_asn, session_summaries.c.snapshot_country)
    today = select(ip_inventory.c.current_asn, ip_inventory.c.geo_country).join_from(session_summaries, ip_inventory)
    with warehouse.read() as connection:
        assert tuple(connection.execute(then).one()) == (4134, "CN")
        assert tuple(connection.execute(today).one()) == (4837, "HK")
    with warehouse.begin() as connection:
        connection.execute(update(session_summaries).values(source_ip=None))
    assert one(warehouse, session_summaries)["snapshot_asn"] == 4134
