"""A byte stream cut into lines, without ever holding more than one block of it.

Belongs here: where lines begin and end, their numbers and offsets, and the bound on their length.
Does not belong here: what a line says (decode.py), where the bytes come from (files.py).
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import xxhash

__all__ = ["Block", "OverlongLine", "line_fingerprint", "line_fingerprints", "read_blocks", "strip_line"]

CHUNK_BYTES = 1024 * 1024
_KEPT_OF_OVERLONG = 1024

# What may surround an object without being part of it: blanks, and the NUL runs that `copytruncate` leaves behind when
# the writer keeps its offset.
_SURROUNDINGS = b"\x00 \t\r"


class ByteStream(Protocol):
    """What is read: a file or a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


@dataclass(slots=True)
class OverlongLine:
    """A line longer than the bound, of which only the beginning and a digest were kept."""

    beginning: bytes
    length: int
    fingerprint: int


@dataclass(slots=True)
class Block:
    """Consecutive lines of a file.

    `number` (from 1) and `offset` (bytes of decompressed content) are those of the first line. `terminated` is False
    when the last of them ended with the stream instead of a newline. A block holds `lines` or one `overlong` line.
    """

    number: int
    offset: int
    lines: list[bytes]
    terminated: bool = True
    overlong: OverlongLine | None = None
    _offsets: list[int] = field(default_factory=list, repr=False, compare=False)

    def offset_of(self, index: int) -> int:
        """Return where the line at `index` begins, in bytes of decompressed content."""
        if not self._offsets:  # asked for a line that is no event: of a foreign file that is every line
            self._offsets = list(accumulate((len(line) + 1 for line in self.lines), initial=self.offset))
        return self._offsets[index]


def strip_line(line: bytes) -> bytes:
    """Return a line without the blanks and NULs around it: the text that is its identity."""
    return line.strip(_SURROUNDINGS)


def line_fingerprint(line: bytes) -> int:
    """Return the 64-bit identity of a stripped line.

    The same line in a copied, renamed, recompressed or overlapping file has the same fingerprint. It is compared
    within one day only, where two of a million events collide with a chance of 1 in 37 million.
    """
    return xxhash.xxh3_64_intdigest(line)


def line_fingerprints(lines: Iterable[bytes]) -> "array[int]":
    """Return the fingerprint of each of several lines."""
    return array("Q", map(xxhash.xxh3_64_intdigest, lines))


def read_blocks(
    stream: ByteStream, *, max_line_bytes: int, number: int = 1, offset: int = 0, beginning: bytes = b""
) -> Iterator[Block]:
    """Yield the lines of `stream` in blocks of about 1 MiB.

    Memory is bounded by one block and `max_line_bytes`: a longer line is read through, not held, and comes as a block
    of its own. A run of NULs at the beginning of a line does not count towards its length, so that an object behind
    the hole that log rotation left is found however long the hole is.

    Args:
        stream: what is read, from its present position to its end.
        max_line_bytes: the longest line that is given whole.
        number: number of the first line.
        offset: position of the first line in the content.
        beginning: of the first line, where it was read before.
    """
    carry = bytearray(beginning)
    skipped = 0  # NULs dropped from the beginning of the line in `carry`
    rest = b""  # read beyond an overlong line
    while chunk := rest or stream.read(CHUNK_BYTES):
        rest = b""
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            whole = b"".join((carry, memoryview(chunk)[:newline]))
            for block in _bounded(whole.split(b"\n"), number, offset, max_line_bytes, skipped):
                yield block
                number = block.number + (len(block.lines) or 1)
            offset += skipped + len(whole) + 1
            carry = bytearray(chunk[newline + 1 :])
            skipped = 0
        else:
            carry += chunk
        if carry[:1] == b"\x00":
            kept = carry.lstrip(b"\x00")
            skipped += len(carry) - len(kept)
            carry = kept
        if len(carry) > max_line_bytes:
            overlong, rest, terminated = _read_through(stream, bytes(carry))
            yield Block(number, offset, [], terminated, overlong)
            number += 1
            offset += skipped + overlong.length + 1
            carry, skipped = bytearray(), 0
    if carry or skipped:
        yield Block(number, offset, [bytes(carry)], terminated=False)


def _bounded(lines: list[bytes], number: int, offset: int, limit: int, skipped: int) -> Iterator[Block]:
    """Yield `lines` as one block, or as several around those that are over the limit.

    `skipped` NULs preceded the first line in the file and are not in it any more.
    """
    if max(map(len, lines)) <= limit and not skipped:
        yield Block(number, offset, lines)
        return
    run: list[bytes] = []
    run_number, run_offset = number, offset
    position = offset
    for index, line in enumerate(lines):
        length = len(line) + 1 + (skipped if index == 0 else 0)
        overlong = len(line) > limit and len(kept := line.lstrip(b"\x00")) > limit
        # A first line that lost its NULs is a block of its own too: the offsets behind it would be wrong otherwise.
        if overlong or (index == 0 and skipped):
            if run:
                yield Block(run_number, run_offset, run)
            if overlong:
                known = OverlongLine(kept[:_KEPT_OF_OVERLONG], len(kept), line_fingerprint(kept))
                yield Block(number + index, position, [], overlong=known)
            else:
                yield Block(number + index, position, [line])
            run, run_number, run_offset = [], number + index + 1, position + length
        else:
            run.append(line)
        position += length
    if run:
        yield Block(run_number, run_offset, run)


def _read_through(stream: ByteStream, beginning: bytes) -> tuple[OverlongLine, bytes, bool]:
    """Read to the end of an overlong line; return it, what was read beyond it, and whether it ended with a newline."""
    digest = xxhash.xxh3_64(beginning)
    length = len(beginning)
    while chunk := stream.read(CHUNK_BYTES):
        line, newline, rest = chunk.partition(b"\n")
        digest.update(line)
        length += len(line)
        if newline:
            return OverlongLine(beginning[:_KEPT_OF_OVERLONG], length, digest.intdigest()), rest, True
    return OverlongLine(beginning[:_KEPT_OF_OVERLONG], length, digest.intdigest()), b"", False
