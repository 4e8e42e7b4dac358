"""The figures: what is measured, against which reference, and what it has to reach.

Belongs here: one function for each row of the table of targets. Does not belong here: the measured work (tasks.py),
how it is shown (__main__.py).
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.databases import Databases
from benchmarks.inputs import FIRST_DAY_OF_YEAR, YEAR_DAYS, Inputs, contiguous_real_days, day_of
from benchmarks.measure import Measured, MeasureError, run_command, run_task, serving
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.collector import take_telemetry
from cowrie_pipeline_tests.contract.http_process import served_elsewhere

__all__ = ["FIGURES", "Bench", "Row", "Skipped", "Target", "installed"]

_PROJECT = Path(__file__).resolve().parents[1]
_EVENTS = 1_000_000
_ADDRESSES_TO_ENRICH = 100_000
_ADDRESSES_TO_CHECK = 300_000
_ADDRESSES_TO_ASK = 10_000
_DNS_DELAY_SECONDS = 0.02
_DNS_NETWORKS = 500
_DNS_IN_FLIGHT = 200
_ADDRESSES_TO_ASK_SERVICES = 5_000
_HTTP_DELAY_SECONDS = 0.05
_HTTP_IN_FLIGHT = 100
_SERVICES = {
    "greynoise": services.greynoise,
    "dshield": services.dshield,
    "urlhaus": services.urlhaus,
    "abuseipdb": services.abuseipdb,
}
# calls in so many seconds
_PACE = (2_000, 5)
_NETWORK_ADDRESSES = 1_680_000
_NETWORKS = 5_432
_REAL_DAYS = 30
_ASSETS_OF_DAYS = (
    "raw_sessions",
    "ip_inventory",
    "asn_inventory",
    "session_snapshots",
    "asn_session_counts",
    "file_reputation",
    "password_exposure",
    "attack_report",
)
# Half a second for each day: eight assets, a page, all checks, and 16 records of Dagster's, each its own commit.
_BACKFILL_SECONDS = YEAR_DAYS / 2
# Dagster holds what it noted of 2,920 materializations, and two processes fold lines beside it.
_BACKFILL_MB = 500
# how often work is measured with and without telemetry, in turns: what else the machine does adds, and never takes away
_TELEMETRY_ROUNDS = 5
_TELEMETRY_EVENTS = 300_000
_SESSIONS, _ADDRESSES_OF_SESSIONS, _NETWORKS_OF_SESSIONS = 1_680_000, 300_000, 15_000
_SNAPSHOT_SECONDS = 60
# by which columns, and the milliseconds that 95 % of the queries have to keep below
_QUERIES = {"snapshot": ("snapshot columns", 50), "join": ("joins", 250)}
_QUERY_TIMES = 20
_CACHE_ENTRIES = 1_000_000
# how many entries at once, how often, and the milliseconds that 95 % of the reads have to keep below
_CACHE_READS = ((1, 2_000, 1), (10_000, 60, 100))


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure has to reach, in words, and whether it did."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure beside its reference. `ratio` is what the target speaks of, and `ratio_of` says of what."""

    figure: str
    database: str
    value: float
    unit: str
    reference: float | None
    reference_unit: str
    ratio: float | None
    ratio_of: str
    targets: tuple[Target, ...]
    peak_mb: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether every target was reached."""
        return all(target.met for target in self.targets)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that could not be measured here, and why."""

    figure: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bench:
    """What the figures share: where input and databases come from, and how much is measured.

    `full` measures memory with as many events as the table of targets names; without it, with a tenth of them.
    """

    folder: Path
    inputs: Inputs
    databases: Databases
    full: bool


