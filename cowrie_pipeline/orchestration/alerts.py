"""Sensors that tell people of trouble: what ended runs say, what the database shows, which sensors fell silent.

Both look at what Dagster has written down, and are not `run_status_sensor`s: those count a run as handled also where
telling of it failed, and see failures and successes apart, in no order. What is told twice changes nothing
(steps/alerts/rules.py), so that a run is rather looked at once more than not at all.

Belongs here: reading Dagster's instance. Does not belong here: what is trouble, and what is announced (steps/alerts/).
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

import dagster as dg

from cowrie_pipeline.enrichment.clock import utc_now
from cowrie_pipeline.orchestration.assets.shared import cause_of
from cowrie_pipeline.settings import ReceiverSettings, Settings, read_receivers
from cowrie_pipeline.steps.alerts.conditions import SensorState, silent_sensors
from cowrie_pipeline.steps.alerts.delivery import deliver
from cowrie_pipeline.steps.alerts.redaction import shown_columns_and_rows
from cowrie_pipeline.steps.alerts.runs import Evaluation, FailedStep, RunEnd
from cowrie_pipeline.steps.alerts.watch import note_conditions, note_runs
from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = [
    "RUNS_SENSOR",
    "WATCH_SENSOR",
    "RunsCursor",
    "build_alert_sensors",
    "days_of_run",
    "ended_runs",
    "read_run",
    "utc",
]

RUNS_SENSOR = "alerts_from_runs"
WATCH_SENSOR = "alerts_watch"

_INTERVAL_SECONDS = 30
# Together, and with the last message that is begun, far below the minute after which Dagster gives up on a tick.
_READING_SECONDS = 10.0
_DELIVERY_SECONDS = 10.0
_RUNS_AT_ONCE = 50
# How far back runs are looked at where nothing was looked at before.
_FIRST_LOOK_BACK = timedelta(days=1)
# A run may be written down as ended a little after a later one.
_OVERLAP = timedelta(minutes=10)
_EVENTS_AT_ONCE = 1000
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
}
# A sensor of which all of these failed has not ticked well for that long at least.
_TICKS_LOOKED_AT = 100
_WELL = ("SUCCESS", "SKIPPED")
_NEVER = datetime.min.replace(tzinfo=UTC)
_FAILED_CHECK = "DagsterAssetCheckFailedError"
_SEVERITIES = {dg.AssetCheckSeverity.ERROR: Severity.ERROR, dg.AssetCheckSeverity.WARN: Severity.WARN}
_NOBODY = (
    "nobody is to be told: COWRIE_ALERTS_FILE is not set or names no [[receiver]] (docs/alerts.md says how to set it)"
)


@dataclass(frozen=True, slots=True)
class RunsCursor:
    """Up to when ended runs were looked at, and which of the newest."""

    until: datetime
    seen: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str | None, *, now: datetime) -> "RunsCursor":
        """Read a cursor; begin a day ago where there is none, or one that is not ours."""
        try:
            found = json.loads(text or "")
            return cls(datetime.fromisoformat(found["until"]), frozenset(found["seen"]))
        except (ValueError, TypeError, KeyError):
            return cls(now - _FIRST_LOOK_BACK)

    def __str__(self) -> str:
        """Return what `read` reads."""
        return json.dumps({"until": self.until.isoformat(), "seen": sorted(self.seen)})


def build_alert_sensors() -> list[dg.SensorDefinition]:
    """Return both sensors. They run by default, and do nothing while no receiver is named."""

    @dg.sensor(
        name=RUNS_SENSOR,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tell people of checks and runs that failed, once, and when they are well again.",
    )
    def alerts_from_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings, receivers = _read_settings()
        if not receivers:
            return dg.SkipReason(_NOBODY)
        now = utc_now()
        runs, cursor = ended_runs(context.instance, RunsCursor.read(context.cursor, now=now))
        with _opened(settings) as warehouse:
            noted = note_runs(warehouse, runs, settings, receivers, now=now)
            # whatever becomes of the delivery: what is noted waits in the database
            context.update_cursor(str(cursor))
            report = deliver(warehouse, receivers, clock=utc_now, seconds=_DELIVERY_SECONDS)
        return dg.SkipReason(f"{len(runs)} runs looked at, {noted.messages} messages written, {report}")

    @dg.sensor(
        name=WATCH_SENSOR,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Tell people of days that are late, a database that goes stale, budgets nearly spent and sensors that "
            "fell silent; remind of what lasts; send again what could not be delivered."
        ),
    )
    def alerts_watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings, receivers = _read_settings()
        if not receivers:
            return dg.SkipReason(_NOBODY)
        now = utc_now()
        since = _watched_since(context, now=now)
        silent = silent_sensors(
            _sensor_states(context),
            watched_since=since,
            silent_after=timedelta(minutes=settings.alert_silent_minutes),
            now=now,
        )
        with _opened(settings) as warehouse:
            noted = note_conditions(warehouse, settings, receivers, sensors=silent, now=now)
            context.update_cursor(json.dumps({"since": since.isoformat(), "at": now.isoformat()}))
            report = deliver(warehouse, receivers, clock=utc_now, seconds=_DELIVERY_SECONDS)
        return dg.SkipReason(f"{noted.messages} messages written, {report}")

    return [alerts_from_runs, alerts_watch]


def _read_settings() -> tuple[Settings, tuple[ReceiverSettings, ...]]:
    settings = Settings.from_environment()
    return settings, read_receivers(settings)


@contextmanager
def _opened(settings: Settings) -> Iterator[Warehouse]:
    warehouse = Warehouse.of(settings)
    try:
        upgrade_schema(warehouse)
        yield warehouse
    finally:
        warehouse.dispose()


def ended_runs(instance: dg.DagsterInstance, cursor: RunsCursor) -> tuple[list[RunEnd], RunsCursor]:
    """Return runs that have ended and were not looked at, the first to end first, and the next cursor.

    It returns some at a time: whoever wants all asks until there are none.
    """
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=_ENDED, updated_after=cursor.until - _OVERLAP),
        order_by="update_timestamp",
        ascending=True,
    )
    new = [record for record in records if record.dagster_run.run_id not in cursor.seen][:_RUNS_AT_ONCE]
    runs: list[RunEnd] = []
    deadline = monotonic() + _READING_SECONDS
    for record in new:
        # one at least, so that it goes on
        if runs and monotonic() > deadline:
            break
        runs.append(read_run(instance, record))
    new = new[: len(runs)]
    until = max((utc(record.update_timestamp) for record in new), default=cursor.until)
    until = max(until, cursor.until)
    looked_at = cursor.seen | {record.dagster_run.run_id for record in new}
    # what the next query cannot return need not be remembered
    seen = frozenset(
        record.dagster_run.run_id
        for record in records
        if record.dagster_run.run_id in looked_at and utc(record.update_timestamp) >= until - _OVERLAP
    )
    return runs, RunsCursor(until, seen)


def read_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunEnd:
    """Return what Dagster has written down of a run that has ended."""
    run = record.dagster_run
    evaluations: list[Evaluation] = []
    failed: list[FailedStep] = []
    planned: dict[str, list[str]] = {}
    succeeded: dict[str, None] = {}
    stopped = False
    for entry in _events_of(instance, run.run_id):
        event, at = entry.get_dagster_event(), datetime.fromtimestamp(entry.timestamp, UTC)
        step = event.step_key or ""
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluations.append(_evaluation(event.asset_check_evaluation_data, at))
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
            planned.setdefault(step, []).append(event.asset_materialization_planned_data.asset_key.to_user_string())
        elif event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            succeeded[step] = None
        else:
            error = event.step_failure_data.error
            cause = None if error is None else cause_of(error)
            if error is not None and _FAILED_CHECK in (error.cls_name, cause and cause.cls_name):
                stopped = True
            else:
                failed.append(FailedStep(step, (cause and cause.cls_name) or "unknown", at))
    assets_of: dict[str, list[str]] = {}
    for step, assets in planned.items():
        assets_of.setdefault(step.partition(".")[0], []).extend(assets)
    return RunEnd(
        run_id=run.run_id,
        job=run.job_name,
        days=days_of_run(run.tags),
        succeeded=run.status == dg.DagsterRunStatus.SUCCESS,
        ended_at=datetime.fromtimestamp(record.end_time, UTC) if record.end_time else utc(record.update_timestamp),
        evaluations=tuple(evaluations),
        failed_steps=tuple(failed),
        unfinished=tuple(dict.fromkeys(step for step in planned if step and step not in succeeded)),
        succeeded_steps=tuple(succeeded),
        assets_of={step: sorted(set(assets)) for step, assets in assets_of.items()},
        a_check_stopped_it=stopped,
    )


def _events_of(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.EventLogEntry]:
    """Yield a run's events of the kinds that matter; the one way that works on every storage."""
    cursor, has_more = None, True
    while has_more:
        page = instance.get_records_for_run(run_id, cursor, of_type=_EVENTS, limit=_EVENTS_AT_ONCE)
        yield from (record.event_log_entry for record in page.records)
        cursor, has_more = page.cursor, page.has_more


