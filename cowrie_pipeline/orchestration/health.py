"""What Dagster's instance shows of its queue, its daemon and its runs, for `cowrie-pipeline health`.

Belongs here: reading. Does not belong here: judging (steps/health.py).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from cowrie_pipeline.observability.processes import is_gone
from cowrie_pipeline.orchestration.alerts import days_of_run, utc
from cowrie_pipeline.orchestration.processes import PROCESS_TAG
from cowrie_pipeline.orchestration.runs import instance_home, open_instance
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.health import InstanceRun, InstanceState

__all__ = ["read_instance"]

_LOOKED_BACK = timedelta(days=7)
# More ended runs than this in a week are looked at only as far as this, the newest first.
_MOST_RUNS = 500
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def read_instance(settings: Settings, *, now: datetime) -> InstanceState | None:
    """Read the instance; None where there is none yet: looking at it does not make it."""
    home = instance_home(settings)
    if not (settings.state_dir.is_dir() and home.is_dir() and any(home.iterdir())):
        return None
    with open_instance(settings) as instance:
        queued = instance.get_run_records(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        under_way = instance.get_run_records(filters=dg.RunsFilter(statuses=_UNDER_WAY))
        return InstanceState(
            queued=tuple(utc(record.create_timestamp) for record in queued),
            heartbeats={
                name: datetime.fromtimestamp(beat.timestamp, UTC)
                for name, beat in instance.get_daemon_heartbeats().items()
            },
            failed=_failed(instance, since=now - _LOOKED_BACK),
            dead=tuple(
                _described(record) for record in under_way if is_gone(record.dagster_run.tags.get(PROCESS_TAG, ""))
            ),
        )


def _failed(instance: dg.DagsterInstance, *, since: datetime) -> tuple[InstanceRun, ...]:
    """Return failed runs that no later one of the same job and days, or of more days, made good."""
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=_ENDED, updated_after=since),
        limit=_MOST_RUNS,
        order_by="update_timestamp",
        ascending=False,
    )
    failed: list[InstanceRun] = []
    succeeded: list[InstanceRun] = []
    for record in records:
        run = _described(record)
        if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            succeeded.append(run)
        elif not any(_makes_good(later, run) for later in (*succeeded, *failed)):
            # of failures of the same days the newest is told
            failed.append(run)
    return tuple(failed)


def _makes_good(later: InstanceRun, run: InstanceRun) -> bool:
    if later.job != run.job:
        return False
    if later.days is None or run.days is None:
        return later.days is None
    return later.days.first <= run.days.first and run.days.last <= later.days.last


def _described(record: dg.RunRecord) -> InstanceRun:
    run = record.dagster_run
    return InstanceRun(run.run_id, run.job_name, days_of_run(run.tags), utc(record.update_timestamp))
