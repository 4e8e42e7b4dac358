"""What becomes of a run if its process is killed, or if Dagster cannot write down what it did.

Dagster's launcher for one machine does not look after the processes that it started: a run whose process was killed
together with the daemon stays "started" for ever, and with it its places in pools and the days that it was making.

A run that was killed alone the code server ends, but its places stay taken for the minutes that dagster.yaml says, and
whoever needs them waits so long.

A run whose step failed because Dagster's own database was away Dagster counts as one with a failed step, which is not
started again, as if our work had failed. It is one that was interrupted.

Belongs here: the tag that names the process, and who sets it; ending runs whose process is gone, and freeing their
places; telling interrupted runs from failed ones.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from cowrie_pipeline.observability.processes import is_gone, this_process

__all__ = ["PROCESS_TAG", "OfThisProcess", "end_runs_of_dead_processes", "note_process"]

PROCESS_TAG = "cowrie_pipeline/process"


def note_process(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note that a run is in this process: if it is killed, the run is not gone on with."""
    instance.add_run_tags(run_id, {PROCESS_TAG: this_process()})


class OfThisProcess(dg.Executor):
    """An executor whose runs are those of the process in which it is, whoever does their steps.

    A run that was interrupted, it has Dagster start once more.
    """

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    @property
    def retries(self) -> Any:
        """Whether steps are tried again."""
        return self.executor.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Have the steps of a run done."""
        note_process(plan_context.instance, plan_context.run_id)
        for event in self.steps(plan_context, execution_plan):
            if event.is_step_failure and event.step_failure_data.error_source is ErrorSource.UNEXPECTED_ERROR:
                # neither our code nor Dagster's own complaint: in between, where events are stored
                once_more = {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"}
                plan_context.instance.add_run_tags(plan_context.run_id, once_more)
            yield event

    def steps(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Do the steps, or have them done, and yield what Dagster is to know of them."""
        events: Iterator[Any] = self.executor.execute(plan_context, execution_plan)
        return events


def end_runs_of_dead_processes(instance: dg.DagsterInstance) -> None:
    """Mark runs of this machine as failed whose process was killed, and free the places in pools of such runs."""
    under_way = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    )
    for run in instance.get_runs(filters=under_way):
        tag = run.tags.get(PROCESS_TAG, "")
        if is_gone(tag) and not _is_inherited(instance, run, tag):
            instance.report_run_failed(run, "the process of this run was killed")
    _free_places(instance)


def _free_places(instance: dg.DagsterInstance) -> None:
    """Free the places in pools of runs that have ended, by whomever, and whose process is gone."""
    storage = instance.event_log_storage
    holders = list(storage.get_concurrency_run_ids()) if storage.supports_global_concurrency_limits else []
    if holders:
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        for run in instance.get_runs(filters=dg.RunsFilter(run_ids=holders, statuses=ended)):
            if is_gone(run.tags.get(PROCESS_TAG, "")):
                storage.free_concurrency_slots_for_run(run.run_id)


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun, tag: str) -> bool:
    """Say whether the tag is that of a run which this one repeats, and which has not begun to work yet."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is not None and parent.tags.get(PROCESS_TAG) == tag
