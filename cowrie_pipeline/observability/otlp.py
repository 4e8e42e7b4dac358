"""The OpenTelemetry SDK as it is used here: both providers, their exporters, and how sending ends.

Imported only where something is sent: it needs the extra `otel`.

Belongs here: what knows the SDK. Does not belong here: whether and where to send (telemetry.py).
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.util.re import parse_env_headers

from cowrie_pipeline import __version__
from cowrie_pipeline.observability.telemetry import Destination
from cowrie_pipeline.observability.tracing import wanted_trace_id

__all__ = ["Sending"]

_log = logging.getLogger(__name__)
# neither user and password nor a path, which may be secret
_SCHEME_AND_HOST = re.compile(r"(https?://)(?:[^/?#]*@)?([^/?#]*)")
# in seconds
_PATIENCE_AFTER_FAILURE = 0.25


class _Delivery:
    """Whether what is sent arrives; says once if something does not."""

    def __init__(self) -> None:
        self._was_said = False
        self.is_failing = False

    def note(self, url: str, *, arrived: bool) -> None:
        """Note what became of a batch."""
        self.is_failing = not arrived
        if not arrived and not self._was_said:
            self._was_said = True
            where = _SCHEME_AND_HOST.match(url)
            _log.warning(
                "spans and metrics do not arrive at %s; the work goes on without them",
                "".join(where.groups() if where else ()),
            )


class _Spans(OTLPSpanExporter):
    def __init__(self, url: str, headers: dict[str, str], delivery: _Delivery) -> None:
        super().__init__(endpoint=url, headers=headers)
        self._url, self._delivery = url, delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._delivery.note(self._url, arrived=result is SpanExportResult.SUCCESS)
        return result


class _Metrics(OTLPMetricExporter):
    def __init__(self, url: str, headers: dict[str, str], delivery: _Delivery) -> None:
        super().__init__(endpoint=url, headers=headers)
        self._url, self._delivery = url, delivery

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self._delivery.note(self._url, arrived=result is MetricExportResult.SUCCESS)
        return result


class _Process(Resource):
    """What is said of this process, of which there is one: the SDK would write all of it out as JSON for each span."""

    def __hash__(self) -> int:
        return hash(self.schema_url)


class _Ids(RandomIdGenerator):
    """Gives the trace of a Dagster run the id of the run."""

    def generate_trace_id(self) -> int:
        return wanted_trace_id.get() or super().generate_trace_id()


class _Ending(threading.Thread):
    """Shuts a provider down when asked, beside whoever asks: the SDK's own shutdown may take half a minute.

    It is started with the provider, since no thread can be started once a process ends.
    """

    def __init__(self, shutdown: Callable[[], object]) -> None:
        super().__init__(name="telemetry-ending", daemon=True)
        self._shutdown = shutdown
        self._wanted, self.done = threading.Event(), threading.Event()

    def run(self) -> None:
        self._wanted.wait()
        self._shutdown()
        self.done.set()

    def ask(self) -> None:
        """Begin to shut down."""
        self._wanted.set()


class Sending:
    """Both providers of this process, in place until it ends.

    Args:
        destination: where to.
    """

    def __init__(self, destination: Destination) -> None:
        _silence_the_sdk()
        self._destination = destination
        self._delivery = _Delivery()
        headers = dict(parse_env_headers(destination.headers or "", liberal=True))
        resource = _resource()
        providers: list[TracerProvider | MeterProvider] = []
        if destination.traces_url is not None:
            tracers = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
            tracers.add_span_processor(BatchSpanProcessor(_Spans(destination.traces_url, headers, self._delivery)))
            providers.append(tracers)
        if destination.metrics_url is not None:
            reader = PeriodicExportingMetricReader(_Metrics(destination.metrics_url, headers, self._delivery))
            providers.append(MeterProvider([reader], resource=resource, shutdown_on_exit=False))
        # not before both are made: what the SDK refuses it refuses above
        for provider in providers:
            if isinstance(provider, TracerProvider):
                trace.set_tracer_provider(provider)
            else:
                metrics.set_meter_provider(provider)
        self._flushes = [provider.force_flush for provider in providers]
        self._endings = [_Ending(provider.shutdown) for provider in providers]
        for ending in self._endings:
            ending.start()

    def flush(self, patience_seconds: float) -> None:
        """Send what waits, if it arrives within a time."""
        threads = [threading.Thread(target=each, daemon=True) for each in self._flushes]
        for thread in threads:
            thread.start()
        give_up_at = self._give_up_at(patience_seconds)
        for thread in threads:
            thread.join(max(0.0, give_up_at - monotonic()))
        self._note_ending(in_time=not any(thread.is_alive() for thread in threads))

    def end(self, patience_seconds: float) -> None:
        """Send what waits, if it arrives within a time, and nothing more."""
        for ending in self._endings:
            ending.ask()
        give_up_at = self._give_up_at(patience_seconds)
        self._note_ending(in_time=all(ending.done.wait(max(0.0, give_up_at - monotonic())) for ending in self._endings))

    def _give_up_at(self, patience_seconds: float) -> float:
        """Return when nothing more is waited for: soon, where what was sent before did not arrive."""
        return monotonic() + (_PATIENCE_AFTER_FAILURE if self._delivery.is_failing else patience_seconds)

    def _note_ending(self, *, in_time: bool) -> None:
        if not in_time:
            self._delivery.note(self._destination.traces_url or self._destination.metrics_url or "", arrived=False)


def _resource() -> Resource:
    """Return what is said of this process: by the variables of the SDK, and by us where they say nothing."""
    resource = Resource.create({"service.version": __version__, "process.pid": os.getpid()})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "cowrie_pipeline"}))
    return _Process(resource.attributes, resource.schema_url)


def _silence_the_sdk() -> None:
    """Keep the SDK from telling of each batch that did not arrive: that is said once."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
