"""Who told a network's facts and what they were before; its sessions when they attacked and now."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INET = sa.Text().with_variant(postgresql.INET(), "postgresql")
_TIME = sa.DateTime(timezone=True)
_TYPES = "HOSTING, ISP, CLOUD, VPN, EDUCATION, GOVERNMENT, ENTERPRISE or UNKNOWN"

# Both numbers are recounts: one of the network that an address belonged to when it attacked, one of that of today.
_NETWORK_SESSIONS = """
CREATE VIEW network_sessions AS
SELECT
    a.asn_number, a.organization_name, a.unique_ip_count,
    a.total_session_count AS sessions_at_attack,
    CAST(COALESCE(today.sessions, 0) AS BIGINT) AS sessions_now
FROM asn_inventory AS a
LEFT JOIN (
    SELECT current_asn, SUM(session_count) AS sessions
    FROM ip_inventory
    WHERE current_asn IS NOT NULL
    GROUP BY current_asn
) AS today ON today.current_asn = a.asn_number
"""


def upgrade() -> None:
    op.add_column("asn_inventory", sa.Column("organization_country_source", sa.Text()))
    op.add_column("asn_inventory", sa.Column("rir_registry_source", sa.Text()))
    op.add_column(
        "asn_inventory",
        sa.Column("asn_type_basis", sa.Text(), comment="the rule that decided the type, its reason and its source"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("asn_inventory", "asn_type", comment=_TYPES)
    op.create_table(
        "asn_fact_history",
        sa.Column("asn_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("field", sa.Text(), nullable=False, comment="the column of asn_inventory that was replaced"),
        sa.Column("replaced_at", _TIME, nullable=False),
        sa.Column("old_value", sa.Text(), nullable=False),
        sa.Column("old_source", sa.Text()),
        sa.Column("new_value", sa.Text()),
        sa.Column("new_source", sa.Text()),
        sa.ForeignKeyConstraint(
            ["asn_number"], ["asn_inventory.asn_number"], name=op.f("fk_asn_fact_history_asn_number")
        ),
        sa.PrimaryKeyConstraint("asn_number", "field", "replaced_at", name=op.f("pk_asn_fact_history")),
    )
    op.create_table(
        "ip_country_changes",
        sa.Column("ip_address", _INET, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("old_country", sa.String(2), nullable=False),
        sa.Column("old_basis", sa.Text()),
        sa.Column("new_country", sa.String(2)),
        sa.Column("new_basis", sa.Text()),
        sa.ForeignKeyConstraint(
            ["ip_address"], ["ip_inventory.ip_address"], name=op.f("fk_ip_country_changes_ip_address")
        ),
        sa.PrimaryKeyConstraint("ip_address", "changed_at", name=op.f("pk_ip_country_changes")),
    )
    op.create_index(op.f("ix_ip_country_changes_changed_at"), "ip_country_changes", ["changed_at"], unique=False)
    op.execute(_NETWORK_SESSIONS)


def downgrade() -> None:
    op.execute("DROP VIEW network_sessions")
    op.drop_table("ip_country_changes")
    op.drop_table("asn_fact_history")
    op.drop_column("asn_inventory", "asn_type_basis")
    op.drop_column("asn_inventory", "rir_registry_source")
    op.drop_column("asn_inventory", "organization_country_source")
