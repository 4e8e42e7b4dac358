"""Single values of earlier databases: times, numbers, texts and documents of any type, and what was odd about them.

Belongs here: what any one value is taken for. Does not belong here: which column it is in (rows.py).

The values come as SQLite holds them or as PostgreSQL's text of them. A value that says nothing of use is None, and the
kind of its trouble is counted, so that a report can name it.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cowrie_pipeline.cowrie.text import escape_text
from cowrie_pipeline.enrichment.merge import IpType
from cowrie_pipeline.enrichment.values import MAX_ASN, asn_number, country_code

__all__ = [
    "Oddities",
    "read_asn",
    "read_count",
    "read_country",
    "read_document",
    "read_ip_type",
    "read_text",
    "read_time",
    "storable",
]

Oddities = Counter[str]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 9998
_MAX_COUNT = 2**63 - 1
# Seconds since 1970 that lie after the year 5000 are milliseconds.
_MILLISECONDS_FROM = 100_000_000_000
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d+)?")
# PostgreSQL writes the offset of a time zone by its hours alone.
_SHORT_OFFSET = re.compile(r"([+-]\d\d)$")
_AS_NAME = re.compile(r"AS\s*(\d+)", re.IGNORECASE)

_LARGEST = 2**63 - 1


def read_text(value: Any, name: str, oddities: Oddities) -> str | None:
    """Return a text, escaped as `escape_text` does so that either database can hold it; None for nothing and blanks."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    text = str(value)
    if not text.strip():
        return None
    if "\0" in text:
        oddities[f"{name}: NUL in text, escaped"] += 1
    return escape_text(text)


def read_time(value: Any, name: str, oddities: Oddities) -> datetime | None:
    """Return a time in UTC from ISO 8601 or from seconds or milliseconds since 1970; one without an offset is UTC."""
    if value is None or value == "":
        return None
    time = _as_time(value)
    if time is None:
        oddities[f"{name}: no time"] += 1
        return None
    if time.tzinfo is None:
        oddities[f"{name}: time without an offset, taken for UTC"] += 1
        time = time.replace(tzinfo=UTC)
    try:
        time = time.astimezone(UTC)
    except OverflowError:
        time = _EPOCH
    if not _EPOCH < time < datetime(_LAST_YEAR, 1, 1, tzinfo=UTC):
        oddities[f"{name}: time before 1970 or after {_LAST_YEAR}"] += 1
        return None
    return time


def _as_time(value: Any) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            text = text.removesuffix("UTC").rstrip()
            try:
                return datetime.fromisoformat(_SHORT_OFFSET.sub(r"\1:00", text) if ":" in text else text)
            except ValueError:
                return None
        value = float(text)
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_sensible(value):
        seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
        try:
            return _EPOCH + timedelta(seconds=seconds)
        except OverflowError:
            return None
    return None


def _is_sensible(number: float) -> bool:
    """Say whether a number is one that can be calculated with: JSON has whole numbers that no float holds."""
    return abs(number) <= _LARGEST if isinstance(number, int) else math.isfinite(number)


def read_count(value: Any, name: str, oddities: Oddities) -> int | None:
    """Return a number that is not negative, None for nothing and for anything else."""
    if value is None or value == "":
        return None
    number: float | int | None = None
    if isinstance(value, int | float) and _is_sensible(value):
        number = value
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value) if "." in value else int(value)
    if number is None or number != int(number) or number > _MAX_COUNT:
        oddities[f"{name}: no number"] += 1
        return None
    if number < 0:
        oddities[f"{name}: negative"] += 1
        return None
    return int(number)


def read_asn(value: Any, name: str, oddities: Oddities) -> int | None:
    """Return an AS number of 32 bits, also from a text such as AS15169; None for nothing, 0 and anything else."""
    if value in (None, "", 0, "0"):
        return None
    text = _AS_NAME.fullmatch(value.strip()) if isinstance(value, str) else None
    number = asn_number(text[1] if text else value.strip() if isinstance(value, str) else value)
    if number is None:
        too_large = isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit())
        why = f"above {MAX_ASN} or negative" if too_large else "no AS number"
        oddities[f"{name}: {why}"] += 1
    return number


def read_country(value: Any, name: str, oddities: Oddities) -> str | None:
    """Return a country's two letters; None for nothing, for XX and ZZ, and for anything else."""
    if value is None:
        return None
    code = country_code(value.strip() if isinstance(value, str) else value)
    if code is None:
        shown = repr(value) if value in ("", "XX", "ZZ") else type(value).__name__
        oddities[f"{name}: {'unknown country ' + shown if value in ('', 'XX', 'ZZ') else 'no country'}"] += 1
    return code


def read_ip_type(value: Any, name: str, oddities: Oddities) -> IpType | None:
    """Return the first type in the order of precedence of a text, a list, or a text that is a list."""
    if value in (None, "", "[]", "{}"):
        return None
    if isinstance(value, str) and value.strip()[:1] in "[{":
        text = value.strip()
        try:
            value = json.loads(text)
        except ValueError:
            value = text.strip("[]{}").replace('"', "").split(",")  # PostgreSQL's array
    several = value if isinstance(value, list) else [value]
    said = {str(each).strip().upper() for each in several}
    if len(several) > 1:
        oddities[f"{name}: several address types, the first by precedence taken"] += 1
    kind = next((kind for kind in IpType if kind.value in said), None)
    if kind is None:
        oddities[f"{name}: no address type"] += 1
    return kind


def read_document(value: Any, name: str, oddities: Oddities) -> dict[str, Any] | None:
    """Return an enrichment document, its texts escaped; None for nothing and for JSON that is no object."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        try:
            value = json.loads(value)
            if isinstance(value, str):  # a document that was encoded twice
                value = json.loads(value)
        except (ValueError, RecursionError):
            kind = "text" if isinstance(value, str) and value[:1] not in "{[" else "broken JSON"
            oddities[f"{name}: {kind} in place of a document"] += 1
            return None
    if not isinstance(value, Mapping):
        kind = {type(None): "JSON null", bool: "true or false", list: "a list"}.get(type(value), "a number")
        oddities[f"{name}: {kind} in place of a document"] += 1
        return None
    if not value:
        oddities[f"{name}: an empty document"] += 1
        return None
    document: dict[str, Any] = storable(value, name, oddities)
    return document


def storable(value: Any, name: str, oddities: Oddities) -> Any:
    """Make what neither jsonb nor our encoder can hold storable: NUL, halves of surrogates, NaN, enormous numbers."""
    if isinstance(value, str):
        if "\0" in value:
            oddities[f"{name}: NUL in text, escaped"] += 1
        return escape_text(value)
    if isinstance(value, Mapping):
        return {escape_text(str(key)): storable(each, name, oddities) for key, each in value.items()}
    if isinstance(value, list):
        return [storable(each, name, oddities) for each in value]
    if (isinstance(value, float) and not math.isfinite(value)) or (type(value) is int and abs(value) > _MAX_COUNT):
        oddities[f"{name}: a number that no database holds, kept as text"] += 1
        return str(value)
    return value
