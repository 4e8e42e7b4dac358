"""Read what is new in log files, once, and account for every line.

A file is known again by its content, so renaming, rotation and compression cost nothing, and a file that grew is read
from where it ended. Each line is an event, a duplicate, a dead letter or blank; nothing else, and nothing is dropped.
The lines of events are kept by day in the log store, from which raw_sessions.py makes sessions.

Belongs here: which files are read from where, and the accounting.
Does not belong here: what lines mean (cowrie/), how rows are kept (warehouse/log_store.py).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from cowrie_pipeline.cowrie.decode import DeadLetterError, Oddities, Reason, decode_event, parse_timestamp
from cowrie_pipeline.cowrie.files import ContentReader, Head, LogFile, Problem, find_logs, open_content, read_head
from cowrie_pipeline.cowrie.lines import Block, line_fingerprint, read_blocks, strip_line
from cowrie_pipeline.cowrie.passwords import without_password
from cowrie_pipeline.cowrie.segments import lines_of, packed_lines
from cowrie_pipeline.cowrie.sorted_files import FileTask, SortedFile, TailKeeper, content_fingerprint, sort_file
from cowrie_pipeline.cowrie.sorting import MAX_FRAGMENT_BYTES, WITHHELD_TAIL, DayLines, Letter, SortedLines, sort_lines
from cowrie_pipeline.cowrie.text import escape_text, unescape_text
from cowrie_pipeline.cowrie.workers import Workers, spare_cores
from cowrie_pipeline.observability.instruments import DEAD_LETTERS, DUPLICATES_READ, EVENTS_READ, LINES_READ
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.observability.tracing import counts_in, span
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.log_store import (
    DeadLetter,
    FileRecord,
    Fingerprints,
    add_dead_letters,
    add_segment,
    dead_letters_by_reason,
    file_records,
    forget_dead_letters,
    fragment_owners,
    known_dead_letters,
    known_fingerprints,
    last_segment,
    remove_dead_letter,
    save_file,
)
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.tables import log_files

__all__ = ["FileSpan", "ScanReport", "UnreadFile", "plan_reading", "scan_logs", "unread_files"]

# Lines of one day are kept together up to so many, and all that wait to be kept up to so many bytes, packed.
_BUFFERED_EVENTS = 50_000
_BUFFERED_BYTES = 8 * 1024 * 1024
# Less than this is read sooner than other processes have started.
_BYTES_WORTH_WORKERS = 64 * 1024 * 1024
# A shorter beginning is too common among logs to tell that a file was renamed.
_MIN_TELLING_HEAD = 64
# A file is judged not to be a log when it has nothing but dead letters; so many of them are held until that is known.
_HELD_DEAD_LETTERS = 1000
# How far a split line's time may be on the wrong side of the events around it, and how far away from them: less than a
# day, so that the halves of two midnights never meet.
_FRAGMENT_SLACK = timedelta(minutes=10)
_FRAGMENT_GAP = timedelta(hours=12)
_HELD_FINGERPRINTS = 4_000_000  # 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What the files given hold, by the ledger, and what of it was read now.

    `lines` = `events` + `duplicates` + `dead_letters` + `blank_lines`, over all files given, whether read now or
    before. `days` counts lines that are events, by UTC day; `dead_letters_by_reason` adds up to `dead_letters`.
    """

    files: int = 0
    files_read: int = 0
    files_unchanged: int = 0
    lines: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    blank_lines: int = 0
    lines_read: int = 0
    events_read: int = 0
    days: dict[date, int] = field(default_factory=dict)
    dead_letters_by_reason: dict[str, int] = field(default_factory=dict)
    unknown_events: dict[str, int] = field(default_factory=dict)
    unknown_fields: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    foreign_files: tuple[str, ...] = ()
    damaged_files: dict[str, str] = field(default_factory=dict)

    @property
    def lost_something(self) -> bool:
        """Whether something that was there could not be read."""
        return bool(self.problems)


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Some of the log files: by name those from `first` on, up to that at which another span begins.

    None is no bound: the spans of one plan have every file between them, also one that came after they were planned.
    """

    first: str | None = None
    end: str | None = None

    def has(self, file: LogFile) -> bool:
        """Say whether a file is one of them."""
        name = _name_of(file)
        return (self.first is None or self.first <= name) and (self.end is None or name < self.end)


def plan_reading(warehouse: Warehouse, paths: Sequence[str], *, size: int | None) -> tuple[FileSpan, ...]:
    """Return the spans in which the files that `paths` name can be read, each by another process.

    Args:
        warehouse: where the ledger is.
        paths: files, folders and globs.
        size: how many new bytes, on disk, a span has at least, but for the last; None for one span with all files.
    """
    bounds: list[str | None] = [None]
    if size is not None:
        waiting = 0
        for unread in sorted(unread_files(warehouse, paths), key=lambda each: _name_of(each.file)):
            if waiting >= size:
                bounds.append(_name_of(unread.file))
                waiting = 0
            waiting += unread.new_bytes
    return tuple(FileSpan(first, end) for first, end in pairwise([*bounds, None]))


_ALL_FILES = FileSpan()


def scan_logs(
    warehouse: Warehouse,
    paths: Sequence[str],
    *,
    settings: Settings,
    now: datetime,
    files: FileSpan = _ALL_FILES,
    on_progress: OnProgress = unheard,
) -> ScanReport:
    """Read what is new in the files that `paths` name, or in some of them.

    Each file is one transaction, so that a process killed in the middle loses nothing and counts nothing twice.

    Args:
        warehouse: where the ledger is.
        paths: files, folders and globs.
        settings: the bound on a line's length, and whether passwords are hashed.
        now: time of reading, UTC.
        files: which of the files are looked at. Several processes may read spans at once, in any order.
        on_progress: called with the bytes (on disk) done and to do; not at all if nothing is new.

    Returns:
        The accounting of all files looked at, read now or before.
    """
    with journaled(warehouse, "scan_logs", None) as entry:
        report = _scan(warehouse, paths, settings, now, on_progress, of=files)
        if report.files_read:
            entry.report = {
                "files_read": report.files_read,
                "lines_read": report.lines_read,
                "events_read": report.events_read,
            }
    return report


def _scan(
    warehouse: Warehouse,
    paths: Sequence[str],
    settings: Settings,
    now: datetime,
    on_progress: OnProgress,
    *,
    of: FileSpan,
) -> ScanReport:
    discovery = find_logs(paths)
    files = [file for file in discovery.files if of.has(file)]
    problems = list(discovery.problems)
    records: list[FileRecord] = []
    before = Counter[str]()
    read = 0
    known = _KnownEvents()
    unchanged = _unchanged_files(warehouse, files)
    changed = [file for file in files if _name_of(file) not in unchanged]
    total = sum(file.size for file in changed)
    done = 0
    with Workers(_workers_for(total)) as workers:
        # read whole by other processes, while this one writes what they have read before
        new = _new_files(warehouse, changed) if workers else set()
        tasks = (
            FileTask(file.path, settings.max_line_bytes, settings.hash_passwords) for file in changed if file in new
        )
        read_ahead = workers.map(sort_file, tasks)
        for file in files:
            record = unchanged.get(_name_of(file))
            if record is None:
                ahead = next(read_ahead) if file in new else None
                try:
                    with (
                        span("read file", {"cowrie.file": file.path.name, "cowrie.bytes": file.size}) as of_file,
                        counting(warehouse, lock="scan") as (connection, tally),
                    ):
                        record, reading = _FileScan(
                            connection, file, settings, now, known=known, read_ahead=ahead
                        ).run()
                        reading.count(tally)
                        of_file.set_attributes(counts_in({"lines": reading.lines, "events": reading.events}))
                except OSError as error:
                    problems.append(Problem(_name_of(file), error.strerror or str(error)))
                    continue
                before.update(lines=reading.lines, events=reading.events)
                read += 1
                done += file.size
                on_progress(done, total)
            records.append(record)
    if read:
        with counting(warehouse, lock="scan") as (connection, tally):
            joined = _join_fragments(connection, settings, now)
            tally.count(EVENTS_READ, joined.events)
            tally.count(DUPLICATES_READ, joined.duplicates)
            if joined.lines:
                ids = {record.file_id for record in records}
                records = [each for each in file_records(connection) if each.file_id in ids]
    with warehouse.read() as connection:
        reasons = dead_letters_by_reason(connection)
    return _report(records, reasons, before, read, tuple(problems))


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that is new or was changed since it was read; `new_bytes` is what came, on disk, as far as sizes tell."""

    file: LogFile
    new_bytes: int


