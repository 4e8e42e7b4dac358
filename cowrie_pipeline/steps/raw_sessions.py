"""Make a day's sessions, and what they did, from the lines kept for it.

A day is replaced as a whole, in one transaction, and only if lines came for it since it was made or the code that
makes it has changed (`DERIVATION`).

Belongs here: which days need making, and the order in which rows are written so that none is ever orphaned.
Does not belong here: reading files (scan_logs.py), adding events up (cowrie/fold.py), which days are one session
(cowrie/sessions.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, groupby
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Table, Text, delete, func, insert, select, union, update

from cowrie_pipeline.cowrie.fold import (
    ClientKey,
    Command,
    FoldedRows,
    LoginAttempt,
    SessionDayRow,
    SessionFile,
    Tunnel,
)
from cowrie_pipeline.cowrie.folded_days import FoldedPiece, Piece, fold_pieces
from cowrie_pipeline.cowrie.sessions import MAX_SILENCE, SessionDay, link_days
from cowrie_pipeline.cowrie.workers import Workers, spare_cores, without_collector
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.observability.tracing import counts_in, span
from cowrie_pipeline.steps.days import DAYS_TOGETHER, DayRange
from cowrie_pipeline.steps.imported_sessions import give_way
from cowrie_pipeline.warehouse.bulk import analyze, insert_rows, staged, written_together
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.log_store import days_with_events, pieces_of
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    INET,
    client_keys,
    commands,
    ip_inventory,
    loaded_days,
    login_attempts,
    retired_days,
    retired_files,
    retired_passwords,
    session_days,
    session_files,
    session_summaries,
    tunnels,
)
from cowrie_pipeline.warehouse.times import count_by_day

__all__ = ["DERIVATION", "DaySessions", "SessionsReport", "load_days"]

# Raised when the same lines would give other rows: every day is made again when it is next materialized.
DERIVATION = 1

# Days are made together up to DAYS_TOGETHER and this many events: an address that comes back every day is counted once
# for all of them, and a year, however little was logged, is no transaction that a killed process would lose as a whole.
_EVENTS_TOGETHER = 1_000_000
# What one day's sessions did is held in memory up to this many events; of a larger day it comes in pieces.
_EVENTS_AT_ONCE = 50_000
# Less than this is done sooner than another process has started.
_EVENTS_WORTH_A_WORKER = 150_000

_DETAILS = (
    (login_attempts, LoginAttempt._fields, "login_attempts"),
    (commands, Command._fields, "commands"),
    (session_files, SessionFile._fields, "session_files"),
    (tunnels, Tunnel._fields, "tunnels"),
    (client_keys, ClientKey._fields, "client_keys"),
)
# What the many rows of days refer to. Days of at least so many events, which are no fewer than the other days have, are
# written together: then checking references and filling indexes anew costs less than doing so row by row.
_REFERENCES = (session_summaries.c.source_ip, *(table.c.session_key for table in (session_days, *DETAIL_TABLES)))
_EVENTS_WRITTEN_TOGETHER = 150_000
# Imported sessions have no lines that they could be made again from.
_IS_OF_LINES = session_days.c.imported_from.is_(None)
_STAGED = "staged_session_days"
_STAGED_KEY = "session_key"
_STAGED_COLUMNS = {name: session_days.c[name].type for name in SessionDayRow._fields} | {
    _STAGED_KEY: session_summaries.c.session_key.type
}
_BROUGHT_COLUMNS = {
    "ip_address": INET,
    "sessions": BigInteger(),
    "first_seen": session_summaries.c.first_event_at.type,
    "last_seen": session_summaries.c.last_event_at.type,
}
# PostgreSQL finds no smallest of two JSON documents, so the counts of parts stay text until they are one.
_PART_COLUMNS = _STAGED_COLUMNS | {"event_counts": Text()}


@dataclass(frozen=True, slots=True)
class DaySessions:
    """What one day holds: rows of `session_days`, sessions that began on it, and events.

    `without_address` counts the rows of `session_days` whose `src_ip` was logged and is no address.
    """

    session_days: int = 0
    sessions: int = 0
    events: int = 0
    events_without_session: int = 0
    without_address: int = 0


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
    on_progress: OnProgress = unheard,
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
    with Workers(_workers_for(total)) as workers, without_collector():
        for group in _grouped(waiting):
            counts = counts_in({"days": len(group), "events": sum(waiting[day] for day in group)})
            with (
                span("make days", {"cowrie.first_day": str(group[0]), "cowrie.last_day": str(group[-1]), **counts}),
                warehouse.begin(lock="facts") as connection,
            ):
                # asked again: another process may have made them while this one waited
                still_waiting = _days_to_make(connection, DayRange(group[0], group[-1]))
                to_make = {day: still_waiting[day] for day in group if day in still_waiting}
                if to_make:
                    _make(connection, to_make, workers, now)
            done += sum(waiting[day] for day in group)
            on_progress(done, total)
    with warehouse.read() as connection:
        return SessionsReport(_describe(connection, days), tuple(waiting))


def _workers_for(events: int) -> int:
    """Return how many processes shall fold beside this one, which is busy writing."""
    return spare_cores(beside=1) if events >= _EVENTS_WORTH_A_WORKER else 0


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
        if group and (events + count > _EVENTS_TOGETHER or len(group) == DAYS_TOGETHER):
            yield group
            group, events = [], 0
        group.append(day)
        events += count
    if group:
        yield group


def _make(connection: Connection, days: Mapping[date, int], workers: Workers, now: datetime) -> None:
    """Replace the rows of `days`, given with the number of their events."""
    with (
        staged(connection, "touched_sessions", {"session_key": BigInteger()}) as touched,
        staged(connection, "changed_sessions", {"session_key": BigInteger()}) as changed,
        staged(connection, "touched_addresses", {"ip_address": INET}) as addresses,
        staged(connection, "brought_addresses", _BROUGHT_COLUMNS) as brought,
    ):
        of_days = session_days.c.day.in_(list(days)) & _IS_OF_LINES
        # what the days held before changes too
        connection.execute(
            insert(changed).from_select(["session_key"], select(session_days.c.session_key).where(of_days).distinct())
        )
        connection.execute(
            insert(addresses).from_select(
                ["ip_address"],
                select(session_days.c.source_ip).where(of_days, session_days.c.source_ip.is_not(None)).distinct(),
            )
        )
        _remove(connection, list(days))
        with written_together(connection, _REFERENCES) if _is_much(connection, days) else nullcontext():
            counts = _write_days(connection, days, workers, addresses=brought, now=now)
        entangled = _link(connection, changed, DayRange(min(days), max(days)))
        _roll_up_shared(connection, touched, changed, list(days))
        give_way(connection, list(days), addresses)
        # also of sessions that lost a day, or gained events that name no address
        connection.execute(
            insert(addresses).from_select(
                ["ip_address"],
                select(session_summaries.c.source_ip).where(
                    session_summaries.c.session_key.in_(select(touched.c.session_key)),
                    session_summaries.c.source_ip.is_not(None),
                ),
            )
        )
        connection.execute(
            delete(session_summaries).where(
                session_summaries.c.session_key.in_(select(touched.c.session_key)),
                ~select(session_days.c.session_key)
                .where(session_days.c.session_key == session_summaries.c.session_key)
                .exists(),
            )
        )
        _recount_addresses(connection, addresses, brought)
    _note_days(connection, counts, now)
    if entangled:
        of_entangled = days_with_events(connection, min(entangled), max(entangled))
        _make(connection, {day: of_entangled[day][1] for day in sorted(entangled)}, workers, now)


def _is_much(connection: Connection, days: Mapping[date, int]) -> bool:
    """Say whether `days`, given with the number of their events, are much beside what the other days hold."""
    events = sum(days.values())
    if events < _EVENTS_WRITTEN_TOGETHER:
        return False
    others = select(func.sum(loaded_days.c.events)).where(loaded_days.c.day.not_in(list(days)))
    return int(connection.execute(others).scalar_one() or 0) <= events


def _remove(connection: Connection, days: list[date]) -> None:
    """Remove what a former making of `days` wrote, also where its row of `loaded_days` was deleted by hand."""
    for day in days:
        span = DayRange(day, day)
        for table in DETAIL_TABLES:
            connection.execute(delete(table).where(table.c.event_at >= span.start, table.c.event_at < span.end))
        connection.execute(delete(session_days).where(session_days.c.day == day, _IS_OF_LINES))
        # a day that is made again has its details again
        for table in (retired_days, retired_files, retired_passwords):
            connection.execute(delete(table).where(table.c.day == day))


def _pieces(connection: Connection, days: Iterable[date]) -> Iterator[Piece]:
    for day in days:
        for segments, is_last in pieces_of(connection, day, events_at_once=_EVENTS_AT_ONCE):
            yield Piece(day, segments, is_last)


def _write_days(
    connection: Connection,
    days: Mapping[date, int],
    workers: Workers,
    *,
    addresses: Table,
    now: datetime,
) -> dict[date, tuple[int, int]]:
    """Write what sessions did on each day; return its events, and how many of them belong to no session."""
    counts: dict[date, tuple[int, int]] = {}
    folded = fold_pieces(workers, _pieces(connection, days))
    for day, of_day in groupby(folded, key=lambda piece: piece.day):
        pieces = iter(of_day)
        with staged(connection, _STAGED, _STAGED_COLUMNS, key=_STAGED_KEY) as sessions:
            first = next(pieces)
            if first.is_last:
                insert_rows(connection, sessions, SessionDayRow._fields, first.rows.session_days)
                without_session = first.events_without_session
            else:
                without_session = _stage_in_parts(connection, chain([first], pieces))
            _write_sessions(connection, sessions, addresses, now)
        if first.is_last:
            _write_details(connection, first.rows)
        counts[day] = (days[day], without_session)
    return counts


def _stage_in_parts(connection: Connection, pieces: Iterable[FoldedPiece]) -> int:
    """Stage the sessions of a day that is too large to be held, and write their details before them.

    Returns how many events belong to no session.
    """
    without_session = 0
    with staged(connection, "staged_parts", _PART_COLUMNS) as parts:
        for piece in pieces:
            insert_rows(connection, parts, SessionDayRow._fields, piece.rows.session_days)
            _write_details(connection, piece.rows)
            without_session += piece.events_without_session
        # the parts of one session are looked for by its key
        connection.exec_driver_sql("CREATE INDEX staged_parts_key ON staged_parts (session_key)")
        analyze(connection, parts)
        connection.exec_driver_sql(read_sql("transforms/merge_session_parts", connection.dialect.name).statement)
    return without_session


def _write_details(connection: Connection, rows: FoldedRows) -> None:
    for table, columns, name in _DETAILS:
        insert_rows(connection, table, columns, getattr(rows, name))


def _write_sessions(connection: Connection, sessions: Table, addresses: Table, now: datetime) -> None:
    """Write a day's staged sessions as if each had this day only; those that have more are rolled up later.

    What is named is written before what names it: addresses, then sessions, then their days, then (by the caller)
    details. A foreign key that is met when its row comes costs a fraction of one that has to wait for the end.
    """
    by_address = select(
        sessions.c.source_ip, func.count(), func.min(sessions.c.first_event_at), func.max(sessions.c.last_event_at)
    )
    connection.execute(
        insert(addresses).from_select(
            list(_BROUGHT_COLUMNS), by_address.where(sessions.c.source_ip.is_not(None)).group_by(sessions.c.source_ip)
        )
    )
    connection.execute(
        with_parameters(
            f"INSERT INTO ip_inventory (ip_address, created_at) SELECT DISTINCT source_ip, :now FROM {_STAGED} "  # noqa: S608
            "WHERE source_ip IS NOT NULL ORDER BY source_ip ON CONFLICT (ip_address) DO NOTHING",
            now=now,
        )
    )
    connection.exec_driver_sql(read_sql("transforms/write_sessions", connection.dialect.name).statement)
    columns = SessionDayRow._fields
    connection.execute(
        insert(session_days).from_select(
            columns, select(*(sessions.c[name] for name in columns)).order_by("session_key")
        )
    )


def _roll_up_shared(connection: Connection, touched: Table, changed: Table, days: list[date]) -> None:
    """Roll up the sessions of `days` that have several days, and those that have changed otherwise.

    Only a day that may continue another can belong to the session of another, so few are looked at.
    """
    shared = select(session_days.c.session_key).where(
        session_days.c.may_continue,
        session_days.c.day.in_(days),
        session_days.c.session_key != session_days.c.session_day_key,
    )
    connection.execute(insert(touched).from_select(["session_key"], union(select(changed.c.session_key), shared)))
    analyze(connection, touched)
    connection.exec_driver_sql(read_sql("transforms/roll_up_sessions", connection.dialect.name).statement)


def _recount_addresses(connection: Connection, touched: Table, brought: Table) -> None:
    """Recount touched addresses, those with sessions that were just written, and the networks of all of them.

    A new address, as most are, has only what was written: its sessions need not be read again.
    """
    analyze(connection, brought)
    connection.exec_driver_sql(read_sql("transforms/find_addresses_to_recount", connection.dialect.name).statement)
    analyze(connection, touched)
    for name in ("recount_addresses", "count_brought_addresses"):
        connection.exec_driver_sql(read_sql(f"transforms/{name}", connection.dialect.name).statement)
    connection.execute(insert(touched).from_select(["ip_address"], select(brought.c.ip_address).distinct()))
    _recount_networks(connection, touched)


def _recount_networks(connection: Connection, addresses: Table) -> None:
    """Recount the networks of addresses whose times have changed."""
    with staged(connection, "touched_networks", {"asn_number": BigInteger()}) as networks:
        connection.execute(
            insert(networks).from_select(
                ["asn_number"],
                select(ip_inventory.c.current_asn)
                .where(
                    ip_inventory.c.current_asn.is_not(None),
                    ip_inventory.c.ip_address.in_(select(addresses.c.ip_address)),
                )
                .distinct(),
            )
        )
        connection.exec_driver_sql(read_sql("transforms/recount_networks", connection.dialect.name).statement)


def _link(connection: Connection, changed: Table, days: DayRange) -> set[date]:
    """Give days that are one session one key, and move what belongs to the old keys.

    Two days are linked only if the later one does not begin with a connection, so only the few sessions of which that
    is true, on these days or the next, are looked at with all their days.

    Returns the days that must be made again: two parts of one session on such a day go different ways, and its
    details cannot be told apart any more.
    """
    ends = (days.first - MAX_SILENCE, days.last + MAX_SILENCE)
    families = (
        select(session_days.c.sensor, session_days.c.session_id)
        .where(session_days.c.may_continue, session_days.c.day.between(*ends))
        .distinct()
        .subquery()
    )
    rows = connection.execute(
        select(session_days)
        .join(
            families,
            (session_days.c.session_id == families.c.session_id) & (session_days.c.sensor == families.c.sensor),
        )
        .where(_IS_OF_LINES)
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
        connection.execute(insert(changed), [{"session_key": key} for key in sorted(keys)])
        _keep_snapshots(
            connection,
            {
                row.session_key: session_of[row.session_key]
                for row in moved
                if session_of.get(row.session_key, row.session_key) != row.session_key
            },
        )
    destinations: dict[tuple[date, int], set[int]] = defaultdict(set)
    for row in rows:
        destinations[row.day, row.session_key].add(session_of[row.session_day_key])
    return {day for (day, _), keys in destinations.items() if len(keys) > 1}


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


def _keep_snapshots(connection: Connection, successors: dict[int, int]) -> None:
    """Carry snapshots over from sessions that turned out to be parts of others, if those have none.

    A session never gets another snapshot than its own; of several parts the earliest gives it. The new session may
    not have its row yet: it is written here with the day's own values, and the roll-up that follows completes it.
    """
    gone = (
        select(session_summaries)
        .where(session_summaries.c.session_key.in_(list(successors)), session_summaries.c.snapshot_at.is_not(None))
        .order_by(session_summaries.c.first_event_at, session_summaries.c.session_key)
    )
    for old in connection.execute(gone).all():
        new_key = successors[old.session_key]
        new = connection.execute(
            select(session_summaries.c.snapshot_at).where(session_summaries.c.session_key == new_key)
        ).one_or_none()
        snapshot = {column.name: getattr(old, column.name) for column in _SNAPSHOT_COLUMNS}
        if new is None:
            connection.execute(insert(session_summaries).values(old._asdict() | {"session_key": new_key}))
        elif new.snapshot_at is None:
            connection.execute(
                update(session_summaries).where(session_summaries.c.session_key == new_key).values(snapshot)
            )


def _note_days(connection: Connection, counts: dict[date, tuple[int, int]], now: datetime) -> None:
    connection.execute(delete(loaded_days).where(loaded_days.c.day.in_(list(counts))))
    rows_of: dict[date, int] = dict(
        connection.execute(
            select(session_days.c.day, func.count())
            .where(session_days.c.day.in_(list(counts)), _IS_OF_LINES)
            .group_by(session_days.c.day)
        ).all()
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
    without_address = {
        row.day: row.rows
        for row in connection.execute(
            select(session_days.c.day, func.count().label("rows"))
            .where(
                session_days.c.day.between(days.first, days.last),
                session_days.c.source_ip.is_(None),
                session_days.c.source != "",
            )
            .group_by(session_days.c.day)
        )
    }
    described = {day: DaySessions(sessions=count) for day, count in began.items()}
    for row in made:
        described[row.day] = DaySessions(
            session_days=row.session_days,
            sessions=began.get(row.day, 0),
            events=row.events,
            events_without_session=row.events_without_session,
            without_address=without_address.get(row.day, 0),
        )
    return {day: described.get(day, DaySessions()) for day in days}
