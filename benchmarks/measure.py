"""Work measured in a process of its own: its result, its seconds, and the most memory it held, in all and by moment.

Belongs here: starting processes and watching them. Does not belong here: what they do (tasks.py).
"""

import json
import os
import subprocess
import sys
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any

import psutil

__all__ = [
    "MeasureError",
    "Measured",
    "Moment",
    "Used",
    "run_command",
    "run_task",
    "serving",
    "task_command",
    "used_between",
]

_SECONDS_BETWEEN_LOOKS = 0.02
# Listing a process's children reads all of /proc, so it is done at every tenth look only.
_LOOKS_BETWEEN_LISTINGS = 10


class MeasureError(Exception):
    """A measured process failed; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a process and its children had used at a time (seconds since 1970), and what a server beside it had.

    Processor time is in seconds since some beginning, so that only differences count. Memory of the process is as in
    `Measured`; of the server, what its processes share counts once.
    """

    at: float
    cpu_seconds: float
    memory_mb: float
    server_cpu_seconds: float
    server_memory_mb: float


@dataclass(frozen=True, slots=True)
class Used:
    """What was used in a span of time: seconds by the clock and of processors, and the most memory."""

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_mb: float
    server_peak_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process came to.

    `seconds` is from its start to its end. `peak_mb` is the most resident memory, in units of 1,000,000 bytes, that it
    and its child processes held together; memory that they share counts once for each, and that of a database server
    not at all. `cpu_seconds` is the processor time of all of them, which suffers less from others on the machine.
    `moments` are looked at five times a second.
    """

    output: str
    seconds: float
    peak_mb: float
    cpu_seconds: float
    moments: tuple[Moment, ...]

    @property
    def result(self) -> dict[str, Any]:
        """The numbers that a task printed."""
        numbers: dict[str, Any] = json.loads(self.output)
        return numbers


def run_task(name: str, **arguments: Any) -> Measured:
    """Run a task of tasks.py in a process of its own and wait for it."""
    return run_command([*task_command(name), json.dumps(arguments)])


def run_command(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    server_pid: int | None = None,
) -> Measured:
    """Run a command and wait for it.

    Args:
        command: what to run.
        environment: its environment; by default ours.
        folder: where it runs.
        server_pid: of a server that works for it, and whose use is noted with each moment.

    Raises:
        MeasureError: it ended with another code than 0.
    """
    started, cpu_before = perf_counter(), _cpu_seconds_of_children()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        watch = _Watch(process.pid, server_pid)
        watch.start()
        output, errors = process.communicate()
        seconds = perf_counter() - started
        watch.stop()
    if process.returncode:
        raise MeasureError(f"{' '.join(command)[:300]} ended with {process.returncode}: {errors.strip()[-2000:]}")
    cpu_seconds = _cpu_seconds_of_children() - cpu_before
    return Measured(output, seconds, watch.peak_bytes / 1e6, cpu_seconds, tuple(watch.moments))


def used_between(moments: Sequence[Moment], start: float, end: float) -> Used:
    """Return what was used between two times, which may lie between moments."""
    times = [moment.at for moment in moments]
    within = moments[max(bisect_right(times, start) - 1, 0) : bisect_left(times, end) + 1]

    def used(of: Callable[[Moment], float]) -> float:
        return _at(moments, times, end, of) - _at(moments, times, start, of)

    return Used(
        seconds=end - start,
        cpu_seconds=used(lambda moment: moment.cpu_seconds),
        server_cpu_seconds=used(lambda moment: moment.server_cpu_seconds),
        peak_mb=max((moment.memory_mb for moment in within), default=0.0),
        server_peak_mb=max((moment.server_memory_mb for moment in within), default=0.0),
    )


def _at(moments: Sequence[Moment], times: Sequence[float], at: float, of: Callable[[Moment], float]) -> float:
    """Return a value at a time, on the straight line between the moments before and after."""
    after = min(bisect_left(times, at), len(times) - 1)
    before = max(after - 1, 0)
    length = times[after] - times[before]
    share = min(max((at - times[before]) / length, 0.0), 1.0) if length else 0.0
    return of(moments[before]) + share * (of(moments[after]) - of(moments[before]))


def _cpu_seconds_of_children() -> float:
    """Return the processor time of all child processes that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def serving(name: str, **arguments: Any) -> Iterator["Server"]:
    """Have a task run beside the measured work, from the line it prints first until the block ends."""
    with subprocess.Popen(
        [*task_command(name), json.dumps(arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


def task_command(name: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.task", name]


class _Watch(threading.Thread):
    """Looks at a process and its descendants until stopped, and at those of a server beside it."""

    def __init__(self, pid: int, server_pid: int | None) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.moments: list[Moment] = []
        self._main = psutil.Process(pid)
        self._server = None if server_pid is None else psutil.Process(server_pid)
        self._ended = threading.Event()

    def run(self) -> None:
        looks = 0
        family = [self._main]
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            if looks % _LOOKS_BETWEEN_LISTINGS == 0:
                family = _family(self._main)
                self._note(family)
            looks += 1
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, family)))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _note(self, family: Sequence[Any]) -> None:
        servers = _family(self._server) if self._server else []
        cpu_seconds = _cpu_seconds(family)
        before = self.moments[-1].cpu_seconds if self.moments else 0.0
        self.moments.append(
            Moment(
                at=time(),
                # one that has just ended is not in it until its parent has waited for it
                cpu_seconds=max(cpu_seconds, before),
                memory_mb=sum(map(_resident_bytes, family)) / 1e6,
                server_cpu_seconds=_cpu_seconds(servers),
                server_memory_mb=sum(map(_proportional_bytes, servers)) / 1e6,
            )
        )


def _family(main: Any) -> list[Any]:
    try:
        return [main, *main.children(recursive=True)]
    except psutil.Error:  # it has just ended
        return [main]


def _cpu_seconds(family: Sequence[Any]) -> float:
    """Return the processor time of processes, and of their children that have ended."""
    return sum(map(_cpu_seconds_of, family))


def _cpu_seconds_of(process: Any) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has just ended
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _resident_bytes(process: Any) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0


def _proportional_bytes(process: Any) -> int:
    """Return the memory of a process, with its share of what it shares with others."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0
