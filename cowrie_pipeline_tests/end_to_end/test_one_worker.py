"""A day made by other processes than the run's: by a worker, with Redis and PostgreSQL, or by one for each step."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
import redis

from cowrie_pipeline.observability.processes import this_process
from cowrie_pipeline.orchestration.processes import PROCESS_TAG
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, environment
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.orchestration.days_gone_by import Honeypot, sessions_of
from cowrie_pipeline_tests.postgresql import OwnServer
from cowrie_pipeline_tests.redis_server import PROGRAM, OwnRedis
from cowrie_pipeline_tests.steps.made_days import span

pytestmark = pytest.mark.long

NEEDS_REDIS = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
DAY = span("2026-03-01").first
OF_REDIS, OF_POSTGRES = "pl4ntedredis", "pl4ntedpostgres"
PATIENCE_SECONDS = 300


@pytest.fixture
def server() -> Iterator[OwnServer]:
    server = OwnServer()
    server.start()
    server.execute(
        f"CREATE ROLE pipeline LOGIN PASSWORD '{OF_POSTGRES}'",
        *(f"CREATE DATABASE {name} OWNER pipeline" for name in ("dagster", "cowrie", "other")),
    )
    yield server
    server.remove()


@pytest.fixture
def broker() -> Iterator[OwnRedis]:
    server = OwnRedis()
    server.start()
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", OF_REDIS)
    yield server
    server.remove()


def run_day(variables: dict[str, str], log: Path) -> None:
    """Run the daily job for the day in a process, as Dagster's launcher does."""
    tags = json.dumps({"dagster/partition": DAY.isoformat()})
    command = ["job", "execute", "-m", "cowrie_pipeline.definitions", "-j", "daily", "--tags", tags]
    with log.open("ab") as file:
        subprocess.run(
            [SCRIPTS / "dagster", *command],
            cwd=log.parent,
            env=variables,
            stdout=file,
            stderr=file,
            timeout=PATIENCE_SECONDS,
            check=True,
        )


@NEEDS_REDIS
def test_a_worker_does_a_day_in_chunks_like_one_process_and_ends_when_it_is_told_to(
    server: OwnServer, broker: OwnRedis, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "worker.log"
    home.mkdir()
    shutil.copyfile(PROJECT / "deploy" / "postgres" / "dagster.yaml", home / "dagster.yaml")
    Honeypot(tmp_path / "logs").log(sessions_of(DAY))

    def url(name: str) -> str:
        return server.url(name, user="pipeline", password=OF_POSTGRES)

    def redis_url(number: int) -> str:
        return f"redis://:{OF_REDIS}@127.0.0.1:{broker.port}/{number}"

    variables = environment(
        tmp_path,
        DAGSTER_HOME=home,
        DAGSTER_PG_HOST="127.0.0.1",
        DAGSTER_PG_PORT=str(server.port),
        DAGSTER_PG_DB="dagster",
        DAGSTER_PG_USER="pipeline",
        DAGSTER_PG_PASSWORD=OF_POSTGRES,
        COWRIE_DB_URL=url("cowrie"),
        COWRIE_LOGS=tmp_path / "logs",
        COWRIE_EXECUTOR="celery",
        COWRIE_CELERY_BROKER=redis_url(0),
        COWRIE_CELERY_BACKEND=redis_url(1),
        COWRIE_CHUNK_ADDRESSES="1",
        PYTHONPATH=PROJECT,
    )
    with log.open("ab") as file:
        command: list[str | Path] = [SCRIPTS / "cowrie-pipeline", "worker", "--concurrency", "2"]
        worker = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=file, stderr=file)
    try:
        run_day(variables, tmp_path / "run.log")
        shown = [part for each in psutil.process_iter() for part in each.as_dict(["cmdline"])["cmdline"] or ()]
        assert any("worker" in part for part in shown)
        assert not any("pl4nted" in part for part in shown)
    finally:
        worker.send_signal(signal.SIGTERM)
        ended = worker.wait(PATIENCE_SECONDS)
    assert ended == 0, log.read_text()[-3000:]
    with only_environment(variables), dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        # known as a run of the process that waited for the worker
        assert run.tags[PROCESS_TAG].split(":")[0] == this_process().split(":")[0]
        assert "pl4nted" not in json.dumps([run.run_config, dict(run.tags)])
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
        messages = [event.message or "" for event in events]
    assert any('"file_reputation" to queue "scarce"' in message for message in messages)
    assert any('"raw_sessions" to queue "cowrie"' in message for message in messages)
    assert sum("in celery worker" in message for message in messages) == sum(
        event.event_type == dg.DagsterEventType.STEP_START for event in events
    )
    chunks = {event.step_key for event in events if "enrich_addresses_op[" in (event.step_key or "")}
    assert len(chunks) > 1
    assert not any("pl4nted" in message for message in messages)
    # nor is anything that a worker gives another in a file
    assert not list((tmp_path / "var").rglob("enrich_addresses_op*"))
    for path in (log, tmp_path / "run.log", *(each for each in tmp_path.rglob("*") if each.is_file())):
        assert b"pl4nted" not in path.read_bytes(), path

    alone = variables | {"COWRIE_EXECUTOR": "in_process", "COWRIE_DB_URL": url("other")}
    del alone["COWRIE_CHUNK_ADDRESSES"]
    run_day(alone, tmp_path / "alone.log")
    found = all_facts(url("cowrie"))
    assert found["session_summaries"]
    assert found == all_facts(url("other"))


def test_a_process_for_each_step_makes_the_same_of_a_day_in_sqlite(tmp_path: Path) -> None:
    Honeypot(tmp_path / "logs").log(sessions_of(DAY))
    found = []
    for executor in ("in_process", "multiprocess"):
        home = tmp_path / executor
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        variables = environment(
            tmp_path,
            DAGSTER_HOME=home,
            COWRIE_DB_URL=f"sqlite:///{home / 'cowrie.db'}",
            COWRIE_LOGS=tmp_path / "logs",
            COWRIE_EXECUTOR=executor,
            COWRIE_CHUNK_ADDRESSES="2",
            PYTHONPATH=PROJECT,
        )
        run_day(variables, tmp_path / f"{executor}.log")
        with only_environment(variables), dg.DagsterInstance.from_config(str(home)) as instance:
            (run,) = instance.get_runs()
            assert run.status == dg.DagsterRunStatus.SUCCESS
            messages = [
                entry.dagster_event.message or "" for entry in instance.all_logs(run.run_id) if entry.dagster_event
            ]
        if executor == "multiprocess":
            # the run is that of the process that waits, not of a step's, which is gone when the next begins
            waiting = run.tags[PROCESS_TAG].split(":")[1]
            assert any(f"parent process (pid: {waiting})" in message for message in messages)
        found.append(all_facts(f"sqlite:///{home / 'cowrie.db'}"))
    assert found[0]["session_summaries"]
    assert found[1] == found[0]
