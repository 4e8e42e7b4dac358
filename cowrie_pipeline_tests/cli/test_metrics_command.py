"""`cowrie-pipeline metrics`: a process that Prometheus scrapes over HTTP, and that ends when it is told to."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cowrie_pipeline.observability.instruments import CATALOG
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import TIMEOUT, start
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import World, attack, connect, scan, write_log

FAMILIES = {each.family for each in CATALOG}
ACCEPT_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@contextmanager
def serving(folder: Path, *options: str, **variables: str | Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process that serves metrics, and its port."""
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    process = start(folder, "metrics", "--port", "0", *options, DAGSTER_HOME=folder, **variables)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"serving http://127\.0\.0\.1:(\d+)/metrics\n", line)
        assert found, line
        yield process, int(found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT)


def get(port: int, path: str = "/metrics", headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], content


def values_of(content: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(content)
        for sample in family.samples
    }


def test_a_scrape_has_every_metric_and_what_other_processes_have_counted_since(
    database_url: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    attack(warehouse, tmp_path, "8.8.8.8", "1.1.1.1")
    World({"8.8.8.8": 15169, "1.1.1.1": 13335}.get).enrich(warehouse, "2026-03-09")
    with serving(tmp_path, "--db", database_url) as (process, port):
        status, content_type, content = get(port)
        assert (status, content_type.partition(";")[0]) == (200, "text/plain")
        families = {family.name: family for family in text_string_to_metric_families(content)}
        assert families.keys() == FAMILIES
        values = values_of(content)
        assert values["cowrie_lines_read_total", ()] == 2
        assert values["asn_inventory_total_count", ()] == 2
        created = ("country", "unknown"), ("rir", "unknown"), ("source", "maxmind")
        assert values["asn_inventory_records_created_total", created] == 2
        buckets = [
            (labels["le"], value)
            for name, labels, value, *_ in families["asn_inventory_operation_duration_ms"].samples
            if name.endswith("_bucket") and labels["operation"] == "create"
        ]
        assert [le for le, _ in buckets] == [
            "1.0",
            "5.0",
            "10.0",
            "25.0",
            "50.0",
            "100.0",
            "250.0",
            "500.0",
            "1000.0",
            "+Inf",
        ]
        assert buckets[-1][1] == 2
        # the process that scans is another than the one that serves, and counts are never kept
        scan(warehouse, write_log(tmp_path / "more" / "cowrie.json", [connect("2026-03-08 10:00")]))
        assert values_of(get(port)[2])["cowrie_lines_read_total", ()] == 3
        openmetrics = get(port, headers=ACCEPT_OPENMETRICS)
        assert openmetrics[1].startswith("application/openmetrics-text")
        parsed = parse_openmetrics(openmetrics[2])  # type: ignore[no-untyped-call]
        assert {family.name for family in parsed} == FAMILIES
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_database_that_is_gone_is_told_and_looked_for_again(tmp_path: Path, databases: Databases) -> None:
    if databases.dialect == "postgresql":
        url = "postgresql://someone:hunter2@127.0.0.1:1/cowrie"
        expected = "Check that the server runs"
    else:
        url = f"sqlite:///{tmp_path / 'cowrie.db'}"
        expected = "there is no database"
    with serving(tmp_path, "--db", url) as (process, port):
        for _ in range(2):
            status, content_type, content = get(port)
            assert (status, content_type) == (503, "text/plain; charset=utf-8")
            assert expected in content
            assert content.count("\n") == 1
            assert "hunter2" not in content
        if databases.dialect == "sqlite":
            assert not (tmp_path / "cowrie.db").exists()
            shutil.copyfile(databases.fresh().removeprefix("sqlite:///"), tmp_path / "cowrie.db")
            assert get(port)[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=TIMEOUT) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_nothing_else_is_served_and_nobody_else_is_served(database_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--db", database_url) as (process, port):
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics?name=x")[0] == 200
        listening = [
            each.laddr.ip
            for each in psutil.Process(process.pid).net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        ]
        assert listening == ["127.0.0.1"]


def test_clients_that_say_nothing_or_leave_keep_nobody_from_scraping(database_url: str, tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--db", database_url) as (process, port),
        socket.create_connection(("127.0.0.1", port)),
    ):
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaving.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert get(port)[0] == 200
        process.terminate()
        assert process.wait(timeout=TIMEOUT) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_listens_where_it_is_told_to(database_url: str, tmp_path: Path) -> None:
    process = start(tmp_path, "metrics", "--host", "::1", "--port", "0", "--db", database_url, DAGSTER_HOME=tmp_path)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    assert re.fullmatch(r"serving http://\[::1\]:\d+/metrics\n", line)


def test_a_port_that_is_taken_is_told_in_one_line(database_url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = invoke(tmp_path, "metrics", "--port", port, "--db", database_url)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line == f"error: metrics cannot be served on 127.0.0.1:{port}: {os.strerror(98)}"


def test_once_prints_what_a_scraper_would_get(database_url: str, tmp_path: Path) -> None:
    done = invoke(tmp_path, "metrics", "--once", "--db", database_url)
    assert (done.code, done.err) == (0, "")
    assert {family.name for family in text_string_to_metric_families(done.out)} == FAMILIES


def test_once_says_why_there_is_nothing(tmp_path: Path) -> None:
    done = invoke(tmp_path, "metrics", "--once", "--db", f"sqlite:///{tmp_path / 'none.db'}")
    assert (done.code, done.out) == (1, "")
    assert "there is no database" in done.err


@pytest.mark.parametrize(("variable", "value"), [("COWRIE_METRICS_PORT", "65536"), ("COWRIE_METRICS_SECONDS", "0")])
def test_a_setting_of_no_use_ends_with_two(tmp_path: Path, variable: str, value: str) -> None:
    done = invoke(tmp_path, "metrics", "--once", **{variable: value})
    assert done.code == 2
    assert variable in done.err
