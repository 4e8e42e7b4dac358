"""Parsed rows of an earlier database, written into this schema: one batch, one transaction.

Belongs here: the order in which rows are written so that none is ever orphaned, and the counts that they touch.
Does not belong here: what rows say (rows.py), which batch comes when (steps/import_legacy.py).

Nothing here replaces what is known already: a row that is there stays, and gains at most what it lacks.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, Date, Table, Text, delete, insert, select

from cowrie_pipeline.cowrie.fold import SessionDayRow
from cowrie_pipeline.enrichment.bogons import is_bogon
from cowrie_pipeline.enrichment.cascade import NetworkFacts
from cowrie_pipeline.enrichment.documents import Document
from cowrie_pipeline.enrichment.merge import AddressFacts, IpType
from cowrie_pipeline.enrichment.network_types import NetworkRules, first_type
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.steps import network_facts
from cowrie_pipeline.steps.inventories import encoded
from cowrie_pipeline.steps.legacy.documents import named_organization
from cowrie_pipeline.steps.legacy.rows import LegacyAddress, LegacyFile, LegacyNetwork, LegacySession
from cowrie_pipeline.warehouse.bulk import analyze, staged
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import (
    INET,
    enrichment_documents,
    imported_records,
    imported_sessions,
    ip_inventory,
    session_days,
)

__all__ = ["IMPORTED", "reputations", "write_addresses", "write_files", "write_networks", "write_sessions"]

# Whom the facts are from that an earlier database does not say it of.
IMPORTED = "imported"

_encode = msgspec.json.Encoder(order="deterministic").encode

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
    "created_at",
)
_IMPORT_COLUMNS = (
    "source",
    "import_key",
    "legacy_id",
    "first_event_at",
    "snapshot_asn",
    "snapshot_country",
    "snapshot_ip_type",
    "snapshot_basis",
    "snapshot_document",
    "legacy_document",
    "facts",
)
_MATCH_COLUMNS = {
    "session_id": Text(),
    "sensor": Text(),
    "address": Text(),
    "first_day": Date(),
    "last_day": Date(),
    "gave_way_to": BigInteger(),
}
_DAY_COLUMNS = (*SessionDayRow._fields, "imported_from")


class _Network(NamedTuple):
    """What a batch says of a network."""

    asn: int
    organization: str | None = None
    country: str | None = None
    registry: str | None = None


def write_networks(
    connection: Connection,
    source: str,
    networks: Sequence[LegacyNetwork],
    *,
    rules: NetworkRules,
    now: datetime,
    tally: Tally,
) -> None:
    """Write networks of an earlier database, each with the type that `rules` say of it."""
    _keep_documents(connection, (each.legacy_document for each in networks))
    found = (_Network(n.asn, n.organization, n.country, n.registry) for n in networks)
    _insert_networks(connection, found, rules=rules, now=now, tally=tally)
    _record(
        connection,
        source,
        "networks",
        ((each.legacy_key, str(each.asn), each.legacy_document, each.facts) for each in networks),
    )


def write_addresses(
    connection: Connection,
    source: str,
    addresses: Sequence[LegacyAddress],
    *,
    rules: NetworkRules,
    now: datetime,
    tally: Tally,
) -> None:
    """Write addresses of an earlier database, the networks they name before them."""
    _keep_documents(connection, (each.legacy_document for each in addresses))
    says = _insert_networks(
        connection,
        (
            _Network(each.believed.asn, named_organization(each.document) if _names_it(each) else None)
            for each in addresses
            if each.believed.asn is not None
        ),
        rules=rules,
        now=now,
        tally=tally,
    )
    rows = (
        _address_row(
            each.address,
            each.document,
            each.believed,
            asn_source=each.asn_source,
            verified_at=each.verified_at,
            enriched_at=each.enriched_at,
            says=says,
            now=now,
        )
        for each in addresses
    )
    _insert_addresses(connection, rows)
    _record(
        connection,
        source,
        "addresses",
        ((each.legacy_key, each.address, each.legacy_document, each.facts) for each in addresses),
    )


def _names_it(address: LegacyAddress) -> bool:
    """Whether the name in an address's document is that of the network the address is taken to be in."""
    return address.asn_source != IMPORTED


