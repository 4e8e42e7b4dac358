"""The asset raw_sessions: log files become sessions and what they did."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Select, select

from cowrie_pipeline.observability.progress import progress_of
from cowrie_pipeline.orchestration.assets.shared import daily_asset, describe_days
from cowrie_pipeline.orchestration.metadata import preview, table_metadata
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.reports import DAYS_SHOWN, sessions_by_day_image
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.raw_sessions import DERIVATION, load_days
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.warehouse.tables import session_summaries

__all__ = ["build_raw_sessions"]


def build_raw_sessions(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset."""

    @daily_asset(
        partitions,
        name="raw_sessions",
        group_name="sessions",
        kinds={"python", "sql"},
        code_version=str(DERIVATION),
        description=(
            "Sessions of the day, and the log-ins, commands, files, tunnels and keys in them, from Cowrie's logs "
            "(`COWRIE_LOGS`). Files are read once, whatever they are called or compressed with; every line is an "
            "event, a duplicate, a dead letter or blank. A session belongs to the UTC day of its first event."
        ),
    )
    def raw_sessions(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "raw_sessions", days) as entry:
            scan = scan_logs(
                pipeline.warehouse,
                pipeline.settings.log_paths,
                settings=pipeline.settings,
                now=now,
                on_progress=progress_of("reading logs"),
            )
            for problem in scan.problems:
                context.log.warning("%s: %s", problem.path, problem.reason)
            report = load_days(pipeline.warehouse, days, now=now, on_progress=progress_of("raw_sessions"))
            entry.report = {"days_made": len(report.made), "days_up_to_date": len(days) - len(report.made)}
        with pipeline.warehouse.read() as connection:
            of_days = {
                day: {
                    "dagster/row_count": made.sessions,
                    "session_days": made.session_days,
                    "events": made.events,
                    "events_without_session": made.events_without_session,
                    "sources_that_are_no_address": made.without_address,
                    "was_up_to_date": day not in report.made,
                    "preview": preview(connection, _sessions_of(DayRange(day, day))),
                }
                for day, made in report.days.items()
            }
            for day in list(of_days)[-DAYS_SHOWN:]:
                of_days[day]["sessions_by_day_plot"] = sessions_by_day_image(connection, day)
        describe_days(
            context,
            "raw_sessions",
            of_days,
            seconds=entry.seconds,
            common={
                **table_metadata(session_summaries, {}),
                "files": scan.files,
                "files_read": scan.files_read,
                "unreadable": [f"{problem.path}: {problem.reason}" for problem in scan.problems],
                "not_cowrie_logs": list(scan.foreign_files),
                "damaged": scan.damaged_files,
                "unknown_events": scan.unknown_events,
                "unknown_fields": scan.unknown_fields,
            },
        )

    return raw_sessions


def _sessions_of(days: DayRange) -> Select[Any]:
    table = session_summaries.c
    return (
        select(
            table.first_event_at,
            table.sensor,
            table.source_ip,
            table.protocol,
            table.event_count,
            table.login_success_count,
            table.command_count,
            table.client_version,
        )
        .where(table.first_event_at >= days.start, table.first_event_at < days.end)
        .order_by(table.first_event_at)
    )
