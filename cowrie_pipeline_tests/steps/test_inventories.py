"""Addresses and networks: who is due, what is written in which order, and what is counted."""

import json
import multiprocessing
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, text, update

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import inventories
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.inventories import DayInventory, due_addresses
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    enrichment_cache,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.databases import PARIS, asn_record, write_database
from cowrie_pipeline_tests.enrichment.recording import RecordingSource, terms_of
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    World,
    attack,
    command,
    connect,
    load,
    load_events,
    login,
    one,
    rows,
    run_cascade,
    scan,
    span,
    write_log,
)

DAY = "2026-03-09"
GOOGLE, CLOUDFLARE = "8.8.8.8", "1.1.1.1"
ASNS = {GOOGLE: 15169, CLOUDFLARE: 13335, "9.9.9.9": 15169}


def address_of(warehouse: Warehouse, address: str) -> dict[str, Any]:
    return one(warehouse, ip_inventory, ip_inventory.c.ip_address == address)


def network_of(warehouse: Warehouse, asn: int) -> dict[str, Any]:
    return one(warehouse, asn_inventory, asn_inventory.c.asn_number == asn)


def history_of(warehouse: Warehouse, address: str = GOOGLE) -> list[tuple[Any, ...]]:
    found = rows(warehouse, ip_asn_history, ip_asn_history.c.ip_address == address)
    return [(row["asn_number"], row["observed_from"], row["last_confirmed"], row["source"]) for row in found]


def assert_counts_are_recounts(warehouse: Warehouse) -> None:
    with warehouse.read() as connection:
        for check in all_checks():
            if check.name in ("network_counts", "address_counts", "orphan_current_asn", "orphan_asn_history"):
                assert check.run(connection, span("2026-01-01", "2026-12-31"), Settings(), NOW).passed, check.name


# ---- what is written


