"""Which of the rows at fault may be in a message that leaves the machine.

Attackers choose user names, passwords, commands, file names and much else, and people type their own passwords into
honeypots by mistake. So a message shows only columns that are known to hold none of it: numbers, and texts by the names
of their columns. A column that is new is not shown before somebody has thought about it.
"""

from collections.abc import Sequence
from typing import Any

__all__ = ["NOT_SHOWN", "one_line", "shown_columns_and_rows"]

NOT_SHOWN = "(not shown)"
_ROWS = 5
_LONGEST = 80

# Texts that the pipeline, the sensor's configuration or the services' rules make, and no attacker.
_SHOWN_TEXTS = frozenset(
    {
        "asn",
        "day",
        "field",
        "ip_address",
        "kind",
        "path",
        "reason",
        "sensor",
        "service",
        "session_id",
        "source_ip",
        "status",
    }
)
_SHOWN_ENDINGS = ("_at", "_day", "_seen", "_from")
# Whatever is in these, also a number.
_NEVER = ("password", "passwd", "username", "input", "command", "sha1", "payload", "secret", "token", "credential")


def shown_columns_and_rows(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return the columns, and the first rows with what may be shown of them."""
    return (
        tuple(one_line(column) for column in columns),
        tuple(tuple(_shown(column, value) for column, value in zip(columns, row, strict=True)) for row in rows[:_ROWS]),
    )


def _shown(column: str, value: Any) -> str:
    name = column.lower()
    if value is None:
        return "-"
    if any(word in name for word in _NEVER):
        return NOT_SHOWN
    if isinstance(value, bool | int | float):
        return str(value)
    if name in _SHOWN_TEXTS or name.endswith(_SHOWN_ENDINGS):
        return one_line(str(value))
    return NOT_SHOWN


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return `text` without what a terminal, a chat or a mail could take for more than text, and not too long."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= longest else f"{plain[:longest]}..."
