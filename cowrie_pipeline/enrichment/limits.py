"""How often a service may be asked: the promise that all processes together keep.

Belongs here: the words in which a source asks for leave to call, and the warehouse gives it.
Does not belong here: what the limits are (terms.py), the count of calls (the warehouse keeps it).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from cowrie_pipeline.enrichment.terms import Limit

__all__ = ["PACE_UP_TO", "Allowance", "Grant"]

# A limit over a window no longer than this is a pace: its calls are spread evenly. A longer one is a quota, which may
# be used up at once.
PACE_UP_TO = timedelta(minutes=1)


class Grant(Struct, frozen=True, kw_only=True):
    """Leave to make `calls` calls, the first not before `begins_at` and each `spacing` after the one before.

    Where `calls` is less than was wanted, `next_at` is the earliest time at which more may be had; `reason` says in
    words which limit or pause is in the way.
    """

    calls: int
    begins_at: datetime
    spacing: timedelta = timedelta(0)
    next_at: datetime | None = None
    reason: str | None = None


class Allowance(Protocol):
    """The count of calls, shared by all processes; the warehouse implements it."""

    def take(self, service: str, limits: Sequence[Limit], wanted: int, *, now: datetime) -> Grant:
        """Count up to `wanted` calls as made and give leave for them; give none while the service is paused.

        Calls that begin later than `PACE_UP_TO` from now are not granted, so that a killed process wastes little.
        """
        ...

    def give_back(self, service: str, limits: Sequence[Limit], calls: int, *, now: datetime) -> None:
        """Take back calls that were granted and not made, as far as quotas go; a pace is not given back."""
        ...

    def pause(self, service: str, *, until: datetime, reason: str) -> None:
        """Let nobody ask `service` before `until`; a pause is only ever prolonged by another."""
        ...
