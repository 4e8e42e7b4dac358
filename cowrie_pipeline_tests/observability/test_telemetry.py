"""What is sent to a collector, from processes of their own: a process has its providers once and for all."""

import subprocess
import sys
from pathlib import Path

import pytest

from cowrie_pipeline_tests.cli.processes import PROJECT, TIMEOUT, environment
from cowrie_pipeline_tests.contract.collector import TAKEN, Collector
from cowrie_pipeline_tests.contract.http_server import Answer

SENDER = """
import sys
from opentelemetry import metrics
from cowrie_pipeline.observability.telemetry import flush_telemetry, set_up_telemetry
from cowrie_pipeline.observability.tracing import run_span, span
from cowrie_pipeline.settings import Settings

set_up_telemetry(Settings.from_environment())
meter = metrics.get_meter("cowrie_pipeline")
counter = meter.create_counter("asn_inventory.records_created")
histogram = meter.create_histogram("asn_inventory.operation_duration_ms")
with run_span("run"), span("part", {"cowrie.rows": 7}):
    counter.add(2, {"country": "NL"})
    counter.add(1, {"country": "NL"})
    histogram.record(12.5, {"operation": "create"})
if "flush" in sys.argv:
    import os
    flush_telemetry()
    os._exit(0)
print("opentelemetry.sdk" in sys.modules)
"""


def send(folder: Path, *arguments: str, **variables: str) -> tuple[bool, list[str]]:
    """Make a span, its child, and three measurements; return whether the SDK was loaded, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", SENDER, *arguments],
        cwd=folder,
        env=environment(folder, PYTHONPATH=PROJECT, **variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout == "True\n", done.stderr.splitlines()


def lost_at(collector: Collector) -> list[str]:
    return [f"spans and metrics do not arrive at {collector.url}; the work goes on without them"]


def test_spans_and_metrics_arrive_when_a_process_ends(tmp_path: Path) -> None:
    with Collector() as collector:
        assert send(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url}/") == (True, [])
    assert collector.trace.path(collector.trace.one("part")) == ["run", "part"]
    assert collector.trace.one("part").attributes == {"cowrie.rows": 7}
    (point,) = collector.metrics["asn_inventory.records_created"].sum.data_points
    assert (point.as_int, point.attributes[0].value.string_value) == (3, "NL")
    (point,) = collector.metrics["asn_inventory.operation_duration_ms"].histogram.data_points
    assert (point.count, point.sum) == (1, 12.5)


def test_what_waits_can_be_sent_before_a_process_is_ended(tmp_path: Path) -> None:
    with Collector() as collector:
        send(tmp_path, "flush", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert {span.name for span in collector.trace.spans} == {"run", "part"}
    assert "asn_inventory.records_created" in collector.metrics


def test_without_an_endpoint_the_sdk_is_not_even_loaded(tmp_path: Path) -> None:
    assert send(tmp_path) == (False, [])


def test_telemetry_that_is_switched_off_is_not_sent(tmp_path: Path) -> None:
    with Collector() as collector:
        assert send(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SDK_DISABLED="true") == (False, [])
    assert collector.asked == []


def test_spans_alone_are_sent_where_only_they_have_an_endpoint(tmp_path: Path) -> None:
    with Collector() as collector:
        send(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces")
    assert {asked.path for asked in collector.asked} == {"/v1/traces"}


def test_the_variables_of_the_sdk_hold(tmp_path: Path) -> None:
    with Collector() as collector:
        send(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_SERVICE_NAME="honeypot",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        )
    assert {asked.headers["content-encoding"] for asked in collector.asked} == {"gzip"}
    resource = collector.trace.one("run").resource
    assert (resource["service.name"], resource["deployment.environment"]) == ("honeypot", "test")


def test_a_run_that_is_not_sampled_sends_no_part_of_itself(tmp_path: Path) -> None:
    with Collector() as collector:
        send(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    assert collector.spans == []


def test_a_header_with_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("authorization=Bearer%20hunter2\n")
    with Collector() as collector:
        send(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS_FILE=str(tmp_path / "headers"),
        )
    assert {asked.headers["authorization"] for asked in collector.asked} == {"Bearer hunter2"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=500),
        Answer(status=404),
        Answer(status=503, headers={"Retry-After": "3600"}),
        Answer(never=True),
        Answer(dropped=True),
        Answer(drip_headers_seconds=0.5),
    ],
    ids=["fails", "is another server", "is overloaded", "never answers", "breaks off", "drips"],
)
def test_a_collector_in_trouble_is_said_once_and_not_waited_for(tmp_path: Path, answer: Answer) -> None:
    """A request may take an hour by its own settings: whoever waited for it would not end here."""
    with Collector(answer) as collector:
        hour = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}
        assert send(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **hour) == (True, lost_at(collector))
        assert collector.asked


def test_a_collector_that_takes_its_time_gets_all_of_it(tmp_path: Path) -> None:
    with Collector(TAKEN, delay_seconds=0.3) as collector:
        assert send(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) == (True, [])
    assert len(collector.spans) == 2
    assert collector.metrics


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4317"},
            "spans and metrics are not sent: expected an endpoint http(s)://host:4318, found another",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "spans and metrics are not sent: only http/protobuf is spoken, and OTEL_EXPORTER_OTLP_PROTOCOL is another",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRIC_EXPORT_INTERVAL": "-1"},
            "spans and metrics are not sent: the OpenTelemetry SDK refused its settings (ValueError)",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:hunter2@[::1"},
            "spans and metrics do not arrive at http://[::1; the work goes on without them",
        ),
    ],
    ids=["no URL", "grpc", "refused", "half a URL"],
)
def test_settings_that_cannot_be_used_are_said_and_cost_no_run(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    assert send(tmp_path, **variables)[1] == [said]
