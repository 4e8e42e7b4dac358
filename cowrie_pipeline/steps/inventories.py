"""Look up a day's addresses that are new or stale, and write what is known of them and of their networks.

Services are asked outside of any transaction. What came back of a batch is written in one: networks first, then the
addresses that name them (and the countries that they had before), then the spans of their origins, then the counts of
the networks touched.

Belongs here: which addresses are due, and the writing.
Does not belong here: whom to ask and whom to believe (enrichment/).
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, Integer, case, func, insert, select

from cowrie_pipeline.cowrie.workers import one_behind, without_collector
from cowrie_pipeline.enrichment.cascade import (
    Cascade,
    CascadeResult,
    EnrichedAddress,
    KnownAddress,
    State,
)
from cowrie_pipeline.enrichment.merge import IpType
from cowrie_pipeline.enrichment.network_types import first_type
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.observability.instruments import CACHE_REQUESTS, LOOKUPS, TOTAL_COUNT
from cowrie_pipeline.observability.metrics import Tally, is_pushed
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.observability.tracing import counts_in, span
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.steps.network_facts import (
    NetworksWritten,
    count_networks,
    incomplete_networks,
    write_networks,
)
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory, session_days

__all__ = [
    "CascadeStats",
    "Chunk",
    "InventoryReport",
    "due_addresses",
    "encoded",
    "enrich_addresses",
    "enrich_chunk",
    "finish_inventories",
    "known_addresses",
    "look_up_addresses",
    "plan_chunks",
]

_ADDRESSES_AT_ONCE = 20_000
# Addresses whose facts never expire, bogons, are looked at again in case the table of blocks has changed.
_LONGEST_REST = timedelta(days=365)

_FACT_COLUMNS = (
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
    "scanner_kind",
    "disagreements",
    "is_bogon",
    "enrichment",
    "enrichment_digest",
    "enrichment_state",
    "enrichment_sources",
    "enrichment_updated_at",
    "enrichment_due_at",
)
# of a group of addresses of which the same is known; SQLite keeps rows in the order of a key that is an INTEGER
_FactsNumber = BigInteger().with_variant(Integer(), "sqlite")
_NEVER = "never looked up"
_STATES = (*sorted(State), _NEVER)
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
class CascadeStats:
    """What the cascade did in one run, in numbers.

    `total_ips` are the addresses that went through it. `cache_hits` are answers that were remembered; `hits` counts, by
    source, look-ups that found something, and `errors` those that failed. Networks are counted as often as a batch
    wrote them, but in `asn_unique_seen` once for each chunk; `asn_operation_duration_ms` is what writing them took in
    all.
    """

    total_ips: int = 0
    cache_hits: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    asn_records_created: int = 0
    asn_records_updated: int = 0
    asn_operation_duration_ms: float = 0.0
    asn_unique_seen: int = 0


@dataclass(frozen=True, slots=True)
class InventoryReport:
    """What was asked and what is known now.

    `outcomes` counts look-ups by service and status, `cache_hits` answers that were remembered, by service;
    `findings` are troubles of sources, in words for the operator.
    """

    addresses_due: int = 0
    stats: CascadeStats = field(default_factory=CascadeStats)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    cache_hits: dict[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    days: dict[date, DayInventory] = field(default_factory=dict)


def due_addresses(connection: Connection, days: DayRange, *, sources: str, now: datetime) -> dict[str, int]:
    """Return the addresses that were active in `days` and are new, stale, or were looked up by other sources.

    Each has its worth, 0 to 4, and that is their order: where a budget does not reach for all, it goes to the first.

    Args:
        connection: a transaction.
        days: the days.
        sources: the sources that can be asked now, as the cascade names them.
        now: what is due before this time is stale.
    """
    statement = read_sql("transforms/due_addresses", connection.dialect.name).statement
    parameters = {
        "first_day": days.first,
        "last_day": days.last,
        "since": days.start,
        "until": days.end,
        "now": now,
        "sources": sources,
    }
    return dict(connection.execute(with_parameters(statement, **parameters)).all())


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of the addresses that are due: those from the place `first` on, up to that at which another chunk begins.

    A place is an address with its worth, and those of most worth come first. None is no bound: the chunks of a span of
    days have every address between them, also one that is due only after they were planned.
    """

    first: tuple[int, str] | None = None
    end: tuple[int, str] | None = None

    def of(self, due: Mapping[str, int]) -> dict[str, int]:
        """Return those of addresses that are in it, in their order."""
        first = (-math.inf, "") if self.first is None else _place(*self.first)
        end = (math.inf, "") if self.end is None else _place(*self.end)
        return {address: worth for address, worth in due.items() if first <= _place(worth, address) < end}