def unread_files(warehouse: Warehouse, paths: Sequence[str]) -> tuple[UnreadFile, ...]:
    """Return the files that `scan_logs` would open, told by name, size and time of change alone."""
    files = find_logs(paths).files
    with warehouse.read() as connection:
        records = {record.path: record for record in reversed(file_records(connection))}
    unchanged = _unchanged_files(warehouse, files)
    unread = []
    for file in files:
        if (name := _name_of(file)) not in unchanged:
            known = records.get(name)
            # a smaller file is another one under the same name
            before = known.size if known is not None and known.size <= file.size else 0
            unread.append(UnreadFile(file, file.size - before))
    return tuple(unread)


def _workers_for(size: int) -> int:
    """Return how many processes shall read files; this one writes, which is little work beside theirs."""
    return spare_cores(beside=0) if size >= _BYTES_WORTH_WORKERS else 0


def _new_files(warehouse: Warehouse, files: Iterable[LogFile]) -> set[LogFile]:
    """Return the files that have to be read from their beginning, as far as that can be told without a lock."""
    new = set()
    with warehouse.read() as connection:
        for file in files:
            try:
                if _find_record(connection, file, read_head(file.path)) is None:
                    new.add(file)
            except OSError:
                continue  # whoever reads it will say so
    return new


