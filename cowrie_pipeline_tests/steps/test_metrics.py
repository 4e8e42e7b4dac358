"""What the work counts, and what the gauges say of it, on both databases."""

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, insert, select, update

from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.observability.instruments import CATALOG
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.delivery import deliver
from cowrie_pipeline.steps.asn_inventory_build import build_asn_inventory
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.inventories import CascadeStats
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.metrics import PipelineCollector
from cowrie_pipeline.steps.network_facts import incomplete_networks
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    dead_letters,
    enrichment_budget,
    ip_inventory,
    log_files,
    session_summaries,
)
from cowrie_pipeline_tests.contract.http_server import Answer, HttpServer
from cowrie_pipeline_tests.enrichment.databases import asn_record, write_database
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.alerts.made import at, failure
from cowrie_pipeline_tests.steps.alerts.test_book import hook, tell
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    World,
    attack,
    connect,
    download,
    enrichment_of,
    load_events,
    login,
    rows,
    scan,
    span,
    write_log,
)

DAY = "2026-03-09"
GOOGLE, CLOUDFLARE, QUAD9 = "8.8.8.8", "1.1.1.1", "9.9.9.9"
ASNS = {GOOGLE: 15169, CLOUDFLARE: 13335, QUAD9: 15169}
HOSTILE = ('evil{x="y"} 1\nevil 2', "\\", "\x1b[2J", "'; DROP TABLE metric_counts; --", "203.0.113.7", "A" * 5000)


class Scrape:
    """What a scrape says, read back with prometheus-client's parser."""

    def __init__(self, collector: PipelineCollector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self.text = generate_latest(registry).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}

    def __getitem__(self, name: str) -> dict[Any, float]:
        """Return a metric's samples by the values of their labels: a text, several, or None without any."""
        found = {}
        for instrument in CATALOG:
            for sample in self.families[instrument.family].samples:
                if sample.name == name:
                    names = (*instrument.label_names, *(["le"] if "le" in sample.labels else []))
                    values = tuple(sample.labels[each] for each in names)
                    found[values if len(values) > 1 else next(iter(values), None)] = sample.value
        return found

    @property
    def series(self) -> int:
        return sum(len(family.samples) for family in self.families.values())


def scrape(warehouse: Warehouse, settings: Settings) -> Scrape:
    return Scrape(PipelineCollector(warehouse, settings))


# ---- what work counts


