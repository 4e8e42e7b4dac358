"""What is measured, each task in a process of its own: see task.py.

A task takes a JSON object of arguments and prints a JSON object of numbers. Seconds are those of the work alone:
imports, opening databases and reading the list of addresses come before.

Belongs here: the work and the references. Does not belong here: input (inputs.py), verdicts (figures.py).
"""

import gzip
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import quantiles
from time import perf_counter
from typing import Any, BinaryIO, cast

from sqlalchemy import event, func, select

from benchmarks.growth import check_seconds, database_size, due_seconds, held, steps_taken
from benchmarks.inputs import DAYS, FIRST_DAY, FIRST_DAY_OF_YEAR
from benchmarks.made_inventory import make_inventory
from benchmarks.made_sessions import DAYS as MADE_DAYS
from benchmarks.made_sessions import LOOKED_UP_AT, MadePlan, fill_sessions
from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.observability.telemetry import flush_telemetry, set_up_telemetry
from cowrie_pipeline.observability.tracing import run_span
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_inventory_build import build_asn_inventory
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import due_addresses, enrich_addresses
from cowrie_pipeline.steps.raw_sessions import load_days
from cowrie_pipeline.steps.reports import Span, all_reports, run_report
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory, loaded_days, session_summaries
from cowrie_pipeline_tests.contract.services import KEY

Numbers = dict[str, Any]

_ALL_DAYS = DayRange(FIRST_DAY, FIRST_DAY + timedelta(days=DAYS - 1))
_NOW = datetime(2026, 4, 1, tzinfo=UTC)
_READ_AT_ONCE = 1 << 20
_CACHED_SERVICE = "dshield"
_OUTCOMES_AT_ONCE = 20_000


def parse_lines(*, logs: str) -> Numbers:
    """Read each line of the files and parse it, nothing else: what loading is held against."""
    import orjson

    files = sorted(path for path in Path(logs).rglob("cowrie.json*"))
    lines = 0
    started = perf_counter()
    for path in files:
        with _open_log(path) as file:
            for line in file:
                orjson.loads(line)
                lines += 1
    return {"seconds": perf_counter() - started, "lines": lines}


def _open_log(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", gzip.open(path)), _READ_AT_ONCE))
    return path.open("rb", buffering=_READ_AT_ONCE)


def load(*, url: str, logs: str, counts: bool = True, collector: str | None = None) -> Numbers:
    """Read logs and make the sessions of all their days; spans and metrics go to a collector if there is one."""
    warehouse = Warehouse(url, counts=counts)
    set_up_telemetry(Settings(otlp_endpoint=collector))
    started, cpu_before = perf_counter(), _cpu_seconds()
    with run_span("load"):
        scan = scan_logs(warehouse, [logs], settings=Settings(), now=_NOW)
        scanned = perf_counter()
        load_days(warehouse, _ALL_DAYS, now=_NOW)
    flush_telemetry()
    ended, cpu_after = perf_counter(), _cpu_seconds()
    with warehouse.read() as connection:
        sessions = connection.execute(select(func.count()).select_from(session_summaries)).scalar_one()
    return {
        "seconds": ended - started,
        "scan_seconds": scanned - started,
        "sessions_seconds": ended - scanned,
        "cpu_seconds": cpu_after - cpu_before,
        "events": scan.events,
        "lines": scan.lines,
        "sessions": sessions,
    }


def set_up(*, url: str, counts: bool, collector: str | None) -> Numbers:
    """Do what other tasks do before their clock starts, and no more."""
    Warehouse(url, counts=counts).dispose()
    set_up_telemetry(Settings(otlp_endpoint=collector))
    return {}


def check_fresh(*, url: str, geoip: str) -> Numbers:
    """Ask which addresses of all days are due, when none is."""
    warehouse = Warehouse(url)
    enrichment = build_enrichment(Settings(geoip_dir=Path(geoip), offline=True), {}, WarehouseAllowance(warehouse))
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    with warehouse.read() as connection:
        event.listen(connection, "before_cursor_execute", count)
        started = perf_counter()
        due = due_addresses(connection, _ALL_DAYS, sources=enrichment.cascade.signature, now=_NOW)
        seconds = perf_counter() - started
        event.remove(connection, "before_cursor_execute", count)
        addresses = connection.execute(select(func.count()).select_from(ip_inventory)).scalar_one()
    return {"seconds": seconds, "statements": statements, "due": len(due), "addresses": addresses}


def read_geoip(*, geoip: str, addresses: str) -> Numbers:
    """Ask geoip2's reader for city and ASN of each address: what enrichment by MaxMind is held against."""
    import geoip2.database

    asked = Path(addresses).read_text(encoding="ascii").split()
    with (
        geoip2.database.Reader(Path(geoip, "GeoLite2-City.mmdb")) as cities,
        geoip2.database.Reader(Path(geoip, "GeoLite2-ASN.mmdb")) as networks,
    ):
        started = perf_counter()
        for address in asked:
            cities.city(address)
            networks.asn(address)
        seconds = perf_counter() - started
    return {"seconds": seconds, "addresses": len(asked)}


def enrich(
    *,
    url: str,
    geoip: str,
    resolver: str | None,
    max_in_flight: int,
    counts: bool = True,
    collector: str | None = None,
) -> Numbers:
    """Look up every address of all days and write both inventories; by Team Cymru if there is a resolver.

    Spans and metrics go to a collector if there is one.
    """
    warehouse = Warehouse(url, counts=counts)
    set_up_telemetry(Settings(otlp_endpoint=collector))
    settings = Settings(
        geoip_dir=Path(geoip),
        cymru_enabled=resolver is not None,
        cymru_resolver=resolver,
        cymru_max_in_flight=max_in_flight,
        cymru_whois_threshold=0,
    )
    with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
        cascade, ledger = enrichment.cascade, WarehouseCache(warehouse, day=_NOW.date())
        started, cpu_before = perf_counter(), _cpu_seconds()
        with run_span("enrich"):
            report = enrich_addresses(warehouse, cascade, _ALL_DAYS, ledger=ledger, now=_NOW)
        flush_telemetry()
        seconds, cpu_seconds = perf_counter() - started, _cpu_seconds() - cpu_before
    with warehouse.read() as connection:
        known = select(func.count()).select_from(ip_inventory).where(ip_inventory.c.current_asn.is_not(None))
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "addresses": report.addresses_due,
            "addresses_with_asn": connection.execute(known).scalar_one(),
            "networks": connection.execute(select(func.count()).select_from(asn_inventory)).scalar_one(),
        }


