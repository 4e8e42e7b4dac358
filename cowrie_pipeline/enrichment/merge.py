"""Which source is believed for which fact: one table, and one reading of it.

Belongs here: the precedence of sources by field, and the facts of an address in its document.
Does not belong here: when a source is asked (cascade.py), how an answer is stored (documents.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cowrie_pipeline.enrichment.values import asn_number, coordinate, country_code, moment, text_value

__all__ = ["PRECEDENCE", "AddressFacts", "Claim", "CountryBasis", "believe", "hit_of", "merge"]


class CountryBasis(StrEnum):
    """What a country says: where the address is, or where a registry allocated its block."""

    GEOLOCATION = "geolocation"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Claim:
    """A place to find a fact: `key` in the entry of `service`."""

    service: str
    key: str
    basis: CountryBasis | None = None


# For each field, who is believed, first to last. The fields of a network stand beside those of an address.
PRECEDENCE: Mapping[str, tuple[Claim, ...]] = {
    "asn": (Claim("maxmind", "asn"), Claim("cymru", "asn")),
    "geo_country": (
        Claim("maxmind", "country", CountryBasis.GEOLOCATION),
        Claim("cymru", "country", CountryBasis.REGISTRY),
    ),
    "organization": (Claim("maxmind", "organization"), Claim("cymru_asn", "organization")),
    "network_country": (Claim("cymru_asn", "country"),),
    "rir": (Claim("cymru_asn", "registry"),),
}

_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "asn": asn_number,
    "geo_country": country_code,
    "organization": text_value,
    "network_country": country_code,
    "rir": text_value,
}

# An instance of dict is known at once, one of Mapping after a search; both are asked about for every address.
_MAPPINGS = (dict, Mapping)


class AddressFacts(Struct, frozen=True, gc=False):
    """What is believed of an address. None means unknown; latitude and longitude are degrees and come as a pair.

    `asn_verified_at` is when the answer that gave the ASN was fetched, UTC.
    """

    asn: int | None = None
    asn_source: str | None = None
    asn_verified_at: datetime | None = None
    geo_country: str | None = None
    country_basis: CountryBasis | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    geoip_build: str | None = None
    ip_type: str | None = None
    is_scanner: bool | None = None


def believe(field: str, document: Mapping[str, Any]) -> tuple[Any, Claim | None]:
    """Return the value of a field and the claim that gave it, or None twice."""
    parse = _PARSERS[field]
    for claim in PRECEDENCE[field]:
        if (entry := hit_of(document, claim.service)) is not None and (
            value := parse(entry.get(claim.key))
        ) is not None:
            return value, claim
    return None, None


def hit_of(document: Mapping[str, Any], service: str) -> Mapping[str, Any] | None:
    """Return the entry of a service that found something, None where there is none."""
    entry = document.get(service)
    return entry if isinstance(entry, _MAPPINGS) and entry.get("status") == "hit" else None


def merge(document: object) -> AddressFacts:
    """Return what is believed of an address, whatever its document holds: what is malformed is no fact."""
    if not isinstance(document, _MAPPINGS):
        return AddressFacts()
    asn, asn_claim = believe("asn", document)
    country, country_claim = believe("geo_country", document)
    place = hit_of(document, "maxmind") or {}
    latitude, longitude = coordinate(place.get("latitude"), 90), coordinate(place.get("longitude"), 180)
    has_place = latitude is not None and longitude is not None
    return AddressFacts(
        asn=asn,
        asn_source=asn_claim.service if asn_claim else None,
        asn_verified_at=moment(document[asn_claim.service].get("fetched_at")) if asn_claim else None,
        geo_country=country,
        country_basis=country_claim.basis if country_claim else None,
        city=text_value(place.get("city")),
        latitude=latitude if has_place else None,
        longitude=longitude if has_place else None,
        geoip_build=text_value(place.get("geo_build")) or text_value(place.get("asn_build")),
    )
