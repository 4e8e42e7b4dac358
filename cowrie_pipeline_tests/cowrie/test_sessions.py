"""Which days are one session."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.sessions import MAX_SILENCE, SessionDay, link_days, session_day_key

MIDNIGHT = datetime(2026, 3, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE, OTHER = "203.0.113.7", "2001:db8::1"


def day(
    key: int, first: timedelta, last: timedelta | None = None, *, source: str = ONE, connect: timedelta | None = None
) -> SessionDay:
    """A session's day by hours from midnight; `connect` is when its connection was made."""
    return SessionDay(
        key=key,
        source=source,
        first_event_at=MIDNIGHT + first,
        last_event_at=MIDNIGHT + (first if last is None else last),
        first_connect_at=None if connect is None else MIDNIGHT + connect,
    )


CASES: dict[str, tuple[list[SessionDay], dict[int, int]]] = {
    "nothing": ([], {}),
    "a day alone": ([day(1, -HOUR)], {1: 1}),
    "a session that crosses midnight": ([day(1, -HOUR, 0 * HOUR, connect=-HOUR), day(2, HOUR)], {1: 1, 2: 1}),
    "a session of three days": (
        [day(1, -HOUR, connect=-HOUR), day(2, 0 * HOUR, 23 * HOUR), day(3, 24 * HOUR)],
        {1: 1, 2: 1, 3: 1},
    ),
    "an id used again the next day": ([day(1, -HOUR, connect=-HOUR), day(2, HOUR, connect=HOUR)], {1: 1, 2: 2}),
    "an id used again months later": ([day(1, -HOUR), day(2, 2000 * HOUR)], {1: 1, 2: 2}),
    "silence of 24 hours": ([day(1, -HOUR), day(2, 23 * HOUR)], {1: 1, 2: 1}),
    "silence of more": ([day(1, -HOUR), day(2, 23 * HOUR + timedelta(microseconds=1))], {1: 1, 2: 2}),
    "events before another connection": ([day(1, -HOUR), day(2, HOUR, 3 * HOUR, connect=2 * HOUR)], {1: 1, 2: 1}),
    "a day behind a new connection": (
        [day(1, -30 * HOUR), day(2, -HOUR, connect=-HOUR), day(3, HOUR)],
        {1: 1, 2: 2, 3: 2},
    ),
    "the same id from two addresses": (
        [day(1, -HOUR), day(2, -HOUR, source=OTHER), day(3, HOUR), day(4, HOUR, source=OTHER)],
        {1: 1, 2: 2, 3: 1, 4: 2},
    ),
    "a day without a source beside its session": ([day(1, -HOUR), day(2, HOUR, source="")], {1: 1, 2: 1}),
    "a day without a source before its session": ([day(1, -HOUR, source=""), day(2, HOUR, connect=HOUR)], {1: 2, 2: 2}),
    "a day without a source nearer to the second": (
        [day(1, -9 * HOUR, connect=-9 * HOUR), day(2, 0 * HOUR, source=""), day(3, HOUR, connect=HOUR)],
        {1: 1, 2: 3, 3: 3},
    ),
    "a day without a source within two sessions": (
        [day(1, -HOUR, HOUR), day(2, -HOUR / 2, HOUR, source=OTHER), day(3, 0 * HOUR, source="")],
        {1: 1, 2: 2, 3: 1},
    ),
    "a day without a source far from any": ([day(1, -HOUR), day(2, 25 * HOUR, source="")], {1: 1, 2: 2}),
    "days without a source alone": (
        [day(1, -HOUR, source=""), day(2, HOUR, source=""), day(3, 99 * HOUR, source="")],
        {1: 1, 2: 1, 3: 3},
    ),
}


@pytest.mark.parametrize(("days", "sessions"), CASES.values(), ids=CASES.keys())
def test_days_are_linked(days: list[SessionDay], sessions: dict[int, int]) -> None:
    assert link_days(days) == sessions
    assert link_days(reversed(days)) == sessions


@st.composite
def histories(draw: st.DrawFn) -> list[SessionDay]:
    """Days as they can be: one a calendar day and source, first event before the last, a connection within."""
    days = []
    places = draw(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["", ONE, OTHER])), unique=True, max_size=12))
    for key, (number, source) in enumerate(places):
        hours = st.integers(0, 23)
        first, last = sorted((draw(hours), draw(hours)))
        connect = draw(st.none() | st.integers(first, last))
        start = number * 24 * HOUR
        days.append(
            day(
                key,
                start + first * HOUR,
                start + last * HOUR,
                source=source,
                connect=None if connect is None else start + connect * HOUR,
            )
        )
    return days


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_days_does_not_matter(days: list[SessionDay], random: Random) -> None:
    shuffled = list(days)
    random.shuffle(shuffled)
    assert link_days(shuffled) == link_days(days)


@given(histories())
def test_a_session_has_one_source_a_first_day_and_no_silence(days: list[SessionDay]) -> None:
    by_key = {each.key: each for each in days}
    sessions = link_days(days)
    assert sessions.keys() == by_key.keys()
    for key in sessions.values():
        assert sessions[key] == key
    for key in set(sessions.values()):
        of_source = sorted(
            (by_key[each] for each, session in sessions.items() if session == key and by_key[each].source),
            key=lambda each: each.first_event_at,
        )
        assert len({each.source for each in of_source}) <= 1
        if of_source:
            assert of_source[0].key == key
        for before, after in pairwise(of_source):
            assert after.first_event_at - before.last_event_at <= MAX_SILENCE
            assert not after.begins_with_connect


def test_a_key_is_that_of_one_sensor_session_source_and_day() -> None:
    given_key = session_day_key("pot", "a1b2", ONE, date(2026, 3, 18))
    assert given_key == session_day_key("pot", "a1b2", ONE, date(2026, 3, 18))
    others = {
        session_day_key("pot2", "a1b2", ONE, date(2026, 3, 18)),
        session_day_key("pot", "a1b3", ONE, date(2026, 3, 18)),
        session_day_key("pot", "a1b2", OTHER, date(2026, 3, 18)),
        session_day_key("pot", "a1b2", ONE, date(2026, 3, 19)),
        session_day_key("pota", "1b2", ONE, date(2026, 3, 18)),
    }
    assert len(others | {given_key}) == 6
    assert all(-(2**63) <= key < 2**63 for key in others)


def test_a_key_never_changes_between_releases() -> None:
    # rows of a released database are found again by it
    assert session_day_key("pot", "a1b2", ONE, date(2026, 3, 18)) == KNOWN_KEY


KNOWN_KEY = -2641635406080462440
