"""The calls that all processes together may make of a service, counted in the database.

Belongs here: quotas, paces and pauses: rows of `enrichment_budget`, `enrichment_paces` and `enrichment_pauses`.
Does not belong here: what the limits are (enrichment/terms.py), waiting and calling (the sources).

A limit over a window no longer than `PACE_UP_TO` is a pace: its calls are spread evenly, and what is kept is when the
next may begin. A longer one is a quota: its calls are counted in buckets of a 24th of the window, and a bucket counts
until its end is a whole window ago. So a call counts at least as long as any span that holds it, and at most one
bucket longer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cowrie_pipeline.enrichment.limits import PACE_UP_TO, Grant
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_budget, enrichment_paces, enrichment_pauses

__all__ = ["AllowanceState", "LimitState", "WarehouseAllowance"]

_BUCKETS = 24
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LimitState:
    """How much of one limit is used: by calls of the last window for a quota, by calls to come for a pace.

    `next_at` is when the next call may begin, None for now, and also where the limit is 0: it allows none, ever.
    """

    limit: Limit
    used: int
    left: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class AllowanceState:
    """What holds for a service: its limits, and until when and why nobody asks it, None where that is not so."""

    service: str
    limits: tuple[LimitState, ...]
    paused_until: datetime | None
    pause_reason: str | None

    @property
    def left(self) -> int | None:
        """How many calls may be made without waiting for a window to pass, None for any number."""
        if self.paused_until is not None:
            return 0
        return min((each.left for each in self.limits), default=None)


class WarehouseAllowance:
    """An `Allowance` in the database; each call is one short transaction.

    Whoever takes or gives back calls of a service waits for others that do so of the same service: by SQLite's one
    writer, and by a lock named after the service on PostgreSQL.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def take(self, service: str, limits: Sequence[Limit], wanted: int, *, now: datetime) -> Grant:
        """Count up to `wanted` calls as made and give leave for them; give none while the service is paused.

        `now` is the time at which it is asked, not that of the beginning of a run. Calls that would begin later than
        `PACE_UP_TO` from now are not granted, so that a killed process wastes little.
        """
        if wanted <= 0:
            return Grant(calls=0, begins_at=now)
        with self._warehouse.begin(lock=_lock_of(service)) as connection:
            limits = _strictest(limits)
            books = _Books.read(connection, service, limits, now)
            grant = _grant(books, limits, wanted, now)
            if grant.calls:
                _write_down(connection, service, limits, grant, now)
        return grant

    def give_back(self, service: str, limits: Sequence[Limit], calls: int, *, now: datetime) -> None:
        """Take back calls that were granted within the last window and not made; a pace is not given back.

        They are taken from the oldest bucket that counts: which of its calls were not made is not known, and a call
        that is counted as younger than it is counts long enough in any case.
        """
        if calls <= 0:
            return
        with self._warehouse.begin(lock=_lock_of(service)) as connection:
            for limit in filter(_is_quota, _strictest(limits)):
                rest = calls
                for start, used in _buckets(connection, service, limit, now).items():
                    less = min(rest, used)
                    rest -= less
                    connection.execute(
                        update(enrichment_budget)
                        .where(*_is_of(enrichment_budget, service, limit), enrichment_budget.c.bucket_start == start)
                        .values(calls_used=used - less)
                    )
                    if not rest:
                        break

    def pause(self, service: str, *, until: datetime, reason: str) -> None:
        """Let nobody ask `service` before `until`; a pause is only ever prolonged by another."""
        with self._warehouse.begin(lock=_lock_of(service)) as connection:
            _upsert(
                connection,
                enrichment_pauses,
                {"service": service, "paused_until": until, "reason": reason},
                only_if_later="paused_until",
            )

    def state(self, service: str, limits: Sequence[Limit], now: datetime) -> AllowanceState:
        """Say how much of each limit is used at `now`; takes nothing and waits for nobody."""
        with self._warehouse.read() as connection:
            books = _Books.read(connection, service, limits, now)
        return AllowanceState(
            service=service,
            limits=tuple(_state_of(limit, books, now) for limit in limits),
            paused_until=books.paused_until,
            pause_reason=books.pause_reason,
        )


