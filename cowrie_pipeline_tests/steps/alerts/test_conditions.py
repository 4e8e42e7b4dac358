"""Late days, a stale database, budgets nearly spent, sensors that fell silent."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import delete, update

from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.settings import ReceiverSettings, Settings
from cowrie_pipeline.steps.alerts.conditions import (
    DayState,
    SensorState,
    first_followed_day,
    late_days,
    silent_sensors,
    stale_trouble,
)
from cowrie_pipeline.steps.alerts.model import Moment
from cowrie_pipeline.steps.alerts.watch import note_conditions
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import loaded_days, log_segments
from cowrie_pipeline_tests.steps.made_days import add_day

NOW = datetime(2026, 11, 20, 7, tzinfo=UTC)
TODAY = NOW.date()
HOOK = (ReceiverSettings(name="hook", kind="webhook", url="http://127.0.0.1:9/"),)
HOUR = timedelta(hours=1)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def late(states: dict[date, DayState], *, hour: int = 7, first: date | None = None) -> set[date]:
    return set(late_days(states, first=first or ago(30), now=NOW.replace(hour=hour), due_hour=6))


def test_a_day_is_late_from_the_hour_on_and_not_before() -> None:
    there = {ago(n): DayState(has_lines=True, is_loaded=True) for n in range(2, 8)}
    assert late(there, hour=5) == set()
    assert late(there, hour=6) == {ago(1)}
    assert late(there | {ago(1): DayState(has_lines=True, is_loaded=True)}) == set()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (DayState(has_lines=False, is_loaded=False), "no line of a log"),
        (DayState(has_lines=False, is_loaded=True), "no line of a log"),
        (DayState(has_lines=True, is_loaded=False), "read and not materialized"),
    ],
)
def test_a_late_day_is_late_for_a_reason(state: DayState, reason: str) -> None:
    assert late_days({ago(1): state}, first=ago(1), now=NOW, due_hour=6) == {ago(1): reason}


def test_days_before_the_first_and_days_long_ago_are_not_waited_for() -> None:
    assert late({}, first=ago(2)) == {ago(1), ago(2)}
    assert late({}) == {ago(n) for n in range(1, 8)}
    assert late({}, first=TODAY) == set()


def test_a_database_is_stale_after_its_hours_and_an_empty_one_never() -> None:
    assert stale_trouble(None, now=NOW, after=48 * HOUR) is None
    assert stale_trouble(NOW - 48 * HOUR, now=NOW, after=48 * HOUR) is None
    assert stale_trouble(NOW - 49 * HOUR, now=NOW, after=48 * HOUR) is not None


def silent(*states: SensorState, since: datetime = NOW - 24 * HOUR) -> list[str]:
    return [each.fingerprint for each in silent_sensors(states, watched_since=since, silent_after=HOUR / 2, now=NOW)]


def test_a_sensor_is_silent_after_the_set_time_and_three_of_its_intervals() -> None:
    minute = HOUR / 60
    assert silent(SensorState("a", minute, NOW - 29 * minute), SensorState("b", minute, NOW - 31 * minute)) == [
        "sensor:b"
    ]
    assert silent(SensorState("slow", HOUR, NOW - 2 * HOUR)) == []
    assert silent(SensorState("slow", HOUR, NOW - 4 * HOUR)) == ["sensor:slow"]
    assert silent(SensorState("never", minute, None)) == ["sensor:never"]


def test_no_sensor_is_silent_for_the_time_that_nothing_ticked() -> None:
    assert silent(SensorState("a", HOUR / 60, NOW - 24 * HOUR), since=NOW - HOUR / 4) == []


def look(warehouse: Warehouse, settings: Settings, now: datetime) -> list[tuple[str, Moment]]:
    noted = note_conditions(warehouse, settings, HOOK, sensors=(), now=now)
    return [(each.incident.fingerprint, each.moment) for each in noted.announcements]


def test_late_days_are_one_incident_until_all_have_arrived(warehouse: Warehouse, settings: Settings) -> None:
    settings = replace(settings, alert_stale_hours=1000)
    for number in range(3, 8):
        add_day(warehouse, ago(number), at=NOW - 48 * HOUR)
    add_day(warehouse, ago(2), at=NOW - 48 * HOUR, loaded=False)
    noted = note_conditions(warehouse, settings, HOOK, sensors=(), now=NOW)
    (announcement,) = noted.announcements
    assert announcement.incident.all_days == (DayRange(ago(2), ago(1)),)
    assert dict(announcement.incident.trouble.facts)["what is there"] == "no line of a log, read and not materialized"
    assert look(warehouse, settings, NOW + HOUR / 60) == []
    add_day(warehouse, ago(1), at=NOW)
    assert look(warehouse, settings, NOW + HOUR / 30) == []
    with warehouse.begin() as connection:
        connection.execute(delete(log_segments).where(log_segments.c.day == ago(2)))
    add_day(warehouse, ago(2), at=NOW)
    assert look(warehouse, settings, NOW + HOUR / 20) == [("late", Moment.OVER)]


def test_a_new_installation_has_one_late_day_at_most(warehouse: Warehouse, settings: Settings) -> None:
    noted = note_conditions(warehouse, settings, HOOK, sensors=(), now=NOW)
    assert [each.incident.all_days for each in noted.announcements] == [(DayRange(ago(1), ago(1)),)]


def test_an_archive_that_is_loaded_makes_no_day_between_it_and_the_first_that_was_followed_late(
    warehouse: Warehouse, settings: Settings
) -> None:
    for number in (1, 2, 3, 60, 61):
        add_day(warehouse, ago(number), at=NOW)
    assert look(warehouse, settings, NOW) == []


@pytest.mark.parametrize(
    ("days", "first"),
    [
        ([], None),
        ([9], 9),
        ([1, 2, 3], 3),
        # a gap of a week is one of a honeypot that was off, and its days are waited for
        ([1, 8, 9], 9),
        ([1, 9, 10], 1),
        ([60, 61], 61),
    ],
)
def test_days_are_followed_since_the_last_long_gap(days: list[int], first: int | None) -> None:
    assert first_followed_day(ago(number) for number in days) == (None if first is None else ago(first))


def test_a_stale_database_is_told_and_its_end_too(warehouse: Warehouse, settings: Settings) -> None:
    settings = replace(settings, start_date=ago(-9))
    add_day(warehouse, ago(1), at=NOW - 49 * HOUR)
    assert look(warehouse, settings, NOW) == [("stale", Moment.OPENED)]
    assert look(warehouse, settings, NOW + HOUR) == []
    with warehouse.begin() as connection:
        connection.execute(update(loaded_days).values(loaded_at=NOW))
    assert look(warehouse, settings, NOW + 2 * HOUR) == [("stale", Moment.OVER)]


def test_a_budget_nearly_spent_is_told_once_and_that_there_is_some_again(
    warehouse: Warehouse, settings: Settings
) -> None:
    settings = replace(settings, start_date=ago(-9))
    allowance, quota = WarehouseAllowance(warehouse), Limit(500, timedelta(days=1))
    pace = Limit(4, timedelta(minutes=1))
    allowance.take("virustotal", [quota], 449, now=NOW)
    assert look(warehouse, settings, NOW) == []
    allowance.take("virustotal", [quota], 1, now=NOW)
    allowance.take("greynoise", [quota, pace], 1, now=NOW)
    assert look(warehouse, settings, NOW) == [("budget:virustotal", Moment.OPENED)]
    allowance.take("virustotal", [quota], 50, now=NOW)
    assert look(warehouse, settings, NOW + HOUR) == []
    assert look(warehouse, settings, NOW + 25 * HOUR + HOUR) == [("budget:virustotal", Moment.OVER)]
