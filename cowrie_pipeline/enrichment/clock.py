"""The time of this machine, where nobody hands one in.

Belongs here: the default of every `clock` parameter. Does not belong here: the `now` of a run, which comes in.
"""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """Return the time of the system's clock."""
    return datetime.now(UTC)
