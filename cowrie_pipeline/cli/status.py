"""The command `status`: what is done now, and the state of the database, in one screen, once or as it changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any

import msgspec
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline.cli.console import OUT, harmless, made_table, print_json, print_line
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.observability.status_files import Status, Work, WorkState, read_status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import coverage_by_day, look_ups_by_day
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import WarehouseError
from cowrie_pipeline.warehouse.tables import dead_letters, loaded_days, log_files, log_segments, metadata, step_runs

__all__ = ["show_status", "watch_status"]

_SHOWN_TABLES = (
    "session_summaries",
    "session_days",
    "login_attempts",
    "commands",
    "session_files",
    "tunnels",
    "client_keys",
    "ip_inventory",
    "asn_inventory",
    "asn_session_counts",
    "enrichment_cache",
)
# Coverage is shown of the newest days: of all time it would say little, and take long.
_DAYS_SHOWN = 14


# A reading of the database that took so long is repeated only after many times that: to be watched must cost little.
_READING_SHARE = 20


def show_status(settings: Settings, *, as_json: bool) -> int:
    """Print phases, days, rows, coverage by field and source, dead letters and last runs; return the exit code."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        state = _state(connection)
    now = datetime.now(UTC)
    status = read_status(settings.status_folder, now=now)
    if as_json:
        print_json({"schema": status.schema, "at": now, "database": warehouse.safe_url, **_as_object(status), **state})
        return 0
    print_line(f"Database: {warehouse.safe_url}")
    for line, style in _lines(state):
        print_line(line, style)
    OUT.print()
    for table in (*_phase_tables(status, now), *_tables(state)):
        OUT.print(table)
        OUT.print()
    return 0


