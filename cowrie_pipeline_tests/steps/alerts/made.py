"""Failures and recoveries as tests need them."""

from datetime import UTC, date, datetime, timedelta

from cowrie_pipeline.steps.alerts.model import Failure, Kind, Recovery, Trouble
from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline.steps.days import DayRange

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST_DAY = date(2026, 10, 1)


def at(minutes: float) -> datetime:
    """Return a time so many minutes after the start."""
    return START + timedelta(minutes=minutes)


def days(first: int, last: int | None = None) -> DayRange:
    """Return a range of days by their numbers, from 0."""
    return DayRange(FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=first if last is None else last))


def trouble(severity: Severity = Severity.ERROR, *, assets: tuple[str, ...] = ("raw_sessions",)) -> Trouble:
    return Trouble(
        kind=Kind.CHECK,
        severity=severity,
        title="check session_counts of raw_sessions failed",
        remedy="Materialize the days shown again.",
        assets=assets,
        facts=(("rows_at_fault", "3"),),
        columns=("day", "username"),
        rows=(("2026-10-01", "(not shown)"),),
        run_id="0123-run",
    )


def failure(
    minutes: float,
    of_days: DayRange | None = None,
    *,
    name: str = "a",
    severity: Severity = Severity.ERROR,
    assets: tuple[str, ...] = ("raw_sessions",),
) -> Failure:
    return Failure(f"check:{name}", trouble(severity, assets=assets), (f"check:{name}",), of_days, at(minutes))


def recovery(minutes: float, of_days: DayRange | None = None, *, name: str = "a") -> Recovery:
    return Recovery(f"check:{name}", of_days, at(minutes))
