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
from typing import Self, TypeVar

from cowrie_pipeline.observability.telemetry import telemetry_of_workers
from cowrie_pipeline.observability.tracing import continuing, traceparent

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
        initializer, arguments = telemetry_of_workers()
        self._executor = (
            ProcessPoolExecutor(count, mp_context=context, initializer=initializer, initargs=arguments)
            if count > 0
            else None
        )
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
        waiting: deque[tuple[_Task, Future[_Result]]] = deque()
        for task in tasks:
            waiting.append((task, self._submit(work, task)))
            if len(waiting) > self._ahead:
                yield _finished(work, *waiting.popleft())
        while waiting:
            yield _finished(work, *waiting.popleft())

    def _submit(self, work: Callable[[_Task], _Result], task: _Task) -> "Future[_Result]":
        assert self._executor is not None  # noqa: S101 - asked by map
        parent = traceparent()
        try:
            if parent is None:
                return self._executor.submit(work, task)
            return self._executor.submit(_continued, parent, work, task)
        except BrokenProcessPool as error:
            broken: Future[_Result] = Future()
            broken.set_exception(error)
            return broken


def _continued(parent: str, work: Callable[[_Task], _Result], task: _Task) -> _Result:
    """Do a task in another process, its spans beneath the one in which it was handed over."""
    with continuing(parent):
        return work(task)


def _finished(work: Callable[[_Task], _Result], task: _Task, future: "Future[_Result]") -> _Result:
    try:
        return future.result()
    except BrokenProcessPool:
        return work(task)


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
