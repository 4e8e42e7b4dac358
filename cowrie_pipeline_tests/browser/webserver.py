"""`cowrie-pipeline ui`: Dagster's webserver and daemon, on a free port of this machine."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.postgresql import free_port

_PATIENCE_SECONDS = 120.0


@contextmanager
def open_webserver(folder: Path, **variables: str | Path) -> Iterator[str]:
    """Start both and yield its URL; it and everything that it started are ended afterwards."""
    port = free_port()
    log = folder / "webserver.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", "from cowrie_pipeline.cli.main import app; app()", "ui", "--port", str(port)],
            cwd=folder,
            env=environment(folder, **variables),
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        # the code server, the daemon and their runs are of its group
        _end_group(process.pid)
        process.wait()


def _end_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            assert process.poll() is None, f"the webserver ended: {log.read_text()[-3000:]}"
            assert monotonic() < until, f"the webserver does not answer: {log.read_text()[-3000:]}"
            sleep(0.2)
