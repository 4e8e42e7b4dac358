"""Which runs Dagster starts once more: those that its own storage interrupted, not those whose work failed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.executors import build_executor
from cowrie_pipeline.settings import Settings

EXECUTORS = {kind: build_executor(Settings(executor=kind)) for kind in ("in_process", "multiprocess")}


@dg.op
def whose_end_cannot_be_written(context: dg.OpExecutionContext) -> None:
    """Refuse what Dagster writes next of this step, once: as a server that is away for a moment."""
    (path,) = Path(context.instance.root_directory).rglob(f"{context.run_id}.db")
    with closing(sqlite3.connect(path)) as events:
        events.execute(
            "CREATE TRIGGER away BEFORE INSERT ON event_logs WHEN new.dagster_event_type = 'STEP_OUTPUT' "
            "BEGIN SELECT RAISE(ABORT, 'the server is away'); END"
        )


@dg.op
def whose_work_fails() -> None:
    raise ValueError("the work")


@dg.op
def whose_work_fails_and_says_so() -> None:
    raise dg.Failure("the work")


def job_of(op: dg.OpDefinition, kind: str) -> dg.JobDefinition:
    @dg.job(executor_def=EXECUTORS[kind])
    def made() -> None:
        op()

    return made


def interrupted_in_process() -> dg.JobDefinition:
    return job_of(whose_end_cannot_be_written, "in_process")


def interrupted_elsewhere() -> dg.JobDefinition:
    return job_of(whose_end_cannot_be_written, "multiprocess")


def failed() -> dg.JobDefinition:
    return job_of(whose_work_fails, "in_process")


def failed_elsewhere() -> dg.JobDefinition:
    return job_of(whose_work_fails_and_says_so, "multiprocess")


@pytest.mark.parametrize(
    ("job", "said", "will_retry"),
    [
        (interrupted_in_process, "the server is away", "true"),
        (interrupted_elsewhere, "the server is away", "true"),
        (failed, "the work", "false"),
        (failed_elsewhere, "the work", "false"),
    ],
)
def test_only_a_run_that_was_interrupted_is_started_once_more(
    job: Callable[[], dg.JobDefinition], said: str, will_retry: str
) -> None:
    retries = {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    with dg.instance_for_test(overrides={"run_retries": retries}) as instance:
        run_id = dg.execute_job(dg.reconstructable(job), instance).run_id
        (told,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        assert said in str(told.get_dagster_event().step_failure_data.error)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.tags["dagster/will_retry"] == will_retry
