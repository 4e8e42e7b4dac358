"""How long a key rests after failures."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.backoff import FIRST_REST, JITTER, LONGEST_REST, ask_again_at, rest_after
from cowrie_pipeline.enrichment.outcomes import Outcome, Status

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def failed(status: Status = Status.ERROR, retry_at: datetime | None = None) -> Outcome:
    return Outcome(service="dshield", key="8.8.8.8", status=status, fetched_at=NOW, payload={}, retry_at=retry_at)


@given(st.text(), st.integers(1, 10_000))
def test_a_rest_doubles_is_spread_and_is_never_longer_than_a_day(key: str, failures: int) -> None:
    rest = rest_after("dshield", key, failures)
    assert rest == rest_after("dshield", key, failures)
    assert rest <= LONGEST_REST
    if failures <= 6:
        plain = FIRST_REST * 2 ** (failures - 1)
        assert plain * (1 - JITTER) <= rest <= plain * (1 + JITTER)
    else:
        assert rest >= LONGEST_REST / 2


def test_keys_that_fail_together_are_not_asked_again_together() -> None:
    assert len({rest_after("dshield", f"8.8.8.{n}", 1) for n in range(256)}) == 256


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ERROR])
def test_what_is_no_failure_is_asked_again_when_it_says(status: Status) -> None:
    assert ask_again_at(failed(status, NOW + timedelta(1)), 7) == NOW + timedelta(1)
    assert ask_again_at(failed(status), 7) is None


def test_a_later_time_that_the_service_named_wins() -> None:
    rested_at = NOW + rest_after("dshield", "8.8.8.8", 3)
    assert ask_again_at(failed(), 3) == rested_at
    assert ask_again_at(failed(retry_at=NOW + timedelta(seconds=1)), 3) == rested_at
    assert ask_again_at(failed(retry_at=NOW + timedelta(days=3)), 3) == NOW + timedelta(days=3)
