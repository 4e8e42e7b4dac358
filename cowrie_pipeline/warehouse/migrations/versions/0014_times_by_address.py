"""Sessions are found by address with their times: recounts of addresses that return need not read the sessions."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_BY_ADDRESS = "ix_session_summaries_source_ip"
_WITH_TIMES = "ix_session_summaries_source_ip_first_event_at_last_event_at"


def upgrade() -> None:
    op.create_index(_WITH_TIMES, "session_summaries", ["source_ip", "first_event_at", "last_event_at"])
    op.drop_index(_BY_ADDRESS, table_name="session_summaries")


def downgrade() -> None:
    op.create_index(_BY_ADDRESS, "session_summaries", ["source_ip"])
    op.drop_index(_WITH_TIMES, table_name="session_summaries")