def _place(worth: float, address: str) -> tuple[float, str]:
    return -worth, address


def plan_chunks(
    warehouse: Warehouse, cascade: Cascade, days: DayRange, *, size: int | None, now: datetime
) -> tuple[Chunk, ...]:
    """Return the chunks in which the addresses of `days` that are due can be looked up, each by another process.

    Args:
        warehouse: the database.
        cascade: what is asked.
        days: days of which the addresses are looked up.
        size: how many addresses a chunk has at most, as far as they are due now; None for one chunk with all.
        now: time of the work, UTC.
    """
    if size is None:
        return (Chunk(),)
    with warehouse.read() as connection:
        due = due_addresses(connection, days, sources=cascade.signature, now=now)
    places = sorted(((worth, address) for address, worth in due.items()), key=lambda place: _place(*place))
    bounds = [None, *places[size::size], None]
    return tuple(Chunk(first, end) for first, end in pairwise(bounds))


def enrich_addresses(
    warehouse: Warehouse,
    cascade: Cascade,
    days: DayRange,
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Look up the addresses of `days` that are due, and write both inventories.

    Args:
        warehouse: the database.
        cascade: what is asked.
        days: days of which the addresses are looked up.
        ledger: the memory of look-ups.
        now: time of the work, UTC.
        on_progress: called with the addresses done and to do.
    """
    with warehouse.read() as connection:
        due = due_addresses(connection, days, sources=cascade.signature, now=now)
    report = look_up_addresses(warehouse, cascade, due, ledger=ledger, now=now, on_progress=on_progress)
    with warehouse.read() as connection:
        return replace(report, days=_describe(connection, days))


def enrich_chunk(
    warehouse: Warehouse,
    cascade: Cascade,
    days: DayRange,
    chunk: Chunk,
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Look up the addresses of a chunk that are due, and write them with their networks; the report has no days.

    Chunks may be looked up by several processes at once and in any order, and a chunk may be looked up again: what is
    looked up already is not due any more.
    """
    with warehouse.read() as connection:
        due = chunk.of(due_addresses(connection, days, sources=cascade.signature, now=now))
    return _look_up(warehouse, cascade, due, ledger=ledger, now=now, on_progress=on_progress)


def finish_inventories(
    warehouse: Warehouse,
    cascade: Cascade,
    days: DayRange,
    chunks: Sequence[InventoryReport],
    *,
    ledger: Ledger,
    now: datetime,
) -> InventoryReport:
    """Look up the networks that lack a fact, after all chunks of `days`, and say what all of it came to.

    Addresses that no chunk has looked up are looked up first: Dagster passes over chunks when it repeats a run
    from where it was interrupted, and says nothing.
    """
    left_over = enrich_chunk(warehouse, cascade, days, Chunk(), ledger=ledger, now=now)
    completed = _complete_networks(warehouse, cascade, ledger=ledger, now=now)
    with warehouse.read() as connection:
        return replace(_added_up([*chunks, left_over, completed]), days=_describe(connection, days))


def look_up_addresses(
    warehouse: Warehouse,
    cascade: Cascade,
    due: Mapping[str, int],
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Look up addresses of the inventory, given with their worth, in their order; the report has no days.

    After them the networks that lack a fact, of this run or an earlier one, are looked up as far as something of them
    is due: what is unknown of a network is not unknown for ever, and it does not depend on how often it was met.
    """
    looked_up = _look_up(warehouse, cascade, due, ledger=ledger, now=now, on_progress=on_progress)
    return _added_up([looked_up, _complete_networks(warehouse, cascade, ledger=ledger, now=now)])


def _look_up(
    warehouse: Warehouse,
    cascade: Cascade,
    due: Mapping[str, int],
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress,
) -> InventoryReport:
    reports = [InventoryReport(findings=tuple(map(str, cascade.network_rules.findings)))]
    networks: set[int] = set()
    done = 0

    def keep(result: CascadeResult) -> None:
        with counting(warehouse, lock="facts") as (connection, tally):
            written = _write(connection, result, cascade=cascade, now=now)
            _count(connection, tally, result, written)
        reports.append(_report_of(result, written))

    with without_collector(), one_behind(keep) as keep_behind:
        for known in known_addresses(warehouse, due):
            with span("look up addresses", counts_in({"addresses": len(known)})) as looking_up:
                result = cascade.run(known, cache=ledger, now=now)
                ledger.flush()
                looking_up.set_attributes(counts_in({"networks": len(result.networks)}))
            keep_behind(result)
            networks |= {network.asn for network in result.networks}
            done += len(known)
            on_progress(done, len(due))
    report = _added_up(reports)
    # one that several batches met is one
    return replace(report, stats=replace(report.stats, asn_unique_seen=len(networks)))


def _report_of(result: CascadeResult, written: NetworksWritten) -> InventoryReport:
    """Return what one batch came to."""
    return InventoryReport(
        addresses_due=len(result.addresses),
        stats=CascadeStats(
            asn_records_created=len(written.created),
            asn_records_updated=len(written.met_again),
            asn_operation_duration_ms=written.milliseconds,
        ),
        outcomes={
            service: {str(status): number for status, number in counts.items()}
            for service, counts in result.outcomes.items()
        },
        cache_hits=dict(result.cache_hits),
        findings=tuple(map(str, result.findings)),
    )


def _added_up(reports: Sequence[InventoryReport]) -> InventoryReport:
    """Return what all of them came to together; a network that several met is counted as often."""
    outcomes: dict[str, Counter[str]] = {}
    cache_hits = Counter[str]()
    for report in reports:
        for service, counts in report.outcomes.items():
            outcomes.setdefault(service, Counter()).update(counts)
        cache_hits.update(report.cache_hits)
    stats = [report.stats for report in reports]
    addresses = sum(report.addresses_due for report in reports)
    return InventoryReport(
        addresses_due=addresses,
        stats=CascadeStats(
            total_ips=addresses,
            cache_hits=cache_hits.total(),
            hits={service: number for service, counts in sorted(outcomes.items()) if (number := counts[Status.HIT])},
            errors=sum(counts[Status.ERROR] for counts in outcomes.values()),
            asn_records_created=sum(each.asn_records_created for each in stats),
            asn_records_updated=sum(each.asn_records_updated for each in stats),
            asn_operation_duration_ms=round(sum(each.asn_operation_duration_ms for each in stats), 3),
            asn_unique_seen=sum(each.asn_unique_seen for each in stats),
        ),
        outcomes={service: dict(counts) for service, counts in sorted(outcomes.items())},
        cache_hits=dict(cache_hits),
        findings=tuple(dict.fromkeys(finding for report in reports for finding in report.findings)),
    )


def _complete_networks(warehouse: Warehouse, cascade: Cascade, *, ledger: Ledger, now: datetime) -> InventoryReport:
    with warehouse.read() as connection:
        lacking = incomplete_networks(connection) if cascade.asks_about_networks else []
    with span("complete networks", counts_in({"networks_lacking": len(lacking)})) as completing:
        result = cascade.complete_networks(lacking, cache=ledger, now=now)
        completing.set_attributes(counts_in({"networks": len(result.networks)}))
    written = NetworksWritten()
    if result.networks:
        ledger.flush()
        with counting(warehouse, lock="facts") as (connection, tally):
            written = write_networks(connection, result.networks, rules=cascade.network_rules, now=now)
            _count(connection, tally, result, written)
    return _report_of(result, written)


def _count(connection: Connection, tally: Tally, result: CascadeResult, written: NetworksWritten) -> None:
    """Count what a batch asked and wrote."""
    for service, outcomes in result.outcomes.items():
        for status, number in outcomes.items():
            tally.count(LOOKUPS, number, service=service, outcome=status)
    tally.count(CACHE_REQUESTS, result.entries_good, layer="document", result="hit")
    tally.count(CACHE_REQUESTS, result.entries_wanted - result.entries_good, layer="document", result="miss")
    count_networks(tally, result.networks, written)
    # whoever scrapes asks for it then; who is pushed to is told once for each batch
    if is_pushed():
        tally.gauge(TOTAL_COUNT, connection.execute(select(func.count()).select_from(asn_inventory)).scalar_one())


def known_addresses(warehouse: Warehouse, worths: Mapping[str, int]) -> Iterator[list[KnownAddress]]:
    """Yield what is known of addresses, given with their worth, some thousands at a time."""
    addresses = list(worths)
    for start in range(0, len(addresses), _ADDRESSES_AT_ONCE):
        some = addresses[start : start + _ADDRESSES_AT_ONCE]
        # a temporary table is nobody else's, so that this waits for no writer
        with (
            warehouse.read() as connection,
            staged(
                connection,
                "asked_addresses",
                {"ip_address": ip_inventory.c.ip_address.type},
                ((address,) for address in some),
            ) as asked,
        ):
            documents = dict(
                connection.execute(
                    select(ip_inventory.c.ip_address, ip_inventory.c.enrichment).join(
                        asked, asked.c.ip_address == ip_inventory.c.ip_address
                    )
                ).all()
            )
        # in the order in which they were given, which is that of their worth
        yield [KnownAddress(address, documents[address], worths[address]) for address in some]


def _write(connection: Connection, result: CascadeResult, *, cascade: Cascade, now: datetime) -> NetworksWritten:
    dialect = connection.dialect.name
    written = write_networks(connection, result.networks, rules=cascade.network_rules, now=now)
    facts, numbers = _facts_of(result.addresses)
    fact_kinds = {"facts_number": _FactsNumber, **{name: ip_inventory.c[name].type for name in _FACT_COLUMNS}}
    with (
        staged(
            connection,
            "staged_facts",
            fact_kinds,
            _fact_rows(facts, written.says, cascade.signature, now),
            key="facts_number",
        ),
        staged(
            connection,
            "staged_addresses",
            {"ip_address": ip_inventory.c.ip_address.type, "facts_number": _FactsNumber},
            zip((address.address for address in result.addresses), numbers, strict=True),
        ) as found,
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
        for name in ("note_country_changes", "write_addresses", "confirm_origins", "note_origins", "recount_networks"):
            connection.exec_driver_sql(read_sql(f"transforms/{name}", dialect).statement)
    return written


def _facts_of(addresses: Sequence[EnrichedAddress]) -> tuple[list[EnrichedAddress], list[int]]:
    """Return one address of all of which the same is known, for each such group, and the group of every address.

    Addresses of one network share document and facts (see `Cascade.run`), so that their row is made, sent and read by
    the database once.
    """
    first: list[EnrichedAddress] = []
    known: dict[tuple[Any, ...], int] = {}
    numbers = []
    for address in addresses:
        same = (id(address.enrichment), id(address.facts), address.state, address.due_at, address.is_bogon)
        number = known.setdefault(same, len(first))
        if number == len(first):
            first.append(address)
        numbers.append(number)
    return first, numbers


def _fact_rows(
    addresses: Sequence[EnrichedAddress], says: Mapping[int, IpType], sources: str, now: datetime
) -> Iterator[tuple[Any, ...]]:
    """Yield what is known of addresses, numbered; `says` gives what networks say of their addresses."""
    for number, address in enumerate(addresses):
        facts = address.facts
        yield (
            number,
            facts.asn,
            facts.asn_source,
            facts.asn_verified_at,
            facts.geo_country,
            facts.country_basis,
            facts.city,
            facts.latitude,
            facts.longitude,
            facts.geoip_build,
            first_type(facts.ip_type, says.get(facts.asn)) if facts.asn is not None else facts.ip_type,
            facts.is_scanner,
            facts.scanner_kind,
            ",".join(facts.disagreements) or None,
            address.is_bogon,
            *encoded(address.enrichment),
            address.state.value,
            sources,
            now,
            address.due_at or now + _LONGEST_REST,
        )


def encoded(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text of a document, and the digest by which it is known: the same for the same content."""
    text = _encode(document)
    return text.decode(), blake2b(text, digest_size=16).hexdigest()


def _describe(connection: Connection, days: DayRange) -> dict[date, DayInventory]:
    """Say what each day's sessions know of their addresses."""
    active = (
        select(session_days.c.day, session_days.c.source_ip)
        .where(session_days.c.day.between(days.first, days.last), session_days.c.source_ip.is_not(None))
        .distinct()
        .subquery()
    )
    state = func.coalesce(ip_inventory.c.enrichment_state, _NEVER)
    rows = connection.execute(
        select(
            active.c.day,
            func.count().label("addresses"),
            func.count(ip_inventory.c.current_asn.distinct()).label("networks"),
            *(func.sum(case((state == name, 1), else_=0)).label(name) for name in _STATES),
        )
        .join(ip_inventory, ip_inventory.c.ip_address == active.c.source_ip)
        .group_by(active.c.day)
    ).mappings()
    described = {
        row["day"]: DayInventory(
            row["addresses"], row["networks"], {name: int(row[name]) for name in _STATES if row[name]}
        )
        for row in rows
    }
    return {day: described.get(day, DayInventory()) for day in days}
