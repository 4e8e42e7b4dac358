"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INET = sa.Text().with_variant(postgresql.INET(), "postgresql")
_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "asn_inventory",
        sa.Column("asn_number", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("organization_name", sa.Text(), nullable=True),
        sa.Column("organization_source", sa.Text(), nullable=True),
        sa.Column(
            "organization_country",
            sa.String(length=2),
            nullable=True,
            comment="of the network's registration, never of one address",
        ),
        sa.Column("rir_registry", sa.Text(), nullable=True),
        sa.Column("asn_type", sa.Text(), nullable=True),
        sa.Column("is_known_hosting", sa.Boolean(), nullable=True),
        sa.Column("is_known_vpn", sa.Boolean(), nullable=True),
        sa.Column("first_seen", _TIME, nullable=True),
        sa.Column("last_seen", _TIME, nullable=True),
        sa.Column("unique_ip_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total_session_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("enrichment", _JSON, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("asn_number", name=op.f("pk_asn_inventory")),
    )
    op.create_table(
        "asn_session_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("asn_number", sa.BigInteger(), autoincrement=False, nullable=False, comment="0: none known"),
        sa.Column("sessions", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unique_ips", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("logins", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("successful_logins", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("commands", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("downloads", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", "asn_number", name=op.f("pk_asn_session_counts")),
    )
    op.create_index(op.f("ix_asn_session_counts_asn_number"), "asn_session_counts", ["asn_number"], unique=False)
    op.create_table(
        "enrichment_cache",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payload", _JSON, nullable=True),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("response_code", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hit_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("service", "key", name=op.f("pk_enrichment_cache")),
    )
    op.create_table(
        "enrichment_cache_stats",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("hits", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("misses", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("stores", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("latency_ms", sa.Float(), server_default="0", nullable=False, comment="summed over the calls"),
        sa.PrimaryKeyConstraint("service", "day", name=op.f("pk_enrichment_cache_stats")),
    )
    op.create_table(
        "enrichment_documents",
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("document", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_enrichment_documents")),
    )
    op.create_table(
        "loaded_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("segments", sa.BigInteger(), nullable=False, comment="how many segments the day was made of"),
        sa.Column("derivation", sa.Integer(), nullable=False, comment="version of the code that made it"),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("events_without_session", sa.BigInteger(), nullable=False),
        sa.Column("session_days", sa.BigInteger(), nullable=False),
        sa.Column("loaded_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_loaded_days")),
    )
    op.create_table(
        "log_files",
        sa.Column("file_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("head_length", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes on disk"),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column(
            "read_offset", sa.BigInteger(), nullable=False, comment="bytes of decompressed content that were read"
        ),
        sa.Column(
            "tail_fingerprint",
            sa.String(length=32),
            nullable=False,
            comment="of the last `tail_length` bytes before read_offset",
        ),
        sa.Column("tail_length", sa.Integer(), nullable=False),
        sa.Column("ends_with_newline", sa.Boolean(), nullable=False),
        sa.Column("first_event_at", _TIME, nullable=True),
        sa.Column("last_event_at", _TIME, nullable=True),
        sa.Column("lines", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("events", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dead_letters", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("blank_lines", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("is_foreign", sa.Boolean(), nullable=False, comment="not a Cowrie log at all"),
        sa.Column("damage", sa.Text(), nullable=True, comment="why the content stops early"),
        sa.Column("head_fragment", sa.LargeBinary(), nullable=True),
        sa.Column("head_is_joined", sa.Boolean(), nullable=False),
        sa.Column("tail_fragment", sa.LargeBinary(), nullable=True),
        sa.Column("tail_is_joined", sa.Boolean(), nullable=False),
        sa.Column("days", _JSON, nullable=False, comment="lines that are events, by day, duplicates included"),
        sa.Column(
            "oddities", _JSON, nullable=False, comment="unknown events and fields and odd types, counted by name"
        ),
        sa.Column("read_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_log_files")),
    )
    op.create_index(op.f("ix_log_files_fingerprint"), "log_files", ["fingerprint"], unique=False)
    op.create_index(op.f("ix_log_files_path"), "log_files", ["path"], unique=False)
    op.create_table(
        "step_runs",
        sa.Column("step_run_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("report", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("step_run_id", name=op.f("pk_step_runs")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("line_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("line_number", sa.BigInteger(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False, comment="1, or all lines of a file that is no Cowrie log"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["log_files.file_id"], name=op.f("fk_dead_letters_file_id")),
        sa.PrimaryKeyConstraint("line_fingerprint", name=op.f("pk_dead_letters")),
    )
    op.create_index(op.f("ix_dead_letters_file_id"), "dead_letters", ["file_id"], unique=False)
    op.create_table(
        "ip_inventory",
        sa.Column("ip_address", _INET, nullable=False),
        sa.Column("current_asn", sa.BigInteger(), nullable=True),
        sa.Column("asn_source", sa.Text(), nullable=True),
        sa.Column("asn_last_verified", _TIME, nullable=True),
        sa.Column("first_seen", _TIME, nullable=True),
        sa.Column("last_seen", _TIME, nullable=True),
        sa.Column("session_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("geo_country", sa.String(length=2), nullable=True),
        sa.Column(
            "country_basis",
            sa.Text(),
            nullable=True,
            comment="geolocation, or registry: where the network is registered",
        ),
        sa.Column("geo_city", sa.Text(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("geoip_build", sa.Text(), nullable=True, comment="build date of the GeoIP file that answered"),
        sa.Column("ip_type", sa.Text(), nullable=True),
        sa.Column("is_scanner", sa.Boolean(), nullable=True),
        sa.Column("is_bogon", sa.Boolean(), nullable=True),
        sa.Column("enrichment", _JSON, nullable=True, comment="by source"),
        sa.Column("enrichment_digest", sa.String(length=32), nullable=True),
        sa.Column(
            "enrichment_state", sa.Text(), nullable=True, comment="complete, partial or unknown; NULL: never looked up"
        ),
        sa.Column(
            "enrichment_sources",
            sa.Text(),
            nullable=True,
            comment="the sources that could be asked when it was looked up",
        ),
        sa.Column("enrichment_updated_at", _TIME, nullable=True),
        sa.Column("enrichment_due_at", _TIME, nullable=True, comment="when a fact must be asked again"),
        sa.Column("enrichment_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["current_asn"], ["asn_inventory.asn_number"], name=op.f("fk_ip_inventory_current_asn")
        ),
        sa.PrimaryKeyConstraint("ip_address", name=op.f("pk_ip_inventory")),
    )
    op.create_index(op.f("ix_ip_inventory_current_asn"), "ip_inventory", ["current_asn"], unique=False)
    op.create_table(
        "log_segments",
        sa.Column("segment_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False, comment="the events' lines, joined by newlines, as zstd"),
        sa.Column(
            "fingerprints",
            sa.LargeBinary(),
            nullable=False,
            comment="of the lines, 8 bytes each, little-endian, ascending",
        ),
        sa.ForeignKeyConstraint(["file_id"], ["log_files.file_id"], name=op.f("fk_log_segments_file_id")),
        sa.PrimaryKeyConstraint("segment_id", name=op.f("pk_log_segments")),
    )
    op.create_index(op.f("ix_log_segments_day"), "log_segments", ["day"], unique=False)
    op.create_index(op.f("ix_log_segments_file_id"), "log_segments", ["file_id"], unique=False)
    op.create_table(
        "ip_asn_history",
        sa.Column("ip_address", _INET, nullable=False),
        sa.Column("observed_from", _TIME, nullable=False),
        sa.Column("asn_number", sa.BigInteger(), nullable=False),
        sa.Column("last_confirmed", _TIME, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asn_number"], ["asn_inventory.asn_number"], name=op.f("fk_ip_asn_history_asn_number")
        ),
        sa.ForeignKeyConstraint(["ip_address"], ["ip_inventory.ip_address"], name=op.f("fk_ip_asn_history_ip_address")),
        sa.PrimaryKeyConstraint("ip_address", "observed_from", name=op.f("pk_ip_asn_history")),
    )
    op.create_index(op.f("ix_ip_asn_history_asn_number"), "ip_asn_history", ["asn_number"], unique=False)
    op.create_table(
        "session_summaries",
        sa.Column("session_key", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("sensor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="source_ip, or what was logged in its place"),
        sa.Column("source_ip", _INET, nullable=True),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("first_event_at", _TIME, nullable=False),
        sa.Column("last_event_at", _TIME, nullable=False),
        sa.Column(
            "duration_ms", sa.BigInteger(), nullable=True, comment="as Cowrie logged it, else from first to last event"
        ),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("login_success_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("login_failed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("command_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("command_failed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_download_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_upload_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tunnel_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("client_version", sa.Text(), nullable=True),
        sa.Column("hassh", sa.Text(), nullable=True),
        sa.Column("event_counts", _JSON, nullable=False),
        sa.Column("snapshot_asn", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_country", sa.String(length=2), nullable=True),
        sa.Column("snapshot_ip_type", sa.Text(), nullable=True),
        sa.Column("snapshot_basis", sa.Text(), nullable=True),
        sa.Column("snapshot_at", _TIME, nullable=True),
        sa.Column("snapshot_document", sa.String(length=32), nullable=True),
        sa.Column(
            "snapshot_seal",
            sa.Text(),
            nullable=True,
            comment="the snapshot's values when it was taken, to prove that none changed since",
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_asn"], ["asn_inventory.asn_number"], name=op.f("fk_session_summaries_snapshot_asn")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_document"], ["enrichment_documents.digest"], name=op.f("fk_session_summaries_snapshot_document")
        ),
        sa.ForeignKeyConstraint(
            ["source_ip"], ["ip_inventory.ip_address"], name=op.f("fk_session_summaries_source_ip")
        ),
        sa.PrimaryKeyConstraint("session_key", name=op.f("pk_session_summaries")),
    )
    op.create_index(op.f("ix_session_summaries_first_event_at"), "session_summaries", ["first_event_at"], unique=False)
    op.create_index(
        op.f("ix_session_summaries_snapshot_asn"),
        "session_summaries",
        ["snapshot_asn"],
        unique=False,
        sqlite_where=sa.text("snapshot_asn IS NOT NULL"),
        postgresql_where=sa.text("snapshot_asn IS NOT NULL"),
    )
    op.create_index(op.f("ix_session_summaries_source_ip"), "session_summaries", ["source_ip"], unique=False)
    op.create_table(
        "client_keys",
        sa.Column("client_key_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("event_at", _TIME, nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("key_type", sa.Text(), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_client_keys_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("client_key_id", name=op.f("pk_client_keys")),
    )
    op.create_index(op.f("ix_client_keys_event_at"), "client_keys", ["event_at"], unique=False)
    op.create_index(op.f("ix_client_keys_session_key"), "client_keys", ["session_key"], unique=False)
    op.create_table(
        "commands",
        sa.Column("command_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("event_at", _TIME, nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="input: a line entered; success, failed: a command of such a line",
        ),
        sa.Column("input", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_commands_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_commands")),
    )
    op.create_index(op.f("ix_commands_event_at"), "commands", ["event_at"], unique=False)
    op.create_index(op.f("ix_commands_session_key"), "commands", ["session_key"], unique=False)
    op.create_table(
        "login_attempts",
        sa.Column("login_attempt_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("event_at", _TIME, nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("key_fingerprint", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_login_attempts_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("login_attempt_id", name=op.f("pk_login_attempts")),
    )
    op.create_index(op.f("ix_login_attempts_event_at"), "login_attempts", ["event_at"], unique=False)
    op.create_index(op.f("ix_login_attempts_session_key"), "login_attempts", ["session_key"], unique=False)
    op.create_table(
        "session_days",
        sa.Column("session_day_key", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sensor", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="source_ip, or what was logged in its place"),
        sa.Column("source_ip", _INET, nullable=True),
        sa.Column("protocol", sa.Text(), nullable=True),
        sa.Column("first_event_at", _TIME, nullable=False),
        sa.Column("last_event_at", _TIME, nullable=False),
        sa.Column("first_connect_at", _TIME, nullable=True),
        sa.Column("may_continue", sa.Boolean(), nullable=False, comment="could go on with a session of the day before"),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.Column("logged_duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("event_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("login_success_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("login_failed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("command_input_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("command_outcome_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("command_failed_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_download_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_upload_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tunnel_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("client_version", sa.Text(), nullable=True),
        sa.Column("hassh", sa.Text(), nullable=True),
        sa.Column("event_counts", _JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_session_days_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("session_day_key", name=op.f("pk_session_days")),
    )
    op.create_index(op.f("ix_session_days_day"), "session_days", ["day"], unique=False)
    op.create_index(
        "ix_session_days_may_continue",
        "session_days",
        ["day"],
        unique=False,
        sqlite_where=sa.text("may_continue = 1"),
        postgresql_where=sa.text("may_continue"),
    )
    op.create_index(op.f("ix_session_days_session_id"), "session_days", ["session_id"], unique=False)
    op.create_index(op.f("ix_session_days_session_key"), "session_days", ["session_key"], unique=False)
    op.create_table(
        "session_files",
        sa.Column("session_file_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("event_at", _TIME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="download, download_failed, upload"),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("stored_as", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_session_files_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("session_file_id", name=op.f("pk_session_files")),
    )
    op.create_index(op.f("ix_session_files_event_at"), "session_files", ["event_at"], unique=False)
    op.create_index(op.f("ix_session_files_session_key"), "session_files", ["session_key"], unique=False)
    op.create_table(
        "tunnels",
        sa.Column("tunnel_id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("session_key", sa.BigInteger(), nullable=False),
        sa.Column("event_at", _TIME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True, comment="an address or a host name, as asked for"),
        sa.Column("target_port", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_summaries.session_key"],
            name=op.f("fk_tunnels_session_key"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("tunnel_id", name=op.f("pk_tunnels")),
    )
    op.create_index(op.f("ix_tunnels_event_at"), "tunnels", ["event_at"], unique=False)
    op.create_index(op.f("ix_tunnels_session_key"), "tunnels", ["session_key"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_tunnels_session_key"), table_name="tunnels")
    op.drop_index(op.f("ix_tunnels_event_at"), table_name="tunnels")
    op.drop_table("tunnels")
    op.drop_index(op.f("ix_session_files_session_key"), table_name="session_files")
    op.drop_index(op.f("ix_session_files_event_at"), table_name="session_files")
    op.drop_table("session_files")
    op.drop_index(op.f("ix_session_days_session_key"), table_name="session_days")
    op.drop_index(op.f("ix_session_days_session_id"), table_name="session_days")
    op.drop_index(
        "ix_session_days_may_continue",
        table_name="session_days",
        sqlite_where=sa.text("may_continue = 1"),
        postgresql_where=sa.text("may_continue"),
    )
    op.drop_index(op.f("ix_session_days_day"), table_name="session_days")
    op.drop_table("session_days")
    op.drop_index(op.f("ix_login_attempts_session_key"), table_name="login_attempts")
    op.drop_index(op.f("ix_login_attempts_event_at"), table_name="login_attempts")
    op.drop_table("login_attempts")
    op.drop_index(op.f("ix_commands_session_key"), table_name="commands")
    op.drop_index(op.f("ix_commands_event_at"), table_name="commands")
    op.drop_table("commands")
    op.drop_index(op.f("ix_client_keys_session_key"), table_name="client_keys")
    op.drop_index(op.f("ix_client_keys_event_at"), table_name="client_keys")
    op.drop_table("client_keys")
    op.drop_index(op.f("ix_session_summaries_source_ip"), table_name="session_summaries")
    op.drop_index(
        op.f("ix_session_summaries_snapshot_asn"),
        table_name="session_summaries",
        sqlite_where=sa.text("snapshot_asn IS NOT NULL"),
        postgresql_where=sa.text("snapshot_asn IS NOT NULL"),
    )
    op.drop_index(op.f("ix_session_summaries_first_event_at"), table_name="session_summaries")
    op.drop_table("session_summaries")
    op.drop_index(op.f("ix_ip_asn_history_asn_number"), table_name="ip_asn_history")
    op.drop_table("ip_asn_history")
    op.drop_index(op.f("ix_log_segments_file_id"), table_name="log_segments")
    op.drop_index(op.f("ix_log_segments_day"), table_name="log_segments")
    op.drop_table("log_segments")
    op.drop_index(op.f("ix_ip_inventory_current_asn"), table_name="ip_inventory")
    op.drop_table("ip_inventory")
    op.drop_index(op.f("ix_dead_letters_file_id"), table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_table("step_runs")
    op.drop_index(op.f("ix_log_files_path"), table_name="log_files")
    op.drop_index(op.f("ix_log_files_fingerprint"), table_name="log_files")
    op.drop_table("log_files")
    op.drop_table("loaded_days")
    op.drop_table("enrichment_documents")
    op.drop_table("enrichment_cache_stats")
    op.drop_table("enrichment_cache")
    op.drop_index(op.f("ix_asn_session_counts_asn_number"), table_name="asn_session_counts")
    op.drop_table("asn_session_counts")
    op.drop_table("asn_inventory")
