"""Make a day's sessions, and what they did, from the lines kept for it.

A day is replaced as a whole, in one transaction, and only if lines came for it since it was made or the code that
makes it has changed (`DERIVATION`).

Belongs here: which days need making, and the order in which rows are written so that none is ever orphaned.
Does not belong here: reading files (scan_logs.py), adding events up (cowrie/fold.py), which days are one session
(cowrie/sessions.py).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from cowrie_pipeline.cowrie.decode import Oddities, decode_event, parse_timestamp
from cowrie_pipeline.cowrie.fold import (
    ClientKey,
    Command,
    DayFold,
    FoldedDay,
    LoginAttempt,
    SessionDayRow,
    SessionFile,
    Tunnel,
)
from cowrie_pipeline.cowrie.sessions import SessionDay, link_days
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.bulk import analyze, insert_rows, staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.log_store import days_with_events, segment_lines
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    INET,
    UtcDateTime,
    client_keys,
    commands,
    loaded_days,
    login_attempts,
    session_days,
    session_files,
    session_summaries,
    tunnels,
)
from cowrie_pipeline.warehouse.times import count_by_day

__all__ = ["DERIVATION", "DaySessions", "SessionsReport", "load_days"]

# Raised when the same lines would give other rows: every day is made again when it is next materialized.
DERIVATION = 1

# Days are made together up to this many events: fewer transactions, and memory still bounded.
_EVENTS_TOGETHER = 250_000
_SESSIONS_HELD = 50_000
_DETAILS_HELD = 100_000

_DETAILS = (
    (login_attempts, LoginAttempt._fields, "login_attempts"),
    (commands, Command._fields, "commands"),
    (session_files, SessionFile._fields, "session_files"),
    (tunnels, Tunnel._fields, "tunnels"),
    (client_keys, ClientKey._fields, "client_keys"),
)
_TEXT_COLUMNS = dict.fromkeys(
    ("sensor", "session_id", "source", "protocol", "client_version", "hassh", "event_counts"), Text()
)
_STAGED_COLUMNS = {
    name: _TEXT_COLUMNS.get(name) or (session_days.c[name].type if name in session_days.c else BigInteger())
    for name in SessionDayRow._fields
}


@dataclass(frozen=True, slots=True)
class DaySessions:
    """What one day holds: rows of `session_days`, sessions that began on it, and events."""

    session_days: int = 0
    sessions: int = 0
    events: int = 0
    events_without_session: int = 0


@dataclass(frozen=True, slots=True)
class SessionsReport:
    """What became of the days asked for; `made` are those that had to be made, the others were up to date."""

    days: dict[date, DaySessions] = field(default_factory=dict)
    made: tuple[date, ...] = ()


def load_days(
    warehouse: Warehouse,
    days: DayRange,
    *,
    now: datetime,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SessionsReport:
    """Make the sessions of every day in `days` that is not up to date.

    Args:
        warehouse: the database.
        days: days to look at.
        now: time of the work, UTC.
        on_progress: called with the events done and to do.
    """
    with warehouse.read() as connection:
        waiting = _days_to_make(connection, days)
    total, done = sum(waiting.values()), 0
    for group in _grouped(waiting):
        with warehouse.begin(lock="sessions") as connection:
            # asked again: another process may have made them while this one waited
            still_waiting = _days_to_make(connection, DayRange(group[0], group[-1]))
            group = [day for day in group if day in still_waiting]
            if group:
                _make(connection, group, now)
        done += sum(waiting[day] for day in group)
        on_progress(done, total)
    with warehouse.read() as connection:
        return SessionsReport(_describe(connection, days), tuple(waiting))


def _days_to_make(connection: Connection, days: DayRange) -> dict[date, int]:
    """Return the days that are not up to date, with the number of their events."""
    made = {
        row.day: (row.segments, row.derivation)
        for row in connection.execute(select(loaded_days).where(loaded_days.c.day.between(days.first, days.last)))
    }
    return {
        day: events
        for day, (segments, events) in days_with_events(connection, days.first, days.last).items()
        if made.get(day) != (segments, DERIVATION)
    }


def _grouped(waiting: dict[date, int]) -> Iterator[list[date]]:
    group: list[date] = []
    events = 0
    for day, count in waiting.items():
        if group and events + count > _EVENTS_TOGETHER:
            yield group
            group, events = [], 0
        group.append(day)
        events += count
    if group:
        yield group


def _make(connection: Connection, days: list[date], now: datetime) -> None:
    """Replace the rows of `days`."""
    with (
        staged(connection, "touched_sessions", {"session_key": BigInteger()}) as touched,
        staged(connection, "touched_addresses", {"ip_address": INET}) as addresses,
        staged(connection, "staged_session_days", _STAGED_COLUMNS) as parts,
    ):
        of_days = session_days.c.day.in_(days)
        connection.execute(
            insert(touched).from_select(["session_key"], select(session_days.c.session_key).where(of_days).distinct())
        )
        connection.execute(
            insert(addresses).from_select(["ip_address"], select(session_days.c.source_ip).where(of_days).distinct())
        )
        _remove(connection, days)
        counts = {day: _fold_day(connection, day, parts) for day in days}
        analyze(connection, parts)
        _add_addresses(connection, parts, now)
        connection.exec_driver_sql(read_sql("transforms/merge_session_days", connection.dialect.name).statement)
        _link(connection, touched, parts)
        connection.execute(
            insert(touched).from_select(["session_key"], select(session_days.c.session_key).where(of_days).distinct())
        )
        connection.execute(
            insert(addresses).from_select(["ip_address"], select(parts.c.source_ip).distinct())
        )
        connection.exec_driver_sql(read_sql("transforms/roll_up_sessions", connection.dialect.name).statement)
        connection.execute(
            delete(session_summaries).where(
                session_summaries.c.session_key.in_(select(touched.c.session_key)),
                ~select(session_days.c.session_key)
                .where(session_days.c.session_key == session_summaries.c.session_key)
                .exists(),
            )
        )
        connection.exec_driver_sql(read_sql("transforms/recount_addresses", connection.dialect.name).statement)
    _note_days(connection, counts, now)


def _remove(connection: Connection, days: list[date]) -> None:
    """Remove what a former making of `days` wrote."""
    made = connection.execute(select(loaded_days.c.day).where(loaded_days.c.day.in_(days))).scalars().all()
    for day in made:
        span = DayRange(day, day)
        for table in DETAIL_TABLES:
            connection.execute(delete(table).where(table.c.event_at >= span.start, table.c.event_at < span.end))
        connection.execute(delete(session_days).where(session_days.c.day == day))


def _fold_day(connection: Connection, day: date, parts: Table) -> tuple[int, int]:
    """Write a day's details, and stage what its sessions did; return its events and those without a session."""
    fold = DayFold(day)
    oddities = Oddities()  # counted when the lines were read first
    events = 0
    for lines in segment_lines(connection, day):
        for line in lines:
            event = decode_event(line, oddities)
            fold.add(event, parse_timestamp(event.timestamp))
        events += len(lines)
        if len(fold) >= _SESSIONS_HELD or fold.details >= _DETAILS_HELD:
            _write(connection, fold.take(), parts)
    _write(connection, fold.take(), parts)
    return events, fold.events_without_session


