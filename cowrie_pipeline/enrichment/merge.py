"""Which source is believed for which fact: one table, and one reading of it.

Belongs here: the precedence of sources by field, the facts of an address in its document, and what sources contradict.
Does not belong here: when a source is asked (cascade.py), how an answer is stored (documents.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cowrie_pipeline.enrichment.values import asn_number, coordinate, country_code, moment, text_value

__all__ = [
    "PRECEDENCE",
    "WITNESSES",
    "AddressFacts",
    "Claim",
    "CountryBasis",
    "IpType",
    "ScannerKind",
    "believe",
    "hit_of",
    "is_known",
    "merge",
    "rank",
    "teller",
]


class CountryBasis(StrEnum):
    """What a country says: where the address is, or where a registry allocated its block."""

    GEOLOCATION = "geolocation"
    REGISTRY = "registry"


class IpType(StrEnum):
    """What kind of address it is; of several that sources say the first in this order counts."""

    VPN = "VPN"
    TOR = "TOR"
    PROXY = "PROXY"
    DATACENTER = "DATACENTER"
    RESIDENTIAL = "RESIDENTIAL"
    MOBILE = "MOBILE"


class ScannerKind(StrEnum):
    """Who scans: a research project that says so, an organization known as harmless, or anybody else."""

    RESEARCH = "research"
    BENIGN = "benign"
    NOISE = "noise"


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
        Claim("dshield", "country", CountryBasis.REGISTRY),
    ),
    "organization": (
        Claim("maxmind", "organization"),
        Claim("cymru_asn", "organization"),
        Claim("spamhaus_asndrop", "name"),
    ),
    # The registries' own books, then who reads them too. What an address says is no claim on its network.
    "network_country": (Claim("rir", "country"), Claim("cymru_asn", "country")),
    "rir": (Claim("rir", "registry"), Claim("cymru_asn", "registry")),
}

# Everybody who says something of a field, believed or not: where they differ, that is worth knowing. Where an address
# is and where its block is registered are two things, and differ by right.
WITNESSES: Mapping[str, tuple[Claim, ...]] = {
    "asn": (*PRECEDENCE["asn"], Claim("dshield", "asn"), Claim("spur", "asn")),
    "place": (Claim("maxmind", "country"), Claim("spur", "country"), Claim("abuseipdb", "country")),
    "registration": (Claim("cymru", "country"), Claim("dshield", "country")),
}

_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "asn": asn_number,
    "geo_country": country_code,
    "organization": text_value,
    "network_country": country_code,
    "rir": text_value,
    "place": country_code,
    "registration": country_code,
}

# What SPUR calls a kind of tunnel or infrastructure, and AbuseIPDB a kind of use.
_SPUR_TYPES = {
    "VPN": IpType.VPN,
    "TOR": IpType.TOR,
    "PROXY": IpType.PROXY,
    "DATACENTER": IpType.DATACENTER,
    "RESIDENTIAL": IpType.RESIDENTIAL,
    "MOBILE": IpType.MOBILE,
}
_USAGE_TYPES = {
    "data center/web hosting/transit": IpType.DATACENTER,
    "content delivery network": IpType.DATACENTER,
    "fixed line isp": IpType.RESIDENTIAL,
    "mobile isp": IpType.MOBILE,
}

# An instance of dict is known at once, one of Mapping after a search; both are asked about for every address.
_MAPPINGS = (dict, Mapping)


class AddressFacts(Struct, frozen=True, gc=False):
    """What is believed of an address. None means unknown; latitude and longitude are degrees and come as a pair.

    `asn_verified_at` is when the answer that gave the ASN was fetched, UTC. `is_scanner` is False only where somebody
    who watches scanners does not see it. `disagreements` names the fields (of WITNESSES) of which sources say different
    things.
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
    ip_type: IpType | None = None
    is_scanner: bool | None = None
    scanner_kind: ScannerKind | None = None
    disagreements: tuple[str, ...] = ()


def believe(field: str, document: Mapping[str, Any]) -> tuple[Any, Claim | None]:
    """Return the value of a field and the claim that gave it, or None twice."""
    parse = _PARSERS[field]
    for claim in PRECEDENCE[field]:
        if (entry := hit_of(document, claim.service)) is not None and (
            value := parse(entry.get(claim.key))
        ) is not None:
            return value, claim
    return None, None


def rank(field: str, source: str) -> int:
    """Return how far down a source stands among those that are believed of a field, 0 for the best.

    A source that the table does not name ("manual", one of an older system) stands below all that it names.
    """
    claims = PRECEDENCE[field]
    return next((place for place, claim in enumerate(claims) if claim.service == source), len(claims))


def teller(field: str, value: str, document: object) -> str | None:
    """Return the best source in whose entry a field has this very value, None where no entry says so."""
    if not isinstance(document, _MAPPINGS):
        return None
    parse = _PARSERS[field]
    for claim in PRECEDENCE[field]:
        entry = hit_of(document, claim.service)
        if entry is not None and parse(entry.get(claim.key)) == value:
            return claim.service
    return None


def is_known(field: str, document: Mapping[str, Any]) -> bool:
    """Whether a document says something of a field; of a field that only one source gives that is never asked."""
    if field == "ip_type":
        return _ip_type(document) is not None
    if field == "is_scanner":
        return _scanner(document)[0] is not None
    return field in PRECEDENCE and believe(field, document)[0] is not None


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
    is_scanner, scanner_kind = _scanner(document)
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
        ip_type=_ip_type(document),
        is_scanner=is_scanner,
        scanner_kind=scanner_kind,
        disagreements=_disagreements(document),
    )


def _ip_type(document: Mapping[str, Any]) -> IpType | None:
    """Return the first of the types that sources say of an address."""
    said: set[IpType | None] = set()
    if hit_of(document, "tor") is not None:
        said.add(IpType.TOR)
    if (spur := hit_of(document, "spur")) is not None:
        tunnels = spur.get("tunnels")
        kinds = (
            [tunnel.get("type") for tunnel in tunnels if isinstance(tunnel, dict)] if isinstance(tunnels, list) else []
        )
        said |= {_SPUR_TYPES.get(str(kind).upper()) for kind in (*kinds, spur.get("infrastructure"))}
        if spur.get("proxies"):
            said.add(IpType.PROXY)
    if (abuseipdb := hit_of(document, "abuseipdb")) is not None:
        said.add(_USAGE_TYPES.get(str(abuseipdb.get("usage_type")).lower()))
        if abuseipdb.get("is_tor") is True:
            said.add(IpType.TOR)
    return next((kind for kind in IpType if kind in said), None)


def _scanner(document: Mapping[str, Any]) -> tuple[bool | None, ScannerKind | None]:
    """Say whether an address scans the Internet, and who it is that does."""
    if hit_of(document, "dshield_research") is not None:
        return True, ScannerKind.RESEARCH
    entry = document.get("greynoise")
    if not isinstance(entry, _MAPPINGS):
        return None, None
    if entry.get("status") == "not_found" or entry.get("noise") is False:
        return False, None
    if entry.get("status") != "hit" or entry.get("noise") is not True:
        return None, None
    return True, ScannerKind.BENIGN if entry.get("classification") == "benign" else ScannerKind.NOISE


def _disagreements(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of which sources say different things."""
    if len(document) < 2:
        return ()
    found = []
    for field, claims in WITNESSES.items():
        parse = _PARSERS[field]
        said = {parse(entry.get(each.key)) for each in claims if (entry := hit_of(document, each.service)) is not None}
        if len(said - {None}) > 1:
            found.append(field)
    return tuple(found)
