"""Spans: what a run did, beneath what, and for how long, for whoever collects traces.

A span is made only beneath that of a run (`run_span`): what is done outside of runs makes no traces of its own. Where
nobody collects, no run has a span, and all that is left of the others is a look at a context variable.

Belongs here: beginning and ending spans, what they say of errors, and the way into other processes.
Does not belong here: where spans go (telemetry.py), what is worth a span (whoever does the work).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from time import time_ns
from typing import Any
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

__all__ = [
    "Attributes",
    "NotedSpan",
    "Span",
    "adopt",
    "counts_in",
    "current_span",
    "fail",
    "finished_span",
    "noting",
    "record_error",
    "run_span",
    "span",
    "traceparent",
    "wanted_trace_id",
]

Attributes = Mapping[str, str | int | float | bool]

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"
# as OpenTelemetry names an error and its kind
_ERROR, _ERROR_TYPE = "exception", "exception.type"
_LONGEST_TEXT = 200
_NO_SPAN: nullcontext[Span] = nullcontext(INVALID_SPAN)
# a proxy, which finds the provider once there is one
_tracer = trace.get_tracer("cowrie_pipeline")

# The id that the trace of the run being begun shall have; telemetry.py gives it to the SDK.
wanted_trace_id: ContextVar[int | None] = ContextVar("wanted_trace_id", default=None)
# Of a process that works for another: its spans.
_notes: ContextVar["list[NotedSpan] | None"] = ContextVar("notes", default=None)


def span(name: str, attributes: Attributes | None = None) -> AbstractContextManager[Span]:
    """Return the context of a piece of work beneath the present one; of a span that records nothing outside of runs.

    Args:
        name: what is done, one of few: numbers and names of things are attributes.
        attributes: what is known at the beginning. Never a password, a URL, an address, or a text of an attacker's.
    """
    if not trace.get_current_span().get_span_context().is_valid:
        return _NO_SPAN
    notes = _notes.get()
    if notes is not None:
        return _current(_NotingSpan(name, attributes or {}, notes))
    return _current(_tracer.start_span(name, attributes=_sendable(attributes or {})))


def finished_span(name: str, attributes: Attributes, started_ns: int, ended_ns: int) -> None:
    """Note beneath the present span what is over already; times are nanoseconds since 1970."""
    if trace.get_current_span().get_span_context().is_valid:
        _tracer.start_span(name, attributes=_sendable(attributes), start_time=started_ns).end(ended_ns)


@contextmanager
def run_span(name: str, attributes: Attributes | None = None, *, run_id: str | None = None) -> Iterator[Span]:
    """Have a trace for what is done inside, or, inside of a run, a span of that run's trace.

    Args:
        name: what is run.
        attributes: what is known at the beginning.
        run_id: the UUID of a Dagster run. It is the trace's id, so that either is found by the other and the processes
            of one run agree.
    """
    token = wanted_trace_id.set(None if run_id is None else UUID(run_id).int)
    try:
        run = _tracer.start_span(name, attributes=attributes)
    finally:
        wanted_trace_id.reset(token)
    if not run.get_span_context().is_valid:
        yield INVALID_SPAN
        return
    with _current(run):
        yield run


def _sendable(attributes: Attributes) -> Attributes:
    """Return attributes whose texts are short, and text: names of files and networks may be neither.

    One that cannot be encoded would cost all spans that are sent with it.
    """
    return {
        name: value[:_LONGEST_TEXT].encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for name, value in attributes.items()
    }


@contextmanager
def _current(begun: Span) -> Iterator[Span]:
    with trace.use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield begun
        except BaseException as error:
            record_error(begun, error)
            raise


def current_span() -> Span:
    """Return the present span; outside of runs one that records nothing."""
    return trace.get_current_span()


def record_error(failed: Span, error: BaseException) -> None:
    """Note that the work of a span failed, and with what kind of error.

    Not what the error says: a message can quote what was sent or read, a key or a password that somebody tried.
    """
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    failed.add_event(_ERROR, {_ERROR_TYPE: name})
    fail(failed, kind.__name__)


def fail(failed: Span, why: str) -> None:
    """Note that the work of a span came to nothing good; `why` is a word or two of ours."""
    failed.set_status(Status(StatusCode.ERROR, why))


def counts_in(report: Mapping[str, Any], prefix: str = "cowrie.") -> dict[str, int | float]:
    """Return the numbers of a report as attributes; those of a mapping in it behind its name.

    >>> counts_in({"due": 3, "look_ups": {"cymru": {"hit": 2}}})
    {'cowrie.due': 3, 'cowrie.look_ups.cymru.hit': 2}
    """
    counts: dict[str, int | float] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            counts |= counts_in(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            counts[f"{prefix}{name}"] = value
    return counts


def traceparent() -> str | None:
    """Return where the work is, as W3C Trace Context writes it, to go on in another process; None outside of runs."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_HEADER)


# tasks that are handed over together have one parent
@lru_cache(maxsize=4)
def _beneath(parent: str) -> Context:
    """Return the context of what is done beneath a `traceparent`."""
    return _PROPAGATOR.extract({_HEADER: parent})


class NotedSpan:
    """A span of a process that works for another, as it goes to that one; times are nanoseconds since 1970.

    `number` counts the spans of a task from 1, `above` is the number of the one above, 0 for that of the other process.
    """

    __slots__ = ("above", "attributes", "ended_ns", "error", "name", "number", "started_ns", "why")

    def __init__(self, name: str, number: int, above: int, attributes: Attributes) -> None:
        self.name, self.number, self.above = name, number, above
        self.attributes: dict[str, Any] = {**attributes, "process.pid": os.getpid()}
        self.started_ns, self.ended_ns = time_ns(), 0
        self.error: str | None = None
        self.why: str | None = None


class _NotingSpan(NonRecordingSpan):
    """The span of a process that has no SDK, since loading it would cost more than most tasks."""

    def __init__(self, name: str, attributes: Attributes, notes: list[NotedSpan]) -> None:
        present = trace.get_current_span()
        above = present.noted.number if isinstance(present, _NotingSpan) else 0
        self.noted: NotedSpan = NotedSpan(name, len(notes) + 1, above, attributes)
        notes.append(self.noted)
        within = present.get_span_context()
        super().__init__(
            SpanContext(within.trace_id, self.noted.number, is_remote=False, trace_flags=within.trace_flags)
        )

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.noted.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.noted.attributes.update(attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        del timestamp
        if name == _ERROR:
            self.noted.error = attributes[_ERROR_TYPE]

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        del description
        if isinstance(status, Status):
            self.noted.why = status.description

    def end(self, end_time: int | None = None) -> None:
        self.noted.ended_ns = end_time or time_ns()


@contextmanager
def noting(parent: str) -> Iterator[list[NotedSpan]]:
    """Note what is done for another process, which gave its `traceparent`; the list is for its `adopt`."""
    token = otel_context.attach(_beneath(parent))
    notes: list[NotedSpan] = []
    noted = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(noted)
        otel_context.detach(token)


def adopt(parent: str, noted: Sequence[NotedSpan]) -> None:
    """Make the spans that another process noted, beneath that of `parent`, which was given to it."""
    contexts = {0: _beneath(parent)}
    for each in noted:
        made = _tracer.start_span(
            each.name, contexts[each.above], attributes=_sendable(each.attributes), start_time=each.started_ns
        )
        if each.error is not None:
            made.add_event(_ERROR, {_ERROR_TYPE: each.error}, each.ended_ns)
        if each.why is not None:
            fail(made, each.why)
        made.end(each.ended_ns)
        contexts[each.number] = trace.set_span_in_context(made)
