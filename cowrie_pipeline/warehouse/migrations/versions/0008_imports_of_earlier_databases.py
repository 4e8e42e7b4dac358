"""Sessions, addresses, networks and files that came from databases of the older, session-level layout."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_TIME = sa.DateTime(timezone=True)
_SOURCE = "the earlier database, as in legacy_imports"
_IMPORTED = sa.text("imported_from IS NOT NULL")


def upgrade() -> None:
    op.add_column(
        "session_days",
        sa.Column(
            "imported_from",
            sa.String(32),
            comment="the earlier database that gave the row; NULL: made from kept lines",
        ),
    )
    op.create_index(
        "ix_session_days_imported",
        "session_days",
        ["session_id"],
        unique=False,
        sqlite_where=_IMPORTED,
        postgresql_where=_IMPORTED,
    )
    op.create_table(
        "legacy_imports",
        sa.Column("source", sa.String(32), nullable=False, comment="digest of where the earlier database is"),
        sa.Column("part", sa.Text(), nullable=False, comment="networks, addresses, sessions, files or snapshots"),
        sa.Column("location", sa.Text(), nullable=False, comment="the earlier database's URL, without its password"),
        sa.Column("last_key", sa.Text(), comment="as JSON: what comes up to this key has been done"),
        sa.Column("rows_read", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_copied", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("skipped", _JSON, nullable=False, comment="rows that were not copied, counted by reason"),
        sa.Column(
            "oddities", _JSON, nullable=False, comment="malformed values in rows that were copied, counted by kind"
        ),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", "part", name=op.f("pk_legacy_imports")),
    )
    op.create_table(
        "imported_sessions",
        sa.Column("source", sa.String(32), nullable=False, comment=_SOURCE),
        sa.Column("import_key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("legacy_id", sa.Text(), nullable=False, comment="the session's id in the earlier database"),
        sa.Column(
            "session_key",
            sa.BigInteger(),
            comment="-> session_summaries; NULL: it gave way to a session of the logs",
        ),
        sa.Column("gave_way_to", sa.BigInteger(), comment="the session of the logs, when it gave way"),
        sa.Column("first_event_at", _TIME, nullable=False),
        sa.Column("snapshot_asn", sa.BigInteger()),
        sa.Column("snapshot_country", sa.String(2)),
        sa.Column("snapshot_ip_type", sa.Text()),
        sa.Column(
            "snapshot_basis", sa.Text(), comment="what the earlier row proves of its snapshot; NULL: it has none"
        ),
        sa.Column("snapshot_document", sa.String(32), comment="-> enrichment_documents: the enrichment in our layout"),
        sa.Column("legacy_document", sa.String(32), comment="-> enrichment_documents: the enrichment as it was"),
        sa.Column("facts", _JSON, nullable=False, comment="what else the earlier row said"),
        sa.PrimaryKeyConstraint("source", "import_key", name=op.f("pk_imported_sessions")),
    )
    op.create_index(op.f("ix_imported_sessions_session_key"), "imported_sessions", ["session_key"], unique=False)
    op.create_index(
        op.f("ix_imported_sessions_source_first_event_at"),
        "imported_sessions",
        ["source", "first_event_at"],
        unique=False,
    )
    op.create_table(
        "imported_records",
        sa.Column("source", sa.String(32), nullable=False, comment=_SOURCE),
        sa.Column("part", sa.Text(), nullable=False, comment="networks, addresses or files"),
        sa.Column("legacy_key", sa.Text(), nullable=False, comment="the row's key in the earlier database"),
        sa.Column("target_key", sa.Text(), nullable=False, comment="AS number, address or SHA-256 here"),
        sa.Column("legacy_document", sa.String(32), comment="-> enrichment_documents: the enrichment as it was"),
        sa.Column("facts", _JSON, nullable=False, comment="what else the earlier row said"),
        sa.PrimaryKeyConstraint("source", "part", "legacy_key", name=op.f("pk_imported_records")),
    )


def downgrade() -> None:
    op.drop_table("imported_records")
    op.drop_table("imported_sessions")
    op.drop_table("legacy_imports")
    op.drop_index("ix_session_days_imported", table_name="session_days")
    op.drop_column("session_days", "imported_from")
