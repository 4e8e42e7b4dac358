"""The partitions: UTC days."""

from datetime import date

import dagster as dg

from cowrie_pipeline.steps.days import DayRange

__all__ = ["daily_partitions", "day_range"]


def daily_partitions(start_date: date) -> dg.DailyPartitionsDefinition:
    """Return one partition for each UTC day from `start_date` to the running day."""
    # end_offset=1: the running day is a partition too, so that a live log can be looked at
    return dg.DailyPartitionsDefinition(start_date=start_date.isoformat(), timezone="UTC", end_offset=1)


def day_range(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> DayRange:
    """Return the days that a run materializes, be it one or a range."""
    keys = context.partition_key_range
    return DayRange(date.fromisoformat(keys.start), date.fromisoformat(keys.end))