@dataclass(frozen=True, slots=True)
class _Books:
    """What is written down of a service at one moment: counting buckets by quota, next free time by pace."""

    buckets: Mapping[Limit, Mapping[datetime, int]]
    next_free: Mapping[Limit, datetime]
    paused_until: datetime | None
    pause_reason: str | None

    @classmethod
    def read(cls, connection: Connection, service: str, limits: Sequence[Limit], now: datetime) -> "_Books":
        pause = connection.execute(
            select(enrichment_pauses.c.paused_until, enrichment_pauses.c.reason).where(
                enrichment_pauses.c.service == service, enrichment_pauses.c.paused_until > now
            )
        ).one_or_none()
        free: dict[Limit, datetime] = {}
        buckets: dict[Limit, Mapping[datetime, int]] = {}
        for limit in limits:
            if _is_quota(limit):
                buckets[limit] = _buckets(connection, service, limit, now)
                continue
            free_at = connection.execute(
                select(enrichment_paces.c.next_free_at).where(*_is_of(enrichment_paces, service, limit))
            ).scalar_one_or_none()
            free[limit] = now if free_at is None else max(free_at, now)
        return cls(buckets, free, *(pause or (None, None)))


def _grant(books: _Books, limits: Sequence[Limit], wanted: int, now: datetime) -> Grant:
    """Decide how many of the `wanted` calls may be made, when, and what is in the way of the rest."""
    begins_at = max(books.next_free.values(), default=now)
    spacing = max((_spacing(limit) for limit in books.next_free if limit.calls > 0), default=timedelta(0))
    calls = wanted
    # Of all that is in the way the last to go counts: `None` is never.
    obstacles: list[tuple[datetime | None, str]] = []
    if books.paused_until is not None:
        calls = 0
        obstacles.append((books.paused_until, f"paused until {books.paused_until}: {books.pause_reason}"))
    for limit in limits:
        calls = min(calls, max(0, _left(limit, books, now, begins_at=begins_at, spacing=spacing)))
    if calls == wanted:
        return Grant(calls=calls, begins_at=begins_at, spacing=spacing)
    for limit in limits:
        if limit.calls <= 0:
            obstacles.append((None, _words(limit)))
            continue
        if _is_quota(limit):
            start = _bucket_start(limit, _last_of(calls, begins_at, spacing))
            free_at = _free_at(limit, Counter(books.buckets[limit]) + Counter({start: calls}))
        else:
            free_at = begins_at + calls * spacing - PACE_UP_TO
        if free_at is not None and free_at > now:
            obstacles.append((free_at, _words(limit)))
    next_at, reason = max(obstacles, key=lambda each: (each[0] is None, each[0] or now))
    return Grant(calls=calls, begins_at=begins_at, spacing=spacing, next_at=next_at, reason=reason)


def _left(limit: Limit, books: _Books, now: datetime, *, begins_at: datetime, spacing: timedelta) -> int:
    """Return how many calls a limit allows at `now`."""
    if limit.calls <= 0:
        return 0
    if _is_quota(limit):
        return limit.calls - sum(books.buckets[limit].values())
    return (now + PACE_UP_TO - begins_at) // spacing + 1


def _free_at(limit: Limit, buckets: Mapping[datetime, int]) -> datetime | None:
    """Return when a quota that is used up as `buckets` say allows another call, None for at once."""
    used = sum(buckets.values())
    free_at = None
    for start, number in sorted(buckets.items()):
        if used < limit.calls:
            break
        used -= number
        free_at = start + _bucket(limit) + limit.window
    return free_at


def _last_of(calls: int, begins_at: datetime, spacing: timedelta) -> datetime:
    return begins_at + max(0, calls - 1) * spacing


