"""Days folded in processes beside this one, so that decoding and writing go on at the same time.

Belongs here: handing days to processes and their rows back, in order and never too many at once.
Does not belong here: what is folded (fold.py), reading and writing (the warehouse).
"""

import gc
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple, Self, cast

import msgspec

from cowrie_pipeline.cowrie.fold import DayFold, FoldedRows
from cowrie_pipeline.cowrie.segments import lines_of

__all__ = ["DayFolder", "Folded", "without_collector"]


class Folded(NamedTuple):
    """A day's rows, and how many of its events belong to no session."""

    rows: FoldedRows
    events_without_session: int


class _Packed(NamedTuple):
    """`Folded` as it comes from a process: rows are plain tuples there, which are made five times as fast."""

    rows: tuple[list[tuple], list[tuple], list[tuple], list[tuple], list[tuple], list[tuple]]  # type: ignore[type-arg]
    events_without_session: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class DayFolder:
    """Folds days in `workers` processes, or in this one if there are none."""

    def __init__(self, *, workers: int) -> None:
        # not forked: a copy of a process with threads and open connections may hang
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(workers, mp_context=context) if workers > 0 else None
        self._ahead = workers + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def fold_all(self, days: Iterable[tuple[date, Iterable[bytes]]]) -> Iterator[tuple[date, Folded]]:
        """Fold each day, given with its segments; yield the days in the order in which they came."""
        if self._executor is None:
            for day, segments in days:
                yield day, _fold(day, segments)
            return
        waiting: deque[tuple[date, list[bytes], Future[bytes]]] = deque()
        for day, segments in days:
            held = list(segments)
            waiting.append((day, held, self._submit(day, held)))
            if len(waiting) > self._ahead:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())

    def _submit(self, day: date, segments: list[bytes]) -> "Future[bytes]":
        assert self._executor is not None  # noqa: S101 - asked by fold_all
        try:
            return self._executor.submit(_fold_packed, day, segments)
        except BrokenProcessPool as error:
            broken: Future[bytes] = Future()
            broken.set_exception(error)
            return broken


def _finished(day: date, segments: list[bytes], future: Future[bytes]) -> tuple[date, Folded]:
    """Return a day's rows when they are there; if the processes died, for want of memory perhaps, fold it here."""
    try:
        packed = _decode(future.result())
    except BrokenProcessPool:
        return day, _fold(day, segments)
    # plain tuples serve as rows
    return day, Folded(FoldedRows(*cast("FoldedRows", packed.rows)), packed.events_without_session)


def _fold(day: date, segments: Iterable[bytes]) -> Folded:
    fold = DayFold(day)
    for segment in segments:
        fold.add_lines(lines_of(segment))
    return Folded(fold.take(), fold.events_without_session)


def _fold_packed(day: date, segments: list[bytes]) -> bytes:
    with without_collector():
        return _encode(_fold(day, segments))


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from walking through hundreds of thousands of rows, none of which is in a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