def load_logs(bench: Bench, dialect: str) -> Iterator[Row]:
    """Load logs into an empty database, then the same logs again; plain and compressed."""
    for compress in (False, True):
        kind = ".gz" if compress else "plain"
        logs = str(bench.inputs.logs(_EVENTS, compress=compress))
        with bench.databases.fresh(dialect) as url:
            before = run_task("parse_lines", logs=logs).result
            first = run_task("load", url=url, logs=logs)
            after = run_task("parse_lines", logs=logs).result
            again = run_task("load", url=url, logs=logs)
        loaded = first.result
        # the faster of two, so that whoever else uses the machine does not lower the mark
        parsed = before["lines"] / min(before["seconds"], after["seconds"])
        speed = loaded["events"] / loaded["seconds"]
        yield Row(
            figure=f"load logs, {kind}",
            database=dialect,
            value=speed,
            unit="events/s",
            reference=parsed,
            reference_unit="lines/s read and parsed",
            ratio=speed / parsed,
            ratio_of="reference's speed",
            targets=(Target("at least 0.25", speed / parsed >= 0.25),),
            peak_mb=first.peak_mb,
            details={
                name: loaded[name]
                for name in ("events", "sessions", "seconds", "scan_seconds", "sessions_seconds", "cpu_seconds")
            },
        )
        ratio = again.result["seconds"] / loaded["seconds"]
        yield Row(
            figure=f"load again, {kind}",
            database=dialect,
            value=again.result["seconds"],
            unit="s",
            reference=loaded["seconds"],
            reference_unit="s for the first load",
            ratio=ratio,
            ratio_of="first load's time",
            targets=(Target("under 0.05", ratio < 0.05),),
            peak_mb=again.peak_mb,
        )


