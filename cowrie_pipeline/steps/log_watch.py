"""Say which days have to be made because their lines came, grew or came late, and remember what was asked for.

What is wanted is told by facts: lines are kept for a day (`log_segments`) of which it was not made (`loaded_days`).
What was asked for, and what became of it, is in `day_requests`. So nothing is lost with a cursor, a restart or a run
that failed, and the same content is never asked for twice, whatever its file is called.

Belongs here: which days are asked for, together or apart, when, and when again.
Does not belong here: reading (scan_logs.py), making (raw_sessions.py), Dagster (orchestration/log_sensor.py).
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

import xxhash
from sqlalchemy import Connection, delete, func, insert, select

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DAYS_TOGETHER, DayRange, day_start
from cowrie_pipeline.steps.scan_logs import ScanReport, UnreadFile, scan_logs, unread_files
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import day_requests, loaded_days, log_segments

__all__ = [
    "DayState",
    "LogWatch",
    "Request",
    "RunState",
    "Status",
    "WatchReport",
    "WatchRules",
    "choose_days",
    "note_request",
    "pause_after",
    "want_days",
    "watch_logs",
]

# So many requested runs at once: what else is wanted waits here, where newer days can still overtake it.
RUNS_AT_ONCE = 4
# More than this is read by a run, not by the tick of a sensor, which has a minute.
BYTES_IN_A_TICK = 8 * 1024 * 1024
# The scheduled run of yesterday comes first; what it leaves is asked for from then on.
_AFTER_THE_DAILY_RUN = timedelta(minutes=15)
# A request that no run came of was lost with the process that made it.
_LOST_AFTER = timedelta(minutes=10)
_FIRST_PAUSE = timedelta(minutes=10)
_LONGEST_PAUSE = timedelta(days=1)
_MOST_FAILURES = 8
# A file that could not be read is tried again after this, also if nothing about it seems to have changed.
_TRIED_AGAIN_AFTER = timedelta(hours=1)


class Status(StrEnum):
    """What became of a day that was asked for."""

    WANTED = "wanted"
    REQUESTED = "requested"
    DONE = "done"
    FAILED = "failed"


class RunState(StrEnum):
    """What became of a run."""

    MISSING = "missing"
    UNDER_WAY = "under way"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayState:
    """A day: the segments of lines kept for it, those it was made of (None: never made), and what was asked for."""

    day: date
    kept: int = 0
    made_of: int | None = None
    asked_for: int = 0
    status: Status | None = None
    run_key: str | None = None
    requested_at: datetime | None = None
    failures: int = 0
    due_at: datetime | None = None

    @property
    def has_new_lines(self) -> bool:
        """Whether lines are kept that the day was not made of. A day whose lines are as they were is never made."""
        return self.kept != (self.made_of or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """When days are asked for: of which day on, at which hour yesterday is, and how often today, if at all."""

    first_day: date
    daily_hour: int = 2
    today_every: timedelta | None = None
    days_per_run: int = DAYS_TOGETHER
    runs_at_once: int = RUNS_AT_ONCE

    @classmethod
    def of(cls, settings: Settings) -> "WatchRules":
        """Return the rules that an operator has set."""
        minutes = settings.today_minutes
        return cls(
            first_day=settings.start_date,
            daily_hour=settings.daily_hour,
            today_every=None if minutes is None else timedelta(minutes=minutes),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A run to start, for a range of days; its key is never used again."""

    days: DayRange
    run_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """What one look came to.

    Attributes:
        requests: runs to start.
        read: what was read, if that was little.
        unread: files that have to be read by a run, because they are large.
        given_up: days that failed too often, and wait for new lines or for somebody to ask.
        cursor: what to give to the next look.
    """

    requests: tuple[Request, ...] = ()
    read: ScanReport | None = None
    unread: tuple[UnreadFile, ...] = ()
    given_up: tuple[date, ...] = ()
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWatch:
    """What the orchestrator knows: the state of a run by its key, and which days are queued or under way."""

    state_of: Callable[[str], RunState]
    busy: Collection[date] = ()
    is_reading: bool = False


