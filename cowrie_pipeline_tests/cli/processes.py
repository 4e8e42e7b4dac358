"""The command line as its users have it: a process of its own, in a folder of its own, with nothing inherited."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent
TIMEOUT = 120


def environment(folder: Path, **variables: str | Path) -> dict[str, str]:
    """Return an environment without any setting but `variables`, in which nothing leaves `folder` or this machine."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COWRIE_", "DAGSTER_", "OTEL_", "COLUMNS"))
    }
    ours = {"COWRIE_STATE_DIR": folder / "var", "COWRIE_OFFLINE": "true"}
    return inherited | {name: str(value) for name, value in (ours | variables).items()}


def start(folder: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.Popen[str]:
    """Start `cowrie-pipeline` in `folder`."""
    return subprocess.Popen(
        [SCRIPTS / "cowrie-pipeline", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cowrie_pipeline(folder: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `cowrie-pipeline` in `folder` to its end."""
    return subprocess.run(
        [SCRIPTS / "cowrie-pipeline", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def cowrie_enrich(folder: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `cowrie-enrich` in `folder` to its end."""
    process = start_enrich(folder, *arguments, **variables)
    out, err = process.communicate(timeout=TIMEOUT)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start_enrich(folder: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.Popen[str]:
    """Start `cowrie-enrich` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-c", "from cowrie_pipeline.cli.enrich import app; app()", *map(str, arguments)],
        cwd=folder,
        env=environment(folder, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_group(process: "subprocess.Popen[Any] | None") -> None:
    """Kill a process that was started in a session of its own, and all that it started, also what outlived it."""
    if process is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object that a run that ended well printed."""
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    return report
