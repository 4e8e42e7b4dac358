"""What a source declares of itself: what it needs, how often it may be asked, how long an answer holds, its terms.

Belongs here: the words in which each source says so, which `cowrie-enrich sources` shows.
Does not belong here: the values (each source's module has its own), counting calls (limits.py).
"""

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Limit", "Terms"]


@dataclass(frozen=True, slots=True)
class Limit:
    """No more than `calls` in any span of time as long as `window`, by all processes together."""

    calls: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is true of one service, whoever asks it.

    `service` is the key in `enrichment_cache` and in documents; `about` says what it tells, in half a line.
    `hit_for` and `negative_for` say how long a hit and a not_found hold. `licence` says what its answers may be used
    for, and `attribution` what must be shown with them, None where nothing must.
    """

    service: str
    title: str
    about: str
    url: str
    hit_for: timedelta
    negative_for: timedelta
    licence: str
    attribution: str | None = None
    needs_key: bool = False
    needs_contact: bool = False
    limits: tuple[Limit, ...] = ()
