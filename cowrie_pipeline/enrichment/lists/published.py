"""What is declared of each list, and what all lists are read by.

Belongs here: the shape of a declaration, how a list is opened and its lines are counted.
Does not belong here: fetching (../downloads.py), any one list.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from cowrie_pipeline.enrichment.downloads import InvalidFileError, PublishedFile
from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["PublishedList", "always", "lines_of", "read_json", "read_rows", "require_records"]

Raw = TypeVar("Raw")
Row = TypeVar("Row")

# So many of a list's records may be missing or unreadable before it counts as broken: publishers err, too.
_TOLERATED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedList:
    """A list that is kept up to date: the file, the terms it comes under, and how often to look for a new one.

    `in_geoip_folder` is set for databases in MaxMind's format, which stand in a folder of their own.
    """

    file: PublishedFile
    terms: Terms
    refresh_every: timedelta
    in_geoip_folder: bool = False

    @property
    def name(self) -> str:
        """The name of the list, in reports and on the command line."""
        return self.file.name


def always(*urls: str) -> Callable[[datetime], tuple[str, ...]]:
    """Give the same URLs at any time."""
    return lambda _now: urls


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a text file that are neither blank nor comments, without their ends."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            text = line.strip()
            if text and not text.startswith("#"):
                yield text


def read_json(text: str | bytes, kind: type[Row]) -> Row:
    """Read JSON that must be of a type.

    Raises:
        InvalidFileError: it is not, or no JSON at all.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    # ValueError is also what is no UTF-8, and RecursionError what is nested too deeply.
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"expected a JSON {kind.__name__}, found {text[:80]!r} ({error})") from error


def read_rows(rows: Iterable[Raw], read: Callable[[Raw], Row | None], *, kind: str) -> list[Row]:
    """Read every row and leave out those that cannot be read, for which `read` gives None.

    Raises:
        InvalidFileError: too many cannot be read: it is another file.
    """
    readable: list[Row] = []
    unreadable: list[Raw] = []
    for raw in rows:
        row = read(raw)
        if row is None:
            unreadable.append(raw)
        else:
            readable.append(row)
    if len(unreadable) > _TOLERATED * (len(readable) + len(unreadable)):
        raise InvalidFileError(
            f"expected {kind}, found {len(unreadable):,} of {len(readable) + len(unreadable):,} rows that are none, "
            f"the first {str(unreadable[0])[:80]!r}"
        )
    return readable


def require_records(found: int, *, expected: int, kind: str) -> None:
    """Take a list only if it has about as many records as it says, or as it must have.

    Raises:
        InvalidFileError: it has too few: it was cut.
    """
    if found < expected * (1 - _TOLERATED):
        raise InvalidFileError(f"expected about {expected:,} {kind} or more, found {found:,}")
