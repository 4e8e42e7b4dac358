"""The pools that keep work from getting in each other's way; dagster.yaml sets their limits."""

__all__ = ["CASCADE", "WAREHOUSE"]

# Writes of whole days: SQLite has one writer, and PostgreSQL's writers take the same lock.
WAREHOUSE = "warehouse"

# Outside services: one run asks at a time, and asks about many addresses at once.
CASCADE = "cascade"
