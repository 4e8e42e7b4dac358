"""Everything that is known of one address: facts and who told them, what it did, and how it changed.

Belongs here: reading. Does not belong here: looking anything up (inventories.py), showing (cli/).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.steps.network_view import Fact, SourceFacts, facts_by_source
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    ip_asn_history,
    ip_country_changes,
    ip_inventory,
    session_summaries,
)

__all__ = ["AddressView", "address_view"]

# Each with the column that says where it comes from.
_FACTS = {
    "current_asn": "asn_source",
    "organization_name": "organization_source",
    "geo_country": "country_basis",
    "geo_city": None,
    "latitude": None,
    "longitude": None,
    "geoip_build": None,
    "ip_type": None,
    "is_scanner": "scanner_kind",
    "is_bogon": None,
    "disagreements": None,
}
_SESSION = (
    "session_id",
    "sensor",
    "protocol",
    "first_event_at",
    "login_success_count",
    "login_failed_count",
    "command_count",
    "file_download_count",
    "file_upload_count",
    "snapshot_asn",
    "snapshot_country",
    "snapshot_basis",
)
_SUMS = ("login_success_count", "login_failed_count", "command_count", "file_download_count", "file_upload_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressView:
    """An address: facts, the state of its enrichment, what each source said, its sessions and its history.

    `totals` are sums over all its sessions, `sessions` the newest of them. `snapshots` groups sessions by who the
    address was when they began, `networks` are the spans of time in which it belonged to a network, and
    `country_changes` when it moved.
    """

    address: str
    facts: tuple[Fact, ...]
    state: str | None
    updated_at: datetime | None
    due_at: datetime | None
    first_seen: datetime | None
    last_seen: datetime | None
    totals: Mapping[str, int]
    sources: tuple[SourceFacts, ...]
    networks: tuple[Mapping[str, Any], ...]
    country_changes: tuple[Mapping[str, Any], ...]
    snapshots: tuple[Mapping[str, Any], ...]
    sessions: tuple[Mapping[str, Any], ...]


def address_view(connection: Connection, address: str, *, limit: int) -> AddressView | None:
    """Return an address, in its canonical form, with `limit` of its newest sessions; None if it never attacked."""
    known, session = ip_inventory.c, session_summaries.c
    row = (
        connection.execute(
            select(ip_inventory, asn_inventory.c.organization_name, asn_inventory.c.organization_source)
            .outerjoin(asn_inventory, asn_inventory.c.asn_number == known.current_asn)
            .where(known.ip_address == address)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    of_address = session.source_ip == address
    totals = connection.execute(
        select(
            func.count().label("sessions"), *(func.coalesce(func.sum(session[name]), 0).label(name) for name in _SUMS)
        ).where(of_address)
    ).mappings()
    snapshot = (session.snapshot_basis, session.snapshot_asn, session.snapshot_country, session.snapshot_ip_type)
    snapshots = connection.execute(
        select(
            *snapshot,
            func.count().label("sessions"),
            func.min(session.first_event_at).label("first"),
            func.max(session.first_event_at).label("last"),
        )
        .where(of_address)
        .group_by(*snapshot)
        .order_by(func.min(session.first_event_at))
    ).mappings()
    spans, changes = ip_asn_history.c, ip_country_changes.c
    return AddressView(
        address=row["ip_address"],
        facts=tuple(Fact(name, row[name], row[basis] if basis else None) for name, basis in _FACTS.items()),
        state=row["enrichment_state"],
        updated_at=row["enrichment_updated_at"],
        due_at=row["enrichment_due_at"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        totals={name: int(value) for name, value in totals.one().items()},
        sources=facts_by_source(row["enrichment"]),
        networks=_all(
            connection,
            select(spans.asn_number, spans.observed_from, spans.last_confirmed, spans.source)
            .where(spans.ip_address == address)
            .order_by(spans.observed_from),
        ),
        country_changes=_all(
            connection,
            select(*(column for column in changes if column.name != "ip_address"))
            .where(changes.ip_address == address)
            .order_by(changes.changed_at),
        ),
        snapshots=tuple(dict(each) for each in snapshots),
        sessions=_all(
            connection,
            select(*(session[name] for name in _SESSION))
            .where(of_address)
            .order_by(session.first_event_at.desc(), session.session_key)
            .limit(limit),
        ),
    )


def _all(connection: Connection, statement: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(dict(row) for row in connection.execute(statement).mappings())