def enrich_by_services(*, url: str, servers: dict[str, str], limits: dict[str, str], max_in_flight: int) -> Numbers:
    """Ask services by HTTP about every address of all days, within their limits, and write the inventory."""
    warehouse = Warehouse(url)
    environment = {"COWRIE_CYMRU_ENABLED": "false", "COWRIE_CONTACT": "bench@example.org"}
    environment |= {"COWRIE_GEOIP_DIR": "none", "COWRIE_LISTS_DIR": "none", "COWRIE_LIMITED_MIN_WORTH": "0"}
    for service, server in servers.items():
        of_service = {"URL": server, "KEY": KEY, "LIMITS": limits[service], "MAX_IN_FLIGHT": str(max_in_flight)}
        environment |= {f"COWRIE_{service.upper()}_{name}": value for name, value in of_service.items()}
    settings = Settings.from_environment(environment)
    now = datetime.now(UTC)  # budgets go by the clock
    with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
        cascade, ledger = enrichment.cascade, WarehouseCache(warehouse, day=now.date())
        if cascade.signature != "+".join(servers):
            raise ValueError(f"expected to ask {', '.join(servers)}, found {cascade.signature}")
        started, cpu_before = perf_counter(), _cpu_seconds()
        report = enrich_addresses(warehouse, cascade, _ALL_DAYS, ledger=ledger, now=now)
        seconds, cpu_seconds = perf_counter() - started, _cpu_seconds() - cpu_before
    outcomes = Counter[str]()
    for counts in report.outcomes.values():
        outcomes.update(counts)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "addresses": report.addresses_due,
        "answers": outcomes[Status.HIT] + outcomes[Status.NOT_FOUND],
        "no_answers": outcomes.total() - outcomes[Status.HIT] - outcomes[Status.NOT_FOUND],
    }


def name_server(*, delay_seconds: float, networks: int) -> Numbers:
    """Answer on loopback as Team Cymru does, each question after a delay, until standard input says something."""
    from cowrie_pipeline_tests.contract.name_server import NameServer, Zone

    def answer(name: str) -> list[str | list[str]] | None:
        labels = name.split(".")
        if labels[0].startswith("as"):
            asn = labels[0].removeprefix("as")
            return [f"{asn} | US | arin | 2002-01-04 | AS{asn} - Network {asn}, US"]
        # `d.c.b.a.origin.asn.cymru.com.`
        prefix = ".".join(reversed(labels[1:4]))
        number = 64_000_000 + (int(labels[1]) * 256 + int(labels[2])) % networks
        return [f"{number} | {prefix}.0/24 | US | arin | 1998-09-25"]

    with NameServer(Zone(default=answer, delay_seconds=delay_seconds)) as server:
        print(server.address, flush=True)
        sys.stdin.readline()
    return {"questions": len(server.questions), "max_in_flight": server.max_in_flight}


