"""What the documents of addresses say of their networks: one table of claims, in today's spelling and the older one.

A network's own entries (merge.py) are believed before these. They serve where a network has none, as in a database that
was filled by other means: then what most of its addresses say is better than nothing, and no single address decides.

Belongs here: where a document may tell a fact of its address's network, and how what it tells is read.
Does not belong here: finding the documents (steps/asn_inventory_build.py, sql/transforms/documents_of_networks*.sql).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cowrie_pipeline.enrichment.merge import Claim
from cowrie_pipeline.enrichment.values import asn_number, country_code, registry_name, text_value

__all__ = ["CLAIMS", "NETWORK_FIELDS", "PATHS", "Said", "read_document_text", "read_said"]

NETWORK_FIELDS = ("organization", "country", "registry")

# For each fact, who is believed, first to last. Earlier installations, whose entries have no status, wrote MaxMind's
# organization as `asn_org`, and kept Team Cymru's description of the network (`org`) in the entry of the address. The
# country in MaxMind's entry is that of the address, and says nothing of the network.
CLAIMS: Mapping[str, tuple[Claim, ...]] = {
    "organization": (
        Claim("maxmind", "organization"),
        Claim("maxmind", "asn_org"),
        Claim("cymru_asn", "organization"),
        Claim("cymru", "org"),
    ),
    "country": (Claim("cymru_asn", "country"), Claim("cymru", "country")),
    "registry": (Claim("cymru_asn", "registry"), Claim("cymru", "registry")),
}
# An entry that speaks of another network than the address is in now says nothing of this one.
_SUBJECTS = (Claim("maxmind", "asn"), Claim("cymru_asn", "asn"), Claim("cymru", "asn"))

# What is taken out of each document, in this order, as service and key.
PATHS: tuple[tuple[str, str], ...] = tuple(
    dict.fromkeys((each.service, each.key) for each in (*_SUBJECTS, *(c for of in CLAIMS.values() for c in of)))
)

_PARSERS: Mapping[str, Callable[[Any], str | None]] = {
    "organization": text_value,
    "country": country_code,
    "registry": registry_name,
}
_KINDS = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"}


@dataclass(slots=True)
class Said:
    """What documents say of one network: for each field and claim, how many addresses say which value."""

    votes: dict[str, dict[Claim, Counter[str]]] = field(default_factory=dict)

    def add(self, asn: int, said: Mapping[tuple[str, str], Any], addresses: int) -> None:
        """Add what so many addresses of the network `asn` say alike."""
        for name, claims in CLAIMS.items():
            for claim in claims:
                subject = asn_number(said.get((claim.service, "asn")))
                value = _PARSERS[name](said.get((claim.service, claim.key)))
                if value is not None and subject in (None, asn):
                    self.votes.setdefault(name, {}).setdefault(claim, Counter())[value] += addresses

    def best(self, name: str) -> tuple[str, str] | tuple[None, None]:
        """Return what most addresses say of a field by the first claim that anybody makes, and whose claim it is.

        Of values that equally many say, the first in the order of texts counts, so that the result is always the same.
        """
        of_field = self.votes.get(name, {})
        for claim in CLAIMS[name]:
            if votes := of_field.get(claim):
                return min(votes, key=lambda value: (-votes[value], value)), claim.service
        return None, None


def read_said(text: str | bytes) -> tuple[dict[tuple[str, str], Any], str | None]:
    """Read the values of `PATHS` that the database took out of a document, as a JSON array.

    Returns the values that can be used, and in words the first that cannot: every value of the table is a text or a
    number, and whoever wrote something else there meant something else.
    """
    try:
        values: Sequence[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return {}, "text that cannot be read"
    return _usable(values)


def _usable(values: Sequence[Any]) -> tuple[dict[tuple[str, str], Any], str | None]:
    said: dict[tuple[str, str], Any] = {}
    fault = None
    for (service, key), value in zip(PATHS, values, strict=True):
        if value is None:
            continue
        if type(value) in (str, int) and _can_be_stored(value):
            said[service, key] = value
        else:
            fault = fault or f"{service}.{key} is {_kind(value)}"
    return said, fault


# The part of a document that is looked at, for a reader that skips all else: a whole document takes far longer.
_SERVICES = tuple(dict.fromkeys(service for service, _ in PATHS))
_Part = msgspec.defstruct(
    "_Part",
    [
        (
            service,
            msgspec.defstruct(
                f"_{service}",
                [(key, str | int | None, None) for of_service, key in PATHS if of_service == service],
                gc=False,
            )
            | None,
            None,
        )
        for service in _SERVICES
    ],
    gc=False,
)
_decode = msgspec.json.Decoder(_Part).decode


def read_document_text(text: bytes) -> tuple[tuple[Any, ...], str | None]:
    """Read the values of `PATHS` in the text of a whole document, and in words what of it cannot be used.

    Returns the values in the order of `PATHS`, None where there is none.
    """
    try:
        part = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_odd_document(text)
    return (
        tuple(getattr(entry, key) if (entry := getattr(part, service)) is not None else None for service, key in PATHS),
        None,
    )


def _read_odd_document(text: bytes) -> tuple[tuple[Any, ...], str | None]:
    nothing = (None,) * len(PATHS)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return nothing, "the document is text that is no JSON"
    if not isinstance(document, dict):
        return nothing, f"the document is {'JSON null' if document is None else _KINDS[type(document)]}"
    entries = {service: document.get(service) for service in _SERVICES}
    faults = [f"{name} is {_KINDS[type(each)]}" for name, each in entries.items() if not isinstance(each, dict | None)]
    values = [entry.get(key) if isinstance(entry := entries[service], dict) else None for service, key in PATHS]
    said, fault = _usable(values)
    return tuple(said.get(path) for path in PATHS), next(iter(faults), fault)


def _can_be_stored(value: str | int) -> bool:
    # half of a pair of escapes (\ud800) is no character
    return not (isinstance(value, str) and any("\ud800" <= each <= "\udfff" for each in value))


def _kind(value: Any) -> str:
    return "no readable text" if isinstance(value, str) else _KINDS[type(value)]
