"""The asset session_snapshots: what was known of each session's address when it attacked, written once."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Select, func, select

from cowrie_pipeline.observability.status_files import note_progress
from cowrie_pipeline.orchestration.assets.shared import daily_asset, describe_days
from cowrie_pipeline.orchestration.metadata import preview, table_metadata
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.reports import report_metadata
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.session_snapshots import all_of, take_snapshots
from cowrie_pipeline.warehouse.tables import session_summaries
from cowrie_pipeline.warehouse.times import count_by_day

__all__ = ["build_session_snapshots"]

_LINEAGE = {
    "snapshot_asn": [("ip_inventory", "current_asn")],
    "snapshot_country": [("ip_inventory", "geo_country")],
    "snapshot_ip_type": [("ip_inventory", "ip_type")],
    "snapshot_document": [("ip_inventory", "enrichment")],
}


def build_session_snapshots(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset."""

    @daily_asset(
        partitions,
        name="session_snapshots",
        deps=["ip_inventory", "asn_inventory"],
        group_name="networks",
        kinds={"sql"},
        code_version="1",
        description=(
            "The write-once picture on each session of who its address was. `snapshot_basis` says what it is worth: "
            "observed, historical or late."
        ),
    )
    def session_snapshots(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        with journaled(pipeline.warehouse, "session_snapshots", days) as entry:
            now = datetime.now(UTC)
            of_parts = []
            for part in days.parts():
                with pipeline.warehouse.begin(lock="facts") as connection:
                    of_parts.append(take_snapshots(connection, part, now=now))
                note_progress((part.last - days.first).days + 1, len(days))
            report = all_of(of_parts)
            entry.report = {"taken": report.taken, "waiting": report.waiting}
        with pipeline.warehouse.read() as connection:
            counts = count_by_day(
                connection, session_summaries.c.first_event_at, days, session_summaries.c.snapshot_at.is_not(None)
            )
            reports = report_metadata(connection, "session_snapshots", days, today=datetime.now(UTC).date())
            of_days = {
                day: {
                    "dagster/row_count": counts.get(day, 0),
                    "preview": preview(connection, _bases_of(DayRange(day, day))),
                    **reports[day],
                }
                for day in days
            }
        describe_days(
            context,
            "session_snapshots",
            of_days,
            seconds=entry.seconds,
            common={
                **table_metadata(session_summaries, _LINEAGE),
                "taken": report.taken,
                "waiting_for_an_answer": report.waiting,
                "without_address": report.without_address,
            },
        )

    return session_snapshots


def _bases_of(days: DayRange) -> Select[Any]:
    table = session_summaries.c
    return (
        select(table.snapshot_basis, table.snapshot_asn, table.snapshot_country, func.count().label("sessions"))
        .where(table.first_event_at >= days.start, table.first_event_at < days.end)
        .group_by(table.snapshot_basis, table.snapshot_asn, table.snapshot_country)
        .order_by(func.count().desc(), table.snapshot_asn)
    )
