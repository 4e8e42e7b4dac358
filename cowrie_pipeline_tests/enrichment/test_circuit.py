"""The circuit breaker."""

from datetime import UTC, datetime, timedelta

from cowrie_pipeline.enrichment.circuit import Circuit, CircuitState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)


def opened() -> Circuit:
    circuit = Circuit(max_failures=3, cool_down=timedelta(minutes=1))
    for _ in range(3):
        circuit.record_failure(NOW)
    return circuit


def test_it_opens_after_as_many_failures_in_a_row_as_were_set() -> None:
    assert not opened().allows(NOW)


def test_a_success_between_failures_keeps_it_closed() -> None:
    circuit = Circuit(max_failures=2)
    for _ in range(5):
        circuit.record_failure(NOW)
        circuit.record_success()
    assert circuit.state(NOW) is CircuitState.CLOSED


def test_it_lets_a_trial_pass_after_the_cool_down() -> None:
    circuit = opened()
    assert circuit.state(LATER) is CircuitState.HALF_OPEN
    assert circuit.allows(LATER)


def test_a_failed_trial_opens_it_for_another_cool_down() -> None:
    circuit = opened()
    circuit.record_failure(LATER)
    assert circuit.state(LATER + timedelta(seconds=59)) is CircuitState.OPEN
    assert circuit.state(LATER + timedelta(seconds=60)) is CircuitState.HALF_OPEN


def test_a_successful_trial_closes_it() -> None:
    circuit = opened()
    circuit.record_success()
    assert circuit.state(NOW) is CircuitState.CLOSED


def test_a_late_failure_does_not_prolong_the_pause() -> None:
    circuit = opened()
    circuit.record_failure(NOW + timedelta(seconds=59))
    assert circuit.state(NOW + timedelta(seconds=60)) is CircuitState.HALF_OPEN


def test_it_can_be_tripped_for_a_reason_that_a_success_ends() -> None:
    circuit = Circuit(cool_down=timedelta(minutes=1))
    circuit.trip(NOW, "nobody there")
    assert (circuit.allows(NOW), circuit.reason) == (False, "nobody there")
    assert circuit.state(LATER) is CircuitState.HALF_OPEN
    circuit.record_success()
    assert (circuit.state(NOW), circuit.reason) == (CircuitState.CLOSED, None)


def test_what_it_is_tripped_for_may_last_longer_than_a_failure() -> None:
    circuit = Circuit(cool_down=timedelta(minutes=1))
    circuit.trip(NOW, "the key is refused", cool_down=timedelta(hours=1))
    assert circuit.state(LATER) is CircuitState.OPEN
    assert circuit.state(NOW + timedelta(hours=1)) is CircuitState.HALF_OPEN
