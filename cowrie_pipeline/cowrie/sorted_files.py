"""A whole file read and sorted, in this process or another.

Belongs here: where reading stopped and how that place is known again, and files that are read ahead (workers.py).
Does not belong here: which files are read and from where (steps/scan_logs.py), what a line is (sorting.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import xxhash

from cowrie_pipeline.cowrie.files import ContentReader, Head, open_content, read_head
from cowrie_pipeline.cowrie.lines import read_blocks
from cowrie_pipeline.cowrie.sorting import SortedLines, sort_lines
from cowrie_pipeline.cowrie.workers import without_collector
from cowrie_pipeline.observability.tracing import span

__all__ = ["FileTask", "SortedFile", "TailKeeper", "content_fingerprint", "sort_file"]

_TAIL_BYTES = 4096
# A file whose events take more than this, packed, is not read ahead: nobody would hold it whole.
_MAX_HELD_BYTES = 64 * 1024 * 1024


def content_fingerprint(content: bytes) -> str:
    """Return the identity of a piece of a file's content."""
    return xxhash.xxh3_128_hexdigest(content)


class TailKeeper:
    """A stream that remembers how far it was read and what it read last."""

    def __init__(self, reader: ContentReader) -> None:
        self._reader = reader
        self.position = 0
        self.tail = b""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        data = self._reader.read(size)
        self.position += len(data)
        self.tail = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self.tail + data)[-_TAIL_BYTES:]
        return data

    def is_at(self, position: int, *, tail_length: int, tail_fingerprint: str) -> bool:
        """Go to where a file was read to; say whether what is before it is what was there then."""
        self._reader.skip(position - tail_length)
        self.position = position - tail_length
        missing = tail_length
        while missing and (data := self.read(missing)):
            missing -= len(data)
        return not missing and content_fingerprint(self.tail) == tail_fingerprint


class FileTask(NamedTuple):
    """A file to be read from its beginning."""

    path: Path
    max_line_bytes: int
    hash_passwords: bool


@dataclass(frozen=True, slots=True)
class SortedFile:
    """What a file held from its beginning to `position`, its end, which came after `tail`."""

    head: Head
    blocks: list[SortedLines]
    position: int
    tail: bytes
    damage: str | None


def sort_file(task: FileTask) -> SortedFile | None:
    """Read a whole file ahead; None if that is better left to who needs it: it is too large or cannot be read."""
    with span("read file ahead", {"cowrie.file": task.path.name}) as reading:
        found = _sort_file(task)
        reading.set_attribute("cowrie.was_read", found is not None)
        return found


def _sort_file(task: FileTask) -> SortedFile | None:
    blocks: list[SortedLines] = []
    held = 0
    try:
        head = read_head(task.path)
        with without_collector(), open_content(task.path) as reader:
            stream = TailKeeper(reader)
            for block in read_blocks(stream, max_line_bytes=task.max_line_bytes):
                lines = sort_lines(block, hash_passwords=task.hash_passwords)
                blocks.append(lines)
                held += lines.held_bytes
                if held > _MAX_HELD_BYTES:
                    return None
            return SortedFile(head, blocks, stream.position, stream.tail, reader.damage)
    except OSError:
        return None
