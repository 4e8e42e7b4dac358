"""Spans of days: each day once, in parts that are short enough for one transaction."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.steps.days import DAYS_TOGETHER, DayRange, contiguous
from cowrie_pipeline_tests.steps.made_days import span


@given(st.dates(date(2016, 1, 1), date(2030, 1, 1)), st.integers(1, 800), st.integers(1, 100))
def test_parts_have_every_day_once_in_order_and_none_is_too_long(first: date, days: int, length: int) -> None:
    whole = DayRange(first, first + timedelta(days=days - 1))
    parts = whole.parts(length)
    assert [day for part in parts for day in part] == list(whole)
    assert all(len(part) <= length for part in parts)
    assert contiguous(day for part in parts for day in part) == [whole]


def test_a_year_is_several_parts() -> None:
    assert [len(part) for part in span("2026-01-01", "2026-12-31").parts()] == [DAYS_TOGETHER] * 11 + [24]