def _state_of(limit: Limit, books: _Books, now: datetime) -> LimitState:
    if limit.calls <= 0:
        return LimitState(limit, 0, 0, None)
    if _is_quota(limit):
        used = sum(books.buckets[limit].values())
        return LimitState(limit, used, max(0, limit.calls - used), _free_at(limit, books.buckets[limit]))
    free_at = books.next_free[limit]
    used = min(limit.calls, -((now - free_at) // _spacing(limit)))
    return LimitState(limit, used, limit.calls - used, free_at if free_at > now else None)


def _write_down(connection: Connection, service: str, limits: Sequence[Limit], grant: Grant, now: datetime) -> None:
    last_at = _last_of(grant.calls, grant.begins_at, grant.spacing)
    for limit in limits:
        row = {"service": service, "window_seconds": limit.window.total_seconds(), "call_limit": limit.calls}
        if not _is_quota(limit):
            _upsert(connection, enrichment_paces, {**row, "next_free_at": last_at + _spacing(limit)})
            continue
        # Calls that begin in two buckets all count in the later one: longer than they need to, never shorter.
        start = _bucket_start(limit, last_at)
        _upsert(
            connection,
            enrichment_budget,
            {**row, "bucket_start": start, "calls_used": grant.calls},
            added="calls_used",
        )
        # A clock that is behind still finds what it counts.
        connection.execute(
            delete(enrichment_budget).where(
                *_is_of(enrichment_budget, service, limit),
                enrichment_budget.c.bucket_start <= now - 2 * limit.window - _bucket(limit),
            )
        )


def _upsert(
    connection: Connection,
    table: Table,
    row: Mapping[str, Any],
    *,
    added: str | None = None,
    only_if_later: str | None = None,
) -> None:
    """Insert a row or change the one with its key; the column `added` adds to what is there."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row)
    key = [column.name for column in table.primary_key]
    changes = {name: statement.excluded[name] for name in row if name not in key}
    if added is not None:
        changes[added] = table.c[added] + statement.excluded[added]
    condition = None if only_if_later is None else table.c[only_if_later] < statement.excluded[only_if_later]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes, where=condition))


def _buckets(connection: Connection, service: str, limit: Limit, now: datetime) -> dict[datetime, int]:
    """Return the calls of a quota that count at `now`, by start of bucket, the oldest first."""
    statement = (
        select(enrichment_budget.c.bucket_start, enrichment_budget.c.calls_used)
        .where(
            *_is_of(enrichment_budget, service, limit),
            enrichment_budget.c.bucket_start > now - limit.window - _bucket(limit),
            enrichment_budget.c.calls_used > 0,
        )
        .order_by(enrichment_budget.c.bucket_start)
    )
    return {start: used for start, used in connection.execute(statement)}  # noqa: C416 - a Row is no pair to mypy


def _is_of(table: Table, service: str, limit: Limit) -> tuple[Any, ...]:
    return table.c.service == service, table.c.window_seconds == limit.window.total_seconds()


def _strictest(limits: Sequence[Limit]) -> list[Limit]:
    """Return one limit for each window: of two over the same window, whose calls are counted once, the stricter."""
    calls: dict[timedelta, int] = {}
    for limit in limits:
        calls[limit.window] = min(limit.calls, calls.get(limit.window, limit.calls))
    return [Limit(number, window) for window, number in calls.items()]


def _is_quota(limit: Limit) -> bool:
    return limit.window > PACE_UP_TO


def _bucket(limit: Limit) -> timedelta:
    # Rounded up: 24 buckets are never less than the window.
    return -(-limit.window // _MICROSECOND // _BUCKETS) * _MICROSECOND


def _bucket_start(limit: Limit, at: datetime) -> datetime:
    return at - (at - _EPOCH) % _bucket(limit)


def _spacing(limit: Limit) -> timedelta:
    # Rounded up: a microsecond too little, often enough, is a call too many.
    return -(-limit.window // limit.calls // _MICROSECOND) * _MICROSECOND


def _words(limit: Limit) -> str:
    return f"no more than {limit.calls} calls in {limit.window}"


def _lock_of(service: str) -> str:
    return f"allowance of {service}"
