"""Complete the inventory of networks from the addresses that are there, for databases filled by other means.

Every network that an address is in gets its row; facts that it lacks are filled with what the documents of its
addresses say; what is counted is counted again, and its type is what the rules say today. A fact that is there is never
replaced here, and a second time finds nothing to do. Documents are read of networks that lack a fact, and of no others.

Belongs here: which networks lack what, and writing it some networks at a time.
Does not belong here: which claim of a document is believed (enrichment/network_claims.py), better facts, which the
cascade finds (inventories.py), whether stored counts drift (reconcile_inventories.py).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, func, select

from cowrie_pipeline.enrichment.cascade import NetworkFacts
from cowrie_pipeline.enrichment.network_claims import PATHS, Said, read_document_text, read_said
from cowrie_pipeline.enrichment.network_types import NetworkRules
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.network_facts import count_networks, write_networks
from cowrie_pipeline.steps.network_types import classify_networks
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import asn_inventory, asn_session_counts, ip_inventory

__all__ = ["BATCH_SIZE", "AsnBuildReport", "Malformed", "build_asn_inventory"]

# Written in one transaction: at this number writers wait for a fraction of a second.
BATCH_SIZE = 1_000

_NAMED = 20
# Addresses of one prefix that were looked up together have the same document, to the letter.
_DOCUMENTS_REMEMBERED = 16_384

# Kinds as PostgreSQL calls them, in words.
_KINDS = {
    "array": "an array",
    "null": "JSON null",
    "string": "a text",
    "number": "a number",
    "boolean": "a truth value",
}


@dataclass(frozen=True, slots=True)
class Malformed:
    """Addresses of one network whose documents hold the same where something else belongs; `ip_address` is the first.

    `addresses` is how many they are.
    """

    ip_address: str
    asn_number: int
    found: str
    addresses: int


@dataclass(frozen=True, slots=True)
class AsnBuildReport:
    """What was completed, or would be.

    `networks` are those that addresses are in now; `created` had no row; the next three count networks that got a fact
    which they lacked, `classified` those that got another type or basis of it, `recounted` those whose counts, first or
    last time were others. `malformed` counts addresses of
    which the document, or an entry of it, could not be used; the first of them are named.
    """

    networks: int = 0
    created: int = 0
    organizations: int = 0
    countries: int = 0
    registries: int = 0
    classified: int = 0
    recounted: int = 0
    malformed: int = 0
    malformed_named: tuple[Malformed, ...] = ()
    dry_run: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, written."""
        filled = self.organizations or self.countries or self.registries
        return bool(self.created or filled or self.classified or self.recounted)


class _Counts(NamedTuple):
    unique_ip_count: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    total_session_count: int = 0


class _Stored(NamedTuple):
    organization: str | None
    country: str | None
    registry: str | None
    counts: _Counts
    classification: tuple[Any, ...]


class _Change(NamedTuple):
    """What one network lacks: `facts` None if it has all that is known of it, `is_recount` if its counts are others.

    `is_reclassified` if the rules say another type than it has.
    """

    asn: int
    is_new: bool
    facts: NetworkFacts | None
    is_reclassified: bool
    is_recount: bool


