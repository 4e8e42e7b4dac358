"""What became of one look-up: its status, the facts it gave, and until when it holds.

Belongs here: the words in which every source speaks to the cascade, and the cascade to its cache.
Does not belong here: how a source is asked (sources/), which source is believed (merge.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["Availability", "LookupCache", "Outcome", "Source", "Status"]


class Status(StrEnum):
    """How a look-up ended. Only `hit` and `not_found` are answers, and only an answer replaces an answer."""

    HIT = "hit"
    NOT_FOUND = "not_found"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"
    SKIPPED_BUDGET = "skipped_budget"
    NOT_APPLICABLE = "not_applicable"

    @property
    def is_answer(self) -> bool:
        """Whether the service said something about the key, be it that it knows nothing."""
        return self is Status.HIT or self is Status.NOT_FOUND


# A struct, because there is one for each address and service: a frozen dataclass takes seven times as long to make.
class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """The end of one look-up of `key` at `service`.

    `payload` holds the facts in JSON types (str, int, float, bool, lists and dicts of them, never None: an unknown
    fact is an absent key), and is empty unless `status` is `hit`. `expires_at` is when an answer must be asked again,
    None for a local source whose answers cost nothing; `retry_at` is the same for what is no answer. All times are
    UTC. `latency_ms` and `response_code` (of HTTP or DNS) are None where nothing was sent.
    """

    service: str
    key: str
    status: Status
    fetched_at: datetime
    payload: Mapping[str, Any]
    expires_at: datetime | None = None
    retry_at: datetime | None = None
    response_code: int | None = None
    latency_ms: float | None = None
    error: str | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether the key may be asked again at `now`.

        An answer that has expired and could not be renewed keeps its facts and carries the `retry_at` of the failure.
        """
        if self.status.is_answer:
            return self.expires_at is None or max(self.expires_at, self.retry_at or self.expires_at) <= now
        return self.retry_at is None or self.retry_at <= now


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a source can work, and the reason in words that an operator understands."""

    usable: bool
    reason: str


class Source(Protocol):
    """One place to ask about things of one kind, by batch.

    `name` is the service's key in `ip_inventory.enrichment` and `enrichment_cache`. `cached` says whether its
    outcomes are kept there: a remote service's are, a local file's need not be. `terms` is what the source declares of
    itself, and `keys_at_once` how many keys one look-up should be given: what takes about a minute at most, since
    nobody else asks about them meanwhile.
    """

    @property
    def name(self) -> str:
        """The service's key."""
        ...

    @property
    def cached(self) -> bool:
        """Whether outcomes are kept in the ledger."""
        ...

    @property
    def terms(self) -> Terms:
        """What the source declares of itself."""
        ...

    @property
    def keys_at_once(self) -> int:
        """How many keys one look-up should be given."""
        ...

    def availability(self) -> Availability:
        """Say whether the source can be asked at all, and if not, why; asks nobody."""
        ...

    def look_up(self, keys: Sequence[str], *, now: datetime) -> Sequence[Outcome]:
        """Ask about every key once; give one outcome per key, in the order of `keys`, and never raise for an answer."""
        ...


class LookupCache(Protocol):
    """The memory of look-ups, shared by all processes; the warehouse implements it."""

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the last outcome of each key that has one, due or not."""
        ...

    def claim_many(self, service: str, keys: Sequence[str], *, now: datetime) -> set[str]:
        """Return those of `keys` that are this process's to ask; the others are answered meanwhile, or being asked.

        A key that another process has claimed, or whose outcome is not due at `now` any more, is not given. A claim
        ends with `put_many` of the key, and by itself when the process that holds it has had time enough.
        """
        ...

    def release(self, service: str, keys: Sequence[str]) -> None:
        """Give up the caller's claims on `keys`, so that another may ask at once."""
        ...

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes; one that is no answer never replaces an answer, it only sets when to ask again.

        The claims on their keys end.
        """
        ...
