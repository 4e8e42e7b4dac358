"""Write what is known of networks: what is missing is filled in, and only a better source replaces what is there.

Who is better is said in one place (`PRECEDENCE` in enrichment/merge.py). The same source never replaces its own fact,
and what it says meanwhile is in the network's document. What was replaced goes into `asn_fact_history`. A fact without
a source is of before sources were kept: its source is found in the document, and a fact that no entry there says stays,
since of nobody it cannot be said that somebody is better.

Belongs here: which fact stays, and in which order networks are written.
Does not belong here: whom to ask (enrichment/cascade.py), addresses (inventories.py), types (network_types.py).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter, time_ns
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, RowMapping, Table, and_, func, or_, select, update

from cowrie_pipeline.enrichment.cascade import KnownNetwork, NetworkFacts
from cowrie_pipeline.enrichment.merge import IpType, rank, teller
from cowrie_pipeline.enrichment.network_types import NetworkRules, NetworkType, ip_type_of
from cowrie_pipeline.observability.instruments import OPERATION_DURATION, RECORDS_CREATED, RECORDS_UPDATED
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.tracing import Span, finished_span, span
from cowrie_pipeline.steps.network_types import classify_networks
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import UtcDateTime, asn_fact_history, asn_inventory

__all__ = ["NetworksWritten", "count_networks", "incomplete_networks", "write_networks"]

# Each fact of a network: its column, that of its source, and what merge.py calls it.
_FACTS = (
    ("organization_name", "organization_source", "organization"),
    ("organization_country", "organization_country_source", "network_country"),
    ("rir_registry", "rir_registry_source", "rir"),
)
_FACT_COLUMNS = tuple(name for column, source, _ in _FACTS for name in (column, source))
_TYPE_COLUMNS = ("asn_type", "asn_type_basis", "is_known_hosting", "is_known_vpn")
_HISTORY_COLUMNS = ("asn_number", "field", "replaced_at", "old_value", "old_source", "new_value", "new_source")
_TYPES_THAT_SAY = tuple(kind.value for kind in NetworkType if ip_type_of(kind) is not None)
# A first run creates thousands of networks in a batch: so many of a batch have a span of their own, the others count.
_SPANS_AT_MOST = 50
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class _Decision:
    """The facts and sources that a row has from now on, as `_FACT_COLUMNS`, and rows of the history of what goes."""

    asn: int
    facts: tuple[str | None, ...]
    replaced: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class NetworksWritten:
    """What became of the networks of a batch, each of which was created or met again.

    `enriched` are those met again of which a fact was filled in or replaced. `says` is what those that say anything say
    of their addresses. `milliseconds` is what writing all of them took.
    """

    created: frozenset[int] = frozenset()
    met_again: frozenset[int] = frozenset()
    enriched: frozenset[int] = frozenset()
    says: Mapping[int, IpType] = field(default_factory=dict)
    milliseconds: float = 0.0


def write_networks(
    connection: Connection, networks: Sequence[NetworkFacts], *, rules: NetworkRules, now: datetime
) -> NetworksWritten:
    """Write what the cascade knows of networks; return what became of them.

    New rows come classified; those whose name changed or that have no type yet are classified again.

    Args:
        connection: a transaction that writes inventories (`Warehouse.begin(lock="facts")`).
        networks: what is known, in the order of their numbers.
        rules: of what type a network is.
        now: time of the work, UTC.
    """
    began = perf_counter()
    kinds = {name: asn_inventory.c[name].type for name in ("asn_number", *_FACT_COLUMNS, "enrichment", *_TYPE_COLUMNS)}
    rows = (_row(network, rules, now) for network in networks)
    with (
        span("write networks", {"asn.networks": len(networks)}) as writing,
        staged(connection, "staged_networks", kinds | {"met_at": UtcDateTime()}, rows) as met,
    ):
        started_ns = time_ns()
        created = frozenset(_transform(connection, "insert_networks").scalars())
        _lock(connection, met)
        unclassified, enriched = _replace_facts(connection, met, now)
        _transform(connection, "complete_networks")
        if unclassified:
            classify_networks(connection, unclassified, rules=rules, now=now)
        types = connection.execute(
            select(asn_inventory.c.asn_number, asn_inventory.c.asn_type)
            .join(met, met.c.asn_number == asn_inventory.c.asn_number)
            .where(asn_inventory.c.asn_type.in_(_TYPES_THAT_SAY))
        )
        says = {asn: kind for asn, asn_type in types if (kind := ip_type_of(asn_type)) is not None}
        if writing.is_recording():
            _note_operations(networks, created, frozenset(enriched), started_ns, writing)
    return NetworksWritten(
        created=created,
        met_again=frozenset(network.asn for network in networks) - created,
        enriched=frozenset(enriched),
        says=says,
        milliseconds=(perf_counter() - began) * 1000,
    )


def count_networks(tally: Tally, networks: Sequence[NetworkFacts], written: NetworksWritten) -> None:
    """Count what became of the networks of a batch.

    They are written together, so that none has a duration of its own: each counts with its share of the batch's.
    """
    created = Counter[tuple[str | None, str | None, str | None]]()
    updated = Counter[tuple[str | None, bool]]()
    for network in networks:
        source = network.organization_source or network.country_source or network.rir_source
        if network.asn in written.created:
            created[source, network.country, network.rir] += 1
        else:
            updated[source, network.asn in written.enriched] += 1
    for (source, country, rir), number in created.items():
        tally.count(RECORDS_CREATED, number, source=source, country=country, rir=rir)
    for (source, is_enriched), number in updated.items():
        update_type = "metadata_enrichment" if is_enriched else "timestamp_refresh"
        tally.count(RECORDS_UPDATED, number, source=source, update_type=update_type)
    share = written.milliseconds / max(1, len(written.created) + len(written.met_again))
    tally.observe(OPERATION_DURATION, share, times=len(written.created), operation="create")
    tally.observe(OPERATION_DURATION, share, times=len(written.met_again), operation="update")


def incomplete_networks(connection: Connection) -> list[KnownNetwork]:
    """Return the networks of which a fact is not known, with their documents."""
    table = asn_inventory.c
    rows = connection.execute(
        select(table.asn_number, table.enrichment)
        .where(or_(*(table[column].is_(None) for column, _, _ in _FACTS)))
        .order_by(table.asn_number)
    )
    return [KnownNetwork(asn, document) for asn, document in rows]


def _note_operations(
    networks: Sequence[NetworkFacts],
    created: frozenset[int],
    enriched: frozenset[int],
    started_ns: int,
    writing: Span,
) -> None:
    """Count on the span of a batch what became of it, and have a span for each of the first networks, new ones before.

    The networks of a batch are written together, so the time of each is that of all.
    """
    ended_ns = time_ns()
    duration = {"asn.operation_duration_ms": (ended_ns - started_ns) / 1e6}
    writing.set_attributes({"asn.created": len(created), "asn.updated": len(enriched), **duration})
    operations = [
        *((each, "create") for each in networks if each.asn in created),
        *((each, "update") for each in networks if each.asn in enriched),
    ]
    for network, operation in operations[:_SPANS_AT_MOST]:
        facts = {
            "asn.organization": network.organization,
            "asn.country": network.country,
            "asn.rir": network.rir,
        }
        told = {name: value for name, value in facts.items() if value is not None}
        finished_span(
            f"{operation} network",
            {"asn.number": network.asn, "asn.operation": operation, **told, **duration},
            started_ns,
            ended_ns,
        )


def _row(network: NetworkFacts, rules: NetworkRules, now: datetime) -> tuple[Any, ...]:
    kind = rules.classify(network.asn, network.organization)
    return (
        network.asn,
        network.organization,
        network.organization_source,
        network.country,
        network.country_source,
        network.rir,
        network.rir_source,
        _encode(network.enrichment).decode() if network.enrichment else None,
        kind.asn_type.value,
        *kind[1:],
        now,
    )


def _transform(connection: Connection, name: str) -> CursorResult[Any]:
    return connection.exec_driver_sql(read_sql(f"transforms/{name}", connection.dialect.name).statement)


def _lock(connection: Connection, met: Table) -> None:
    """Lock the rows of the networks met, in the order of their numbers, before any of them is changed.

    All of them are there: rows of new networks were inserted in the same order, and such an insert waits for another
    that has not ended, never for a row's lock. So of writers without the lock of all writers none waits for one that
    waits for it. An upsert after this lock could: it meets rows that came to be after the lock looked for them, and
    that others hold by now. SQLite has one writer, and nothing to lock.
    """
    if connection.dialect.name == "postgresql":
        locked = (
            select(asn_inventory.c.asn_number)
            .join(met, met.c.asn_number == asn_inventory.c.asn_number)
            .order_by(asn_inventory.c.asn_number)
            .with_for_update(of=asn_inventory)
            .subquery()
        )
        connection.execute(select(func.count()).select_from(locked))


def _replace_facts(connection: Connection, met: Table, now: datetime) -> tuple[list[int], list[int]]:
    """Let better sources replace facts of the networks met.

    Returns the networks that have to be classified again, and those that get a fact which they had not, or another.
    """
    unclassified = []
    enriched = []
    decisions = []
    for row in _contested(connection, met):
        decision = _decide(row, now)
        if decision.facts != tuple(row[name] for name in _FACT_COLUMNS):
            decisions.append(decision)
        is_renamed = any(field == "organization_name" for _, field, *_ in decision.replaced)
        is_named = row["organization_name"] is None and row["new_organization_name"] is not None
        if row["asn_type"] is None or is_named or is_renamed:
            unclassified.append(row["asn_number"])
        if decision.replaced or any(row[column] is None and row[f"new_{column}"] is not None for column, *_ in _FACTS):
            enriched.append(row["asn_number"])
    replaced = [each for decision in decisions for each in decision.replaced]
    if replaced:
        kinds = {name: asn_fact_history.c[name].type for name in _HISTORY_COLUMNS}
        with staged(connection, "replaced_facts", kinds, replaced):
            _transform(connection, "note_replaced_facts")
    if decisions:
        kinds = {name: asn_inventory.c[name].type for name in ("asn_number", *_FACT_COLUMNS, "updated_at")}
        rows = ((each.asn, *each.facts, now) for each in decisions)
        with staged(connection, "decided_facts", kinds, rows) as decided:
            values = {name: decided.c[name] for name in (*_FACT_COLUMNS, "updated_at")}
            connection.execute(
                update(asn_inventory).where(asn_inventory.c.asn_number == decided.c.asn_number).values(values)
            )
    return unclassified, enriched


def _decide(row: RowMapping, now: datetime) -> _Decision:
    """Decide which facts of a row stay and which are replaced; what is missing is not filled in here."""
    facts: list[str | None] = []
    replaced = []
    for column, of_source, fact in _FACTS:
        value, source = row[column], row[of_source]
        new_value, new_source = row[f"new_{column}"], row[f"new_{of_source}"]
        if value is not None and source is None:
            source = teller(fact, value, row["enrichment"])
        if value is not None and new_value is not None and _is_better(fact, new_source, source, value == new_value):
            if value != new_value:
                replaced.append((row["asn_number"], column, now, value, source, new_value, new_source))
            value, source = new_value, new_source
        facts += [value, source]
    return _Decision(row["asn_number"], tuple(facts), tuple(replaced))


def _is_better(field: str, new_source: str, source: str | None, confirms: bool) -> bool:
    """Whether a source takes a fact over: from a lesser one, and from nobody only what it says too."""
    return confirms if source is None else rank(field, new_source) < rank(field, source)


def _contested(connection: Connection, met: Table) -> Iterator[RowMapping]:
    """Yield the rows of networks met of which a fact is new, or said by another source, or that want a new type.

    Most networks are met with what is known of them, so these are few.
    """
    table = asn_inventory.c
    others = [
        and_(met.c[column].is_not(None), or_(table[column].is_(None), table[source].is_distinct_from(met.c[source])))
        for column, source, _ in _FACTS
    ]
    yield from connection.execute(
        select(
            *(table[name] for name in ("asn_number", *_FACT_COLUMNS, "asn_type", "enrichment")),
            *(met.c[name].label(f"new_{name}") for name in _FACT_COLUMNS),
        )
        .join(met, met.c.asn_number == table.asn_number)
        .where(or_(*others, table.asn_type.is_(None)))
        .order_by(table.asn_number)
    ).mappings()
