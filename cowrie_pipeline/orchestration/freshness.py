"""Freshness of days: the day before has to be there, of every asset of days, from an hour on that is a setting.

Dagster's own check looks at the newest partition that there is at its deadline. The running day is a partition too
(partitions.py), so at six o'clock that is today, which nobody materializes before it is over. The check's deadline is
therefore the last minute of the day, of which the newest partition is that day; and that it is asked for only hours
later, once yesterday is due, is the part of the schedule.

The checks are in no other job: who loads logs of long ago need not be told that yesterday is missing.

Belongs here: the checks, their job and when it runs.
Does not belong here: days of which no line came, which need no Dagster to be seen (steps/alerts/conditions.py).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import dagster as dg

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import FRESHNESS

__all__ = ["FRESHNESS_JOB", "Freshness", "build_freshness"]

FRESHNESS_JOB = "freshness"
_END_OF_DAY = "59 23 * * *"
_EACH_HOUR = "11 * * * *"


@dataclass(frozen=True, slots=True)
class Freshness:
    """The checks, and the schedule that has them evaluated; its job comes along with it."""

    checks: list[dg.AssetChecksDefinition]
    schedule: dg.ScheduleDefinition


def build_freshness(assets: Sequence[dg.AssetsDefinition], settings: Settings) -> Freshness:
    """Return the checks of `assets`, which have the days of partitions.py, and their schedule.

    Args:
        assets: all assets of days.
        settings: of which the place of the docs is used; all others are read anew at each tick.
    """
    with warnings.catch_warnings():
        # superseded by FreshnessPolicy, which knows no partitions: an old day that is made again makes it fresh
        warnings.simplefilter("ignore", dg.SupersessionWarning)
        made = dg.build_time_partition_freshness_checks(
            assets=assets, deadline_cron=_END_OF_DAY, timezone="UTC", severity=dg.AssetCheckSeverity.WARN
        )
    checks = [_described(each, FRESHNESS.description(settings)) for each in made]
    keys = sorted((key for check in checks for key in check.check_keys), key=str)
    job = dg.define_asset_job(
        FRESHNESS_JOB,
        selection=dg.AssetSelection.checks(*checks),
        description="See whether the day before is there, of every asset of days.",
    )

    @dg.schedule(
        name=FRESHNESS_JOB,
        job=job,
        cron_schedule=_EACH_HOUR,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once yesterday is due (COWRIE_ALERT_DAY_DUE_HOUR), each hour until it is there.",
    )
    def freshness(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        reason = _why_not(context.instance, keys, Settings.from_environment(), now)
        return dg.SkipReason(reason) if reason else dg.RunRequest(run_key=f"{FRESHNESS_JOB} at={now.isoformat()}")

    return Freshness(checks, freshness)


def _described(made: dg.AssetChecksDefinition, description: str) -> dg.AssetChecksDefinition:
    """Return the same checks with our description, which Dagster's function does not take."""
    described: dg.AssetChecksDefinition = dg.AssetChecksDefinition.create(
        keys_by_input_name=made.node_keys_by_input_name,
        node_def=cast("dg.OpDefinition", made.node_def),
        check_specs_by_output_name={
            output: dg.AssetCheckSpec(spec.name, asset=spec.asset_key, description=description, metadata=spec.metadata)
            for output, spec in made.check_specs_by_output_name.items()
        },
        can_subset=made.can_subset,
    )
    return described


def _why_not(instance: dg.DagsterInstance, keys: Sequence[Any], settings: Settings, now: datetime) -> str:
    """Return why there is nothing to look at, "" where there is."""
    if not settings.log_paths:
        return "COWRIE_LOGS is not set: no day is expected"
    if now.date() - timedelta(days=1) < settings.start_date:
        return f"yesterday is before COWRIE_START_DATE, {settings.start_date}"
    if now.hour < settings.alert_day_due_hour:
        return f"yesterday is due at {settings.alert_day_due_hour:02}:00 UTC"
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))
    fresh = [
        # by the clock that the schedule goes by; `create_timestamp` is of the database's, and of when it was planned
        record.evaluation is not None
        and record.evaluation.passed
        and record.event is not None
        and record.event.timestamp >= midnight
        for record in newest.values()
    ]
    return "yesterday is there, of every asset" if len(fresh) == len(keys) and all(fresh) else ""
