"""Which process a run is in, and what becomes of the run if that is killed.

Dagster's launcher for one machine does not look after the processes that it started: a run whose process was killed
together with the daemon stays "started" for ever, and with it its places in pools and the days that it was making.

A run that was killed alone the code server ends, but its places stay taken for the minutes that dagster.yaml says, and
whoever needs them waits so long.

Belongs here: the tag that names the process, ending runs whose process is gone, and freeing their places.
"""

import os
import socket
from pathlib import Path

import dagster as dg

__all__ = ["PROCESS_TAG", "end_runs_of_dead_processes", "this_process"]

PROCESS_TAG = "cowrie_pipeline/process"
_STARTED_AT = 19  # of the fields behind the name in /proc/<pid>/stat


def this_process() -> str:
    """Return this process as `host:pid:start`, the start being empty where the system does not tell it."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_at(os.getpid())}"


def end_runs_of_dead_processes(instance: dg.DagsterInstance) -> None:
    """Mark runs of this machine as failed whose process was killed, and free the places in pools of such runs."""
    under_way = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    )
    for run in instance.get_runs(filters=under_way):
        tag = run.tags.get(PROCESS_TAG, "")
        if not _is_inherited(instance, run, tag) and _is_gone(tag):
            instance.report_run_failed(run, "the process of this run was killed")
    _free_places(instance)


def _free_places(instance: dg.DagsterInstance) -> None:
    """Free the places in pools of runs that have ended, by whomever, and whose process is gone."""
    storage = instance.event_log_storage
    holders = list(storage.get_concurrency_run_ids()) if storage.supports_global_concurrency_limits else []
    if holders:
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
        for run in instance.get_runs(filters=dg.RunsFilter(run_ids=holders, statuses=ended)):
            if _is_gone(run.tags.get(PROCESS_TAG, "")):
                storage.free_concurrency_slots_for_run(run.run_id)


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun, tag: str) -> bool:
    """Say whether the tag is that of a run which this one repeats, and which has not begun to work yet."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is not None and parent.tags.get(PROCESS_TAG) == tag


def _is_gone(tag: str) -> bool:
    """Say whether the tag names a process that was on this machine and is not any more."""
    if not tag:
        return False
    host, pid, *started_at = tag.split(":")
    return host == socket.gethostname() and not _is_alive(int(pid), "".join(started_at))


def _is_alive(pid: int, started_at: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user, so alive
    # after a restart of the machine another process may have the number
    return not started_at or _started_at(pid) == started_at


def _started_at(pid: int) -> str:
    """Return when a process started, in ticks since the machine did; empty where that is not told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[_STARTED_AT]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