def _write(connection: Connection, folded: FoldedDay, parts: Table) -> None:
    insert_rows(connection, parts, SessionDayRow._fields, folded.session_days)
    for table, columns, name in _DETAILS:
        insert_rows(connection, table, columns, getattr(folded, name))


def _add_addresses(connection: Connection, parts: Table, now: datetime) -> None:
    """Make inventory rows for addresses never seen, before any session names them."""
    statement = text(
        "INSERT INTO ip_inventory (ip_address, created_at) "
        "SELECT DISTINCT source_ip, :now FROM staged_session_days WHERE source_ip IS NOT NULL ORDER BY source_ip "
        "ON CONFLICT (ip_address) DO NOTHING"
    ).bindparams(bindparam("now", now, type_=UtcDateTime()))
    connection.execute(statement)


def _link(connection: Connection, touched: Table, parts: Table) -> None:
    """Give days that are one session one key, and move what belongs to the old keys."""
    families = (
        select(session_days.c.sensor, session_days.c.session_id)
        .where(session_days.c.session_id.in_(select(parts.c.session_id)))
        .group_by(session_days.c.sensor, session_days.c.session_id)
        .having(func.count() > 1)
        .subquery()
    )
    rows = connection.execute(
        select(session_days)
        .join(
            families,
            (session_days.c.sensor == families.c.sensor) & (session_days.c.session_id == families.c.session_id),
        )
        .order_by(session_days.c.session_day_key)
    ).all()
    by_family: dict[tuple[str, str], list[SessionDay]] = defaultdict(list)
    for row in rows:
        by_family[row.sensor, row.session_id].append(
            SessionDay(row.session_day_key, row.source, row.first_event_at, row.last_event_at, row.first_connect_at)
        )
    session_of = {key: session for days in by_family.values() for key, session in link_days(days).items()}
    moved = [row for row in rows if row.session_key != session_of[row.session_day_key]]
    for row in moved:
        _move_day(connection, row, session_of[row.session_day_key])
    if moved:
        keys = {row.session_key for row in moved} | {session_of[row.session_day_key] for row in moved}
        connection.execute(insert(touched), [{"session_key": key} for key in sorted(keys)])
        _keep_snapshots(connection, {row.session_key: session_of[row.session_day_key] for row in moved})