def _name_of(file: LogFile) -> str:
    """Return a file's path as the ledger keeps it: names are bytes, not all of which are text that can be stored."""
    return escape_text(str(file.path))


def _unchanged_files(warehouse: Warehouse, files: Iterable[LogFile]) -> dict[str, FileRecord]:
    """Return the records of files that have the size and time of change that they had when read last."""
    seen = {(_name_of(file), file.size, file.modified_ns) for file in files}
    with warehouse.read() as connection:
        return {
            record.path: record
            for record in reversed(file_records(connection))
            if (record.path, record.size, record.modified_ns) in seen
        }


def _report(
    records: list[FileRecord],
    dead_letters: dict[int, dict[str, int]],
    now_read: Counter[str],
    read: int,
    problems: tuple[Problem, ...],
) -> ScanReport:
    days = Counter[date]()
    unknown_events, unknown_fields, reasons = Counter[str](), Counter[str](), Counter[str]()
    for record in records:
        days.update({date.fromisoformat(day): count for day, count in record.days.items()})
        unknown_events.update(record.oddities.get("unknown_events", {}))
        unknown_fields.update(record.oddities.get("unknown_fields", {}))
        reasons.update(dead_letters.get(record.file_id or 0, {}))
    return ScanReport(
        files=len(records),
        files_read=read,
        files_unchanged=len(records) - read,
        lines=sum(record.lines for record in records),
        events=sum(record.events for record in records),
        duplicates=sum(record.duplicates for record in records),
        dead_letters=sum(record.dead_letters for record in records),
        blank_lines=sum(record.blank_lines for record in records),
        lines_read=now_read["lines"],
        events_read=now_read["events"],
        days=dict(sorted(days.items())),
        dead_letters_by_reason=dict(reasons),
        unknown_events=dict(unknown_events),
        unknown_fields=dict(unknown_fields),
        problems=problems,
        foreign_files=tuple(sorted(record.path for record in records if record.is_foreign)),
        damaged_files={record.path: record.damage for record in records if record.damage},
    )


