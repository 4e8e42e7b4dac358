"""The asset password_exposure: how often the passwords that were tried were seen in leaks."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Select, select

from cowrie_pipeline.observability.progress import progress_of
from cowrie_pipeline.orchestration.assets.shared import asking_metadata, daily_asset, describe_days
from cowrie_pipeline.orchestration.metadata import preview, table_metadata
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.pools import PWNED_PASSWORDS
from cowrie_pipeline.orchestration.queues import IN_SCARCE_QUEUE
from cowrie_pipeline.orchestration.reports import answers_metadata
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.warehouse.tables import password_exposure

__all__ = ["build_password_exposure"]

# raw_sessions writes login_attempts too; the columns shown with it are those of its main table.
_LINEAGE = {
    "first_seen": [("raw_sessions", "first_event_at")],
    "last_seen": [("raw_sessions", "last_event_at")],
    "attempts": [("raw_sessions", "login_success_count"), ("raw_sessions", "login_failed_count")],
}


def build_password_exposure(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset."""

    @daily_asset(
        partitions,
        pool=PWNED_PASSWORDS,
        op_tags=IN_SCARCE_QUEUE,
        name="password_exposure",
        deps=["raw_sessions"],
        group_name="reputation",
        kinds={"python", "sql"},
        code_version="1",
        description=(
            "Every password that was ever tried, as SHA-1 alone, how often it was tried, and how often Have I Been "
            "Pwned saw it in leaks. Of the day's passwords those that are new or due are asked about, the most tried "
            "first; five hexadecimal digits of the hash leave the machine."
        ),
    )
    def password_exposure_asset(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "password_exposure", days) as entry:
            report = look_up_passwords(
                pipeline.warehouse,
                pipeline.enrichment,
                days,
                ledger=pipeline.ledger(now),
                now=now,
                on_progress=progress_of("password_exposure"),
            )
            entry.report = report.asking.counts
            entry.findings = report.asking.findings
        with pipeline.warehouse.read() as connection:
            of_days = {
                day: {
                    "dagster/row_count": of_day.passwords,
                    "statuses": of_day.statuses,
                    **answers_metadata(of_day.statuses),
                    "exposed": of_day.exposed,
                    "preview": preview(connection, _exposures_of(DayRange(day, day))),
                }
                for day, of_day in report.days.items()
            }
        describe_days(
            context,
            "password_exposure",
            of_days,
            seconds=entry.seconds,
            common={**table_metadata(password_exposure, _LINEAGE), **asking_metadata(context, report.asking)},
        )

    return password_exposure_asset


def _exposures_of(days: DayRange) -> Select[Any]:
    """Return what is shown of passwords new on a day; no hash: that of a weak password is as good as the password."""
    table = password_exposure.c
    return (
        select(table.first_seen, table.last_seen, table.attempts, table.status, table.times_seen)
        .where(table.first_seen >= days.start, table.first_seen < days.end)
        .order_by(table.attempts.desc(), table.first_seen)
    )
