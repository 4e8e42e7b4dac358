"""What is done now and was done last, as JSON files: one for each phase, and `status.json` of all.

A phase is a step of a run, such as raw_sessions. Several processes may be at the same phase, each with other days, so
a phase's file has a list of works. Files are changed under one lock, one after the other, and replaced as a whole: no
process undoes what another wrote, and nobody ever reads half a file. `status.json` is made of the others each time, so
it lacks nothing that they have. docs/status.md describes the format.

Belongs here: the format, writing, reading, and telling a work whose process was killed.
Does not belong here: what is trouble (steps/health.py), how it is shown (cli/).
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any
from uuid import uuid4

import msgspec
from filelock import FileLock, Timeout

from cowrie_pipeline.observability.processes import is_gone, this_process

__all__ = [
    "AGGREGATE",
    "SCHEMA",
    "Days",
    "PhaseStatus",
    "Shown",
    "Status",
    "StatusBoard",
    "Work",
    "WorkState",
    "note_progress",
    "read_status",
    "shown",
    "shown_on",
    "unresolved",
]

_log = logging.getLogger(__name__)

# Raised when a reader of the last version would misunderstand; a field that is new is no reason.
SCHEMA = 1
AGGREGATE = "status.json"
_LOCK = ".lock"
# Whoever holds the lock writes some small files: this is long for that, and short for a run.
_LOCK_SECONDS = 5.0
_EVERY_SECONDS = 2.0
# Ended works of a phase that are kept beside those that are running or were not made good since.
_ENDED_KEPT = 5
_TROUBLES_KEPT = 20
_FINDINGS_KEPT = 20


class WorkState(StrEnum):
    """How a work stands; `killed` is one whose process went without a word."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"


class Days(msgspec.Struct, frozen=True):
    """The days that a work is about, both included."""

    first: date
    last: date

    def hold(self, other: "Days") -> bool:
        """Whether these are all days of `other`, at least."""
        return self.first <= other.first and other.last <= self.last


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One process at one phase. `done` of `total` are in the phase's own unit; `counts` are what it came to."""

    id: str
    state: WorkState
    process: str
    pid: int
    run_id: str | None = None
    days: Days | None = None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    counts: dict[str, Any] = {}
    findings: tuple[str, ...] = ()
    error: str | None = None


class PhaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A phase's file: the newest work first. `ended` counts all works that ever ended, by how."""

    schema: int = SCHEMA
    phase: str
    state: WorkState
    updated_at: datetime
    ended: dict[WorkState, int] = {}
    works: tuple[Work, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """`status.json`: the phases by name, and which of them are running or need a look.

    `unreadable` are the files that are no status files of this version.
    """

    schema: int = SCHEMA
    updated_at: datetime
    running: tuple[str, ...] = ()
    troubled: tuple[str, ...] = ()
    phases: dict[str, PhaseStatus] = {}
    unreadable: tuple[str, ...] = ()


def unresolved(works: Sequence[Work]) -> list[Work]:
    """Return the works that failed or were killed, and that no later one of the same days made good."""
    return [
        work
        for work in works
        if work.state in (WorkState.FAILED, WorkState.KILLED)
        and not any(
            other.state is WorkState.DONE
            and other.started_at >= work.started_at
            and (other.days is None or (work.days is not None and other.days.hold(work.days)))
            for other in works
        )
    ]


def read_status(folder: Path, *, now: datetime) -> Status:
    """Read all phases' files as they are at `now`; there may be none.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    phases, unreadable = {}, []
    for path in sorted(folder.glob("*.json")) if folder.exists() else ():
        if path.name == AGGREGATE:
            continue
        found = _read_phase(path)
        if found is None:
            unreadable.append(path.name)
        else:
            phases[found.phase] = found
    return Status(
        updated_at=now,
        running=tuple(name for name, each in phases.items() if each.state is WorkState.RUNNING),
        troubled=tuple(name for name, each in phases.items() if unresolved(each.works)),
        phases=phases,
        unreadable=tuple(unreadable),
    )


def _read_phase(path: Path) -> PhaseStatus | None:
    """Read a phase's file, with works of dead processes told; None for one that is not there or of another format."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=PhaseStatus)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        return None
    return None if found.schema != SCHEMA or found.phase != path.stem else _with(found, ())


def _with(status: PhaseStatus, changed: Sequence[Work], *, now: datetime | None = None) -> PhaseStatus:
    """Return a phase with some of its works changed or added, and those of dead processes told as such."""
    stored = {work.id: work for work in status.works}
    ended = dict(status.ended)
    works = []
    for work in (stored | {work.id: work for work in changed}).values():
        if work.state is WorkState.RUNNING and is_gone(work.process):
            work = msgspec.structs.replace(work, state=WorkState.KILLED)  # noqa: PLW2901 - the same work, better known
        before = stored.get(work.id)
        if work.state is not WorkState.RUNNING and (before is None or before.state is WorkState.RUNNING):
            ended[work.state] = ended.get(work.state, 0) + 1
        works.append(work)
    ordered = _kept(sorted(works, key=lambda work: work.started_at, reverse=True))
    return PhaseStatus(
        phase=status.phase,
        state=_state_of(ordered) if ordered else status.state,
        updated_at=now or status.updated_at,
        ended=ended,
        works=ordered,
    )


def _kept(works: Sequence[Work]) -> tuple[Work, ...]:
    """Return which works stay in the file."""
    ended = [work.id for work in works if work.state is not WorkState.RUNNING][:_ENDED_KEPT]
    keep = {*ended, *(work.id for work in unresolved(works)[:_TROUBLES_KEPT])}
    return tuple(work for work in works if work.state is WorkState.RUNNING or work.id in keep)


def _state_of(works: Sequence[Work]) -> WorkState:
    """Return the state of a phase: running if anybody is at it, else that of the newest work."""
    return WorkState.RUNNING if any(work.state is WorkState.RUNNING for work in works) else works[0].state


# ---- writing


class Shown:
    """A work as whoever does it sees it: what is put here is in its file, if files are written."""

    def __init__(self) -> None:
        self.counts: Mapping[str, Any] = {}
        self.findings: Sequence[str] = ()


class StatusBoard:
    """Writes the works of this process into `folder`.

    Work never fails for it: a folder that cannot be written is told once, as a warning, and the next change tries
    again. What could not be written is written with the next change.

    Args:
        folder: made when first needed.
        run_id: the run of Dagster that the works are part of, if there is one.
        every_seconds: progress is written no more often than this; beginnings and ends always are.
        clock: gives the time, UTC.
    """

    def __init__(
        self,
        folder: Path,
        run_id: str | None = None,
        *,
        every_seconds: float = _EVERY_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = folder
        self._run_id = run_id
        self._every_seconds = every_seconds
        self._clock = clock
        self._lock = RLock()
        self._process = this_process()
        # the works that are not ended, the innermost last, each with its phase
        self._open: list[tuple[str, Work]] = []
        self._unwritten: dict[str, dict[str, Work]] = {}
        self._written_at = 0.0

    def begin(self, phase: str, days: Days | None) -> str:
        """Note that a work began; return its id."""
        now = self._clock()
        work = Work(
            id=uuid4().hex,
            state=WorkState.RUNNING,
            process=self._process,
            pid=os.getpid(),
            run_id=self._run_id,
            days=days,
            started_at=now,
            updated_at=now,
        )
        with self._lock:
            self._open.append((phase, work))
            self._write(phase, work, lasting=True)
        return work.id

    def progress(self, done: int, total: int) -> None:
        """Note how far the innermost work is; written if the last writing is some seconds ago."""
        with self._lock:
            if not self._open:
                return
            phase, work = self._open[-1]
            now = self._clock()
            work = msgspec.structs.replace(
                work, done=done, total=total, updated_at=now, seconds=_seconds(work.started_at, now)
            )
            self._open[-1] = phase, work
            if monotonic() - self._written_at >= self._every_seconds:
                self._write(phase, work, lasting=False)

    def end(self, work_id: str, shown: Shown, *, error: str | None) -> None:
        """Note that a work ended, and what it came to."""
        now = self._clock()
        with self._lock:
            index = next(n for n, (_, work) in enumerate(self._open) if work.id == work_id)
            phase, work = self._open.pop(index)
            work = msgspec.structs.replace(
                work,
                state=WorkState.DONE if error is None else WorkState.FAILED,
                updated_at=now,
                ended_at=now,
                seconds=_seconds(work.started_at, now),
                counts=_plain(dict(shown.counts)),
                findings=tuple(_plain(list(shown.findings)[:_FINDINGS_KEPT])),
                error=error,
            )
            self._write(phase, work, lasting=True)

    def _write(self, phase: str, work: Work, *, lasting: bool) -> None:
        """Write what is not written yet; `lasting` is for what is worth waiting for the lock and for the disk."""
        self._unwritten.setdefault(phase, {})[work.id] = work
        self._written_at = monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / _LOCK, timeout=_LOCK_SECONDS if lasting else 0):
                for name, works in list(self._unwritten.items()):
                    _change(self._folder, name, list(works.values()), now=work.updated_at, lasting=lasting)
                    del self._unwritten[name]
                aggregate = read_status(self._folder, now=work.updated_at)
                _replace(self._folder / AGGREGATE, aggregate, lasting=False)
        except Timeout:
            if lasting:
                self._warn(f"another process has held {self._folder / _LOCK} for {_LOCK_SECONDS:g} seconds")
        except OSError as error:
            self._warn(f"{error.filename or self._folder}: {error.strerror or error}")

    def _warn(self, found: str) -> None:
        if self._folder in _told:
            return
        _told.add(self._folder)
        _log.warning(
            "the status files are not written, all else goes on: %s. See that the folder can be written and the disk "
            "is not full, or name another with COWRIE_STATUS_DIR.",
            found,
        )


# Folders of this process of which it was told that they cannot be written.
_told: set[Path] = set()


def _change(folder: Path, phase: str, works: Sequence[Work], *, now: datetime, lasting: bool) -> None:
    path = folder / f"{phase}.json"
    # a file that is none of ours gives way: it would stay for ever
    status = _read_phase(path) or PhaseStatus(phase=phase, state=WorkState.RUNNING, updated_at=now)
    _replace(path, _with(status, works, now=now), lasting=lasting)


def _replace(path: Path, value: PhaseStatus | Status, *, lasting: bool) -> None:
    """Write a file as a whole, under the lock; where that fails the old one stays as it is."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back; names of files may hold what is no text."""
    return json.loads(json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace"))


def _seconds(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 3)


# ---- the board of the work that is going on

_board: ContextVar[StatusBoard | None] = ContextVar("status_board", default=None)


@contextmanager
def shown_on(board: StatusBoard) -> Iterator[None]:
    """Have the works that begin in here shown on `board`."""
    before = _board.get()
    _board.set(board)
    try:
        yield
    finally:
        # no token of `set`: Dagster may end a run's resources in another context than it began them
        _board.set(before)


@contextmanager
def shown(phase: str, days: Days | None) -> Iterator[Shown]:
    """Show a work on the present board, if there is one, from its beginning to its end, however it ends."""
    board, work = _board.get(), Shown()
    if board is None:
        yield work
        return
    work_id = board.begin(phase, days)
    try:
        yield work
    except BaseException as error:
        board.end(work_id, work, error=_told_of(error))
        raise
    board.end(work_id, work, error=None)


def note_progress(done: int, total: int) -> None:
    """Note how far the innermost work on the present board is."""
    board = _board.get()
    if board is not None:
        board.progress(done, total)


def _told_of(error: BaseException) -> str:
    """Say what kind of error it was; not what it says, which may quote a secret, but for the system's own words."""
    kind = type(error).__name__
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and error.strerror else kind
