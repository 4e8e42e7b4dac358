"""What was read of log files: the ledger, the dead letters, and every event's line, by day.

The lines of events are kept as they were, compressed, in `log_segments`: one segment is what one reading of one file
brought for one day. So a day can be made again at any time, with better code or more files, although the files have
been rotated away; and what was read once is known again by its fingerprint, wherever it turns up.

Belongs here: the rows of `log_files`, `log_segments` and `dead_letters`.
Does not belong here: reading files (steps/scan_logs.py), what lines mean (cowrie/).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, insert, select, update

from cowrie_pipeline.warehouse.tables import dead_letters, log_files, log_segments

__all__ = [
    "DeadLetter",
    "FileRecord",
    "Fingerprints",
    "add_dead_letters",
    "add_segment",
    "days_with_events",
    "dead_letters_by_reason",
    "file_records",
    "forget_dead_letters",
    "fragment_owners",
    "known_dead_letters",
    "known_fingerprints",
    "last_segment",
    "pieces_of",
    "remove_dead_letter",
    "save_file",
]

Fingerprints = NDArray[np.uint64]
_STORED = np.dtype("<u8")


@dataclass(kw_only=True)
class FileRecord:
    """A row of `log_files`; `file_id` is None until it was saved."""

    path: str
    fingerprint: str
    head_length: int
    size: int
    modified_ns: int
    read_offset: int = 0
    tail_fingerprint: str = ""
    tail_length: int = 0
    ends_with_newline: bool = True
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None
    lines: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    blank_lines: int = 0
    is_foreign: bool = False
    damage: str | None = None
    head_fragment: bytes | None = None
    head_is_joined: bool = False
    tail_fragment: bytes | None = None
    tail_is_joined: bool = False
    days: dict[str, int] = field(default_factory=dict)
    oddities: dict[str, Any] = field(default_factory=dict)
    read_at: datetime | None = None
    file_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A row of `dead_letters`, without the file it is from."""

    line_fingerprint: str
    line_number: int
    byte_offset: int
    reason: str
    detail: str
    sample: str
    lines: int = 1


def file_records(connection: Connection, *conditions: Any) -> list[FileRecord]:
    """Return the files seen that meet `conditions` on `log_files`, the last seen first."""
    rows = connection.execute(select(log_files).where(*conditions).order_by(log_files.c.file_id.desc()))
    return [FileRecord(**row) for row in rows.mappings()]


def save_file(connection: Connection, record: FileRecord) -> int:
    """Insert or update a file's row; return its id."""
    values = {name: value for name, value in vars(record).items() if name != "file_id"}
    if record.file_id is None:
        record.file_id = connection.execute(
            insert(log_files).values(values).returning(log_files.c.file_id)
        ).scalar_one()
    else:
        connection.execute(update(log_files).where(log_files.c.file_id == record.file_id).values(values))
    return record.file_id


def fragment_owners(connection: Connection) -> tuple[list[FileRecord], list[FileRecord]]:
    """Return the files whose last line is the beginning of an object, and those whose first line is the end of one.

    A file that is both is one record in both lists.
    """
    records = file_records(connection, log_files.c.tail_fragment.is_not(None) | log_files.c.head_fragment.is_not(None))
    return (
        [record for record in records if record.tail_fragment is not None],
        [record for record in records if record.head_fragment is not None],
    )


def known_fingerprints(connection: Connection, day: date) -> Fingerprints:
    """Return the fingerprints of all events of a day, ascending."""
    rows = connection.execute(select(log_segments.c.fingerprints).where(log_segments.c.day == day)).scalars()
    parts = [np.frombuffer(each, dtype=_STORED) for each in rows]
    if not parts:
        return np.empty(0, dtype=np.uint64)
    return np.sort(np.concatenate(parts)).astype(np.uint64, copy=False)


def last_segment(connection: Connection) -> int:
    """Return the id of the segment added last, 0 where there is none."""
    return connection.execute(select(func.max(log_segments.c.segment_id))).scalar_one() or 0


