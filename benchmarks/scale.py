"""The figure `scale`: ten million events, day by day into one database, and what the last cost beside the first.

The command is run as an operator would: once for each ten days, on a folder into which their files have come, and
twice for one day alone, early and late. What each step used is read off what was noted of all processes while it ran.

Belongs here: the days, the runs, what is held against what. Does not belong here: counting what a database holds
(growth.py), watching processes (measure.py).
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from time import time
from typing import Any

from benchmarks.figures import Bench, Row, Skipped, Target, installed
from benchmarks.inputs import FIRST_DAY
from benchmarks.measure import Measured, MeasureError, Used, run_command, run_task, used_between

__all__ = ["LONG_FIGURES"]

_EVENTS = 10_000_000
# About 300,000 of them come.
_ADDRESSES_DRAWN = 412_000
# One day after the first ten and one at the end are runs of their own.
_DAYS_OF_RUNS = (10, 1, *[10] * 9, 1)
_EARLY_DAY, _LATE_DAY = 1, len(_DAYS_OF_RUNS) - 1
_FIRST_DAYS, _LAST_DAYS = 0, len(_DAYS_OF_RUNS) - 2
# The earlier system held 1,680,000 sessions in 61 GB.
_EARLIER_BYTES_PER_SESSION = 61e9 / 1_680_000
_STAGES = {
    "reading logs": "load",
    "raw_sessions": "load",
    "inventories": "enrich",
    "session_snapshots": "snapshots",
    "asn_session_counts": "daily counts",
    "file_reputation": "files and passwords",
    "password_exposure": "files and passwords",
    "attack_report": "reports",
    "attack_report_30_days": "reports",
}
_CHECKS, _REST = "checks", "start, end and Dagster"


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the command over some days, and what the database came to by it."""

    first: date
    last: date
    measured: Measured
    result: Mapping[str, Any]
    stages: Mapping[str, Used]
    steps: Mapping[str, Used]
    size: Mapping[str, int]

    @property
    def events(self) -> int:
        return int(self.result["lines_read"])

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the command and of the server."""
        return sum(used.cpu_seconds + used.server_cpu_seconds for used in self.stages.values())

    def in_short(self) -> str:
        """Say what it took, in one line."""
        stages = ", ".join(
            f"{name} {used.cpu_seconds:.1f}+{used.server_cpu_seconds:.1f}" for name, used in self.stages.items()
        )
        return (
            f"{self.events:,} events, {self.measured.seconds:.0f} s, {self.measured.peak_mb:.0f} MB, database "
            f"{self.size['bytes'] / 1e6:,.0f} MB; processor seconds of the command and the server: {stages}"
        )

    def as_object(self) -> dict[str, Any]:
        return {
            "first_day": str(self.first),
            "last_day": str(self.last),
            "events": self.events,
            "seconds": self.measured.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_mb": self.measured.peak_mb,
            "server_peak_mb": max(used.server_peak_mb for used in self.stages.values()),
            **self.size,
            "stages": {name: asdict(used) for name, used in self.stages.items()},
            "steps": {name: asdict(used) for name, used in self.steps.items()},
        }


def grow(bench: Bench, dialect: str) -> Iterator[Row | Skipped]:
    """Run the command over day after day, and hold the last days against the first, and bytes against the earlier."""
    source = bench.inputs.growing(_EVENTS, addresses=_ADDRESSES_DRAWN, days=sum(_DAYS_OF_RUNS))
    with bench.databases.fresh(dialect) as url:
        runs = list(_runs(bench, dialect, url, source))
        early, late = runs[_FIRST_DAYS], runs[_LAST_DAYS]
        checks = run_task("check_seconds", url=url, first=str(late.first), last=str(late.last)).result["seconds"]
        due = run_task("due_seconds", url=url, day=str(runs[_LATE_DAY].first)).result
        found = run_task("held", url=url).result
        backup = _backup(bench, dialect, url)
    events = sum(run.events for run in runs)
    if found["events"] != events:
        raise MeasureError(f"expected {events} events in sessions, found {found['events']}")
    peak_mb = max(run.measured.peak_mb for run in runs)
    for what, first, last, limit in (
        ("ten days", early, late, 1.2),
        ("one day", runs[_EARLY_DAY], runs[_LATE_DAY], 1.5),
    ):
        cost, cost_before = (run.cpu_seconds / run.events * 1e6 for run in (last, first))
        yield Row(
            figure=f"{what} at {events:,} events",
            database=dialect,
            value=cost,
            unit="s of processors per 1,000,000 events",
            reference=cost_before,
            reference_unit=f"s for {what} at {sum(run.events for run in runs[: runs.index(first) + 1]):,} events",
            ratio=cost / cost_before,
            ratio_of="cost before",
            targets=(Target(f"at most {limit}", cost / cost_before <= limit),),
            peak_mb=last.measured.peak_mb,
            details={"first": first.as_object(), "last": last.as_object()},
        )
    size = runs[-1].size["bytes"]
    per_session = size / found["sessions"]
    yield Row(
        figure=f"storage of {found['sessions']:,} sessions",
        database=dialect,
        value=per_session,
        unit="bytes per session",
        reference=_EARLIER_BYTES_PER_SESSION,
        reference_unit="bytes in the earlier system",
        ratio=per_session / _EARLIER_BYTES_PER_SESSION,
        ratio_of="bytes in the earlier system",
        targets=(Target("at most 0.1", per_session <= _EARLIER_BYTES_PER_SESSION / 10),),
        peak_mb=peak_mb,
        details={
            "logs_bytes": sum(path.stat().st_size for path in source.rglob("cowrie.json*")),
            **found,
            "backup": backup,
            "seconds": sum(run.measured.seconds for run in runs),
            "cpu_seconds": sum(run.cpu_seconds for run in runs),
            "stages": {name: _together([run.stages[name] for run in runs]) for name in runs[0].stages},
            "runs": [run.as_object() for run in runs],
            "check_seconds_of_last_days": checks,
            "due_of_last_day": due,
        },
    )


def _runs(bench: Bench, dialect: str, url: str, source: Path) -> Iterator[_Run]:
    state = bench.folder / f"state-scale-{dialect}"
    environment = installed(state, "telemetry: {enabled: false}\n") | {"COWRIE_GEOIP_DIR": str(bench.inputs.geoip)}
    logs = bench.folder / f"logs-scale-{dialect}"
    first = FIRST_DAY
    for number, days in enumerate(_DAYS_OF_RUNS):
        last = first + timedelta(days=days - 1)
        _bring(source, logs, first, last, is_end=number == _LATE_DAY)
        command = [str(Path(sys.executable).with_name("cowrie-pipeline")), "run", "--json", "--db", url]
        command += ["--logs", str(logs), "--from", str(first), "--to", str(last)]
        print(f"  {first} to {last} ...", file=sys.stderr, flush=True)
        began_at = time()
        measured = run_command(
            command, environment=environment, folder=str(state), server_pid=bench.databases.server_pid(dialect)
        )
        result = measured.result
        if len(result["days"]) != days or not result["ok"]:
            raise MeasureError(f"expected {days} days that are well, found {result['days']}: {result['errors']}")
        steps = run_task("steps_taken", url=url, state=str(state), runs=result["runs"]).result["steps"]
        whole = used_between(measured.moments, began_at, began_at + measured.seconds)
        of_steps = {name: used_between(measured.moments, start, end) for name, start, end in steps}
        stages = _stages(of_steps, whole)
        size = run_task("database_size", url=url).result
        run = _Run(first, last, measured, result, stages, of_steps, size)
        print(f"    {run.in_short()}", file=sys.stderr, flush=True)
        yield run
        first = last + timedelta(days=1)


def _bring(source: Path, logs: Path, first: date, last: date, *, is_end: bool) -> None:
    """Link the files of some days into the folder that is watched; at the end, also those still being written."""
    names = [f"cowrie.json.{first + timedelta(days=number)}" for number in range((last - first).days + 1)]
    for sensor in source.iterdir():
        (logs / sensor.name).mkdir(parents=True, exist_ok=True)
        for name in [*names, "cowrie.json"] if is_end else names:
            if (sensor / name).exists():
                os.link(sensor / name, logs / sensor.name / name)


def _stages(of_steps: Mapping[str, Used], whole: Used) -> dict[str, Used]:
    """Add steps up to stages; what is in none of them is what the command itself and Dagster take."""
    stages: dict[str, list[Used]] = {name: [] for name in (*dict.fromkeys(_STAGES.values()), _CHECKS)}
    for key, used in of_steps.items():
        stages[_CHECKS if key.startswith("check_") else _STAGES[key.partition(".")[0]]].append(used)
    summed = {name: Used(**_together(some)) for name, some in stages.items()}

    def rest(of: Callable[[Used], float]) -> float:
        return max(of(whole) - sum(map(of, summed.values())), 0.0)

    return summed | {
        _REST: Used(
            seconds=rest(lambda used: used.seconds),
            cpu_seconds=rest(lambda used: used.cpu_seconds),
            server_cpu_seconds=rest(lambda used: used.server_cpu_seconds),
            peak_mb=whole.peak_mb,
            server_peak_mb=whole.server_peak_mb,
        )
    }


def _together(some: Sequence[Used]) -> dict[str, float]:
    """Add times up, and take the most of memory."""
    return {
        **{
            name: sum(getattr(used, name) for used in some) for name in ("seconds", "cpu_seconds", "server_cpu_seconds")
        },
        **{name: max((getattr(used, name) for used in some), default=0.0) for name in ("peak_mb", "server_peak_mb")},
    }


def _backup(bench: Bench, dialect: str, url: str) -> dict[str, float]:
    """Make a backup; it is a command of its own, and where there is no `pg_dump` there is none."""
    path = bench.folder / f"backup-{dialect}"
    command = [str(Path(sys.executable).with_name("cowrie-pipeline")), "db", "backup", str(path), "--db", url]
    try:
        made = run_command(command)
    except MeasureError as error:
        print(f"  no backup: {error}", file=sys.stderr)
        return {}
    size = path.stat().st_size
    path.unlink()
    return {"seconds": made.seconds, "cpu_seconds": made.cpu_seconds, "peak_mb": made.peak_mb, "bytes": size}


# Not measured unless they are named: each takes as long as all others together.
LONG_FIGURES: Mapping[str, Callable[[Bench, str], Iterator[Row | Skipped]]] = {"scale": grow}
