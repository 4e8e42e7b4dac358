"""What counters and histograms have come to, over all processes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric_counts",
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False, comment="as JSON: names and values, in the instrument's order"),
        sa.Column(
            "bucket", sa.Text(), nullable=False, comment="of a histogram: its upper bound, or +Inf; '' of a counter"
        ),
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            comment="what was counted, or how many observations lie in the bucket and in none below",
        ),
        sa.Column("total", sa.Float(), nullable=False, comment="sum of those observations"),
        sa.PrimaryKeyConstraint("instrument", "labels", "bucket", name=op.f("pk_metric_counts")),
    )


def downgrade() -> None:
    op.drop_table("metric_counts")
