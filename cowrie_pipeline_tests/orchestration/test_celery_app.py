"""A worker's part: which steps it refuses, what it renews, and what its steps may start."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import redis
from celery.worker.state import reserved_requests
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.types import ExecuteStepArgs
from dagster_shared.serdes import pack_value

from cowrie_pipeline.orchestration.celery_app import EndedRunError, _renew, build_app
from cowrie_pipeline.settings import Settings
from cowrie_pipeline_tests.cli.processes import environment, kill_group
from cowrie_pipeline_tests.redis_server import PROGRAM, OwnRedis

NEEDS_REDIS = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
OURS = RepositoryPythonOrigin(sys.executable, ModuleCodePointer("cowrie_pipeline.definitions", "defs", None))


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    server = OwnRedis()
    server.start()
    yield server
    server.remove()


def step_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    return {
        "execute_step_args_packed": pack_value(
            ExecuteStepArgs(
                job_origin=JobPythonOrigin("daily", OURS),
                run_id=run_id,
                step_keys_to_execute=["raw_sessions"],
                instance_ref=instance.get_ref(),
            )
        )
    }


@pytest.mark.parametrize(
    ("status", "is_done"),
    [
        (dg.DagsterRunStatus.STARTED, True),
        (dg.DagsterRunStatus.CANCELING, True),
        (dg.DagsterRunStatus.FAILURE, False),
        (dg.DagsterRunStatus.CANCELED, False),
        (dg.DagsterRunStatus.SUCCESS, False),
    ],
    ids=lambda value: getattr(value, "value", None),
)
def test_a_step_of_a_run_that_has_ended_is_not_done(status: dg.DagsterRunStatus, is_done: bool) -> None:
    step = build_app(Settings(celery_broker="redis://127.0.0.1/0")).tasks["execute_plan"]
    with dg.instance_for_test() as instance:
        run = create_run_for_test(instance, status=status)
        if is_done:
            step.before_start("message", (), step_of(instance, run.run_id))
            return
        with pytest.raises(EndedRunError, match=f"run {run.run_id} has ended"):
            step.before_start("message", (), step_of(instance, run.run_id))
        with pytest.raises(EndedRunError):
            step.before_start("message", (), step_of(instance, "of a run that was removed"))


def test_a_step_is_acknowledged_when_it_is_done_and_its_process_may_die_three_times() -> None:
    step = build_app(Settings(celery_broker="redis://127.0.0.1/0")).tasks["execute_plan"]
    assert (step.acks_late, step.reject_on_worker_lost) == (True, True)
    assert (step.retry_on_worker_lost, step.max_retries) == (True, 3)
    assert step.app.conf.worker_prefetch_multiplier == 1
    assert step.app.conf.task_default_queue == "cowrie"


class Request:
    """A step that the worker has, as Celery notes it."""

    def __init__(self, message: Any) -> None:
        self.message = message


@NEEDS_REDIS
def test_what_redis_has_lent_is_renewed_while_the_worker_lives_and_not_what_is_done(own_redis: OwnRedis) -> None:
    app = build_app(Settings(celery_broker=own_redis.url(0)))
    index = "unacked_index"
    with app.connection_for_write() as connection, redis.Redis(port=own_redis.port) as client:
        queue = connection.SimpleQueue("cowrie")
        requests = []
        for number in range(2):
            queue.put({"number": number})
            requests.append(Request(queue.get(timeout=10)))
        long_ago = time.time() - 1000
        for request in requests:
            client.zadd(index, {request.message.delivery_tag: long_ago})
        reserved_requests.update(requests)
        requests[1].message.ack()
        try:
            _renew(SimpleNamespace(task_consumer=SimpleNamespace(channel=queue.channel)))
        finally:
            reserved_requests.difference_update(requests)
        lent = {tag.decode(): since for tag, since in client.zrange(index, 0, -1, withscores=True)}
        queue.close()
    assert set(lent) == {requests[0].message.delivery_tag}
    assert lent[requests[0].message.delivery_tag] > long_ago + 900


@NEEDS_REDIS
def test_a_worker_that_is_told_to_end_keeps_what_it_was_lent_until_its_step_is_done(
    own_redis: OwnRedis, tmp_path: Path
) -> None:
    code = """
import sys
import time
from cowrie_pipeline.orchestration.celery_app import build_app
from cowrie_pipeline.settings import Settings

app = build_app(Settings(celery_broker=sys.argv[1], celery_lease_seconds=10))

@app.task(name="step")
def step():
    print("begun", flush=True)
    time.sleep(16)
    print("done", flush=True)

if __name__ == "__main__":
    worker = app.Worker(hostname="one@here", queues=["cowrie"], concurrency=1, pool="prefork", quiet=True)
    worker.start()
    raise SystemExit(worker.exitcode or 0)
"""
    script = tmp_path / "worker.py"
    script.write_text(code)
    project = str(Path(__file__).resolve().parents[2])
    build_app(Settings(celery_broker=own_redis.url(0))).send_task("step", queue="cowrie")
    command: list[str | Path] = [sys.executable, script, own_redis.url(0)]
    variables = environment(tmp_path, PYTHONPATH=project)
    with (
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True) as worker,
        redis.Redis(port=own_redis.port) as client,
    ):
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "begun\n"
            worker.send_signal(signal.SIGTERM)
            told = time.time()
            since = []
            # beyond the lease, after which Redis would give the step to another
            while time.time() < told + 12:
                time.sleep(1)
                since.append([score for _, score in client.zrange("unacked_index", 0, -1, withscores=True)])
            # beside what Celery says
            assert "done\n" in worker.stdout.read()
            assert worker.wait(60) == 0
            assert client.zcard("unacked_index") == 0
        finally:
            kill_group(worker)
    assert all(len(scores) == 1 for scores in since)
    assert since[-1][0] > told + 5


def test_a_step_may_have_processes_beside_it(tmp_path: Path) -> None:
    """Celery's are daemons, which may have none: reading large files would fail."""
    code = """
from billiard import Process
from cowrie_pipeline.cowrie.workers import Workers
from cowrie_pipeline.orchestration.celery_app import _allow_children

def step():
    _allow_children()
    with Workers(1) as workers:
        assert list(workers.map(abs, [-1, -2])) == [1, 2]

if __name__ == "__main__":
    process = Process(target=step, daemon=True)
    process.start()
    process.join(60)
    raise SystemExit(process.exitcode)
"""
    script = tmp_path / "step.py"
    script.write_text(code)
    project = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, script], check=True, env=environment(tmp_path, PYTHONPATH=project), timeout=120)
