"""The pools that keep work from getting in each other's way; dagster.yaml sets their limits.

A pool holds one op at a time by default. Another limit is Dagster's to keep: `dagster instance concurrency set`.
"""

__all__ = ["CASCADE", "DOWNLOADS", "PWNED_PASSWORDS", "VIRUSTOTAL", "WAREHOUSE"]

# Writes of whole days: SQLite has one writer, and PostgreSQL's writers take the same lock.
WAREHOUSE = "warehouse"

# The services that are asked about addresses and networks: one run asks them at a time, one batch for all of them.
CASCADE = "cascade"

# The services that are asked about something else, each for itself: a slow one holds up nobody but those who need it.
VIRUSTOTAL = "virustotal"
PWNED_PASSWORDS = "pwned_passwords"

# The publishers of lists.
DOWNLOADS = "downloads"
