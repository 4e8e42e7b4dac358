"""Dagster's own storage on a server of the test's own: its daemon ticks, runs and tells of trouble there."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import ScheduleInstigatorData, TickStatus

from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, environment, kill_group
from cowrie_pipeline_tests.contract.http_server import HttpServer, as_json
from cowrie_pipeline_tests.orchestration.days_gone_by import Honeypot, sessions_of
from cowrie_pipeline_tests.postgresql import OwnServer

PASSWORD = "pl4nted p@ss/word"
PATIENCE_SECONDS = 240


@pytest.fixture
def server() -> Iterator[OwnServer]:
    server = OwnServer()
    server.start()
    server.execute(
        f"CREATE ROLE pipeline LOGIN PASSWORD '{PASSWORD}'",
        "CREATE DATABASE dagster OWNER pipeline",
        "CREATE DATABASE cowrie OWNER pipeline",
    )
    yield server
    server.remove()


@contextmanager
def daemon(variables: dict[str, str], log: Path) -> Iterator[None]:
    """Run Dagster's daemon as its unit does, in the project's folder."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [SCRIPTS / "dagster-daemon", "run", "--workspace", PROJECT / "workspace.yaml"],
            cwd=PROJECT,
            env=variables,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            # its code server waits for the database, which may be gone
            kill_group(process)


def wait_for(what: str, is_there: Callable[[], bool], log: Path) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while not is_there():
        assert monotonic() < end, f"no {what}: {log.read_text()[-4000:]}"
        sleep(0.5)


def test_the_daemon_ticks_runs_and_tells_of_trouble_with_its_storage_on_postgresql(
    server: OwnServer, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "daemon.log"
    home.mkdir()
    shutil.copyfile(PROJECT / "deploy" / "postgres" / "dagster.yaml", home / "dagster.yaml")
    day = datetime.now(UTC).date() - timedelta(days=1)
    honeypot = Honeypot(tmp_path / "logs")
    # its last session crosses midnight, so that yesterday has lines, too; two more fail a check
    path = honeypot.log(sessions_of(day - timedelta(days=1)))
    with path.open("a") as file:
        file.write("no JSON at all\n" * 2)
    with HttpServer(lambda _: as_json({})) as hook:
        receivers = tmp_path / "alerts.toml"
        url = f"http://127.0.0.1:{hook._server.server_address[1]}/hook"
        receivers.write_text(f'[[receiver]]\nname = "hook"\nkind = "webhook"\nurl = "{url}"\n')
        variables = environment(
            tmp_path,
            DAGSTER_HOME=home,
            DAGSTER_PG_HOST="127.0.0.1",
            DAGSTER_PG_PORT=str(server.port),
            DAGSTER_PG_DB="dagster",
            DAGSTER_PG_USER="pipeline",
            DAGSTER_PG_PASSWORD=PASSWORD,
            COWRIE_DB_URL=server.url("cowrie", user="pipeline", password="pl4nted%20p%40ss%2Fword"),
            COWRIE_LOGS=tmp_path / "logs",
            COWRIE_WATCH_SECONDS="5",
            COWRIE_ALERTS_FILE=receivers,
            PYTHONPATH=PROJECT,
        )
        with only_environment(variables), dg.DagsterInstance.from_config(str(home)) as instance:

            def well(name: str) -> list[str]:
                """Return the ids of the runs that a schedule's or sensor's ticks requested."""
                return [
                    run
                    for state in instance.all_instigator_state()
                    if state.name == name
                    for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
                    if tick.status == TickStatus.SUCCESS
                    for run in tick.run_ids
                ]

            def has_succeeded(runs: list[str]) -> bool:
                records = instance.get_run_records(dg.RunsFilter(run_ids=runs)) if runs else []
                return any(each.dagster_run.status == dg.DagsterRunStatus.SUCCESS for each in records)

            with daemon(variables, log):
                wait_for("tick of the sensor, and its run", lambda: has_succeeded(well("log_files")), log)
                # of a check of the run, which is read in Dagster's event log
                wait_for("alert", lambda: any(b"dead_letter_share" in each.body for each in hook.asked), log)
            # the daemon is told that it was down since yesterday, and makes up for the schedule's tick
            (state,) = (each for each in instance.all_instigator_state() if each.name == "yesterday")
            assert isinstance(state.instigator_data, ScheduleInstigatorData)
            before = (datetime.now(UTC) - timedelta(days=1, hours=1)).timestamp()
            instance.update_instigator_state(
                state.with_data(ScheduleInstigatorData(state.instigator_data.cron_schedule, before))
            )
            with daemon(variables, log):
                wait_for("tick of the schedule, and its run", lambda: has_succeeded(well("yesterday")), log)
            # what it says it is
            assert type(instance.run_storage).__name__ == "PostgresRunStorage"
            assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
            assert type(instance.schedule_storage).__name__ == "PostgresScheduleStorage"
            assert instance.get_concurrency_config().run_queue_config is not None
            assert instance.run_monitoring_enabled
            assert instance.get_settings("retention")["schedule"] == {"purge_after_days": 90}
            assert "pl4nted" not in json.dumps(instance.info_dict(), default=str)
            runs = [run for run in instance.get_runs() if run.job_name == "daily"]
            assert {run.tags.get("dagster/partition") for run in runs} >= {str(day)}
    assert not list(tmp_path.rglob("runs.db"))
    for path in (log, *(each for each in tmp_path.rglob("*") if each.is_file())):
        assert b"pl4nted" not in path.read_bytes(), path