class _KnownEvents:
    """The fingerprints of days' events, kept from one file to the next as long as nobody else adds events."""

    def __init__(self) -> None:
        self._days: dict[date, Fingerprints] = {}
        self._last_segment: int | None = None

    def begin(self, connection: Connection) -> None:
        """Forget everything if the events are not those of the last `end`: others added some, or ours were undone."""
        if last_segment(connection) != self._last_segment:
            self._days.clear()
        self._last_segment = None

    def end(self, connection: Connection) -> None:
        """Note which events are known when a file is done."""
        self._last_segment = last_segment(connection)

    def forget(self) -> None:
        """Forget everything: what was added is undone."""
        self._days.clear()

    def of(self, connection: Connection, day: date) -> Fingerprints:
        """Return the fingerprints of a day's events, ascending."""
        if day not in self._days:
            if sum(map(len, self._days.values())) > _HELD_FINGERPRINTS:
                self._days.clear()
            self._days[day] = known_fingerprints(connection, day)
        return self._days[day]

    def add(self, day: date, fingerprints: Fingerprints) -> None:
        """Add those of new events of a day that was asked for."""
        self._days[day] = np.sort(np.concatenate([self._days[day], fingerprints]), kind="stable")


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one reading of a file, or the joining of halves, found; dead letters by reason, each line of them."""

    lines: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: Mapping[str, int] = field(default_factory=dict)

    def count(self, tally: Tally) -> None:
        """Count it, with the transaction that keeps what was read."""
        tally.count(LINES_READ, self.lines)
        tally.count(EVENTS_READ, self.events)
        tally.count(DUPLICATES_READ, self.duplicates)
        for reason, lines in self.dead_letters.items():
            tally.count(DEAD_LETTERS, lines, reason=reason)


class _NotForeignError(Exception):
    """A file that looked like no Cowrie log at all has an event after all."""


class _FileScan:
    """The reading of one file, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        file: LogFile,
        settings: Settings,
        now: datetime,
        *,
        known: _KnownEvents,
        read_ahead: SortedFile | None,
    ) -> None:
        self._connection = connection
        self._file = file
        self._read_ahead = read_ahead
        self._max_line_bytes = settings.max_line_bytes
        self._hash_passwords = settings.hash_passwords
        self._now = now
        self._known = known
        self._keeps_all_dead_letters = False

    def run(self) -> tuple[FileRecord, _Reading]:
        """Read what is new; return the file's record, and what of it is new.

        Raises:
            OSError: the file cannot be read.
        """
        # asked again inside the transaction: another process may have read the file meanwhile
        head = read_head(self._file.path)
        self._known.begin(self._connection)
        savepoint = self._connection.begin_nested()
        try:
            done = self._read(head, _find_record(self._connection, self._file, head))
        except _NotForeignError:
            savepoint.rollback()
            self._known.forget()
            self._keeps_all_dead_letters = True
            done = self._read(head, _find_record(self._connection, self._file, head))
        self._known.end(self._connection)
        return done

    def _read(self, head: Head, known: FileRecord | None) -> tuple[FileRecord, _Reading]:
        if known is not None and known.is_foreign:
            self._take_back(known)
        if known is not None:
            with open_content(self._file.path) as reader:
                stream = TailKeeper(reader)
                if stream.is_at(
                    known.read_offset, tail_length=known.tail_length, tail_fingerprint=known.tail_fingerprint
                ):
                    return self._continue(stream, reader, head, known)
        record = FileRecord(
            path=_name_of(self._file),
            fingerprint=head.fingerprint(),
            head_length=len(head.content),
            size=self._file.size,
            modified_ns=self._file.modified_ns,
            read_at=self._now,
        )
        ahead = self._read_ahead
        if ahead is not None and ahead.head == head:
            dead_letters = self._keep(ahead.blocks, record)
            self._end(record, ahead.position, ahead.tail, ahead.damage)
            return record, _Reading(record.lines, record.events, record.duplicates, dead_letters)
        with open_content(self._file.path) as reader:
            return self._continue(TailKeeper(reader), reader, head, record)

    def _continue(
        self, stream: TailKeeper, reader: ContentReader, head: Head, record: FileRecord
    ) -> tuple[FileRecord, _Reading]:
        """Read from where `stream` is to its end."""
        lines, events, duplicates = record.lines, record.events, record.duplicates
        beginning = self._take_back_fragment(record)
        record.path = _name_of(self._file)
        record.size, record.modified_ns, record.read_at = self._file.size, self._file.modified_ns, self._now
        record.fingerprint, record.head_length = head.fingerprint(), len(head.content)
        # an event that was whole when read without its newline, which is the first thing to come now
        in_counted_line = not record.ends_with_newline and not beginning
        blocks = read_blocks(
            stream,
            max_line_bytes=self._max_line_bytes,
            # a first line that was joined to another file's last is in the file, but not counted there
            number=record.lines + record.head_is_joined + (not in_counted_line),
            offset=stream.position - len(beginning),
            beginning=beginning,
        )
        if in_counted_line:
            blocks = _without_counted_line(blocks)
        dead_letters = self._keep((sort_lines(block, hash_passwords=self._hash_passwords) for block in blocks), record)
        self._end(record, stream.position, stream.tail, reader.damage)
        return record, _Reading(
            record.lines - lines, record.events - events, record.duplicates - duplicates, dead_letters
        )

    def _keep(self, blocks: Iterable[SortedLines], record: FileRecord) -> Mapping[str, int]:
        """Keep what was read; return the lines that are new dead letters, by reason."""
        save_file(self._connection, record)
        keeper = _LineKeeper(self._connection, record, self._now, self._known, keep_all=self._keeps_all_dead_letters)
        for lines in blocks:
            keeper.take(lines)
        keeper.finish()
        return keeper.dead_letters

    def _end(self, record: FileRecord, position: int, tail: bytes, damage: str | None) -> None:
        """Note where reading ended."""
        record.damage = damage
        record.read_offset = position
        record.tail_length, record.tail_fingerprint = len(tail), content_fingerprint(tail)
        save_file(self._connection, record)

    def _take_back(self, record: FileRecord) -> None:
        """Take back the accounting of a file that had no event, to read it again from the beginning."""
        assert record.file_id is not None  # noqa: S101 - read from the database
        forget_dead_letters(self._connection, record.file_id)
        record.lines = record.duplicates = record.dead_letters = record.blank_lines = 0
        record.read_offset = record.tail_length = 0
        record.tail_fingerprint = content_fingerprint(b"")
        record.ends_with_newline = True
        record.head_is_joined = record.tail_is_joined = False
        record.oddities = {}

    def _take_back_fragment(self, record: FileRecord) -> bytes:
        """Take back the accounting of a last line that was no event yet, to read it again with what came since."""
        fragment = record.tail_fragment
        if fragment is None or record.tail_is_joined or record.file_id is None:
            return b""
        if fragment == WITHHELD_TAIL:
            fragment = _unfinished_line(self._file.path, record.read_offset)
        record.lines -= 1
        if not strip_line(fragment):
            record.blank_lines -= 1
        elif remove_dead_letter(self._connection, record.file_id, _letter_key(fragment)):
            record.dead_letters -= 1
        else:
            record.duplicates -= 1
        record.tail_fragment = None
        return fragment


