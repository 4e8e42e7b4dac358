"""A Prometheus of the tests' own: on a free port of this machine, with the project's rules, scraping every second."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml

from cowrie_pipeline_tests.monitoring.files import MONITORING, RULES
from cowrie_pipeline_tests.postgresql import free_port

_PATIENCE_SECONDS = 60.0


def require(program: str) -> str:
    """Return the path of a program of Debian's package `prometheus`, or skip the test."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} is installed: `apt-get install prometheus` has these tests run")
    return path


@dataclass(frozen=True)
class Prometheus:
    """A server that runs."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what the server answers now: samples with labels and a value."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {json.load(error)['error']}") from None
        return result

    def wait_for(self, expression: str) -> None:
        """Wait until a query has an answer."""
        until = monotonic() + _PATIENCE_SECONDS
        while not self.query(expression):
            assert monotonic() < until, f"expected an answer to {expression}"
            sleep(0.2)

    def is_ready(self) -> bool:
        """Whether the server answers queries yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def open_prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Start a server that scrapes `target` as the project's configuration says, but each second, and end it."""
    folder.mkdir()
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(RULES)]
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    log = folder / "prometheus.log"
    port = free_port()
    with log.open("w") as written:
        process = subprocess.Popen(
            [
                require("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=written,
            stderr=written,
            cwd=folder,
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        while not prometheus.is_ready():
            assert process.poll() is None, f"ended with {process.returncode}: {log.read_text()[-2000:]}"
            sleep(0.1)
        prometheus.wait_for("up == 1")
        yield prometheus
    finally:
        process.terminate()
        process.wait(timeout=30)