def _move_day(connection: Connection, row: Row[Any], session_key: int) -> None:
    """Move one day, with its details, to another session."""
    connection.execute(
        update(session_days)
        .where(session_days.c.session_day_key == row.session_day_key)
        .values(session_key=session_key)
    )
    span = DayRange(row.day, row.day)
    # a day's details carry the key of the day until they are moved for the first time
    old_keys = {row.session_key, row.session_day_key}
    for table in DETAIL_TABLES:
        connection.execute(
            update(table)
            .where(table.c.session_key.in_(old_keys), table.c.event_at >= span.start, table.c.event_at < span.end)
            .values(session_key=session_key)
        )


_SNAPSHOT_COLUMNS = [column for column in session_summaries.c if column.name.startswith("snapshot_")]


def _keep_snapshots(connection: Connection, moved: dict[int, int]) -> None:
    """Carry snapshots over from sessions that turned out to be parts of others; the oldest one stays.

    The new session may not have its row yet: it is written here with the day's own values, and the roll-up that
    follows completes it.
    """
    for old_key, new_key in sorted(moved.items()):
        old = connection.execute(
            select(session_summaries).where(session_summaries.c.session_key == old_key)
        ).one_or_none()
        if old is None or old.snapshot_at is None:
            continue
        new = connection.execute(
            select(session_summaries.c.snapshot_at).where(session_summaries.c.session_key == new_key)
        ).one_or_none()
        snapshot = {column.name: getattr(old, column.name) for column in _SNAPSHOT_COLUMNS}
        if new is None:
            connection.execute(insert(session_summaries).values(old._asdict() | {"session_key": new_key}))
        elif new.snapshot_at is None or old.snapshot_at < new.snapshot_at:
            connection.execute(
                update(session_summaries).where(session_summaries.c.session_key == new_key).values(snapshot)
            )


def _note_days(connection: Connection, counts: dict[date, tuple[int, int]], now: datetime) -> None:
    connection.execute(delete(loaded_days).where(loaded_days.c.day.in_(list(counts))))
    rows_of = dict(
        connection.execute(
            select(session_days.c.day, func.count())
            .where(session_days.c.day.in_(list(counts)))
            .group_by(session_days.c.day)
        )
        .tuples()
        .all()
    )
    segments = days_with_events(connection, min(counts), max(counts))
    connection.execute(
        insert(loaded_days),
        [
            {
                "day": day,
                "segments": segments[day][0],
                "derivation": DERIVATION,
                "events": events,
                "events_without_session": without_session,
                "session_days": rows_of.get(day, 0),
                "loaded_at": now,
            }
            for day, (events, without_session) in counts.items()
        ],
    )


def _describe(connection: Connection, days: DayRange) -> dict[date, DaySessions]:
    """Say what each day of the range holds."""
    made = connection.execute(select(loaded_days).where(loaded_days.c.day.between(days.first, days.last))).all()
    began = count_by_day(connection, session_summaries.c.first_event_at, days)
    described = {day: DaySessions(sessions=count) for day, count in began.items()}
    for row in made:
        described[row.day] = DaySessions(
            row.session_days, began.get(row.day, 0), row.events, row.events_without_session
        )
    return {day: described.get(day, DaySessions()) for day in days}