def _evaluation(found: dg.AssetCheckEvaluation, at: datetime) -> Evaluation:
    counted = found.metadata.get("rows_at_fault")
    first_rows = found.metadata.get("first_rows")
    columns: Sequence[str] = ()
    rows: list[list[Any]] = []
    if isinstance(first_rows, dg.TableMetadataValue):
        columns = [column.name for column in first_rows.schema.columns]
        rows = [[record.data.get(column) for column in columns] for record in first_rows.records]
    shown_columns, shown_rows = shown_columns_and_rows(columns, rows)
    return Evaluation(
        asset=found.asset_key.to_user_string(),
        check=found.check_name,
        passed=found.passed,
        severity=_SEVERITIES[found.severity],
        at=at,
        rows_at_fault=counted.value if isinstance(counted, dg.IntMetadataValue) else None,
        columns=shown_columns,
        rows=shown_rows,
    )


def days_of_run(tags: Any) -> DayRange | None:
    """Return the days that a run was started for; None for one without partitions of days."""
    day = tags.get("dagster/partition")
    first = tags.get("dagster/asset_partition_range_start", day)
    last = tags.get("dagster/asset_partition_range_end", day)
    try:
        return DayRange(date.fromisoformat(first), date.fromisoformat(last))
    except (TypeError, ValueError):
        return None


