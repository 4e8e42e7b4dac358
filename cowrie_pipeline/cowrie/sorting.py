"""A block of lines sorted into events by day, dead letters and blanks.

Belongs here: what each line is, seen alone, and what of it has to be kept. A block needs nothing but itself, so blocks
are sorted in processes beside the one that reads and writes (workers.py).
Does not belong here: which events are known already, whether a file is a log at all (steps/scan_logs.py).
"""

from array import array
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from cowrie_pipeline.cowrie.decode import (
    DeadLetterError,
    Oddities,
    Reason,
    decode_event,
    decode_together,
    parse_timestamp,
    parse_timestamps,
)
from cowrie_pipeline.cowrie.lines import Block, line_fingerprint, line_fingerprints, strip_line
from cowrie_pipeline.cowrie.passwords import piece_may_hold_password, without_password
from cowrie_pipeline.cowrie.segments import packed_lines
from cowrie_pipeline.cowrie.text import sample_of

__all__ = ["MAX_FRAGMENT_BYTES", "WITHHELD_TAIL", "DayLines", "Letter", "SortedLines", "sort_lines"]

MAX_FRAGMENT_BYTES = 64 * 1024
# Stands for an unfinished last line that may hold a password: it is in the file, and only there.
WITHHELD_TAIL = b""
_WITHHELD = "(withheld: it may hold a password)"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Lines are decoded so many in one go; where one of them is odd, so many are decoded one by one.
_LINES_TOGETHER = 256
_OPENING, _CLOSING = {ord("{")}, {ord("}")}
_first_byte, _last_byte = itemgetter(0), itemgetter(-1)


class DayLines(NamedTuple):
    """The lines of one UTC day (a proleptic ordinal): how many, packed, and the fingerprint of each."""

    day: int
    events: int
    packed: bytes
    fingerprints: "array[int]"


class Letter(NamedTuple):
    """A line that is no event, where it is, and why."""

    line_number: int
    byte_offset: int
    fingerprint: int
    reason: Reason
    detail: str
    sample: str


class SortedLines(NamedTuple):
    """What the lines of one block are: `lines` = those of `days` + `letters` + `blanks`.

    `head` is the first line of the file if it may be the end of an object, `tail` the last one if it is unfinished;
    `first` and `last` are the earliest and the latest time of an event.
    """

    lines: int
    blanks: int
    days: list[DayLines]
    letters: list[Letter]
    head: bytes | None
    tail: bytes | None
    first: datetime | None
    last: datetime | None
    oddities: Oddities
    terminated: bool

    @property
    def held_bytes(self) -> int:
        """About how much memory this takes."""
        of_days = sum(len(each.packed) + 8 * each.events for each in self.days)
        return of_days + sum(len(letter.sample) + len(letter.detail) for letter in self.letters)


def sort_lines(block: Block, *, hash_passwords: bool) -> SortedLines:
    """Sort the lines of a block; with `hash_passwords` no password is in what is kept of them.

    A line is known by what it was before its password was hashed. Half a line that may hold a part of a password is not
    kept, so that it is not joined with the other half; an unfinished last line is read again when its file has grown.
    """
    sorter = _Sorter(block, hash_passwords=hash_passwords)
    for start in range(0, len(block.lines), _LINES_TOGETHER):
        lines = block.lines[start : start + _LINES_TOGETHER]
        if not sorter.take_together(lines):
            sorter.take_each(start, lines)
    return sorter.sorted_lines()


