"""The pipeline as it is installed: a code server, Dagster's daemon, runs in processes of their own, PostgreSQL.

All are the test's own, each may be killed at any moment, and everything they write is below one folder.
"""

import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import dagster as dg
import psutil
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cowrie_pipeline.orchestration.processes import PROCESS_TAG
from cowrie_pipeline.steps.log_watch import Status
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.tables import day_requests, step_runs
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, environment, kill_group
from cowrie_pipeline_tests.postgresql import OwnServer

# a hang, on the slowest machine: nothing here depends on how long anything takes
_PATIENCE_SECONDS = 400.0
_LOOK_EVERY_SECONDS = 0.05


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert monotonic() < until, f"waited in vain for {what}"
        sleep(_LOOK_EVERY_SECONDS)


def storage_of_dagster(server: OwnServer) -> dict[str, Any]:
    """Make a database for Dagster's own records, and return the variables that lead there."""
    server.execute("CREATE DATABASE dagster")
    return {
        "DAGSTER_PG_HOST": "127.0.0.1",
        "DAGSTER_PG_PORT": str(server.port),
        "DAGSTER_PG_DB": "dagster",
        "DAGSTER_PG_USER": "postgres",
        "DAGSTER_PG_PASSWORD": "",
    }


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Dagster knows it: its days, and what became of it."""

    run_id: str
    days: str
    status: dg.DagsterRunStatus
    is_retry: bool


class Site:
    """One installation. Its daemon looks at the folder `logs` every few seconds.

    Args:
        folder: where everything is written; made here.
        url: the pipeline's database.
        instance: what dagster.yaml says; by default that of the project's root.
        workers: how many of Celery's workers there are, one step each.
        variables: more settings.
    """

    def __init__(
        self, folder: Path, url: str, *, instance: str | None = None, workers: int = 0, **variables: str | Path
    ) -> None:
        self._names_of_workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.folder = folder
        self.url = url
        self.logs = folder / "logs"
        self._home = folder / "home"
        for made in (self.logs, self._home):
            made.mkdir(parents=True)
        (self._home / "dagster.yaml").write_text(instance or (PROJECT / "dagster.yaml").read_text())
        socket_path = folder / "code.sock"
        location = {"grpc_server": {"socket": str(socket_path), "location_name": "cowrie_pipeline"}}
        self._workspace = folder / "workspace.yaml"
        self._workspace.write_text(json.dumps({"load_from": [location]}))
        self._socket = socket_path
        self._variables = environment(
            folder,
            DAGSTER_HOME=self._home,
            COWRIE_DB_URL=url,
            COWRIE_LOGS=self.logs,
            COWRIE_WATCH_SECONDS="5",
            **variables,
        )
        self._code_server: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what is not there: the workers, the code server, as the unit of systemd does, and the daemon."""
        for name in self._names_of_workers:
            if name not in self._workers:
                self._workers[name] = self._process(name, "cowrie-pipeline", "worker", "--concurrency", "1")
        if self._code_server is None:
            self._socket.unlink(missing_ok=True)
            of_module = ("--module-name", "cowrie_pipeline.definitions", "--location-name", "cowrie_pipeline")
            self._code_server = self._process(
                "code-server", "dagster", "api", "grpc", *of_module, "--socket", str(self._socket)
            )
            wait_for("the code server", self._is_listening)
        if self._daemon is None:
            self._daemon = self._process("daemon", "dagster-daemon", "run", "--workspace", str(self._workspace))

    def _process(self, name: str, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                [SCRIPTS / program, *arguments],
                cwd=PROJECT,
                env=self._variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _is_listening(self) -> bool:
        assert self._code_server is not None
        assert self._code_server.poll() is None, self.told()
        with socket.socket(socket.AF_UNIX) as asked:
            return asked.connect_ex(str(self._socket)) == 0

    def told(self) -> str:
        """Return the end of what the processes had to say."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def kill_daemon(self) -> None:
        """Kill the daemon alone: runs are children of the code server."""
        kill_group(self._daemon)
        self._daemon = None

    def kill_worker_of(self, pid: int) -> None:
        """Kill the worker to which a process belongs, with that process."""
        parents = {parent.pid for parent in psutil.Process(pid).parents()}
        (name,) = (name for name, worker in self._workers.items() if worker.pid in parents)
        kill_group(self._workers.pop(name))

    def kill_everything(self) -> None:
        """Kill the daemon, the workers, the code server and the runs, as when the machine loses its power."""
        self.kill_daemon()
        while self._workers:
            kill_group(self._workers.popitem()[1])
        kill_group(self._code_server)
        self._code_server = None

    def kill_run(self) -> str:
        """Kill the process of the run that is under way, and return the run's id."""
        with self.instance() as instance:
            (run,) = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        process = psutil.Process(int(run.tags[PROCESS_TAG].split(":")[1]))
        assert self._code_server is not None
        assert self._code_server.pid in {parent.pid for parent in process.parents()}
        process.kill()
        return run.run_id

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Open the site's Dagster instance."""
        with only_environment(self._variables), dg.DagsterInstance.from_config(str(self._home)) as instance:
            yield instance

    def runs(self) -> list[Run]:
        """Return every run, the first first."""
        with self.instance() as instance:
            return [
                Run(
                    run.run_id,
                    run.tags.get("dagster/asset_partition_range_start") or run.tags.get("dagster/partition") or "",
                    run.status,
                    run.parent_run_id is not None,
                )
                for run in reversed(instance.get_runs())
            ]

    def retries(self) -> list[str]:
        """Return why steps were tried again."""
        with self.instance() as instance:
            errors = [
                entry.get_dagster_event().step_retry_data.error
                for run in instance.get_runs()
                for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
            ]
        return [error.cause.message.strip() for error in errors if error is not None and error.cause is not None]

    def workers_of(self, run_id: str) -> dict[str, str]:
        """Return which worker did each step of a run, the last one where there were several."""
        with self.instance() as instance:
            entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        found = {}
        for entry in entries:
            event = entry.get_dagster_event()
            if event.step_key is not None and (worker := event.engine_event_data.metadata.get("Celery worker")):
                found[event.step_key] = str(worker.value)
        return found

    def why_failed(self, run_id: str) -> list[str]:
        """Return what is said of the failure of a run and of its steps."""
        told = {
            dg.DagsterEventType.RUN_FAILURE,
            dg.DagsterEventType.STEP_FAILURE,
            dg.DagsterEventType.STEP_UP_FOR_RETRY,
        }
        with self.instance() as instance:
            entries = instance.all_logs(run_id, of_type=told)
        found = []
        for entry in entries:
            event = entry.get_dagster_event()
            data: Any = event.event_specific_data
            error = getattr(data, "error", None)
            found.append(f"{event.step_key}: {event.message} {'' if error is None else error.to_string()}")
        return found

    def wait_until_done(self, days: int) -> None:
        """Wait until so many days have been asked for and all of them are done."""
        wait_for(f"{days} days done, {self.states()}", lambda: self.states() == [Status.DONE] * days)

    def states(self) -> list[str]:
        """Return what became of the days that were asked for, in order."""
        return [str(row["status"]) for row in self._rows(select(day_requests).order_by(day_requests.c.day))]

    def wait_for_work(self, first_day: object, *, entries: int) -> None:
        """Wait until the journal has so many entries of a run whose first day this is."""
        of_run = select(step_runs).where(step_runs.c.first_day == first_day)
        wait_for(f"{entries} entries of {first_day}", lambda: len(self._rows(of_run)) >= entries)

    def _rows(self, statement: Any) -> list[Mapping[str, Any]]:
        warehouse = Warehouse(self.url)
        try:
            with warehouse.read() as connection:
                return [dict(row) for row in connection.execute(statement).mappings()]
        except (SQLAlchemyError, WarehouseError):  # no schema yet, or no server now
            return []
        finally:
            warehouse.dispose()


@contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a new folder: a socket's path may have about 100 characters, which pytest's own folders can exceed."""
    folder = Path(tempfile.mkdtemp(prefix="site"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
