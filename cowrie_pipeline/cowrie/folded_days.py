"""Whole days folded, in this process or another, and their rows packed to come back from there.

Belongs here: a day's segments in, its rows out.
Does not belong here: what is added up (fold.py), processes (workers.py).
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple, cast

import msgspec

from cowrie_pipeline.cowrie.fold import DayFold, FoldedRows
from cowrie_pipeline.cowrie.segments import lines_of
from cowrie_pipeline.cowrie.workers import Workers, without_collector

__all__ = ["FoldedDay", "fold_days"]


class FoldedDay(NamedTuple):
    """A day's rows, and how many of its events belong to no session."""

    day: date
    rows: FoldedRows
    events_without_session: int


class _Packed(NamedTuple):
    """`FoldedDay` as it comes from a process: rows are plain tuples there, which are made five times as fast."""

    day: date
    rows: tuple[list[tuple], list[tuple], list[tuple], list[tuple], list[tuple], list[tuple]]  # type: ignore[type-arg]
    events_without_session: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def fold_days(workers: Workers, days: Iterable[tuple[date, Iterable[bytes]]]) -> Iterator[FoldedDay]:
    """Fold each day, given with its segments; yield the days in the order in which they came."""
    tasks = ((day, list(segments)) for day, segments in days)
    for packed in workers.map(_fold, tasks):
        folded = _decode(packed)
        # plain tuples serve as rows
        yield FoldedDay(folded.day, FoldedRows(*cast("FoldedRows", folded.rows)), folded.events_without_session)


def _fold(task: tuple[date, list[bytes]]) -> bytes:
    day, segments = task
    with without_collector():
        fold = DayFold(day)
        for segment in segments:
            fold.add_lines(lines_of(segment))
        return _encode((day, fold.take(), fold.events_without_session))
