"""Spans: what a run did, beneath what, and for how long, for whoever collects traces.

A span is made only beneath that of a run (`run_span`): what is done outside of runs makes no traces of its own. Where
nobody collects, no run has a span, and all that is left of the others is a look at a context variable.

Belongs here: beginning and ending spans, what they say of errors, and the way into other processes.
Does not belong here: where spans go (telemetry.py), what is worth a span (whoever does the work).
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = [
    "Attributes",
    "Span",
    "continuing",
    "counts_in",
    "current_span",
    "fail",
    "finished_span",
    "record_error",
    "run_span",
    "span",
    "traceparent",
    "wanted_trace_id",
]

Attributes = Mapping[str, str | int | float | bool]

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER = "traceparent"
_NO_SPAN: nullcontext[Span] = nullcontext(INVALID_SPAN)
# a proxy, which finds the provider once there is one
_tracer = trace.get_tracer("cowrie_pipeline")

# The id that the trace of the run being begun shall have; telemetry.py gives it to the SDK.
wanted_trace_id: ContextVar[int | None] = ContextVar("wanted_trace_id", default=None)


def span(name: str, attributes: Attributes | None = None) -> AbstractContextManager[Span]:
    """Return the context of a piece of work beneath the present one; of a span that records nothing outside of runs.

    Args:
        name: what is done, one of few: numbers and names of things are attributes.
        attributes: what is known at the beginning. Never a password, a URL, an address, or a text of an attacker's.
    """
    if not trace.get_current_span().get_span_context().is_valid:
        return _NO_SPAN
    return _current(_tracer.start_span(name, attributes=attributes))


def finished_span(name: str, attributes: Attributes, started_ns: int, ended_ns: int) -> None:
    """Note beneath the present span what is over already; times are nanoseconds since 1970."""
    if trace.get_current_span().get_span_context().is_valid:
        _tracer.start_span(name, attributes=attributes, start_time=started_ns).end(ended_ns)


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
    failed.add_event("exception", {"exception.type": name})
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


@contextmanager
def continuing(parent: str) -> Iterator[None]:
    """Have spans beneath one of another process, which gave its `traceparent`."""
    token = otel_context.attach(_PROPAGATOR.extract({_HEADER: parent}))
    try:
        yield
    finally:
        otel_context.detach(token)