class _Sorter:
    """What the lines of a block given so far are."""

    def __init__(self, block: Block, *, hash_passwords: bool) -> None:
        self._block = block
        self._hash_passwords = hash_passwords
        self._oddities = Oddities()
        self._days: dict[int, tuple[list[bytes], array[int]]] = {}
        self._letters: list[Letter] = []
        self._blanks = 0
        self._head: bytes | None = None
        self._tail: bytes | None = None
        self._first: datetime | None = None
        self._last: datetime | None = None
        if block.overlong is not None:
            self._letters.append(
                Letter(
                    block.number,
                    block.offset,
                    block.overlong.fingerprint,
                    Reason.TOO_LONG,
                    f"the line has {block.overlong.length:,} bytes",
                    _WITHHELD if hash_passwords else sample_of(block.overlong.beginning),
                )
            )

    def take_together(self, lines: list[bytes]) -> bool:
        """Take lines of which each is an event as expected; if one may be something else, take none and say so."""
        if not all(lines) or {*map(_first_byte, lines)} != _OPENING or {*map(_last_byte, lines)} != _CLOSING:
            return False
        # No object can go on behind a newline here: it would be in a text, where none may be, or between `}` and `{`.
        events = decode_together(b"\n".join(lines))
        if events is None or len(events) != len(lines):
            return False
        try:
            times = parse_timestamps([event.timestamp for event in events])
        except DeadLetterError:
            return False
        first, last = min(times), max(times)
        self._note_times(first, last)
        if first.toordinal() == last.toordinal():
            self._keep(first.toordinal(), lines)
        else:
            for time, line in zip(times, lines, strict=True):
                self._keep(time.toordinal(), [line])
        return True

    def take_each(self, start: int, lines: list[bytes]) -> None:
        """Take lines that are whatever they are; the first is the block's line at `start`."""
        for index, raw in enumerate(lines, start):
            line = strip_line(raw)
            if self._block.number == 1 and index == 0:
                line = strip_line(line.removeprefix(_BYTE_ORDER_MARK))
            if not line:
                self._blanks += 1
                self._head, self._tail = _fragments(self._block, index, raw, line, self._head)
                continue
            try:
                time = parse_timestamp(decode_event(line, self._oddities).timestamp)
            except DeadLetterError as error:
                self._add_letter(index, raw, line, error)
            else:
                self._note_times(time, time)
                self._keep(time.toordinal(), [line])

    def _keep(self, day: int, lines: list[bytes]) -> None:
        of_day = self._days.get(day)
        if of_day is None:
            of_day = self._days[day] = ([], array("Q"))
        of_day[0].extend(map(without_password, lines) if self._hash_passwords else lines)
        of_day[1].extend(line_fingerprints(lines))

    def _note_times(self, first: datetime, last: datetime) -> None:
        self._first = first if self._first is None else min(self._first, first)
        self._last = last if self._last is None else max(self._last, last)

    def _add_letter(self, index: int, raw: bytes, line: bytes, error: DeadLetterError) -> None:
        is_withheld = self._hash_passwords and piece_may_hold_password(line)
        head, tail = _fragments(self._block, index, raw, line, self._head)
        if is_withheld:
            self._tail = None if tail is None else WITHHELD_TAIL
        else:
            self._head, self._tail = head, tail
        self._letters.append(
            Letter(
                self._block.number + index,
                self._block.offset_of(index),
                line_fingerprint(line),
                error.reason,
                # the detail of no other reason has a text of the line in it but its event id or time
                _WITHHELD if is_withheld and error.reason is Reason.NOT_AN_OBJECT else error.detail,
                _WITHHELD if is_withheld else sample_of(line),
            )
        )

    def sorted_lines(self) -> SortedLines:
        """Return what the lines are."""
        return SortedLines(
            lines=len(self._block.lines) + (self._block.overlong is not None),
            blanks=self._blanks,
            days=[
                DayLines(day, len(lines), packed_lines(lines), prints) for day, (lines, prints) in self._days.items()
            ],
            letters=self._letters,
            head=self._head,
            tail=self._tail,
            first=self._first,
            last=self._last,
            oddities=self._oddities,
            terminated=self._block.terminated,
        )


def _fragments(
    block: Block, index: int, raw: bytes, line: bytes, head: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Return the block's head and tail, now that the line at `index` is no event: it may be half of one."""
    if len(raw) > MAX_FRAGMENT_BYTES and line:
        return head, None
    # with the blanks where it was cut, which may be inside a text; of blanks alone one is as good as many
    start = raw.index(line)
    if not block.terminated and index == len(block.lines) - 1:
        return head, raw[start:] if line else b"\x00"
    if line and block.number + index == 1:
        return raw[: start + len(line)], None
    return head, None
