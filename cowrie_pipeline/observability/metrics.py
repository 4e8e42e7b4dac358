"""Counts and durations of one batch, collected in memory until the batch is written.

Belongs here: adding up, and handing what was added up to OpenTelemetry once the batch is committed.
Does not belong here: which instruments there are (instruments.py), keeping counts (warehouse/metric_store.py), setting
OpenTelemetry's SDK up (telemetry.py).

What is recorded here says nothing until the batch is written: a batch that is undone counts nothing, in the database
and over OpenTelemetry alike.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cowrie_pipeline.observability.instruments import Instrument, Kind

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.metrics import _Gauge as Gauge

__all__ = ["METER", "Addition", "Tally", "is_pushed", "push"]

# The name under which instruments are known to OpenTelemetry.
METER = "cowrie_pipeline"

_Series = tuple[Instrument, tuple[str, ...]]


class Addition(NamedTuple):
    """What a batch adds to one counter, or to one bucket of a histogram, of one series.

    `bucket` is the place of the bucket's upper bound in `Instrument.buckets`, their number for what is above all, and
    None for a counter. `number` is how much, or how many observations; `total` is the sum of those, 0 for a counter.
    """

    instrument: Instrument
    labels: tuple[str, ...]
    bucket: int | None
    number: int
    total: float


class Tally:
    """What one batch adds to counters and histograms, and the gauges that were asked for with it."""

    def __init__(self) -> None:
        self._counts: defaultdict[_Series, int] = defaultdict(int)
        # distinct values are few: a batch gives each of its rows the same
        self._observed: defaultdict[_Series, list[tuple[float, int]]] = defaultdict(list)
        self._gauges: dict[_Series, float] = {}

    def __bool__(self) -> bool:
        """Whether anything was recorded."""
        return bool(self._counts or self._observed or self._gauges)

    def count(self, instrument: Instrument, amount: int = 1, **labels: str | None) -> None:
        """Add to a counter; what is not above 0 adds nothing."""
        if amount > 0:
            self._counts[instrument, instrument.bounded(labels)] += amount

    def observe(self, instrument: Instrument, value: float, *, times: int = 1, **labels: str | None) -> None:
        """Add an observation to a histogram, as often as `times` says."""
        if times > 0:
            self._observed[instrument, instrument.bounded(labels)].append((value, times))

    def observe_all(self, instrument: Instrument, values: Iterable[float], **labels: str | None) -> None:
        """Add an observation for each value."""
        observed = [(value, 1) for value in values]
        if observed:
            self._observed[instrument, instrument.bounded(labels)] += observed

    def gauge(self, instrument: Instrument, value: float, **labels: str | None) -> None:
        """Note the value that a gauge has now; it is pushed, and not kept."""
        self._gauges[instrument, instrument.bounded(labels)] = value

    def additions(self) -> Iterator[Addition]:
        """Yield what is added to each series."""
        for (instrument, labels), amount in self._counts.items():
            yield Addition(instrument, labels, None, amount, 0.0)
        for (instrument, labels), observed in self._observed.items():
            buckets: dict[int, tuple[int, float]] = {}
            for value, times in observed:
                # a bucket holds what is no more than its bound
                place = bisect_left(instrument.buckets, value)
                count, total = buckets.get(place, (0, 0.0))
                buckets[place] = count + times, total + value * times
            for place, (count, total) in buckets.items():
                yield Addition(instrument, labels, place, count, total)

    def record(self) -> None:
        """Record all of it through OpenTelemetry's API."""
        for (instrument, labels), amount in self._counts.items():
            _counter(instrument).add(amount, _attributes(instrument, labels))
        for (instrument, labels), observed in self._observed.items():
            histogram, attributes = _histogram(instrument), _attributes(instrument, labels)
            for value, times in observed:
                for _ in range(times):
                    histogram.record(value, attributes)
        for (instrument, labels), value in self._gauges.items():
            _gauge(instrument).set(value, _attributes(instrument, labels))


def is_pushed() -> bool:
    """Whether OpenTelemetry's SDK, or another that implements its API, takes what is recorded."""
    from opentelemetry.metrics import get_meter_provider

    # the API's own providers, which are there without an SDK, do nothing
    return not type(get_meter_provider()).__module__.startswith("opentelemetry.metrics")


def push(tally: Tally) -> None:
    """Hand a batch that is committed to OpenTelemetry; without an SDK this is nothing."""
    if tally and is_pushed():
        tally.record()


def _attributes(instrument: Instrument, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(instrument.label_names, labels, strict=True))


@cache
def _counter(instrument: Instrument) -> "Counter":
    assert instrument.kind is Kind.COUNTER  # noqa: S101 - a fault of ours
    from opentelemetry.metrics import get_meter

    return get_meter(METER).create_counter(instrument.name, instrument.unit, instrument.help)


@cache
def _histogram(instrument: Instrument) -> "Histogram":
    assert instrument.kind is Kind.HISTOGRAM  # noqa: S101 - a fault of ours
    from opentelemetry.metrics import get_meter

    return get_meter(METER).create_histogram(
        instrument.name,
        instrument.unit,
        instrument.help,
        explicit_bucket_boundaries_advisory=instrument.buckets,
    )


@cache
def _gauge(instrument: Instrument) -> "Gauge":
    assert instrument.kind is Kind.GAUGE  # noqa: S101 - a fault of ours
    from opentelemetry.metrics import get_meter

    return get_meter(METER).create_gauge(instrument.name, instrument.unit, instrument.help)
