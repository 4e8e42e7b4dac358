"""The assets attack_report and attack_report_30_days: pages for people."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cowrie_pipeline.observability.status_files import note_progress
from cowrie_pipeline.orchestration.assets.shared import OWNERS, RETRY, daily_asset, describe_days, typed_failures
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.reports import columns_image
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.attack_page import ROLLING_PAGE, page_of_day, write_page
from cowrie_pipeline.steps.attack_report import AttackReport, gather_attack_report, last_30_days
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled

__all__ = ["build_attack_report", "build_attack_report_30_days"]

_UPSTREAM = ["raw_sessions", "asn_session_counts", "file_reputation", "password_exposure"]
_CONTENT = (
    "Sessions over time, countries, networks with type and trend, new networks, user names, passwords, commands, files "
    "with verdicts, coverage and data quality, as one HTML file in `reports` of the state folder that needs no network."
)


def build_attack_report(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset of days."""

    @daily_asset(
        partitions,
        name="attack_report",
        deps=_UPSTREAM,
        group_name="reports",
        kinds={"python", "html"},
        code_version="1",
        description=f"A page on the attacks of a day. {_CONTENT}",
    )
    def attack_report(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        now = datetime.now(UTC)
        of_days: dict[Any, dict[str, Any]] = {}
        with journaled(pipeline.warehouse, "attack_report", days) as entry:
            for day in days:
                # a day at a time: a page needs one state of the database, a year of pages does not
                with pipeline.warehouse.read() as connection:
                    report = gather_attack_report(
                        connection, DayRange(day, day), now=now, hash_passwords=pipeline.settings.hash_passwords
                    )
                path = write_page(report, page_of_day(pipeline.settings.reports_folder, day))
                of_days[day] = _described(report, str(path.absolute()))
                note_progress(len(of_days), len(days))
            entry.report = {"pages": len(of_days)}
        describe_days(context, "attack_report", of_days, seconds=entry.seconds, common={})

    return attack_report


def build_attack_report_30_days() -> dg.AssetsDefinition:
    """Return the asset of the last 30 days."""

    @dg.asset(
        name="attack_report_30_days",
        deps=_UPSTREAM,
        group_name="reports",
        kinds={"python", "html"},
        owners=OWNERS,
        code_version="1",
        retry_policy=RETRY,
        description=f"A page on the attacks of the 30 days to the newest that has sessions. {_CONTENT}",
    )
    @typed_failures
    def attack_report_30_days(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "attack_report_30_days", None) as entry:
            with pipeline.warehouse.read() as connection:
                report = gather_attack_report(
                    connection,
                    last_30_days(connection, today=now.date()),
                    now=now,
                    hash_passwords=pipeline.settings.hash_passwords,
                )
            path = write_page(report, pipeline.settings.reports_folder / ROLLING_PAGE)
            entry.report = {"pages": 1}
        context.add_asset_metadata(
            {
                **_described(report, str(path.absolute())),
                "days": f"{report.days.first} to {report.days.last}",
                "seconds": round(entry.seconds, 4),
            }
        )

    return attack_report_30_days


def _described(report: AttackReport, path: str) -> dict[str, Any]:
    rows = [
        (each.day if each.hour is None else f"{each.hour:02}:00", each.sessions)
        for each in report.hours or report.by_day
    ]
    unit = "hour" if report.hours else "day"
    return {
        "dagster/row_count": report.totals.sessions,
        "page": dg.MetadataValue.path(path),
        "sessions": report.totals.sessions,
        "addresses": report.totals.addresses,
        "successful_log_ins": report.totals.successful_log_ins,
        "downloads": report.totals.downloads,
        f"sessions_by_{unit}_plot": columns_image(f"Sessions by {unit}", rows),
    }
