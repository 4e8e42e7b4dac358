"""Trouble that no run tells of: days that are late, a database that goes stale, budgets, sensors that fell silent.

Each look finds all that is so now: what was found before and is not found any more is over.

Belongs here: what is looked at and when it is trouble. Does not belong here: asking Dagster about sensors
(orchestration/).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, func, select

from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.model import Failure, Incident, Kind, Recovery, Trouble
from cowrie_pipeline.steps.alerts.redaction import one_line
from cowrie_pipeline.steps.checks import Severity, asset_of
from cowrie_pipeline.steps.days import DayRange, contiguous
from cowrie_pipeline.warehouse.allowances import AllowanceState, WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_budget, loaded_days, log_files, log_segments

__all__ = [
    "DayState",
    "SensorState",
    "budget_troubles",
    "findings_of_look",
    "first_followed_day",
    "late_days",
    "late_failures",
    "look",
    "silent_sensors",
    "stale_trouble",
]

# A day that is not there after this is waited for no longer: the honeypot was off.
_WAITED_FOR = timedelta(days=7)
_INTERVALS = 3
_TICK = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayState:
    """What is known of a day: whether lines of it were read, and whether they were made into sessions."""

    has_lines: bool
    is_loaded: bool


@dataclass(frozen=True, slots=True)
class SensorState:
    """A sensor that should tick: how often, and when it last did and ended well, None for never."""

    name: str
    interval: timedelta
    well_at: datetime | None


def late_days(states: Mapping[date, DayState], *, first: date, now: datetime, due_hour: int) -> dict[date, str]:
    """Return the days that should be there and are not, with the reason.

    Args:
        states: what is known of days; a day that is not there is unknown.
        first: the first day that the pipeline is to have; earlier ones are nobody's.
        now: the time.
        due_hour: from this hour (UTC) on the day before has to be there.
    """
    yesterday = now.date() - _ONE_DAY
    last = yesterday if now.hour >= due_hour else yesterday - _ONE_DAY
    days = DayRange(max(first, now.date() - _WAITED_FOR), last) if first <= last else ()
    late = {}
    for day in days:
        state = states.get(day, DayState(has_lines=False, is_loaded=False))
        if not state.has_lines:
            late[day] = "no line of a log"
        elif not state.is_loaded:
            late[day] = "read and not materialized"
    return late


def first_followed_day(newest_first: Iterable[date]) -> date | None:
    """Return since when days have come one after another, None for no day.

    Days of an archive that was loaded later do not make those between it and the first day that was followed late: what
    lies before a gap longer than a day is waited for is something else.

    Args:
        newest_first: the days that are there.
    """
    first: date | None = None
    for day in newest_first:
        if first is not None and first - day > _WAITED_FOR:
            break
        first = day
    return first


def late_failures(late: Mapping[date, str], now: datetime) -> list[Failure]:
    """Return one failure for each range of late days; they are one incident."""
    reasons = sorted(set(late.values()))
    trouble = Trouble(
        kind=Kind.LATE,
        severity=Severity.ERROR,
        title="days are late",
        remedy=(
            "No line of a log: see that the honeypot runs and that its files reach COWRIE_LOGS. Read and not "
            "materialized: see in Dagster's UI which run failed or did not begin, and materialize the days."
        ),
        assets=("raw_sessions",),
        facts=(("what is there", ", ".join(reasons)),),
    )
    return [Failure("late", trouble, ("late",), days, now) for days in contiguous(late)]


def stale_trouble(newest: datetime | None, *, now: datetime, after: timedelta) -> Failure | None:
    """Return the failure of a database to which nothing was written for too long; an empty one is not stale."""
    if newest is None or now - newest <= after:
        return None
    hours = (now - newest) / timedelta(hours=1)
    trouble = Trouble(
        kind=Kind.STALE,
        severity=Severity.ERROR,
        title="nothing new is written to the database",
        remedy="See in Dagster's UI whether runs begin and how they end, and whether the honeypot still writes logs.",
        assets=("raw_sessions",),
        facts=(("newest", newest.astimezone(UTC).isoformat(timespec="minutes")), ("hours", f"{hours:.0f}")),
    )
    return Failure("stale", trouble, ("stale",), None, now)


def budget_troubles(states: Iterable[AllowanceState], *, share: float, now: datetime) -> list[Failure]:
    """Return a failure for each service of which a quota is used up to `share`, 0 to 1, or more."""
    failures = []
    for state in states:
        spent = [each for each in state.limits if each.limit.calls > 0 and each.used >= share * each.limit.calls]
        if not spent:
            continue
        scope = f"budget:{state.service}"
        words = ", ".join(f"{each.used:,} of {each.limit.calls:,} calls in {each.limit.window}" for each in spent)
        trouble = Trouble(
            kind=Kind.BUDGET,
            severity=Severity.WARN,
            title=f"the budget of {one_line(state.service)} is nearly spent",
            remedy=(
                "What there is no budget for is skipped and asked later. If that is too late: raise "
                "COWRIE_LIMITED_MIN_WORTH, so that fewer addresses are asked about, or buy more and set "
                f"COWRIE_{state.service.upper()}_LIMITS."
            ),
            assets=(asset_of(state.service),),
            facts=(("used", words),),
        )
        failures.append(Failure(scope, trouble, (scope,), None, now))
    return failures


def silent_sensors(
    states: Iterable[SensorState], *, watched_since: datetime, silent_after: timedelta, now: datetime
) -> list[Failure]:
    """Return a failure for each sensor that went too long without a tick that ended well.

    Nothing is said of the time before `watched_since`: while nothing ticked at all, as when the daemon was off, there
    is nothing to say of one sensor.
    """
    failures = []
    for state in states:
        well_at = watched_since if state.well_at is None else max(state.well_at, watched_since)
        if now - well_at <= max(silent_after, _INTERVALS * state.interval):
            continue
        scope = f"sensor:{state.name}"
        trouble = Trouble(
            kind=Kind.SENSOR,
            severity=Severity.ERROR,
            title=f"sensor {one_line(state.name)} stopped ticking",
            remedy=(
                "Open the sensor in Dagster's UI: its ticks show their errors. See that the daemon runs and that the "
                "code location loads."
            ),
            facts=(("last good tick", "none" if state.well_at is None else f"{state.well_at:%Y-%m-%d %H:%M} UTC"),),
        )
        failures.append(Failure(scope, trouble, (scope,), None, now))
    return failures


def look(warehouse: Warehouse, settings: Settings, *, now: datetime) -> list[Failure]:
    """Return what the database shows to be wrong now: late days, staleness, budgets nearly spent."""
    with warehouse.read() as connection:
        states, first = _day_states(connection, settings, now)
        newest = _newest(connection)
        limits = _quotas(connection)
    allowance = WarehouseAllowance(warehouse)
    budgets = [allowance.state(service, of_service, now) for service, of_service in limits.items()]
    stale = stale_trouble(newest, now=now, after=timedelta(hours=settings.alert_stale_hours))
    late = late_days(states, first=first, now=now, due_hour=settings.alert_day_due_hour)
    return [
        *late_failures(late, now),
        *([stale] if stale else []),
        *budget_troubles(budgets, share=settings.alert_budget_share, now=now),
    ]


def findings_of_look(
    failures: Sequence[Failure], open_incidents: Iterable[Incident], kinds: Iterable[Kind], *, now: datetime
) -> list[Failure | Recovery]:
    """Return `failures`, all that there are of `kinds` now, and that everything else of these kinds is over."""
    looked_at = set(kinds)
    over = {
        Recovery(scope, None, now - _TICK)
        for incident in open_incidents
        if incident.trouble.kind in looked_at
        for scope in incident.scopes
    }
    return [*failures, *sorted(over, key=lambda each: each.scope)]


def _day_states(connection: Connection, settings: Settings, now: datetime) -> tuple[dict[date, DayState], date]:
    """Return the days of late, and the first that can be late: the first that was followed, of nothing yesterday."""
    since = now.date() - _WAITED_FOR
    with_lines = set(connection.scalars(select(log_segments.c.day).distinct().where(log_segments.c.day >= since)))
    loaded = set(connection.scalars(select(loaded_days.c.day).where(loaded_days.c.day >= since)))
    followed = first_followed_day(connection.scalars(select(loaded_days.c.day).order_by(loaded_days.c.day.desc())))
    first = max(settings.start_date, followed or now.date() - _ONE_DAY)
    return {day: DayState(day in with_lines, day in loaded) for day in with_lines | loaded}, first


def _newest(connection: Connection) -> datetime | None:
    times = [
        connection.execute(select(func.max(column))).scalar()
        for column in (loaded_days.c.loaded_at, log_files.c.read_at)
    ]
    return max((at for at in times if at is not None), default=None)


def _quotas(connection: Connection) -> dict[str, list[Limit]]:
    """Return the quotas that calls were lately counted of, as they were when the last was."""
    budget = enrichment_budget.c
    rows = connection.execute(
        select(budget.service, budget.window_seconds, budget.call_limit).order_by(budget.service, budget.bucket_start)
    )
    newest = {(service, seconds): calls for service, seconds, calls in rows}
    quotas: dict[str, list[Limit]] = {}
    for (service, seconds), calls in newest.items():
        quotas.setdefault(service, []).append(Limit(calls, timedelta(seconds=seconds)))
    return quotas