def watch_logs(
    warehouse: Warehouse,
    settings: Settings,
    runs: LogWatch,
    *,
    now: datetime,
    cursor: str = "",
    bytes_at_once: int = BYTES_IN_A_TICK,
) -> WatchReport:
    """Look at the log files once; read what is little, and say which runs to start.

    Files are told by name, size and time of change; none is opened unless one of these is new. Nothing is read while
    a run is under way that reads them itself.

    Args:
        warehouse: the database.
        settings: where logs are, and when days are asked for.
        runs: what the orchestrator knows.
        now: time of the look, UTC.
        cursor: that of the last report; an empty one costs a look, and loses nothing.
        bytes_at_once: how much may be read at once.
    """
    read: ScanReport | None = None
    unread: tuple[UnreadFile, ...] = ()
    if not runs.busy and not runs.is_reading:
        unread = unread_files(warehouse, settings.log_paths)
        cursor, is_new = _note_tried(cursor, unread, now)
        if not is_new:
            unread = ()
        elif unread and sum(each.new_bytes for each in unread) <= bytes_at_once:
            read, unread = scan_logs(warehouse, settings.log_paths, settings=settings, now=now), ()
    rules = WatchRules.of(settings)
    # looked at without a lock first: most of the time there is nothing to write
    with warehouse.read() as connection:
        states = _day_states(connection)
    if any(_settle(states, runs.state_of, now)) or choose_days(states, rules, busy=runs.busy, now=now):
        with warehouse.begin(lock="day_requests") as connection:
            states = _day_states(connection)
            changed = _settle(states, runs.state_of, now)
            _save(connection, changed)
            by_day = {state.day: state for state in states} | {state.day: state for state in changed}
            states = [by_day[day] for day in sorted(by_day)]
            chosen = choose_days(states, rules, busy=runs.busy, now=now)
            requests = tuple(_request(connection, by_day, days, now) for days in chosen)
    else:
        requests = ()
    return WatchReport(
        requests=requests,
        read=read,
        unread=unread,
        given_up=tuple(state.day for state in states if _is_given_up(state)),
        cursor=cursor,
    )


def choose_days(
    states: Iterable[DayState], rules: WatchRules, *, busy: Collection[date], now: datetime
) -> list[DayRange]:
    """Return the ranges of days to ask for now, the newest first, each day once.

    Days next to each other are one range up to a length; days that failed together are asked for in shorter ranges,
    so that one of them cannot hold up the others for long.
    """
    states = list(states)
    under_way = {state.run_key for state in states if state.status is Status.REQUESTED}
    room = rules.runs_at_once - len(under_way)
    ranges: list[DayRange] = []
    most = 0
    for state in sorted(states, key=lambda each: each.day, reverse=True):
        if state.day in busy or not _is_wanted(state, rules, now):
            continue
        most_of_day = max(1, rules.days_per_run >> (2 * state.failures))
        if ranges and ranges[-1].first - state.day == timedelta(days=1) and len(ranges[-1]) < min(most, most_of_day):
            ranges[-1] = DayRange(state.day, ranges[-1].last)
            most = min(most, most_of_day)
        else:
            ranges.append(DayRange(state.day, state.day))
            most = most_of_day
    return ranges[: max(room, 0)]


def _is_wanted(state: DayState, rules: WatchRules, now: datetime) -> bool:
    if state.status is Status.REQUESTED or not rules.first_day <= state.day <= now.date():
        return False
    if state.status is Status.WANTED:
        return True
    if state.status is Status.FAILED:
        # lines that came since may be what the day was waiting for
        is_due = state.due_at is None or state.due_at <= now
        return state.kept != state.asked_for or (is_due and not _is_given_up(state))
    return state.has_new_lines and _has_come(state, rules, now)


def _has_come(state: DayState, rules: WatchRules, now: datetime) -> bool:
    """Say whether it is time for a day with new lines: today's wait for more, yesterday's for the scheduled run."""
    today = now.date()
    if state.day == today:
        every = rules.today_every
        return every is not None and (state.requested_at is None or now - state.requested_at >= every)
    if state.day == today - timedelta(days=1):
        return now >= day_start(today) + timedelta(hours=rules.daily_hour) + _AFTER_THE_DAILY_RUN
    return True


def _is_given_up(state: DayState) -> bool:
    return state.status is Status.FAILED and state.failures >= _MOST_FAILURES and state.kept == state.asked_for


