"""The asset stale_enrichment: addresses, files and passwords whose facts have expired are looked up again."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from cowrie_pipeline.observability.progress import progress_of
from cowrie_pipeline.orchestration.assets.shared import OWNERS, RETRY, typed_failures
from cowrie_pipeline.orchestration.metadata import preview, stats_metadata, table_metadata
from cowrie_pipeline.orchestration.pools import CASCADE
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.stale_enrichment import (
    AT_MOST,
    count_stale,
    longest_due,
    refresh_stale,
    refresh_stale_files,
    refresh_stale_passwords,
)
from cowrie_pipeline.warehouse.tables import ip_inventory

__all__ = ["StaleEnrichmentConfig", "build_stale_enrichment"]

_LINEAGE = {column.name: [("ip_inventory", column.name)] for column in ip_inventory.columns}


class StaleEnrichmentConfig(dg.Config):
    """How much one refresh does."""

    at_most: int = Field(default=AT_MOST, ge=1, description="How many of each are looked up again at most.")


def build_stale_enrichment() -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name="stale_enrichment",
        deps=["ip_inventory", "file_reputation", "password_exposure"],
        group_name="upkeep",
        kinds={"python", "sql"},
        owners=OWNERS,
        code_version="1",
        pool=CASCADE,
        retry_policy=RETRY,
        description=(
            "Addresses in ip_inventory whose facts have expired, looked up again by the same cascade, a bounded number "
            "at a time: half of them those that have been due longest, the others those seen last. Then files "
            "and passwords that a budget did not reach, or whose facts have expired, those due longest first."
        ),
    )
    @typed_failures
    def stale_enrichment(context: dg.AssetExecutionContext, config: StaleEnrichmentConfig, pipeline: Pipeline) -> None:
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "stale_enrichment", None) as entry:
            ledger = pipeline.ledger(now)
            report = refresh_stale(
                pipeline.warehouse,
                pipeline.enrichment.cascade,
                ledger=ledger,
                now=now,
                at_most=config.at_most,
                on_progress=progress_of("stale_enrichment"),
            )
            files, passwords = (
                refresh(pipeline.warehouse, pipeline.enrichment, ledger=ledger, now=now, at_most=config.at_most)
                for refresh in (refresh_stale_files, refresh_stale_passwords)
            )
            findings = entry.findings = [*report.findings, *files.findings, *passwords.findings]
            entry.report = {
                "addresses_due": report.addresses_due,
                "look_ups": report.outcomes,
                "files": files.counts,
                "passwords": passwords.counts,
            }
        for finding in findings:
            context.log.warning(finding)
        with pipeline.warehouse.read() as connection:
            still_due = count_stale(connection, now=now)
            shown = preview(connection, longest_due(now))
        context.add_asset_metadata(
            {
                **table_metadata(ip_inventory, _LINEAGE),
                "dagster/row_count": report.addresses_due,
                "still_due": still_due,
                **stats_metadata(report.stats),
                "look_ups": report.outcomes,
                "cache_hits": report.cache_hits,
                "not_asked": pipeline.enrichment.not_asked,
                "files": files.counts,
                "passwords": passwords.counts,
                "findings": findings,
                "preview": shown,
                "seconds": round(entry.seconds, 4),
            }
        )

    return stale_enrichment
