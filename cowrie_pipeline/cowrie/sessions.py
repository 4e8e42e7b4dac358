"""Which events are one session: natural keys, and days that continue each other.

A session id alone is no key. Until May 2017 it had 8 hex digits, of which equal ones recur within months, and in May
and June 2018 all connections of a process shared one. So the rule is:

* Events of one UTC day with the same sensor, session id and source address are one session's day.
* Such days are one session as long as no more than 24 hours of silence lie between them, and the later day does not
  begin with `cowrie.session.connect`: a connection is made once, and it is always the first thing logged (true of
  every session in 140,000 real events).
* A day without a source address (old VirusTotal and reverse DNS events have none) belongs to the session of that
  sensor and id that is nearest in time, up to 24 hours away; where there is none, it is a session of its own.

The rule looks only at what is in the days, never at the order in which they were read.

Known limit: two connections with the same sensor, id and address on one UTC day are taken as one session.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

__all__ = ["MAX_SILENCE", "SessionDay", "link_days", "session_day_key"]

MAX_SILENCE = timedelta(hours=24)

# A key begins with the day, so that a day's rows stand together in every table and index: written and read page by
# page instead of all over. Ten bits are enough for that, and leave 54 for the digest, which names the day as well: keys
# of days 1024 apart stand beside each other and are no more alike than any others.
_ORDERED_DAYS = 1024
_DIGEST_BITS = 54
_DIGEST_MASK = (1 << _DIGEST_BITS) - 1


@dataclass(frozen=True, slots=True)
class SessionDay:
    """What linking needs to know of one session's day; all days linked together share sensor and session id."""

    key: int
    source: str
    first_event_at: datetime
    last_event_at: datetime
    first_connect_at: datetime | None

    @property
    def begins_with_connect(self) -> bool:
        """Whether the connection was made on this day, before anything else happened."""
        return self.first_connect_at is not None and self.first_connect_at <= self.first_event_at


def session_day_key(sensor: str, session_id: str, source: str, day: date) -> int:
    """Return the 64-bit signed key of one session's day; the key of a session is that of its first day."""
    ending, beginning = _day_in_key(day)
    text = f"{sensor}\x1f{session_id}\x1f{source}{ending}"
    digest = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return (digest & _DIGEST_MASK) + beginning


@lru_cache(maxsize=16)
def _day_in_key(day: date) -> tuple[str, int]:
    """Return what a day adds to the text that is digested, and to the digest."""
    return f"\x1f{day.isoformat()}", (day.toordinal() % _ORDERED_DAYS << _DIGEST_BITS) - (1 << 63)


def link_days(days: Iterable[SessionDay]) -> dict[int, int]:
    """Decide which days are one session.

    Args:
        days: all known days of one sensor and session id, in any order.

    Returns:
        For each day's key, the key of its session: the key of the session's first day.
    """
    by_source: dict[str, list[SessionDay]] = defaultdict(list)
    for day in sorted(days, key=lambda day: (day.first_event_at, day.key)):
        by_source[day.source].append(day)
    unattributed = by_source.pop("", [])
    chains = [chain for of_source in by_source.values() for chain in _chains(of_source)]
    session_of = {day.key: chain[0].key for chain in chains for day in chain}
    alone = []
    for day in unattributed:
        nearest = min(
            chains, key=lambda chain: (_distance(day, chain), chain[0].first_event_at, chain[0].key), default=None
        )
        if nearest is not None and _distance(day, nearest) <= MAX_SILENCE:
            session_of[day.key] = nearest[0].key
        else:
            alone.append(day)
    return session_of | {day.key: chain[0].key for chain in _chains(alone) for day in chain}


def _chains(days: Sequence[SessionDay]) -> list[list[SessionDay]]:
    """Cut days of one source, in the order of time, where a new session begins."""
    chains: list[list[SessionDay]] = []
    for day in days:
        goes_on = chains and not day.begins_with_connect
        if goes_on and day.first_event_at - chains[-1][-1].last_event_at <= MAX_SILENCE:
            chains[-1].append(day)
        else:
            chains.append([day])
    return chains


def _distance(day: SessionDay, chain: Sequence[SessionDay]) -> timedelta:
    """Return the time between a day and a session, 0 where they overlap."""
    gap = max(day.first_event_at - chain[-1].last_event_at, chain[0].first_event_at - day.last_event_at)
    return max(gap, timedelta(0))
