"""All metrics as they are now: what batches have counted, and the gauges that are asked for when somebody wants them.

Belongs here: what each gauge is asked with, for how long an answer is kept, and the words of Prometheus for all of it.
Does not belong here: the catalog (observability/instruments.py), counting (the steps), serving (cli/metrics.py).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation, get_meter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from cowrie_pipeline.enrichment.build import lists_configuration
from cowrie_pipeline.enrichment.downloads import read_provenance
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline.observability.instruments import (
    ADDRESSES,
    BUDGET_LIMIT,
    BUDGET_USED,
    BY_RIR,
    CATALOG,
    COVERAGE,
    GEOIP_AGE,
    LAST_SUCCESS,
    LIST_AGE,
    RUNS_IN_PROGRESS,
    SESSIONS,
    SNAPSHOTS,
    TOTAL_COUNT,
    WITH_METADATA,
    Instrument,
    Kind,
)
from cowrie_pipeline.observability.metrics import METER
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import coverage_by_day
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import Counted, read_counts
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import enrichment_budget, loaded_days, step_runs

__all__ = ["Gauges", "PipelineCollector", "runs_unknown"]

# An answer is kept for so many times as long as asking for it took: however large the tables, asking takes no more than
# a twentieth of one connection's time.
_TIMES_AS_LONG = 20
# Coverage is that of the newest days: of all time it would say little, and take long.
_DAYS_COVERED = timedelta(days=14)
# A bucket is a 24th of its window, and counts until its end is a whole window ago (warehouse/allowances.py).
_WINDOW_AND_BUCKET = 25 / 24
_TABLES = {"session_snapshots": "session_summaries"}
# Assets that come out of the work of another's step.
_STEPS_OF_ASSETS = {"asn_inventory": "ip_inventory"}
_WINDOW_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def runs_unknown() -> int | None:
    """Say that nobody knows how many runs are in progress: for where Dagster was never used."""
    return None


class Gauges:
    """The values of some gauges, by instrument and the values of its labels."""

    def __init__(self) -> None:
        self.values: defaultdict[Instrument, dict[tuple[str, ...], float]] = defaultdict(dict)

    def add(self, instrument: Instrument, value: float, **labels: str | None) -> None:
        """Add to a value: what has the same labels once they are bounded is one."""
        of_instrument, key = self.values[instrument], instrument.bounded(labels)
        of_instrument[key] = of_instrument.get(key, 0) + value

    def at_least(self, instrument: Instrument, value: float, **labels: str | None) -> None:
        """Set a value, unless it is greater."""
        of_instrument, key = self.values[instrument], instrument.bounded(labels)
        of_instrument[key] = max(of_instrument.get(key, value), value)


_Ask = Callable[[Connection, Settings, datetime, Gauges], None]


@dataclass(slots=True)
class _Kept:
    """What was asked last, and until when it is good enough, in seconds of the clock."""

    gauges: Gauges = field(default_factory=Gauges)
    until: float = float("-inf")


class PipelineCollector(Collector):
    """All metrics of one database, for a registry of prometheus-client.

    Whoever collects while another does waits for it, and gets what it asked for.

    Args:
        warehouse: the database.
        settings: where GeoIP files and lists are, and for how long gauges are kept.
        runs_in_progress: how many of Dagster's runs have begun and not ended, None where nobody knows.
        clock: seconds, for how long asking takes.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        settings: Settings,
        *,
        runs_in_progress: Callable[[], int | None] = runs_unknown,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._warehouse = warehouse
        self._settings = settings
        self._runs_in_progress = runs_in_progress
        self._clock = clock
        self._guard = Lock()
        self._kept = {ask: _Kept() for ask in _ASKED}

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that wants to know names would ask the database for them."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each instrument of the catalog, with what is known of it.

        Raises:
            WarehouseError: the database cannot be reached.
            DatabaseError: it fails while it is asked.
        """
        now = datetime.now(UTC)
        with self._guard, self._warehouse.read() as connection:
            counts = read_counts(connection)
            values = self._ask(connection, now)
        for instrument in CATALOG:
            if instrument.kind is Kind.GAUGE:
                yield _gauge(instrument, values.get(instrument, {}))
            elif instrument.kind is Kind.COUNTER:
                yield _counter(instrument, counts[instrument])
            else:
                yield _histogram(instrument, counts[instrument])

    def publish(self) -> None:
        """Have OpenTelemetry's SDK ask for the gauges too, whenever it pushes; counters are pushed by who counts."""
        meter = get_meter(METER)
        for instrument in CATALOG:
            if instrument.kind is Kind.GAUGE:
                meter.create_observable_gauge(
                    instrument.name, [partial(self._observe, instrument)], instrument.unit, instrument.help
                )

    def _observe(self, instrument: Instrument, options: CallbackOptions) -> list[Observation]:
        del options
        with self._guard, self._warehouse.read() as connection:
            values = self._ask(connection, datetime.now(UTC))
        return [
            Observation(value, dict(zip(instrument.label_names, labels, strict=True)))
            for labels, value in values.get(instrument, {}).items()
        ]

    def _ask(self, connection: Connection, now: datetime) -> Mapping[Instrument, Mapping[tuple[str, ...], float]]:
        """Return the values of all gauges, and ask for those that are too old."""
        values: dict[Instrument, Mapping[tuple[str, ...], float]] = {}
        for ask, kept in self._kept.items():
            began = self._clock()
            if began >= kept.until:
                gauges = Gauges()
                ask(connection, self._settings, now, gauges)
                ended = self._clock()
                kept.gauges = gauges
                kept.until = ended + max(self._settings.metrics_seconds, _TIMES_AS_LONG * (ended - began))
            values |= kept.gauges.values
        runs = self._runs_in_progress()
        if runs is not None:
            values[RUNS_IN_PROGRESS] = {(): runs}
        return values


