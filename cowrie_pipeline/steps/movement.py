"""What moved in a span of days: addresses between networks and countries, networks that came and went.

Belongs here: the parts of the report. Does not belong here: what each part means (the headers in sql/reports/).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.reports import run_report

__all__ = ["Moved", "MovementReport", "last_week", "report_movement"]


@dataclass(frozen=True, slots=True)
class Moved:
    """One part of the report: how many rows there are, and the first of them with their columns."""

    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class MovementReport:
    """What moved in `days`.

    `differing` is, by fact (`network`, `country`, `ip_type`), the share of the days' snapshots that differ from what is
    known now, from 0 to 1; a fact that no snapshot has is left out.
    """

    days: DayRange
    addresses: Moved
    countries: Moved
    appeared: Moved
    vanished: Moved
    differing: Mapping[str, float] = field(default_factory=dict)


def last_week(now: datetime) -> DayRange:
    """Return the seven days before that of `now`, which are over."""
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    return DayRange(yesterday - timedelta(days=6), yesterday)


def report_movement(connection: Connection, days: DayRange, *, limit: int = 10) -> MovementReport:
    """Report what moved in `days`, with at most `limit` rows of each part."""

    def part(name: str) -> Moved:
        found = run_report(connection, name, days)
        return Moved(len(found.rows), found.columns, found.rows[:limit])

    differing = run_report(connection, "snapshots_that_differ", days)
    fact, share = map(differing.columns.index, ("fact", "share"))
    return MovementReport(
        days,
        addresses=part("moved_addresses"),
        countries=part("changed_countries"),
        appeared=part("new_networks"),
        vanished=part("networks_vanished"),
        differing={row[fact]: row[share] for row in differing.rows if row[share] is not None},
    )