def _find_record(connection: Connection, file: LogFile, head: Head) -> FileRecord | None:
    """Find the record of a file: under its path, or under a path from which it was moved away."""
    for record in file_records(connection, log_files.c.path == _name_of(file)):
        if head.begins_like(record.head_length, record.fingerprint):
            return record
    alike = (log_files.c.fingerprint == head.fingerprint()) | (log_files.c.head_length < len(head.content))
    for record in file_records(connection, alike, log_files.c.head_length >= _MIN_TELLING_HEAD):
        if head.begins_like(record.head_length, record.fingerprint) and not _is_still_there(record):
            return record
    return None


def _unfinished_line(path: Path, position: int) -> bytes:
    """Return the line of a file that had not come to its end at `position`, without the blanks before it."""
    since = max(0, position - MAX_FRAGMENT_BYTES - 1)
    with open_content(path) as reader:
        reader.skip(since)
        content = bytearray()
        while len(content) < position - since and (data := reader.read(position - since - len(content))):
            content += data
    raw = bytes(content.rpartition(b"\n")[2])
    return raw[raw.index(strip_line(raw)) :]


def _without_counted_line(blocks: Iterator[Block]) -> Iterator[Block]:
    """Leave out the end of a line that was counted before: nothing but its newline has come."""
    for block in blocks:
        if block.lines and not strip_line(block.lines[0]):
            rest, *lines = block.lines
            yield Block(block.number + 1, block.offset + len(rest) + 1, lines, block.terminated)
        else:
            yield block
        break
    yield from blocks


