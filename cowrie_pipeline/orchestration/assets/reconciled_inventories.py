"""The asset reconciled_inventories: counts held to recounts, drift reported before it is mended, and what moved."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cowrie_pipeline.enrichment.build import network_rules_of
from cowrie_pipeline.orchestration.assets.shared import OWNERS, RETRY, typed_failures
from cowrie_pipeline.orchestration.metadata import table_of
from cowrie_pipeline.orchestration.pools import WAREHOUSE
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.checks import DRIFT
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.movement import MovementReport, last_week, report_movement
from cowrie_pipeline.steps.network_types import classify_networks
from cowrie_pipeline.steps.reconcile_inventories import DriftReport, find_drift, mend

__all__ = ["build_reconciled_inventories"]

_COLUMNS = ("table", "key", "column", "stored", "counted")


def build_reconciled_inventories() -> dg.AssetsDefinition:
    """Return the asset, which has no days: everything is counted."""

    @dg.asset(
        name="reconciled_inventories",
        deps=["ip_inventory", "asn_inventory", "asn_session_counts"],
        group_name="upkeep",
        kinds={"sql"},
        owners=OWNERS,
        code_version="1",
        pool=WAREHOUSE,
        retry_policy=RETRY,
        check_specs=[dg.AssetCheckSpec(DRIFT.name, asset=DRIFT.asset, description=DRIFT.description, blocking=False)],
        description=(
            "Counts, first and last times of addresses, of networks, and of networks by day, all counted again from "
            "the sessions. What differs fails the check, and is then mended. Also what moved in the last seven days: "
            "addresses between networks and countries, networks that appeared and vanished. A network of which the "
            "rules say another type than it has gets that."
        ),
    )
    @typed_failures
    def reconciled_inventories(
        context: dg.AssetExecutionContext, pipeline: Pipeline
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
        now = datetime.now(UTC)
        with journaled(pipeline.warehouse, "reconciled_inventories", None) as entry:
            with pipeline.warehouse.begin(lock="facts") as connection:
                drift = find_drift(connection, now=now)
                for each in drift.rows:
                    context.log.error(
                        "%s %s: %s is %s, not %s", each.table, each.key, each.column, each.stored, each.counted
                    )
                # said while nothing is mended yet, so that it is known even if that fails
                yield _evaluation(drift)
                mend(connection, drift)
                reclassified = classify_networks(connection, None, rules=network_rules_of(pipeline.settings), now=now)
            entry.report = {"looked_at": drift.looked_at, "drifted": drift.counts, "reclassified": reclassified}
        with pipeline.warehouse.read() as connection:
            moved = report_movement(connection, last_week(now))
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(drift.looked_at.values()),
                "looked_at": drift.looked_at,
                "mended": drift.counts,
                "networks_reclassified": reclassified,
                "days_not_looked_at": [day.isoformat() for day in drift.waiting],
                **_movement_metadata(moved),
                "seconds": round(entry.seconds, 4),
            }
        )

    return reconciled_inventories


def _evaluation(drift: DriftReport) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"should_be_so": DRIFT.title, "rows_at_fault": drift.total}
    if drift.total:
        rows = [(each.table, each.key, each.column, each.stored, each.counted) for each in drift.rows]
        metadata |= {
            "first_rows": table_of(_COLUMNS, rows),
            "by_column": drift.counts,
            "what_to_do": DRIFT.remedy,
            "page": DRIFT.page,
        }
    return dg.AssetCheckResult(
        passed=not drift.total,
        check_name=DRIFT.name,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(f"Not so: {DRIFT.title} ({drift.total:,} values had drifted)" if drift.total else DRIFT.title),
        metadata=metadata,
    )


def _movement_metadata(moved: MovementReport) -> dict[str, Any]:
    parts = {
        "moved_addresses": moved.addresses,
        "changed_countries": moved.countries,
        "new_networks": moved.appeared,
        "networks_vanished": moved.vanished,
    }
    return {
        "movement_days": f"{moved.days.first} to {moved.days.last}",
        "movement": {name: part.total for name, part in parts.items()},
        "snapshots_that_differ": dict(moved.differing),
        **{name: table_of(part.columns, part.rows) for name, part in parts.items()},
    }
