"""Look up a day's addresses that are new or stale, and write what is known of them and of their networks.

Services are asked outside of any transaction. What came back of a batch is written in one: networks first, then the
addresses that name them, then the spans of their origins, then the counts of the networks touched.

Belongs here: which addresses are due, and the writing.
Does not belong here: whom to ask and whom to believe (enrichment/).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, func, insert, or_, select

from cowrie_pipeline.enrichment.cascade import Cascade, CascadeResult, EnrichedAddress, KnownAddress, NetworkFacts
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import UtcDateTime, asn_inventory, ip_inventory, session_days

__all__ = ["InventoryReport", "due_addresses", "enrich_addresses"]

_ADDRESSES_AT_ONCE = 20_000
# Addresses whose facts never expire, bogons, are looked at again in case the table of blocks has changed.
_LONGEST_REST = timedelta(days=365)

_ADDRESS_COLUMNS = (
    "ip_address",
    "current_asn",
    "asn_source",
    "asn_last_verified",
    "geo_country",
    "country_basis",
    "geo_city",
    "latitude",
    "longitude",
    "geoip_build",
    "ip_type",
    "is_scanner",
    "is_bogon",
    "enrichment",
    "enrichment_digest",
    "enrichment_state",
    "enrichment_sources",
    "enrichment_updated_at",
    "enrichment_due_at",
)
_NETWORK_COLUMNS = (
    "asn_number",
    "organization_name",
    "organization_source",
    "organization_country",
    "rir_registry",
    "enrichment",
)
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class DayInventory:
    """What one day's sessions say of the inventories: addresses and networks that attacked, and how complete they are.

    `states` counts addresses by the state of their enrichment.
    """

    addresses: int = 0
    networks: int = 0
    states: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """What was asked and what is known now.

    `outcomes` counts look-ups by service and status, `cache_hits` answers that were remembered, by service;
    `findings` are troubles of sources, in words for the operator.
    """

    addresses_due: int = 0
    networks_met: int = 0
    networks_created: int = 0
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    cache_hits: dict[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    days: dict[date, DayInventory] = field(default_factory=dict)


def due_addresses(connection: Connection, days: DayRange, *, sources: str, now: datetime) -> list[str]:
    """Return the addresses that were active in `days` and are new, stale, or were looked up by other sources.

    Args:
        connection: a transaction.
        days: the days.
        sources: the sources that can be asked now, as the cascade names them.
        now: what is due before this time is stale.
    """
    active = select(session_days.c.source_ip).where(session_days.c.day.between(days.first, days.last))
    due = or_(
        ip_inventory.c.enrichment_due_at.is_(None),
        ip_inventory.c.enrichment_due_at <= now,
        func.coalesce(ip_inventory.c.enrichment_sources, "") != sources,
    )
    statement = select(ip_inventory.c.ip_address).where(due, ip_inventory.c.ip_address.in_(active))
    return list(connection.execute(statement.order_by(ip_inventory.c.ip_address)).scalars())


def enrich_addresses(
    warehouse: Warehouse,
    cascade: Cascade,
    days: DayRange,
    *,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Look up the addresses of `days` that are due, and write both inventories."""
    with warehouse.read() as connection:
        due = due_addresses(connection, days, sources=cascade.signature, now=now)
        networks_before = connection.execute(select(func.count()).select_from(asn_inventory)).scalar_one()
    cache = WarehouseCache(warehouse, day=now.date())
    outcomes: dict[str, Counter[str]] = {}
    cache_hits = Counter[str]()
    networks: set[int] = set()
    findings: dict[str, None] = {}
    done = 0
    for known in _known_addresses(warehouse, due):
        result = cascade.run(known, cache=cache, now=now)
        cache.flush()
        with warehouse.begin(lock="facts") as connection:
            _write(connection, result, sources=cascade.signature, now=now)
        for service, counts in result.outcomes.items():
            outcomes.setdefault(service, Counter()).update({str(status): n for status, n in counts.items()})
        cache_hits.update(result.cache_hits)
        networks |= {network.asn for network in result.networks}
        findings |= dict.fromkeys(str(finding) for finding in result.findings)
        done += len(known)
        on_progress(done, len(due))
    with warehouse.read() as connection:
        networks_after = connection.execute(select(func.count()).select_from(asn_inventory)).scalar_one()
        return InventoryReport(
            addresses_due=len(due),
            networks_met=len(networks),
            networks_created=networks_after - networks_before,
            outcomes={service: dict(counts) for service, counts in sorted(outcomes.items())},
            cache_hits=dict(cache_hits),
            findings=tuple(findings),
            days=_describe(connection, days),
        )