def _is_still_there(record: FileRecord) -> bool:
    """Say whether a file is still where it was seen, with the content that it had."""
    try:
        return read_head(Path(unescape_text(record.path))).begins_like(record.head_length, record.fingerprint)
    except OSError:
        return False


def _letter_key(line: bytes) -> str:
    return f"{line_fingerprint(strip_line(line)):016x}"


class _LineKeeper:
    """Keeps the sorted lines of one file: new events by day, new dead letters, and the count of everything."""

    def __init__(
        self,
        connection: Connection,
        record: FileRecord,
        now: datetime,
        known: _KnownEvents,
        *,
        keep_all: bool,
    ) -> None:
        self._connection = connection
        self._record = record
        self._now = now
        self._known = known
        self._keep_all = keep_all
        self._oddities = Oddities()
        self._held: dict[date, list[DayLines]] = defaultdict(list)
        self._held_events = self._held_bytes = 0
        self._letters: list[DeadLetter] = []
        self._letter_lines = 0
        self._days = Counter[date]()
        self.dead_letters = Counter[str]()

    def take(self, lines: SortedLines) -> None:
        """Take in the lines of the block that follows."""
        record = self._record
        record.lines += lines.lines
        record.blank_lines += lines.blanks
        record.ends_with_newline = lines.terminated
        self._oddities.add(lines.oddities)
        if lines.head is not None:
            record.head_fragment, record.head_is_joined = lines.head, False
        if lines.tail is not None:
            record.tail_fragment, record.tail_is_joined = lines.tail, False
        if lines.first is not None and lines.last is not None:
            record.first_event_at = min(lines.first, record.first_event_at or lines.first)
            record.last_event_at = max(lines.last, record.last_event_at or lines.last)
        for each in lines.days:
            day = date.fromordinal(each.day)
            self._held[day].append(each)
            self._days[day] += each.events
            self._held_events += each.events
            self._held_bytes += len(each.packed)
        for letter in lines.letters:
            self._add_letter(letter)
        if self._held_events >= _BUFFERED_EVENTS or self._held_bytes >= _BUFFERED_BYTES:
            self._flush_events()

    def finish(self) -> None:
        """Write what is still held and complete the record."""
        record = self._record
        self._flush_events()
        record.days = dict(
            Counter(record.days) + Counter({day.isoformat(): count for day, count in self._days.items()})
        )
        record.is_foreign = self._is_foreign()
        if record.is_foreign:
            first = self._letters[0] if self._letters else None
            if first is not None:
                self._letters = [
                    DeadLetter(
                        line_fingerprint=first.line_fingerprint,
                        line_number=first.line_number,
                        byte_offset=first.byte_offset,
                        reason=Reason.NOT_A_COWRIE_LOG,
                        detail=f"none of {self._letter_lines:,} lines is an event of Cowrie; the first: {first.detail}",
                        sample=first.sample,
                        lines=self._letter_lines,
                    )
                ]
                record.head_fragment = record.tail_fragment = None
        self._flush_letters()
        record.oddities = {
            "unknown_events": _added(record.oddities.get("unknown_events"), self._oddities.unknown_events),
            "unknown_fields": _added(record.oddities.get("unknown_fields"), self._oddities.unknown_fields),
            "odd_types": _added(record.oddities.get("odd_types"), self._oddities.odd_types),
            "replaced_encodings": record.oddities.get("replaced_encodings", 0) + self._oddities.replaced_encodings,
        }

    def _is_foreign(self) -> bool:
        """Say whether the file has dead letters and no event; half a line alone is a file just begun."""
        record = self._record
        if self._days or record.days or record.dead_letters:
            return False
        head = record.head_fragment or b""
        ends_an_object = head.endswith(b"}") and not head.startswith(b"{")
        just_begun = self._letter_lines == 1 and (record.tail_fragment is not None or ends_an_object)
        return self._letter_lines > 0 and not just_begun

    def _add_letter(self, letter: Letter) -> None:
        has_events = bool(self._days or self._record.days)
        if has_events and self._letter_lines > len(self._letters):
            raise _NotForeignError
        self._letter_lines += 1
        if not has_events and not self._keep_all and len(self._letters) >= _HELD_DEAD_LETTERS:
            return  # so far it looks like no log at all, and one letter will do for all of it
        self._letters.append(
            DeadLetter(
                line_fingerprint=f"{letter.fingerprint:016x}",
                line_number=letter.line_number,
                byte_offset=letter.byte_offset,
                reason=letter.reason,
                detail=letter.detail,
                sample=letter.sample,
            )
        )
        if (has_events or self._keep_all) and len(self._letters) >= _HELD_DEAD_LETTERS:
            self._flush_letters()

    def _flush_events(self) -> None:
        if self._held and self._letter_lines > len(self._letters):
            raise _NotForeignError
        for day, parts in sorted(self._held.items()):
            events = sum(part.events for part in parts)
            added = self._add_new(day, parts)
            self._record.events += added
            self._record.duplicates += events - added
        self._held.clear()
        self._held_events = self._held_bytes = 0

    def _add_new(self, day: date, parts: Sequence[DayLines]) -> int:
        """Keep those of a day's lines that are not known yet; return how many."""
        hashes = np.concatenate([np.frombuffer(part.fingerprints, dtype=np.uint64) for part in parts])
        known = self._known.of(self._connection, day)
        distinct, first_at = np.unique(hashes, return_index=True)
        if len(known):
            at = np.searchsorted(known, distinct)
            at[at == len(known)] = 0
            is_new = known[at] != distinct
            distinct, first_at = distinct[is_new], first_at[is_new]
        if not len(distinct):
            return 0
        assert self._record.file_id is not None  # noqa: S101 - saved before its lines are read
        packed = b"".join(part.packed for part in parts)
        if len(distinct) < len(hashes):
            lines = lines_of(packed)
            packed = packed_lines([lines[index] for index in np.sort(first_at)])
        add_segment(self._connection, self._record.file_id, day, packed, distinct)
        self._known.add(day, distinct)
        return len(distinct)

    def _flush_letters(self) -> None:
        distinct = {letter.line_fingerprint: letter for letter in reversed(self._letters)}
        known = known_dead_letters(self._connection, list(distinct))
        new = [letter for key, letter in reversed(distinct.items()) if key not in known]
        assert self._record.file_id is not None  # noqa: S101 - saved before its lines are read
        add_dead_letters(self._connection, self._record.file_id, self._record.path, new, self._now)
        added = sum(letter.lines for letter in new)
        for letter in new:
            self.dead_letters[letter.reason] += letter.lines
        self._record.dead_letters += added
        self._record.duplicates += self._letter_lines - added
        self._letters, self._letter_lines = [], 0


