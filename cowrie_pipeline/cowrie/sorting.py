"""A block of lines sorted into events by day, dead letters and blanks.

Belongs here: what each line is, seen alone, and what of it has to be kept. A block needs nothing but itself, so blocks
are sorted in processes beside the one that reads and writes (workers.py).
Does not belong here: which events are known already, whether a file is a log at all (steps/scan_logs.py).
"""

from array import array
from datetime import datetime
from typing import NamedTuple

from cowrie_pipeline.cowrie.decode import DeadLetterError, Oddities, Reason, decode_event, parse_timestamp
from cowrie_pipeline.cowrie.lines import Block, line_fingerprint, strip_line
from cowrie_pipeline.cowrie.passwords import piece_may_hold_password, without_password
from cowrie_pipeline.cowrie.segments import packed_lines
from cowrie_pipeline.cowrie.text import sample_of

__all__ = ["MAX_FRAGMENT_BYTES", "WITHHELD_TAIL", "DayLines", "Letter", "SortedLines", "sort_lines"]

MAX_FRAGMENT_BYTES = 64 * 1024
# Stands for an unfinished last line that may hold a password: it is in the file, and only there.
WITHHELD_TAIL = b""
_WITHHELD = "(withheld: it may hold a password)"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
    oddities = Oddities()
    days: dict[int, tuple[list[bytes], array[int]]] = {}
    letters: list[Letter] = []
    blanks = 0
    head = tail = None
    first = last = None
    at_start = block.number == 1
    if block.overlong is not None:
        letters.append(
            Letter(
                block.number,
                block.offset,
                block.overlong.fingerprint,
                Reason.TOO_LONG,
                f"the line has {block.overlong.length:,} bytes",
                _WITHHELD if hash_passwords else sample_of(block.overlong.beginning),
            )
        )
    for index, raw in enumerate(block.lines):
        line = strip_line(raw)
        if at_start and index == 0:
            line = strip_line(line.removeprefix(_BYTE_ORDER_MARK))
        if not line:
            blanks += 1
            head, tail = _fragments(block, index, raw, line, head)
            continue
        try:
            time = parse_timestamp(decode_event(line, oddities).timestamp)
        except DeadLetterError as error:
            is_withheld = hash_passwords and piece_may_hold_password(line)
            head_before = head
            head, tail = _fragments(block, index, raw, line, head)
            if is_withheld:
                head, tail = head_before, None if tail is None else WITHHELD_TAIL
            letters.append(
                Letter(
                    block.number + index,
                    block.offset_of(index),
                    line_fingerprint(line),
                    error.reason,
                    # the detail of no other reason has a text of the line in it but its event id or time
                    _WITHHELD if is_withheld and error.reason is Reason.NOT_AN_OBJECT else error.detail,
                    _WITHHELD if is_withheld else sample_of(line),
                )
            )
            continue
        if first is None or last is None:
            first = last = time
        elif time < first:
            first = time
        elif time > last:
            last = time
        of_day = days.get(time.toordinal())
        if of_day is None:
            of_day = days[time.toordinal()] = ([], array("Q"))
        of_day[0].append(without_password(line) if hash_passwords else line)
        of_day[1].append(line_fingerprint(line))
    return SortedLines(
        lines=len(block.lines) + (block.overlong is not None),
        blanks=blanks,
        days=[DayLines(day, len(lines), packed_lines(lines), prints) for day, (lines, prints) in days.items()],
        letters=letters,
        head=head,
        tail=tail,
        first=first,
        last=last,
        oddities=oddities,
        terminated=block.terminated,
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
