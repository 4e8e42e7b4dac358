"""A clock that moves, log files that live, and a daemon's work done by hand in Dagster's own instance.

Runs are made as the daemon makes them, with their tags, and a run key that was used once starts nothing again.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.log_sensor import READ_LOGS_JOB, days_under_way, look, run_request
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.log_watch import WatchReport
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.steps.made_days import Event, closed, command, connect, download, login

LIVE = "cowrie.json"


def sessions_of(day: date, number: int = 3, *, sensor: str = "honeypot-1", hour: int = 10) -> list[Event]:
    """Return the events of some sessions of a day; the last of them crosses midnight."""
    events: list[Event] = []
    for each in range(number):
        of: dict[str, Any] = {
            "session": f"{day:%m%d}{hour:02d}{each:02x}{len(sensor):04x}"[:12],
            "src_ip": f"198.51.100.{day.day + each}",
            "sensor": sensor,
        }
        last = each == number - 1
        at = f"{day} 23:59:5" if last else f"{day} {hour}:00:0"
        events += [
            connect(f"{at}0", **of),
            login(f"{at}1", password=f"pass{each}", **of),
            command(f"{at}2", "uname -a", **of),
            download(f"{at}3", f"{each:064x}", **of),
            closed(f"{day + timedelta(days=1)} 00:00:04" if last else f"{at}9", **of),
        ]
    return sorted(events, key=lambda each: str(each["timestamp"]))


def lines_of(events: Sequence[Event]) -> str:
    return "".join(json.dumps(each) + "\n" for each in events)


class Honeypot:
    """A folder of logs as a honeypot keeps it: a file that grows, is rotated, compressed and removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Event] = []
        folder.mkdir(parents=True)

    def log(self, events: Sequence[Event], name: str = LIVE) -> Path:
        path = self.folder / name
        with path.open("a", encoding="utf-8") as file:
            file.write(lines_of(events))
        self.written += events
        return path

    def midnight(self, day: date) -> None:
        """Rotate the file of yesterday, compress that of the day before, and remove an old one."""
        ended, older, oldest = (self.folder / f"{LIVE}.{day - timedelta(days=ago)}" for ago in (1, 2, 4))
        if (self.folder / LIVE).exists():
            (self.folder / LIVE).rename(ended)
        if older.exists():
            older.with_name(f"{older.name}.gz").write_bytes(gzip.compress(older.read_bytes()))
            older.unlink()
        oldest.with_name(f"{oldest.name}.gz").unlink(missing_ok=True)


class Daemon:
    """What Dagster's daemon does, at times that a test sets."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance = instance
        self.settings = settings
        self.definitions = build_definitions(settings)
        self.cursor = ""
        self.started: Counter[date] = Counter()
        self.runs: list[str] = []
        self.reads = 0

    def tick(self, now: datetime, *, loses: bool = False, fails_with: dict[str, str] | None = None) -> WatchReport:
        """Let the sensor look, and start what it requests, unless the process dies before that."""
        report = look(self.instance, self.settings, now=now, cursor=self.cursor)
        if loses:
            return report
        self.cursor = report.cursor
        if report.unread:
            self.reads += 1
            self.read(now)
        for request in report.requests:
            self.start(run_request(DAILY_JOB, request), fails_with)
        return report

    def start(self, request: dg.RunRequest, fails_with: dict[str, str] | None = None) -> None:
        """Start a run and see it through; one with other settings is one that fails."""
        assert request.run_key not in self.runs, "Dagster would start nothing for this key"
        assert request.run_key is not None
        self.runs.append(request.run_key)
        tags = {name: value for name, value in request.tags.items() if name != "dagster/partition"}
        job = self.definitions.resolve_job_def(DAILY_JOB)
        with only_environment({**os.environ, **(fails_with or {})}):
            result = job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                tags={**tags, "dagster/run_key": request.run_key},
                raise_on_error=False,
            )
        assert result.success == (fails_with is None)
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        self.started.update(days_under_way([run]))

    def read(self, now: datetime) -> None:
        """Do what the job that reads large files does."""
        assert READ_LOGS_JOB in {job.name for job in self.definitions.resolve_all_job_defs()}
        warehouse = Warehouse(self.settings.database_url)
        scan_logs(warehouse, self.settings.log_paths, settings=self.settings, now=now)
        warehouse.dispose()