def utc(at: datetime) -> datetime:
    """Return a time of Dagster's storage, which may lack its zone, in UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _watched_since(context: dg.SensorEvaluationContext, *, now: datetime) -> datetime:
    """Return since when this sensor has ticked without a long gap."""
    try:
        found = json.loads(context.cursor or "")
        since, at = datetime.fromisoformat(found["since"]), datetime.fromisoformat(found["at"])
    except (ValueError, TypeError, KeyError):
        return now
    return since if now - at <= timedelta(seconds=10 * _INTERVAL_SECONDS) else now


def _sensor_states(context: dg.SensorEvaluationContext) -> list[SensorState]:
    """Return the sensors of this code location that are switched on."""
    if context.repository_def is None:
        return []
    names = {sensor.name for sensor in context.repository_def.sensor_defs}
    found: dict[str, SensorState] = {}
    for state in context.instance.all_instigator_state():
        if state.instigator_type.value != "SENSOR" or state.name not in names or not state.is_running:
            continue
        ticks = context.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS_LOOKED_AT)
        well_at = max((tick.timestamp for tick in ticks if tick.status.value in _WELL), default=None)
        interval = getattr(state.instigator_data, "min_interval", None)
        of_state = SensorState(
            name=state.name,
            interval=timedelta(seconds=interval or _INTERVAL_SECONDS),
            well_at=None if well_at is None else datetime.fromtimestamp(well_at, UTC),
        )
        known = found.get(state.name)
        # of a sensor that was loaded from several places the one that ticks counts
        if known is None or (of_state.well_at or _NEVER) > (known.well_at or _NEVER):
            found[state.name] = of_state
    return list(found.values())
