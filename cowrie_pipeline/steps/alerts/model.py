"""What alerts are about: failures, recoveries, and the incidents that they add up to.

Belongs here: types.
Does not belong here: what is decided (rules.py), what is kept (book.py), how it reads (message.py).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline.steps.days import DayRange

__all__ = [
    "Announcement",
    "Failure",
    "Incident",
    "Kind",
    "Moment",
    "Part",
    "Recovery",
    "Trouble",
    "worse",
]


class Kind(StrEnum):
    """What kind of thing fails."""

    CHECK = "check"
    RUN = "run"
    LATE = "late"
    STALE = "stale"
    BUDGET = "budget"
    SENSOR = "sensor"


class Moment(StrEnum):
    """Why there is a message now."""

    OPENED = "opened"
    WORSE = "worse"
    REPEATED = "repeated"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a message says of a failure; everything in it may be shown to anybody who gets alerts.

    `assets` are those it is about, none where it is about no asset. `rows` are the first at fault, with what attackers
    wrote left out already (redaction.py). `facts` are names and values, such as how many rows are at fault.
    """

    kind: Kind
    severity: Severity
    title: str
    remedy: str
    assets: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something was found failing at `seen_at`.

    Failures of one `fingerprint` are one incident. `scopes` are the things that have to be found well again, each for
    all of `days`; None is a failure that is of no days.
    """

    fingerprint: str
    trouble: Trouble
    scopes: tuple[str, ...]
    days: DayRange | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Recovery:
    """`scope` was found well at `seen_at`, for `days`; None is for all days and without regard to days."""

    scope: str
    days: DayRange | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """A scope that failed for `days` when it was last looked at, at `seen_at`."""

    scope: str
    days: DayRange | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """Trouble from its first failure until every part of it is found well.

    `trouble` is that of the newest failure, of `seen_at`, with the worst severity so far. `all_days` are the days that
    failed at any time of it.
    """

    incident_id: str
    fingerprint: str
    trouble: Trouble
    parts: tuple[Part, ...]
    all_days: tuple[DayRange, ...]
    opened_at: datetime
    seen_at: datetime
    announced_at: datetime
    closed_at: datetime | None = None

    @property
    def scopes(self) -> set[str]:
        """What is still failing."""
        return {part.scope for part in self.parts}


@dataclass(frozen=True, slots=True)
class Announcement:
    """A message to be written about an incident as it is at that moment."""

    moment: Moment
    incident: Incident


def worse(one: Severity, other: Severity) -> Severity:
    """Return the worse of two severities."""
    return Severity.ERROR if Severity.ERROR in (one, other) else Severity.WARN