def fill_cache(*, url: str, entries: int) -> Numbers:
    """Keep an answer about each of many addresses."""
    warehouse = Warehouse(url)
    cache = WarehouseCache(warehouse, day=_NOW.date())
    started = perf_counter()
    for first in range(0, entries, _OUTCOMES_AT_ONCE):
        cache.put_many(
            [
                Outcome(
                    service=_CACHED_SERVICE,
                    key=_cached_key(number),
                    status=Status.HIT,
                    fetched_at=_NOW,
                    expires_at=_NOW + timedelta(days=7),
                    payload={
                        "attacks": number % 1000,
                        "reports": number,
                        "first_report": "2026-01-01",
                        "last_report": "2026-03-01",
                        "asn": 64_000_000 + number % 500,
                        "country": "US",
                        "threat_feeds": ["blocklistde22", "ciarmy"],
                    },
                    response_code=200,
                    latency_ms=50.0,
                )
                for number in range(first, min(entries, first + _OUTCOMES_AT_ONCE))
            ]
        )
    seconds = perf_counter() - started
    if warehouse.dialect == "postgresql":
        # What autovacuum does within a minute or so of such a load; before, each first read of a page also writes it.
        with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE enrichment_cache")
            connection.exec_driver_sql("CHECKPOINT")
    return {"seconds": seconds, "entries": entries}


def read_cache(*, url: str, entries: int, at_once: int, times: int) -> Numbers:
    """Read `at_once` entries of many, drawn anew each time, and say how long a read took: in the middle, and 95 %."""
    cache = WarehouseCache(Warehouse(url), day=_NOW.date())
    random = Random(1)
    draws = [[_cached_key(number) for number in random.sample(range(entries), at_once)] for _ in range(times + 1)]
    seconds = []
    for keys in draws:
        started = perf_counter()
        found = cache.get_many(_CACHED_SERVICE, keys)
        seconds.append(perf_counter() - started)
        if len(found) != at_once:
            raise ValueError(f"expected {at_once} entries, found {len(found)}")
    # without the first, which opens the connection
    parts = quantiles(seconds[1:], n=20)
    return {"median_ms": parts[9] * 1000, "p95_ms": parts[18] * 1000, "reads": times}


def fill_inventory(*, url: str, addresses: int, networks: int) -> Numbers:
    """Make addresses in networks of which nothing is known but what the addresses' documents say."""
    started = perf_counter()
    make_inventory(Warehouse(url), addresses=addresses, networks=networks, first_seen=_ALL_DAYS.start, now=_NOW)
    return {"seconds": perf_counter() - started}


def count_by_network(*, url: str) -> Numbers:
    """Count the addresses of each network, nothing else: what building the inventory of networks is held against."""
    counted = (
        select(ip_inventory.c.current_asn, func.count())
        .where(ip_inventory.c.current_asn.is_not(None))
        .group_by(ip_inventory.c.current_asn)
    )
    with Warehouse(url).read() as connection:
        connection.execute(select(func.count()).select_from(asn_inventory)).all()  # the connection is open now
        started = perf_counter()
        networks = connection.execute(counted).all()
        return {
            "seconds": perf_counter() - started,
            "networks": len(networks),
            "addresses": sum(count for _, count in networks),
        }


def build_networks(*, url: str) -> Numbers:
    """Complete the inventory of networks from the addresses."""
    warehouse = Warehouse(url)
    with warehouse.read() as connection:
        connection.execute(select(func.count()).select_from(asn_inventory)).all()  # the connection is open now
    started, cpu_before = perf_counter(), _cpu_seconds()
    report = build_asn_inventory(warehouse, rules=read_network_rules(), now=_NOW)
    return {
        "seconds": perf_counter() - started,
        "cpu_seconds": _cpu_seconds() - cpu_before,
        "networks": report.networks,
        "organizations": report.organizations,
        "recounted": report.recounted,
    }


