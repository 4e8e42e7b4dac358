"""Where sources are asked: only for what the ledger has not, only for keys that nobody else asks, only for so long.

Belongs here: the ledger before the call and after it, claims on keys, the end of a source's budget or time.
Does not belong here: which source is asked about what (cascade.py), how (sources/), the ledger itself (the warehouse).
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from cowrie_pipeline.enrichment.outcomes import LookupCache, Outcome, Source, Status
from cowrie_pipeline.observability.tracing import counts_in, current_span, fail, record_error, span

__all__ = ["Answers", "Desk"]

_log = logging.getLogger(__name__)
# How long to wait for the answers of other processes, and how often to look for them, in seconds.
WAIT_FOR_OTHERS = 120.0
WAIT_BETWEEN_LOOKS = 0.2
# When to ask again after a failure that does not say so itself.
RETRY_AFTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of some keys: outcomes that the ledger remembers, due or not, and those of what was asked now."""

    remembered: dict[str, Outcome] = field(default_factory=dict)
    asked: dict[str, Outcome] = field(default_factory=dict)

    def latest(self, key: str) -> Outcome | None:
        """Return the answer to a key: the one of now, or one remembered where that is none; else what became of it."""
        now, past = self.asked.get(key), self.remembered.get(key)
        if now is None or (past is not None and past.status.is_answer and not now.status.is_answer):
            return past
        return now

    def due_at(self, key: str) -> datetime | None:
        """Return when a key must be asked again; None for now, or where there is nothing to ask."""
        now = self.asked.get(key)
        if now is not None and not now.status.is_answer:
            return now.retry_at
        latest = self.latest(key)
        if latest is None or not latest.status.is_answer:
            return None if latest is None else latest.retry_at
        return max((at for at in (latest.expires_at, latest.retry_at) if at is not None), default=None)


