"""The desk: what is asked at all, what others ask meanwhile, and where a budget or a run's time ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cowrie_pipeline.enrichment.desk import RETRY_AFTER, WAIT_FOR_OTHERS, Answers, Desk
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline_tests.enrichment.recording import MemoryCache, RecordingSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = (Limit(1, timedelta(seconds=1)),)


def outcome(key: str, status: Status = Status.HIT, **fields: Any) -> Outcome:
    said: dict[str, Any] = {"service": "greynoise", "fetched_at": NOW, "payload": {"noise": True}}
    if status.is_answer:
        said["expires_at"] = NOW + timedelta(days=7)
    if status is not Status.HIT:
        said["payload"] = {}
    return Outcome(key=key, status=status, **(said | fields))


@dataclass
class StandingClock:
    """Seconds that pass by sleeping alone; something may happen while somebody sleeps."""

    now: float = 0.0
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@dataclass
class SharedCache(MemoryCache):
    """A cache of which other processes hold claims on keys."""

    claimed_elsewhere: set[str] = field(default_factory=set)

    def claim_many(self, service: str, keys: Sequence[str], *, now: datetime) -> set[str]:
        return super().claim_many(service, keys, now=now) - self.claimed_elsewhere


def source(script: Any = None, **fields: Any) -> RecordingSource:
    return RecordingSource("greynoise", script or (lambda key: {"key": key}), **fields)


def test_what_is_remembered_and_not_due_is_not_asked() -> None:
    cache, asked = MemoryCache(), source()
    cache.put_many([outcome("a"), outcome("b", Status.NOT_FOUND), outcome("c", expires_at=NOW)])
    answers = Desk().look_up(asked, ["a", "b", "c", "d"], cache=cache, now=NOW)
    assert asked.calls == [("c", "d")]
    assert set(answers.asked) == {"c", "d"}
    assert set(answers.remembered) == {"a", "b", "c"}
    assert answers.latest("a") == outcome("a")
    assert answers.latest("c") == answers.asked["c"]


def test_a_source_whose_answers_are_not_kept_is_asked_without_the_cache() -> None:
    cache, asked = MemoryCache(), source(cached=False)
    answers = Desk().look_up(asked, ["a"], cache=cache, now=NOW)
    assert asked.calls == [("a",)]
    assert (cache.reads, cache.writes, answers.remembered) == ([], [], {})
    assert answers.asked["a"].payload == {"key": "a"}


def test_keys_are_asked_by_portions_and_kept_after_each() -> None:
    cache, asked = MemoryCache(), source(keys_at_once=2)
    Desk().look_up(asked, ["a", "b", "c", "d", "e"], cache=cache, now=NOW)
    assert asked.calls == [("a", "b"), ("c", "d"), ("e",)]
    assert cache.writes == [2, 2, 1]
    assert cache.reads == ["greynoise"]


def test_no_keys_ask_nobody() -> None:
    asked = source()
    assert Desk().look_up(asked, [], cache=MemoryCache(), now=NOW) == Answers()
    assert asked.calls == []


def test_the_answers_of_another_process_are_waited_for() -> None:
    cache, asked, clock = SharedCache(claimed_elsewhere={"b"}), source(), StandingClock()

    def the_other_comes_to_its_end() -> None:
        if clock.now > 5:
            cache.put_many([outcome("b", payload={"by": "the other"})])

    clock.meanwhile = the_other_comes_to_its_end
    answers = Desk(clock=clock, sleep=clock.sleep).look_up(asked, ["a", "b"], cache=cache, now=NOW)
    assert asked.calls == [("a",)]
    assert set(answers.asked) == {"a"}
    latest = answers.latest("b")
    assert latest is not None
    assert latest.payload == {"by": "the other"}


def test_what_another_process_gives_up_is_asked_here() -> None:
    cache, asked, clock = SharedCache(claimed_elsewhere={"a"}), source(), StandingClock()

    def the_other_is_killed() -> None:
        if clock.now > 5:
            cache.claimed_elsewhere.clear()

    clock.meanwhile = the_other_is_killed
    answers = Desk(clock=clock, sleep=clock.sleep).look_up(asked, ["a"], cache=cache, now=NOW)
    assert asked.calls == [("a",)]
    assert answers.asked["a"].status is Status.HIT


def test_a_claim_that_outlasts_patience_is_an_error_that_is_not_kept() -> None:
    cache, asked, clock = SharedCache(claimed_elsewhere={"a"}), source(), StandingClock()
    answers = Desk(clock=clock, sleep=clock.sleep).look_up(asked, ["a"], cache=cache, now=NOW)
    assert asked.calls == []
    assert WAIT_FOR_OTHERS <= clock.now <= WAIT_FOR_OTHERS + 1
    failed = answers.asked["a"]
    assert (failed.status, failed.retry_at) == (Status.ERROR, NOW + RETRY_AFTER)
    assert failed.error == "another process is asking, and has not come to an end"
    # The other's answer is still to come, and must find its place free.
    assert cache.outcomes == {}


def test_an_expired_answer_is_waited_for_until_the_other_has_renewed_it() -> None:
    cache, asked, clock = SharedCache(claimed_elsewhere={"a"}), source(), StandingClock()
    cache.put_many([outcome("a", expires_at=NOW, payload={"age": "old"})])
    later = NOW + timedelta(hours=1)

    def the_other_comes_to_its_end() -> None:
        renewed = {"age": "new"}
        cache.put_many([outcome("a", fetched_at=later, expires_at=later + timedelta(days=7), payload=renewed)])

    clock.meanwhile = the_other_comes_to_its_end
    answers = Desk(clock=clock, sleep=clock.sleep).look_up(asked, ["a"], cache=cache, now=later)
    latest = answers.latest("a")
    assert latest is not None
    assert (latest.payload, asked.calls) == ({"age": "new"}, [])


def test_a_source_without_budget_is_not_asked_again_in_this_run() -> None:
    cache, asked, desk = MemoryCache(), source(lambda _key: Status.SKIPPED_BUDGET, keys_at_once=2), Desk()
    answers = desk.look_up(asked, ["a", "b", "c", "d"], cache=cache, now=NOW)
    assert asked.calls == [("a", "b")]
    assert {each.status for each in answers.asked.values()} == {Status.SKIPPED_BUDGET}
    assert [each.key for each in answers.asked.values()] == ["a", "b", "c", "d"]
    assert {each.retry_at for each in answers.asked.values()} == {NOW + asked.retry_after}
    # nor by whoever comes to the same desk later
    desk.look_up(asked, ["e"], cache=cache, now=NOW)
    assert asked.calls == [("a", "b")]
    # what was not asked has no row: another process with a fresher view of the budget may ask
    assert {key for _, key in cache.outcomes} == {"a", "b"}


def test_another_source_is_asked_when_one_has_no_budget() -> None:
    desk, cache = Desk(), MemoryCache()
    desk.look_up(source(lambda _key: Status.SKIPPED_BUDGET), ["a"], cache=cache, now=NOW)
    other = RecordingSource("spur", lambda _key: {"infrastructure": "MOBILE"})
    assert desk.look_up(other, ["a"], cache=cache, now=NOW).asked["a"].status is Status.HIT


def test_a_source_is_asked_for_so_long_in_one_run() -> None:
    clock, cache = StandingClock(), MemoryCache()

    def slow(key: str) -> Mapping[str, Any]:
        clock.now += 6
        return {"key": key}

    asked = source(slow, keys_at_once=1)
    desk = Desk(source_seconds=10, clock=clock, sleep=clock.sleep)
    answers = desk.look_up(asked, ["a", "b", "c", "d", "e"], cache=cache, now=NOW)
    assert asked.calls == [("a",), ("b",)]
    left = [each for each in answers.asked.values() if each.status is Status.SKIPPED_BUDGET]
    assert len(left) == 3
    assert {each.error for each in left} == {"not asked: this run has asked it for 10 seconds"}
    assert {each.retry_at for each in left} == {NOW + RETRY_AFTER}


def test_who_is_stopped_while_asking_gives_up_the_claims() -> None:
    cache = MemoryCache()

    def stopped(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Desk().look_up(source(stopped), ["a", "b"], cache=cache, now=NOW)
    assert cache.released == ["a", "b"]
    assert cache.outcomes == {}


def test_every_key_has_an_outcome_when_a_source_raises_or_forgets_one() -> None:
    def explode(_key: str) -> Status:
        raise RuntimeError("key=s3cret")

    answers = Desk().look_up(source(explode), ["a"], cache=MemoryCache(), now=NOW)
    assert answers.asked["a"].error == "the source failed with RuntimeError"
    assert answers.asked["a"].retry_at == NOW + RETRY_AFTER


def test_latest_is_an_answer_where_there_is_one() -> None:
    old = outcome("a")
    failed = replace(outcome("a", Status.ERROR), fetched_at=NOW + timedelta(days=8))
    renewed = replace(old, fetched_at=NOW + timedelta(days=8))
    assert Answers({"a": old}, {"a": failed}).latest("a") == old
    assert Answers({"a": old}, {"a": renewed}).latest("a") == renewed
    assert Answers({}, {"a": failed}).latest("a") == failed
    assert Answers({"a": failed}, {}).latest("a") == failed
    assert Answers({"a": failed}, {"a": renewed}).latest("a") == renewed
    assert Answers().latest("a") is None


def test_a_dead_process_leaves_its_claim_to_others_when_its_lease_is_over(warehouse: Warehouse) -> None:
    time, clock = [NOW], StandingClock()

    def cache() -> WarehouseCache:
        return WarehouseCache(warehouse, day=NOW.date(), lease=timedelta(seconds=30), clock=lambda: time[0])

    dead, mine, asked = cache(), cache(), source()
    assert dead.claim_many("greynoise", ["8.8.8.8", "9.9.9.9"], now=NOW) == {"8.8.8.8", "9.9.9.9"}
    # the process dies, and one of its answers was kept before
    dead.put_many([outcome("9.9.9.9", payload={"by": "the dead"})])

    def time_goes_on() -> None:
        time[0] = NOW + timedelta(seconds=clock.now)

    clock.meanwhile = time_goes_on
    desk = Desk(clock=clock, sleep=clock.sleep)
    answers = desk.look_up(asked, ["1.1.1.1", "8.8.8.8", "9.9.9.9"], cache=mine, now=NOW)
    assert asked.calls == [("1.1.1.1",), ("8.8.8.8",)]
    assert clock.now > 29
    kept = mine.get_many("greynoise", ["1.1.1.1", "8.8.8.8", "9.9.9.9"])
    assert {key: each.payload for key, each in kept.items()} == {
        "1.1.1.1": {"key": "1.1.1.1"},
        "8.8.8.8": {"key": "8.8.8.8"},
        "9.9.9.9": {"by": "the dead"},
    }
    assert set(answers.asked) == {"1.1.1.1", "8.8.8.8"}


def test_an_answer_survives_a_failure_at_the_desk_and_in_the_database(warehouse: Warehouse) -> None:
    cache = WarehouseCache(warehouse, day=NOW.date(), clock=lambda: NOW)
    cache.put_many([outcome("8.8.8.8")])
    later = NOW + timedelta(days=8)
    answers = Desk().look_up(source(lambda _key: Status.ERROR), ["8.8.8.8"], cache=cache, now=later)
    latest = answers.latest("8.8.8.8")
    assert latest is not None
    assert (latest.status, latest.payload) == (Status.HIT, {"noise": True})
    kept = cache.get_many("greynoise", ["8.8.8.8"])["8.8.8.8"]
    assert (kept.status, kept.payload, kept.fetched_at) == (Status.HIT, {"noise": True}, NOW)
    assert kept.retry_at is not None
    assert kept.retry_at > later
