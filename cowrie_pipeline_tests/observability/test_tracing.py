"""What spans say, of errors above all, and where they stand; made by a provider of each test's own."""

import os
import pickle
import uuid
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import INVALID_SPAN

from cowrie_pipeline.observability.tracing import (
    adopt,
    counts_in,
    current_span,
    finished_span,
    noting,
    run_span,
    span,
    traceparent,
)
from cowrie_pipeline_tests.observability.recorded import Finished, recorded


@pytest.fixture
def finished() -> Iterator[Finished]:
    with recorded() as finished:
        yield finished


def test_a_span_outside_of_runs_is_none(finished: Finished) -> None:
    with span("work", {"cowrie.rows": 1}) as nothing:
        nothing.set_attributes({"cowrie.rows": 2})
        assert nothing is current_span() is INVALID_SPAN
        assert traceparent() is None
    finished_span("create network", {"asn.number": 1}, 1, 2)
    assert finished.spans == []


def test_without_a_provider_a_run_has_no_span_and_its_work_is_done() -> None:
    with run_span("run") as run, span("work") as work:
        assert run is work is INVALID_SPAN
        assert traceparent() is None


def test_a_run_within_a_run_is_part_of_its_trace(finished: Finished) -> None:
    with run_span("command"), run_span("dagster run", run_id=str(uuid.uuid4())), span("step"):
        pass
    spans = {each.name: each for each in finished.spans}
    assert len({each.context.trace_id for each in spans.values()}) == 1
    assert spans["dagster run"].parent == spans["command"].context
    assert spans["step"].parent == spans["dagster run"].context
    assert spans["command"].parent is None


def test_the_trace_of_a_run_has_its_id_and_the_next_one_another(finished: Finished) -> None:
    run_id = uuid.uuid4()
    for name, wanted in (("first", str(run_id)), ("second", None)):
        with run_span(name, run_id=wanted):
            pass
    spans = {each.name: each for each in finished.spans}
    assert spans["first"].context.trace_id == run_id.int != spans["second"].context.trace_id


def test_an_error_is_on_every_span_that_it_ends_by_its_kind_alone(finished: Finished) -> None:
    secret = "hunter2"

    def run() -> None:
        with run_span("run"):
            with span("well"):
                pass
            with span("step"), span("write"):
                raise ConnectionRefusedError(secret)

    with pytest.raises(ConnectionRefusedError):
        run()
    spans = {each.name: each for each in finished.spans}
    for name in ("run", "step", "write"):
        each = spans[name]
        assert not each.status.is_ok
        assert each.status.description == "ConnectionRefusedError"
        assert [(event.name, dict(event.attributes or {})) for event in each.events] == [
            ("exception", {"exception.type": "ConnectionRefusedError"})
        ]
    assert spans["well"].status.is_unset
    assert secret not in "".join(each.to_json() for each in spans.values())
    assert current_span() is INVALID_SPAN


def test_what_another_process_does_is_beneath_the_span_that_it_was_given(finished: Finished) -> None:
    def task() -> None:
        with span("read file", {"cowrie.bytes": 7}) as reading:
            with span("inner") as inner:
                assert inner.is_recording()
            reading.set_attributes({"cowrie.lines": 2})
            raise ConnectionResetError("hunter2")

    with run_span("run"):
        parent = traceparent()
    assert parent is not None
    # as if in another process: nothing of the run is left here, and no provider is asked
    with noting(parent) as noted, pytest.raises(ConnectionResetError):
        task()
    assert [each.name for each in finished.spans] == ["run"]
    adopt(parent, pickle.loads(pickle.dumps(noted)))
    run, reading, inner = (finished.one(name) for name in ("run", "read file", "inner"))
    assert len({each.context.trace_id for each in (run, reading, inner)}) == 1
    assert reading.parent is not None
    assert inner.parent is not None
    assert (reading.parent.span_id, inner.parent.span_id) == (run.context.span_id, reading.context.span_id)
    assert reading.attributes == {"cowrie.bytes": 7, "cowrie.lines": 2, "process.pid": os.getpid()}
    assert reading.status.description == "ConnectionResetError"
    assert [dict(each.attributes or {}) for each in reading.events] == [{"exception.type": "ConnectionResetError"}]
    assert inner.status.is_unset
    times = [reading.start_time, inner.start_time, inner.end_time, reading.end_time]
    assert times == sorted(times)  # type: ignore[type-var]


def test_what_is_over_is_noted_with_its_times(finished: Finished) -> None:
    with run_span("run"):
        finished_span("create network", {"asn.number": 64500}, 1_000, 3_000)
    noted = finished.one("create network")
    assert (noted.start_time, noted.end_time, dict(noted.attributes or {})) == (1_000, 3_000, {"asn.number": 64500})


def test_of_a_report_only_the_numbers_are_attributes() -> None:
    report = {"due": 3, "look_ups": {"cymru": {"hit": 2}}, "share": 0.5, "days": ["2026-03-01"], "said": "wget http://"}
    assert counts_in(report) == {"cowrie.due": 3, "cowrie.look_ups.cymru.hit": 2, "cowrie.share": 0.5}


@pytest.mark.parametrize("text", ["caf\udce9.json", "\ud800", "x" * 10_000], ids=["bytes", "half a pair", "long"])
def test_a_text_that_cannot_be_sent_is_made_one_that_can(finished: Finished, text: str) -> None:
    with run_span("run"), span("read file", {"cowrie.file": text}):
        parent = traceparent()
        assert parent is not None
        with noting(parent) as noted, span("read file ahead", {"cowrie.file": text}):
            pass
        adopt(parent, noted)
        finished_span("create network", {"asn.organization": text}, 1, 2)
    assert len(encode_spans(finished.spans).SerializeToString()) < 4_000
    assert len(finished.spans) == 4
