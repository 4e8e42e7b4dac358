"""The sensor of log files, and the jobs that go with it: reading what is large, and asking for days again.

Belongs here: what Dagster knows of runs, and how runs are requested.
Does not belong here: which days are wanted (steps/log_watch.py).
"""

import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field
from sqlalchemy.exc import OperationalError

from cowrie_pipeline.orchestration.assets.shared import RETRY, typed_failures
from cowrie_pipeline.orchestration.pools import WAREHOUSE
from cowrie_pipeline.orchestration.processes import end_runs_of_dead_processes
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.log_watch import LogWatch, Request, RunState, WatchReport, want_days, watch_logs
from cowrie_pipeline.steps.scan_logs import FileSpan, plan_reading, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = [
    "BACKFILL_JOB",
    "LOG_SENSOR",
    "READ_LOGS_JOB",
    "BackfillConfig",
    "build_log_sensor",
    "days_under_way",
    "look",
    "run_request",
]

LOG_SENSOR = "log_files"
READ_LOGS_JOB = "read_logs"
BACKFILL_JOB = "backfill"

PARTITION = "dagster/partition"
FIRST_OF_RANGE = "dagster/asset_partition_range_start"
LAST_OF_RANGE = "dagster/asset_partition_range_end"
_RUN_KEY = "dagster/run_key"
_WILL_RETRY = "dagster/will_retry"
# What a worker reads in one step, at least: less is not worth starting the processes that read beside it.
_BYTES_TOGETHER = 256 * 1024 * 1024
_SOON = timedelta(minutes=10)
# A tick has a minute. Whoever writes longer than this is not waited for: the next tick comes soon.
_PATIENCE_SECONDS = 15.0
_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


class BackfillConfig(dg.Config):
    """The days to materialize again."""

    first_day: str = Field(description="First day, such as 2026-03-01.")
    last_day: str = Field(description="Last day, included.")


@dg.op(
    out=dg.DynamicOut(FileSpan),
    retry_policy=RETRY,
    description="Divide the files that have something new into spans, which several workers read; in one process one.",
)
@typed_failures
def plan_reading_op(pipeline: Pipeline) -> Iterator[dg.DynamicOutput[FileSpan]]:
    """Give each span to a step of its own."""
    settings = pipeline.settings
    size = _BYTES_TOGETHER if settings.has_several_workers else None
    spans = plan_reading(pipeline.warehouse, settings.log_paths, size=size)
    for number, files in enumerate(spans, 1):
        yield dg.DynamicOutput(files, mapping_key=f"{number}_of_{len(spans)}")


def _build_read_logs(settings: Settings) -> dg.JobDefinition:
    # several workers read at once; they take turns, a file each, where they write
    @dg.op(pool=None if settings.has_several_workers else WAREHOUSE, retry_policy=RETRY, out=dg.Out(dg.Nothing))
    @typed_failures
    def read_logs_op(context: dg.OpExecutionContext, pipeline: Pipeline, files: FileSpan) -> None:
        """Read what is new in a span of the log files."""
        report = scan_logs(
            pipeline.warehouse,
            pipeline.settings.log_paths,
            settings=pipeline.settings,
            now=datetime.now(UTC),
            files=files,
        )
        for problem in report.problems:
            context.log.warning("%s: %s", problem.path, problem.reason)
        context.add_output_metadata(
            {
                "files": report.files,
                "files_read": report.files_read,
                "lines_read": report.lines_read,
                "events_read": report.events_read,
                "unreadable": [f"{problem.path}: {problem.reason}" for problem in report.problems],
            }
        )

    @dg.job(
        name=READ_LOGS_JOB,
        description="Read new log files and keep their lines by day, when there is too much for the sensor itself.",
    )
    def read_logs() -> None:
        plan_reading_op().map(read_logs_op)

    return read_logs


@dg.op(retry_policy=RETRY, out=dg.Out(dg.Nothing))
@typed_failures
def backfill_op(context: dg.OpExecutionContext, config: BackfillConfig, pipeline: Pipeline) -> None:
    """Ask for the days; the log sensor starts the runs, some days each, and starts those again that fail."""
    first, last = date.fromisoformat(config.first_day), date.fromisoformat(config.last_day)
    days = DayRange(max(first, pipeline.settings.start_date), min(last, datetime.now(UTC).date()))
    asked = want_days(pipeline.warehouse, days)
    context.log.info("asked for %d of the %d days from %s to %s", asked, len(days), days.first, days.last)
    context.add_output_metadata({"days": len(days), "days_asked_for": asked})


@dg.job(
    name=BACKFILL_JOB,
    description=(
        "Materialize a range of days again, however long: the log sensor starts a run for every 31 days, a few at a "
        "time, and starts again what failed."
    ),
)
def backfill() -> None:
    """Ask for days."""
    backfill_op()