def _added(counts: dict[str, int] | None, more: Counter[str]) -> dict[str, int]:
    return dict(sorted((Counter(counts or {}) + more).items()))


def _join_fragments(connection: Connection, settings: Settings, now: datetime) -> _Reading:
    """Join lines that log rotation split over two files; return how many were joined, and what they turned out to be.

    The first half ends one file and the second begins another. They belong together if they are one event, and its
    time is where the files meet.
    """
    joined = events = duplicates = 0
    with_tails, with_heads = fragment_owners(connection)
    # the half that follows most closely comes first: pieces further on may fit by chance
    with_heads.sort(key=lambda record: record.first_event_at or datetime.max.replace(tzinfo=UTC))
    for one in with_tails:
        for other in with_heads:
            if (one.tail_is_joined and other.head_is_joined) or one.file_id == other.file_id:
                continue
            assert one.tail_fragment is not None  # noqa: S101 - that is what they were asked for
            assert other.head_fragment is not None  # noqa: S101
            line = one.tail_fragment + other.head_fragment
            time = _time_of_joined(line)
            if time is None or not _meets(one, other, time):
                continue
            # half of a line that was joined before: only a copy of the other half goes with it
            is_copy = one.tail_is_joined or other.head_is_joined
            if is_copy and not _is_known(connection, line, time):
                continue
            kept = without_password(line) if settings.hash_passwords else line
            counted = one.events, one.duplicates
            _account_for_joined(connection, one, other, line=line, kept=kept, time=time, now=now)
            joined += 1
            events += one.events - counted[0]
            duplicates += one.duplicates - counted[1]
    return _Reading(joined, events, duplicates)