def test_reading_counts_every_line_once_by_what_it_is(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> None:
    log = write_log(tmp_path / "cowrie.json", [connect("2026-03-09 10:00"), login("2026-03-09 10:01")])
    with log.open("a") as file:
        file.write(log.read_text().splitlines()[0] + "\n")  # known already
        file.write("\nno json\n[]\n")
        file.write('{"eventid": "cowrie.login.failed"}\n{"timestamp"')
    for _ in range(2):  # the second time there is nothing new
        scan(warehouse, log)
    with log.open("a") as file:
        file.write(': "2026-03-09T10:02:00.000000Z", "eventid": "cowrie.x", "session": "1", "sensor": "s"}\n')
    scan(warehouse, log)
    found = scrape(warehouse, settings)
    (file_row,) = rows(warehouse, log_files)
    assert found["cowrie_lines_read_total"] == {None: file_row["lines"]}
    assert found["cowrie_events_read_total"] == {None: file_row["events"]}
    assert found["cowrie_duplicates_read_total"] == {None: file_row["duplicates"]}
    by_reason = Counter[str]()
    for row in rows(warehouse, dead_letters):
        by_reason[row["reason"]] += row["lines"]
    # half a line was a dead letter until its other half came
    assert Counter(found["cowrie_dead_letters_total"]) - by_reason == Counter(cut=1)
    assert by_reason.total() == file_row["dead_letters"] == 3


def test_a_file_that_is_no_log_counts_all_its_lines_as_what_they_are(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "cowrie.json").write_text("this is no log\n" * 7)
    scan(warehouse, tmp_path / "cowrie.json")
    assert scrape(warehouse, settings)["cowrie_dead_letters_total"] == {"not_a_cowrie_log": 7}


def test_halves_of_a_line_in_two_files_are_an_event_once_both_are_there(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    whole = [json.dumps(connect(f"2026-03-09 10:0{n}", session=f"{n:012x}")) for n in range(3)]
    (tmp_path / "cowrie.json.2026-03-09").write_text(whole[0] + "\n" + whole[1][:50])
    (tmp_path / "cowrie.json").write_text(whole[1][50:] + "\n" + whole[2] + "\n")
    scan(warehouse, tmp_path)
    assert scrape(warehouse, settings)["cowrie_events_read_total"] == {None: 3}


def test_networks_are_counted_as_created_enriched_or_met_again(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE, CLOUDFLARE, QUAD9)
    world = World(ASNS.get)
    report = world.enrich(warehouse, DAY)
    duration = report.stats.asn_operation_duration_ms
    assert duration > 0
    assert report.stats == CascadeStats(
        total_ips=3,
        hits={"cymru_asn": 2, "maxmind": 3},
        asn_records_created=2,
        asn_records_updated=2,  # Team Cymru is asked for what MaxMind does not say of them
        asn_operation_duration_ms=duration,
        asn_unique_seen=2,
    )
    found = scrape(warehouse, settings)
    assert found["asn_inventory_records_created_total"] == {("maxmind", "unknown", "unknown"): 2}
    assert found["asn_inventory_records_updated_total"] == {("maxmind", "metadata_enrichment"): 2}
    assert found["asn_inventory_operation_duration_ms_count"] == {"create": 2, "update": 2}
    total = found["asn_inventory_operation_duration_ms_sum"]
    assert sum(total.values()) == pytest.approx(duration, abs=0.01)
    assert found["asn_inventory_total_count"] == {None: 2}
    assert found["asn_inventory_with_metadata_count"] == {None: 2}
    assert found["asn_inventory_by_rir_count"] == {"ripencc": 2}
    world.enrich(warehouse, DAY, now=NOW + timedelta(days=30))
    again = scrape(warehouse, settings)
    assert again["asn_inventory_records_created_total"] == found["asn_inventory_records_created_total"]
    assert again["asn_inventory_records_updated_total"] == {
        ("maxmind", "metadata_enrichment"): 2,
        ("maxmind", "timestamp_refresh"): 2,
    }


def test_a_fact_that_a_better_source_replaces_is_an_enrichment(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    World(ASNS.get, by_cymru=True).enrich(warehouse, DAY)
    before = scrape(warehouse, settings)
    assert before["asn_inventory_records_created_total"] == {("cymru_asn", "NL", "ripencc"): 1}
    World(ASNS.get).enrich(warehouse, DAY, now=NOW + timedelta(days=40))
    (network,) = rows(warehouse, asn_inventory)
    assert network["organization_source"] == "maxmind"
    assert scrape(warehouse, settings)["asn_inventory_records_updated_total"]["maxmind", "metadata_enrichment"] == 1


def test_networks_that_are_built_from_addresses_are_counted(warehouse: Warehouse, settings: Settings) -> None:
    with warehouse.begin() as connection:
        connection.execute(insert(asn_inventory).values(asn_number=64_500, created_at=NOW, updated_at=NOW))
        connection.execute(
            insert(ip_inventory).values(
                ip_address="203.0.113.1",
                current_asn=64_500,
                enrichment={"maxmind": {"asn": 64_500, "organization": "Example"}},
                created_at=NOW,
            )
        )
    world = World(ASNS.get)
    build_asn_inventory(warehouse, rules=world.cascade().network_rules, now=NOW)
    with warehouse.read() as connection:
        assert [each.asn for each in incomplete_networks(connection)] == [64_500]
    assert scrape(warehouse, settings)["asn_inventory_records_updated_total"] == {("maxmind", "metadata_enrichment"): 1}


def test_look_ups_are_counted_by_outcome_and_memory_by_layer(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, GOOGLE, CLOUDFLARE, "10.0.0.1")
    said: dict[str, int | Status | None] = {GOOGLE: 15169, CLOUDFLARE: Status.ERROR}
    world = World(said.get, by_cymru=True)
    report = world.enrich(warehouse, DAY)
    found = scrape(warehouse, settings)
    assert found["cowrie_lookups_total"] == {
        (service, status): number
        for service, outcomes in report.outcomes.items()
        for status, number in outcomes.items()
    }
    assert found["cowrie_lookups_total"]["cymru", "error"] == 1
    assert report.stats.errors == 2  # of both sources
    # nothing is known of two addresses at two sources, nor of a network
    assert found["cowrie_cache_requests_total"] == {("document", "miss"): 4, ("database", "miss"): 3}
    world.enrich(warehouse, DAY, now=NOW + timedelta(minutes=20))
    hits = scrape(warehouse, settings)["cowrie_cache_requests_total"]
    assert hits["database", "hit"] == 1  # the failure that is due again


def test_how_long_services_took_is_counted_with_what_they_said(warehouse: Warehouse, settings: Settings) -> None:
    ledger = WarehouseCache(warehouse, day=NOW.date())
    ledger.put_many(
        [
            Outcome(service="dshield", key=f"{n}", status=Status.HIT, fetched_at=NOW, payload={}, latency_ms=ms)
            for n, ms in enumerate((3.0, 5.0, 80.0, 60_000.0, None))
        ]
    )
    found = scrape(warehouse, settings)
    assert found["cowrie_lookup_duration_ms_count"] == {"dshield": 4}
    assert found["cowrie_lookup_duration_ms_sum"] == {"dshield": 60_088}
    buckets = found["cowrie_lookup_duration_ms_bucket"]
    assert [buckets["dshield", le] for le in ("5.0", "10.0", "100.0", "10000.0", "+Inf")] == [2, 2, 3, 3, 4]


def test_files_that_are_asked_about_are_look_ups_too(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [download("2026-03-09 10:00", letter * 64) for letter in "abc"])
    source = RecordingSource("virustotal", lambda key: Status.NOT_FOUND if key[0] == "a" else Status.ERROR)
    with enrichment_of(source) as enrichment:
        look_up_files(warehouse, enrichment, span(DAY), ledger=WarehouseCache(warehouse, day=NOW.date()), now=NOW)
    assert scrape(warehouse, settings)["cowrie_lookups_total"] == {
        ("virustotal", "not_found"): 1,
        ("virustotal", "error"): 2,
    }


def test_a_step_counts_when_it_comes_to_its_end_and_its_asset_succeeded_then(
    warehouse: Warehouse, settings: Settings
) -> None:
    before = datetime.now(UTC).timestamp()
    with journaled(warehouse, "ip_inventory", None) as entry:
        entry.report = {"addresses_due": 0}
    with journaled(warehouse, "raw_sessions", None):
        pass  # it came to nothing
    with pytest.raises(ZeroDivisionError), journaled(warehouse, "session_snapshots", None) as entry:
        entry.report = {"never": 1 // 0}
    found = scrape(warehouse, settings)
    assert found["cowrie_step_duration_seconds_count"] == {"ip_inventory": 1}
    succeeded = found["cowrie_asset_last_success_timestamp_seconds"]
    assert succeeded.keys() == {"ip_inventory", "asn_inventory"}
    assert all(before <= time <= datetime.now(UTC).timestamp() for time in succeeded.values())


def test_alerts_count_once_they_have_arrived(warehouse: Warehouse, settings: Settings) -> None:
    with HttpServer(lambda asked: Answer(503 if asked.path == "/one" else 200)) as server:
        receivers = (hook(server, "one"), hook(server, "two"))
        tell(warehouse, failure(1), receivers=receivers)
        deliver(warehouse, receivers, clock=lambda: at(61), seconds=60)
    assert scrape(warehouse, settings)["cowrie_alerts_sent_total"] == {("webhook", "error"): 1}


def test_a_batch_of_networks_that_is_undone_counts_nothing(
    warehouse: Warehouse, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack(warehouse, tmp_path, GOOGLE)
    monkeypatch.setattr("cowrie_pipeline.steps.inventories._count", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        World(ASNS.get).enrich(warehouse, DAY)
    found = scrape(warehouse, settings)
    assert found["asn_inventory_total_count"] == {None: 0}
    assert found["asn_inventory_records_created_total"] == {}
    assert found["cowrie_lookups_total"] == {}


# ---- gauges


def test_gauges_are_recounts_of_the_tables(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            connect(f"{DAY} 10:00", session=f"{n:012x}", src_ip=address, protocol=protocol)
            for n, (address, protocol) in enumerate(
                [(GOOGLE, "ssh"), (CLOUDFLARE, "ssh"), (QUAD9, "telnet"), ("10.0.0.1", "gopher"), (GOOGLE, None)]
            )
        ],
    )
    World({GOOGLE: 15169, CLOUDFLARE: 13335}.get).enrich(warehouse, DAY, now=NOW)
    with warehouse.begin(lock="facts") as connection:
        connection.execute(
            update(session_summaries).where(session_summaries.c.protocol == "telnet").values(source_ip="10.0.0.1")
        )
        take_snapshots(connection, span(DAY), now=NOW)
        connection.execute(
            update(ip_inventory)
            .where(ip_inventory.c.ip_address.in_([GOOGLE, CLOUDFLARE]))
            .values(enrichment_due_at=datetime.now(UTC) + timedelta(days=1))
        )
        connection.execute(update(ip_inventory).where(ip_inventory.c.ip_address == QUAD9).values(enrichment_due_at=NOW))
    found = scrape(warehouse, settings)
    assert found["cowrie_sessions"] == {"ssh": 2, "telnet": 1, "other": 1, "unknown": 1}
    with warehouse.read() as connection:
        of_basis = connection.execute(
            select(session_summaries.c.snapshot_basis, func.count()).group_by(session_summaries.c.snapshot_basis)
        ).all()
    assert found["cowrie_snapshots"] == {basis or "unknown": number for basis, number in of_basis}
    assert found["cowrie_addresses"] == {"total": 4, "stale": 1, "bogon": 1}
    assert found["cowrie_coverage_ratio"]["ip_inventory", "current_asn"] == pytest.approx(2 / 3)
    assert found["cowrie_coverage_ratio"]["session_summaries", "snapshot_basis"] == 1
    assert found["cowrie_coverage_ratio"]["asn_inventory", "organization_name"] == 1


def test_budgets_are_those_of_the_window_that_ends_now(warehouse: Warehouse, settings: Settings) -> None:
    now = datetime.now(UTC)
    day = 86_400.0
    with warehouse.begin() as connection:
        for service, window, hours, calls, limit in (
            ("virustotal", day, 1, 20, 500),
            ("virustotal", day, 20, 30, 500),
            ("virustotal", day, 30, 400, 400),  # of the day before, when the limit was another
            ("spur", 60.0, 1, 5, 10),
            ("greynoise", 77.5, 0, 7, 50),
            ("greynoise", 78.5, 0, 3, 60),
        ):
            connection.execute(
                insert(enrichment_budget).values(
                    service=service,
                    window_seconds=window,
                    bucket_start=now - timedelta(hours=hours),
                    calls_used=calls,
                    call_limit=limit,
                )
            )
    found = scrape(warehouse, settings)
    assert found["cowrie_budget_used"] == {("virustotal", "1d"): 50, ("spur", "1m"): 0, ("greynoise", "other"): 7}
    assert found["cowrie_budget_limit"] == {("virustotal", "1d"): 500, ("spur", "1m"): 10, ("greynoise", "other"): 60}


def test_files_are_as_old_as_they_say(warehouse: Warehouse, settings: Settings) -> None:
    now = datetime.now(UTC)
    settings.geoip_folder.mkdir(parents=True)
    write_database(settings.geoip_folder / "GeoLite2-ASN.mmdb", "GeoLite2-ASN", {"8.8.8.0/24": asn_record(15169, "G")})
    settings.lists_folder.mkdir(parents=True)
    path = settings.lists_folder / TOR_EXITS.file.file_name
    path.write_text("")
    os.utime(path, (now.timestamp() - 3600,) * 2)
    found = scrape(warehouse, settings)
    assert found["cowrie_geoip_age_seconds"].keys() == {"asn"}
    assert found["cowrie_list_age_seconds"].keys() >= {"tor_exits"}
    assert 3600 <= found["cowrie_list_age_seconds"]["tor_exits"] < 3700


def test_runs_in_progress_are_shown_where_they_are_known(warehouse: Warehouse, settings: Settings) -> None:
    assert scrape(warehouse, settings)["cowrie_runs_in_progress"] == {}
    found = Scrape(PipelineCollector(warehouse, settings, runs_in_progress=lambda: 2))
    assert found["cowrie_runs_in_progress"] == {None: 2}


def test_gauges_are_kept_for_some_seconds_and_counts_are_not(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    time = [0.0]
    collector = PipelineCollector(warehouse, settings, clock=lambda: time[0])
    Scrape(collector)
    attack(warehouse, tmp_path, GOOGLE)
    for seconds, addresses in ((0.0, 0), (14.9, 0), (15.0, 1)):
        time[0] = seconds
        found = Scrape(collector)
        assert found["cowrie_addresses"]["total"] == addresses
        assert found["cowrie_lines_read_total"] == {None: 1}


def test_what_took_long_to_ask_is_kept_for_twenty_times_as_long(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    # each look at the clock takes a second, so that each question does; seven of them are asked
    seconds = iter(range(1000))
    hasty = replace(settings, metrics_seconds=0.1)
    collector = PipelineCollector(warehouse, hasty, clock=lambda: float(next(seconds)))
    Scrape(collector)
    attack(warehouse, tmp_path, GOOGLE)
    assert [Scrape(collector)["cowrie_addresses"]["total"] for _ in range(3)] == [0, 1, 1]


# ---- the bound


def test_every_metric_is_exported_and_only_those(warehouse: Warehouse, settings: Settings) -> None:
    found = scrape(warehouse, settings)
    assert {(name, family.type) for name, family in found.families.items()} == {
        (each.family, each.kind.value) for each in CATALOG
    }
    assert found["cowrie_lines_read_total"] == {None: 0}


def test_hostile_logs_and_services_make_no_series(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> None:
    """Everything that the world can choose is chosen badly, and twice as much of it makes nothing more."""

    def strike(number: int) -> Scrape:
        events = [
            connect(
                f"2026-03-09 10:{number:02}:{n:02}",
                session=f"{number}{n:011x}",
                src_ip=f"8.{number}.{n}.1",
                sensor=value,
                protocol=f"{value}{number}",
                **{f"field{number}": value},
            )
            for n, value in enumerate(HOSTILE)
        ]
        log = write_log(tmp_path / str(number) / "cowrie.json", events)
        with log.open("a") as file:
            file.writelines(f"{{{value!r} {number}\n" for value in HOSTILE)
        report = scan_logs(warehouse, [str(log)], settings=Settings(), now=NOW)
        assert not report.problems
        load_events(warehouse, tmp_path / f"{number}b", events)
        world = World(lambda address: 64_500 + int(address.split(".")[2]))
        world.maxmind.script = lambda address: {
            "asn": 64_500 + int(address.split(".")[1]),
            "organization": f"{HOSTILE[0]} {address}",
            "country": f"{number:02}"[-2:],
            "registry": HOSTILE[0],
        }
        world.network.script = lambda key: {"asn": int(key[2:]), "country": "xx", "registry": f"{HOSTILE[0]}{number}"}
        world.enrich(warehouse, DAY, now=NOW + timedelta(minutes=number))
        with counting(warehouse) as (_, tally):
            for instrument in CATALOG:
                if instrument.kind.value == "counter":
                    labels: dict[str, Any] = dict.fromkeys(instrument.label_names, f"{HOSTILE[0]}{number}")
                    tally.count(instrument, **labels)
        return scrape(warehouse, settings)

    first = strike(1)
    second, third = strike(2), strike(3)
    assert second.series == third.series
    assert "evil" not in third.text
    assert "203.0.113" not in third.text
    assert {family.name for family in first.families.values()} == {each.family for each in CATALOG}
    for name, family in third.families.items():
        instrument = next(each for each in CATALOG if each.family == name)
        for sample in family.samples:
            for label in instrument.labels:
                assert sample.labels[label.name] in {*label.values, "other", "unknown"}
