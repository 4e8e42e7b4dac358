"""What counts as a value: AS numbers, country codes, texts and coordinates out of answers nobody vouches for.

Belongs here: the rules by which any source's answer, fresh or stored, becomes a typed value or nothing.
Does not belong here: which source is believed (merge.py), how a source is asked (sources/).
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

__all__ = ["asn_number", "coordinate", "country_code", "iso_day", "moment", "origin_asn", "registry_name", "text_value"]

MAX_ASN = 2**32 - 1

# AS numbers that no route on the Internet may start from, first to last: AS_TRANS (RFC 6793), documentation (RFC 5398),
# private use (RFC 6996), reserved (RFC 7300 and IANA's list of AS numbers).
_NOT_ORIGINS = ((0, 0), (23456, 23456), (64496, 131071), (4_200_000_000, MAX_ASN))

# Codes that registries and feeds write where they mean "no country".
_NO_COUNTRY = frozenset({"XX", "ZZ"})

_REGISTRIES = frozenset({"afrinic", "apnic", "arin", "lacnic", "ripencc"})


def asn_number(value: Any) -> int | None:
    """Return an AS number from an int or a text of ASCII digits, None for anything else or outside 1..4294967295."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    # bool is an int in Python, and True is no AS number.
    if type(value) is int and 1 <= value <= MAX_ASN:
        return value
    return None


def origin_asn(value: Any) -> int | None:
    """Return an AS number that can be the origin of a route: none that is reserved or private."""
    number = asn_number(value)
    if number is None or any(first <= number <= last for first, last in _NOT_ORIGINS):
        return None
    return number


def country_code(value: Any) -> str | None:
    """Return two upper-case ASCII letters, None for anything else and for the codes that mean "unknown"."""
    if not isinstance(value, str) or len(value) != 2 or not (value.isascii() and value.isalpha()):
        return None
    code = value.upper()
    return None if code in _NO_COUNTRY else code


def text_value(value: Any) -> str | None:
    """Return a text without surrounding blanks; a number becomes its digits, anything else and "" become None."""
    if isinstance(value, str):
        # NUL cannot be stored in PostgreSQL's text and means nothing in a name.
        return value.replace("\0", "").strip() or None
    return str(value) if type(value) is int else None


def coordinate(value: Any, limit: float) -> float | None:
    """Return degrees between -`limit` and `limit`, None for anything else."""
    # The comparison is false for NaN, too.
    if (type(value) is float or type(value) is int) and -limit <= value <= limit:
        return float(value)
    return None


def registry_name(value: Any) -> str | None:
    """Return the lower-case name of one of the five regional registries, None for anything else."""
    name = value.lower() if isinstance(value, str) else None
    return name if name in _REGISTRIES else None


def iso_day(value: Any) -> str | None:
    """Return a day as `YYYY-MM-DD`, None for anything that is not one."""
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        return None


def moment(value: Any) -> datetime | None:
    """Return a stored time in UTC, None for anything that is not an ISO 8601 time with its offset."""
    return _moment_in(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _moment_in(text: str) -> datetime | None:
    # All that one batch looked up has the same few times.
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # A time at the edge of the calendar with an offset: no source ever wrote it.
        return None
