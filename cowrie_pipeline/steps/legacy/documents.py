"""The enrichment of earlier databases, in our layout: one entry for each source, under our names.

Belongs here: which spelling of the older layout is which of our facts, and when a block was fetched.
Does not belong here: whom to believe (enrichment/merge.py), which row a document is of (rows.py).

A block that says nothing makes no entry: an empty answer that looks like one would keep its source from being asked.
What has no place in our layout is not here; the document as it was is kept beside.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cowrie_pipeline.enrichment.documents import Document
from cowrie_pipeline.enrichment.values import (
    coordinate,
    count_value,
    flag,
    iso_day,
    map_at,
    network_prefix,
    present,
    registry_name,
    short_text,
    short_texts,
    text_value,
)
from cowrie_pipeline.steps.legacy.values import Oddities, read_asn, read_country, read_ip_type, read_time

__all__ = ["converted", "fetch_times", "named_organization"]

_Block = Mapping[str, Any]

_TIMES = ("fetched_at", "enriched_at", "queried_at", "looked_up_at", "timestamp")
_ASN = ("asn", "autonomous_system_number", "as_number", "as")
_ORGANIZATION = (
    "asn_org",
    "organization",
    "autonomous_system_organization",
    "as_org",
    "asn_name",
    "asname",
    "as_name",
    "org",
)
_COUNTRY = ("country", "country_code", "country_iso", "iso_code", "cc", "ascountry")


def converted(
    document: Mapping[str, Any] | None,
    oddities: Oddities,
    *,
    fetched_at: datetime | None = None,
    name: str = "enrichment",
) -> Document:
    """Return the entries of an older document.

    Args:
        document: as it was stored, its texts escaped.
        oddities: is told what is malformed.
        fetched_at: when blocks were fetched that do not say it themselves; None where nobody knows.
        name: what the document is called among the oddities.
    """
    entries: Document = {}
    for service, read in _READERS.items():
        block = (document or {}).get(service)
        if block is None:
            continue
        if not isinstance(block, Mapping):
            oddities[f"{name}.{service}: {type(block).__name__} in place of a block"] += 1
            continue
        payload = read(block, f"{name}.{service}", oddities)
        if not payload:
            continue
        time = _time_of(block, f"{name}.{service}", oddities) or fetched_at
        # an answer this old is due at once; without a time it is due anyway
        when = {} if time is None else {"fetched_at": time.isoformat(), "expires_at": time.isoformat()}
        entries[service] = payload | {"status": "hit"} | when
    return entries


def fetch_times(document: Mapping[str, Any] | None) -> list[datetime]:
    """Return when the blocks of an older document were fetched, of those that say it."""
    unheard = Oddities()
    blocks = [block for service in _READERS if isinstance(block := (document or {}).get(service), Mapping)]
    return [time for block in blocks if (time := _time_of(block, "", unheard)) is not None]


def named_organization(document: Document) -> str | None:
    """Return what a converted document calls the network."""
    for service in ("maxmind", "cymru"):
        if (name := text_value(document.get(service, {}).get("organization"))) is not None:
            return name
    return None


def _time_of(block: _Block, name: str, oddities: Oddities) -> datetime | None:
    return next((time for key in _TIMES if (time := read_time(block.get(key), f"{name}.{key}", oddities))), None)


def _first(block: _Block, keys: tuple[str, ...]) -> Any:
    """Return the first value that is there; a map is none, so that `{}` for a country is passed over and counted."""
    return next((block[key] for key in keys if block.get(key) is not None), None)


def _organization(block: _Block, name: str, oddities: Oddities) -> str | None:
    value = _first(block, _ORGANIZATION)
    if value is not None and not isinstance(value, str):
        oddities[f"{name}: an organization that is {type(value).__name__}"] += 1
    return text_value(value)


def _network(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    return present(
        asn=read_asn(_first(block, _ASN), f"{name}: asn", oddities),
        organization=_organization(block, name, oddities),
        country=read_country(_first(block, _COUNTRY), f"{name}: country", oddities),
    )


def _maxmind(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    return _network(block, name, oddities) | present(
        city=text_value(_first(block, ("city", "city_name"))),
        latitude=coordinate(_first(block, ("latitude", "lat")), 90),
        longitude=coordinate(_first(block, ("longitude", "lon", "lng")), 180),
    )


def _cymru(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    return _network(block, name, oddities) | present(
        prefix=network_prefix(_first(block, ("prefix", "bgp_prefix"))),
        registry=registry_name(_first(block, ("registry", "rir"))),
        allocated=iso_day(_first(block, ("allocated", "allocated_at", "allocation_date"))),
    )


def _greynoise(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    last_seen = _first(block, ("last_seen",))
    day = iso_day(last_seen[:10]) if isinstance(last_seen, str) else None
    if last_seen not in (None, "") and day is None:
        oddities[f"{name}: last_seen is no day"] += 1
    facts = present(noise=flag(block.get("noise")), riot=flag(block.get("riot")))
    return facts and facts | present(
        classification=short_text(block.get("classification")), name=short_text(block.get("name")), last_seen=day
    )


def _dshield(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    said = map_at(block, "ip") or block
    return _network(said, name, oddities) | present(
        reports=count_value(_first(said, ("count", "reports"))),
        targets=count_value(_first(said, ("attacks", "targets"))),
        first_seen=iso_day(_first(said, ("mindate", "first_seen"))),
        last_seen=iso_day(_first(said, ("maxdate", "last_seen"))),
        max_risk=count_value(_first(said, ("maxrisk", "max_risk"))),
        network=network_prefix(said.get("network")),
    )


def _urlhaus(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    del name, oddities
    facts = present(url_count=count_value(_first(block, ("url_count", "urls_count"))))
    return facts and facts | present(tags=short_texts(block.get("tags")), threats=short_texts(block.get("threats")))


def _spur(block: _Block, name: str, oddities: Oddities) -> dict[str, Any]:
    said = _first(block, ("ip_types", "ip_type", "types", "type"))
    kind = read_ip_type(said, f"{name}: type", oddities)
    infrastructure = short_text(block.get("infrastructure")) or (kind.value if kind else None)
    return present(
        infrastructure=infrastructure,
        # VPN and the like are tunnels in our layout
        tunnels=[{"type": kind.value}] if kind else None,
        asn=read_asn(block.get("asn"), f"{name}: asn", oddities),
        organization=_organization(block, name, oddities),
        country=read_country(_first(block, _COUNTRY), f"{name}: country", oddities),
    )


_READERS: Mapping[str, Callable[[_Block, str, Oddities], dict[str, Any]]] = {
    "maxmind": _maxmind,
    "cymru": _cymru,
    "greynoise": _greynoise,
    "dshield": _dshield,
    "urlhaus": _urlhaus,
    "spur": _spur,
}
