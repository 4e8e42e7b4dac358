"""A real Prometheus scrapes a pipeline at work, and answers every query of dashboard, rules and docs with data."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cowrie_pipeline_tests.cli.processes import cowrie_pipeline, start
from cowrie_pipeline_tests.contract.http_server import Answer, HttpServer
from cowrie_pipeline_tests.cowrie.log_lines import event_line, log
from cowrie_pipeline_tests.end_to_end.loopback import PUBLIC, STRANGERS, loopback
from cowrie_pipeline_tests.monitoring.files import Expression, documented_queries, expressions
from cowrie_pipeline_tests.monitoring.prometheus import Prometheus, open_prometheus, require
from cowrie_pipeline_tests.postgresql import free_port

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def logged(day: datetime, addresses: tuple[str, ...]) -> bytes:
    """A day on which each address tries to log in, by SSH and by Telnet in turn, and one line is cut."""
    lines = []
    for number, address in enumerate(addresses):
        common = {"session": f"{day:%m%d}{number:08x}", "src_ip": address}
        at = day + timedelta(hours=2, minutes=number)
        protocol = ("ssh", "telnet")[number % 2]
        lines.append(event_line("cowrie.session.connect", at, protocol=protocol, dst_port=22, **common))
        lines.append(event_line("cowrie.login.failed", at, username="root", password="1234", **common))
        lines.append(event_line("cowrie.session.closed", at + timedelta(seconds=9), duration=9.0, **common))
    return log([*lines, lines[0], f'{{"eventid": "cowrie.login.fai{day:%d}'.encode()])


@contextmanager
def served_metrics(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Run `cowrie-pipeline metrics`, and yield host and port."""
    port = free_port()
    process = start(folder, "metrics", "--port", str(port), **variables)
    target = f"127.0.0.1:{port}"
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert target in said, said + (process.stderr.read() if process.stderr else "")
        yield target
    finally:
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


def wants(query: str) -> str:
    """Return a query without what makes it silent as long as all is well, so that it must have an answer."""
    return re.sub(r" (?:>|<|==) [\d.]+(?: \* 86400)?(?=\)|$| and)", "", query).replace("$__rate_interval", "1m")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Prometheus]:
    """Scrapes while days are materialized, in which everything happens that is counted."""
    require("prometheus")
    folder = tmp_path_factory.mktemp("monitored")
    logs = folder / "logs"
    logs.mkdir()
    with loopback(folder / "var") as world, HttpServer(lambda _: Answer(200, b"{}")) as receiver:
        (folder / "alerts.toml").write_text(
            f'[[receiver]]\nname = "pager"\nkind = "webhook"\nurl = "{receiver.url}/"\n'
        )
        variables = world.environment | {
            "COWRIE_OFFLINE": "false",
            "COWRIE_PWNED_PASSWORDS_ENABLED": "false",
            "COWRIE_LOGS": str(logs),
            "COWRIE_METRICS_SECONDS": "0.5",
            "COWRIE_ALERTS_FILE": str(folder / "alerts.toml"),
        }

        def run(day: datetime, addresses: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
            (logs / f"cowrie.json.{day:%Y-%m-%d}").write_bytes(logged(day, addresses))
            return cowrie_pipeline(folder, "run", "--logs", logs, **variables)

        run(TODAY - timedelta(days=3), STRANGERS[:2])
        with (
            served_metrics(folder, variables) as target,
            open_prometheus(folder / "prometheus", target) as prometheus,
        ):
            run(TODAY - timedelta(days=2), PUBLIC[:3])
            run(TODAY - timedelta(days=1), PUBLIC)
            cowrie_pipeline(folder, "alerts", "send", **variables)
            # gauges are kept for a while, and a rate wants two samples
            prometheus.wait_for('cowrie_snapshots{basis="observed"} and on () sum(cowrie_sessions) == 18')
            prometheus.wait_for("increase(cowrie_alerts_sent_total[1d])")
            yield prometheus


ALL = [*expressions(), *documented_queries()]


@pytest.mark.parametrize("expression", ALL, ids=lambda each: each.where)
def test_a_query_is_answered_with_data(prometheus: Prometheus, expression: Expression) -> None:
    answer = prometheus.query(wants(expression.query))
    assert answer, f"expected data for {wants(expression.query)}"
    values = [sample["value"][1] for sample in answer]
    assert any(value != "NaN" for value in values), answer


def test_the_sums_are_those_of_the_database(prometheus: Prometheus) -> None:
    def total(query: str) -> float:
        return sum(float(sample["value"][1]) for sample in prometheus.query(query))

    # three days with 2, 3 and 13 addresses, 3 events each, one of them twice, and one cut line
    assert total("cowrie_events_read_total") == 3 * (2 + 3 + 13)
    assert total("cowrie_duplicates_read_total") == 3
    assert total("cowrie:dead_letters:sum") == 3
    assert total("cowrie_lines_read_total") == 3 * 18 + 3 + 3
    assert total("cowrie_sessions") == 18
    assert total('cowrie_addresses{state="total"}') == 13
    assert total("cowrie:networks_created:sum") == total("asn_inventory_total_count")