def make_sessions(*, url: str, sessions: int, addresses: int, networks: int) -> Numbers:
    """Fill a database with sessions that have no snapshot yet."""
    warehouse = Warehouse(url)
    started = perf_counter()
    fill_sessions(warehouse, MadePlan(sessions, addresses, networks))
    seconds = perf_counter() - started
    _settle(warehouse)
    return {"seconds": seconds}


def snapshots(*, url: str) -> Numbers:
    """Take the snapshots of all sessions, none of which has one."""
    warehouse = Warehouse(url)
    started, cpu_before = perf_counter(), _cpu_seconds()
    with warehouse.begin(lock="facts") as connection:
        report = take_snapshots(connection, MADE_DAYS, now=LOOKED_UP_AT)
    seconds, cpu_seconds = perf_counter() - started, _cpu_seconds() - cpu_before
    _settle(warehouse)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "taken": report.taken, "waiting": report.waiting}


def counts(*, url: str) -> Numbers:
    """Count the sessions of all days, by network and by country."""
    warehouse = Warehouse(url)
    started = perf_counter()
    with warehouse.begin(lock="facts") as connection:
        report = count_sessions(connection, MADE_DAYS)
    seconds = perf_counter() - started
    _settle(warehouse)
    return {"seconds": seconds, "sessions": sum(report.sessions.values())}


def query(*, url: str, kind: str, times: int) -> Numbers:
    """Run every interactive report of a kind over spans of several lengths, and say how long each took in 95 %.

    A report of all days is run over a day, a week, a month and all days, one of a week over weeks, one of a day over
    days, from places drawn anew each time; the length that takes longest counts.
    """
    warehouse = Warehouse(url)
    random = Random(1)
    lengths = {Span.ALL: (1, 7, 30, len(MADE_DAYS)), Span.WEEK: (7,), Span.DAY: (1,), Span.LOOK_UPS: (7,)}
    p95_ms = {}
    for spec in all_reports():
        if spec.interactive != kind:
            continue
        for length in lengths[spec.span]:
            seconds = []
            # without the first, which reads pages that the others find in memory
            for _ in range(times + 1):
                first = MADE_DAYS.first + timedelta(days=random.randrange(len(MADE_DAYS) - length + 1))
                days = DayRange(first, first + timedelta(days=length - 1))
                with warehouse.read() as connection:
                    started = perf_counter()
                    run_report(connection, spec.name, days, limit=20)
                    seconds.append(perf_counter() - started)
            p95_ms[f"{spec.name}, {length} days"] = quantiles(seconds[1:], n=20)[18] * 1000
    return {"p95_ms": p95_ms, "times": times}


def backfilled(*, url: str, state: str) -> Numbers:
    """Count what a backfill came to: days loaded, and the partitions of the asset that has the fewest."""
    home = Path(state) / "dagster"
    os.environ |= {"COWRIE_STATE_DIR": state, "DAGSTER_HOME": str(home)}
    # only here: other tasks do without Dagster, and their memory too
    import dagster as dg

    from cowrie_pipeline.orchestration.build import build_definitions

    graph = build_definitions(Settings(start_date=FIRST_DAY_OF_YEAR)).resolve_asset_graph()
    of_days = [key for key in graph.materializable_asset_keys if graph.get(key).is_partitioned]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        partitions = [len(instance.get_materialized_partitions(key)) for key in of_days]
    warehouse = Warehouse(url)
    with warehouse.read() as connection:
        days, events = connection.execute(select(func.count(), func.sum(loaded_days.c.events))).one()
    return {"assets": len(of_days), "fewest_days": min(partitions), "loaded_days": days, "events": int(events)}


def _settle(warehouse: Warehouse) -> None:
    """Do what autovacuum does within a minute or so of such work."""
    if warehouse.dialect == "postgresql":
        with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


def _cached_key(number: int) -> str:
    return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended; a database server's is not in it.

    Whoever else uses the machine makes work take longer, and hardly costs it more.
    """
    usages = map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


_TASKS: dict[str, Callable[..., Numbers]] = {
    task.__name__: task
    for task in (
        parse_lines,
        load,
        set_up,
        check_fresh,
        read_geoip,
        enrich,
        enrich_by_services,
        name_server,
        fill_cache,
        read_cache,
        fill_inventory,
        count_by_network,
        build_networks,
        make_sessions,
        snapshots,
        counts,
        query,
        backfilled,
        database_size,
        held,
        check_seconds,
        due_seconds,
        steps_taken,
    )
}


def main(arguments: Iterable[str]) -> None:
    """Do the task that is named and print what it counted."""
    name, text = arguments
    print(json.dumps(_TASKS[name](**json.loads(text))))
