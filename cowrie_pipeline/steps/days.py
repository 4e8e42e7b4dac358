"""Spans of UTC days."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, func, select

from cowrie_pipeline.warehouse.tables import session_days

__all__ = ["DAYS_TOGETHER", "DayRange", "contiguous", "day_start", "days_with_sessions"]

_ONE_DAY = timedelta(days=1)
# So many days are one transaction at most, and one run where there is a choice: a year is neither.
DAYS_TOGETHER = 31


def day_start(day: date) -> datetime:
    """Return the first moment of a UTC day."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, slots=True)
class DayRange:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"expected the last day not to come before the first, found {self.first} to {self.last}")

    def __iter__(self) -> Iterator[date]:
        """Yield every day in order."""
        for number in range(len(self)):
            yield self.first + timedelta(days=number)

    def __len__(self) -> int:
        """Return the number of days."""
        return (self.last - self.first).days + 1

    @property
    def start(self) -> datetime:
        """The first moment of the range."""
        return day_start(self.first)

    @property
    def end(self) -> datetime:
        """The first moment after the range."""
        return day_start(self.last + _ONE_DAY)

    def parts(self, length: int = DAYS_TOGETHER) -> "list[DayRange]":
        """Return the range as ranges of at most `length` days, in order."""
        firsts = range(0, len(self), length)
        return [
            DayRange(self.first + timedelta(days=at), min(self.first + timedelta(days=at + length - 1), self.last))
            for at in firsts
        ]


def contiguous(days: Iterable[date]) -> list[DayRange]:
    """Join days to ranges without gaps, in order."""
    ranges: list[DayRange] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1].last == _ONE_DAY:
            ranges[-1] = DayRange(ranges[-1].first, day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


def days_with_sessions(connection: Connection) -> DayRange | None:
    """Return the span of all days that have sessions, None where there are none."""
    # each asked for itself: SQLite takes either from the end of the index, and for both at once reads all of it
    first = connection.scalar(select(func.min(session_days.c.day)))
    last = connection.scalar(select(func.max(session_days.c.day)))
    return None if first is None or last is None else DayRange(first, last)
