"""What counts as a value: AS numbers, countries, counts, times, texts out of answers nobody vouches for.

Belongs here: the rules by which any source's answer, fresh or stored, becomes a typed value or nothing.
Does not belong here: which source is believed (merge.py), how a source is asked (sources/).
"""

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

__all__ = [
    "asn_number",
    "coordinate",
    "count_value",
    "country_code",
    "flag",
    "hex_digest",
    "iso_day",
    "iso_time",
    "map_at",
    "maps_in",
    "moment",
    "network_prefix",
    "origin_asn",
    "present",
    "registry_name",
    "short_text",
    "short_texts",
    "text_value",
    "web_address",
]

MAX_ASN = 2**32 - 1

# AS numbers that no route on the Internet may start from, first to last: AS_TRANS (RFC 6793), documentation (RFC 5398),
# private use (RFC 6996), reserved (RFC 7300 and IANA's list of AS numbers).
_NOT_ORIGINS = ((0, 0), (23456, 23456), (64496, 131071), (4_200_000_000, MAX_ASN))

# Codes that registries and feeds write where they mean "no country".
_NO_COUNTRY = frozenset({"XX", "ZZ"})

_REGISTRIES = frozenset({"afrinic", "apnic", "arin", "lacnic", "ripencc"})

# What a database's 64-bit integer can hold.
_MAX_COUNT = 2**63 - 1
# How much is kept of a text, and of a list of them: what a service sends has no bound, what is stored must have one.
MAX_TEXT = 200
MAX_TEXTS = 50

_IPV4_LENGTHS = frozenset(map(str, range(33)))
_HEX = re.compile(r"[0-9a-f]+")


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


def count_value(value: Any) -> int | None:
    """Return a number that is not negative from an int or a text of ASCII digits, None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None


def flag(value: Any) -> bool | None:
    """Return a truth value from a bool or the texts "true" and "false", None for anything else, 0 and 1 included."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def short_text(value: Any) -> str | None:
    """Return a text as `text_value` does, cut to `MAX_TEXT` characters."""
    text = text_value(value)
    return None if text is None else text[:MAX_TEXT].rstrip()


def short_texts(values: Any) -> list[str] | None:
    """Return the distinct texts of a list, in their order, at most `MAX_TEXTS`; None where there is none."""
    if not isinstance(values, list):
        return None
    texts = dict.fromkeys(text for text in map(short_text, values) if text is not None)
    return list(texts)[:MAX_TEXTS] or None


def hex_digest(value: Any, digits: int) -> str | None:
    """Return a digest of so many hexadecimal digits in lower case, None for anything else."""
    digest = value.lower() if isinstance(value, str) else ""
    return digest if len(digest) == digits and _HEX.fullmatch(digest) else None


def network_prefix(value: Any) -> str | None:
    """Return a network in CIDR notation, None for anything else."""
    if not isinstance(value, str):
        return None
    if _is_written_prefix(value):
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        return None


def _is_written_prefix(text: str) -> bool:
    """Whether a text is an IPv4 network as it is written, which nearly all are.

    This takes a tenth of the time of `ipaddress.ip_network`, and runs for every answer about an address.
    """
    address, _, length = text.partition("/")
    if length not in _IPV4_LENGTHS:
        return False
    try:
        first = int.from_bytes(socket.inet_pton(socket.AF_INET, address))
    except (OSError, ValueError):
        return False
    return first & (0xFFFFFFFF >> int(length)) == 0


def web_address(value: Any) -> str | None:
    """Return an https URL, None for anything else: it may be shown as a link."""
    text = text_value(value)
    return text if text is not None and text.startswith("https://") and len(text) <= MAX_TEXT else None


def iso_time(value: Any) -> str | None:
    """Return a time in UTC as ISO 8601, None for anything else and for times up to 1970, which stand for "never".

    Read are seconds since 1970 and ISO 8601, also with "UTC" at its end; a time without an offset is in UTC.
    """
    try:
        if type(value) is int:
            time = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            time = datetime.fromisoformat(value.strip().removesuffix("UTC").rstrip())
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return time.isoformat(timespec="seconds") if time.timestamp() > 0 else None


def map_at(value: Any, key: str) -> Mapping[str, Any]:
    """Return the map at `key` of a map, an empty one where there is something else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def maps_in(values: Any) -> Sequence[Mapping[str, Any]]:
    """Return the maps of a list, none where there is something else."""
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def present(**facts: Any) -> dict[str, Any]:
    """Return the facts that are known: an unknown one is an absent key, never None."""
    return {name: fact for name, fact in facts.items() if fact is not None}


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