def write_sessions(
    connection: Connection,
    source: str,
    sessions: Sequence[LegacySession],
    *,
    rules: NetworkRules,
    now: datetime,
    tally: Tally,
) -> None:
    """Write sessions of an earlier database: networks, addresses, sessions, their days, and where they came from.

    One that was imported before is left as it is; one that logs have given already only leaves a trace.
    """
    dialect = connection.dialect.name
    import_kinds = {name: imported_sessions.c[name].type for name in _IMPORT_COLUMNS} | _MATCH_COLUMNS
    day_kinds = {name: session_days.c[name].type for name in _DAY_COLUMNS}
    with (
        staged(connection, "staged_imports", import_kinds, (_import_row(source, each) for each in sessions)) as imports,
        staged(connection, "staged_session_days", day_kinds, (_day_row(source, each) for each in sessions)) as days,
    ):
        known = select(imported_sessions.c.import_key).where(imported_sessions.c.source == source)
        connection.execute(delete(imports).where(imports.c.import_key.in_(known)))
        connection.exec_driver_sql(read_sql("transforms/match_imports", dialect).statement)
        _keep_documents(connection, (each.legacy_document for each in sessions))
        _keep_documents(connection, (each.document for each in sessions if each.basis is not None))
        says = _insert_networks(connection, _networks_of(sessions), rules=rules, now=now, tally=tally)
        _insert_addresses(connection, _addresses_of(sessions, says, now))
        # what another earlier database gave is there already, and has its day
        wanted = select(imports.c.import_key).where(imports.c.gave_way_to.is_(None))
        there = select(session_days.c.session_day_key)
        connection.execute(delete(days).where(days.c.session_key.not_in(wanted) | days.c.session_day_key.in_(there)))
        connection.exec_driver_sql(read_sql("transforms/write_sessions", dialect).statement)
        connection.execute(
            insert(session_days).from_select(
                _DAY_COLUMNS, select(*(days.c[name] for name in _DAY_COLUMNS)).order_by("session_key")
            )
        )
        connection.exec_driver_sql(read_sql("transforms/keep_imports", dialect).statement)
        _recount_addresses(connection, days)


def write_files(connection: Connection, source: str, files: Sequence[LegacyFile]) -> None:
    """Write down which files an earlier database knew; what scanners said goes to the memory of look-ups."""
    _record(connection, source, "files", ((each.legacy_key, each.sha256, None, each.facts) for each in files))


def reputations(files: Iterable[LegacyFile], now: datetime) -> list[Outcome]:
    """Return what scanners said of files, as old as it is; what has no time was said so long ago that it is due."""
    terms = VirusTotalSource.terms
    return [
        Outcome(
            service=terms.service,
            key=each.sha256,
            status=Status.HIT,
            fetched_at=(asked_at := min(each.asked_at or now - terms.hit_for, now)),
            payload=each.reputation,
            expires_at=asked_at + terms.hit_for,
        )
        for each in files
        if each.reputation
    ]


def _import_row(source: str, session: LegacySession) -> tuple[Any, ...]:
    return (
        source,
        session.import_key,
        session.session_id,
        session.first_event_at,
        session.snapshot_asn if session.basis else None,
        session.snapshot_country if session.basis else None,
        session.snapshot_ip_type if session.basis else None,
        session.basis,
        encoded(session.document)[1] if session.basis and session.document else None,
        encoded(session.legacy_document)[1] if session.legacy_document else None,
        _encode(session.facts).decode(),
        session.session_id,
        session.sensor,
        session.source,
        session.day,
        session.last_day,
        None,
    )


def _day_row(source: str, session: LegacySession) -> tuple[Any, ...]:
    counts = session.counts
    return (
        session.import_key,
        session.import_key,
        session.day,
        session.sensor,
        session.session_id,
        session.source,
        session.source_ip,
        session.protocol,
        session.first_event_at,
        session.last_event_at,
        None,
        False,  # it is whole: nothing of the logs goes on with it
        False,  # how it ended nobody wrote down
        None,
        counts["event_count"],
        counts["login_success_count"],
        counts["login_failed_count"],
        counts["command_input_count"],
        0,
        0,
        counts["file_download_count"],
        counts["file_upload_count"],
        0,
        session.client_version,
        session.hassh,
        "{}",
        source,
    )


def _networks_of(sessions: Iterable[LegacySession]) -> Iterable[_Network]:
    for each in sessions:
        if each.snapshot_asn is not None:
            is_named = each.snapshot_asn == each.address_facts.asn
            yield _Network(each.snapshot_asn, named_organization(each.document) if is_named else None)
        if each.address_facts.asn is not None:
            yield _Network(each.address_facts.asn, named_organization(each.document))


def _addresses_of(
    sessions: Iterable[LegacySession], says: Mapping[int, IpType], now: datetime
) -> Iterable[tuple[Any, ...]]:
    """Yield the rows of sessions' addresses, each with what the first session in order that says anything says."""
    first: dict[str, LegacySession] = {}
    for each in sessions:
        if each.source_ip is not None and (each.source_ip not in first or not first[each.source_ip].document):
            first[each.source_ip] = each
    for address, each in first.items():
        believed = each.address_facts
        verified_at = believed.asn_verified_at or each.enriched_at
        yield _address_row(
            address,
            each.document,
            believed,
            asn_source=believed.asn_source,
            verified_at=verified_at,
            enriched_at=each.enriched_at,
            says=says,
            now=now,
        )