def pause_after(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row before a day is asked for again."""
    pause: timedelta = _FIRST_PAUSE * 3 ** max(failures - 1, 0)
    return min(pause, _LONGEST_PAUSE)


def _settle(states: Iterable[DayState], state_of: Callable[[str], RunState], now: datetime) -> list[DayState]:
    """Return the days whose run has come to an end, as they are after it."""
    asked: dict[str, RunState] = {}
    settled = []
    for state in states:
        if state.status is not Status.REQUESTED or state.run_key is None or state.requested_at is None:
            continue
        if state.run_key not in asked:
            asked[state.run_key] = state_of(state.run_key)
        match asked[state.run_key]:
            case RunState.SUCCEEDED:
                settled.append(replace(state, status=Status.DONE, failures=0, due_at=None))
            case RunState.FAILED:
                failures = state.failures + 1
                settled.append(
                    replace(state, status=Status.FAILED, failures=failures, due_at=now + pause_after(failures))
                )
            case RunState.MISSING if now - state.requested_at >= _LOST_AFTER:
                settled.append(replace(state, status=Status.WANTED))
    return settled


def want_days(warehouse: Warehouse, days: DayRange) -> int:
    """Ask for every day of a range, whatever was made of it before; return how many were not asked for already."""
    with warehouse.begin(lock="day_requests") as connection:
        states = {state.day: state for state in _day_states(connection)}
        wanted = [
            replace(state, status=Status.WANTED, failures=0, due_at=None)
            for day in days
            if (state := states.get(day) or DayState(day=day)).status not in {Status.REQUESTED, Status.WANTED}
        ]
        _save(connection, wanted)
    return len(wanted)


def note_request(warehouse: Warehouse, days: DayRange, *, now: datetime) -> Request:
    """Note that a run of `days` is started now, as a schedule does, so that it is asked for again if it fails."""
    with warehouse.begin(lock="day_requests") as connection:
        return _request(connection, {state.day: state for state in _day_states(connection)}, days, now)


def _request(connection: Connection, states: Mapping[date, DayState], days: DayRange, now: datetime) -> Request:
    of_days = [states.get(day) or DayState(day=day) for day in days]
    segments = sum(state.kept for state in of_days)
    failures = max(state.failures for state in of_days)
    span = days.first.isoformat() if len(days) == 1 else f"{days.first}...{days.last}"
    # Dagster never starts a second run with a key, so each request has its own: its time
    run_key = f"{span} segments={segments} failures={failures} at={now.isoformat()}"
    _save(
        connection,
        [
            replace(
                state,
                status=Status.REQUESTED,
                asked_for=state.kept,
                run_key=run_key,
                requested_at=now,
                # failures of other lines say nothing of these
                failures=state.failures if state.kept == state.asked_for else 0,
            )
            for state in of_days
        ],
    )
    return Request(days, run_key)


def _day_states(connection: Connection) -> list[DayState]:
    """Return every day that has lines or was asked for, in order."""
    kept: dict[date, int] = dict(
        connection.execute(select(log_segments.c.day, func.count()).group_by(log_segments.c.day)).all()
    )
    made: dict[date, int] = dict(connection.execute(select(loaded_days.c.day, loaded_days.c.segments)).all())
    asked = {row.day: row for row in connection.execute(select(day_requests))}
    states = []
    for day in sorted(kept.keys() | asked.keys()):
        state = DayState(day=day, kept=kept.get(day, 0), made_of=made.get(day))
        if row := asked.get(day):
            state = replace(
                state,
                asked_for=row.segments,
                status=Status(row.status),
                run_key=row.run_key,
                requested_at=row.requested_at,
                failures=row.failures,
                due_at=row.due_at,
            )
        states.append(state)
    return states


def _save(connection: Connection, states: Iterable[DayState]) -> None:
    rows = [
        {
            "day": state.day,
            "segments": state.asked_for,
            "status": state.status,
            "run_key": state.run_key,
            "requested_at": state.requested_at,
            "failures": state.failures,
            "due_at": state.due_at,
        }
        for state in states
    ]
    if rows:
        connection.execute(delete(day_requests).where(day_requests.c.day.in_([row["day"] for row in rows])))
        connection.execute(insert(day_requests), rows)


def _note_tried(cursor: str, unread: Iterable[UnreadFile], now: datetime) -> tuple[str, bool]:
    """Return the cursor that remembers which files were tried, and whether these were not tried lately."""
    files = sorted((str(each.file.path), each.file.size, each.file.modified_ns) for each in unread)
    if not files:
        return "", True
    tried = xxhash.xxh3_64_hexdigest(repr(files).encode("utf-8", "surrogateescape"))
    before, at = _parse(cursor)
    if before == tried and at is not None and now - at < _TRIED_AGAIN_AFTER:
        return cursor, False
    return json.dumps({"tried": tried, "at": now.isoformat()}), True


def _parse(cursor: str) -> tuple[str, datetime | None]:
    try:
        known = json.loads(cursor)
        return str(known["tried"]), datetime.fromisoformat(known["at"])
    except (ValueError, KeyError, TypeError):
        return "", None  # of nobody, or of another version: what it said is found out again
