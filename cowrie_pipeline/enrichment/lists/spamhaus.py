"""Spamhaus DROP and ASN-DROP: prefixes and networks that are leased or run by criminals, "do not route or peer".

Belongs here: where the lists are, their format, what they make of an address or a network.
Does not belong here: what follows from being on one (merge.py).

Format: JSON Lines, a record a line (`cidr`, `sblid`, `rir`; or `asn`, `rir`, `domain`, `cc`, `asname`) and last a line
of metadata (`type`, `timestamp` in Unix seconds, `size`, `records`, `copyright`, `terms`).
"""

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cowrie_pipeline.enrichment.downloads import Contents, InvalidFileError, PublishedFile
from cowrie_pipeline.enrichment.lists.local import AddressListSource, NetworkListSource
from cowrie_pipeline.enrichment.lists.published import (
    PublishedList,
    always,
    lines_of,
    read_json,
    read_rows,
    require_records,
)
from cowrie_pipeline.enrichment.lists.ranges import AddressTable
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import asn_number, country_code, registry_name, text_value

__all__ = [
    "ASN_DROP",
    "DROP_V4",
    "DROP_V6",
    "SpamhausAsnDropSource",
    "SpamhausDropSource",
    "read_asn_drop",
    "read_drop",
]

_DAY = timedelta(days=1)
_ATTRIBUTION = "DROP data (c) The Spamhaus Project SLU, https://www.spamhaus.org/drop/"
_LICENCE = "free for any use, also commercial; its date and copyright stay with it; not asked more than hourly"

# A record's place in the list, and its facts.
_Prefix = tuple[str, dict[str, Any]]
_Network = tuple[int, dict[str, Any]]


def read_drop(path: Path) -> tuple[list[_Prefix], datetime]:
    """Return the prefixes of a DROP list with their facts, and when it was published.

    Raises:
        InvalidFileError: it is no such list, or was cut.
    """
    records, metadata = _split(path)
    prefixes = read_rows(records, _read_prefix, kind="records with a cidr")
    return prefixes, _published_at(metadata, len(prefixes))


def read_asn_drop(path: Path) -> tuple[dict[int, dict[str, Any]], datetime]:
    """Return the facts of an ASN-DROP list by AS number, and when it was published.

    Raises:
        InvalidFileError: it is no such list, or was cut.
    """
    records, metadata = _split(path)
    networks = read_rows(records, _read_network, kind="records with an asn")
    return dict(networks), _published_at(metadata, len(networks))


def _split(path: Path) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Return the records and the metadata at the end, without which a list is not whole."""
    rows: list[Mapping[str, Any]] = [read_json(line, dict[str, Any]) for line in lines_of(path)]
    records = [row for row in rows if row.get("type") != "metadata"]
    metadata = next((row for row in rows if row.get("type") == "metadata"), None)
    if metadata is None:
        raise InvalidFileError(f"expected a line of metadata at the end, found none after {len(records):,} records")
    return records, metadata


def _read_prefix(record: Mapping[str, Any]) -> _Prefix | None:
    try:
        prefix = str(ipaddress.ip_network(str(record.get("cidr"))))
    except ValueError:
        return None
    return prefix, _present(prefix=prefix, sblid=text_value(record.get("sblid")), rir=registry_name(record.get("rir")))


def _read_network(record: Mapping[str, Any]) -> _Network | None:
    asn = asn_number(record.get("asn"))
    if asn is None:
        return None
    return asn, _present(
        asn=asn,
        name=text_value(record.get("asname")),
        domain=text_value(record.get("domain")),
        country=country_code(record.get("cc")),
        rir=registry_name(record.get("rir")),
    )


def _published_at(metadata: Mapping[str, Any], found: int) -> datetime:
    stated, at = metadata.get("records"), metadata.get("timestamp")
    if type(stated) is not int or type(at) is not int:
        raise InvalidFileError("expected numbers as `records` and `timestamp` of the metadata, found something else")
    require_records(found, expected=max(stated, 1), kind="records")
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidFileError(f"expected Unix seconds as `timestamp`, found {at}") from error


def _present(**facts: Any) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _validate_drop(path: Path) -> Contents:
    prefixes, published_at = read_drop(path)
    return Contents(len(prefixes), published_at)


def _validate_asn_drop(path: Path) -> Contents:
    networks, published_at = read_asn_drop(path)
    return Contents(len(networks), published_at)


_DROP_TERMS = Terms(
    service="spamhaus_drop",
    title="Spamhaus DROP",
    about="whether an address is in a prefix that criminals hold",
    url="https://www.spamhaus.org/drop/",
    hit_for=_DAY,
    negative_for=_DAY,
    licence=_LICENCE,
    attribution=_ATTRIBUTION,
)


def _drop(version: str) -> PublishedList:
    return PublishedList(
        file=PublishedFile(
            name=f"spamhaus_drop_{version}",
            file_name=f"spamhaus-drop-{version}.jsonl",
            urls=always(f"https://www.spamhaus.org/drop/drop_{version}.json"),
            validate=_validate_drop,
            min_interval=timedelta(hours=1),
            max_bytes=16 << 20,
        ),
        terms=_DROP_TERMS,
        refresh_every=_DAY,
    )


DROP_V4 = _drop("v4")
DROP_V6 = _drop("v6")
ASN_DROP = PublishedList(
    file=PublishedFile(
        name="spamhaus_asndrop",
        file_name="spamhaus-asndrop.jsonl",
        urls=always("https://www.spamhaus.org/drop/asndrop.json"),
        validate=_validate_asn_drop,
        min_interval=timedelta(hours=1),
        max_bytes=16 << 20,
    ),
    terms=Terms(
        service="spamhaus_asndrop",
        title="Spamhaus ASN-DROP",
        about="whether a network is run by criminals",
        url="https://www.spamhaus.org/drop/",
        hit_for=_DAY,
        negative_for=_DAY,
        licence=_LICENCE,
        attribution=_ATTRIBUTION,
    ),
    refresh_every=_DAY,
)


class SpamhausDropSource(AddressListSource[AddressTable[dict[str, Any]]]):
    """Whether an address is on DROP. Payload: `prefix` (CIDR), `sblid`, `rir`, `list_date` (ISO day)."""

    terms = _DROP_TERMS
    lists = (DROP_V4, DROP_V6)

    def _load(self, path: Path) -> AddressTable[dict[str, Any]]:
        return AddressTable(read_drop(path)[0])

    def _find(self, table: AddressTable[dict[str, Any]], key: bytes) -> dict[str, Any] | None:
        return table.find(key)

    def _can_name(self, published: PublishedList, key: bytes) -> bool:
        return published is (DROP_V4 if len(key) == 4 else DROP_V6)


class SpamhausAsnDropSource(NetworkListSource[dict[int, dict[str, Any]]]):
    """Whether a network is on ASN-DROP. Payload: `asn`, `name`, `domain`, `country`, `rir`, `list_date` (ISO day)."""

    terms = ASN_DROP.terms
    lists = (ASN_DROP,)

    def _load(self, path: Path) -> dict[int, dict[str, Any]]:
        return read_asn_drop(path)[0]

    def _find(self, table: dict[int, dict[str, Any]], key: int) -> dict[str, Any] | None:
        return table.get(key)
