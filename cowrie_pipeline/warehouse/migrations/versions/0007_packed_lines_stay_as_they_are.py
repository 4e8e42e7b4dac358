"""PostgreSQL no longer tries to compress lines that are packed already, nor fingerprints, which cannot be.

It tried for each segment and kept nothing of it. Rows that are there stay as they are and are read as before.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _store("EXTERNAL")


def downgrade() -> None:
    _store("EXTENDED")


def _store(storage: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for column in ("lines", "fingerprints"):
            op.execute(f"ALTER TABLE log_segments ALTER COLUMN {column} SET STORAGE {storage}")
