"""Looking after the memory of look-ups: what is in it, making it due, removing what is long expired.

Belongs here: statistics, reports, invalidation and clean-up of `enrichment_cache` and `enrichment_claims`.
Does not belong here: reading and keeping outcomes (lookup_cache.py), the disk (enrichment/disk_cache.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, or_, select, tuple_, update

from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import LOCK
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    UtcDateTime,
    enrichment_cache,
    enrichment_cache_stats,
    enrichment_claims,
)

__all__ = [
    "CachedAddress",
    "CleanUpReport",
    "FlaggedFile",
    "LastLookUps",
    "Selection",
    "ServiceContents",
    "ServiceDay",
    "cached_addresses",
    "clean_up",
    "contents",
    "flagged_files",
    "invalidate",
    "invalidate_keys",
    "last_look_ups",
    "usage_by_day",
]

# So few that a transaction takes some milliseconds, and others get in between.
_ROWS_AT_ONCE = 1_000

_ANSWERS = tuple(status.value for status in Status if status.is_answer)
_cache = enrichment_cache.c


@dataclass(frozen=True, slots=True)
class ServiceContents:
    """What the cache holds of a service: entries by status, and how many of them may be asked again."""

    service: str
    entries: int
    by_status: Mapping[str, int]
    due: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class ServiceDay:
    """What was read and asked of a service on a day; `latency_ms` is the mean over the calls, None without one."""

    service: str
    day: date
    hits: int
    misses: int
    stores: int
    calls: int
    failures: int
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLookUps:
    """How a service fared lately: when it last gave an answer, and what went wrong last, None where nothing did.

    `failed_at` is None for an answer that could not be renewed: then only the answer's age is kept.
    """

    answered_at: datetime | None = None
    error: str | None = None
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CachedAddress:
    """That a service places an address in the country that was asked for."""

    ip_address: str
    service: str
    fetched_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FlaggedFile:
    """A file that `malicious` scanners call so; `label` is the usual name of the threat."""

    sha256: str
    malicious: int
    label: str | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Entries of the cache: those for which all that is given is true.

    `older_than` is a time: entries fetched before it.
    """

    service: str | None = None
    status: Status | None = None
    older_than: datetime | None = None
    key: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what must be true of a row."""
        equal = {_cache.service: self.service, _cache.status: self.status, _cache.key: self.key}
        conditions = [column == value for column, value in equal.items() if value is not None]
        return conditions if self.older_than is None else [*conditions, _cache.fetched_at < self.older_than]


@dataclass(frozen=True, slots=True)
class CleanUpReport:
    """How many entries were removed, by service, and how many claims that had run out."""

    removed: Mapping[str, int] = field(default_factory=dict)
    claims: int = 0


def contents(connection: Connection, *, now: datetime) -> list[ServiceContents]:
    """Return what the cache holds, by service."""
    may_be_asked = case((_is_resting(now), 0), else_=1)
    rows = connection.execute(
        select(
            _cache.service,
            _cache.status,
            func.count(),
            func.sum(may_be_asked),
            func.min(_cache.fetched_at),
            func.max(_cache.fetched_at),
        )
        .group_by(_cache.service, _cache.status)
        .order_by(_cache.service, _cache.status)
    ).all()
    found = []
    for service in sorted({row[0] for row in rows}):
        of_service = [row[1:] for row in rows if row[0] == service]
        statuses, counts, dues, oldest, newest = zip(*of_service, strict=True)
        found.append(
            ServiceContents(
                service, sum(counts), dict(zip(statuses, counts, strict=True)), sum(dues), min(oldest), max(newest)
            )
        )
    return found


def usage_by_day(connection: Connection, first: date, last: date) -> list[ServiceDay]:
    """Return what was read and asked from day `first` to `last`, by service and day."""
    stats = enrichment_cache_stats.c
    rows = connection.execute(
        select(
            stats.service,
            stats.day,
            stats.hits,
            stats.misses,
            stats.stores,
            stats.calls,
            stats.failures,
            stats.latency_ms / func.nullif(stats.calls, 0),
        )
        .where(stats.day.between(first, last))
        .order_by(stats.service, stats.day)
    )
    return [ServiceDay(*row) for row in rows]


def last_look_ups(connection: Connection, service: str) -> LastLookUps:
    """Return the newest answer and the newest failure of a service, as far as they are kept."""
    of_service = _cache.service == service
    answered_at = connection.execute(
        select(_cache.fetched_at)
        .where(of_service, _cache.status.in_(_ANSWERS))
        .order_by(_cache.fetched_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    # What was not asked for want of budget is no failure.
    failures = (*_ANSWERS, Status.ERROR.value, Status.RATE_LIMITED.value)
    # How long a failed key rests begins when it failed, so that the last to rest failed last, or nearly.
    failed = connection.execute(
        select(_cache.error, _cache.status, _cache.fetched_at)
        .where(of_service, _cache.error.is_not(None), _cache.status.in_(failures))
        .order_by(func.coalesce(_cache.retry_at, _cache.fetched_at).desc())
        .limit(1)
    ).one_or_none()
    if failed is None:
        return LastLookUps(answered_at=answered_at)
    error, status, fetched_at = failed
    return LastLookUps(answered_at=answered_at, error=error, failed_at=None if status in _ANSWERS else fetched_at)


def cached_addresses(connection: Connection, country: str) -> list[CachedAddress]:
    """Return the addresses that services place in `country`, two letters, with who says so."""
    rows = _report(
        connection,
        "reports/cached_addresses_of_country",
        {"fetched_at": UtcDateTime(), "expires_at": UtcDateTime()},
        country=country.upper(),
    )
    return [CachedAddress(*row) for row in rows]


def flagged_files(connection: Connection, *, since: datetime) -> list[FlaggedFile]:
    """Return the files of which VirusTotal said since a time that scanners call them malicious, the worst first."""
    rows = _report(connection, "reports/flagged_files", {"fetched_at": UtcDateTime()}, start=since)
    return [FlaggedFile(*row) for row in rows]


def invalidate(warehouse: Warehouse, selection: Selection, *, now: datetime, on_progress: OnProgress = unheard) -> int:
    """Make the entries of a selection due at `now`; return how many were not.

    Nothing is removed: an answer that was paid for is kept, and given where the service cannot be asked, until another
    answer replaces it. A key that rests after failures may be asked again, as if it had never failed.

    Raises:
        ValueError: nothing is selected by; everything at once would be asked again.
    """
    conditions = selection.conditions()
    if not conditions:
        raise ValueError("expected a service, status, age or key to invalidate by, found none: name one at least")
    conditions.append(_is_resting(now))
    with warehouse.read() as connection:
        total = connection.execute(select(func.count()).select_from(enrichment_cache).where(*conditions)).scalar_one()
    change = _made_due(now)
    done = 0
    while True:
        with warehouse.begin(lock=LOCK) as connection:
            some = select(_cache.service, _cache.key).where(*conditions).limit(_ROWS_AT_ONCE)
            changed = connection.execute(
                update(enrichment_cache).where(tuple_(_cache.service, _cache.key).in_(some)).values(change)
            ).rowcount
        if not changed:
            return done
        done += changed
        on_progress(done, max(done, total))


def invalidate_keys(
    warehouse: Warehouse,
    services: Iterable[str],
    keys: Sequence[str],
    *,
    now: datetime,
    older_than: datetime | None = None,
) -> int:
    """Make due what services said of some keys, as `invalidate` does, in one transaction; return how many were not."""
    changed = 0
    with (
        warehouse.begin(lock=LOCK) as connection,
        staged(connection, "keys_made_due", {"key": _cache.key.type}, ((key,) for key in keys)) as meant,
    ):
        # service by service, so that the table's key is of use
        for service in services:
            selection = Selection(service=service, older_than=older_than)
            conditions = [*selection.conditions(), _cache.key.in_(select(meant.c.key)), _is_resting(now)]
            changed += connection.execute(update(enrichment_cache).where(*conditions).values(_made_due(now))).rowcount
    return changed


def _made_due(now: datetime) -> dict[str, Any]:
    return {
        "expires_at": case((_cache.expires_at > now, now), else_=_cache.expires_at),
        "retry_at": None,
        "failures": 0,
    }


def clean_up(
    warehouse: Warehouse, *, expired_for: timedelta, now: datetime, on_progress: OnProgress = unheard
) -> CleanUpReport:
    """Remove entries that expired longer ago than `expired_for`, and claims that have run out.

    What is no answer expires when it may be asked again. Each transaction removes a thousand rows at most, so that
    nobody waits long.
    """
    before = now - expired_for
    # Two conditions, so that the first can use the index; of the second kind there are few.
    kinds = (
        _cache.expires_at < before,
        and_(_cache.expires_at.is_(None), func.coalesce(_cache.retry_at, _cache.fetched_at) < before),
    )
    with warehouse.read() as connection:
        total = sum(
            connection.execute(select(func.count()).select_from(enrichment_cache).where(kind)).scalar_one()
            for kind in kinds
        )
    removed: dict[str, int] = {}
    for kind in kinds:
        while some := _remove_some(warehouse, kind):
            for service in some:
                removed[service] = removed.get(service, 0) + 1
            done = sum(removed.values())
            on_progress(done, max(done, total))
    with warehouse.begin(lock=LOCK) as connection:
        claims = connection.execute(delete(enrichment_claims).where(enrichment_claims.c.claimed_until <= now)).rowcount
    return CleanUpReport(dict(sorted(removed.items())), claims)


def _remove_some(warehouse: Warehouse, condition: ColumnElement[bool]) -> Sequence[str]:
    """Remove some rows in a transaction of its own; return their services."""
    some = select(_cache.service, _cache.key).where(condition).limit(_ROWS_AT_ONCE)
    statement = delete(enrichment_cache).where(tuple_(_cache.service, _cache.key).in_(some)).returning(_cache.service)
    with warehouse.begin(lock=LOCK) as connection:
        return connection.execute(statement).scalars().all()


def _is_resting(now: datetime) -> ColumnElement[bool]:
    """Whether a row is not due at `now`, as `Outcome.is_due` says."""
    return case(
        (
            _cache.status.in_(_ANSWERS),
            and_(
                _cache.expires_at.is_not(None),
                or_(_cache.expires_at > now, func.coalesce(_cache.retry_at > now, False)),
            ),
        ),
        else_=func.coalesce(_cache.retry_at > now, False),
    )


def _report(connection: Connection, name: str, kinds: Mapping[str, Any], **parameters: Any) -> Sequence[Any]:
    statement = read_sql(name, connection.dialect.name).statement
    return connection.execute(with_parameters(statement, **parameters).columns(**kinds)).all()
