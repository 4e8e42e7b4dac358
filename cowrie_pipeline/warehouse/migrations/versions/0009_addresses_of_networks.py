"""Which addresses of a network attacked on which days, and snapshots that need no room in any index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_IS_IN_NETWORK = sa.text("snapshot_asn IS NOT NULL")

# Of the days that were counted by network: the others are counted when they are.
_KEEP_ADDRESSES = """
INSERT INTO asn_addresses (month, asn_number, ip_address, days)
SELECT
    CAST(substr(day, 1, 4) || substr(day, 6, 2) AS INTEGER), asn_number, ip_address,
    CAST(SUM(CAST(1 AS BIGINT) << CAST(substr(day, 9, 2) AS INTEGER)) AS BIGINT)
FROM (
    SELECT DISTINCT CAST(date(first_event_at) AS TEXT) AS day, snapshot_asn AS asn_number, source_ip AS ip_address
    FROM session_summaries
    WHERE snapshot_asn IS NOT NULL AND source_ip IS NOT NULL
      AND date(first_event_at) IN (SELECT day FROM asn_session_counts)
) AS came
GROUP BY 1, 2, 3
"""

_SUM_ADDRESS_DAYS = """
UPDATE asn_session_totals
SET address_days = (
    SELECT COALESCE(SUM(c.unique_ips), 0) FROM asn_session_counts AS c
    WHERE c.asn_number = asn_session_totals.asn_number
)
"""


def upgrade() -> None:
    op.create_table(
        "asn_addresses",
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False, comment="as 202603"),
        sa.Column("asn_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ip_address", sa.Text().with_variant(postgresql.INET(), "postgresql"), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False, comment="bit 1 is the first of the month"),
        sa.PrimaryKeyConstraint("month", "asn_number", "ip_address", name=op.f("pk_asn_addresses")),
        sqlite_with_rowid=False,
    )
    op.add_column("asn_session_totals", sa.Column("address_days", sa.BigInteger(), server_default="0", nullable=False))
    op.execute(_KEEP_ADDRESSES)
    op.execute(_SUM_ADDRESS_DAYS)
    op.drop_index(op.f("ix_session_summaries_snapshot_asn"), table_name="session_summaries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE session_summaries SET (fillfactor = 50)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE session_summaries RESET (fillfactor)")
    op.create_index(
        op.f("ix_session_summaries_snapshot_asn"),
        "session_summaries",
        ["snapshot_asn"],
        sqlite_where=_IS_IN_NETWORK,
        postgresql_where=_IS_IN_NETWORK,
    )
    op.drop_column("asn_session_totals", "address_days")
    op.drop_table("asn_addresses")
