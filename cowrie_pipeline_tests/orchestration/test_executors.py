"""COWRIE_EXECUTOR: who does the steps of every job, what is said where that cannot be, and which queue a step is in."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.orchestration import executors
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.executors import build_executor
from cowrie_pipeline.orchestration.pools import CASCADE
from cowrie_pipeline.orchestration.queues import QUEUES, SCARCE
from cowrie_pipeline.settings import Settings, SettingsError
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.orchestration.definitions_text import START_DATE, describe, present

BROKER = "redis://:hunter2@redis.example:6379/0"
POSTGRES = "postgresql+psycopg://cowrie@db.example/cowrie"
KINDS = {
    "in_process": Settings(start_date=START_DATE),
    "multiprocess": Settings(start_date=START_DATE, executor="multiprocess"),
    "celery": Settings(start_date=START_DATE, executor="celery", celery_broker=BROKER, db_url=POSTGRES),
}
OF_KINDS = pytest.mark.parametrize("kind", KINDS)


@OF_KINDS
def test_every_job_has_the_executor_that_is_set(kind: str) -> None:
    definitions = build_definitions(KINDS[kind])
    dg.Definitions.validate_loadable(definitions)
    jobs = definitions.resolve_all_job_defs()
    # also the one by which the UI materializes assets
    assert {"__ASSET_JOB", DAILY_JOB, "read_logs", "retention"} <= {job.name for job in jobs}
    assert {job.executor_def.name for job in jobs} == {kind}


@OF_KINDS
def test_the_definitions_are_the_same_whoever_does_the_steps(kind: str) -> None:
    ours = describe(build_definitions(KINDS[kind]))
    # but for the pool that keeps chunks of addresses from being looked up at once
    assert ours.replace(f"  pools: {CASCADE}\n", "") == describe(present()).replace(f"  pools: {CASCADE}\n", "")


@pytest.mark.parametrize(("kind", "pool"), [("in_process", CASCADE), ("multiprocess", None), ("celery", None)])
def test_chunks_are_looked_up_at_once_where_several_can_be(kind: str, pool: str | None) -> None:
    assert ops(build_definitions(KINDS[kind]))["enrich_addresses_op"].pool == pool


def test_steps_that_ask_a_scarce_service_are_in_the_queue_for_them_and_others_in_the_default_one() -> None:
    queues = {name: op.tags.get("dagster-celery/queue") for name, op in ops(present()).items()}
    scarce = {name for name, queue in queues.items() if queue == SCARCE}
    assert scarce == {"file_reputation", "password_exposure"}
    assert {queue for queue in queues.values() if queue is not None} <= set(QUEUES)


def ops(definitions: dg.Definitions) -> dict[str, dg.OpDefinition]:
    found = {}
    for job in definitions.resolve_all_job_defs():
        for handle in job.graph.iterate_node_handles():
            definition = job.get_node(handle).definition
            if isinstance(definition, dg.OpDefinition):
                found[handle.name] = definition
    return found


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (Settings(executor="celery", db_url=POSTGRES), "COWRIE_CELERY_BROKER is not set.*redis://host:6379/0"),
        (Settings(executor="celery", celery_broker=BROKER), "SQLite database.*db move"),
        (
            Settings(executor="celery", celery_broker=BROKER, db_url="sqlite:////srv/cowrie.db"),
            "SQLite database.*db move",
        ),
    ],
    ids=["no broker", "no database", "sqlite"],
)
def test_what_celery_lacks_is_said_with_what_to_do(settings: Settings, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong) as refused:
        build_definitions(settings)
    assert "hunter2" not in str(refused.value)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'cowrie_pipeline\[celery\]'"):
        build_executor(KINDS["celery"])


def test_without_celery_nothing_of_it_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from cowrie_pipeline.definitions import defs; import cowrie_pipeline.cli.main;"
        "assert not {'celery', 'dagster_celery', 'redis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(tmp_path), cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "variables", "wrong"),
    [
        ((), {}, "COWRIE_CELERY_BROKER is not set"),
        ((), {"COWRIE_CELERY_BROKER": BROKER}, "SQLite"),
        ((), {"COWRIE_CELERY_BROKER": "amqp://hunter2@localhost"}, "must be redis://host:port/number"),
        (("--queue", "other"), {"COWRIE_CELERY_BROKER": BROKER}, "--queue must be one of cowrie, scarce"),
        ((), {"COWRIE_CELERY_BROKER": BROKER, "COWRIE_DB_URL": POSTGRES}, "COWRIE_EXECUTOR is in_process"),
    ],
    ids=["no broker", "sqlite", "other broker", "other queue", "other executor"],
)
def test_a_worker_that_cannot_work_says_why_and_ends(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], wrong: str
) -> None:
    done = invoke(tmp_path, "worker", *arguments, **variables)
    assert done.code == 2
    assert wrong in " ".join(done.err.split())
    assert "hunter2" not in done.err + done.out
