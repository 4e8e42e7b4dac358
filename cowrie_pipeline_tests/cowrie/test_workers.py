"""Work done beside the caller: in order, one task at a time, and nothing that was handed over is lost."""

import threading
from collections.abc import Callable, Sequence

import pytest

from cowrie_pipeline.cowrie.workers import one_behind
from cowrie_pipeline.observability.tracing import run_span, span
from cowrie_pipeline_tests.observability.recorded import recorded


def hand_over_all(work: Callable[[int], object], tasks: Sequence[int], *, then: Exception | None = None) -> None:
    with one_behind(work) as hand_over:
        for task in tasks:
            hand_over(task)
        if then is not None:
            raise then


def test_tasks_are_done_in_their_order_beside_the_caller_and_all_before_the_end() -> None:
    done: list[tuple[int, bool]] = []
    caller = threading.get_ident()

    def work(task: int) -> None:
        done.append((task, threading.get_ident() == caller))

    hand_over_all(work, range(5))
    assert done == [(task, False) for task in range(5)]


def test_the_caller_goes_on_while_a_task_is_done_and_waits_before_the_next() -> None:
    may_end, seen = threading.Event(), list[str]()

    def work(task: str) -> None:
        assert may_end.wait(30)
        seen.append(task)

    with one_behind(work) as hand_over:
        hand_over("a")
        assert seen == []
        may_end.set()
        hand_over("b")
        assert "a" in seen
    assert seen == ["a", "b"]


@pytest.mark.parametrize("tasks", [range(1), range(2)])
def test_what_a_task_raises_is_raised_at_the_caller(tasks: Sequence[int]) -> None:
    def work(task: int) -> None:
        raise ValueError(task)

    with pytest.raises(ValueError, match="0"):
        hand_over_all(work, tasks)


def test_what_was_handed_over_is_finished_though_the_caller_fails() -> None:
    done: list[int] = []
    with pytest.raises(KeyError):
        hand_over_all(done.append, [1], then=KeyError())
    assert done == [1]


def test_what_a_task_does_is_beneath_the_span_in_which_it_was_handed_over() -> None:
    def work(task: int) -> None:
        with span("write", {"cowrie.task": task}):
            pass

    with recorded() as finished:
        with run_span("run"), span("step"):
            hand_over_all(work, range(2))
        step = finished.one("step").context
        assert [each.parent for each in finished.named("write")] == [step, step]