def _address_row(
    address: str,
    document: Document,
    believed: AddressFacts,
    *,
    asn_source: str | None,
    verified_at: datetime | None,
    enriched_at: datetime | None,
    says: Mapping[int, IpType],
    now: datetime,
) -> tuple[Any, ...]:
    """Return the row of an address; `says` is what networks say of the type of their addresses."""
    is_known = believed != AddressFacts() or bool(document)
    written = encoded(document) if document else (None, None)
    due_at = min(enriched_at or now, now) if is_known else None
    return (
        address,
        believed.asn,
        asn_source if believed.asn is not None else None,
        verified_at if believed.asn is not None else None,
        believed.geo_country,
        believed.country_basis,
        believed.city,
        believed.latitude,
        believed.longitude,
        believed.ip_type if believed.asn is None else first_type(believed.ip_type, says.get(believed.asn)),
        believed.is_scanner,
        believed.scanner_kind,
        ",".join(believed.disagreements) or None,
        is_bogon(address) if is_known else None,
        *written,
        "partial" if is_known else None,
        IMPORTED if is_known else None,
        enriched_at if is_known else None,
        due_at,
        now,
    )


def _insert_networks(
    connection: Connection, networks: Iterable[_Network], *, rules: NetworkRules, now: datetime, tally: Tally
) -> Mapping[int, IpType]:
    """Write networks, of each what the first that says something says; return what each says of its addresses.

    Nobody knows where the earlier system had it from: the source `imported` is worth less than any other.
    """
    found: dict[int, _Network] = {}
    for each in networks:
        before = found.get(each.asn, _Network(each.asn))
        found[each.asn] = _Network(
            each.asn,
            before.organization or each.organization,
            before.country or each.country,
            before.registry or each.registry,
        )
    facts = [
        NetworkFacts(
            asn,
            organization=each.organization,
            organization_source=IMPORTED if each.organization else None,
            country=each.country,
            country_source=IMPORTED if each.country else None,
            rir=each.registry,
            rir_source=IMPORTED if each.registry else None,
        )
        for asn, each in sorted(found.items())
    ]
    written = network_facts.write_networks(connection, facts, rules=rules, now=now)
    network_facts.count_networks(tally, facts, written)
    return written.says


def _insert_addresses(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert addresses, of each the first row that knows something, and recount the networks that they came to."""
    state = _ADDRESS_COLUMNS.index("enrichment_state")
    found: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        if row[0] not in found or found[row[0]][state] is None:
            found[row[0]] = row
    kinds = {name: ip_inventory.c[name].type for name in _ADDRESS_COLUMNS}
    with (
        staged(connection, "staged_imported_addresses", kinds, found.values()) as addresses,
        staged(connection, "touched_networks", {"asn_number": BigInteger()}) as touched,
    ):
        for name in ("import_addresses", "import_origins"):
            connection.exec_driver_sql(read_sql(f"transforms/{name}", connection.dialect.name).statement)
        _recount_networks(connection, addresses, touched)


def _recount_addresses(connection: Connection, days: Table) -> None:
    """Recount the addresses of the days just written, and their networks."""
    with (
        staged(connection, "touched_addresses", {"ip_address": INET}) as addresses,
        staged(connection, "touched_networks", {"asn_number": BigInteger()}) as networks,
    ):
        connection.execute(
            insert(addresses).from_select(
                ["ip_address"], select(days.c.source_ip).where(days.c.source_ip.is_not(None)).distinct()
            )
        )
        analyze(connection, addresses)
        connection.exec_driver_sql(read_sql("transforms/recount_addresses", connection.dialect.name).statement)
        _recount_networks(connection, addresses, networks)


def _recount_networks(connection: Connection, addresses: Table, touched: Table) -> None:
    connection.execute(
        insert(touched).from_select(
            ["asn_number"],
            select(ip_inventory.c.current_asn)
            .where(
                ip_inventory.c.current_asn.is_not(None),
                ip_inventory.c.ip_address.in_(select(addresses.c.ip_address)),
            )
            .distinct(),
        )
    )
    connection.exec_driver_sql(read_sql("transforms/recount_networks", connection.dialect.name).statement)


def _keep_documents(connection: Connection, documents: Iterable[Mapping[str, Any] | None]) -> None:
    """Keep each distinct document once."""
    found: dict[str, str] = {}
    for document in documents:
        if document:
            text, digest = encoded(document)
            found[digest] = text
    kinds = {column.name: column.type for column in enrichment_documents.c}
    with staged(connection, "staged_documents", kinds, found.items()):
        connection.exec_driver_sql(read_sql("transforms/import_documents", connection.dialect.name).statement)


def _record(
    connection: Connection,
    source: str,
    part: str,
    rows: Iterable[tuple[str, str, Mapping[str, Any] | None, Mapping[str, Any]]],
) -> None:
    """Write down which row became what."""
    kinds = {column.name: column.type for column in imported_records.c}
    found = (
        (source, part, key, target, encoded(document)[1] if document else None, _encode(facts).decode())
        for key, target, document, facts in rows
    )
    with staged(connection, "staged_records", kinds, found):
        connection.exec_driver_sql(read_sql("transforms/keep_records", connection.dialect.name).statement)
