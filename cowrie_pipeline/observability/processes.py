"""Which process does a piece of work, and whether it is still there.

Belongs here: naming a process so that it is known again, also after its number went to another.
Does not belong here: what becomes of the work of one that is gone.
"""

import os
import socket
from pathlib import Path

__all__ = ["is_gone", "this_process"]

_STATE, _STARTED_AT = 0, 19  # of the fields behind the name in /proc/<pid>/stat
# of a process that has ended, and whose parent has not asked how
_ENDED = ("Z", "X")


def this_process() -> str:
    """Return this process as `host:pid:start`, the start being empty where the system does not tell it."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_at(_stat(os.getpid()))}"


def is_gone(process: str) -> bool:
    """Say whether a process, as `this_process` names it, is known to be gone; of other machines nothing is known."""
    host, _, rest = process.partition(":")
    pid, _, started_at = rest.partition(":")
    return host == socket.gethostname() and pid.isascii() and pid.isdigit() and not _is_alive(int(pid), started_at)


def _is_alive(pid: int, started_at: str) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # of another user, so alive
    stat = _stat(pid)
    if stat and stat[_STATE] in _ENDED:
        return False
    # after a restart of the machine another process may have the number
    return not started_at or _started_at(stat) == started_at


def _started_at(stat: list[str]) -> str:
    """Return when a process started, in ticks since the machine did; empty where that is not told."""
    return stat[_STARTED_AT] if len(stat) > _STARTED_AT else ""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return []