def build_asn_inventory(
    warehouse: Warehouse,
    *,
    rules: NetworkRules,
    now: datetime,
    batch_size: int = BATCH_SIZE,
    dry_run: bool = False,
    on_progress: OnProgress = unheard,
) -> AsnBuildReport:
    """Complete `asn_inventory` from `ip_inventory`.

    Args:
        warehouse: the database.
        rules: of what type a network is.
        now: time of the work, UTC.
        batch_size: how many networks are written in one transaction, so that other writers need not wait for all.
        dry_run: write nothing; the report says what would be.
        on_progress: called with the networks written and to write.

    Raises:
        ValueError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"expected to write at least 1 network at a time, found {batch_size}")
    with warehouse.read() as connection:
        counted = _count(connection)
        stored = _stored(connection)
        lacking = [asn for asn, counts in counted.items() if counts.unique_ip_count and _lacks(stored.get(asn))]
        said, malformed = _read_documents(connection, lacking)
    changes = _changes(counted, stored, said, rules)
    if not dry_run:
        for start in range(0, len(changes), batch_size):
            some = changes[start : start + batch_size]
            # what was found is not taken for granted: counts are counted in this transaction, and a fact that came
            # meanwhile is there already
            with counting(warehouse, lock="facts") as (connection, tally):
                _write(connection, tally, some, rules=rules, now=now)
            on_progress(start + len(some), len(changes))
    facts = [change.facts for change in changes if change.facts is not None]
    return AsnBuildReport(
        networks=sum(counts.unique_ip_count > 0 for counts in counted.values()),
        created=sum(change.is_new for change in changes),
        organizations=sum(each.organization is not None for each in facts),
        countries=sum(each.country is not None for each in facts),
        registries=sum(each.rir is not None for each in facts),
        classified=sum(change.is_reclassified for change in changes),
        recounted=sum(change.is_recount for change in changes),
        malformed=sum(each.addresses for each in malformed),
        malformed_named=tuple(malformed[:_NAMED]),
        dry_run=dry_run,
    )


def _count(connection: Connection) -> dict[int, _Counts]:
    """Count the addresses, and the sessions at attack time, of every network that has any."""
    table = ip_inventory.c
    totals: dict[int, int] = {
        asn: int(total)
        for asn, total in connection.execute(
            select(asn_session_counts.c.asn_number, func.sum(asn_session_counts.c.sessions))
            .where(asn_session_counts.c.asn_number > 0)
            .group_by(asn_session_counts.c.asn_number)
        )
    }
    of_addresses = connection.execute(
        select(table.current_asn, func.count(), func.min(table.first_seen), func.max(table.last_seen))
        .where(table.current_asn.is_not(None))
        .group_by(table.current_asn)
    )
    counted = {asn: _Counts(count, first, last, totals.get(asn, 0)) for asn, count, first, last in of_addresses}
    return counted | {asn: _Counts(total_session_count=totals[asn]) for asn in totals.keys() - counted.keys()}


def _stored(connection: Connection) -> dict[int, _Stored]:
    table = asn_inventory.c
    return {
        asn: _Stored(organization, country, registry, _Counts(*rest[:4]), tuple(rest[4:]))
        for asn, organization, country, registry, *rest in connection.execute(
            select(
                table.asn_number,
                table.organization_name,
                table.organization_country,
                table.rir_registry,
                table.unique_ip_count,
                table.first_seen,
                table.last_seen,
                table.total_session_count,
                table.asn_type,
                table.asn_type_basis,
                table.is_known_hosting,
                table.is_known_vpn,
            )
        )
    }


def _lacks(stored: _Stored | None) -> bool:
    return stored is None or None in (stored.organization, stored.country, stored.registry)


class _Told(NamedTuple):
    """What some addresses of a network say alike; `first_address` is told of those of which something is at fault."""

    asn: int
    values: Mapping[tuple[str, str], Any]
    fault: str | None
    addresses: int
    first_address: str


def _read_documents(connection: Connection, networks: Sequence[int]) -> tuple[dict[int, Said], list[Malformed]]:
    """Return what the documents of addresses say of networks, and the documents that cannot be used, by address."""
    said: dict[int, Said] = defaultdict(Said)
    malformed: list[Malformed] = []
    if networks:
        read = _told_by_postgresql if connection.dialect.name == "postgresql" else _told_by_sqlite
        for asn, values, fault, addresses, first in read(connection, networks):
            said[asn].add(asn, values, addresses)
            if fault:
                malformed.append(Malformed(first, asn, fault, addresses))
    return said, sorted(malformed, key=lambda each: (each.ip_address, each.found))


def _told_by_postgresql(connection: Connection, networks: Sequence[int]) -> Iterator[_Told]:
    """Have the server take the values out, and count alike ones: it does so in several processes."""
    # all groups fit in memory, so that millions of rows need not be sorted
    connection.exec_driver_sql("SET LOCAL work_mem = '64MB'")
    statement = read_sql("transforms/documents_of_networks", "postgresql").statement
    found = connection.execute(with_parameters(statement, networks=list(networks)))
    for asn, kind, text, addresses, first in found:
        values, fault = read_said(text) if text is not None else ({}, None)
        yield _Told(asn, values, _in_words(kind) if kind else fault, addresses, first)


def _told_by_sqlite(connection: Connection, networks: Sequence[int]) -> Iterator[_Told]:
    """Read every document, and count alike ones here."""
    statement = read_sql("transforms/documents_of_networks", "sqlite").statement.replace(":networks", "?")
    counts = Counter[tuple[int, tuple[Any, ...], str | None]]()
    first: dict[tuple[int, tuple[Any, ...], str | None], str] = {}
    # rows as the driver gives them: millions of SQLAlchemy's would take longer than the documents
    cursor = connection.connection.cursor()
    read = lru_cache(_DOCUMENTS_REMEMBERED)(read_document_text)
    for asn, document, address in cursor.execute(statement, (json.dumps(list(networks)),)):
        values, fault = read(document)
        key = asn, values, fault
        counts[key] += 1
        if fault is not None:
            first[key] = min(first.get(key, address), address)
    cursor.close()
    for key, addresses in counts.items():
        asn, values, fault = key
        said = {path: value for path, value in zip(PATHS, values, strict=True) if value is not None}
        yield _Told(asn, said, fault, addresses, first.get(key, ""))


def _in_words(fault: str) -> str:
    """Say what was found where an object belongs: `fault` is a kind, or an entry and the kind of it."""
    entry, _, kind = fault.rpartition(" ")
    return f"{entry or 'the document'} is {_KINDS[kind]}"


def _changes(
    counted: Mapping[int, _Counts], stored: Mapping[int, _Stored], said: Mapping[int, Said], rules: NetworkRules
) -> list[_Change]:
    """Compare what is stored with what is so; return the networks that differ, in the order of their numbers."""
    changes = []
    for asn in sorted(counted.keys() | stored.keys()):
        has = stored.get(asn)
        counts = counted.get(asn, _Counts())
        if has is None and not counts.unique_ip_count:
            continue  # sessions are counted for a network of which nothing is known: a check finds that
        facts = _missing_facts(asn, has, said[asn]) if asn in said else None
        name = (has and has.organization) or (facts and facts.organization)
        is_reclassified = has is None or rules.classify(asn, name or None) != has.classification
        is_recount = counts != (has.counts if has else _Counts())
        if facts is not None or is_reclassified or is_recount:
            changes.append(_Change(asn, has is None, facts, is_reclassified, is_recount))
    return changes


def _missing_facts(asn: int, stored: _Stored | None, said: Said) -> NetworkFacts | None:
    """Return the facts that a network lacks and its addresses know, None if there is none."""
    organization, source = said.best("organization") if stored is None or stored.organization is None else (None, None)
    country, country_source = said.best("country") if stored is None or stored.country is None else (None, None)
    rir, rir_source = said.best("registry") if stored is None or stored.registry is None else (None, None)
    if organization is country is rir is None:
        return None
    return NetworkFacts(
        asn,
        organization=organization,
        organization_source=source,
        country=country,
        country_source=country_source,
        rir=rir,
        rir_source=rir_source,
    )


def _write(
    connection: Connection, tally: Tally, changes: Sequence[_Change], *, rules: NetworkRules, now: datetime
) -> None:
    networks = [change.facts or NetworkFacts(change.asn) for change in changes if change.is_new or change.facts]
    count_networks(tally, networks, write_networks(connection, networks, rules=rules, now=now))
    classify_networks(connection, [change.asn for change in changes if change.is_reclassified], rules=rules, now=now)
    recounted: list[tuple[Any, ...]] = [(change.asn,) for change in changes if change.is_recount]
    if recounted:
        with staged(connection, "touched_networks", {"asn_number": BigInteger()}, recounted):
            for name in ("recount_networks", "total_sessions_of_networks"):
                connection.exec_driver_sql(read_sql(f"transforms/{name}", connection.dialect.name).statement)
