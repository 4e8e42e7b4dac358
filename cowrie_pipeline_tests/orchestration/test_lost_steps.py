"""When a step that was given to the workers is lost, and what becomes of its run then."""

from collections.abc import Collection
from typing import Any

import pytest
from celery import Celery

from cowrie_pipeline.orchestration.lost_steps import (
    LOOK_EVERY_SECONDS,
    LOOKS_IN_VAIN,
    PAUSE_SECONDS,
    StepLostError,
    Watch,
    WatchedResult,
    look_in_redis,
)
from cowrie_pipeline.orchestration.queues import QUEUES, SCARCE
from cowrie_pipeline_tests.redis_server import PROGRAM, OwnRedis


class Given:
    """A step that was given away: its outcome is None until there is one."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.outcome: Any = None
        self.is_revoked = False

    def ready(self) -> bool:
        return self.outcome is not None

    def get(self) -> Any:
        return self.outcome

    def revoke(self) -> None:
        self.is_revoked = True


class Redis:
    """Where messages are, as they are looked for at times that pass as the test says."""

    def __init__(self) -> None:
        self.messages: set[str] = set()
        self.is_there = True
        self.now = 0.0
        self.looks = 0
        self.pauses: list[float] = []
        self.watch = Watch(self._find, clock=lambda: self.now, pause=self.pauses.append)

    def _find(self, messages: Collection[str]) -> set[str]:
        self.looks += 1
        if not self.is_there:
            raise ConnectionError("refused")
        return self.messages & set(messages)

    def give(self, name: str) -> tuple[Given, WatchedResult]:
        given = Given(name)
        self.messages.add(name)
        return given, WatchedResult(given, self.watch, f"step {name}")

    def are_ready(self, *results: WatchedResult, looks: int) -> list[bool]:
        """Let time pass for some looks, and return which of the results are ready then."""
        for _ in range(looks):
            self.now += LOOK_EVERY_SECONDS
            ready = [each.ready() for each in results]
        return ready


@pytest.fixture
def redis() -> Redis:
    return Redis()


def test_a_step_that_is_in_a_queue_or_lent_is_waited_for_however_long(redis: Redis) -> None:
    given, result = redis.give("a")
    assert redis.are_ready(result, looks=100 * LOOKS_IN_VAIN) == [False]
    given.outcome = ["events"]
    redis.messages.clear()
    assert result.ready()
    assert result.get() == ["events"]


def test_a_step_that_is_nowhere_for_some_looks_in_a_row_is_lost_and_the_others_are_not(redis: Redis) -> None:
    (_, lost), (_, other) = redis.give("a"), redis.give("b")
    redis.messages.remove("a")
    assert redis.are_ready(lost, other, looks=LOOKS_IN_VAIN - 1) == [False, False]
    redis.messages.add("a")
    assert redis.are_ready(lost, other, looks=1) == [False, False]
    redis.messages.remove("a")
    assert redis.are_ready(lost, other, looks=LOOKS_IN_VAIN) == [True, False]
    with pytest.raises(StepLostError, match="step a is in no queue"):
        lost.get()


def test_the_outcome_of_a_step_counts_also_if_it_comes_when_the_step_was_held_for_lost(redis: Redis) -> None:
    given, result = redis.give("a")
    redis.messages.clear()
    assert redis.are_ready(result, looks=LOOKS_IN_VAIN) == [True]
    given.outcome = ["events"]
    assert result.get() == ["events"]


def test_nothing_is_lost_while_redis_does_not_answer(redis: Redis) -> None:
    _, result = redis.give("a")
    redis.messages.clear()
    redis.is_there = False
    assert redis.are_ready(result, looks=2 * LOOKS_IN_VAIN) == [False]
    redis.is_there = True
    assert redis.are_ready(result, looks=LOOKS_IN_VAIN) == [True]


def test_redis_is_asked_once_for_all_steps_and_not_at_every_turn(redis: Redis) -> None:
    results = [redis.give(name)[1] for name in "abc"]
    for _ in range(10):
        assert not any(each.ready() for each in results)
    assert redis.looks == 0
    redis.are_ready(*results, looks=1)
    assert redis.looks == 1


def test_who_asks_without_a_pause_is_given_one_and_who_asks_once_a_second_is_not(redis: Redis) -> None:
    results = [redis.give(name)[1] for name in "ab"]
    for _ in range(3):
        assert not any(each.ready() for each in results)
        redis.now += 1
    assert redis.pauses == []
    assert not any(each.ready() for each in (*results, *results))
    assert redis.pauses == [PAUSE_SECONDS, PAUSE_SECONDS]


def test_a_step_that_is_not_wanted_any_more_is_revoked(redis: Redis) -> None:
    given, result = redis.give("a")
    result.revoke()
    assert given.is_revoked


@pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
def test_a_step_is_found_in_its_queue_and_while_it_is_lent_and_no_longer() -> None:
    redis = OwnRedis()
    try:
        redis.start()
        app = Celery(broker=redis.url(0))
        find = look_in_redis(app, QUEUES)
        step = app.send_task("execute_plan", queue=SCARCE, priority=5).id
        assert find([step, "another"]) == {step}
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            message = channel.basic_get(SCARCE)
            assert find([step]) == {step}
            channel.basic_ack(message.delivery_tag)
            assert find([step]) == set()
    finally:
        redis.remove()
