"""Jobs and schedules that keep what is known in order: lists, expired facts, stored counts, the memory of look-ups.

They run by default as soon as Dagster's daemon does: nobody misses them until lists are old and the cache has grown,
and where nothing is configured, or COWRIE_OFFLINE is set, they find nothing to do. Each can be switched off in the UI.
The minutes are odd, since at full hours publishers are asked by everybody.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from cowrie_pipeline.orchestration.assets.shared import RETRY, typed_failures
from cowrie_pipeline.orchestration.pools import WAREHOUSE
from cowrie_pipeline.orchestration.resources import Pipeline
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.warehouse.cache_care import clean_up

__all__ = ["CLEAN_UP_JOB", "LISTS_JOB", "RECONCILE_JOB", "STALE_JOB", "build_upkeep"]

LISTS_JOB = "refresh_lists"
STALE_JOB = "refresh_stale_enrichment"
CLEAN_UP_JOB = "clean_up_cache"
RECONCILE_JOB = "reconcile_inventories"


@dg.op(
    pool=WAREHOUSE,
    retry_policy=RETRY,
    description="Remove remembered look-ups that expired longer than COWRIE_CACHE_KEEP_DAYS ago, some at a time.",
)
@typed_failures
def clean_up_cache_op(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Remove what is long expired."""
    with journaled(pipeline.warehouse, CLEAN_UP_JOB, None) as entry:
        report = clean_up(
            pipeline.warehouse,
            expired_for=timedelta(days=pipeline.settings.cache_keep_days),
            now=datetime.now(UTC),
        )
        entry.report = {"removed": dict(report.removed), "claims": report.claims}
    context.add_output_metadata(
        {"removed": dict(report.removed), "claims": report.claims, "seconds": round(entry.seconds, 4)}
    )


@dg.job(
    name=CLEAN_UP_JOB,
    description="Remove remembered look-ups that expired long ago, in short transactions.",
)
def clean_up_cache() -> None:
    """Remove what is long expired."""
    clean_up_cache_op()


def build_upkeep() -> list[dg.ScheduleDefinition]:
    """Return a schedule for each job; the jobs come along with them."""
    return [
        _schedule(
            "23 3 * * *",
            dg.define_asset_job(
                LISTS_JOB, selection=["downloaded_lists"], description="Bring the downloaded lists up to date."
            ),
        ),
        _schedule(
            "41 */6 * * *",
            dg.define_asset_job(
                STALE_JOB,
                selection=["stale_enrichment"],
                description="Look up again addresses whose facts have expired.",
            ),
        ),
        _schedule("7 4 * * *", clean_up_cache),
        _schedule(
            "37 4 * * *",
            dg.define_asset_job(
                RECONCILE_JOB,
                selection=["reconciled_inventories"],
                description="Count everything that is stored of addresses and networks again; report and mend drift.",
            ),
        ),
    ]


# Dagster has no public name for the type of a job of assets.
def _schedule(cron: str, job: Any) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        job=job, cron_schedule=cron, execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING
    )
