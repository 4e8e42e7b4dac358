"""Remove what sessions did in detail, of days longer ago than an operator wants to keep, and keep what it adds up to.

Sessions, their days and all counts stay. What files and passwords are counted by is kept for each day (`retired_files`,
`retired_passwords`), so that a count is a recount still. The lines themselves stay too (`log_segments`), so that
a late file can have a retired day made again as a whole, with its details, until they are removed again.

Belongs here: which days, and what is kept of them.
Does not belong here: Dagster's own log (orchestration/retention.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from cowrie_pipeline.cowrie.passwords import sha1_of_stored
from cowrie_pipeline.steps.days import DayRange, day_start
from cowrie_pipeline.warehouse.bulk import insert_rows
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    dead_letters,
    loaded_days,
    login_attempts,
    retired_days,
    retired_passwords,
)

__all__ = ["RetentionReport", "drop_old_details"]

_LETTERS_AT_ONCE = 10_000
# Not while sessions are written, or counted by their details.
_LOCKS = ("facts", "file_reputation", "password_exposure")


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """The days that lost their details, the rows removed by table, and the dead letters that lost their sample."""

    days: tuple[date, ...] = ()
    removed: dict[str, int] = field(default_factory=dict)
    samples: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was old enough."""
        return not self.days and not self.samples


def drop_old_details(warehouse: Warehouse, *, keep_days: int, now: datetime) -> RetentionReport:
    """Remove the details of days that were over more than `keep_days` days ago; a day is one transaction.

    A dead letter that was seen before that loses its sample and its reason in words; it stays, so that the accounting
    of lines does, and its line is known again.
    """
    before = now.date() - timedelta(days=keep_days)
    with warehouse.read() as connection:
        days = _days_with_details(connection, before)
    removed: dict[str, int] = {table.name: 0 for table in DETAIL_TABLES}
    for day in days:
        with warehouse.begin(lock=_LOCKS) as connection:
            for name, count in _retire(connection, day, now).items():
                removed[name] += count
    return RetentionReport(tuple(days), removed, _empty_letters(warehouse, day_start(before)))


def _days_with_details(connection: Connection, before: date) -> list[date]:
    return list(
        connection.execute(
            select(loaded_days.c.day)
            .where(loaded_days.c.day < before, loaded_days.c.day.not_in(select(retired_days.c.day)))
            .order_by(loaded_days.c.day)
        ).scalars()
    )


def _retire(connection: Connection, day: date, now: datetime) -> dict[str, int]:
    """Remove a day's details; return how many rows of each table."""
    span = DayRange(day, day)
    if connection.execute(select(retired_days.c.day).where(retired_days.c.day == day)).first():
        return {}  # another process has done it meanwhile
    columns = ("day", "sha1", "first_seen", "last_seen", "attempts")
    insert_rows(connection, retired_passwords, columns, _passwords_of(connection, span))
    statement = read_sql("transforms/retire_files", connection.dialect.name).statement
    connection.execute(with_parameters(statement, day=day, start=span.start, end=span.end))
    removed = {
        table.name: connection.execute(
            delete(table).where(table.c.event_at >= span.start, table.c.event_at < span.end)
        ).rowcount
        for table in DETAIL_TABLES
    }
    connection.execute(insert(retired_days).values(day=day, retired_at=now, details=sum(removed.values())))
    return removed


def _passwords_of(connection: Connection, span: DayRange) -> Iterator[tuple[Any, ...]]:
    """Yield what is kept of a day's passwords; one counts in clear and hashed."""
    attempt = login_attempts.c
    rows = connection.execute(
        select(attempt.password, func.min(attempt.event_at), func.max(attempt.event_at), func.count())
        .where(attempt.event_at >= span.start, attempt.event_at < span.end, attempt.password.is_not(None))
        .group_by(attempt.password)
    ).all()
    by_hash: dict[str, tuple[datetime, datetime, int]] = {}
    for password, first, last, attempts in rows:
        sha1 = sha1_of_stored(password)
        known = by_hash.get(sha1, (first, last, 0))
        by_hash[sha1] = min(known[0], first), max(known[1], last), known[2] + attempts
    for sha1, of_hash in sorted(by_hash.items()):
        yield span.first, sha1, *of_hash


def _empty_letters(warehouse: Warehouse, before: datetime) -> int:
    """Empty the samples of dead letters seen before a time, some at a time; return how many."""
    letter = dead_letters.c
    emptied = 0
    while True:
        with warehouse.begin(lock="scan") as connection:
            some: Iterable[str] = (
                connection.execute(
                    select(letter.line_fingerprint)
                    .where(letter.seen_at < before, (letter.sample != "") | (letter.detail != ""))
                    .order_by(letter.line_fingerprint)
                    .limit(_LETTERS_AT_ONCE)
                )
                .scalars()
                .all()
            )
            if not some:
                return emptied
            emptied += connection.execute(
                update(dead_letters).where(letter.line_fingerprint.in_(some)).values(sample="", detail="")
            ).rowcount
