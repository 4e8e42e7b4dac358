"""The count of calls: what is granted, when, and that no span of time ever holds more than a limit."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cowrie_pipeline.enrichment.limits import PACE_UP_TO, Grant
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_budget
from cowrie_pipeline_tests.conftest import Databases

NOW = datetime(2026, 3, 10, 12, 0, 0, 1, UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (1, 60, 3600, 86400))
FOUR_A_MINUTE = Limit(4, MINUTE)
TEN_A_DAY = Limit(10, DAY)


@pytest.fixture
def allowance(warehouse: Warehouse) -> WarehouseAllowance:
    return WarehouseAllowance(warehouse)


def times_of(grant: Grant) -> list[datetime]:
    return [grant.begins_at + n * grant.spacing for n in range(grant.calls)]


def most_in_a_span(times: Sequence[datetime], window: timedelta) -> int:
    """Return the most calls that a span as long as `window` holds, its end excluded."""
    times = sorted(times)
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_without_limits_all_is_granted_at_once(allowance: WarehouseAllowance) -> None:
    assert allowance.take("hibp", [], 1000, now=NOW) == Grant(calls=1000, begins_at=NOW)


def test_a_quota_may_be_used_up_at_once_and_comes_back_when_its_window_is_over(allowance: WarehouseAllowance) -> None:
    grant = allowance.take("greynoise", [TEN_A_DAY], 12, now=NOW)
    assert (grant.calls, grant.begins_at, grant.spacing) == (10, NOW, timedelta(0))
    assert grant.next_at is not None
    assert NOW + DAY < grant.next_at <= NOW + DAY + HOUR
    assert grant.reason == "no more than 10 calls in 1 day, 0:00:00"
    just_before = allowance.take("greynoise", [TEN_A_DAY], 1, now=grant.next_at - timedelta(microseconds=1))
    assert (just_before.calls, just_before.next_at) == (0, grant.next_at)
    assert allowance.take("greynoise", [TEN_A_DAY], 12, now=grant.next_at).calls == 10


def test_a_pace_spreads_its_calls_evenly(allowance: WarehouseAllowance) -> None:
    grant = allowance.take("virustotal", [FOUR_A_MINUTE], 3, now=NOW)
    assert times_of(grant) == [NOW, NOW + 15 * SECOND, NOW + 30 * SECOND]
    assert times_of(allowance.take("virustotal", [FOUR_A_MINUTE], 1, now=NOW)) == [NOW + 45 * SECOND]


def test_calls_that_would_begin_too_late_are_not_granted(allowance: WarehouseAllowance) -> None:
    grant = allowance.take("virustotal", [FOUR_A_MINUTE], 100, now=NOW)
    assert times_of(grant)[-1] == NOW + PACE_UP_TO
    assert grant.next_at == NOW + 15 * SECOND
    assert allowance.take("virustotal", [FOUR_A_MINUTE], 1, now=NOW).calls == 0
    assert allowance.take("virustotal", [FOUR_A_MINUTE], 2, now=grant.next_at).calls == 1


def test_a_pace_that_was_not_used_gives_no_more_later(allowance: WarehouseAllowance) -> None:
    allowance.take("virustotal", [FOUR_A_MINUTE], 1, now=NOW)
    assert times_of(allowance.take("virustotal", [FOUR_A_MINUTE], 2, now=NOW + HOUR)) == [
        NOW + HOUR,
        NOW + HOUR + 15 * SECOND,
    ]


def test_the_narrowest_of_several_limits_decides(allowance: WarehouseAllowance) -> None:
    limits = [FOUR_A_MINUTE, Limit(6, DAY), Limit(1000, 31 * DAY)]
    assert allowance.take("virustotal", limits, 100, now=NOW).calls == 5
    assert allowance.take("virustotal", limits, 100, now=NOW + 5 * MINUTE).calls == 1
    nothing = allowance.take("virustotal", limits, 100, now=NOW + 10 * MINUTE)
    assert nothing.calls == 0
    assert nothing.reason == "no more than 6 calls in 1 day, 0:00:00"


def test_of_two_limits_over_the_same_window_the_stricter_holds(allowance: WarehouseAllowance) -> None:
    limits = [Limit(10, DAY), Limit(4, DAY)]
    assert allowance.take("greynoise", limits, 3, now=NOW).calls == 3
    allowance.give_back("greynoise", limits, 1, now=NOW)
    assert allowance.take("greynoise", limits, 3, now=NOW).calls == 2


def test_services_do_not_share_a_limit(allowance: WarehouseAllowance) -> None:
    assert allowance.take("abuseipdb", [TEN_A_DAY], 10, now=NOW).calls == 10
    assert allowance.take("greynoise", [TEN_A_DAY], 10, now=NOW).calls == 10


def test_a_limit_of_no_calls_never_grants_one(allowance: WarehouseAllowance) -> None:
    for window in (SECOND, DAY):
        grant = allowance.take("spur", [Limit(0, window)], 1, now=NOW)
        assert (grant.calls, grant.next_at) == (0, None)
        assert grant.reason is not None


def test_a_limit_that_was_lowered_counts_what_was_used(allowance: WarehouseAllowance) -> None:
    allowance.take("greynoise", [TEN_A_DAY], 8, now=NOW)
    grant = allowance.take("greynoise", [Limit(5, DAY)], 1, now=NOW + HOUR)
    assert grant.calls == 0
    assert grant.next_at is not None
    assert allowance.take("greynoise", [Limit(5, DAY)], 9, now=grant.next_at).calls == 5


def test_what_is_given_back_may_be_taken_again(allowance: WarehouseAllowance) -> None:
    limits = [TEN_A_DAY, Limit(10, HOUR)]
    allowance.take("abuseipdb", limits, 10, now=NOW)
    allowance.give_back("abuseipdb", limits, 4, now=NOW + MINUTE)
    assert allowance.take("abuseipdb", limits, 10, now=NOW + MINUTE).calls == 4


def test_a_pace_is_not_given_back(allowance: WarehouseAllowance) -> None:
    allowance.take("dshield", [FOUR_A_MINUTE], 1, now=NOW)
    allowance.give_back("dshield", [FOUR_A_MINUTE], 1, now=NOW)
    assert allowance.take("dshield", [FOUR_A_MINUTE], 1, now=NOW).begins_at == NOW + 15 * SECOND


def test_nobody_asks_while_a_service_is_paused(allowance: WarehouseAllowance, warehouse: Warehouse) -> None:
    allowance.pause("dshield", until=NOW + HOUR, reason="HTTP 429, Retry-After 3600")
    for limits in ([], [FOUR_A_MINUTE], [TEN_A_DAY]):
        grant = WarehouseAllowance(warehouse).take("dshield", limits, 3, now=NOW)
        assert (grant.calls, grant.next_at) == (0, NOW + HOUR)
        assert grant.reason is not None
        assert "Retry-After 3600" in grant.reason
    assert allowance.take("dshield", [TEN_A_DAY], 3, now=NOW + HOUR).calls == 3


def test_a_pause_is_only_ever_prolonged(allowance: WarehouseAllowance) -> None:
    allowance.pause("dshield", until=NOW + HOUR, reason="first")
    allowance.pause("dshield", until=NOW + MINUTE, reason="second")
    state = allowance.state("dshield", [], NOW)
    assert (state.paused_until, state.pause_reason, state.left) == (NOW + HOUR, "first", 0)
    allowance.pause("dshield", until=NOW + DAY, reason="third")
    state = allowance.state("dshield", [], NOW)
    assert (state.paused_until, state.pause_reason) == (NOW + DAY, "third")


def test_the_end_of_a_pause_does_not_hide_a_quota_that_is_used_up(allowance: WarehouseAllowance) -> None:
    used_up = allowance.take("greynoise", [TEN_A_DAY], 11, now=NOW)
    allowance.pause("greynoise", until=NOW + MINUTE, reason="HTTP 429")
    assert allowance.take("greynoise", [TEN_A_DAY], 1, now=NOW).next_at == used_up.next_at


def test_the_state_says_what_is_used_and_takes_nothing(allowance: WarehouseAllowance) -> None:
    limits = [FOUR_A_MINUTE, TEN_A_DAY]
    assert allowance.state("virustotal", [], NOW).left is None
    allowance.take("virustotal", limits, 3, now=NOW)
    for _ in range(2):
        state = allowance.state("virustotal", limits, NOW)
        assert [(each.used, each.left) for each in state.limits] == [(3, 1), (3, 7)]
        assert [each.next_at for each in state.limits] == [NOW + 45 * SECOND, None]
        assert (state.left, state.paused_until, state.pause_reason) == (1, None, None)
    allowance.take("virustotal", [TEN_A_DAY], 7, now=NOW)
    used_up = allowance.state("virustotal", [TEN_A_DAY, Limit(0, DAY * 2)], NOW)
    assert [(each.used, each.left) for each in used_up.limits] == [(10, 0), (0, 0)]
    assert used_up.limits[0].next_at == allowance.take("virustotal", [TEN_A_DAY], 1, now=NOW).next_at


def test_what_counts_no_more_is_removed(allowance: WarehouseAllowance, warehouse: Warehouse) -> None:
    for day in range(20):
        allowance.take("greynoise", [TEN_A_DAY], 1, now=NOW + day * DAY)
    with warehouse.read() as connection:
        assert len(connection.execute(select(enrichment_budget)).all()) <= 4


# ---- what holds for every sequence

windows = st.integers(1_000, 10_000_000).map(lambda ms: timedelta(milliseconds=ms))
limits = st.builds(Limit, st.integers(1, 12), windows)
steps = st.tuples(
    st.one_of(st.just(0), st.integers(0, 100_000), st.integers(0, 20_000_000)),  # milliseconds until it asks
    st.integers(1, 30),  # calls wanted
    st.one_of(st.just(0), st.integers(0, 5)),  # calls not made after all
)
_services = count()


@settings(max_examples=60)
@given(limits=st.lists(limits, min_size=1, max_size=3), steps=st.lists(steps, min_size=1, max_size=15))
def test_no_span_of_time_ever_holds_more_calls_than_a_limit(
    databases: Databases, shared_url: str, limits: list[Limit], steps: list[tuple[int, int, int]]
) -> None:
    warehouse = Warehouse(shared_url)
    allowance = WarehouseAllowance(warehouse)
    service = f"service {next(_services)}"
    now = NOW
    made: list[datetime] = []
    for wait, wanted, unmade in steps:
        now += timedelta(milliseconds=wait)
        grant = allowance.take(service, limits, wanted, now=now)
        times = times_of(grant)
        assert len(times) <= wanted
        assert all(now <= time <= now + PACE_UP_TO for time in times)
        assert (grant.next_at is None) == (len(times) == wanted)
        assert grant.next_at is None or grant.next_at > now
        back = min(unmade, len(times))
        allowance.give_back(service, limits, back, now=now)
        made += times[: len(times) - back]
    for limit in limits:
        assert most_in_a_span(made, limit.window) <= limit.calls
    warehouse.dispose()


@pytest.fixture(scope="module")
def shared_url(databases: Databases) -> str:
    """A database for all examples, which differ in their services."""
    return databases.fresh()
