"""What is kept how long: details of sessions, and Dagster's own runs. Nothing is removed unless a setting says so.

Belongs here: the job, its schedule, and which of Dagster's runs are removed.
Does not belong here: which rows of the pipeline's tables are (steps/retention.py).
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from cowrie_pipeline.orchestration.assets.shared import RETRY, typed_failures
from cowrie_pipeline.orchestration.pools import WAREHOUSE
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.attack_page import renew_retired_pages
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.retention import drop_old_details

__all__ = ["RETENTION_JOB", "DroppedRuns", "build_retention", "drop_old_runs"]

RETENTION_JOB = "retention"

_RUNS_AT_ONCE = 100
# What is left then goes the next night.
_MOST_RUNS = 5_000
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class DroppedRuns:
    """How many runs were removed with their events, and how many materializations were kept without their run."""

    runs: int = 0
    materializations_kept: int = 0


def drop_old_runs(instance: dg.DagsterInstance, *, before: datetime, at_most: int = _MOST_RUNS) -> DroppedRuns:
    """Remove runs that ended before a time, with their events and files.

    With a run Dagster forgets what it materialized, and would show those partitions as missing. So the newest
    materialization of each partition is reported again, without a run, before its run is removed.
    """
    runs = kept = 0
    filters = dg.RunsFilter(statuses=_ENDED, updated_before=before)
    while runs < at_most:
        some = instance.get_runs(filters=filters, limit=min(_RUNS_AT_ONCE, at_most - runs))
        if not some:
            break
        for run in some:
            for materialization in _newest_of_their_partition(instance, run.run_id):
                instance.report_runless_asset_event(materialization)
                kept += 1
            instance.delete_run(run.run_id)
            _remove_files(instance, run.run_id)
            runs += 1
    return DroppedRuns(runs, kept)


def _remove_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove what Dagster leaves on disk of a run that it was told to delete.

    That is what its steps printed and handed to each other, and on SQLite its own database, which is emptied and
    otherwise stays as large as it was.
    """
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    # only the storage on SQLite has it
    path_of_run = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of_run is not None:
        database = path_of_run(run_id)
        # the write-ahead log first: alone it is nothing, and beside another database it would be taken for that one's
        for path in (f"{database}-wal", f"{database}-shm", database):
            Path(path).unlink(missing_ok=True)


def _newest_of_their_partition(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.AssetMaterialization]:
    cursor = None
    while True:
        found = instance.get_records_for_run(run_id, cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        for record in found.records:
            made = record.event_log_entry.asset_materialization
            if made is None:
                continue
            newest = instance.fetch_materializations(
                dg.AssetRecordsFilter(
                    asset_key=made.asset_key,
                    asset_partitions=None if made.partition is None else [made.partition],
                ),
                limit=1,
            ).records
            if newest and newest[0].run_id == run_id:
                at = datetime.fromtimestamp(record.event_log_entry.timestamp, UTC)
                rows = {name: value for name, value in made.metadata.items() if name == "dagster/row_count"}
                yield dg.AssetMaterialization(
                    made.asset_key,
                    partition=made.partition,
                    description=f"Materialized at {at:%Y-%m-%d %H:%M} UTC by a run that was removed since.",
                    metadata={**rows, "materialized_at": dg.MetadataValue.timestamp(at)},
                )
        if not found.has_more:
            return
        cursor = found.cursor


@dg.op(
    pool=WAREHOUSE,
    retry_policy=RETRY,
    out=dg.Out(dg.Nothing),
    description="Remove the details of sessions that are older than COWRIE_KEEP_DETAIL_DAYS; all counts stay.",
)
@typed_failures
def drop_old_details_op(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Remove old details, if that is set."""
    keep_days = pipeline.settings.keep_detail_days
    if keep_days is None:
        context.log.info("COWRIE_KEEP_DETAIL_DAYS is not set: all details are kept")
        return
    with journaled(pipeline.warehouse, RETENTION_JOB, None) as entry:
        now = datetime.now(UTC)
        report = drop_old_details(pipeline.warehouse, keep_days=keep_days, now=now)
        # pages show details too, also those of days that were retired before the pages could be written anew
        renewed = renew_retired_pages(pipeline.warehouse, pipeline.settings, now=now)
        if not report.is_empty or renewed:
            entry.report = {
                "days": [day.isoformat() for day in report.days],
                "removed": dict(report.removed),
                "dead_letter_samples": report.samples,
                "pages": len(renewed),
            }
    context.add_output_metadata(
        {
            "days": [day.isoformat() for day in report.days],
            "removed": dict(report.removed),
            "dead_letter_samples": report.samples,
            "pages": len(renewed),
            "seconds": round(entry.seconds, 4),
        }
    )


@dg.op(
    ins={"after": dg.In(dg.Nothing)},
    retry_policy=RETRY,
    out=dg.Out(dg.Nothing),
    description="Remove Dagster's runs that ended longer than COWRIE_KEEP_RUN_DAYS ago, with their events.",
)
@typed_failures
def drop_old_runs_op(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Remove old runs, if that is set."""
    keep_days = pipeline.settings.keep_run_days
    if keep_days is None:
        context.log.info("COWRIE_KEEP_RUN_DAYS is not set: all runs are kept")
        return
    with journaled(pipeline.warehouse, "retention_of_runs", None) as entry:
        report = drop_old_runs(context.instance, before=datetime.now(UTC) - timedelta(days=keep_days))
        if report.runs:
            entry.report = {"runs": report.runs, "materializations_kept": report.materializations_kept}
    context.add_output_metadata(
        {
            "runs": report.runs,
            "materializations_kept": report.materializations_kept,
            "seconds": round(entry.seconds, 4),
        }
    )


@dg.job(
    name=RETENTION_JOB,
    description="Remove details of sessions and runs of Dagster that are older than the settings say; report how much.",
)
def retention() -> None:
    """Remove what is too old."""
    drop_old_runs_op(drop_old_details_op())


def build_retention() -> dg.ScheduleDefinition:
    """Return the schedule of the job, after that of the memory of look-ups; the job comes along with it."""
    return dg.ScheduleDefinition(
        job=retention,
        cron_schedule="37 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
