"""Everything that is known of networks, for somebody who asks: which attack most, what one is, and how that changed.

Belongs here: reading, over a span where there is one.
Does not belong here: counting anew and mending (the assets' steps), showing (cli/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, select, text

from cowrie_pipeline.enrichment.documents import asked_again_at, read_document
from cowrie_pipeline.enrichment.values import moment
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.tables import (
    asn_fact_history,
    asn_inventory,
    asn_session_counts,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)

__all__ = [
    "Fact",
    "NetworkAddress",
    "NetworkHistory",
    "NetworkView",
    "Ranking",
    "SourceFacts",
    "TopNetwork",
    "facts_by_source",
    "network_history",
    "network_view",
    "top_networks",
]

_network = asn_inventory.c
_counts = asn_session_counts.c
# Columns that say who a network is, each with the column that says where that comes from.
_FACTS = {
    "organization_name": "organization_source",
    "organization_country": "organization_country_source",
    "rir_registry": "rir_registry_source",
    "asn_type": "asn_type_basis",
    "is_known_hosting": None,
    "is_known_vpn": None,
}


class Ranking(StrEnum):
    """What networks are ordered by."""

    SESSIONS = "sessions"
    ADDRESSES = "addresses"
    LOGINS = "logins"
    SUCCESSFUL_LOGINS = "successful-logins"
    COMMANDS = "commands"
    DOWNLOADS = "downloads"


@dataclass(frozen=True, slots=True)
class TopNetwork:
    """A network and what it did in a span of days, at attack time; of the network, what is known today."""

    asn: int
    organization: str | None
    country: str | None
    asn_type: str | None
    sessions: int
    addresses: int
    logins: int
    successful_logins: int
    commands: int
    downloads: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What is believed of a network or address, and where that comes from, None where that is not kept."""

    name: str
    value: Any
    basis: str | None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What one source said: what became of asking, when, until when that holds, and the answer."""

    source: str
    status: str
    fetched_at: datetime | None
    asked_again_at: datetime | None
    last_error: str | None
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """An address whose current network this is."""

    address: str
    country: str | None
    ip_type: str | None
    sessions: int
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """A network: facts, counts, what each source said, and the addresses of it that attacked most."""

    asn: int
    facts: tuple[Fact, ...]
    first_seen: datetime | None
    last_seen: datetime | None
    updated_at: datetime
    unique_addresses: int
    sessions_at_attack: int
    sessions_now: int
    sources: tuple[SourceFacts, ...]
    addresses: tuple[NetworkAddress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkHistory:
    """How a network changed: replaced facts, spans of addresses in it, newest first, and its days, oldest first."""

    asn: int
    replaced: tuple[Mapping[str, Any], ...]
    spans: tuple[Mapping[str, Any], ...]
    span_count: int
    days: tuple[Mapping[str, Any], ...]


def top_networks(connection: Connection, days: DayRange, *, by: Ranking, limit: int) -> list[TopNetwork]:
    """Return the networks that attacked most in `days`, by one measure; sessions without a network do not count."""
    session = session_summaries.c
    began = (session.first_event_at >= days.start, session.first_event_at < days.end)
    addresses = func.count(session.source_ip.distinct())
    chosen: Sequence[int] | None = None
    if by is Ranking.ADDRESSES:
        # Days do not add up: an address attacks on many.
        chosen = (
            connection.execute(
                select(session.snapshot_asn)
                .where(*began, session.snapshot_asn.is_not(None))
                .group_by(session.snapshot_asn)
                .order_by(addresses.desc(), session.snapshot_asn)
                .limit(limit)
            )
            .scalars()
            .all()
        )
    names = ("sessions", "logins", "successful_logins", "commands", "downloads")
    totals = [func.sum(_counts[name]) for name in names]
    counted = (
        select(_counts.asn_number, *totals)
        .where(_counts.day.between(days.first, days.last), _counts.asn_number > 0)
        .group_by(_counts.asn_number)
    )
    if chosen is None:
        measure = totals[names.index(by.value.replace("-", "_"))]
        counted = counted.order_by(measure.desc(), _counts.asn_number).limit(limit)
    else:
        counted = counted.where(_counts.asn_number.in_(chosen))
    rows = {row[0]: [int(value) for value in row[1:]] for row in connection.execute(counted)}
    of_networks: dict[int, int] = dict(
        connection.execute(
            select(session.snapshot_asn, addresses)
            .where(*began, session.snapshot_asn.in_(rows))
            .group_by(session.snapshot_asn)
        ).all()
    )
    known = {
        row.asn_number: row
        for row in connection.execute(
            select(
                _network.asn_number, _network.organization_name, _network.organization_country, _network.asn_type
            ).where(_network.asn_number.in_(rows))
        )
    }
    found = [
        TopNetwork(
            asn,
            known[asn].organization_name if asn in known else None,
            known[asn].organization_country if asn in known else None,
            known[asn].asn_type if asn in known else None,
            counts[0],
            of_networks.get(asn, 0),
            *counts[1:],
        )
        for asn, counts in rows.items()
    ]
    name = by.value.replace("-", "_")
    return sorted(found, key=lambda each: (-getattr(each, name), each.asn))


def facts_by_source(document: object) -> tuple[SourceFacts, ...]:
    """Return what each source said, of a stored document."""
    about = {"status", "fetched_at", "expires_at", "retry_at", "last_error"}
    return tuple(
        SourceFacts(
            source,
            entry["status"],
            moment(entry.get("fetched_at")),
            asked_again_at(entry),
            entry.get("last_error"),
            {name: value for name, value in sorted(entry.items()) if name not in about},
        )
        for source, entry in sorted(read_document(document).items())
    )


def network_view(connection: Connection, asn: int, *, limit: int) -> NetworkView | None:
    """Return a network with `limit` of its addresses, those of most sessions first; None if it never attacked."""
    row = connection.execute(select(asn_inventory).where(_network.asn_number == asn)).mappings().one_or_none()
    if row is None:
        return None
    counts = connection.execute(
        text("SELECT sessions_at_attack, sessions_now FROM network_sessions WHERE asn_number = :asn"), {"asn": asn}
    ).one()
    address = ip_inventory.c
    addresses = connection.execute(
        select(
            address.ip_address,
            address.geo_country,
            address.ip_type,
            address.session_count,
            address.first_seen,
            address.last_seen,
        )
        .where(address.current_asn == asn)
        .order_by(address.session_count.desc(), address.ip_address)
        .limit(limit)
    )
    return NetworkView(
        asn=asn,
        facts=tuple(Fact(name, row[name], row[basis] if basis else None) for name, basis in _FACTS.items()),
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        updated_at=row["updated_at"],
        unique_addresses=row["unique_ip_count"],
        sessions_at_attack=int(counts.sessions_at_attack),
        sessions_now=int(counts.sessions_now),
        sources=facts_by_source(row["enrichment"]),
        addresses=tuple(NetworkAddress(*each) for each in addresses),
    )


def network_history(connection: Connection, asn: int, *, limit: int) -> NetworkHistory | None:
    """Return how a network changed, `limit` of each kind of row, the newest; None if it never attacked."""
    if connection.execute(select(_network.asn_number).where(_network.asn_number == asn)).first() is None:
        return None
    fact, span = asn_fact_history.c, ip_asn_history.c
    replaced = connection.execute(
        select(asn_fact_history)
        .where(fact.asn_number == asn)
        .order_by(fact.replaced_at.desc(), fact.field)
        .limit(limit)
    ).mappings()
    spans = connection.execute(
        select(span.ip_address, span.observed_from, span.last_confirmed, span.source, ip_inventory.c.current_asn)
        .join(ip_inventory, ip_inventory.c.ip_address == span.ip_address)
        .where(span.asn_number == asn)
        .order_by(span.observed_from.desc(), span.ip_address)
        .limit(limit)
    ).mappings()
    days = connection.execute(
        select(asn_session_counts).where(_counts.asn_number == asn).order_by(_counts.day.desc()).limit(limit)
    ).mappings()
    return NetworkHistory(
        asn=asn,
        replaced=tuple(dict(row) for row in replaced),
        spans=tuple(dict(row) for row in spans),
        span_count=connection.execute(select(func.count()).where(span.asn_number == asn)).scalar_one(),
        days=tuple(dict(row) for row in reversed(days.all())),
    )
