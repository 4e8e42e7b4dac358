"""What OpenTelemetry's SDK is given, where it is installed and set up: what a scrape says, batch by batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import opentelemetry.metrics
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cowrie_pipeline.observability import metrics as recording
from cowrie_pipeline.observability.instruments import CATALOG, LINES_READ, OPERATION_DURATION, Kind
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import metrics as steps_metrics
from cowrie_pipeline.steps.metrics import PipelineCollector
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline_tests.steps.made_days import World, attack

DAY = "2026-03-09"
ASNS = {"8.8.8.8": 15169, "1.1.1.1": 13335}


class Pushed:
    """An SDK in the place of that of this process, which can be set but once."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self._reader])

    def __getitem__(self, name: str) -> dict[tuple[str, ...], Any]:
        """Return the points of a metric by the values of its labels."""
        data = self._reader.get_metrics_data()
        found = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {
            tuple(str(value) for value in (point.attributes or {}).values()): point
            for metric in found
            if metric.name == name
            for point in metric.data.data_points
        }


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushed]:
    pushed = Pushed()
    made = (recording._counter, recording._histogram, recording._gauge)
    for each in made:
        each.cache_clear()
    monkeypatch.setattr(opentelemetry.metrics, "get_meter_provider", lambda: pushed.provider)
    monkeypatch.setattr(opentelemetry.metrics, "get_meter", pushed.provider.get_meter)
    monkeypatch.setattr(steps_metrics, "get_meter", pushed.provider.get_meter)
    yield pushed
    pushed.provider.shutdown()
    for each in made:
        each.cache_clear()


def test_a_batch_is_pushed_once_it_is_committed(pushed: Pushed, warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, *ASNS)
    World(ASNS.get).enrich(warehouse, DAY)
    assert pushed["asn_inventory.records_created"]["maxmind", "unknown", "unknown"].value == 2
    assert pushed["asn_inventory.total_count"][()].value == 2
    assert pushed["cowrie.lines_read"][()].value == 2
    created = pushed["asn_inventory.operation_duration_ms"]["create",]
    assert created.explicit_bounds == OPERATION_DURATION.buckets
    assert (created.count, sum(created.bucket_counts)) == (2, 2)


def _count_and_fail(warehouse: Warehouse) -> None:
    with counting(warehouse) as (_, tally):
        tally.count(LINES_READ, 7)
        raise ZeroDivisionError


def test_a_batch_that_is_undone_is_not_pushed(pushed: Pushed, warehouse: Warehouse) -> None:
    with pytest.raises(ZeroDivisionError):
        _count_and_fail(warehouse)
    assert pushed["cowrie.lines_read"] == {}


def test_nothing_is_pushed_where_metrics_are_off(pushed: Pushed, database_url: str) -> None:
    warehouse = Warehouse(database_url, counts=False)
    with counting(warehouse) as (_, tally):
        tally.count(LINES_READ, 7)
    warehouse.dispose()
    assert pushed["cowrie.lines_read"] == {}


def test_who_serves_metrics_pushes_the_gauges(
    pushed: Pushed, warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, *ASNS)
    collector = PipelineCollector(warehouse, settings, runs_in_progress=lambda: 3)
    collector.publish()
    scraped = {family.name: family for family in collector.collect()}
    for instrument in CATALOG:
        if instrument.kind is Kind.GAUGE:
            samples = {tuple(s.labels.values()): s.value for s in scraped[instrument.family].samples}
            assert {labels: point.value for labels, point in pushed[instrument.name].items()} == samples
    assert pushed["cowrie.runs_in_progress"][()].value == 3
