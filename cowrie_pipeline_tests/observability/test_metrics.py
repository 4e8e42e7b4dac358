"""What a batch counts, on its way to OpenTelemetry: all of it where somebody listens, else nothing and nobody asked."""

from collections.abc import Iterator
from typing import Any

import opentelemetry.metrics
import pytest
from opentelemetry.metrics import NoOpMeterProvider

from cowrie_pipeline.observability import metrics
from cowrie_pipeline.observability.instruments import (
    DEAD_LETTERS,
    LINES_READ,
    OPERATION_DURATION,
    TOTAL_COUNT,
)
from cowrie_pipeline.observability.metrics import METER, Tally, is_pushed, push


class Recorder:
    """Stands for an SDK: notes what it is given by any of its instruments."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, Any]] = {}
        self.recorded: list[tuple[str, float, dict[str, str]]] = []

    def get_meter(self, name: str) -> "Recorder":
        assert name == METER
        return self

    def create_counter(self, name: str, unit: str, description: str) -> "_Instrument":
        assert description
        return self._make(name, unit, None)

    create_gauge = create_counter

    def create_histogram(
        self, name: str, unit: str, description: str, *, explicit_bucket_boundaries_advisory: Any
    ) -> "_Instrument":
        assert description
        return self._make(name, unit, explicit_bucket_boundaries_advisory)

    def _make(self, name: str, unit: str, buckets: Any) -> "_Instrument":
        self.made[name] = (unit, buckets)
        return _Instrument(name, self.recorded)


class _Instrument:
    def __init__(self, name: str, recorded: list[tuple[str, float, dict[str, str]]]) -> None:
        self._name = name
        self._recorded = recorded

    def add(self, value: float, attributes: dict[str, str]) -> None:
        self._recorded.append((self._name, value, attributes))

    record = set = add


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """An SDK in the place of that of this process, which can be set but once."""
    recorder = Recorder()
    made = (metrics._counter, metrics._histogram, metrics._gauge)
    for each in made:
        each.cache_clear()
    monkeypatch.setattr(opentelemetry.metrics, "get_meter", recorder.get_meter)
    monkeypatch.setattr(opentelemetry.metrics, "get_meter_provider", lambda: recorder)
    yield recorder
    for each in made:
        each.cache_clear()


def filled() -> Tally:
    tally = Tally()
    tally.count(LINES_READ, 3)
    tally.count(LINES_READ, 4)
    tally.count(DEAD_LETTERS, 2, reason="cut")
    tally.observe(OPERATION_DURATION, 0.5, times=3, operation="create")
    tally.gauge(TOTAL_COUNT, 12)
    return tally


def test_a_batch_is_recorded_once_for_each_series(recorder: Recorder) -> None:
    push(filled())
    push(Tally())
    assert recorder.recorded == [
        ("cowrie.lines_read", 7, {}),
        ("cowrie.dead_letters", 2, {"reason": "cut"}),
        *[("asn_inventory.operation_duration_ms", 0.5, {"operation": "create"})] * 3,
        ("asn_inventory.total_count", 12, {}),
    ]
    assert recorder.made["asn_inventory.operation_duration_ms"] == ("ms", OPERATION_DURATION.buckets)


def test_without_an_sdk_nothing_is_made_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opentelemetry.metrics, "get_meter_provider", NoOpMeterProvider)
    monkeypatch.setattr(Tally, "record", lambda _: pytest.fail("recorded for nobody"))
    assert not is_pushed()
    push(filled())


def test_a_tally_is_something_once_it_counts_anything() -> None:
    assert not Tally()
    assert filled()
