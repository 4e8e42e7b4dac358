"""What is measured of a database in MaxMind's format: those that are well are taken, what leads astray is refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import maxminddb
import pytest

from cowrie_pipeline.enrichment.downloads import InvalidFileError
from cowrie_pipeline.enrichment.lists.mmdb_check import check_database
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip


@dataclass(frozen=True)
class Shape:
    node_count: int = 1
    record_size: int = 24


def database(data: bytes, records: Iterable[int] = (1 + 16, 1)) -> bytes:
    """Make a database of one node, whose left record leads to the beginning of the data, and whose right is empty."""
    return b"".join(record.to_bytes(3) for record in records) + bytes(16) + data


def text(value: str) -> bytes:
    return bytes([2 << 5 | len(value)]) + value.encode()


def pointer(to: int) -> bytes:
    return bytes([1 << 5 | to >> 8, to & 0xFF])


def array(*items: bytes) -> bytes:
    return bytes([len(items), 4]) + b"".join(items)


WELL = {
    "map": bytes([7 << 5 | 1]) + text("a") + text("b"),
    "key by pointer": array(text("a"), bytes([7 << 5 | 1]) + pointer(2) + text("b")),
    "long text": bytes([2 << 5 | 29, 11]) + b"x" * 40,
    "number": bytes([5 << 5 | 2, 1, 2]),
    "truth": bytes([1, 7]),
    "double": bytes([3 << 5 | 8]) + bytes(8),
    "large number": bytes([16, 3]) + bytes(16),
}
# each level leads eight times to the next: a few octets that are a quarter of a million values
LAUGHS = b"".join(array(*[pointer(18 * level)] * 8) for level in range(1, 7)) + text("ha")
DAMAGED = {
    "an unknown type": (bytes([0, 9]), "type 16"),
    "an end marker": (bytes([0, 6]), "type 13"),
    "a text beyond the end": (bytes([2 << 5 | 5]) + b"abc", "found the end"),
    "a double of five octets": (bytes([3 << 5 | 5]) + bytes(5), "type 3 of size 5"),
    "a pointer to nowhere": (pointer(1000), "the end of the data"),
    "a pointer to itself": (pointer(0), "no pointer to a pointer"),
    "an array of itself": (array(pointer(0)), "deep"),
    "a map with a number as key": (bytes([7 << 5 | 1, 5 << 5 | 1, 1]) + text("b"), "a text as the key"),
    "values without end": (LAUGHS, "values, found a larger one"),
    "half a size": (bytes([2 << 5 | 30, 1]), "octets at"),
    "an array of more than there is": (bytes([31, 4, 255, 255, 255]) + text("a"), "the end of the data"),
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_formed_is_taken(name: str) -> None:
    check_database(database(WELL[name]), Shape())


@pytest.mark.parametrize("name", DAMAGED)
def test_what_leads_astray_is_refused(name: str) -> None:
    data, found = DAMAGED[name]
    with pytest.raises(InvalidFileError, match=found):
        check_database(database(data), Shape())


@pytest.mark.parametrize(
    ("content", "shape", "found"),
    [
        (database(text("a"), (1 + 16 + 500, 1)), Shape(), "leads elsewhere"),
        (database(text("a"), (1 + 5, 1)), Shape(), "leads elsewhere"),
        (b"", Shape(), "a tree of 1 nodes"),
        (database(text("a")), Shape(node_count=10**9), "a tree of"),
        (database(text("a")), Shape(node_count=0), "a tree of 0 nodes"),
        (database(text("a")), Shape(record_size=20), "24, 28 or 32 bits, found 20"),
    ],
)
def test_a_tree_that_leads_astray_is_refused(content: bytes, shape: Shape, found: str) -> None:
    with pytest.raises(InvalidFileError, match=found):
        check_database(content, shape)


def test_databases_as_they_are_published_are_taken(tmp_path: Path) -> None:
    rows = [GeoRow(f"45.{n}.0.0/16", 64_500 + n, f"Network {n}", "NL", f"Town {n}", 50.0, n / 10) for n in range(200)]
    write_geoip(tmp_path, rows)
    for path in tmp_path.glob("*.mmdb"):
        with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
            check_database(path.read_bytes(), reader.metadata())
