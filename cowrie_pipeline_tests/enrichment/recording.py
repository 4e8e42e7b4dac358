"""A source that records what it is asked, and a cache in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.terms import Limit, Terms


def terms_of(service: str, limits: tuple[Limit, ...] = ()) -> Terms:
    """Return the terms of a made-up service."""
    return Terms(
        service=service,
        title=service,
        about="as the test says",
        url="http://127.0.0.1/",
        hit_for=timedelta(days=7),
        negative_for=timedelta(days=1),
        licence="none",
        limits=limits,
    )


Script = Callable[[str], Mapping[str, Any] | Status]


@dataclass
class RecordingSource:
    """Answers by `script`: facts are a hit, a status is itself."""

    name: str
    script: Script = lambda _key: Status.NOT_FOUND
    cached: bool = True
    usable: bool = True
    expires_after: timedelta = timedelta(days=7)
    retry_after: timedelta = timedelta(minutes=15)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    limits: tuple[Limit, ...] = ()
    keys_at_once: int = 1000

    @property
    def terms(self) -> Terms:
        return terms_of(self.name, self.limits)

    def availability(self) -> Availability:
        return Availability(self.usable, "as the test says")

    def look_up(self, keys: Sequence[str], *, now: datetime) -> Sequence[Outcome]:
        self.calls.append(tuple(keys))
        return [self._outcome(key, self.script(key), now) for key in keys]

    def _outcome(self, key: str, said: Mapping[str, Any] | Status, now: datetime) -> Outcome:
        status = said if isinstance(said, Status) else Status.HIT
        return Outcome(
            service=self.name,
            key=key,
            status=status,
            fetched_at=now,
            payload={} if isinstance(said, Status) else said,
            expires_at=now + self.expires_after if status.is_answer else None,
            retry_at=None if status.is_answer else now + self.retry_after,
            error=None if status.is_answer else "as the test says",
        )


@dataclass
class MemoryCache:
    """A `LookupCache` that keeps the rule: what is no answer never replaces an answer."""

    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        self.reads.append(service)
        return {key: self.outcomes[service, key] for key in keys if (service, key) in self.outcomes}

    def claim_many(self, service: str, keys: Sequence[str], *, now: datetime) -> set[str]:
        known = {key: self.outcomes[service, key] for key in keys if (service, key) in self.outcomes}
        return {key for key in keys if key not in known or known[key].is_due(now)}

    def release(self, service: str, keys: Sequence[str]) -> None:
        del service
        self.released.extend(keys)

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        self.writes.append(len(outcomes))
        for outcome in outcomes:
            key = (outcome.service, outcome.key)
            old = self.outcomes.get(key)
            if old is not None and old.status.is_answer and not outcome.status.is_answer:
                self.outcomes[key] = replace(old, retry_at=outcome.retry_at)
            else:
                self.outcomes[key] = outcome
