"""What is counted by network comes from an index."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IS_IN_NETWORK = sa.text("current_asn IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_ip_inventory_network_counts",
        "ip_inventory",
        ["current_asn", "first_seen", "last_seen", "session_count"],
        sqlite_where=_IS_IN_NETWORK,
        postgresql_where=_IS_IN_NETWORK,
    )
    op.drop_index(op.f("ix_ip_inventory_current_asn"), "ip_inventory")


def downgrade() -> None:
    op.create_index(op.f("ix_ip_inventory_current_asn"), "ip_inventory", ["current_asn"])
    op.drop_index("ix_ip_inventory_network_counts", "ip_inventory")
