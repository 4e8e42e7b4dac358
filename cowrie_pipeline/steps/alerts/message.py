"""What a message says: the same for every receiver, and as data, so that it can wait in the database.

Belongs here: which words. Does not belong here: how a receiver wants them (receivers.py).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from cowrie_pipeline.steps.alerts.model import Announcement, Incident, Kind, Moment
from cowrie_pipeline.steps.alerts.rules import joined_days
from cowrie_pipeline.steps.days import DayRange

__all__ = ["TEST_MESSAGE", "Message", "facts_of", "message_of", "table_of", "text_of", "title_of"]

# JSON: texts, lists and objects of them.
Message = Mapping[str, Any]

_FORMAT = 1
_RANGES_SHOWN = 12
_WORDS = {
    Moment.OPENED: "",
    Moment.WORSE: "worse: ",
    Moment.REPEATED: "still: ",
    Moment.OVER: "over: ",
}
_HOW_IT_ENDED = {
    Kind.CHECK: "The check passes again.",
    Kind.RUN: "What failed has run again and succeeded.",
    Kind.LATE: "Every day has arrived, or lies so long back that it is no longer waited for.",
    Kind.STALE: "Something new was written.",
    Kind.BUDGET: "There is budget again.",
    Kind.SENSOR: "The sensor ticks again.",
}

# What `cowrie-pipeline alerts test` sends.
TEST_MESSAGE: Message = {
    "format": _FORMAT,
    "event": "test",
    "kind": "test",
    "severity": "warn",
    "fingerprint": "test",
    "title": "test of this receiver, nothing is wrong",
    "assets": [],
    "days": [],
    "facts": {},
    "columns": [],
    "rows": [],
    "what_to_do": "Nothing: whoever ran `cowrie-pipeline alerts test` wants to know whether you read this.",
    "run_url": None,
    "opened_at": None,
    "closed_at": None,
}


def message_of(announcement: Announcement, ui_url: str | None) -> Message:
    """Return the message of an announcement; `ui_url` is where Dagster's UI is, None for no link."""
    incident, trouble = announcement.incident, announcement.incident.trouble
    is_over = announcement.moment is Moment.OVER
    days = incident.all_days if is_over else _failing_days(incident)
    return {
        "format": _FORMAT,
        "event": announcement.moment.value,
        "kind": trouble.kind.value,
        "severity": trouble.severity.value,
        "fingerprint": incident.fingerprint,
        "title": trouble.title,
        "assets": list(trouble.assets),
        "days": [[each.first.isoformat(), each.last.isoformat()] for each in days],
        "facts": {} if is_over else dict(trouble.facts),
        "columns": [] if is_over else list(trouble.columns),
        "rows": [] if is_over else [list(row) for row in trouble.rows],
        "what_to_do": _HOW_IT_ENDED[trouble.kind] if is_over else trouble.remedy,
        "run_url": f"{ui_url.rstrip('/')}/runs/{trouble.run_id}" if ui_url and trouble.run_id else None,
        "opened_at": _time(incident.opened_at),
        "closed_at": _time(incident.closed_at),
    }


def _failing_days(incident: Incident) -> tuple[DayRange, ...]:
    return joined_days(part.days for part in incident.parts)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def title_of(message: Message) -> str:
    """Return the one line that a subject or a notification shows."""
    how_bad = "ok" if message["event"] == Moment.OVER else message["severity"].upper()
    words = {moment.value: text for moment, text in _WORDS.items()}.get(message["event"], "")
    return f"[cowrie {how_bad}] {words}{message['title']}"


def facts_of(message: Message) -> list[tuple[str, str]]:
    """Return names and values: the days, since when, and what else is known."""
    facts = []
    if message["days"]:
        facts.append(("days", _days_in_words(message["days"])))
    facts += [(name.replace("_", " "), value) for name, value in message["facts"].items()]
    if message["opened_at"]:
        facts.append(("since", message["opened_at"]))
    if message["closed_at"]:
        facts.append(("until", message["closed_at"]))
    return facts


def _days_in_words(days: Sequence[Sequence[str]]) -> str:
    shown = [first if first == last else f"{first} to {last}" for first, last in days[:_RANGES_SHOWN]]
    total = sum((date.fromisoformat(last) - date.fromisoformat(first)).days + 1 for first, last in days)
    if len(days) > _RANGES_SHOWN:
        shown.append("and others")
    return ", ".join(shown) + (f" ({total:,} days)" if total > 1 else "")


def table_of(message: Message) -> list[str]:
    """Return the first rows at fault as lines of equal columns, the names of the columns first."""
    rows = [message["columns"], *message["rows"]]
    if not message["rows"]:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(message["columns"]))]
    return ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def text_of(message: Message) -> str:
    """Return the message as plain text, without its title."""
    lines = [f"{name}: {value}" for name, value in facts_of(message)]
    table = table_of(message)
    if table:
        lines += ["first rows at fault:", *(f"  {line}" for line in table)]
    lines += ["", message["what_to_do"]]
    if message["run_url"]:
        lines += ["", message["run_url"]]
    return "\n".join(lines).strip()
