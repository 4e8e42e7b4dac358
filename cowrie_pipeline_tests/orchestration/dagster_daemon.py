"""Dagster's own daemon, an iteration at a time, under a clock of the whole process that a test moves.

Ticks, cursors, run keys and catching up are Dagster's. Only the processes are left out: code is loaded into the tests'
process, and a run is over when it has been launched.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self
from unittest import mock

import dagster as dg
import time_machine
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSensor
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon import sensor as sensor_daemon
from dagster._scheduler.scheduler import launch_scheduled_runs
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.engine import make_url

from cowrie_pipeline import definitions
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.log_sensor import LOG_SENSOR, days_under_way

_LOGGER = logging.getLogger("dagster_daemon")
_OURS = LoadableTargetOrigin(module_name="cowrie_pipeline.definitions", attribute="defs")
_HANG_MS = 600_000
_RUNS_IN_THIS_PROCESS = {
    "telemetry": {"enabled": False},
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
}


@contextmanager
def dagster_home(folder: Path, postgres_url: str | None) -> Iterator[None]:
    """Make a DAGSTER_HOME whose storage is files in `folder`, or a PostgreSQL database."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = dict(_RUNS_IN_THIS_PROCESS)
    if postgres_url is not None:
        dagsters = make_url(postgres_url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        config["storage"] = {"postgres": {"postgres_url": dagsters}}
    (folder / "dagster.yaml").write_text(json.dumps(config))  # which is YAML
    with mock.patch.dict(os.environ, {"DAGSTER_HOME": str(folder)}):
        yield


class DagsterDaemon:
    """The daemon of one DAGSTER_HOME from one start to its end; `schedules` are those that are switched on."""

    def __init__(self, clock: time_machine.Traveller, schedules: Sequence[str]) -> None:
        self._clock = clock
        self._schedules = schedules
        self._iterations: dict[str, Any] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.instance = self._open.enter_context(dg.DagsterInstance.get())
        # else its storage on PostgreSQL connects anew for each event, which costs more than the event
        self.instance.optimize_for_webserver(statement_timeout=_HANG_MS, pool_recycle=-1, max_overflow=20)
        # a daemon that starts loads the code with the settings of now
        self._open.enter_context(mock.patch.object(definitions, "defs", build_definitions()))
        target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(_OURS, location_name="ours"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what Dagster itself reads of a schedule
            self._workspace = self._open.enter_context(create_test_daemon_workspace_context(target, self.instance))
        # what is evaluated in a process of its own opens the instance anew, which costs more than all else of a tick
        once = mock.patch.object(dg.DagsterInstance, "from_ref", return_value=nullcontext(self.instance))
        self._open.enter_context(once)
        # and the storage in SQLite compiles its statements anew for each event, unless it keeps its engines
        for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
            self._open.enter_context(mock.patch.object(storage, "create_engine", _kept_engines()))
        # Dagster shuffles them, and has them tick at once
        in_order = mock.patch.object(sensor_daemon, "shuffled_round_robin_by_key", _log_files_first)
        self._open.enter_context(in_order)
        for schedule in self._repository().get_schedules():
            if schedule.name not in self._schedules:
                self.instance.stop_schedule(
                    schedule.get_remote_origin_id(), schedule.selector_id, remote_schedule=schedule
                )
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def tick(self, now: datetime) -> None:
        """Set the clock, and have all schedules and sensors tick that are due."""
        self._clock.move_to(now)
        for _ in launch_scheduled_runs(self._workspace, _LOGGER, now, self._iterations):
            pass
        for _ in sensor_daemon.execute_sensor_iteration(self._workspace, _LOGGER, None, None):
            pass

    def forget_cursor(self, sensor: str) -> None:
        """Have a sensor begin anew, as if the daemon had been installed anew."""
        (found,) = (each for each in self._repository().get_sensors() if each.name == sensor)
        self.instance.reset_sensor(found)

    def _repository(self) -> Any:
        (entry,) = self._workspace.create_request_context().get_code_location_entries().values()
        assert entry.code_location is not None, entry.load_error
        (repository,) = entry.code_location.get_repositories().values()
        return repository


def _log_files_first(sensors: Iterable[RemoteSensor], **_: object) -> list[RemoteSensor]:
    return sorted(sensors, key=lambda each: (each.name != LOG_SENSOR, each.name))


def _kept_engines() -> Callable[..., Engine]:
    """Return a `create_engine` that makes one for each URL; of those with a NullPool, which keep no connection."""
    engines: dict[str, Engine] = {}

    def create(url: str, **options: Any) -> Engine:
        assert options["poolclass"] is NullPool
        if url not in engines:
            engines[url] = create_engine(url, **options)
        return engines[url]

    return create


def days_of_runs(instance: dg.DagsterInstance) -> list[tuple[date, ...]]:
    """Return the days of each run of the daily job."""
    runs = instance.get_runs(filters=dg.RunsFilter(job_name=DAILY_JOB))
    return [tuple(sorted(days_under_way([run]))) for run in runs]
