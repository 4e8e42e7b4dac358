"""Which days are asked for: a table of cases, and what holds for all of them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.log_watch import (
    DayState,
    LogWatch,
    RunState,
    Status,
    WatchRules,
    choose_days,
    note_request,
    pause_after,
    want_days,
    watch_logs,
)
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import day_requests, log_files
from cowrie_pipeline_tests.steps.made_days import connect, load, rows, span, write_log

TODAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LONG_AGO = date(2026, 2, 1)
RULES = WatchRules(first_day=date(2026, 1, 1), daily_hour=2)
HOUR = timedelta(hours=1)


def state(day: date = LONG_AGO, **what: Any) -> DayState:
    return DayState(day=day, **({"kept": 2, "made_of": None} | what))


CASES = {
    "new lines": (state(), True),
    "lines came since it was made": (state(made_of=1), True),
    "nothing new": (state(made_of=2), False),
    "nothing at all": (state(kept=0), False),
    "asked for already": (state(status=Status.REQUESTED, run_key="k", requested_at=NOW), False),
    "made as asked": (state(made_of=2, asked_for=2, status=Status.DONE), False),
    "lines came while it was made": (state(made_of=2, asked_for=2, kept=3, status=Status.DONE), True),
    "asked for by hand": (state(made_of=2, status=Status.WANTED), True),
    "failed lately": (state(asked_for=2, status=Status.FAILED, failures=1, due_at=NOW + HOUR), False),
    "failed a while ago": (state(asked_for=2, status=Status.FAILED, failures=1, due_at=NOW - HOUR), True),
    "failed after its lines were loaded": (
        state(made_of=2, asked_for=2, status=Status.FAILED, failures=1, due_at=NOW),
        True,
    ),
    "failed too often": (state(asked_for=2, status=Status.FAILED, failures=8, due_at=NOW - HOUR), False),
    "failed too often, and lines came": (state(asked_for=1, status=Status.FAILED, failures=8, due_at=NOW), True),
    "today": (state(TODAY), False),
    "yesterday": (state(TODAY - timedelta(days=1)), True),
    "tomorrow": (state(TODAY + timedelta(days=1)), False),
    "before the first day": (state(date(2025, 12, 31)), False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_day_is_asked_for_or_not(name: str) -> None:
    day, is_wanted = CASES[name]
    assert bool(choose_days([day], RULES, busy=(), now=NOW)) == is_wanted


@pytest.mark.parametrize(("time", "is_wanted"), [("00:05", False), ("02:14", False), ("02:15", True)])
def test_yesterday_is_left_to_its_schedule_at_first(time: str, is_wanted: bool) -> None:
    now = datetime.fromisoformat(f"{TODAY} {time}").replace(tzinfo=UTC)
    assert bool(choose_days([state(TODAY - timedelta(days=1))], RULES, busy=(), now=now)) == is_wanted


def test_pauses_grow_up_to_a_day() -> None:
    pauses = [pause_after(failures) for failures in range(1, 9)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(minutes=10), timedelta(days=1))


def test_days_that_failed_together_are_asked_for_in_shorter_ranges() -> None:
    def ranges(failures: int) -> list[int]:
        days = [
            state(LONG_AGO + timedelta(days=number), asked_for=2, status=Status.FAILED, failures=failures, due_at=NOW)
            for number in range(20)
        ]
        return [len(each) for each in choose_days(days, RULES, busy=(), now=NOW)]

    assert ranges(1) == [7, 7, 6]
    assert ranges(2) == [1] * RULES.runs_at_once


@given(
    st.lists(
        st.builds(
            DayState,
            day=st.dates(date(2025, 12, 20), date(2026, 3, 12)),
            kept=st.integers(0, 3),
            made_of=st.none() | st.integers(0, 3),
            asked_for=st.integers(0, 3),
            status=st.none() | st.sampled_from(Status),
            run_key=st.sampled_from(["a", "b"]),
            requested_at=st.just(NOW),
            failures=st.integers(0, 9),
            due_at=st.sampled_from([None, NOW - HOUR, NOW + HOUR]),
        ),
        unique_by=lambda each: each.day,
        max_size=60,
    ),
    st.sets(st.dates(date(2026, 2, 1), date(2026, 3, 12)), max_size=10),
)
def test_no_day_is_asked_for_twice_or_while_it_is_made_and_no_range_is_too_long(
    states: list[DayState], busy: set[date]
) -> None:
    ranges = choose_days(states, RULES, busy=busy, now=NOW)
    days = [day for each in ranges for day in each]
    assert len(days) == len(set(days))
    assert not set(days) & busy
    assert set(days) <= {each.day for each in states if each.status is not Status.REQUESTED}
    assert all(len(each) <= RULES.days_per_run for each in ranges)
    assert len(ranges) <= RULES.runs_at_once
    assert ranges == sorted(ranges, key=lambda each: each.first, reverse=True)


def look(warehouse: Warehouse, logs: Path, state_of: RunState = RunState.MISSING, **more: Any) -> list[DayRange]:
    settings = Settings(logs=str(logs), start_date=date(2026, 1, 1))
    runs = LogWatch(state_of=lambda _: state_of)
    report = watch_logs(warehouse, settings, runs, **({"now": NOW} | more))
    return [request.days for request in report.requests]


def test_a_request_that_no_run_came_of_is_made_again_after_a_while(warehouse: Warehouse, tmp_path: Path) -> None:
    write_log(tmp_path / "cowrie.json", [connect("2026-03-01 10:00")])
    assert look(warehouse, tmp_path) == [span("2026-03-01")]
    assert look(warehouse, tmp_path, now=NOW + timedelta(minutes=9)) == []
    assert look(warehouse, tmp_path, now=NOW + timedelta(minutes=10)) == [span("2026-03-01")]


def test_days_asked_for_by_hand_are_made_again_although_nothing_came(warehouse: Warehouse, tmp_path: Path) -> None:
    write_log(tmp_path / "cowrie.json", [connect("2026-03-01 10:00")])
    assert look(warehouse, tmp_path) == [span("2026-03-01")]
    load(warehouse, "2026-03-01")
    assert look(warehouse, tmp_path, RunState.SUCCEEDED) == []
    assert want_days(warehouse, span("2026-03-01", "2026-03-02")) == 2
    assert want_days(warehouse, span("2026-03-01", "2026-03-02")) == 0
    assert look(warehouse, tmp_path) == [span("2026-03-01", "2026-03-02")]
    assert look(warehouse, tmp_path, RunState.UNDER_WAY) == []
    assert look(warehouse, tmp_path, RunState.SUCCEEDED) == []
    assert {row["status"] for row in rows(warehouse, day_requests)} == {Status.DONE}


def test_a_run_of_the_schedule_that_failed_is_requested_again(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    note_request(warehouse, span("2026-03-09"), now=NOW)
    assert look(warehouse, tmp_path / "logs", RunState.FAILED) == []
    later = NOW + pause_after(1)
    assert look(warehouse, tmp_path / "logs", now=later) == [span("2026-03-09")]


def test_a_file_that_cannot_be_read_is_tried_once_an_hour(warehouse: Warehouse, tmp_path: Path) -> None:
    """One that has to be read by a run, which did not read it, stands for any that cannot be read."""
    path = write_log(tmp_path / "cowrie.json", [connect("2026-03-01 10:00")])
    settings = Settings(logs=str(tmp_path), start_date=date(2026, 1, 1))
    runs = LogWatch(state_of=lambda _: RunState.MISSING)
    first = watch_logs(warehouse, settings, runs, now=NOW, bytes_at_once=0)
    assert [each.file.path for each in first.unread] == [path]
    for after, is_tried in ((timedelta(minutes=59), False), (HOUR, True)):
        again = watch_logs(warehouse, settings, runs, now=NOW + after, cursor=first.cursor, bytes_at_once=0)
        assert bool(again.unread) == is_tried
    assert not rows(warehouse, log_files)
    # a cursor that says nothing costs a look
    assert watch_logs(warehouse, settings, runs, now=NOW, cursor="{}", bytes_at_once=0).unread
