"""The five registries' own books: under which country, and since when, an AS number is registered.

Belongs here: where the books are, their format, what they make of an AS number.
Does not belong here: blocks of addresses, which are in the same books and which nobody asks for.

Format ("RIR statistics exchange format", extended): `registry|cc|asn|start|count|date|status|opaque-id[|...]`, a run of
`count` numbers from `start`; before them a line `version|registry|serial|records|from|to|offset` and a summary
`registry|*|asn|*|count|summary` for each type. Only `allocated` and `assigned` are somebody's.
"""

import contextlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cowrie_pipeline.enrichment.downloads import Contents, InvalidFileError, PublishedFile
from cowrie_pipeline.enrichment.lists.local import NetworkListSource
from cowrie_pipeline.enrichment.lists.published import PublishedList, always, lines_of, read_rows, require_records
from cowrie_pipeline.enrichment.lists.ranges import RangeTable
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import MAX_ASN, country_code, registry_name

__all__ = ["DELEGATED", "DelegatedSource", "read_delegated"]

_DAY = timedelta(days=1)
_SOMEBODYS = frozenset({"allocated", "assigned"})
# The registry's name on its server, and in its book.
_REGISTRIES = {"afrinic": "afrinic", "apnic": "apnic", "arin": "arin", "lacnic": "lacnic", "ripe": "ripencc"}


class _Run(NamedTuple):
    """A run of AS numbers, both ends included; `facts` is empty where they are nobody's."""

    first: int
    last: int
    facts: dict[str, Any]


def read_delegated(path: Path) -> tuple[list[_Run], datetime]:
    """Return the runs of AS numbers that are somebody's, and the day of the book.

    Raises:
        InvalidFileError: it is no such book, or was cut.
    """
    rows: list[list[str]] = []
    day = summary = None
    for line in lines_of(path):
        fields = line.split("|")
        if len(fields) < 6:
            raise InvalidFileError(f"expected six fields or more separated by |, found {line[:80]!r}")
        if day is None:
            # The last day of the records; some registries leave it empty, and give the serial number as a day.
            day = _day(fields[5]) or _day(fields[2])
            if day is None:
                raise InvalidFileError(f"expected a line with the version and the day first, found {line[:80]!r}")
        elif fields[2] == "asn":
            if fields[5] == "summary":
                summary = int(fields[4]) if fields[4].isdecimal() and len(fields[4]) <= 10 else None
            else:
                rows.append(fields)
    if day is None or summary is None:
        raise InvalidFileError("expected a line with the day and a summary of AS numbers, found none")
    # Many runs have the same facts, which are kept once.
    shared: dict[tuple[str, str, str], dict[str, Any]] = {}
    runs = read_rows(rows, lambda fields: _read_run(fields, shared), kind="runs of AS numbers")
    require_records(len(runs), expected=max(summary, 1), kind="runs of AS numbers")
    return [run for run in runs if run.facts], datetime(day.year, day.month, day.day, tzinfo=UTC)


def _read_run(fields: list[str], shared: dict[tuple[str, str, str], dict[str, Any]]) -> _Run | None:
    registry, country, _, start, count, allocated, *rest = fields
    # More digits than an AS number has are none, and very many of them no int() takes.
    if not (start.isdecimal() and count.isdecimal() and len(start) <= 10 and len(count) <= 10 and rest):
        return None
    first, last = int(start), int(start) + int(count) - 1
    if not 0 <= first <= last <= MAX_ASN:
        return None
    if rest[0] not in _SOMEBODYS:
        return _Run(first, last, {})
    key = (registry, country, allocated)
    if key not in shared:
        day = _day(allocated)
        facts = {
            "registry": registry_name(registry),
            "country": country_code(country),
            "allocated": day.isoformat() if day else None,
        }
        shared[key] = {name: fact for name, fact in facts.items() if fact is not None}
    return _Run(first, last, shared[key])


def _day(text: str) -> date | None:
    """Read `YYYYMMDD`; the zeros that stand for an unknown day are none."""
    if len(text) == 8 and text.isascii() and text.isdecimal():
        with contextlib.suppress(ValueError):
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    return None


def _validate(path: Path) -> Contents:
    runs, published_at = read_delegated(path)
    return Contents(len(runs), published_at)


_TERMS = Terms(
    service="rir",
    title="RIR delegated statistics",
    about="the registry, country and day under which an AS number is registered",
    url="https://www.nro.net/about/rirs/statistics/",
    hit_for=_DAY,
    negative_for=_DAY,
    licence="published by the registries for anyone to use",
)


def _book(server: str) -> PublishedList:
    return PublishedList(
        file=PublishedFile(
            name=f"rir_{server}",
            file_name=f"delegated-{server}.txt",
            urls=always(
                f"https://ftp.{server}.net/pub/stats/{_REGISTRIES[server]}"
                f"/delegated-{_REGISTRIES[server]}-extended-latest"
            ),
            validate=_validate,
            min_interval=timedelta(hours=6),
            max_bytes=256 << 20,
        ),
        terms=_TERMS,
        refresh_every=_DAY,
    )


DELEGATED = tuple(map(_book, _REGISTRIES))


class DelegatedSource(NetworkListSource[RangeTable[dict[str, Any]]]):
    """The registration of an AS number. Payload: `registry`, `country`, `allocated` and `list_date` (ISO days).

    `country` is the one under which the number is registered, and no place.
    """

    terms = _TERMS
    lists = DELEGATED

    def _load(self, path: Path) -> RangeTable[dict[str, Any]]:
        return RangeTable(read_delegated(path)[0])

    def _find(self, table: RangeTable[dict[str, Any]], key: int) -> dict[str, Any] | None:
        return table.find(key)
