"""Work handed to processes, or a thread, beside this one, so that one core decodes or looks up while another writes.

Belongs here: handing tasks over and results back, in order and never too many at once.
Does not belong here: what the work is (sorting.py, fold.py).
"""

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Self, TypeVar

from cowrie_pipeline.observability.tracing import NotedSpan, adopt, noting, traceparent

__all__ = ["Workers", "one_behind", "spare_cores", "without_collector"]

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

# More would wait for the one process that writes.
_MAX_WORKERS = 4


class Workers:
    """`count` processes, or none: then the work is done in this one.

    If the processes die, for want of memory perhaps, what they were doing is done here.
    """

    def __init__(self, count: int) -> None:
        # not forked: a copy of a process with threads and open connections may hang
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(count, mp_context=context) if count > 0 else None
        self._ahead = count + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._executor is not None

    def map(self, work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Yield the result of `work`, a function of a module, for each task, in the order of the tasks.

        One task more than there are processes is taken from `tasks` ahead of the result that is yielded.
        """
        if self._executor is None:
            yield from map(work, tasks)
            return
        waiting: deque[tuple[_Task, str | None, Future[Any]]] = deque()
        for task in tasks:
            parent = traceparent()
            waiting.append((task, parent, self._submit(work, task, parent)))
            if len(waiting) > self._ahead:
                yield _finished(work, *waiting.popleft())
        while waiting:
            yield _finished(work, *waiting.popleft())

    def _submit(self, work: Callable[[_Task], _Result], task: _Task, parent: str | None) -> "Future[Any]":
        assert self._executor is not None  # noqa: S101 - asked by map
        try:
            if parent is None:
                return self._executor.submit(work, task)
            return self._executor.submit(_noted, parent, work, task)
        except BrokenProcessPool as error:
            broken: Future[Any] = Future()
            broken.set_exception(error)
            return broken


def _noted(parent: str, work: Callable[[_Task], _Result], task: _Task) -> tuple[_Result, list[NotedSpan]]:
    """Do a task in another process; return what its spans were, beneath the one in which it was handed over."""
    with noting(parent) as spans:
        return work(task), spans


def _finished(work: Callable[[_Task], _Result], task: _Task, parent: str | None, future: "Future[Any]") -> _Result:
    try:
        result: Any = future.result()
    except BrokenProcessPool:
        return work(task)
    if parent is not None:
        result, spans = result
        adopt(parent, spans)
    done: _Result = result
    return done


@contextmanager
def one_behind(work: Callable[[_Task], object]) -> Iterator[Callable[[_Task], None]]:
    """Yield a function that hands tasks over to a thread, which does them while the caller goes on to the next.

    One task is under way at a time, in the order of the tasks: handing one over waits for the one before, and leaving
    the context for the last. What a task raises is raised there. A task that was handed over is finished, whatever the
    caller raises afterwards.
    """
    with ThreadPoolExecutor(max_workers=1) as executor:
        under_way: Future[object] | None = None

        def hand_over(task: _Task) -> None:
            nonlocal under_way
            if under_way is not None:
                under_way.result()
            # beneath the span, and heard by the listener, of whoever hands it over
            under_way = executor.submit(copy_context().run, work, task)

        yield hand_over
        if under_way is not None:
            under_way.result()


def spare_cores(*, beside: int) -> int:
    """Return how many processes can work beside `beside` busy ones."""
    return max(0, min((os.cpu_count() or 1) - beside, _MAX_WORKERS))


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