class Desk:
    """Asks sources, each for `source_seconds` at most while the desk lives, which is as long as a run.

    `clock` (seconds) and `sleep` are for waiting and for how long asking took; when an answer is due is told by `now`.
    """

    def __init__(
        self,
        *,
        source_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source_seconds = source_seconds
        self._clock = clock
        self._sleep = sleep
        self._spent: defaultdict[str, float] = defaultdict(float)
        # Of sources that had no budget left: what they said, which is true of every further key.
        self._closed: dict[str, Outcome] = {}

    def look_up(self, source: Source, keys: Sequence[str], *, cache: LookupCache, now: datetime) -> Answers:
        """Return what is known of `keys`, distinct ones, after asking about those that are due."""
        # never the keys: addresses, and what is left of a password
        with span("source", {"cowrie.source": source.name, "cowrie.keys": len(keys)}) as asking:
            answers = self._look_up(source, keys, cache, now)
            if asking.is_recording():
                outcomes = Counter(str(outcome.status) for outcome in answers.asked.values())
                asking.set_attributes(counts_in({"asked": len(answers.asked), "outcomes": outcomes}))
                if set(outcomes) == {Status.ERROR}:
                    fail(asking, "no answer")
            return answers

    def _look_up(self, source: Source, keys: Sequence[str], cache: LookupCache, now: datetime) -> Answers:
        if not source.cached:
            return Answers(asked=_ask(source, keys, now))
        answers = Answers(dict(cache.get_many(source.name, keys)))
        elsewhere: list[str] = []
        for some in _portions(source, _due(keys, answers.remembered, now)):
            closed = self._closed_for(source, now)
            if closed is None:
                elsewhere += self._ask_claimed(source, some, answers, cache, now)
            else:
                answers.asked.update({key: msgspec.structs.replace(closed, key=key) for key in some})
        self._wait_for_others(source, elsewhere, answers, cache, now)
        return answers

    def _ask_claimed(
        self, source: Source, keys: Sequence[str], answers: Answers, cache: LookupCache, now: datetime
    ) -> list[str]:
        """Ask about those of `keys` that nobody else asks about; return the others."""
        mine = cache.claim_many(source.name, keys, now=now)
        to_ask = [key for key in keys if key in mine]
        if to_ask:
            started = self._clock()
            try:
                outcomes = _ask(source, to_ask, now)
                self._spent[source.name] += self._clock() - started
                _log.debug("%s: asked about %d keys, %.2f s in all", source.name, len(to_ask), self._spent[source.name])
                cache.put_many(list(outcomes.values()))
            except BaseException:
                # who is stopped, or has lost the database, does not keep those waiting who do the same work again
                with suppress(Exception):
                    cache.release(source.name, to_ask)
                raise
            answers.asked.update(outcomes)
            skipped = next((each for each in outcomes.values() if each.status is Status.SKIPPED_BUDGET), None)
            if skipped is not None:
                self._closed[source.name] = skipped
        return [key for key in keys if key not in mine]

    def _closed_for(self, source: Source, now: datetime) -> Outcome | None:
        """Return the outcome of every further key of a source that has no budget left, or took all the time it may."""
        if self._spent[source.name] >= self._source_seconds:
            return Outcome(
                service=source.name,
                key="",
                status=Status.SKIPPED_BUDGET,
                fetched_at=now,
                payload={},
                retry_at=now + RETRY_AFTER,
                error=f"not asked: this run has asked it for {self._source_seconds:.0f} seconds",
            )
        return self._closed.get(source.name)

    def _wait_for_others(
        self, source: Source, keys: Sequence[str], answers: Answers, cache: LookupCache, now: datetime
    ) -> None:
        """Take the answers to keys that other processes are asking about; ask about those that they give up."""
        give_up_at = self._clock() + WAIT_FOR_OTHERS
        while keys:
            answers.remembered.update(cache.get_many(source.name, keys))
            for some in _portions(source, _due(keys, answers.remembered, now)):
                self._ask_claimed(source, some, answers, cache, now)
            keys = [key for key in _due(keys, answers.remembered, now) if key not in answers.asked]
            if keys and self._clock() > give_up_at:
                problem = "another process is asking, and has not come to an end"
                answers.asked.update({key: _with_retry(_failure(source.name, key, now, problem), now) for key in keys})
                return
            if keys:
                self._sleep(WAIT_BETWEEN_LOOKS)


def _due(keys: Sequence[str], remembered: Mapping[str, Outcome], now: datetime) -> list[str]:
    return [key for key in keys if key not in remembered or remembered[key].is_due(now)]


def _portions(source: Source, keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), source.keys_at_once):
        yield keys[start : start + source.keys_at_once]


def _ask(source: Source, keys: Sequence[str], now: datetime) -> dict[str, Outcome]:
    """Ask a source; give every key exactly one outcome, whatever the source does."""
    try:
        given = {outcome.key: outcome for outcome in source.look_up(keys, now=now)}
        problem = "the source gave no outcome for this key"
    except Exception as error:  # noqa: BLE001 - one source's fault must not lose what the others found
        # The type alone: a message can hold the request, and the request a key.
        record_error(current_span(), error)
        given, problem = {}, f"the source failed with {type(error).__name__}"
    outcomes: dict[str, Outcome] = {}
    for key in keys:
        outcome = given.get(key)
        if outcome is None:
            outcome = _failure(source.name, key, now, problem)
        outcomes[key] = outcome if outcome.status.is_answer else _with_retry(outcome, now)
    return outcomes


def _failure(service: str, key: str, now: datetime, problem: str) -> Outcome:
    return Outcome(service=service, key=key, status=Status.ERROR, fetched_at=now, payload={}, error=problem)


def _with_retry(outcome: Outcome, now: datetime) -> Outcome:
    """Give a failure that does not say when to ask again a time for it."""
    if outcome.status is Status.NOT_APPLICABLE or outcome.retry_at is not None:
        return outcome
    return msgspec.structs.replace(outcome, retry_at=now + RETRY_AFTER)
