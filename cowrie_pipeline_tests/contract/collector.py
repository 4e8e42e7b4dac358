"""A collector of OpenTelemetry on loopback: it takes what OTLP/HTTP sends, in the collector's own protobuf."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer

TAKEN = Answer(body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")


@dataclass(frozen=True)
class SpanSeen:
    """A span as it arrived; ids are hexadecimal, `parent_id` is empty for the first of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    attributes: Mapping[str, Any]
    has_failed: bool
    why: str
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    resource: Mapping[str, Any]


class Trace:
    """All spans of one trace."""

    def __init__(self, spans: Iterable[SpanSeen]) -> None:
        self.spans = list(spans)
        self._by_id = {span.span_id: span for span in self.spans}

    def named(self, name: str) -> list[SpanSeen]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> SpanSeen:
        (span,) = self.named(name)
        return span

    def path(self, span: SpanSeen) -> list[str]:
        """Return the names of the spans above a span, the first of the trace first, and its own."""
        names = [span.name]
        while span.parent_id:
            span = self._by_id[span.parent_id]
            names.insert(0, span.name)
        return names


def take_telemetry(asked: Asked) -> Answer:
    """Take what comes, and say so."""
    del asked
    return TAKEN


class Collector(HttpServer):
    """Takes spans and metrics, or answers as `answer` says, until closed."""

    def __init__(self, answer: Answer = TAKEN, *, delay_seconds: float = 0.0) -> None:
        super().__init__(lambda _: answer, delay_seconds=delay_seconds)

    @property
    def spans(self) -> list[SpanSeen]:
        return [span for asked in self._posted("/v1/traces") for span in _spans(_body(asked))]

    @property
    def trace(self) -> Trace:
        """The one trace that came."""
        assert len({span.trace_id for span in self.spans}) == 1
        return Trace(self.spans)

    @property
    def metrics(self) -> dict[str, Any]:
        """Each metric, in the form in which it came last, by its name."""
        found: dict[tuple[str, str], Any] = {}
        for asked in self._posted("/v1/metrics"):
            for of_resource in ExportMetricsServiceRequest.FromString(_body(asked)).resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    found |= {(of_scope.scope.name, metric.name): metric for metric in of_scope.metrics}
        return {name: metric for (scope, name), metric in found.items() if scope == "cowrie_pipeline"}

    def _posted(self, path: str) -> list[Asked]:
        found = [asked for asked in self.asked if asked.path == path]
        assert all(asked.method == "POST" for asked in found)
        assert all(asked.headers["content-type"] == "application/x-protobuf" for asked in found)
        return found


def _body(asked: Asked) -> bytes:
    return gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body


def _spans(body: bytes) -> Iterator[SpanSeen]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            assert of_scope.scope.name == "cowrie_pipeline"
            for span in of_scope.spans:
                yield SpanSeen(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    started_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    attributes=_values(span.attributes),
                    has_failed=span.status.code == Status.STATUS_CODE_ERROR,
                    why=span.status.message,
                    events=tuple((event.name, _values(event.attributes)) for event in span.events),
                    resource=resource,
                )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in attributes}