def test_sessions_make_the_rows_of_addresses_and_the_cascade_fills_them(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    row = address_of(warehouse, GOOGLE)
    assert (row["enrichment_state"], row["enrichment"], row["current_asn"]) == (None, None, None)
    assert (row["session_count"], row["first_seen"]) == (1, datetime(2026, 3, 9, 10, tzinfo=UTC))
    report = World(ASNS.get).enrich(warehouse, DAY)
    row = address_of(warehouse, GOOGLE)
    assert (row["enrichment_state"], row["current_asn"], row["asn_source"]) == ("complete", 15169, "maxmind")
    assert (row["geo_country"], row["country_basis"], row["asn_last_verified"]) == ("FR", "geolocation", NOW)
    assert row["enrichment"]["maxmind"]["organization"] == "Network 15169"
    assert (row["enrichment_updated_at"], row["enrichment_version"]) == (NOW, 1)
    network = network_of(warehouse, 15169)
    assert (network["organization_name"], network["organization_source"]) == ("Network 15169", "maxmind")
    assert (network["unique_ip_count"], network["first_seen"]) == (1, row["first_seen"])
    assert history_of(warehouse) == [(15169, NOW, NOW, "maxmind")]
    assert (report.addresses_due, report.stats.asn_unique_seen, report.stats.asn_records_created) == (1, 1, 1)
    assert report.days == {date(2026, 3, 9): DayInventory(addresses=1, networks=1, states={"complete": 1})}


def test_cymru_fills_what_maxmind_does_not_know(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    World(ASNS.get, by_cymru=True).enrich(warehouse, DAY)
    row, network = address_of(warehouse, GOOGLE), network_of(warehouse, 15169)
    assert (row["current_asn"], row["asn_source"]) == (15169, "cymru")
    assert (row["geo_country"], row["country_basis"]) == ("DE", "registry")
    assert (network["organization_name"], network["organization_country"], network["rir_registry"]) == (
        "AS 15169",
        "NL",
        "ripencc",
    )
    assert set(row["enrichment"]) == {"maxmind", "cymru"}


def test_real_geoip_files_are_read(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, "5.39.0.9", "198.51.101.1")
    folder = tmp_path / "geoip"
    folder.mkdir()
    write_database(folder / "GeoLite2-City.mmdb", "GeoLite2-City", {"5.39.0.0/16": PARIS})
    write_database(folder / "GeoLite2-ASN.mmdb", "GeoLite2-ASN", {"5.39.0.0/16": asn_record(4200000, "OVH")})
    with build_enrichment(Settings(geoip_dir=folder, offline=True), {}, MemoryAllowance()) as enrichment:
        cascade = enrichment.cascade
        report = run_cascade(
            warehouse,
            cascade,
            span(DAY),
            now=datetime.now(UTC),
        )
    assert report.outcomes == {"maxmind": {"hit": 1, "not_found": 1}}
    row = address_of(warehouse, "5.39.0.9")
    assert (row["current_asn"], row["geo_country"], row["geo_city"], row["latitude"]) == (4200000, "FR", "Paris", 48.85)
    assert row["geoip_build"]
    assert address_of(warehouse, "198.51.101.1")["current_asn"] is None
    assert network_of(warehouse, 4200000)["organization_name"] == "OVH"


@pytest.mark.shared_data
def test_maxminds_own_test_databases_are_read(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, "81.2.69.142", "1.128.0.1")
    with build_enrichment(Settings(geoip_dir=SHARED_DATA / "mmdb", offline=True), {}, MemoryAllowance()) as enrichment:
        cascade = enrichment.cascade
        run_cascade(warehouse, cascade, span(DAY), now=NOW)
    assert address_of(warehouse, "81.2.69.142")["geo_city"] == "London"
    assert address_of(warehouse, "1.128.0.1")["current_asn"] == 1221
    assert_counts_are_recounts(warehouse)


def test_an_as_number_of_32_bits_is_kept(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    World(lambda _: 4_199_999_999).enrich(warehouse, DAY)
    assert address_of(warehouse, GOOGLE)["current_asn"] == 4_199_999_999


def test_many_addresses_go_in_batches(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventories, "_ADDRESSES_AT_ONCE", 3)
    addresses = [f"11.0.0.{number}" for number in range(8)]
    attack(warehouse, tmp_path, *addresses)
    world = World(lambda address: 100 + int(address.rpartition(".")[2]) % 2)
    seen: list[tuple[int, int]] = []
    with world.cascade() as cascade:
        report = run_cascade(
            warehouse,
            cascade,
            span(DAY),
            now=NOW,
            on_progress=lambda *step: seen.append(step),
        )
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert report.outcomes["maxmind"] == {"hit": 8}
    assert {row["asn_number"]: row["unique_ip_count"] for row in rows(warehouse, asn_inventory)} == {100: 4, 101: 4}


# ---- networks


def test_a_name_that_is_known_stays_and_what_is_missing_is_filled(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, CLOUDFLARE)
    with warehouse.begin() as connection:
        connection.execute(
            asn_inventory.insert(),
            [
                {"asn_number": 15169, "organization_name": "GOOGLE", "created_at": NOW, "updated_at": NOW},
                {"asn_number": 13335, "organization_name": None, "created_at": NOW, "updated_at": NOW},
            ],
        )
    World(ASNS.get, by_cymru=True).enrich(warehouse, DAY)
    google, cloudflare = network_of(warehouse, 15169), network_of(warehouse, 13335)
    assert (google["organization_name"], google["organization_source"]) == ("GOOGLE", None)
    assert (google["organization_country"], google["rir_registry"]) == ("NL", "ripencc")
    assert (cloudflare["organization_name"], cloudflare["organization_source"]) == ("AS 13335", "cymru_asn")


def test_a_network_of_two_addresses_is_one_row(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, "9.9.9.9")
    World(ASNS.get).enrich(warehouse, DAY)
    assert one(warehouse, asn_inventory)["unique_ip_count"] == 2


def test_a_network_is_last_seen_when_an_address_known_long_ago_attacks_again(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(ASNS.get, by_cymru=True)
    world.enrich(warehouse, DAY)
    scan(warehouse, write_log(tmp_path / "next.json", [login("2026-03-10 11:00", session="ff", src_ip=GOOGLE)]))
    load(warehouse, "2026-03-10")
    assert network_of(warehouse, 15169)["last_seen"] == datetime(2026, 3, 10, 11, tzinfo=UTC)
    assert_counts_are_recounts(warehouse)


def test_an_address_that_moves_to_another_network_is_counted_there_and_its_past_is_kept(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Case 28: 4134 -> 4837; old sessions keep the old network, new ones get the new."""
    attack(warehouse, tmp_path, GOOGLE, CLOUDFLARE)
    world = World(lambda _: 4134)
    first, second = NOW, NOW + timedelta(days=10)
    world.enrich(warehouse, DAY, now=first)
    with warehouse.begin() as connection:
        take_snapshots(connection, span(DAY), now=first)
    assert network_of(warehouse, 4134)["unique_ip_count"] == 2
    world.asn_of = lambda address: 4837 if address == GOOGLE else 4134
    later = connect("2026-03-20 08:00", session="ff", src_ip=GOOGLE)
    scan(warehouse, write_log(tmp_path / "later.json", [later]))
    load(warehouse, "2026-03-20")
    world.enrich(warehouse, "2026-03-20", now=second)
    with warehouse.begin() as connection:
        take_snapshots(connection, span(DAY, "2026-03-20"), now=second)
    assert history_of(warehouse) == [(4134, first, first, "maxmind"), (4837, second, second, "maxmind")]
    assert address_of(warehouse, GOOGLE)["current_asn"] == 4837
    assert address_of(warehouse, GOOGLE)["enrichment_version"] == 2
    assert {row["asn_number"]: row["unique_ip_count"] for row in rows(warehouse, asn_inventory)} == {4134: 1, 4837: 1}
    taken = rows(warehouse, session_summaries, session_summaries.c.source_ip == GOOGLE)
    assert {row["first_event_at"].day: row["snapshot_asn"] for row in taken} == {9: 4134, 20: 4837}
    assert_counts_are_recounts(warehouse)


def test_an_address_that_stays_is_confirmed_and_one_that_comes_back_begins_a_new_span(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(lambda _: 4134)
    times = [NOW + timedelta(days=10 * number) for number in range(5)]
    for time, asn in zip(times, (4134, 4134, 4837, 4134, 4134), strict=True):
        world.asn_of = lambda _, asn=asn: asn  # type: ignore[misc]
        world.enrich(warehouse, DAY, now=time)
    assert history_of(warehouse) == [
        (4134, times[0], times[1], "maxmind"),
        (4837, times[2], times[2], "maxmind"),
        (4134, times[3], times[4], "maxmind"),
    ]


# ---- who is due


def test_an_address_whose_facts_are_fresh_is_not_asked_again(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(ASNS.get)
    world.enrich(warehouse, DAY)
    asked = len(world.maxmind.calls)
    again = world.enrich(warehouse, DAY, now=NOW + timedelta(hours=1))
    assert (again.addresses_due, len(world.maxmind.calls)) == (0, asked)
    assert again.days[date(2026, 3, 9)].states == {"complete": 1}


def test_a_stale_address_is_asked_again(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(ASNS.get)
    world.enrich(warehouse, DAY)
    due_at = address_of(warehouse, GOOGLE)["enrichment_due_at"]
    assert world.enrich(warehouse, DAY, now=due_at - timedelta(seconds=1)).addresses_due == 0
    world.asn_of = lambda _: 13335
    assert world.enrich(warehouse, DAY, now=due_at).addresses_due == 1
    row = address_of(warehouse, GOOGLE)
    assert (row["current_asn"], row["enrichment"]["maxmind"]["asn"], row["asn_last_verified"]) == (13335, 13335, due_at)


def test_only_the_addresses_of_the_days_asked_for_are_due(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    scan(warehouse, write_log(tmp_path / "next.json", [connect("2026-03-10 11:00", session="ff", src_ip=CLOUDFLARE)]))
    load(warehouse, "2026-03-10")
    world = World(ASNS.get)
    world.enrich(warehouse, "2026-03-10")
    assert world.maxmind.calls == [(CLOUDFLARE,)]


def test_an_address_is_due_when_another_source_can_be_asked(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(ASNS.get, by_cymru=True)
    with Cascade([world.maxmind]) as cascade:
        run_cascade(warehouse, cascade, span(DAY), now=NOW)
    assert address_of(warehouse, GOOGLE)["current_asn"] is None
    report = world.enrich(warehouse, DAY, now=NOW + timedelta(minutes=1))
    assert report.addresses_due == 1
    assert len(world.maxmind.calls) == 1, "what MaxMind said is not asked again"
    assert address_of(warehouse, GOOGLE)["current_asn"] == 15169


def test_nobody_is_asked_about_an_address_that_is_nowhere_on_the_internet(warehouse: Warehouse, tmp_path: Path) -> None:
    bogons = ["10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "fd00::1", "224.0.0.1", "192.0.2.1"]
    attack(warehouse, tmp_path, *bogons)
    world = World(lambda _: 666)
    report = world.enrich(warehouse, DAY)
    assert [*world.maxmind.calls, *world.cymru.calls, *world.network.calls] == []
    found = rows(warehouse, ip_inventory)
    assert {row["ip_address"] for row in found} == set(bogons)
    assert {(row["is_bogon"], row["enrichment_state"], row["current_asn"]) for row in found} == {
        (True, "complete", None)
    }
    assert rows(warehouse, asn_inventory) == []
    assert report.days[date(2026, 3, 9)].states == {"complete": len(bogons)}
    assert world.enrich(warehouse, DAY, now=NOW + timedelta(days=100)).addresses_due == 0


def test_those_are_due_that_were_active_on_the_day_also_in_a_session_of_the_day_before(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    crossing, new, gone = "9.9.9.9", GOOGLE, CLOUDFLARE
    events = [
        connect("2026-03-08 12:00", session="aaaa00000001", src_ip=gone),
        connect("2026-03-08 23:50", session="aaaa00000002", src_ip=crossing),
        command("2026-03-09 00:10", "id", session="aaaa00000002", src_ip=crossing),
        connect("2026-03-09 12:00", session="aaaa00000003", src_ip=new),
    ]
    load_events(warehouse, tmp_path, events)
    with warehouse.read() as connection:
        # worth what was done in the whole of it
        assert list(due_addresses(connection, span(DAY), sources="x", now=NOW).items()) == [(crossing, 2), (new, 0)]
        assert set(due_addresses(connection, span("2026-03-08"), sources="x", now=NOW)) == {gone, crossing}


# ---- failures


def test_where_everything_fails_the_address_stays_and_each_failure_is_written_down(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(lambda _: Status.ERROR)
    report = world.enrich(warehouse, DAY)
    row = address_of(warehouse, GOOGLE)
    assert (row["enrichment_state"], row["current_asn"], row["is_bogon"]) == ("unknown", None, False)
    assert {name: entry["status"] for name, entry in row["enrichment"].items()} == {
        "maxmind": "error",
        "cymru": "error",
    }
    assert row["enrichment_due_at"] == NOW + timedelta(minutes=15)
    assert report.outcomes == {"maxmind": {"error": 1}, "cymru": {"error": 1}}
    kept = one(warehouse, enrichment_cache)
    assert (kept["service"], kept["status"], kept["error"]) == ("cymru", "error", "as the test says")
    assert report.days[date(2026, 3, 9)].states == {"unknown": 1}


def test_a_failure_later_takes_nothing_away(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    world = World(ASNS.get, by_cymru=True)
    world.enrich(warehouse, DAY)
    world.asn_of = lambda _: Status.RATE_LIMITED
    world.enrich(warehouse, DAY, now=NOW + timedelta(days=40))
    row = address_of(warehouse, GOOGLE)
    assert (row["current_asn"], row["geo_country"], row["enrichment_state"]) == (15169, "DE", "partial")
    assert history_of(warehouse) == [(15169, NOW, NOW, "cymru")], "a failure confirms nothing"
    world.asn_of = ASNS.get
    world.enrich(warehouse, DAY, now=NOW + timedelta(days=41))
    assert address_of(warehouse, GOOGLE)["enrichment_state"] == "complete"
    assert history_of(warehouse) == [(15169, NOW, NOW + timedelta(days=41), "cymru")]


def test_what_one_source_breaks_does_not_lose_what_another_found(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE)

    class Broken(RecordingSource):
        def look_up(self, keys: Sequence[str], *, now: datetime) -> Sequence[Outcome]:  # noqa: ARG002
            raise ZeroDivisionError

    world = World(lambda _: None)
    world.maxmind.script = lambda _: {"country": "US"}
    world.cymru = Broken("cymru")
    report = world.enrich(warehouse, DAY)
    row = address_of(warehouse, GOOGLE)
    assert (row["geo_country"], row["enrichment_state"]) == ("US", "partial")
    assert report.outcomes["cymru"] == {"error": 1}


def test_a_document_that_somebody_spoiled_is_made_anew(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, CLOUDFLARE, "9.9.9.9")
    for address, document in ((GOOGLE, '"a text"'), (CLOUDFLARE, "null"), ("9.9.9.9", '{"maxmind": "x"}')):
        with warehouse.begin() as connection:
            connection.execute(
                update(ip_inventory)
                .where(ip_inventory.c.ip_address == address)
                .values(enrichment=json.loads(document) if document != "null" else JSON.NULL)
            )
    World(ASNS.get).enrich(warehouse, DAY)
    assert {row["current_asn"] for row in rows(warehouse, ip_inventory)} == {15169, 13335}


def test_no_document_is_json_null(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, GOOGLE, "10.0.0.1", CLOUDFLARE)
    World(lambda address: None if address == CLOUDFLARE else 15169).enrich(warehouse, DAY)
    with warehouse.begin() as connection:
        for table, column in (("ip_inventory", "enrichment"), ("asn_inventory", "enrichment")):
            statement = text(f"SELECT COUNT(*) FROM {table} WHERE CAST({column} AS TEXT) = 'null'")
            assert connection.execute(statement).scalar_one() == 0


# ---- several processes


class Instant:
    """A source in another process: an AS number out of the address, and a bit of time for the others to catch up."""

    def __init__(self, name: str, barrier: Barrier | None) -> None:
        self.name, self.cached, self._barrier = name, name != "maxmind", barrier
        self.terms, self.keys_at_once = terms_of(name), 1000

    def availability(self) -> Any:
        from cowrie_pipeline.enrichment.outcomes import Availability

        return Availability(usable=True, reason="")

    def look_up(self, keys: Sequence[str], *, now: datetime) -> Sequence[Outcome]:
        if self._barrier is not None:
            self._barrier.wait(timeout=60)
        return [
            Outcome(
                service=self.name,
                key=key,
                status=Status.HIT,
                fetched_at=now,
                payload=self._facts(key),
                expires_at=now + timedelta(days=30),
            )
            for key in reversed(keys)
        ]

    def _facts(self, key: str) -> Mapping[str, Any]:
        if self.name == "cymru_asn":
            return {"asn": int(key[2:]), "organization": f"AS {key[2:]}", "country": "NL", "registry": "arin"}
        return {"asn": 1000 + int(key.rpartition(".")[2]) % 50, "country": "US"}


_barrier: Barrier | None = None


def _share(barrier: Barrier) -> None:
    globals()["_barrier"] = barrier


def _enrich(url: str) -> int:
    warehouse = Warehouse(url)
    # of a source on disk: what is asked of a service is asked by one process alone
    cascade = Cascade([Instant("maxmind", _barrier), Instant("cymru_asn", None)])
    try:
        return run_cascade(warehouse, cascade, span(DAY), now=NOW).addresses_due
    finally:
        warehouse.dispose()


def test_processes_that_meet_the_same_addresses_at_once_lose_nothing(
    database_url: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    """All have asked before the first may write: the same networks are new to each."""
    addresses = [f"11.0.{number // 200}.{number % 200}" for number in range(600)]
    attack(warehouse, tmp_path, *addresses)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    with ProcessPoolExecutor(2, mp_context=context, initializer=_share, initargs=(barrier,)) as executor:
        futures = [executor.submit(_enrich, database_url) for _ in range(2)]
        assert [future.result(timeout=120) for future in futures] == [600, 600]
    found = rows(warehouse, ip_inventory)
    networks = Counter(row["current_asn"] for row in found)
    assert {row["asn_number"]: row["unique_ip_count"] for row in rows(warehouse, asn_inventory)} == networks
    assert sorted(networks) == [*range(1000, 1050)]
    assert {row["enrichment_state"] for row in found} == {"complete"}
    assert len(rows(warehouse, ip_asn_history)) == 600
    assert_counts_are_recounts(warehouse)
