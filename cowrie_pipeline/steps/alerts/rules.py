"""Decide what to announce: one message when an incident begins, one when it is over, and few between.

Pure functions. What a scope's newest finding says of a day counts, in whatever order findings become known: a failure
that was seen before a recovery is over, also when it becomes known after it. So the same finding may be told twice, by
two processes, and changes nothing the second time.

Belongs here: incidents opened, changed and closed. Does not belong here: the database (book.py), words (message.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from cowrie_pipeline.steps.alerts.model import (
    Announcement,
    Failure,
    Incident,
    Moment,
    Part,
    Recovery,
    worse,
)
from cowrie_pipeline.steps.days import DayRange

__all__ = ["Settled", "joined_days", "settle"]

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Settled:
    """What findings came to: incidents that are new, changed or closed, in order, and what is to be announced."""

    incidents: tuple[Incident, ...]
    announcements: tuple[Announcement, ...]


def settle(
    open_incidents: Iterable[Incident],
    recoveries: Iterable[Recovery],
    findings: Iterable[Failure | Recovery],
    *,
    now: datetime,
    repeat_after: timedelta,
) -> Settled:
    """Take in `findings`, and remind of what lasts.

    Args:
        open_incidents: those that are not over; one for each fingerprint.
        recoveries: what was found well lately, of the scopes of `findings`.
        findings: failures and recoveries, in any order.
        now: the time of the messages.
        repeat_after: how long after a message an incident that lasts is announced again.
    """
    desk = _Desk({each.fingerprint: each for each in open_incidents}, list(recoveries), now)
    # failures first: what was well for a moment between two looks, and fails again, is the same incident
    for finding in sorted(findings, key=lambda each: (isinstance(each, Recovery), each.seen_at)):
        if isinstance(finding, Failure):
            desk.fail(finding)
        else:
            desk.recover(finding)
    desk.remind(repeat_after)
    return desk.settled()


class _Desk:
    """Open incidents while findings are taken in."""

    def __init__(self, incidents: dict[str, Incident], recoveries: list[Recovery], now: datetime) -> None:
        self._open = incidents
        self._recoveries = recoveries
        self._now = now
        # an incident is announced as it is when all findings are in, so that the message has all its days
        self._to_announce: dict[str, Moment] = {}
        self._announced: list[Announcement] = []
        self._changed: dict[str, None] = {}
        self._closed: list[Incident] = []

    def fail(self, failure: Failure) -> None:
        parts = [
            part
            for scope in failure.scopes
            for part in _all_without((Part(scope, failure.days, failure.seen_at),), self._recoveries)
        ]
        if not parts:
            return
        known = self._open.get(failure.fingerprint)
        if known is None:
            self._put(_opened(failure, parts, self._now))
            self._to_announce[failure.fingerprint] = Moment.OPENED
            return
        changed = _changed(known, failure, parts)
        if changed == known:
            return
        if changed.trouble.severity != known.trouble.severity:
            self._to_announce.setdefault(failure.fingerprint, Moment.WORSE)
        self._put(changed)

    def recover(self, recovery: Recovery) -> None:
        self._recoveries.append(recovery)
        for incident in list(self._open.values()):
            left = _without(incident.parts, recovery)
            if left == incident.parts:
                continue
            if left:
                self._put(replace(incident, parts=left))
            else:
                self._close(incident, recovery.seen_at)

    def remind(self, repeat_after: timedelta) -> None:
        for incident in self._open.values():
            if self._now - incident.announced_at >= repeat_after:
                self._to_announce.setdefault(incident.fingerprint, Moment.REPEATED)
        for fingerprint in list(self._to_announce):
            self._announce(fingerprint)

    def settled(self) -> Settled:
        changed = [self._open[fingerprint] for fingerprint in self._changed if fingerprint in self._open]
        return Settled((*self._closed, *changed), tuple(self._announced))

    def _put(self, incident: Incident) -> None:
        self._open[incident.fingerprint] = incident
        self._changed[incident.fingerprint] = None

    def _announce(self, fingerprint: str) -> None:
        moment = self._to_announce.pop(fingerprint, None)
        if moment is not None:
            incident = replace(self._open[fingerprint], announced_at=self._now)
            self._put(incident)
            self._announced.append(Announcement(moment, incident))

    def _close(self, incident: Incident, at: datetime) -> None:
        self._announce(incident.fingerprint)
        closed = replace(self._open.pop(incident.fingerprint), parts=(), closed_at=at, announced_at=self._now)
        self._changed.pop(incident.fingerprint, None)
        self._closed.append(closed)
        self._announced.append(Announcement(Moment.OVER, closed))


def _opened(failure: Failure, parts: Sequence[Part], now: datetime) -> Incident:
    return Incident(
        incident_id=uuid4().hex,
        fingerprint=failure.fingerprint,
        trouble=failure.trouble,
        parts=tuple(parts),
        all_days=joined_days(part.days for part in parts),
        opened_at=failure.seen_at,
        seen_at=failure.seen_at,
        announced_at=now,
    )


def _changed(incident: Incident, failure: Failure, parts: Sequence[Part]) -> Incident:
    kept = incident.parts
    for part in parts:
        # the newer failure stands for the older one of the same days
        of_same_kind = tuple(each for each in kept if (each.days is None) == (part.days is None))
        others = tuple(each for each in kept if each not in of_same_kind)
        kept = (*others, *_without(of_same_kind, Recovery(part.scope, part.days, part.seen_at)))
    is_newer = failure.seen_at >= incident.seen_at
    trouble = failure.trouble if is_newer else incident.trouble
    severity = worse(failure.trouble.severity, incident.trouble.severity)
    return replace(
        incident,
        trouble=replace(trouble, severity=severity),
        parts=tuple(sorted((*kept, *parts), key=_order)),
        all_days=joined_days((*incident.all_days, *(part.days for part in parts))),
        opened_at=min(incident.opened_at, failure.seen_at),
        seen_at=max(incident.seen_at, failure.seen_at),
    )


def _order(part: Part) -> tuple[str, int, datetime]:
    return part.scope, part.days.first.toordinal() if part.days else 0, part.seen_at


def _all_without(parts: tuple[Part, ...], recoveries: Iterable[Recovery]) -> tuple[Part, ...]:
    for recovery in recoveries:
        parts = _without(parts, recovery)
    return parts


def _without(parts: tuple[Part, ...], recovery: Recovery) -> tuple[Part, ...]:
    """Return what of `parts` still fails after a recovery."""
    left: list[Part] = []
    for part in parts:
        if part.scope != recovery.scope or part.seen_at > recovery.seen_at:
            left.append(part)
        else:
            left += [replace(part, days=days) for days in _days_without(part.days, recovery.days)]
    return tuple(left)


def _days_without(days: DayRange | None, found_well: DayRange | None) -> list[DayRange | None]:
    if found_well is None:
        return []
    if days is None or found_well.last < days.first or days.last < found_well.first:
        return [days]
    left: list[DayRange | None] = []
    if days.first < found_well.first:
        left.append(DayRange(days.first, found_well.first - _ONE_DAY))
    if found_well.last < days.last:
        left.append(DayRange(found_well.last + _ONE_DAY, days.last))
    return left


def joined_days(ranges: Iterable[DayRange | None]) -> tuple[DayRange, ...]:
    """Return ranges of days as few as they can be, in order."""
    joined: list[DayRange] = []
    for each in sorted((each for each in ranges if each is not None), key=lambda each: each.first):
        if joined and each.first <= joined[-1].last + _ONE_DAY:
            joined[-1] = DayRange(joined[-1].first, max(joined[-1].last, each.last))
        else:
            joined.append(each)
    return tuple(joined)
