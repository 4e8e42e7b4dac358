"""The asset downloaded_lists: published lists that are looked up here instead of asking about each address."""

from datetime import UTC, datetime

import dagster as dg

from cowrie_pipeline.enrichment.downloads import DownloadReport
from cowrie_pipeline.orchestration.assets.shared import OWNERS
from cowrie_pipeline.orchestration.metadata import table_of
from cowrie_pipeline.orchestration.pools import DOWNLOADS
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.downloaded_lists import ListsReport, refresh_lists
from cowrie_pipeline.steps.journal import journaled

__all__ = ["build_downloaded_lists"]

_COLUMNS = ("list", "date", "change", "records", "size", "reason")


def build_downloaded_lists() -> dg.AssetsDefinition:
    """Return the asset. It is not retried: each list says when its publisher may be asked again."""

    @dg.asset(
        name="downloaded_lists",
        group_name="upkeep",
        kinds={"file"},
        owners=OWNERS,
        code_version="1",
        pool=DOWNLOADS,
        description=(
            "Tor exits, Spamhaus DROP and ASN-DROP, research scanners, the registries' AS numbers, and City and ASN "
            "databases: files that the cascade looks up. Only what has changed is fetched, and a good file is never "
            "replaced by a bad one."
        ),
    )
    def downloaded_lists(context: dg.AssetExecutionContext, pipeline: Pipeline) -> None:
        with journaled(pipeline.warehouse, "downloaded_lists", None) as entry:
            report = refresh_lists(pipeline.settings, now=datetime.now(UTC))
            entry.report = {each.name: each.change.value for each in report.lists}
            entry.findings = report.findings
        for finding in report.findings:
            context.log.warning(finding)
        context.add_asset_metadata(
            {
                "dagster/row_count": sum(each.list_date is not None for each in report.lists),
                "lists": table_of(_COLUMNS, [_row(each) for each in report.lists]),
                "oldest": min((each.list_date.isoformat() for each in report.lists if each.list_date), default=""),
                "changes": _changes(report),
                "not_asked": report.not_asked or "",
                "findings": list(report.findings),
                "folders": [str(pipeline.settings.lists_folder), str(pipeline.settings.geoip_folder)],
                "seconds": round(entry.seconds, 4),
            }
        )

    return downloaded_lists


def _row(each: DownloadReport) -> tuple[object, ...]:
    return each.name, each.list_date, each.change.value, each.records, each.size, each.reason


def _changes(report: ListsReport) -> dict[str, int]:
    changes = [each.change.value for each in report.lists]
    return {change: changes.count(change) for change in sorted(set(changes))}
