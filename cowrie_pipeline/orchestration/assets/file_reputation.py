"""The asset file_reputation: what scanners say of the files that sessions brought."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Select, select

from cowrie_pipeline.observability.progress import progress_of
from cowrie_pipeline.orchestration.assets.shared import asking_metadata, daily_asset, describe_days
from cowrie_pipeline.orchestration.metadata import preview, table_metadata
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.pools import VIRUSTOTAL
from cowrie_pipeline.orchestration.queues import IN_SCARCE_QUEUE
from cowrie_pipeline.orchestration.reports import answers_metadata
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.warehouse.tables import file_reputation, session_files

__all__ = ["build_file_reputation"]

# raw_sessions writes session_files too; the columns shown with it are those of its main table.
_LINEAGE = {
    "first_seen": [("raw_sessions", "first_event_at")],
    "last_seen": [("raw_sessions", "last_event_at")],
    "transfers": [("raw_sessions", "file_download_count"), ("raw_sessions", "file_upload_count")],
}


def build_file_reputation(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset."""

    @daily_asset(
        partitions,
        pool=VIRUSTOTAL,
        op_tags=IN_SCARCE_QUEUE,
        name="file_reputation",
        deps=["raw_sessions"],
        group_name="reputation",
        kinds={"python", "sql"},
        code_version="1",
        description=(
            "Every file that was ever transferred, by SHA-256, and what VirusTotal's scanners say of it. The day's "
            "files that are new or due are asked about, those of the newest day and the most frequent first; no file "
            "is ever sent. Without COWRIE_VIRUSTOTAL_KEY the files are counted and nobody is asked."
        ),
    )
    def file_reputation_asset(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        days = day_range(context)
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "file_reputation", days) as entry:
            report = look_up_files(
                pipeline.warehouse,
                pipeline.enrichment,
                days,
                ledger=pipeline.ledger(now),
                now=now,
                on_progress=progress_of("file_reputation"),
            )
            entry.report = report.asking.counts
            entry.findings = report.asking.findings
        with pipeline.warehouse.read() as connection:
            of_days = {
                day: {
                    "dagster/row_count": of_day.files,
                    "statuses": of_day.statuses,
                    **answers_metadata(of_day.statuses),
                    "flagged": of_day.flagged,
                    "preview": preview(connection, _files_of(DayRange(day, day))),
                }
                for day, of_day in report.days.items()
            }
        describe_days(
            context,
            "file_reputation",
            of_days,
            seconds=entry.seconds,
            common={**table_metadata(file_reputation, _LINEAGE), **asking_metadata(context, report.asking)},
        )

    return file_reputation_asset


def _files_of(days: DayRange) -> Select[Any]:
    transfer, table = session_files.c, file_reputation.c
    brought = select(transfer.sha256).where(transfer.event_at >= days.start, transfer.event_at < days.end)
    return (
        select(
            table.sha256,
            table.transfers,
            table.status,
            table.malicious,
            table.suspicious,
            table.label,
            table.file_type,
            table.size,
        )
        .where(table.sha256.in_(brought))
        .order_by(table.malicious.desc().nulls_last(), table.transfers.desc(), table.sha256)
    )