def add_segment(connection: Connection, file_id: int, day: date, packed: bytes, fingerprints: Fingerprints) -> None:
    """Keep the packed lines of a day's events, which are known to be new, one for each of `fingerprints`."""
    connection.execute(
        insert(log_segments).values(
            file_id=file_id,
            day=day,
            events=len(fingerprints),
            lines=packed,
            fingerprints=np.sort(fingerprints).astype(_STORED).tobytes(),
        )
    )


def pieces_of(connection: Connection, day: date, *, events_at_once: int) -> Iterator[tuple[list[bytes], bool]]:
    """Yield the packed lines of a day's events (see cowrie/segments.py), and whether they are the day's last.

    They come in pieces of up to `events_at_once` events, or of one segment.
    """
    segments = connection.execute(
        select(log_segments.c.segment_id, log_segments.c.events)
        .where(log_segments.c.day == day)
        .order_by(log_segments.c.segment_id)
    ).all()
    ids: list[int] = []
    held = 0
    for segment_id, events in segments:
        if ids and held + events > events_at_once:
            yield _lines_of_segments(connection, ids), False
            ids, held = [], 0
        ids.append(segment_id)
        held += events
    if ids:
        yield _lines_of_segments(connection, ids), True


def _lines_of_segments(connection: Connection, ids: Sequence[int]) -> list[bytes]:
    rows = connection.execute(
        select(log_segments.c.lines).where(log_segments.c.segment_id.in_(ids)).order_by(log_segments.c.segment_id)
    )
    return list(rows.scalars())


def days_with_events(connection: Connection, first: date, last: date) -> dict[date, tuple[int, int]]:
    """Return, for each day from `first` to `last` that has events, the number of its segments and of its events."""
    rows = connection.execute(
        select(log_segments.c.day, func.count(), func.sum(log_segments.c.events))
        .where(log_segments.c.day.between(first, last))
        .group_by(log_segments.c.day)
        .order_by(log_segments.c.day)
    )
    return {day: (segments, int(events)) for day, segments, events in rows}


def known_dead_letters(connection: Connection, fingerprints: Sequence[str]) -> set[str]:
    """Return those of `fingerprints` that are dead letters already."""
    found: set[str] = set()
    for start in range(0, len(fingerprints), 500):
        some = fingerprints[start : start + 500]
        found |= set(
            connection.execute(
                select(dead_letters.c.line_fingerprint).where(dead_letters.c.line_fingerprint.in_(some))
            ).scalars()
        )
    return found


def dead_letters_by_reason(connection: Connection) -> dict[int, dict[str, int]]:
    """Return how many lines each file brought that are dead letters, by reason."""
    counts: dict[int, dict[str, int]] = {}
    for file_id, reason, lines in connection.execute(
        select(dead_letters.c.file_id, dead_letters.c.reason, func.sum(dead_letters.c.lines))
        .group_by(dead_letters.c.file_id, dead_letters.c.reason)
        .order_by(dead_letters.c.reason)
    ):
        counts.setdefault(file_id, {})[reason] = int(lines)
    return counts


def add_dead_letters(
    connection: Connection, file_id: int, path: str, letters: Sequence[DeadLetter], now: datetime
) -> None:
    """Keep dead letters, which are known to be new."""
    if letters:
        rows = [
            {name: getattr(letter, name) for name in DeadLetter.__slots__}
            | {"file_id": file_id, "path": path, "seen_at": now}
            for letter in letters
        ]
        connection.execute(insert(dead_letters), rows)


def remove_dead_letter(connection: Connection, file_id: int, line_fingerprint: str) -> bool:
    """Forget a dead letter that turned out to be a part of an event; return whether this file had brought it."""
    removed = connection.execute(
        delete(dead_letters).where(
            dead_letters.c.line_fingerprint == line_fingerprint, dead_letters.c.file_id == file_id
        )
    )
    return removed.rowcount > 0


def forget_dead_letters(connection: Connection, file_id: int) -> None:
    """Forget all dead letters that a file brought."""
    connection.execute(delete(dead_letters).where(dead_letters.c.file_id == file_id))
