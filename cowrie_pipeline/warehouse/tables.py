"""The tables, for both databases.

Belongs here: columns, keys and indexes as they are now. Times are UTC. What changes here gets a migration, and a test
compares the two.
Does not belong here: statements (bulk.py, sql/), connections (engine.py).
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

__all__ = ["DETAIL_TABLES", "INET", "VERSION_TABLE", "UtcDateTime", "metadata"]

# Of our own: Dagster keeps its version in alembic_version, perhaps in the same PostgreSQL database.
VERSION_TABLE = "cowrie_schema_version"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone in Python; `timestamptz` on PostgreSQL, `YYYY-MM-DD HH:MM:SS.ffffff` in UTC on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone; give SQLite, which knows none, UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a zone, found {value!r}: use datetime.now(UTC)")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back the zone that SQLite does not keep."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite has one kind of integer and makes a column its row id only when it is called INTEGER.
_BigId = BigInteger().with_variant(Integer(), "sqlite")
INET = Text().with_variant(postgresql.INET(), "postgresql")
_Json = JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _session_key() -> Column[int]:
    # Deferred: within one transaction a day's rows are written before the sessions that they add up to.
    return Column(
        "session_key",
        BigInteger,
        ForeignKey("session_summaries.session_key", deferrable=True, initially="DEFERRED"),
        nullable=False,
    )


log_files = Table(
    "log_files",
    metadata,
    Column("file_id", _BigId, primary_key=True, autoincrement=True),
    Column("path", Text, nullable=False),
    # of the first `head_length` bytes of content: survives renaming and compression
    Column("fingerprint", String(32), nullable=False),
    Column("head_length", Integer, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes on disk"),
    Column("modified_ns", BigInteger, nullable=False),
    Column("read_offset", BigInteger, nullable=False, comment="bytes of decompressed content that were read"),
    Column(
        "tail_fingerprint", String(32), nullable=False, comment="of the last `tail_length` bytes before read_offset"
    ),
    Column("tail_length", Integer, nullable=False),
    Column("ends_with_newline", Boolean, nullable=False),
    Column("first_event_at", UtcDateTime),
    Column("last_event_at", UtcDateTime),
    _count("lines"),
    _count("events"),
    _count("duplicates"),
    _count("dead_letters"),
    _count("blank_lines"),
    Column("is_foreign", Boolean, nullable=False, comment="not a Cowrie log at all"),
    Column("damage", Text, comment="why the content stops early"),
    # a first or last line that is half an object: the other half may be in the file before or behind
    Column("head_fragment", LargeBinary),
    Column("head_is_joined", Boolean, nullable=False),
    Column("tail_fragment", LargeBinary),
    Column("tail_is_joined", Boolean, nullable=False),
    Column("days", _Json, nullable=False, comment="lines that are events, by day, duplicates included"),
    Column("oddities", _Json, nullable=False, comment="unknown events and fields and odd types, counted by name"),
    Column("read_at", UtcDateTime, nullable=False),
)
Index(None, log_files.c.path)
Index(None, log_files.c.fingerprint)

log_segments = Table(
    "log_segments",
    metadata,
    Column("segment_id", _BigId, primary_key=True, autoincrement=True),
    Column("file_id", BigInteger, ForeignKey("log_files.file_id"), nullable=False),
    Column("day", Date, nullable=False),
    Column("events", BigInteger, nullable=False),
    # on PostgreSQL both are stored without an attempt to compress them (revision 0007)
    Column("lines", LargeBinary, nullable=False, comment="the events' lines, joined by newlines, as zstd"),
    Column("fingerprints", LargeBinary, nullable=False, comment="of the lines, 8 bytes each, little-endian, ascending"),
)
Index(None, log_segments.c.day)
Index(None, log_segments.c.file_id)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("line_fingerprint", String(16), primary_key=True),
    Column("file_id", BigInteger, ForeignKey("log_files.file_id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("line_number", BigInteger, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False, comment="1, or all lines of a file that is no Cowrie log"),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("sample", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)
Index(None, dead_letters.c.file_id)

loaded_days = Table(
    "loaded_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("segments", BigInteger, nullable=False, comment="how many segments the day was made of"),
    Column("derivation", Integer, nullable=False, comment="version of the code that made it"),
    Column("events", BigInteger, nullable=False),
    Column("events_without_session", BigInteger, nullable=False),
    Column("session_days", BigInteger, nullable=False),
    Column("loaded_at", UtcDateTime, nullable=False),
)

# What was asked of Dagster for days whose lines came, grew or came late; steps/log_watch.py.
day_requests = Table(
    "day_requests",
    metadata,
    Column("day", Date, primary_key=True),
    Column("segments", BigInteger, nullable=False, comment="how many segments were kept for the day when asked for"),
    Column("status", Text, nullable=False, comment="wanted, requested, done or failed"),
    Column("run_key", Text, comment="of the run that was requested last"),
    Column("requested_at", UtcDateTime, comment="when that run was requested"),
    Column("failures", Integer, nullable=False, comment="runs that failed since the day's last success or new lines"),
    Column("due_at", UtcDateTime, comment="when a day that failed is requested again"),
)
Index(None, day_requests.c.status)

retired_days = Table(
    "retired_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("retired_at", UtcDateTime, nullable=False),
    Column("details", BigInteger, nullable=False, comment="rows of details that were removed"),
)

_LOGIN_COUNTS = ("event_count", "login_success_count", "login_failed_count")
_OTHER_COUNTS = ("command_failed_count", "file_download_count", "file_upload_count", "tunnel_count")

session_days = Table(
    "session_days",
    metadata,
    Column("session_day_key", _BigId, primary_key=True, autoincrement=False),
    _session_key(),
    Column("day", Date, nullable=False),
    Column("sensor", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("source", Text, nullable=False, comment="source_ip, or what was logged in its place"),
    Column("source_ip", INET),
    Column("protocol", Text),
    Column("first_event_at", UtcDateTime, nullable=False),
    Column("last_event_at", UtcDateTime, nullable=False),
    Column("first_connect_at", UtcDateTime),
    Column("may_continue", Boolean, nullable=False, comment="could go on with a session of the day before"),
    Column("is_closed", Boolean, nullable=False),
    Column("logged_duration_ms", BigInteger),
    *(_count(name) for name in _LOGIN_COUNTS),
    # some versions log what became of a command and not the line that was entered
    _count("command_input_count"),
    _count("command_outcome_count"),
    *(_count(name) for name in _OTHER_COUNTS),
    Column("client_version", Text),
    Column("hassh", Text),
    Column("event_counts", _Json, nullable=False),
    Column("imported_from", String(32), comment="the earlier database that gave the row; NULL: made from kept lines"),
)
Index(None, session_days.c.day)
Index(None, session_days.c.session_id)
Index(None, session_days.c.session_key)
Index(
    "ix_session_days_may_continue",
    session_days.c.day,
    sqlite_where=session_days.c.may_continue,
    postgresql_where=session_days.c.may_continue,
)

_is_imported = session_days.c.imported_from.is_not(None)
Index(
    "ix_session_days_imported",
    session_days.c.session_id,
    sqlite_where=_is_imported,
    postgresql_where=_is_imported,
)

enrichment_documents = Table(
    "enrichment_documents",
    metadata,
    Column("digest", String(32), primary_key=True),
    Column("document", _Json, nullable=False),
)

session_summaries = Table(
    "session_summaries",
    metadata,
    Column("session_key", _BigId, primary_key=True, autoincrement=False),
    Column("session_id", Text, nullable=False),
    Column("sensor", Text, nullable=False),
    Column("source", Text, nullable=False, comment="source_ip, or what was logged in its place"),
    Column("source_ip", INET, ForeignKey("ip_inventory.ip_address")),
    Column("protocol", Text),
    Column("first_event_at", UtcDateTime, nullable=False),
    Column("last_event_at", UtcDateTime, nullable=False),
    Column("duration_ms", BigInteger, comment="as Cowrie logged it, else from first to last event"),
    Column("is_closed", Boolean, nullable=False),
    *(_count(name) for name in (*_LOGIN_COUNTS, "command_count", *_OTHER_COUNTS)),
    Column("client_version", Text),
    Column("hassh", Text),
    Column("event_counts", _Json, nullable=False),
    Column("snapshot_asn", BigInteger, ForeignKey("asn_inventory.asn_number")),
    Column("snapshot_country", String(2)),
    Column("snapshot_ip_type", Text),
    Column("snapshot_basis", Text),
    Column("snapshot_at", UtcDateTime),
    Column("snapshot_document", String(32), ForeignKey("enrichment_documents.digest")),
    Column("snapshot_seal", Text, comment="the snapshot's values when it was taken, to prove that none changed since"),
    # A snapshot makes a row anew, and half as long again. No index names its columns and the page has room for all its
    # rows twice, so PostgreSQL leaves indexes alone.
    postgresql_with={"fillfactor": 40},
)
Index(None, session_summaries.c.first_event_at)
# with the times, so that an address is recounted from the index alone, however many sessions it had
Index(
    None,
    session_summaries.c.source_ip,
    session_summaries.c.first_event_at,
    session_summaries.c.last_event_at,
)

login_attempts = Table(
    "login_attempts",
    metadata,
    Column("login_attempt_id", _BigId, primary_key=True, autoincrement=True),
    _session_key(),
    Column("event_at", UtcDateTime, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Column("username", Text),
    Column("password", Text),
    Column("key_fingerprint", Text),
)

commands = Table(
    "commands",
    metadata,
    Column("command_id", _BigId, primary_key=True, autoincrement=True),
    _session_key(),
    Column("event_at", UtcDateTime, nullable=False),
    Column("kind", Text, nullable=False, comment="input: a line entered; success, failed: a command of such a line"),
    Column("input", Text),
)

session_files = Table(
    "session_files",
    metadata,
    Column("session_file_id", _BigId, primary_key=True, autoincrement=True),
    _session_key(),
    Column("event_at", UtcDateTime, nullable=False),
    Column("kind", Text, nullable=False, comment="download, download_failed, upload"),
    Column("url", Text),
    Column("file_name", Text),
    Column("sha256", String(64)),
    Column("stored_as", Text),
)

tunnels = Table(
    "tunnels",
    metadata,
    Column("tunnel_id", _BigId, primary_key=True, autoincrement=True),
    _session_key(),
    Column("event_at", UtcDateTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, comment="an address or a host name, as asked for"),
    Column("target_port", BigInteger),
    Column("data", Text),
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("client_key_id", _BigId, primary_key=True, autoincrement=True),
    _session_key(),
    Column("event_at", UtcDateTime, nullable=False),
    Column("username", Text),
    Column("fingerprint", Text),
    Column("key_type", Text),
    Column("public_key", Text),
)

DETAIL_TABLES = (login_attempts, commands, session_files, tunnels, client_keys)
for _table in DETAIL_TABLES:
    Index(None, _table.c.session_key)
    Index(None, _table.c.event_at)

asn_inventory = Table(
    "asn_inventory",
    metadata,
    Column("asn_number", _BigId, primary_key=True, autoincrement=False),
    Column("organization_name", Text),
    Column("organization_source", Text),
    Column("organization_country", String(2), comment="of the network's registration, never of one address"),
    Column("organization_country_source", Text),
    Column("rir_registry", Text),
    Column("rir_registry_source", Text),
    Column("asn_type", Text, comment="HOSTING, ISP, CLOUD, VPN, EDUCATION, GOVERNMENT, ENTERPRISE or UNKNOWN"),
    Column("asn_type_basis", Text, comment="the rule that decided the type, its reason and its source"),
    Column("is_known_hosting", Boolean),
    Column("is_known_vpn", Boolean),
    Column("first_seen", UtcDateTime),
    Column("last_seen", UtcDateTime),
    _count("unique_ip_count"),
    _count("total_session_count"),
    Column("enrichment", _Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

ip_inventory = Table(
    "ip_inventory",
    metadata,
    Column("ip_address", INET, primary_key=True),
    Column("current_asn", BigInteger, ForeignKey("asn_inventory.asn_number")),
    Column("asn_source", Text),
    Column("asn_last_verified", UtcDateTime),
    Column("first_seen", UtcDateTime),
    Column("last_seen", UtcDateTime),
    _count("session_count"),
    Column("geo_country", String(2)),
    Column("country_basis", Text, comment="geolocation, or registry: where the network is registered"),
    Column("geo_city", Text),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("geoip_build", Text, comment="build date of the GeoIP file that answered"),
    Column("ip_type", Text),
    Column("is_scanner", Boolean),
    Column("scanner_kind", Text, comment="research, benign or noise"),
    Column("disagreements", Text, comment="what sources say different things of, separated by commas"),
    Column("is_bogon", Boolean),
    Column("enrichment", _Json, comment="by source"),
    Column("enrichment_digest", String(32)),
    Column("enrichment_state", Text, comment="complete, partial or unknown; NULL: never looked up"),
    Column("enrichment_sources", Text, comment="the sources that could be asked when it was looked up"),
    Column("enrichment_updated_at", UtcDateTime),
    Column("enrichment_due_at", UtcDateTime, comment="when a fact must be asked again"),
    Column("enrichment_version", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
)
# All that is counted by network is in the index: counting from the rows, which hold documents, takes many times longer.
_is_in_network = ip_inventory.c.current_asn.is_not(None)
Index(
    "ix_ip_inventory_network_counts",
    ip_inventory.c.current_asn,
    ip_inventory.c.first_seen,
    ip_inventory.c.last_seen,
    ip_inventory.c.session_count,
    sqlite_where=_is_in_network,
    postgresql_where=_is_in_network,
)

file_reputation = Table(
    "file_reputation",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    _count("transfers"),
    Column("status", Text, comment="of the last look-up; NULL: never asked"),
    Column("malicious", Integer, comment="scanners that say so"),
    Column("suspicious", Integer),
    Column("label", Text),
    Column("file_type", Text),
    Column("size", BigInteger, comment="bytes"),
    Column("reputation_at", UtcDateTime, comment="when the service was asked"),
    Column("due_at", UtcDateTime, comment="when it must be asked again"),
)
Index(None, file_reputation.c.last_seen)

password_exposure = Table(
    "password_exposure",
    metadata,
    Column("sha1", String(40), primary_key=True),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    _count("attempts"),
    Column("status", Text, comment="of the last look-up; NULL: never asked"),
    Column("times_seen", BigInteger, comment="in leaks"),
    Column("exposure_at", UtcDateTime, comment="when the service was asked"),
    Column("due_at", UtcDateTime, comment="when it must be asked again"),
)
Index(None, password_exposure.c.last_seen)

# What the counts above add up to on days whose details were removed; steps/retention.py.
retired_files = Table(
    "retired_files",
    metadata,
    Column("day", Date, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("transfers", BigInteger, nullable=False),
)
Index(None, retired_files.c.sha256)

retired_passwords = Table(
    "retired_passwords",
    metadata,
    Column("day", Date, primary_key=True),
    Column("sha1", String(40), primary_key=True),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("attempts", BigInteger, nullable=False),
)
Index(None, retired_passwords.c.sha1)

ip_asn_history = Table(
    "ip_asn_history",
    metadata,
    Column("ip_address", INET, ForeignKey("ip_inventory.ip_address"), primary_key=True),
    Column("observed_from", UtcDateTime, primary_key=True),
    Column("asn_number", BigInteger, ForeignKey("asn_inventory.asn_number"), nullable=False),
    Column("last_confirmed", UtcDateTime, nullable=False),
    Column("source", Text, nullable=False),
)
Index(None, ip_asn_history.c.asn_number)

asn_fact_history = Table(
    "asn_fact_history",
    metadata,
    Column("asn_number", BigInteger, ForeignKey("asn_inventory.asn_number"), primary_key=True, autoincrement=False),
    Column("field", Text, primary_key=True, comment="the column of asn_inventory that was replaced"),
    Column("replaced_at", UtcDateTime, primary_key=True),
    Column("old_value", Text, nullable=False),
    Column("old_source", Text),
    Column("new_value", Text),
    Column("new_source", Text),
)

ip_country_changes = Table(
    "ip_country_changes",
    metadata,
    Column("ip_address", INET, ForeignKey("ip_inventory.ip_address"), primary_key=True),
    Column("changed_at", UtcDateTime, primary_key=True),
    Column("old_country", String(2), nullable=False),
    Column("old_basis", Text),
    Column("new_country", String(2)),
    Column("new_basis", Text),
)
Index(None, ip_country_changes.c.changed_at)

asn_session_counts = Table(
    "asn_session_counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("asn_number", BigInteger, primary_key=True, autoincrement=False, comment="0: none known"),
    _count("sessions"),
    _count("unique_ips"),
    _count("logins"),
    _count("successful_logins"),
    _count("commands"),
    _count("downloads"),
)
Index(None, asn_session_counts.c.asn_number, asn_session_counts.c.day)

asn_session_totals = Table(
    "asn_session_totals",
    metadata,
    Column("asn_number", BigInteger, primary_key=True, autoincrement=False, comment="0: none known"),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    _count("sessions"),
    _count("logins"),
    _count("successful_logins"),
    _count("commands"),
    _count("downloads"),
    _count("address_days"),
)

asn_addresses = Table(
    "asn_addresses",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False, comment="as 202603"),
    Column("asn_number", BigInteger, primary_key=True, autoincrement=False),
    Column("ip_address", INET, primary_key=True),
    Column("days", BigInteger, nullable=False, comment="bit 1 is the first of the month"),
    sqlite_with_rowid=False,
)

country_session_counts = Table(
    "country_session_counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("country", String(2), primary_key=True, comment="'': none known"),
    _count("sessions"),
    _count("logins"),
    _count("successful_logins"),
    _count("commands"),
    _count("downloads"),
)

enrichment_cache = Table(
    "enrichment_cache",
    metadata,
    Column("service", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("payload", _Json),
    Column("fetched_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("response_code", Integer),
    Column("latency_ms", Float),
    Column("error", Text),
    Column("failures", BigInteger, nullable=False, server_default="0", comment="errors in a row since the last answer"),
    _count("hit_count"),
)
# what was learned lately of one service; what has been expired for long
Index(None, enrichment_cache.c.service, enrichment_cache.c.fetched_at)
Index(None, enrichment_cache.c.expires_at)

enrichment_claims = Table(
    "enrichment_claims",
    metadata,
    Column("service", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("claimed_by", Text, nullable=False),
    Column("claimed_until", UtcDateTime, nullable=False),
)
Index(None, enrichment_claims.c.claimed_until)

enrichment_budget = Table(
    "enrichment_budget",
    metadata,
    Column("service", Text, primary_key=True),
    Column("window_seconds", Float, primary_key=True),
    Column("bucket_start", UtcDateTime, primary_key=True, comment="a bucket is a 24th of the window"),
    Column("calls_used", BigInteger, nullable=False),
    Column("call_limit", BigInteger, nullable=False, comment="of any span as long as the window, when last taken of"),
)

enrichment_paces = Table(
    "enrichment_paces",
    metadata,
    Column("service", Text, primary_key=True),
    Column("window_seconds", Float, primary_key=True),
    Column("next_free_at", UtcDateTime, nullable=False, comment="when the next call may begin"),
    Column("call_limit", BigInteger, nullable=False, comment="of any span as long as the window, when last taken of"),
)

enrichment_pauses = Table(
    "enrichment_pauses",
    metadata,
    Column("service", Text, primary_key=True),
    Column("paused_until", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
)

enrichment_cache_stats = Table(
    "enrichment_cache_stats",
    metadata,
    Column("service", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    _count("hits"),
    _count("misses"),
    _count("stores"),
    _count("calls"),
    _count("failures"),
    Column("latency_ms", Float, nullable=False, server_default="0", comment="summed over the calls"),
)

legacy_imports = Table(
    "legacy_imports",
    metadata,
    Column("source", String(32), primary_key=True, comment="digest of where the earlier database is"),
    Column("part", Text, primary_key=True, comment="networks, addresses, sessions, files or snapshots"),
    Column("location", Text, nullable=False, comment="the earlier database's URL, without its password"),
    Column("last_key", Text, comment="as JSON: what comes up to this key has been done"),
    _count("rows_read"),
    _count("rows_copied"),
    Column("skipped", _Json, nullable=False, comment="rows that were not copied, counted by reason"),
    Column("oddities", _Json, nullable=False, comment="malformed values in rows that were copied, counted by kind"),
    Column("is_done", Boolean, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# The foreign keys of the next two tables are no part of the schema: an import adds them when the rows are there,
# without keeping anybody from writing, which only PostgreSQL can do. A check says the same of both databases.
imported_sessions = Table(
    "imported_sessions",
    metadata,
    Column("source", String(32), primary_key=True, comment="the earlier database, as in legacy_imports"),
    Column("import_key", BigInteger, primary_key=True, autoincrement=False),
    Column("legacy_id", Text, nullable=False, comment="the session's id in the earlier database"),
    Column("session_key", BigInteger, comment="-> session_summaries; NULL: it gave way to a session of the logs"),
    Column("gave_way_to", BigInteger, comment="the session of the logs, when it gave way"),
    Column("first_event_at", UtcDateTime, nullable=False),
    Column("snapshot_asn", BigInteger),
    Column("snapshot_country", String(2)),
    Column("snapshot_ip_type", Text),
    Column("snapshot_basis", Text, comment="what the earlier row proves of its snapshot; NULL: it has none"),
    Column("snapshot_document", String(32), comment="-> enrichment_documents: the enrichment in our layout"),
    Column("legacy_document", String(32), comment="-> enrichment_documents: the enrichment as it was"),
    Column("facts", _Json, nullable=False, comment="what else the earlier row said"),
)
Index(None, imported_sessions.c.session_key)
Index(None, imported_sessions.c.source, imported_sessions.c.first_event_at)

imported_records = Table(
    "imported_records",
    metadata,
    Column("source", String(32), primary_key=True, comment="the earlier database, as in legacy_imports"),
    Column("part", Text, primary_key=True, comment="networks, addresses or files"),
    Column("legacy_key", Text, primary_key=True, comment="the row's key in the earlier database"),
    Column("target_key", Text, nullable=False, comment="AS number, address or SHA-256 here"),
    Column("legacy_document", String(32), comment="-> enrichment_documents: the enrichment as it was"),
    Column("facts", _Json, nullable=False, comment="what else the earlier row said"),
)

step_runs = Table(
    "step_runs",
    metadata,
    Column("step_run_id", _BigId, primary_key=True, autoincrement=True),
    Column("step", Text, nullable=False),
    Column("first_day", Date),
    Column("last_day", Date),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("report", _Json, nullable=False),
)

metric_counts = Table(
    "metric_counts",
    metadata,
    Column("instrument", Text, primary_key=True),
    Column("labels", Text, primary_key=True, comment="as JSON: names and values, in the instrument's order"),
    Column("bucket", Text, primary_key=True, comment="of a histogram: its upper bound, or +Inf; '' of a counter"),
    Column(
        "number",
        BigInteger,
        nullable=False,
        comment="what was counted, or how many observations lie in the bucket and in none below",
    ),
    Column("total", Float, nullable=False, comment="sum of those observations"),
)

alert_incidents = Table(
    "alert_incidents",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("fingerprint", Text, nullable=False, comment="what fails, whenever and however often"),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False, comment="the worst so far: warn or error"),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("announced_at", UtcDateTime, nullable=False, comment="when the newest message about it was written"),
    Column("closed_at", UtcDateTime),
    Column("content", _Json, nullable=False, comment="what fails on which days, and what a message says of it"),
)
Index(
    "ix_alert_incidents_open",
    alert_incidents.c.fingerprint,
    unique=True,
    sqlite_where=alert_incidents.c.closed_at.is_(None),
    postgresql_where=alert_incidents.c.closed_at.is_(None),
)

alert_recoveries = Table(
    "alert_recoveries",
    metadata,
    Column("scope", Text, primary_key=True, comment="the check, step or condition that was found well"),
    Column("first_day", Date, primary_key=True, comment="0001-01-01 to 9999-12-31 for all days"),
    Column("last_day", Date, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False, comment="a failure seen before this is over"),
)
Index(None, alert_recoveries.c.seen_at)

alert_outbox = Table(
    "alert_outbox",
    metadata,
    Column("message_id", _BigId, primary_key=True, autoincrement=True),
    Column("incident_id", String(32), ForeignKey("alert_incidents.incident_id"), nullable=False),
    Column("receiver", Text, nullable=False),
    Column("message", _Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False, comment="not sent before; also while a process is sending it"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("delivered_at", UtcDateTime),
    Column("error", Text, comment="why the newest attempt failed"),
)
Index(None, alert_outbox.c.incident_id)
Index(
    "ix_alert_outbox_waiting",
    alert_outbox.c.due_at,
    sqlite_where=alert_outbox.c.delivered_at.is_(None),
    postgresql_where=alert_outbox.c.delivered_at.is_(None),
)


def columns_of(table: Table) -> dict[str, Any]:
    """Return the column types of a table by name."""
    return {column.name: column.type for column in table.columns}