def load_memory(bench: Bench, dialect: str) -> Iterator[Row]:
    """Load ten times as much and see how much more memory it takes."""
    many = _EVENTS * 10 if bench.full else _EVENTS
    few, much = (_load_once(bench, dialect, events) for events in (many // 10, many))
    ratio = much.peak_mb / few.peak_mb
    yield Row(
        figure=f"memory of loading {much.result['events']:,} events",
        database=dialect,
        value=much.peak_mb,
        unit="MB",
        reference=few.peak_mb,
        reference_unit="MB for a tenth of them",
        ratio=ratio,
        ratio_of="memory for a tenth",
        targets=(Target("at most 1.5", ratio <= 1.5), Target("under 400 MB", much.peak_mb < 400)),
        peak_mb=much.peak_mb,
        details={"events": much.result["events"], "seconds": much.result["seconds"]},
    )


def _load_once(bench: Bench, dialect: str, events: int) -> Measured:
    logs = str(bench.inputs.logs(events))
    with bench.databases.fresh(dialect) as url:
        return run_task("load", url=url, logs=logs)


def check_fresh(bench: Bench, dialect: str) -> Iterator[Row]:
    """Find that no address is due, where all were enriched just before."""
    visits, geoip = str(bench.inputs.visits(_ADDRESSES_TO_CHECK)), str(bench.inputs.geoip)
    with bench.databases.fresh(dialect) as url:
        run_task("load", url=url, logs=visits)
        run_task("enrich", url=url, geoip=geoip, resolver=None, max_in_flight=_DNS_IN_FLIGHT)
        checked = run_task("check_fresh", url=url, geoip=geoip)
    found = checked.result
    if found["due"]:
        raise MeasureError(f"expected no address to be due after all were enriched, found {found['due']}")
    yield Row(
        figure=f"find {found['addresses']:,} addresses fresh",
        database=dialect,
        value=found["seconds"],
        unit="s",
        reference=None,
        reference_unit="",
        ratio=None,
        ratio_of="",
        targets=(Target("one statement", found["statements"] == 1), Target("under 1 s", found["seconds"] < 1)),
        peak_mb=checked.peak_mb,
        details={"statements": found["statements"], "addresses_per_second": found["addresses"] / found["seconds"]},
    )


def enrich_by_maxmind(bench: Bench, dialect: str) -> Iterator[Row]:
    """Look up new addresses in made databases and write both inventories."""
    visits, geoip = str(bench.inputs.visits(_ADDRESSES_TO_ENRICH)), str(bench.inputs.geoip)
    asked = bench.folder / "addresses.txt"
    asked.write_text("\n".join(bench.inputs.addresses(_ADDRESSES_TO_ENRICH)), encoding="ascii")
    with bench.databases.fresh(dialect) as url:
        run_task("load", url=url, logs=visits)
        before = run_task("read_geoip", geoip=geoip, addresses=str(asked)).result
        enriched = run_task("enrich", url=url, geoip=geoip, resolver=None, max_in_flight=_DNS_IN_FLIGHT)
        after = run_task("read_geoip", geoip=geoip, addresses=str(asked)).result
    done = enriched.result
    if not before["addresses"] == done["addresses"] == done["addresses_with_asn"]:
        raise MeasureError(f"expected an ASN for each of {before['addresses']} addresses, found {done}")
    read = before["addresses"] / min(before["seconds"], after["seconds"])
    speed = done["addresses"] / done["seconds"]
    yield Row(
        figure="enrich by MaxMind",
        database=dialect,
        value=speed,
        unit="addresses/s",
        reference=read,
        reference_unit="addresses/s read by geoip2",
        ratio=speed / read,
        ratio_of="reference's speed",
        targets=(Target("at least 0.25", speed / read >= 0.25),),
        peak_mb=enriched.peak_mb,
        details={name: done[name] for name in ("addresses", "networks", "seconds", "cpu_seconds")},
    )


def enrich_by_cymru(bench: Bench, dialect: str) -> Iterator[Row]:
    """Look up new addresses by DNS, at a server on loopback that takes its time, and write both inventories."""
    visits = str(bench.inputs.visits(_ADDRESSES_TO_ASK))
    nothing = bench.folder / "no-geoip"
    nothing.mkdir(exist_ok=True)
    with (
        bench.databases.fresh(dialect) as url,
        serving("name_server", delay_seconds=_DNS_DELAY_SECONDS, networks=_DNS_NETWORKS) as server,
    ):
        run_task("load", url=url, logs=visits)
        enriched = run_task(
            "enrich", url=url, geoip=str(nothing), resolver=server.address, max_in_flight=_DNS_IN_FLIGHT
        )
        asked = server.stop()
    done = enriched.result
    if done["addresses"] != done["addresses_with_asn"]:
        raise MeasureError(f"expected an ASN for each address, found {done}")
    one_by_one = done["addresses"] * _DNS_DELAY_SECONDS
    times_faster = one_by_one / done["seconds"]
    yield Row(
        figure=f"enrich {done['addresses']:,} by Cymru DNS",
        database=dialect,
        value=done["seconds"],
        unit="s",
        reference=one_by_one,
        reference_unit="s one after another (computed)",
        ratio=times_faster,
        ratio_of="times faster",
        targets=(
            Target("at least 100", times_faster >= 100),
            Target(f"at most {_DNS_IN_FLIGHT} in flight", asked["max_in_flight"] <= _DNS_IN_FLIGHT),
        ),
        peak_mb=enriched.peak_mb,
        details={
            "questions": asked["questions"],
            "max_in_flight": asked["max_in_flight"],
            "networks": done["networks"],
            "cpu_seconds": done["cpu_seconds"],
        },
    )


def enrich_by_services(bench: Bench, dialect: str) -> Iterator[Row]:
    """Ask services by HTTP about new addresses, at servers on loopback that take their time, within limits."""
    addresses = bench.inputs.count(_ADDRESSES_TO_ASK_SERVICES)
    visits = str(bench.inputs.visits(_ADDRESSES_TO_ASK_SERVICES))
    # Each service may be asked so often as there are addresses, and one of them no faster than its pace.
    limits = dict.fromkeys(_SERVICES, (addresses, 3600)) | {"dshield": _PACE}
    with bench.databases.fresh(dialect) as url, ExitStack() as stack:
        run_task("load", url=url, logs=visits)
        served = {
            service: stack.enter_context(served_elsewhere(answer, delay_seconds=_HTTP_DELAY_SECONDS))
            for service, answer in _SERVICES.items()
        }
        enriched = run_task(
            "enrich_by_services",
            url=url,
            servers={service: each.url for service, each in served.items()},
            limits={service: f"{calls}/{seconds}s" for service, (calls, seconds) in limits.items()},
            max_in_flight=_HTTP_IN_FLIGHT,
        )
        stack.close()  # now it is known what arrived
    done = enriched.result
    calls = {service: len(each.arrivals) for service, each in served.items()}
    if set(calls.values()) != {addresses} or done["answers"] != addresses * len(_SERVICES):
        raise MeasureError(f"expected {addresses} answers of each service, found calls {calls} and {done}")
    most = {service: _most_in_any(limits[service][1], each.arrivals) for service, each in served.items()}
    in_flight = max(each.max_in_flight for each in served.values())
    one_by_one = addresses * len(_SERVICES) * _HTTP_DELAY_SECONDS
    yield Row(
        figure=f"ask {len(_SERVICES)} services about {addresses:,}",
        database=dialect,
        value=done["seconds"],
        unit="s",
        reference=one_by_one,
        reference_unit="s one after another (computed)",
        ratio=one_by_one / done["seconds"],
        ratio_of="times faster",
        targets=(
            Target("at least 50 in flight", in_flight >= 50),
            Target("no limit broken", all(most[service] <= limits[service][0] for service in _SERVICES)),
        ),
        peak_mb=enriched.peak_mb,
        details={
            "max_in_flight": in_flight,
            "calls": sum(calls.values()),
            "cpu_seconds": done["cpu_seconds"],
            **{
                f"most_calls_of_{service}_in_{limits[service][1]}_s": f"{most[service]} of {limits[service][0]}"
                for service in _SERVICES
            },
        },
    )


def _most_in_any(seconds: float, times: Sequence[float]) -> int:
    """Return the most of `times`, in seconds and in order, that lie in any span so long."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def read_cache(bench: Bench, dialect: str) -> Iterator[Row]:
    """Read outcomes of look-ups, one and many at once, where a great many are kept."""
    entries = bench.inputs.count(_CACHE_ENTRIES)
    with bench.databases.fresh(dialect) as url:
        filled = run_task("fill_cache", url=url, entries=entries).result
        for at_once, times, limit_ms in _CACHE_READS:
            read = run_task("read_cache", url=url, entries=entries, at_once=min(at_once, entries), times=times)
            p95_ms = read.result["p95_ms"]
            yield Row(
                figure=f"read {at_once:,} of {entries:,} cache entries",
                database=dialect,
                value=p95_ms,
                unit="ms at most in 95 %",
                reference=None,
                reference_unit="",
                ratio=None,
                ratio_of="",
                targets=(Target(f"under {limit_ms} ms", p95_ms < limit_ms),),
                peak_mb=read.peak_mb,
                details={
                    "median_ms": read.result["median_ms"],
                    "reads": read.result["reads"],
                    "kept_per_second": entries / filled["seconds"],
                },
            )


def build_asn_inventory(bench: Bench, dialect: str) -> Iterator[Row]:
    """Complete the inventory of networks from addresses: when every network lacks facts, and when none does."""
    addresses = bench.inputs.count(_NETWORK_ADDRESSES)
    networks = min(bench.inputs.count(_NETWORKS), addresses)
    with bench.databases.fresh(dialect) as url:
        run_task("fill_inventory", url=url, addresses=addresses, networks=networks)
        before = run_task("count_by_network", url=url).result
        first = run_task("build_networks", url=url)
        again = run_task("build_networks", url=url)
        after = run_task("count_by_network", url=url).result
    if first.result["organizations"] != before["networks"] or again.result["recounted"]:
        raise MeasureError(f"expected every network to be completed once, found {first.result}, then {again.result}")
    counted = min(before["seconds"], after["seconds"])
    for figure, built in (("build the ASN inventory", first), ("build it again", again)):
        seconds = built.result["seconds"]
        yield Row(
            figure=f"{figure} from {addresses:,} addresses",
            database=dialect,
            value=seconds,
            unit="s",
            reference=counted,
            reference_unit="s to count addresses by network",
            ratio=seconds / counted,
            ratio_of="times the count",
            targets=(Target("at most 5", seconds / counted <= 5), Target("under 15 s", seconds < 15)),
            peak_mb=built.peak_mb,
            details={name: built.result[name] for name in ("networks", "organizations", "recounted", "cpu_seconds")},
        )


def snapshots_and_queries(bench: Bench, dialect: str) -> Iterator[Row]:
    """Take the snapshots of a great many sessions, then run every interactive report over them."""
    sessions = bench.inputs.count(_SESSIONS)
    with bench.databases.fresh(dialect) as url:
        run_task(
            "make_sessions",
            url=url,
            sessions=sessions,
            addresses=bench.inputs.count(_ADDRESSES_OF_SESSIONS),
            networks=bench.inputs.count(_NETWORKS_OF_SESSIONS),
        )
        taken = run_task("snapshots", url=url)
        counted = run_task("counts", url=url).result
        queried = {kind: run_task("query", url=url, kind=kind, times=_QUERY_TIMES) for kind in _QUERIES}
    done = taken.result
    if sum(done["taken"].values()) != sessions or counted["sessions"] != sessions:
        raise MeasureError(f"expected {sessions} snapshots and sessions counted, found {done} and {counted}")
    yield Row(
        figure=f"take {sessions:,} snapshots",
        database=dialect,
        value=done["seconds"],
        unit="s",
        reference=None,
        reference_unit="",
        ratio=None,
        ratio_of="",
        targets=(Target(f"under {_SNAPSHOT_SECONDS} s", done["seconds"] < _SNAPSHOT_SECONDS),),
        peak_mb=taken.peak_mb,
        details={
            "snapshots_per_second": sessions / done["seconds"],
            "seconds_to_count_all_days": counted["seconds"],
            "cpu_seconds": done["cpu_seconds"],
        },
    )
    for kind, measured in queried.items():
        columns, limit_ms = _QUERIES[kind]
        p95_ms = measured.result["p95_ms"]
        slowest = max(p95_ms, key=p95_ms.__getitem__)
        yield Row(
            figure=f"queries by {columns}",
            database=dialect,
            value=p95_ms[slowest],
            unit="ms at most in 95 %",
            reference=None,
            reference_unit="",
            ratio=None,
            ratio_of="",
            targets=(Target(f"under {limit_ms} ms", p95_ms[slowest] < limit_ms),),
            peak_mb=measured.peak_mb,
            details={"slowest": slowest, "sessions": sessions, **p95_ms},
        )


def cost_of_telemetry(bench: Bench, dialect: str) -> Iterator[Row]:
    """Load logs, and enrich by MaxMind, with and without telemetry; the processor time of our own processes counts.

    With it, counts are kept in the database, and spans and metrics go to a collector on loopback; loading the SDK comes
    before the clock starts, as all imports do.
    """
    logs = str(bench.inputs.logs(_TELEMETRY_EVENTS, compress=False))
    visits, geoip = str(bench.inputs.visits(_ADDRESSES_TO_ENRICH)), str(bench.inputs.geoip)

    def load(url: str, counts: bool, collector: str | None) -> Measured:
        return run_task("load", url=url, logs=logs, counts=counts, collector=collector)

    def enrich(url: str, counts: bool, collector: str | None) -> Measured:
        run_task("load", url=url, logs=visits)
        asking = {"geoip": geoip, "resolver": None, "max_in_flight": 1}
        return run_task("enrich", url=url, **asking, counts=counts, collector=collector)

    for figure, work in (("load logs with telemetry", load), ("enrich by MaxMind with telemetry", enrich)):
        measured: dict[bool, list[Measured]] = {True: [], False: []}
        for number in range(2 * _TELEMETRY_ROUNDS):
            # off, on, on, off: what grows with time is on both sides
            telemetry = number % 4 in (1, 2)
            with (
                bench.databases.fresh(dialect) as url,
                served_elsewhere(take_telemetry, delay_seconds=0) as collector,
            ):
                measured[telemetry].append(work(url, telemetry, collector.url if telemetry else None))
        least = {on: min(each.result["cpu_seconds"] for each in some) for on, some in measured.items()}
        more = least[True] / least[False] - 1
        yield Row(
            figure=figure,
            database=dialect,
            value=least[True],
            unit="s of processor time",
            reference=least[False],
            reference_unit="s without",
            ratio=more,
            ratio_of="more processor time",
            targets=(Target("under 0.01", more < 0.01),),
            peak_mb=max(each.peak_mb for each in measured[True]),
            details={
                f"{'with' if on else 'without'}_{number}": each.result["cpu_seconds"]
                for on, some in measured.items()
                for number, each in enumerate(some, 1)
            },
        )


def materialize_real_days(bench: Bench, dialect: str) -> Iterator[Row | Skipped]:
    """Run the command line over real logs, from nothing to every asset, as a process."""
    try:
        files = contiguous_real_days(_REAL_DAYS)
    except FileNotFoundError as error:
        yield Skipped("materialize 30 real days", str(error))
        return
    state = bench.folder / f"state-{dialect}"
    environment = installed(state, "telemetry: {enabled: false}\n")
    command = [str(Path(sys.executable).with_name("cowrie-pipeline")), "run", "--json"]
    for path in files:
        command += ["--logs", str(path)]
    importing = [sys.executable, "-c", "import dagster"]
    with bench.databases.fresh(dialect) as url:
        command += ["--db", url, "--from", str(day_of(files[0])), "--to", str(day_of(files[-1]))]
        before = run_command(importing, environment=environment)
        done = run_command(command, environment=environment, folder=str(state))
        after = run_command(importing, environment=environment)
    imported = min(before.seconds, after.seconds)
    result = done.result
    yield Row(
        figure=f"materialize {len(result['days'])} real days",
        database=dialect,
        value=done.seconds,
        unit="s",
        reference=imported,
        reference_unit="s for `import dagster`",
        ratio=done.seconds / imported,
        ratio_of="times the import",
        targets=(Target("under 15 s", done.seconds < 15), Target("under 350 MB", done.peak_mb < 350)),
        peak_mb=done.peak_mb,
        details={"events": result["events"], "import_peak_mb": before.peak_mb},
    )


def backfill_a_year(bench: Bench, dialect: str) -> Iterator[Row]:
    """Backfill a year of days in one go by Dagster's own command: one run of all assets of days and their checks."""
    state = bench.folder / f"year-{dialect}"
    environment = installed(state, (_PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
    last = FIRST_DAY_OF_YEAR + timedelta(days=YEAR_DAYS - 1)
    command = [
        str(Path(sys.executable).with_name("dagster")),
        *("asset", "materialize", "--module-name", "cowrie_pipeline.definitions"),
        *("--select", ",".join(_ASSETS_OF_DAYS)),
        *("--partition-range", f"{FIRST_DAY_OF_YEAR}...{last}"),
    ]
    with bench.databases.fresh(dialect) as url:
        environment |= {
            "COWRIE_DB_URL": url,
            "COWRIE_LOGS": str(bench.inputs.year),
            "COWRIE_GEOIP_DIR": str(bench.inputs.geoip),
            "COWRIE_START_DATE": str(FIRST_DAY_OF_YEAR),
        }
        done = run_command(command, environment=environment, folder=str(_PROJECT))
        found = run_task("backfilled", url=url, state=str(state)).result
    if found["fewest_days"] != YEAR_DAYS or found["loaded_days"] != YEAR_DAYS:
        raise MeasureError(f"expected {YEAR_DAYS} days of every asset, found {found}")
    yield Row(
        figure=f"backfill {YEAR_DAYS} days",
        database=dialect,
        value=done.seconds,
        unit="s",
        reference=None,
        reference_unit="",
        ratio=None,
        ratio_of="",
        targets=(
            Target(f"under {_BACKFILL_SECONDS:.0f} s", done.seconds < _BACKFILL_SECONDS),
            Target(f"under {_BACKFILL_MB} MB", done.peak_mb < _BACKFILL_MB),
        ),
        peak_mb=done.peak_mb,
        details={**found, "seconds_a_day": done.seconds / YEAR_DAYS, "cpu_seconds": done.cpu_seconds},
    )


def installed(state: Path, instance: str) -> dict[str, str]:
    """Make a state folder with a Dagster instance, and return an environment that has no settings but these."""
    home = state / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(instance, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COWRIE_", "DAGSTER_"))}
    return inherited | {"COWRIE_OFFLINE": "true", "COWRIE_STATE_DIR": str(state), "DAGSTER_HOME": str(home)}


FIGURES: Mapping[str, Callable[[Bench, str], Iterator[Row | Skipped]]] = {
    "load": load_logs,
    "memory": load_memory,
    "fresh": check_fresh,
    "maxmind": enrich_by_maxmind,
    "cymru": enrich_by_cymru,
    "cascade": enrich_by_services,
    "cache": read_cache,
    "networks": build_asn_inventory,
    "reports": snapshots_and_queries,
    "telemetry": cost_of_telemetry,
    "materialize": materialize_real_days,
    "backfill": backfill_a_year,
}