def build_log_sensor(daily_job: Any, settings: Settings) -> dg.SensorDefinition:
    """Return the sensor; it runs as soon as Dagster's daemon does, and has nothing to do where COWRIE_LOGS is not set.

    Args:
        daily_job: the job of all assets of days.
        settings: of which the interval is used, and whether there are several workers; all others are read anew at
            each look.
    """

    def log_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        try:
            report = look(context.instance, Settings.from_environment(), now=now, cursor=context.cursor or "")
        except OperationalError as error:
            if not _is_lock(error):
                raise
            return dg.SkipReason("another process writes to the database for long: looked at again at the next tick")
        for day in report.given_up:
            context.log.warning(
                "%s failed too often and is not tried again until lines come for it; after mending the cause, start "
                "the job %s for it",
                day,
                BACKFILL_JOB,
            )
        requests = [run_request(daily_job.name, request) for request in report.requests]
        if report.unread:
            requests.append(dg.RunRequest(run_key=f"read at={now.isoformat()}", job_name=READ_LOGS_JOB))
        if not requests:
            return dg.SensorResult(skip_reason=_why_nothing(report), cursor=report.cursor)
        return dg.SensorResult(run_requests=requests, cursor=report.cursor)

    # of a parameter that Dagster itself gives, and again whenever it copies the sensor
    warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDef", category=dg.BetaWarning)
    return dg.sensor(
        name=LOG_SENSOR,
        jobs=[daily_job, _build_read_logs(settings)],
        minimum_interval_seconds=settings.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the days whose log lines are new, grew or came late, however long past, each once.",
    )(log_files)


def look(instance: dg.DagsterInstance, settings: Settings, *, now: datetime, cursor: str = "") -> WatchReport:
    """Look at the log files once, with what `instance` knows of runs."""
    warehouse = Warehouse.of(settings, patience_seconds=_PATIENCE_SECONDS)
    try:
        if not settings.log_paths and warehouse.is_missing:
            return WatchReport(cursor=cursor)
        upgrade_schema(warehouse)
        end_runs_of_dead_processes(instance)
        under_way = list(instance.get_runs(filters=dg.RunsFilter(statuses=list(_UNDER_WAY))))
        runs = LogWatch(
            state_of=lambda key: _state_of(instance, key, now),
            busy=days_under_way(under_way),
            is_reading=any(run.job_name == READ_LOGS_JOB for run in under_way),
        )
        return watch_logs(warehouse, settings, runs, now=now, cursor=cursor)
    finally:
        warehouse.dispose()


def run_request(job: str, request: Request) -> dg.RunRequest:
    """Return the request for one run of one or several days."""
    days = request.days
    if len(days) == 1:
        return dg.RunRequest(run_key=request.run_key, job_name=job, partition_key=days.first.isoformat())
    tags = {FIRST_OF_RANGE: days.first.isoformat(), LAST_OF_RANGE: days.last.isoformat()}
    return dg.RunRequest(run_key=request.run_key, job_name=job, tags=tags)


def days_under_way(runs: Iterable[dg.DagsterRun]) -> frozenset[date]:
    """Return the days that these runs materialize, whoever started them."""
    days: set[date] = set()
    for run in runs:
        first = run.tags.get(FIRST_OF_RANGE) or run.tags.get(PARTITION)
        last = run.tags.get(LAST_OF_RANGE) or first
        if first and last:
            days.update(DayRange(date.fromisoformat(first), date.fromisoformat(last)))
    return frozenset(days)


def _state_of(instance: dg.DagsterInstance, run_key: str, now: datetime) -> RunState:
    """Return what became of the run with a key, or of the last that Dagster made of it by itself."""
    records = instance.get_run_records(filters=dg.RunsFilter(tags={_RUN_KEY: run_key}))
    if not records:
        return RunState.MISSING
    statuses = {record.dagster_run.status for record in records}
    if dg.DagsterRunStatus.SUCCESS in statuses:
        return RunState.SUCCEEDED
    if statuses & set(_UNDER_WAY):
        return RunState.UNDER_WAY
    newest = records[0]
    if newest.dagster_run.status is dg.DagsterRunStatus.NOT_STARTED:
        will_start = len(records) > 1
    else:
        will_start = newest.dagster_run.tags.get(_WILL_RETRY) == "true"
    # a run that was interrupted Dagster itself starts once more, within a minute
    if will_start and now - newest.update_timestamp < _SOON:
        return RunState.UNDER_WAY
    return RunState.MISSING if len(records) == 1 and not newest.dagster_run.is_finished else RunState.FAILED


def _is_lock(error: OperationalError) -> bool:
    return "database is locked" in str(error.orig)


def _why_nothing(report: WatchReport) -> str:
    if report.read is not None and report.read.files_read:
        return f"read {report.read.events_read} new events; none of a day that is asked for now"
    return "nothing new in the log files"
