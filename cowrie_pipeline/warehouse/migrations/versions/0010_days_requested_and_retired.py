"""Which days were asked for, which have lost their details, and what counts keep of those."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "day_requests",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "segments",
            sa.BigInteger(),
            nullable=False,
            comment="how many segments were kept for the day when asked for",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="wanted, requested, done or failed"),
        sa.Column("run_key", sa.Text(), comment="of the run that was requested last"),
        sa.Column("requested_at", _TIME, comment="when that run was requested"),
        sa.Column(
            "failures",
            sa.Integer(),
            nullable=False,
            comment="runs that failed since the day's last success or new lines",
        ),
        sa.Column("due_at", _TIME, comment="when a day that failed is requested again"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_day_requests")),
    )
    op.create_index(op.f("ix_day_requests_status"), "day_requests", ["status"], unique=False)
    op.create_table(
        "retired_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("retired_at", _TIME, nullable=False),
        sa.Column("details", sa.BigInteger(), nullable=False, comment="rows of details that were removed"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_retired_days")),
    )
    op.create_table(
        "retired_files",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("transfers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "sha256", name=op.f("pk_retired_files")),
    )
    op.create_index(op.f("ix_retired_files_sha256"), "retired_files", ["sha256"], unique=False)
    op.create_table(
        "retired_passwords",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sha1", sa.String(40), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "sha1", name=op.f("pk_retired_passwords")),
    )
    op.create_index(op.f("ix_retired_passwords_sha1"), "retired_passwords", ["sha1"], unique=False)


def downgrade() -> None:
    op.drop_table("retired_passwords")
    op.drop_table("retired_files")
    op.drop_table("retired_days")
    op.drop_table("day_requests")
