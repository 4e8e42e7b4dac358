"""Measure a database in MaxMind's format whole, before the reader in C sees it.

That reader (maxminddb 3.2.0) ends the process on a value of an unknown type, and takes as long as a value says that
nests pointers in pointers. So every node of the tree must lead into the file, and every value that can be reached must
be of a known type, lie within the data, and be small when all its pointers are followed.

Source: https://maxmind.github.io/MaxMind-DB/, version 2.0 of the format.

Belongs here: what is well-formed. Does not belong here: what a database must be about (geoip.py), what its records say
(sources/maxmind.py).
"""

from typing import Protocol

import numpy as np

from cowrie_pipeline.enrichment.downloads import InvalidFileError

__all__ = ["DatabaseShape", "check_database"]

# between the tree and the data
_SEPARATOR = 16
# MaxMind's own records nest four deep and have less than a hundred values. The depth is that of one measuring, so that
# it ends; what was measured before can be deeper below it, up to the 512 at which the reader in C gives up by itself.
_DEEPEST = 16
_MOST_VALUES = 20_000
_POINTER, _TEXT, _DOUBLE, _BYTES, _MAP = 1, 2, 3, 4, 7
_ARRAY, _BOOLEAN, _FLOAT = 11, 14, 15
# types whose size says how many octets follow, and the most that may be: text, bytes, numbers
_SIZED = {_TEXT: 2**24 + 65_821, _BYTES: 2**24 + 65_821, 5: 2, 6: 4, 8: 4, 9: 8, 10: 16}
_EXACT = {_DOUBLE: 8, _FLOAT: 4}
# what the two bits of a pointer's size add, beyond which smaller pointers reach
_POINTER_BASES = (0, 2048, 526_336, 0)


class DatabaseShape(Protocol):
    """What a database's metadata says of its tree."""

    @property
    def node_count(self) -> int: ...  # noqa: D102 - the class says it
    @property
    def record_size(self) -> int: ...  # noqa: D102


def check_database(content: bytes, shape: DatabaseShape) -> None:
    """Refuse a database whose tree or values lead outside of it, or are of no known kind.

    Args:
        content: the file.
        shape: its metadata.

    Raises:
        InvalidFileError: it is damaged; the message says where.
    """
    nodes = shape.node_count
    tree = nodes * shape.record_size // 4
    start = tree + _SEPARATOR
    if nodes < 1 or start > len(content):
        raise InvalidFileError(f"expected a tree of {nodes:,} nodes in {len(content):,} octets")
    records = _records(content[:tree], shape.record_size)
    leading = np.unique(records[records > nodes]) - nodes - _SEPARATOR
    if leading.size and (int(leading[0]) < 0 or int(leading[-1]) >= len(content) - start):
        raise InvalidFileError("expected a tree that leads into the data, found a node that leads elsewhere")
    values = _Values(content, start)
    for offset in leading.tolist():
        values.measure(start + offset, 0)


def _records(tree: bytes, size: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return both records of every node."""
    octets = np.frombuffer(tree, dtype=np.uint8).astype(np.int64)
    if size == 24:
        of = octets.reshape(-1, 3)
        return of[:, 0] << 16 | of[:, 1] << 8 | of[:, 2]
    if size == 32:
        of = octets.reshape(-1, 4)
        return of[:, 0] << 24 | of[:, 1] << 16 | of[:, 2] << 8 | of[:, 3]
    if size == 28:
        of = octets.reshape(-1, 7)
        left = (of[:, 3] & 0xF0) << 20 | of[:, 0] << 16 | of[:, 1] << 8 | of[:, 2]
        right = (of[:, 3] & 0x0F) << 24 | of[:, 4] << 16 | of[:, 5] << 8 | of[:, 6]
        return np.concatenate((left, right))
    raise InvalidFileError(f"expected records of 24, 28 or 32 bits, found {size}")


class _Values:
    """The values of the data: where each ends, and how many values it is with all that its pointers lead to.

    What a pointer leads to is measured once, whoever else leads there; so the work is bounded by the size of the file.
    """

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._start = start
        self._values_at: dict[int, int] = {}

    def measure(self, at: int, depth: int) -> tuple[int, int]:
        """Return where the value at `at` ends, and how many values it is."""
        if depth > _DEEPEST:
            raise InvalidFileError(f"expected values at most {_DEEPEST} deep, found deeper ones at {at:,}")
        kind, size, at_content = self._head(at)
        if kind == _POINTER:
            return at_content, self._pointed_at(self._start + size, depth + 1)
        if kind in {_MAP, _ARRAY}:
            return self._several(kind, size, at_content, depth)
        octets = self._octets_of(kind, size, at)
        if at_content + octets > len(self._content):
            raise InvalidFileError(f"expected {octets:,} octets at {at:,}, found the end")
        return at_content + octets, 1

    def _pointed_at(self, at: int, depth: int) -> int:
        """Return how many values are where a pointer leads."""
        values = self._values_at.get(at)
        if values is None:
            if self._octet(at) >> 5 == _POINTER:
                raise InvalidFileError(f"expected no pointer to a pointer, found one that leads to {at:,}")
            values = self._values_at[at] = self.measure(at, depth)[1]
        return values

    def _several(self, kind: int, size: int, at: int, depth: int) -> tuple[int, int]:
        values = 1
        for _ in range(size):
            if kind == _MAP:
                self._expect_text(at)
                at, more = self.measure(at, depth + 1)
                values += more
            at, more = self.measure(at, depth + 1)
            values += more
            if values > _MOST_VALUES:
                raise InvalidFileError(f"expected records of at most {_MOST_VALUES:,} values, found a larger one")
        return at, values

    def _expect_text(self, at: int) -> None:
        """See that the key of a map is a text, or leads to one."""
        kind, size, _ = self._head(at)
        if kind == _POINTER:
            kind = self._head(self._start + size)[0]
        if kind != _TEXT:
            raise InvalidFileError(f"expected a text as the key at {at:,}, found type {kind}")

    def _octets_of(self, kind: int, size: int, at: int) -> int:
        if kind in _EXACT and size == _EXACT[kind]:
            return size
        if kind in _SIZED and size <= _SIZED[kind]:
            return size
        if kind == _BOOLEAN and size <= 1:
            return 0
        raise InvalidFileError(f"expected a value of a known kind at {at:,}, found type {kind} of size {size:,}")

    def _head(self, at: int) -> tuple[int, int, int]:
        """Return a value's type, its size (for a pointer where it leads to), and where its content begins."""
        control = self._octet(at)
        kind, size = control >> 5, control & 0x1F
        at += 1
        if kind == _POINTER:
            longer = size >> 3
            high = 0 if longer == 3 else size & 0x07
            length = longer + 1
            return kind, (high << 8 * length | self._number(at, length)) + _POINTER_BASES[longer], at + length
        if kind == 0:
            kind = 7 + self._octet(at)
            at += 1
        if size >= 29:
            length = size - 28
            size = self._number(at, length) + (29, 285, 65_821)[length - 1]
            at += length
        return kind, size, at

    def _number(self, at: int, length: int) -> int:
        if at + length > len(self._content):
            raise InvalidFileError(f"expected {length} octets at {at:,}, found the end")
        return int.from_bytes(self._content[at : at + length])

    def _octet(self, at: int) -> int:
        if not self._start <= at < len(self._content):
            raise InvalidFileError(f"expected a value at {at:,}, found the end of the data")
        return self._content[at]
