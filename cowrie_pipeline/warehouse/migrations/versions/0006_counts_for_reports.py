"""Sessions per country and day, and per network over all days: what reports over any span need to be quick."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTS = ("sessions", "logins", "successful_logins", "commands", "downloads")

# Of the days that were counted by network: the others are counted when they are.
_COUNT_COUNTRIES = """
INSERT INTO country_session_counts (day, country, sessions, logins, successful_logins, commands, downloads)
SELECT
    date(first_event_at), COALESCE(snapshot_country, ''), COUNT(*), SUM(login_success_count + login_failed_count),
    SUM(login_success_count), SUM(command_count), SUM(file_download_count)
FROM session_summaries
WHERE date(first_event_at) IN (SELECT day FROM asn_session_counts)
GROUP BY date(first_event_at), COALESCE(snapshot_country, '')
"""

_TOTAL_NETWORKS = """
INSERT INTO asn_session_totals (
    asn_number, first_day, last_day, sessions, logins, successful_logins, commands, downloads
)
SELECT
    asn_number, MIN(day), MAX(day), SUM(sessions), SUM(logins), SUM(successful_logins), SUM(commands), SUM(downloads)
FROM asn_session_counts
GROUP BY asn_number
"""


def upgrade() -> None:
    op.drop_index(op.f("ix_asn_session_counts_asn_number"), table_name="asn_session_counts")
    op.create_index(op.f("ix_asn_session_counts_asn_number_day"), "asn_session_counts", ["asn_number", "day"])
    op.create_table(
        "country_session_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("country", sa.String(2), nullable=False, comment="'': none known"),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("day", "country", name=op.f("pk_country_session_counts")),
    )
    op.create_table(
        "asn_session_totals",
        sa.Column("asn_number", sa.BigInteger(), autoincrement=False, nullable=False, comment="0: none known"),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("asn_number", name=op.f("pk_asn_session_totals")),
    )
    op.execute(_COUNT_COUNTRIES)
    op.execute(_TOTAL_NETWORKS)


def downgrade() -> None:
    op.drop_table("asn_session_totals")
    op.drop_table("country_session_counts")
    op.drop_index(op.f("ix_asn_session_counts_asn_number_day"), table_name="asn_session_counts")
    op.create_index(op.f("ix_asn_session_counts_asn_number"), "asn_session_counts", ["asn_number"])