def _is_known(connection: Connection, line: bytes, time: datetime) -> bool:
    return bool(np.isin(np.uint64(line_fingerprint(line)), known_fingerprints(connection, time.date())))


def _time_of_joined(line: bytes) -> datetime | None:
    try:
        return parse_timestamp(decode_event(line, Oddities()).timestamp)
    except DeadLetterError:
        return None


def _meets(one: FileRecord, other: FileRecord, time: datetime) -> bool:
    """Say whether an event lies between the end of one file and the beginning of another."""
    since = _FRAGMENT_SLACK if one.last_event_at is None else time - one.last_event_at
    until = _FRAGMENT_SLACK if other.first_event_at is None else other.first_event_at - time
    return all(-_FRAGMENT_SLACK <= gap <= _FRAGMENT_GAP for gap in (since, until))


def _account_for_joined(
    connection: Connection,
    one: FileRecord,
    other: FileRecord,
    *,
    line: bytes,
    kept: bytes,
    time: datetime,
    now: datetime,
) -> None:
    """Count a joined line as one line, of the file in which it begins; `kept` is what is kept of it."""
    assert one.file_id is not None  # noqa: S101 - read from the database
    assert other.file_id is not None  # noqa: S101
    day = time.date()
    if not one.tail_is_joined:
        assert one.tail_fragment is not None  # noqa: S101
        _uncount(connection, one, one.tail_fragment)
        if _is_known(connection, line, time):
            one.duplicates += 1
        else:
            fingerprints = np.array([line_fingerprint(line)], dtype=np.uint64)
            add_segment(connection, one.file_id, day, packed_lines([kept]), fingerprints)
            one.events += 1
        one.days[day.isoformat()] = one.days.get(day.isoformat(), 0) + 1
        one.first_event_at = min(time, one.first_event_at or time)
        one.last_event_at = max(time, one.last_event_at or time)
        one.tail_is_joined = True
    if not other.head_is_joined:
        assert other.head_fragment is not None  # noqa: S101
        _uncount(connection, other, other.head_fragment)
        other.lines -= 1
        other.head_is_joined = True
    for record in (one, other):
        record.read_at = now
        save_file(connection, record)


def _uncount(connection: Connection, record: FileRecord, fragment: bytes) -> None:
    """Take back that half a line was a dead letter, or the duplicate of one."""
    assert record.file_id is not None  # noqa: S101 - read from the database
    if remove_dead_letter(connection, record.file_id, _letter_key(fragment)):
        record.dead_letters -= 1
    else:
        record.duplicates -= 1
