"""The asset asn_session_counts: sessions per network and day."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Select, select

from cowrie_pipeline.observability.status_files import note_progress
from cowrie_pipeline.orchestration.assets.shared import daily_asset, describe_days
from cowrie_pipeline.orchestration.metadata import preview, table_metadata
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.reports import report_metadata
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.warehouse.tables import asn_inventory, asn_session_counts

__all__ = ["build_asn_session_counts"]

_LINEAGE = {
    "asn_number": [("session_snapshots", "snapshot_asn")],
    "sessions": [("raw_sessions", "session_key")],
    "unique_ips": [("raw_sessions", "source_ip")],
    "logins": [("raw_sessions", "login_success_count"), ("raw_sessions", "login_failed_count")],
    "successful_logins": [("raw_sessions", "login_success_count")],
    "commands": [("raw_sessions", "command_count")],
    "downloads": [("raw_sessions", "file_download_count")],
}


def build_asn_session_counts(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset."""

    @daily_asset(
        partitions,
        name="asn_session_counts",
        deps=["session_snapshots"],
        group_name="networks",
        kinds={"sql"},
        code_version="1",
        description=(
            "Sessions, addresses, log-ins, commands and downloads per network and day, at attack time. Network 0 holds "
            "the sessions whose network is not known, so that the days add up."
        ),
    )
    def asn_session_counts_asset(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        with journaled(pipeline.warehouse, "asn_session_counts", days) as entry:
            rows: dict[date, int] = {}
            networks: dict[date, int] = {}
            sessions: dict[date, int] = {}
            for part in days.parts():
                with pipeline.warehouse.begin(lock="facts") as connection:
                    report = count_sessions(connection, part)
                rows |= report.rows
                networks |= report.networks
                sessions |= report.sessions
                note_progress((part.last - days.first).days + 1, len(days))
            entry.report = {"sessions": sum(sessions.values())}
        with pipeline.warehouse.read() as connection:
            reports = report_metadata(connection, "asn_session_counts", days, today=datetime.now(UTC).date())
            of_days = {
                day: {
                    "dagster/row_count": rows.get(day, 0),
                    "networks": networks.get(day, 0),
                    "sessions": sessions.get(day, 0),
                    "preview": preview(connection, _networks_of(DayRange(day, day))),
                    **reports[day],
                }
                for day in days
            }
        describe_days(
            context,
            "asn_session_counts",
            of_days,
            seconds=entry.seconds,
            common=table_metadata(asn_session_counts, _LINEAGE),
        )

    return asn_session_counts_asset


def _networks_of(days: DayRange) -> Select[Any]:
    table = asn_session_counts.c
    return (
        select(
            table.asn_number,
            asn_inventory.c.organization_name,
            table.sessions,
            table.unique_ips,
            table.logins,
            table.commands,
        )
        .join_from(asn_session_counts, asn_inventory, asn_inventory.c.asn_number == table.asn_number, isouter=True)
        .where(table.day.between(days.first, days.last))
        .order_by(table.sessions.desc(), table.asn_number)
    )
