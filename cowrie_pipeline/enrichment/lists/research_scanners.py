"""DShield's list of research scanners: who scans the Internet in the open, by address.

Belongs here: where the list is, its format, what it makes of an address.
Does not belong here: that a research scanner is a benign one (merge.py), DShield's answers about single addresses.

Format (isc.sans.edu/api/threatcategory/research?json): a list of objects with `ipv4` (at times `ipv6`), `type` (the
name of the scanner, as "shodan"), `added` and `lastseen` (days). In an older form addresses came with padded octets.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.downloads import Contents, PublishedFile
from cowrie_pipeline.enrichment.lists.local import AddressListSource
from cowrie_pipeline.enrichment.lists.published import PublishedList, always, read_json, read_rows, require_records
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import iso_day, text_value

__all__ = ["RESEARCH_SCANNERS", "ResearchScannerSource", "read_scanners"]

_DAY = timedelta(days=1)
_MIN_SCANNERS = 100
_PADDED = re.compile(r"\b0+(?=\d)")

_Scanner = tuple[bytes, dict[str, Any]]


def read_scanners(path: Path) -> dict[bytes, dict[str, Any]]:
    """Return the facts of each scanner by address; of two records of one address, the first counts.

    Raises:
        InvalidFileError: it is no such list.
    """
    rows = read_json(path.read_bytes(), list[Any])
    scanners: dict[bytes, dict[str, Any]] = {}
    for packed, facts in read_rows(rows, _read_scanner, kind="records with an address and a type"):
        scanners.setdefault(packed, facts)
    return scanners


def _read_scanner(record: Any) -> _Scanner | None:
    if not isinstance(record, Mapping):
        return None
    text = next((value for name in ("ipv4", "ipv6", "ip") if (value := text_value(record.get(name)))), "")
    name = text_value(record.get("type")) or text_value(record.get("name"))
    try:
        packed = packed_address(text if ":" in text else _PADDED.sub("", text))
    except ValueError:
        return None
    if name is None:
        return None
    facts = {"name": name, "added": iso_day(record.get("added")), "last_seen": iso_day(record.get("lastseen"))}
    return packed, {key: value for key, value in facts.items() if value is not None}


def _validate(path: Path) -> Contents:
    scanners = read_scanners(path)
    require_records(len(scanners), expected=_MIN_SCANNERS, kind="scanners")
    return Contents(len(scanners))


RESEARCH_SCANNERS = PublishedList(
    file=PublishedFile(
        name="dshield_research",
        file_name="dshield-research.json",
        urls=always("https://isc.sans.edu/api/threatcategory/research?json"),
        validate=_validate,
        min_interval=timedelta(hours=6),
        max_bytes=128 << 20,
    ),
    terms=Terms(
        service="dshield_research",
        title="DShield research scanners",
        about="whether an address scans for research, and for whom",
        url="https://isc.sans.edu/api/",
        hit_for=_DAY,
        negative_for=_DAY,
        licence="free, also to protect oneself commercially; no resale; not meant as a plain block list",
        attribution="DShield.org",
        needs_contact=True,
    ),
    refresh_every=_DAY,
)


class ResearchScannerSource(AddressListSource[dict[bytes, dict[str, Any]]]):
    """Who scans from an address. Payload: `name` (as "shodan"), `added`, `last_seen`, `list_date` (ISO days)."""

    terms = RESEARCH_SCANNERS.terms
    lists = (RESEARCH_SCANNERS,)

    def _load(self, path: Path) -> dict[bytes, dict[str, Any]]:
        return read_scanners(path)

    def _find(self, table: dict[bytes, dict[str, Any]], key: bytes) -> dict[str, Any] | None:
        return table.get(key)
