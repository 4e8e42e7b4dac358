"""Dagster's asset checks, one step for each asset, made from the checks of steps/checks.py."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from cowrie_pipeline.observability.tracing import span
from cowrie_pipeline.orchestration.assets.shared import RETRY, typed_failures
from cowrie_pipeline.orchestration.metadata import page_value, table_of
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import Check, CheckResult, Severity, all_checks
from cowrie_pipeline.steps.days import DayRange

__all__ = ["build_checks"]

_SEVERITIES = {Severity.ERROR: dg.AssetCheckSeverity.ERROR, Severity.WARN: dg.AssetCheckSeverity.WARN}


def build_checks(partitions: dg.DailyPartitionsDefinition, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return one definition for each asset, with all its checks; each can be run alone.

    Args:
        partitions: the days.
        settings: of which the place of the docs is used; all others are read anew by each run.
    """
    checks = all_checks()
    assets = sorted({check.asset for check in checks})
    of_assets = {asset: [check for check in checks if check.asset == asset] for asset in assets}
    return [_build(asset, of_asset, partitions, settings) for asset, of_asset in of_assets.items()]


def _build(
    asset: str, checks: Sequence[Check], partitions: dg.DailyPartitionsDefinition, settings: Settings
) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description(settings), blocking=check.blocks)
        for check in checks
    ]

    @dg.multi_asset_check(name=f"check_{asset}", specs=specs, can_subset=True, retry_policy=RETRY)
    @typed_failures
    def run(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> Iterator[dg.AssetCheckResult]:
        # outside of a run of partitions, as when a check is started by hand, all days are checked
        if context.has_partition_key or context.has_partition_key_range:
            days = day_range(context)
        else:
            days = DayRange(partitions.start.date(), datetime.now(UTC).date())
        selected = {key.name for key in context.selected_asset_check_keys}
        for check in checks:
            if check.name in selected:
                # a state of its own for each: on SQLite a reader that stays open keeps the write-ahead log growing
                with (
                    span("check", {"cowrie.check": check.name, "cowrie.asset": asset}) as checking,
                    pipeline.warehouse.read() as connection,
                ):
                    result = check.run(connection, days, pipeline.settings, datetime.now(UTC))
                    checking.set_attributes({"cowrie.passed": result.passed, "cowrie.rows_at_fault": result.at_fault})
                yield _evaluation(check, result, pipeline.settings)

    return run


def _evaluation(check: Check, result: CheckResult, settings: Settings) -> dg.AssetCheckResult:
    metadata: dict[str, dg.MetadataValue] = {
        "should_be_so": dg.MetadataValue.text(check.title),
        "rows_at_fault": dg.MetadataValue.int(result.at_fault),
    }
    if result.notes:
        metadata["notes"] = dg.MetadataValue.text("; ".join(result.notes))
    if not result.passed:
        metadata["first_rows"] = table_of(result.columns, result.rows)
        metadata["what_to_do"] = dg.MetadataValue.text(check.remedy)
        metadata["page"] = page_value(check.page, settings)
    return dg.AssetCheckResult(
        passed=result.passed,
        check_name=check.name,
        asset_key=check.asset,
        severity=_SEVERITIES[check.severity],
        description=(
            "; ".join((check.title, *result.notes))
            if result.passed
            else f"Not so: {check.title} ({result.at_fault:,} rows at fault)"
        ),
        metadata=metadata,
    )
