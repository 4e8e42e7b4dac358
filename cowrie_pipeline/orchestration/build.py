"""All definitions, composed from named lists, so that a test can build its own."""

import warnings
from typing import Any

import dagster as dg

from cowrie_pipeline.orchestration.alerts import build_alert_sensors
from cowrie_pipeline.orchestration.assets import (
    build_asn_session_counts,
    build_attack_report,
    build_attack_report_30_days,
    build_downloaded_lists,
    build_file_reputation,
    build_inventories,
    build_password_exposure,
    build_raw_sessions,
    build_reconciled_inventories,
    build_session_snapshots,
    build_stale_enrichment,
)
from cowrie_pipeline.orchestration.checks import build_checks
from cowrie_pipeline.orchestration.executors import build_executor
from cowrie_pipeline.orchestration.freshness import build_freshness
from cowrie_pipeline.orchestration.log_sensor import backfill, build_log_sensor
from cowrie_pipeline.orchestration.metadata import page_value
from cowrie_pipeline.orchestration.op_values import op_values
from cowrie_pipeline.orchestration.partitions import daily_partitions
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.orchestration.retention import build_retention
from cowrie_pipeline.orchestration.schedules import build_daily_schedule
from cowrie_pipeline.orchestration.upkeep import build_upkeep
from cowrie_pipeline.settings import Settings

__all__ = ["DAILY_JOB", "build_definitions"]

DAILY_JOB = "daily"


# What somebody reads who wants to know what an asset is.
_PAGES = {
    "raw_sessions": "docs/tables.md#session_summaries",
    "ip_inventory": "docs/tables.md#ip_inventory",
    "asn_inventory": "docs/tables.md#asn_inventory",
    "session_snapshots": "docs/decisions/0004-snapshots-wait.md",
    "asn_session_counts": "docs/tables.md#asn_session_counts",
    "file_reputation": "docs/tables.md#file_reputation",
    "password_exposure": "docs/tables.md#password_exposure",
    "attack_report": "docs/operations.md#pages-on-attacks",
    "attack_report_30_days": "docs/operations.md#pages-on-attacks",
    "downloaded_lists": "docs/sources.md#looked-up-on-this-machine",
    "stale_enrichment": "docs/architecture.md#how-things-are-looked-up",
    "reconciled_inventories": "docs/networks.md",
}


def build_definitions(settings: Settings | None = None, **overrides: Any) -> dg.Definitions:
    """Return what Dagster loads.

    Args:
        settings: of which the first day, the hour of the daily run, the sensor's interval, the executor and the place
            of the docs are used; by default those of the environment.
        overrides: arguments of `dg.Definitions` that replace ours.

    Raises:
        SettingsError: the executor cannot be had as the settings are.
    """
    settings = settings or Settings.from_environment()
    partitions = daily_partitions(settings.start_date)
    with warnings.catch_warnings():
        # backfill_policy is beta in Dagster 1.13; without it a backfill would be one run for each day
        warnings.simplefilter("ignore", dg.BetaWarning)
        of_days = [
            build_raw_sessions(partitions),
            build_inventories(partitions, settings),
            build_session_snapshots(partitions),
            build_asn_session_counts(partitions),
            build_file_reputation(partitions),
            build_password_exposure(partitions),
            build_attack_report(partitions),
        ]
    rolling_report = build_attack_report_30_days()
    freshness = build_freshness(of_days, settings)
    daily = dg.define_asset_job(
        DAILY_JOB,
        selection=dg.AssetSelection.assets(*of_days, rolling_report) - dg.AssetSelection.checks(*freshness.checks),
        description="Every asset of days, for one or a range of them, with all checks, and the page of 30 days.",
    )
    parts: dict[str, Any] = {
        "assets": [
            _documented(asset, settings)
            for asset in (
                *of_days,
                rolling_report,
                build_downloaded_lists(),
                build_stale_enrichment(),
                build_reconciled_inventories(settings),
            )
        ],
        "asset_checks": [*build_checks(partitions, settings), *freshness.checks],
        "jobs": [daily, backfill],
        "schedules": [build_daily_schedule(daily, settings), *build_upkeep(), build_retention(), freshness.schedule],
        "sensors": [build_log_sensor(daily, settings), *build_alert_sensors()],
        "resources": {"pipeline": Pipeline(), "io_manager": op_values},
        "executor": build_executor(settings),
    }
    return dg.Definitions(**(parts | overrides))


def _documented(asset: dg.AssetsDefinition, settings: Settings) -> dg.AssetsDefinition:
    """Return the same asset with a link to what is written about it."""
    return asset.map_asset_specs(
        lambda spec: spec.merge_attributes(metadata={"docs": page_value(_PAGES[spec.key.to_user_string()], settings)})
    )
