"""The stored document of an address: one entry for each source, with its own age.

Belongs here: how an outcome becomes an entry, how an old entry is read, and that a failure never replaces an answer.
Does not belong here: which entry is believed (merge.py), when a source is asked (cascade.py).

An entry is the payload beside `status`, `fetched_at`, and `expires_at` or `retry_at` (ISO 8601, UTC). An answer that
could not be renewed keeps all that, and gains the `retry_at` and `last_error` of the failure.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.values import moment

__all__ = ["Document", "Entry", "asked_again_at", "entry_of", "is_answer", "read_document", "renew"]

Entry = dict[str, Any]
Document = dict[str, Entry]

_STATUSES = frozenset(Status)
_ANSWERS = frozenset(status for status in Status if status.is_answer)


def read_document(stored: object) -> Document:
    """Return the entries of a stored document that can be used; what is malformed is left out, so it is asked anew."""
    if not isinstance(stored, Mapping):
        return {}
    return {
        service: _clean(entry)
        for service, entry in stored.items()
        if isinstance(service, str)
        and isinstance(entry, Mapping)
        and isinstance(entry.get("status"), str)
        and entry["status"] in _STATUSES
    }


def is_answer(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry holds what a service said."""
    return entry is not None and entry.get("status") in _ANSWERS


def asked_again_at(entry: Mapping[str, Any]) -> datetime | None:
    """Return when an entry's source must be asked again, None for now."""
    retry_at = moment(entry.get("retry_at"))
    if entry.get("status") not in _ANSWERS:
        return retry_at
    expires_at = moment(entry.get("expires_at"))
    return max(expires_at, retry_at) if expires_at and retry_at else expires_at


def entry_of(outcome: Outcome) -> Entry:
    """Write an outcome as an entry."""
    entry: Entry = {**outcome.payload, "status": str(outcome.status), "fetched_at": _text_of(outcome.fetched_at)}
    if outcome.expires_at is not None:
        entry["expires_at"] = _text_of(outcome.expires_at)
    if outcome.retry_at is not None:
        entry["retry_at"] = _text_of(outcome.retry_at)
    if outcome.error is not None:
        entry["last_error"] = outcome.error
    return entry


def renew(old: Entry | None, outcome: Outcome) -> Entry:
    """Return the entry after `outcome`: an answer replaces what was there, anything else only adds when to retry.

    A hit with an error is incomplete (one of several files failed), so what it lacks is kept from the hit before.
    """
    new = entry_of(outcome)
    if old is None or not is_answer(old):
        return new
    incomplete = outcome.error is not None and outcome.retry_at is None
    if outcome.status.is_answer and not incomplete:
        return new
    kept = {key: value for key, value in old.items() if key not in ("retry_at", "last_error")}
    if outcome.status is Status.HIT:
        return kept | new
    return kept | {key: new[key] for key in ("retry_at", "last_error") if key in new}


@lru_cache(maxsize=64)
def _text_of(time: datetime) -> str:
    # All outcomes of a batch have the same few times.
    return time.astimezone(UTC).isoformat()


def _clean(value: Any) -> Any:
    """Drop what JSON cannot say or says in vain: None, NaN and infinities, at any depth."""
    if isinstance(value, Mapping):
        return {str(key): _clean(each) for key, each in value.items() if _is_value(each)}
    if isinstance(value, list):
        return [_clean(each) for each in value if _is_value(each)]
    return value


def _is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
