"""Work measured in a process of its own: its result, its seconds, and the most memory it held.

Belongs here: starting processes and watching them. Does not belong here: what they do (tasks.py).
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psutil

__all__ = ["MeasureError", "Measured", "run_command", "run_task", "serving"]

_SECONDS_BETWEEN_LOOKS = 0.02
# Listing a process's children reads all of /proc, so it is done at every tenth look only.
_LOOKS_BETWEEN_LISTINGS = 10


class MeasureError(Exception):
    """A measured process failed; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process came to.

    `seconds` is from its start to its end. `peak_mb` is the most resident memory, in units of 1,000,000 bytes, that it
    and its child processes held together; memory that they share counts once for each, and that of a database server
    not at all. `cpu_seconds` is the processor time of all of them, which suffers less from others on the machine.
    """

    output: str
    seconds: float
    peak_mb: float
    cpu_seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The numbers that a task printed."""
        numbers: dict[str, Any] = json.loads(self.output)
        return numbers


def run_task(name: str, **arguments: Any) -> Measured:
    """Run a task of tasks.py in a process of its own and wait for it."""
    return run_command([*_task_command(name), json.dumps(arguments)])


def run_command(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: str | None = None
) -> Measured:
    """Run a command and wait for it.

    Raises:
        MeasureError: it ended with another code than 0.
    """
    started, cpu_before = perf_counter(), _cpu_seconds_of_children()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        watch = _MemoryWatch(process.pid)
        watch.start()
        output, errors = process.communicate()
        seconds = perf_counter() - started
        watch.stop()
    if process.returncode:
        raise MeasureError(f"{' '.join(command)[:300]} ended with {process.returncode}: {errors.strip()[-2000:]}")
    return Measured(output, seconds, watch.peak_bytes / 1e6, _cpu_seconds_of_children() - cpu_before)


def _cpu_seconds_of_children() -> float:
    """Return the processor time of all child processes that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def serving(name: str, **arguments: Any) -> Iterator["Server"]:
    """Have a task run beside the measured work, from the line it prints first until the block ends."""
    with subprocess.Popen(
        [*_task_command(name), json.dumps(arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


class Server:
    """A task that runs beside the measured work: `address` is where it listens."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()

    def stop(self) -> dict[str, Any]:
        """End it and return what it counted."""
        output, _ = self._process.communicate("\n")
        counted: dict[str, Any] = json.loads(output)
        return counted


def _task_command(name: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.task", name]


class _MemoryWatch(threading.Thread):
    """Looks at the resident memory of a process and its descendants until stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._main = psutil.Process(pid)
        self._ended = threading.Event()

    def run(self) -> None:
        looks = 0
        family = [self._main]
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            if looks % _LOOKS_BETWEEN_LISTINGS == 0:
                family = self._list_family()
            looks += 1
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, family)))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _list_family(self) -> list[Any]:
        try:
            return [self._main, *self._main.children(recursive=True)]
        except psutil.Error:  # it has just ended
            return [self._main]


def _resident_bytes(process: Any) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0
