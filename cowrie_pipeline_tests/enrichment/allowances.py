"""A count of calls in memory, as honest as the warehouse's, and a clock that only moves when somebody sleeps."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cowrie_pipeline.enrichment.limits import PACE_UP_TO, Grant
from cowrie_pipeline.enrichment.terms import Limit


@dataclass
class StoppedClock:
    """A time that passes by sleeping alone."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@dataclass
class MemoryAllowance:
    """An `Allowance` for one process: quotas over sliding windows, paces by turns."""

    calls: dict[str, list[datetime]] = field(default_factory=dict)
    turns: dict[str, datetime] = field(default_factory=dict)
    pauses: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    given_back: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, service: str, limits: Sequence[Limit], wanted: int, *, now: datetime) -> Grant:
        with self.lock:
            until, reason = self.pauses.get(service, (now, ""))
            if until > now:
                return Grant(calls=0, begins_at=until, next_at=until, reason=reason)
            granted, next_at, reason = wanted, None, ""
            calls = self.calls.setdefault(service, [])
            for limit in limits:
                if limit.window > PACE_UP_TO:
                    recent = sorted(each for each in calls if each > now - limit.window)
                    if limit.calls - len(recent) < granted:
                        granted = max(0, limit.calls - len(recent))
                        next_at = recent[0] + limit.window if recent else now
                        reason = f"the budget of {limit.calls} calls is used up"
            spacing = max(
                (each.window / each.calls for each in limits if each.window <= PACE_UP_TO), default=timedelta(0)
            )
            begins_at = max(now, self.turns.get(service, now))
            if spacing:
                fitting = max(0, (now + PACE_UP_TO - begins_at) // spacing + 1)
                if fitting < granted:
                    granted, next_at = fitting, max(now, begins_at + fitting * spacing - PACE_UP_TO)
                    reason = "the pace is kept"
                self.turns[service] = begins_at + granted * spacing
            calls += [now] * granted
            return Grant(calls=granted, begins_at=begins_at, spacing=spacing, next_at=next_at, reason=reason or None)

    def give_back(self, service: str, limits: Sequence[Limit], calls: int, *, now: datetime) -> None:  # noqa: ARG002
        with self.lock:
            self.given_back += calls
            del self.calls[service][len(self.calls[service]) - calls :]

    def pause(self, service: str, *, until: datetime, reason: str) -> None:
        with self.lock:
            self.pauses[service] = max(self.pauses.get(service, (until, reason)), (until, reason))
