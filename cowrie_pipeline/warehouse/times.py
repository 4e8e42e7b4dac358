"""Rows counted by the UTC day of one of their times."""

from datetime import date, datetime
from typing import Protocol

from sqlalchemy import Column, ColumnElement, Connection, func, select

__all__ = ["count_by_day"]


class Span(Protocol):
    """Days with a first moment, and a first moment after them."""

    @property
    def start(self) -> datetime:
        """The first moment."""
        ...

    @property
    def end(self) -> datetime:
        """The first moment after."""
        ...


def count_by_day(
    connection: Connection, column: Column[datetime], span: Span, *conditions: ColumnElement[bool]
) -> dict[date, int]:
    """Count the rows whose `column` lies in `span`, by day; days without rows are left out."""
    # PostgreSQL's session is in UTC, and SQLite stores UTC
    day_of = func.date(column)
    rows = connection.execute(
        select(day_of, func.count()).where(column >= span.start, column < span.end, *conditions).group_by(day_of)
    )
    return {day if isinstance(day, date) else date.fromisoformat(day): count for day, count in rows}