def _gauge(instrument: Instrument, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(instrument.family, instrument.help, labels=instrument.label_names)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _counter(instrument: Instrument, series: Mapping[tuple[str, ...], Counted]) -> Metric:
    family = CounterMetricFamily(instrument.family, instrument.help, labels=instrument.label_names)
    if not instrument.labels and not series:
        family.add_metric((), 0)  # so that the first addition is seen as one
    for labels, counted in series.items():
        family.add_metric(labels, counted.number)
    return family


def _histogram(instrument: Instrument, series: Mapping[tuple[str, ...], Counted]) -> Metric:
    family = HistogramMetricFamily(instrument.family, instrument.help, labels=instrument.label_names)
    for labels, counted in series.items():
        # what a bucket of an earlier version holds is in every bucket above its bound
        buckets: list[Any] = [
            (str(bound), sum(number for below, number in counted.buckets.items() if below <= bound))
            for bound in instrument.buckets
        ]
        family.add_metric(labels, [*buckets, ("+Inf", counted.number)], counted.total)
    return family


def _ask_about_sessions(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del settings, now
    for protocol, basis, sessions in connection.exec_driver_sql(_statement(connection, "sessions")):
        gauges.add(SESSIONS, sessions, protocol=protocol)
        gauges.add(SNAPSHOTS, sessions, basis=basis)


def _ask_about_networks(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del settings, now
    gauges.add(TOTAL_COUNT, 0)
    gauges.add(WITH_METADATA, 0)
    for rir, networks, with_metadata in connection.exec_driver_sql(_statement(connection, "networks")):
        gauges.add(TOTAL_COUNT, networks)
        gauges.add(WITH_METADATA, with_metadata)
        gauges.add(BY_RIR, networks, rir=rir)


def _ask_about_addresses(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del settings
    found = connection.execute(with_parameters(_statement(connection, "addresses"), now=now)).one()
    for state, addresses in zip(("total", "stale", "bogon"), found, strict=True):
        gauges.add(ADDRESSES, addresses, state=state)


def _ask_about_coverage(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del settings, now
    last = connection.execute(select(func.max(loaded_days.c.day))).scalar()
    if last is None:
        return
    total, known = Gauges(), Gauges()
    for each in coverage_by_day(connection, DayRange(last - _DAYS_COVERED + timedelta(days=1), last)):
        labels = {"table": _TABLES.get(each.asset, each.asset), "field": each.field}
        total.add(COVERAGE, each.total, **labels)
        known.add(COVERAGE, each.known, **labels)
    for key, rows in total.values[COVERAGE].items():
        if rows:
            gauges.values[COVERAGE][key] = known.values[COVERAGE][key] / rows


def _ask_about_budgets(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    """Say how much of each quota is used that was ever taken of; paces are spent and free again within minutes."""
    del settings
    budget = enrichment_budget.c
    limits: dict[tuple[str, float], int] = {}
    used: defaultdict[tuple[str, float], int] = defaultdict(int)
    for service, seconds, start, calls, limit in connection.execute(
        select(
            budget.service, budget.window_seconds, budget.bucket_start, budget.calls_used, budget.call_limit
        ).order_by(budget.bucket_start)
    ):
        limits[service, seconds] = limit
        if start > now - timedelta(seconds=seconds) * _WINDOW_AND_BUCKET:
            used[service, seconds] += calls
    for (service, seconds), limit in limits.items():
        labels = {"service": service, "window": _window(seconds)}
        gauges.at_least(BUDGET_LIMIT, limit, **labels)
        gauges.at_least(BUDGET_USED, used[service, seconds], **labels)


def _ask_about_steps(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del settings, now
    newest = select(func.max(step_runs.c.step_run_id)).group_by(step_runs.c.step)
    rows = connection.execute(
        select(step_runs.c.step, step_runs.c.started_at, step_runs.c.seconds).where(step_runs.c.step_run_id.in_(newest))
    )
    ended = {step: started_at.timestamp() + seconds for step, started_at, seconds in rows}
    (asset_label,) = LAST_SUCCESS.labels
    for asset in asset_label.values:
        if (at := ended.get(_STEPS_OF_ASSETS.get(asset, asset))) is not None:
            gauges.add(LAST_SUCCESS, at, asset=asset)


def _ask_about_files(connection: Connection, settings: Settings, now: datetime, gauges: Gauges) -> None:
    del connection
    with MaxMindSource(settings.geoip_folder) as source:
        for build in source.builds():
            kind = next((each for each in ("city", "country", "asn") if each in build.kind.lower()), build.kind)
            gauges.at_least(GEOIP_AGE, (now - build.built_at).total_seconds(), file=kind)
    configuration = lists_configuration(settings)
    for published in ALL_LISTS:
        path = configuration.folder_of(published) / published.file.file_name
        if not path.is_file():
            continue
        known = read_provenance(path)
        confirmed_at = (known and known.confirmed_at) or datetime.fromtimestamp(path.stat().st_mtime, UTC)
        gauges.add(LIST_AGE, (now - confirmed_at).total_seconds(), list=published.name)


_ASKED: tuple[_Ask, ...] = (
    _ask_about_sessions,
    _ask_about_networks,
    _ask_about_addresses,
    _ask_about_coverage,
    _ask_about_budgets,
    _ask_about_steps,
    _ask_about_files,
)


def _statement(connection: Connection, name: str) -> str:
    return read_sql(f"metrics/{name}", connection.dialect.name).statement


def _window(seconds: float) -> str:
    """Return a window as a label says it: the largest unit of which it is a whole number."""
    return next((f"{seconds // size:.0f}{unit}" for size, unit in _WINDOW_UNITS if seconds % size == 0), f"{seconds}s")
