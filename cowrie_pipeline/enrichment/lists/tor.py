"""Tor's exits: the addresses from which the Tor network speaks to others.

Belongs here: where the list is, its format, what it makes of an address.
Does not belong here: that an exit makes an address of type TOR (merge.py).

Format (check.torproject.org/torbulkexitlist): an address a line.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.downloads import Contents, PublishedFile
from cowrie_pipeline.enrichment.lists.local import AddressListSource
from cowrie_pipeline.enrichment.lists.published import PublishedList, always, lines_of, read_rows, require_records
from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["TOR_EXITS", "TorExitSource", "read_exits"]

_DAY = timedelta(days=1)
# There have been more than a thousand exits for years.
_MIN_EXITS = 200
_EXIT: dict[str, Any] = {"is_exit": True}


def read_exits(path: Path) -> frozenset[bytes]:
    """Return the addresses in a list of exits.

    Raises:
        InvalidFileError: it is no list of addresses.
    """
    return frozenset(read_rows(lines_of(path), _packed, kind="an address a line"))


def _packed(text: str) -> bytes | None:
    try:
        return packed_address(text)
    except ValueError:
        return None


def _validate(path: Path) -> Contents:
    exits = read_exits(path)
    require_records(len(exits), expected=_MIN_EXITS, kind="Tor exits")
    return Contents(len(exits))


TOR_EXITS = PublishedList(
    file=PublishedFile(
        name="tor_exits",
        file_name="tor-exits.txt",
        urls=always("https://check.torproject.org/torbulkexitlist"),
        validate=_validate,
        min_interval=timedelta(minutes=30),
        max_bytes=8 << 20,
    ),
    terms=Terms(
        service="tor",
        title="Tor exit list",
        about="whether an address is an exit of the Tor network",
        url="https://check.torproject.org/torbulkexitlist",
        hit_for=_DAY,
        negative_for=_DAY,
        licence="published by the Tor Project for anyone to use",
    ),
    refresh_every=_DAY,
)


class TorExitSource(AddressListSource[frozenset[bytes]]):
    """Whether an address is a Tor exit. Payload: `is_exit` (true), `list_date` (ISO day)."""

    terms = TOR_EXITS.terms
    lists = (TOR_EXITS,)

    def _load(self, path: Path) -> frozenset[bytes]:
        return read_exits(path)

    def _find(self, table: frozenset[bytes], key: bytes) -> dict[str, Any] | None:
        return _EXIT if key in table else None