def _known_addresses(warehouse: Warehouse, addresses: Sequence[str]) -> Iterator[list[KnownAddress]]:
    """Yield what is known of `addresses` already, some thousands at a time."""
    for start in range(0, len(addresses), _ADDRESSES_AT_ONCE):
        some = addresses[start : start + _ADDRESSES_AT_ONCE]
        with (
            warehouse.begin() as connection,
            staged(
                connection,
                "asked_addresses",
                {"ip_address": ip_inventory.c.ip_address.type},
                ((address,) for address in some),
            ) as asked,
        ):
            rows = connection.execute(
                select(ip_inventory.c.ip_address, ip_inventory.c.enrichment)
                .join(asked, asked.c.ip_address == ip_inventory.c.ip_address)
                .order_by(ip_inventory.c.ip_address)
            ).all()
        yield [KnownAddress(address, enrichment) for address, enrichment in rows]


def _write(connection: Connection, result: CascadeResult, *, sources: str, now: datetime) -> None:
    dialect = connection.dialect.name
    address_kinds = {name: ip_inventory.c[name].type for name in _ADDRESS_COLUMNS}
    network_kinds = {name: asn_inventory.c[name].type for name in _NETWORK_COLUMNS} | {"met_at": UtcDateTime()}
    with (
        staged(
            connection,
            "staged_addresses",
            address_kinds,
            (_address_row(address, sources, now) for address in result.addresses),
        ) as found,
        staged(
            connection,
            "staged_networks",
            network_kinds,
            ((*_network_row(network), now) for network in result.networks),
        ),
        staged(
            connection,
            "touched_networks",
            {"asn_number": BigInteger()},
            ((network.asn,) for network in result.networks),
        ) as touched,
    ):
        # the networks that addresses leave are counted again too
        connection.execute(
            insert(touched).from_select(
                ["asn_number"],
                select(ip_inventory.c.current_asn)
                .join(found, found.c.ip_address == ip_inventory.c.ip_address)
                .where(ip_inventory.c.current_asn.is_not(None))
                .distinct(),
            )
        )
        for name in ("write_networks", "write_addresses", "confirm_origins", "note_origins", "recount_networks"):
            connection.exec_driver_sql(read_sql(f"transforms/{name}", dialect).statement)


def _address_row(address: EnrichedAddress, sources: str, now: datetime) -> tuple[Any, ...]:
    document = _encode(address.enrichment)
    return (
        address.address,
        address.asn,
        address.asn_source,
        address.asn_verified_at,
        address.geo_country,
        address.country_basis,
        address.city,
        address.latitude,
        address.longitude,
        address.geoip_build,
        address.ip_type,
        address.is_scanner,
        address.is_bogon,
        document.decode(),
        blake2b(document, digest_size=16).hexdigest(),
        address.state.value,
        sources,
        now,
        address.due_at or now + _LONGEST_REST,
    )


def _network_row(network: NetworkFacts) -> tuple[Any, ...]:
    facts: dict[str, dict[str, str]] = {}
    if network.organization and network.organization_source:
        facts[network.organization_source] = {"organization": network.organization}
    registered = {"country": network.country, "registry": network.rir}
    known = {name: value for name, value in registered.items() if value}
    if known:
        facts.setdefault("cymru_asn", {}).update(known)
    return (
        network.asn,
        network.organization,
        network.organization_source,
        network.country,
        network.rir,
        _encode(facts).decode() if facts else None,
    )


def _describe(connection: Connection, days: DayRange) -> dict[date, DayInventory]:
    """Say what each day's sessions know of their addresses."""
    active = (
        select(session_days.c.day, session_days.c.source_ip)
        .where(session_days.c.day.between(days.first, days.last), session_days.c.source_ip.is_not(None))
        .distinct()
        .subquery()
    )
    state = func.coalesce(ip_inventory.c.enrichment_state, "never looked up")
    rows = connection.execute(
        select(active.c.day, state, func.count())
        .join(ip_inventory, ip_inventory.c.ip_address == active.c.source_ip)
        .group_by(active.c.day, state)
        .order_by(active.c.day, state)
    ).all()
    networks: dict[date, int] = dict(
        connection.execute(
            select(active.c.day, func.count(ip_inventory.c.current_asn.distinct()))
            .join(ip_inventory, ip_inventory.c.ip_address == active.c.source_ip)
            .group_by(active.c.day)
        ).all()
    )
    states: dict[date, dict[str, int]] = {}
    for day, name, count in rows:
        states.setdefault(day, {})[name] = count
    return {
        day: DayInventory(sum(states.get(day, {}).values()), networks.get(day, 0), states.get(day, {})) for day in days
    }
