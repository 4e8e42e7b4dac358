"""Spans recorded within the tests' own process, by a provider that is there for one test."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cowrie_pipeline.observability import tracing
from cowrie_pipeline.observability.otlp import _Ids


class Finished:
    """The spans that came to their end, in that order."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@contextmanager
def recorded() -> Iterator[Finished]:
    """Record the spans of whatever is done inside."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=_Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_tracer", provider.get_tracer("cowrie_pipeline"))
        yield Finished(exporter)
    provider.shutdown()
