"""Who is to be told of what: incidents, what was found well again, and messages until they are delivered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "alert_incidents",
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="what fails, whenever and however often"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False, comment="the worst so far: warn or error"),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("announced_at", _TIME, nullable=False, comment="when the newest message about it was written"),
        sa.Column("closed_at", _TIME),
        sa.Column("content", _JSON, nullable=False, comment="what fails on which days, and what a message says of it"),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_alert_incidents")),
    )
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_alert_incidents_open",
        "alert_incidents",
        ["fingerprint"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "alert_recoveries",
        sa.Column("scope", sa.Text(), nullable=False, comment="the check, step or condition that was found well"),
        sa.Column("first_day", sa.Date(), nullable=False, comment="0001-01-01 to 9999-12-31 for all days"),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False, comment="a failure seen before this is over"),
        sa.PrimaryKeyConstraint("scope", "first_day", "last_day", name=op.f("pk_alert_recoveries")),
    )
    op.create_index(op.f("ix_alert_recoveries_seen_at"), "alert_recoveries", ["seen_at"], unique=False)
    op.create_table(
        "alert_outbox",
        sa.Column("message_id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("message", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False, comment="not sent before; also while a process is sending it"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("delivered_at", _TIME),
        sa.Column("error", sa.Text(), comment="why the newest attempt failed"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["alert_incidents.incident_id"], name=op.f("fk_alert_outbox_incident_id")
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_alert_outbox")),
    )
    op.create_index(op.f("ix_alert_outbox_incident_id"), "alert_outbox", ["incident_id"], unique=False)
    is_waiting = sa.text("delivered_at IS NULL")
    op.create_index(
        "ix_alert_outbox_waiting",
        "alert_outbox",
        ["due_at"],
        unique=False,
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )


def downgrade() -> None:
    op.drop_table("alert_outbox")
    op.drop_table("alert_recoveries")
    op.drop_table("alert_incidents")
