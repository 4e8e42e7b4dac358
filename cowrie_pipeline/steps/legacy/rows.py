"""Rows of the older layout, parsed: sessions, addresses, networks and files.

Belongs here: the spellings of each column (`TABLES`), what a row must have, what it proves of its snapshot, and which
rows are the same session. Does not belong here: single values (values.py), the database (writing.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from cowrie_pipeline.cowrie.addresses import source_address
from cowrie_pipeline.cowrie.sessions import session_day_key
from cowrie_pipeline.enrichment.documents import Document
from cowrie_pipeline.enrichment.merge import AddressFacts, merge
from cowrie_pipeline.enrichment.values import hex_digest
from cowrie_pipeline.steps.legacy.documents import converted, fetch_times
from cowrie_pipeline.steps.legacy.values import (
    Oddities,
    read_asn,
    read_count,
    read_country,
    read_document,
    read_ip_type,
    read_text,
    read_time,
    storable,
)
from cowrie_pipeline.steps.session_snapshots import OBSERVED_WITHIN

__all__ = [
    "TABLES",
    "LegacyAddress",
    "LegacyFile",
    "LegacyNetwork",
    "LegacySession",
    "LegacyTable",
    "Row",
    "UnusableRowError",
    "decide_basis",
    "distinct_sessions",
    "read_address",
    "read_file",
    "read_network",
    "read_session",
]

Row = Mapping[str, Any]


class UnusableRowError(Exception):
    """A row lacks what it cannot do without; the message is the reason under which it is counted."""


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """A table of the older layout: for each field the columns that may hold it, the first that says something counts.

    `needs` are fields of each of which at least one column must be there; of `needs_one_of`, one field in all.
    """

    name: str
    key: str
    fields: Mapping[str, tuple[str, ...]]
    needs_one_of: tuple[str, ...] = ()

    def columns(self, there: Iterable[str]) -> list[str]:
        """Return the columns of `there` that are read, in their order there."""
        known = {column for columns in self.fields.values() for column in columns}
        return [column for column in there if column in known]

    def key_column(self, there: Iterable[str]) -> str | None:
        """Return the column by which rows are read in order."""
        found = set(there)
        return next((column for column in self.fields[self.key] if column in found), None)

    def missing(self, there: Iterable[str]) -> list[str]:
        """Return what the table lacks and cannot do without, as spellings of which one is expected."""
        found = set(there)
        lacks = [] if found & set(self.fields[self.key]) else [" or ".join(self.fields[self.key])]
        one_of = [column for name in self.needs_one_of for column in self.fields[name]]
        return lacks if not one_of or found & set(one_of) else [*lacks, " or ".join(one_of)]


def _same(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


# Fields that stand alone are taken along as they are, into the facts of the row.
_SESSION_EXTRAS = ("vt_flagged", "dshield_flagged", "risk_score", "matcher", "source_files", "updated_at", "created_at")
_ADDRESS_EXTRAS = (
    "session_count",
    "risk_score",
    "is_scanner",
    "is_bogon",
    "ip_types",
    "enrichment_version",
    "created_at",
    "updated_at",
)
_NETWORK_EXTRAS = (
    "asn_type",
    "is_known_hosting",
    "is_known_vpn",
    "unique_ip_count",
    "total_session_count",
    "first_seen",
    "last_seen",
    "created_at",
    "updated_at",
)
_FILE_EXTRAS = ("vt_flagged", "vt_total", "vt_scan_date", "session_id", "url", "enrichment_status")

SESSIONS = LegacyTable(
    "session_summaries",
    "session_id",
    {
        "session_id": ("session_id", "session"),
        "first_event_at": ("first_event_at", "first_event", "started_at", "start_time"),
        "last_event_at": ("last_event_at", "last_event", "ended_at", "end_time"),
        "sensor": ("sensor", "sensor_name", "sensor_id"),
        "source_ip": ("source_ip", "src_ip", "ip_address"),
        "protocol": ("protocol",),
        "event_count": ("event_count", "total_events"),
        "command_count": ("command_count", "commands"),
        "login_attempts": ("login_attempts", "login_attempt_count"),
        "login_success": ("login_success_count", "successful_logins"),
        "login_failed": ("login_failed_count", "failed_logins"),
        "file_downloads": ("file_downloads", "file_download_count"),
        "file_uploads": ("file_uploads", "file_upload_count"),
        "client_version": ("client_version",),
        "hassh": ("hassh",),
        "username": ("username", "last_username"),
        "enrichment": ("enrichment",),
        "enrichment_at": ("enrichment_at", "enriched_at", "snapshot_at"),
        "snapshot_asn": ("snapshot_asn",),
        "snapshot_country": ("snapshot_country", "snapshot_country_code"),
        "snapshot_ip_type": ("snapshot_ip_type", "snapshot_ip_types"),
        **_same(*_SESSION_EXTRAS),
    },
    needs_one_of=("first_event_at", "last_event_at"),
)
ADDRESSES = LegacyTable(
    "ip_inventory",
    "ip_address",
    {
        "ip_address": ("ip_address", "ip", "source_ip"),
        "current_asn": ("current_asn", "asn", "asn_number"),
        "verified_at": ("asn_last_verified",),
        "enriched_at": ("enrichment_updated_at", "enriched_at", "last_enriched_at"),
        "first_seen": ("first_seen", "first_seen_at"),
        "last_seen": ("last_seen", "last_seen_at"),
        "country": ("geo_country", "country_code", "country"),
        "ip_type": ("ip_type",),
        "enrichment": ("enrichment",),
        **_same(*_ADDRESS_EXTRAS),
    },
)
NETWORKS = LegacyTable(
    "asn_inventory",
    "asn_number",
    {
        "asn_number": ("asn_number", "asn"),
        "organization": ("organization_name", "organization", "asn_org", "org_name"),
        "country": ("organization_country", "country_code", "country"),
        "registry": ("rir_registry", "registry", "rir"),
        "enrichment": ("enrichment",),
        **_same(*_NETWORK_EXTRAS),
    },
)
FILES = LegacyTable(
    "files",
    "sha256",
    {
        "sha256": ("shasum", "sha256", "file_hash"),
        "file_name": ("filename", "file_name", "name"),
        "size": ("size", "file_size", "size_bytes"),
        "first_seen": ("first_seen", "first_seen_at"),
        "last_seen": ("last_seen", "last_seen_at"),
        "malicious": ("vt_malicious", "vt_positives", "vt_detections"),
        "suspicious": ("vt_suspicious",),
        "label": ("vt_threat_label", "vt_classification", "vt_label"),
        "file_type": ("vt_description", "vt_type", "file_type", "mime_type"),
        "asked_at": ("vt_checked_at", "vt_last_checked", "vt_enriched_at", "enriched_at"),
        **_same(*_FILE_EXTRAS),
    },
)
# by part, in the order in which they are copied: what is named before what names it
TABLES: Mapping[str, LegacyTable] = {
    "networks": NETWORKS,
    "addresses": ADDRESSES,
    "sessions": SESSIONS,
    "files": FILES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacySession:
    """A session as its row says; `basis` is None where the row says nothing of its address."""

    import_key: int
    session_id: str
    sensor: str
    source: str
    source_ip: str | None
    protocol: str | None
    first_event_at: datetime
    last_event_at: datetime
    counts: Mapping[str, int]
    client_version: str | None
    hassh: str | None
    snapshot_asn: int | None
    snapshot_country: str | None
    snapshot_ip_type: str | None
    basis: str | None
    enriched_at: datetime | None
    document: Document
    address_facts: AddressFacts
    legacy_document: Mapping[str, Any] | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def day(self) -> date:
        """The day on which it began."""
        return self.first_event_at.date()

    @property
    def last_day(self) -> date:
        """The day on which it ended."""
        return self.last_event_at.date()


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyAddress:
    """An address as its row says: what is believed of it, and since when its network is known."""

    legacy_key: str
    address: str
    document: Document
    believed: AddressFacts
    asn_source: str | None
    verified_at: datetime | None
    enriched_at: datetime | None
    legacy_document: Mapping[str, Any] | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyNetwork:
    """A network as its row says."""

    legacy_key: str
    asn: int
    organization: str | None
    country: str | None
    registry: str | None
    legacy_document: Mapping[str, Any] | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyFile:
    """A file as its row says; `reputation` is empty unless it was asked about."""

    legacy_key: str
    sha256: str
    reputation: Mapping[str, Any]
    asked_at: datetime | None
    facts: Mapping[str, Any]


def decide_basis(first_event_at: datetime, known_at: Sequence[datetime]) -> str:
    """Return what a snapshot is worth: `observed` if every time that is known of it lies within 48 hours, else `late`.

    An old row proves the age of its snapshot by its own time of enrichment and by those of its blocks. Without any of
    them, or with one that is farther away, today's knowledge cannot be told from that of then.
    """
    proven = known_at and all(abs(time - first_event_at) <= OBSERVED_WITHIN for time in known_at)
    return "observed" if proven else "late"


def read_session(row: Row, oddities: Oddities) -> LegacySession:
    """Parse a row of `session_summaries`.

    Raises:
        UnusableRowError: it has no session id, or no time.
    """
    fields = SESSIONS.fields
    session_id = read_text(_value(row, fields["session_id"]), "session_id", oddities)
    if session_id is None:
        raise UnusableRowError("no session id")
    first, last = _span(row, oddities)
    sensor = read_text(_value(row, fields["sensor"]), "sensor", oddities) or ""
    said = _value(row, fields["source_ip"])
    where = source_address(_without_mask(said))
    if where.source and where.ip is None:
        oddities["source_ip: a host name or other text, kept as the source"] += 1
    elif not where.source:
        oddities["source_ip: none"] += 1
    elif ":" in str(said) and ":" not in where.source:
        oddities["source_ip: IPv4-mapped, written as IPv4"] += 1
    legacy_document = read_document(_value(row, fields["enrichment"]), "enrichment", oddities)
    document = converted(legacy_document, oddities)
    believed = merge(document)
    asn = read_asn(_value(row, fields["snapshot_asn"]), "snapshot_asn", oddities)
    country = read_country(_value(row, fields["snapshot_country"]), "snapshot_country", oddities)
    ip_type = read_ip_type(_value(row, fields["snapshot_ip_type"]), "snapshot_ip_type", oddities)
    if asn is None and country is None and ip_type is None:
        asn, country, ip_type = believed.asn, believed.geo_country, believed.ip_type
    enriched_at = read_time(_value(row, fields["enrichment_at"]), "enrichment_at", oddities)
    known_at = [*fetch_times(legacy_document), *([enriched_at] if enriched_at else [])]
    is_known = bool(document) or not (asn is None and country is None and ip_type is None)
    day = first.date()
    return LegacySession(
        import_key=session_day_key(sensor, f"imported {session_id}", where.source, day),
        session_id=session_id,
        sensor=sensor,
        source=where.source,
        source_ip=where.ip,
        protocol=read_text(_value(row, fields["protocol"]), "protocol", oddities),
        first_event_at=first,
        last_event_at=last,
        counts=_counts(row, oddities),
        client_version=read_text(_value(row, fields["client_version"]), "client_version", oddities),
        hassh=read_text(_value(row, fields["hassh"]), "hassh", oddities),
        snapshot_asn=asn,
        snapshot_country=country,
        snapshot_ip_type=ip_type.value if ip_type else None,
        basis=decide_basis(first, known_at) if is_known and where.ip is not None else None,
        enriched_at=max(known_at, default=None),
        document=document,
        address_facts=believed,
        legacy_document=legacy_document,
        facts=_facts(row, (*_SESSION_EXTRAS, *fields["enrichment_at"], *fields["username"]), oddities),
    )


def _span(row: Row, oddities: Oddities) -> tuple[datetime, datetime]:
    first = _time(row, "first_event_at", oddities)
    last = _time(row, "last_event_at", oddities)
    if first is None and last is None:
        raise UnusableRowError("no time")
    begin, end = first or last, last or first
    assert begin is not None  # noqa: S101 - one of the two is there
    assert end is not None  # noqa: S101 - the same
    if end < begin:
        oddities["last_event_at: before first_event_at, exchanged"] += 1
        begin, end = end, begin
    return begin, end


def _time(row: Row, name: str, oddities: Oddities) -> datetime | None:
    return read_time(_value(row, SESSIONS.fields[name]), name, oddities)


def _counts(row: Row, oddities: Oddities) -> dict[str, int]:
    def count(name: str) -> int | None:
        return read_count(_value(row, SESSIONS.fields[name]), name, oddities)

    attempts, succeeded, failed = count("login_attempts"), count("login_success"), count("login_failed")
    if attempts is not None and succeeded is None and failed is None and attempts:
        # the older layout counts attempts alone; whether one succeeded nobody can say any more
        oddities["login_attempts: not told which succeeded, counted as failed"] += 1
    if failed is None:
        failed = max(0, (attempts or 0) - (succeeded or 0))
    return {
        "event_count": count("event_count") or 0,
        "login_success_count": succeeded or 0,
        "login_failed_count": failed,
        "command_input_count": count("command_count") or 0,
        "file_download_count": count("file_downloads") or 0,
        "file_upload_count": count("file_uploads") or 0,
    }


def distinct_sessions(sessions: Iterable[LegacySession]) -> list[LegacySession]:
    """Return of sessions that share their id those that are different ones.

    Rows of one sensor and source that touch the same days are one session, and the row with the most events is it, of
    equals the one that lasted longest.
    """
    kept: list[LegacySession] = []
    ranked = sorted(sessions, key=lambda each: (-each.counts["event_count"], each.first_event_at - each.last_event_at))
    for each in ranked:
        if not any(_is_same(each, other) for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: (each.first_event_at, each.import_key))


def _is_same(one: LegacySession, other: LegacySession) -> bool:
    same = (one.session_id, one.sensor, one.source) == (other.session_id, other.sensor, other.source)
    return same and one.day <= other.last_day and other.day <= one.last_day


def read_address(row: Row, oddities: Oddities) -> LegacyAddress:
    """Parse a row of `ip_inventory`.

    Raises:
        UnusableRowError: it has no address.
    """
    fields = ADDRESSES.fields
    said = _value(row, fields["ip_address"])
    where = source_address(_without_mask(said))
    if where.ip is None:
        raise UnusableRowError("no IP address")
    if ":" in str(said) and ":" not in where.ip:
        oddities["ip_address: IPv4-mapped, written as IPv4"] += 1
    enriched_at = read_time(_value(row, fields["enriched_at"]), "enrichment_updated_at", oddities)
    legacy_document = read_document(_value(row, fields["enrichment"]), "ip enrichment", oddities)
    document = converted(legacy_document, oddities, fetched_at=enriched_at, name="ip enrichment")
    believed = merge(document)
    asn = read_asn(_value(row, fields["current_asn"]), "current_asn", oddities)
    verified_at = read_time(_value(row, fields["verified_at"]), "asn_last_verified", oddities) or enriched_at
    asn_source = believed.asn_source
    if asn is not None and asn != believed.asn:
        # the column is what the earlier system went by
        believed = _with(believed, asn=asn, asn_source=None, asn_verified_at=verified_at)
        asn_source = "imported"
    if believed.geo_country is None:
        country = read_country(_value(row, fields["country"]), "country", oddities)
        believed = _with(believed, geo_country=country)
    if believed.ip_type is None:
        believed = _with(believed, ip_type=read_ip_type(_value(row, fields["ip_type"]), "ip_type", oddities))
    return LegacyAddress(
        legacy_key=read_text(said, "ip_address", oddities) or "",
        address=where.ip,
        document=document,
        believed=believed,
        asn_source=asn_source,
        verified_at=believed.asn_verified_at or verified_at,
        enriched_at=enriched_at,
        legacy_document=legacy_document,
        facts=_facts(row, (*_ADDRESS_EXTRAS, *fields["first_seen"], *fields["last_seen"]), oddities),
    )


def _with(facts: AddressFacts, **changes: Any) -> AddressFacts:
    return AddressFacts(**{name: getattr(facts, name) for name in AddressFacts.__struct_fields__} | changes)


def read_network(row: Row, oddities: Oddities) -> LegacyNetwork:
    """Parse a row of `asn_inventory`.

    Raises:
        UnusableRowError: it has no AS number of 32 bits.
    """
    fields = NETWORKS.fields
    said = _value(row, fields["asn_number"])
    asn = read_asn(said, "asn_number", Oddities())
    if asn is None:
        raise UnusableRowError("no AS number from 1 to 4294967295")
    registry = read_text(_value(row, fields["registry"]), "rir_registry", oddities)
    return LegacyNetwork(
        legacy_key=str(said),
        asn=asn,
        organization=read_text(_value(row, fields["organization"]), "organization_name", oddities),
        country=read_country(_value(row, fields["country"]), "organization_country", oddities),
        registry=registry.lower() if registry else None,
        legacy_document=read_document(_value(row, fields["enrichment"]), "asn enrichment", oddities),
        facts=_facts(row, _NETWORK_EXTRAS, oddities),
    )


def read_file(row: Row, oddities: Oddities) -> LegacyFile:
    """Parse a row of `files`.

    Raises:
        UnusableRowError: its hash is no SHA-256.
    """
    fields = FILES.fields
    said = _value(row, fields["sha256"])
    sha256 = hex_digest(said.strip() if isinstance(said, str) else said, 64)
    if sha256 is None:
        raise UnusableRowError("no SHA-256")
    if sha256 != said:
        oddities["shasum: not in lower case, written so"] += 1
    malicious = read_count(_value(row, fields["malicious"]), "vt_malicious", oddities)
    size = read_count(_value(row, fields["size"]), "size", oddities)
    reputation = {
        "malicious": malicious,
        "suspicious": read_count(_value(row, fields["suspicious"]), "vt_suspicious", oddities),
        "label": read_text(_value(row, fields["label"]), "vt_label", oddities),
        "type": read_text(_value(row, fields["file_type"]), "file_type", oddities),
        "size": size,
    }
    names = (*_FILE_EXTRAS, *fields["file_name"], *fields["first_seen"], *fields["last_seen"])
    return LegacyFile(
        legacy_key=read_text(said, "shasum", oddities) or "",
        sha256=sha256,
        # without a number of scanners nobody was asked
        reputation={} if malicious is None else {name: each for name, each in reputation.items() if each is not None},
        asked_at=read_time(_value(row, fields["asked_at"]), "vt_checked_at", oddities),
        facts=_facts(row, names, oddities) | ({} if size is None else {"size": size}),
    )


def _value(row: Row, columns: Iterable[str]) -> Any:
    """Return what the first column says that says something."""
    return next((row[column] for column in columns if row.get(column) not in (None, "")), None)


def _facts(row: Row, columns: Iterable[str], oddities: Oddities) -> dict[str, Any]:
    """Return values as they were, in types that JSON has."""
    found: dict[str, Any] = {}
    for column in dict.fromkeys(columns):
        value = row.get(column)
        if isinstance(value, int | float):
            found[column] = storable(value, column, oddities)
        elif (text := read_text(value, column, oddities)) is not None:
            found[column] = text
    return found


def _without_mask(value: Any) -> str | None:
    """Return the text of an address as PostgreSQL writes an inet: a mask of one address is none."""
    if not isinstance(value, str):
        return None
    return value.strip().removesuffix("/32").removesuffix("/128")