def watch_status(settings: Settings, *, seconds: float) -> int:
    """Show the same, and how it changes, until Ctrl-C; return the exit code.

    On a terminal it is one screen that is drawn anew; elsewhere a plain line for each change.

    Args:
        settings: where the database and the status files are.
        seconds: how often they are looked at. A large database is read less often.
    """
    watch = _Watch(settings)
    try:
        if OUT.is_terminal:
            with Live(console=OUT, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
                while True:
                    live.update(_screen(watch.look(), seconds), refresh=True)
                    sleep(seconds)
        before: set[str] = set()
        while True:
            look = watch.look()
            lines = list(_plain_lines(look))
            for line in lines:
                if line not in before:
                    print_line(f"{look.at:%Y-%m-%d %H:%M:%S} {line}")
            OUT.file.flush()
            before = set(lines)
            sleep(seconds)
    except KeyboardInterrupt:
        return 0


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look found: `state` is that of the database when it was last read, `trouble` why it could not be."""

    at: datetime
    database: str
    status: Status
    state: dict[str, Any] | None
    trouble: str | None


class _Watch:
    """Looks again and again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = ""
        self._state: dict[str, Any] | None = None
        self._trouble: str | None = None
        self._read_next_at = 0.0

    def look(self) -> _Look:
        now = datetime.now(UTC)
        started = monotonic()
        if started >= self._read_next_at:
            self._read()
            ended = monotonic()
            self._read_next_at = ended + _READING_SHARE * (ended - started)
        status = read_status(self._settings.status_folder, now=now)
        return _Look(now, self._database, status, self._state, self._trouble)

    def _read(self) -> None:
        """Read the database; one that is not there yet, or away for a while, is no reason to stop watching."""
        try:
            with open_filled(self._settings) as warehouse, warehouse.read() as connection:
                self._database = warehouse.safe_url
                self._state = _state(connection)
            self._trouble = None
        except WarehouseError as error:
            self._trouble = str(error)
        except DatabaseError as error:
            self._trouble = f"the database failed: {str(error.orig).strip().splitlines()[0]}"


def _as_object(status: Status) -> dict[str, Any]:
    return {
        "running": status.running,
        "troubled": status.troubled,
        "phases": msgspec.to_builtins(status.phases),
        "unreadable_status_files": status.unreadable,
    }


def _state(connection: Connection) -> dict[str, Any]:
    first, last, days = connection.execute(
        select(func.min(loaded_days.c.day), func.max(loaded_days.c.day), func.count())
    ).one()
    waiting = connection.execute(
        select(func.count(log_segments.c.day.distinct())).where(
            ~select(loaded_days.c.day).where(loaded_days.c.day == log_segments.c.day).exists()
        )
    ).scalar_one()
    files = connection.execute(
        select(
            func.count(),
            *(
                func.coalesce(func.sum(log_files.c[name]), 0)
                for name in ("lines", "events", "duplicates", "dead_letters", "blank_lines")
            ),
        )
    ).one()
    newest = DayRange(max(first, last - timedelta(days=_DAYS_SHOWN - 1)), last) if last else None
    return {
        "days": {"first": first, "last": last, "loaded": days, "read_but_not_loaded": waiting},
        "rows": {
            name: connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one()
            for name in _SHOWN_TABLES
        },
        "files": dict(
            zip(("files", "lines", "events", "duplicates", "dead_letters", "blank_lines"), map(int, files), strict=True)
        ),
        "coverage": _coverage(connection, newest) if newest else {},
        "sources": _sources(connection, newest) if newest else {},
        "dead_letters": {
            reason: int(lines)
            for reason, lines in connection.execute(
                select(dead_letters.c.reason, func.sum(dead_letters.c.lines))
                .group_by(dead_letters.c.reason)
                .order_by(func.sum(dead_letters.c.lines).desc())
            )
        },
        "last_runs": [
            {
                "step": row.step,
                "first_day": row.first_day,
                "last_day": row.last_day,
                "started_at": row.started_at,
                "seconds": row.seconds,
                "report": row.report,
            }
            for row in connection.execute(select(step_runs).order_by(step_runs.c.step_run_id.desc()).limit(10))
        ],
    }


def _coverage(connection: Connection, days: DayRange) -> dict[str, float]:
    totals: dict[str, tuple[int, int]] = {}
    for each in coverage_by_day(connection, days):
        name = f"{each.asset}.{each.field}"
        total, known = totals.get(name, (0, 0))
        totals[name] = (total + each.total, known + each.known)
    return {name: known / total for name, (total, known) in sorted(totals.items()) if total}


def _sources(connection: Connection, days: DayRange) -> dict[str, dict[str, int]]:
    sources: dict[str, dict[str, int]] = {}
    for _, source, status, addresses in look_ups_by_day(connection, days):
        of_source = sources.setdefault(source, {})
        of_source[status] = of_source.get(status, 0) + addresses
    return sources


def _lines(state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is said in a line, each with its style."""
    days, files = state["days"], state["files"]
    if days["loaded"]:
        loaded = "1 day" if days["loaded"] == 1 else f"{days['loaded']:,} days"
        yield f"{loaded} loaded, {days['first']} to {days['last']}", ""
    if days["read_but_not_loaded"]:
        yield f"{days['read_but_not_loaded']:,} days were read and wait to be materialized", "yellow"
    accounts = (
        f"{files['files']:,} files, {files['lines']:,} lines = {files['events']:,} events + "
        f"{files['duplicates']:,} duplicates + {files['dead_letters']:,} dead letters + {files['blank_lines']:,} blank"
    )
    yield accounts, ""


def _tables(state: dict[str, Any]) -> list[Table]:
    tables = (
        ("Rows", ("table", "rows"), list(state["rows"].items())),
        (
            f"Known of the newest {_DAYS_SHOWN} days",
            ("field", "share"),
            [(name, f"{share:.1%}") for name, share in state["coverage"].items()],
        ),
        (
            "Look-ups of their addresses",
            ("source", "outcome", "addresses by day"),
            [(source, status, n) for source, counts in state["sources"].items() for status, n in counts.items()],
        ),
        ("Dead letters", ("reason", "lines"), list(state["dead_letters"].items())),
        (
            "Last runs",
            ("step", "days", "began", "seconds", "what"),
            [
                (
                    run["step"],
                    f"{run['first_day']} to {run['last_day']}" if run["first_day"] else "-",
                    f"{run['started_at']:%Y-%m-%d %H:%M:%S}",
                    round(run["seconds"], 2),
                    _in_short(run["report"]),
                )
                for run in state["last_runs"]
            ],
        ),
    )
    return [made_table(*table) for table in tables if table[2]]


def _phase_tables(status: Status, now: datetime) -> list[Table]:
    """Return the phases as a table, those that are running first, if there are any."""
    rows = [
        (
            name,
            work.state.value,
            _days_of(work),
            f"{work.done:,} of {work.total:,}" if work.total else "-",
            f"{work.started_at:%Y-%m-%d %H:%M:%S}",
            seconds,
            work.error or _in_short(work.counts) or "-",
        )
        for name, work, seconds in _newest_works(status, now)
    ]
    columns = ("phase", "state", "days", "done", "began", "seconds", "what")
    return [made_table("Phases", columns, rows)] if rows else []


def _narrow_phases(status: Status, now: datetime) -> list[Table]:
    """Return the phases as a table that fits a narrow terminal without a second line for any."""
    rows = [
        (name, work.state.value, _days_of(work), f"{work.done / work.total:.0%}" if work.total else "-", seconds)
        for name, work, seconds in _newest_works(status, now)
    ]
    return [made_table("Phases", ("phase", "state", "days", "done", "seconds"), rows)] if rows else []


def _newest_works(status: Status, now: datetime) -> list[tuple[str, Work, float]]:
    """Return phases and their works with the seconds that they took so far, those that are running first."""
    newest = [(name, work) for name, phase in status.phases.items() for work in _told_works(phase.works)]
    newest.sort(key=lambda each: (each[1].state is not WorkState.RUNNING, -each[1].updated_at.timestamp()))
    return [
        (
            name,
            work,
            round((now - work.started_at).total_seconds() if work.state is WorkState.RUNNING else work.seconds, 1),
        )
        for name, work in newest
    ]


def _told_works(works: tuple[Work, ...]) -> tuple[Work, ...]:
    """Return the works of a phase that are running, or else its newest."""
    return tuple(work for work in works if work.state is WorkState.RUNNING) or works[:1]


def _days_of(work: Work) -> str:
    return f"{work.days.first} to {work.days.last}" if work.days else "-"


def _in_short(report: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in report.items())


def _screen(look: _Look, seconds: float) -> RenderableType:
    """Draw a screen: what changes most stands at the top, since the end may be below the window."""
    parts: list[RenderableType] = [
        Text(f"{look.at:%Y-%m-%d %H:%M:%S} UTC, every {seconds:g} s, Ctrl-C ends", style="dim"),
        Text(harmless(f"Database: {look.database}" if look.database else "Database: none was read yet")),
    ]
    if look.trouble:
        parts.append(Text(harmless(look.trouble), style="red"))
    if look.state:
        parts += [Text(line, style=style) for line, style in _lines(look.state)]
    parts += [Text(), *_narrow_phases(look.status, look.at)]
    if look.status.troubled:
        parts.append(Text(f"failed or killed, and not made good: {', '.join(look.status.troubled)}", style="red"))
    if look.state:
        *small, last_runs = _tables(look.state)
        parts += [Text(), Columns(small, padding=(0, 4)), Text(), last_runs]
    return Group(*parts)


def _plain_lines(look: _Look) -> Iterator[str]:
    """Yield a line for everything that is so; those that were not so before are news."""
    yield f"database {look.database or 'not read yet'}"
    if look.trouble:
        yield look.trouble
    if look.state:
        for line, _ in _lines(look.state):
            yield line
        yield f"rows: {_in_short(look.state['rows'])}"
        if look.state["coverage"]:
            known = ", ".join(f"{name} {share:.1%}" for name, share in look.state["coverage"].items())
            yield f"known of the newest {_DAYS_SHOWN} days: {known}"
        if look.state["dead_letters"]:
            yield f"dead letters: {_in_short(look.state['dead_letters'])}"
        for run in reversed(look.state["last_runs"]):
            days = f" {run['first_day']} to {run['last_day']}" if run["first_day"] else ""
            yield f"last run: {run['step']}{days}, {run['seconds']:.1f} s: {_in_short(run['report'])}"
    for name, phase in look.status.phases.items():
        for work in _told_works(phase.works):
            done = f", {work.done:,} of {work.total:,}" if work.total else ""
            what = work.error or _in_short(work.counts)
            yield f"{name} {work.state.value}, {_days_of(work)}{done}{f': {what}' if what else ''}"
