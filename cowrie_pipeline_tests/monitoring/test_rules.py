"""The rules by Prometheus's own tool: what it checks, and the cases in which each alert fires and must not."""

import subprocess

import pytest

from cowrie_pipeline_tests.monitoring.files import MONITORING, RULES, RULES_TEST
from cowrie_pipeline_tests.monitoring.prometheus import require


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", RULES), ("check", "config", MONITORING / "prometheus.yml"), ("test", "rules", RULES_TEST)],
    ids=lambda each: each[1],
)
def test_prometheus_takes_them(arguments: tuple[object, ...]) -> None:
    done = subprocess.run(
        [require("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
