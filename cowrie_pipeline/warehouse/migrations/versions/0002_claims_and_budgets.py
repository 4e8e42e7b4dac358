"""Claims, budgets, paces and pauses, shared by all processes; failures in a row of a look-up."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_LIMIT_COMMENT = "of any span as long as the window, when last taken of"


def upgrade() -> None:
    op.add_column(
        "enrichment_cache",
        sa.Column(
            "failures",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="errors in a row since the last answer",
        ),
    )
    op.create_index(
        op.f("ix_enrichment_cache_service_fetched_at"), "enrichment_cache", ["service", "fetched_at"], unique=False
    )
    op.create_index(op.f("ix_enrichment_cache_expires_at"), "enrichment_cache", ["expires_at"], unique=False)
    op.create_table(
        "enrichment_claims",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("claimed_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("service", "key", name=op.f("pk_enrichment_claims")),
    )
    op.create_index(op.f("ix_enrichment_claims_claimed_until"), "enrichment_claims", ["claimed_until"], unique=False)
    op.create_table(
        "enrichment_budget",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("window_seconds", sa.Float(), nullable=False),
        sa.Column("bucket_start", _TIME, nullable=False, comment="a bucket is a 24th of the window"),
        sa.Column("calls_used", sa.BigInteger(), nullable=False),
        sa.Column("call_limit", sa.BigInteger(), nullable=False, comment=_LIMIT_COMMENT),
        sa.PrimaryKeyConstraint("service", "window_seconds", "bucket_start", name=op.f("pk_enrichment_budget")),
    )
    op.create_table(
        "enrichment_paces",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("window_seconds", sa.Float(), nullable=False),
        sa.Column("next_free_at", _TIME, nullable=False, comment="when the next call may begin"),
        sa.Column("call_limit", sa.BigInteger(), nullable=False, comment=_LIMIT_COMMENT),
        sa.PrimaryKeyConstraint("service", "window_seconds", name=op.f("pk_enrichment_paces")),
    )
    op.create_table(
        "enrichment_pauses",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("paused_until", _TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service", name=op.f("pk_enrichment_pauses")),
    )


def downgrade() -> None:
    op.drop_table("enrichment_pauses")
    op.drop_table("enrichment_paces")
    op.drop_table("enrichment_budget")
    op.drop_index(op.f("ix_enrichment_claims_claimed_until"), table_name="enrichment_claims")
    op.drop_table("enrichment_claims")
    op.drop_index(op.f("ix_enrichment_cache_expires_at"), table_name="enrichment_cache")
    op.drop_index(op.f("ix_enrichment_cache_service_fetched_at"), table_name="enrichment_cache")
    op.drop_column("enrichment_cache", "failures")
