"""The schedule of days: yesterday, at an hour that is a setting.

Belongs here: when days are materialized without anything having changed.
Does not belong here: days whose lines came late (log_sensor.py), and the upkeep of what is known (upkeep.py).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from cowrie_pipeline.orchestration.log_sensor import run_request
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.log_watch import Request, note_request
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["DAILY_SCHEDULE", "build_daily_schedule"]

DAILY_SCHEDULE = "yesterday"
_PATIENCE_SECONDS = 15.0


def build_daily_schedule(daily_job: Any, settings: Settings) -> dg.ScheduleDefinition:
    """Return the schedule; it runs as soon as Dagster's daemon does, if COWRIE_LOGS is set.

    Args:
        daily_job: the job of all assets of days.
        settings: of which the hour is used; all others are read anew at each tick.
    """

    @dg.schedule(
        name=DAILY_SCHEDULE,
        job=daily_job,
        cron_schedule=f"0 {settings.daily_hour} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Yesterday (UTC), with all that was logged by now; what comes later the log sensor requests.",
    )
    def yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        day = now.date() - timedelta(days=1)
        of_now = Settings.from_environment()
        if not of_now.log_paths:
            return dg.SkipReason("COWRIE_LOGS is not set: there is nothing to read")
        if day < of_now.start_date:
            return dg.SkipReason(f"{day} is before COWRIE_START_DATE, {of_now.start_date}")
        return run_request(daily_job.name, _noted(context, of_now, DayRange(day, day), now))

    return yesterday


def _noted(context: dg.ScheduleEvaluationContext, settings: Settings, days: DayRange, now: datetime) -> Request:
    """Note the request, so that the log sensor starts the day again if its run fails; run it noted or not."""
    warehouse = Warehouse.of(settings, patience_seconds=_PATIENCE_SECONDS)
    try:
        upgrade_schema(warehouse)
        return note_request(warehouse, days, now=now)
    except (SQLAlchemyError, WarehouseError) as error:
        context.log.warning("the request of %s could not be noted, and is not repeated if it fails: %s", days, error)
        return Request(days, f"{days.first} at={now.isoformat()}")
    finally:
        warehouse.dispose()
