"""What is known of files and passwords; who scans; what sources disagree about."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("ip_inventory", sa.Column("scanner_kind", sa.Text(), comment="research, benign or noise"))
    op.add_column(
        "ip_inventory",
        sa.Column("disagreements", sa.Text(), comment="what sources say different things of, separated by commas"),
    )
    op.create_table(
        "file_reputation",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("transfers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), comment="of the last look-up; NULL: never asked"),
        sa.Column("malicious", sa.Integer(), comment="scanners that say so"),
        sa.Column("suspicious", sa.Integer()),
        sa.Column("label", sa.Text()),
        sa.Column("file_type", sa.Text()),
        sa.Column("size", sa.BigInteger(), comment="bytes"),
        sa.Column("reputation_at", _TIME, comment="when the service was asked"),
        sa.Column("due_at", _TIME, comment="when it must be asked again"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_file_reputation")),
    )
    op.create_index(op.f("ix_file_reputation_last_seen"), "file_reputation", ["last_seen"], unique=False)
    op.create_table(
        "password_exposure",
        sa.Column("sha1", sa.String(40), nullable=False),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("last_seen", _TIME, nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), comment="of the last look-up; NULL: never asked"),
        sa.Column("times_seen", sa.BigInteger(), comment="in leaks"),
        sa.Column("exposure_at", _TIME, comment="when the service was asked"),
        sa.Column("due_at", _TIME, comment="when it must be asked again"),
        sa.PrimaryKeyConstraint("sha1", name=op.f("pk_password_exposure")),
    )
    op.create_index(op.f("ix_password_exposure_last_seen"), "password_exposure", ["last_seen"], unique=False)


def downgrade() -> None:
    op.drop_table("password_exposure")
    op.drop_table("file_reputation")
    op.drop_column("ip_inventory", "disagreements")
    op.drop_column("ip_inventory", "scanner_kind")
