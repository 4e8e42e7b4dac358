"""One line of a log decoded into a typed event, or the true reason why it cannot be.

Belongs here: JSON, text encodings, the types of fields by version, timestamps.
Does not belong here: where the line comes from (lines.py), what the event adds to a session (fold.py).
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec

from cowrie_pipeline.cowrie.events import EVENT_TYPES, AnyKnownEvent, CowrieEvent, UnknownEvent
from cowrie_pipeline.cowrie.text import escape_text

__all__ = [
    "DeadLetterError",
    "Oddities",
    "Reason",
    "decode_event",
    "decode_together",
    "duration_ms",
    "parse_object",
    "parse_timestamp",
    "parse_timestamps",
    "utc_text",
    "utc_texts",
]

_MAX_COUNTED_NAMES = 1000
_MAX_NAME_LENGTH = 200
_MIN_TIMESTAMP_LENGTH = len("2016-01-01T00:00:00")


class Reason(StrEnum):
    """Why a line is a dead letter."""

    NOT_JSON = "not_json"
    CUT = "cut"
    NOT_AN_OBJECT = "not_an_object"
    NO_EVENT_ID = "no_event_id"
    NO_TIMESTAMP = "no_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_ENCODING = "bad_encoding"
    TOO_LONG = "too_long"
    NOT_A_COWRIE_LOG = "not_a_cowrie_log"


class DeadLetterError(Exception):
    """A line that is no event; `reason` says what is wrong with it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Oddities:
    """What was read although it was not expected, counted by name."""

    unknown_events: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    odd_types: Counter[str] = field(default_factory=Counter)
    replaced_encodings: int = 0

    def count(self, which: Counter[str], name: str) -> None:
        """Count `name`, made storable; how many different names are kept is bounded, whatever a log holds."""
        self._add(which, escape_text(name[:_MAX_NAME_LENGTH]), 1)

    def add(self, others: "Oddities") -> None:
        """Add what was counted elsewhere."""
        for mine, theirs in (
            (self.unknown_events, others.unknown_events),
            (self.unknown_fields, others.unknown_fields),
            (self.odd_types, others.odd_types),
        ):
            for name, count in theirs.items():
                self._add(mine, name, count)
        self.replaced_encodings += others.replaced_encodings

    def _add(self, which: Counter[str], name: str, count: int) -> None:
        which[name if name in which or len(which) < _MAX_COUNTED_NAMES else "(others)"] += count


# Two backslashes: in JSON source they stand for one, so the event's text shows `\xff`.
_SHOW_BYTES = "cowrie_pipeline.show_bytes"


def _show_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - it is registered for decoding only
    return "".join(f"\\\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_SHOW_BYTES, _show_bytes)

_decoder = msgspec.json.Decoder(AnyKnownEvent)
_decode_known, _decode_known_lines = _decoder.decode, _decoder.decode_lines
_NOT_AS_EXPECTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_event(line: bytes, oddities: Oddities) -> CowrieEvent:
    r"""Decode one stripped line.

    A line that fits the types of events.py is decoded in one go. Any other takes a tolerant second way: unknown
    events and fields, values of an odd type (left out of the event and counted) and text that is no valid UTF-8
    (its bytes shown as `\\xff`, as Cowrie itself writes them) never make an event unreadable.

    Raises:
        DeadLetterError: the line is no JSON object with an event id and a timestamp.
    """
    try:
        event: CowrieEvent = _decode_known(line)
    except _NOT_AS_EXPECTED:
        return _decode_tolerantly(line, oddities)
    # msgspec does not look at text that it skips, so invalid UTF-8 there would pass unseen
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            oddities.replaced_encodings += 1
    return event


def decode_together(lines: bytes) -> list[CowrieEvent] | None:
    """Decode lines in one go, which takes about half the time that decoding each alone takes.

    Args:
        lines: each one object and nothing else, with newlines between them.

    Returns:
        What `decode_event` returns of each, nothing being odd; or None where some line has to be decoded alone.
    """
    try:
        events: list[CowrieEvent] = _decode_known_lines(lines)
        if not lines.isascii():
            lines.decode()
    except _NOT_AS_EXPECTED:
        return None
    return events


def _decode_tolerantly(line: bytes, oddities: Oddities) -> CowrieEvent:
    content = parse_object(line, oddities)
    event_id = content.pop("eventid", None)
    if not isinstance(event_id, str) or not event_id:
        raise DeadLetterError(Reason.NO_EVENT_ID, f"expected a text in `eventid`, found {_shown(event_id)}")
    if not isinstance(content.get("timestamp"), str):
        raise DeadLetterError(
            Reason.NO_TIMESTAMP, f"expected a text in `timestamp`, found {_shown(content.get('timestamp'))}"
        )
    kind = EVENT_TYPES.get(event_id)
    if kind is None:
        oddities.count(oddities.unknown_events, event_id)
        event_id = escape_text(event_id[:_MAX_NAME_LENGTH])
        known = set(CowrieEvent.__struct_fields__)
        others = {name: value for name, value in content.items() if name not in known}
        content = {name: value for name, value in content.items() if name in known}
        return UnknownEvent(event_id=event_id, fields=others, **_fitting(UnknownEvent, content, oddities))
    for name in content.keys() - set(kind.__struct_fields__):
        oddities.count(oddities.unknown_fields, name)
        del content[name]
    return kind(**_fitting(kind, content, oddities))


def parse_object(line: bytes, oddities: Oddities) -> dict[str, Any]:
    """Parse a line as a JSON object in the most tolerant way that is still unambiguous."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("utf-8", _SHOW_BYTES)
        encoding_was_replaced = True
    else:
        encoding_was_replaced = False
    try:
        # strict=False lets control characters pass inside strings
        content = json.loads(text, strict=False)
    except RecursionError:
        raise DeadLetterError(Reason.NOT_JSON, "nested too deeply") from None
    except ValueError as error:
        if text.startswith("{") and _ends_early(error, text):
            raise DeadLetterError(Reason.CUT, f"the object does not end: {error}") from None
        if encoding_was_replaced:
            raise DeadLetterError(Reason.BAD_ENCODING, f"no valid UTF-8, and no JSON without it: {error}") from None
        raise DeadLetterError(Reason.NOT_JSON, str(error)) from None
    if not isinstance(content, dict):
        raise DeadLetterError(Reason.NOT_AN_OBJECT, f"expected a JSON object, found {_shown(content)}")
    oddities.replaced_encodings += encoding_was_replaced
    return content


# What may be left of a JSON text behind the place where it is wrong, if all that is wrong is that it stops: nothing, or
# the beginning of a number, a word or an escape.
_UNFINISHED = re.compile(r"\s*|-|[.eE][+-]?|tr?u?|fa?l?s?|nu?l?|\\?u?[0-9a-fA-F]{0,4}")


def _ends_early(error: ValueError, text: str) -> bool:
    """Say whether a JSON text is wrong only in that it stops."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or _UNFINISHED.fullmatch(text, error.pos) is not None


def _fitting(kind: type[CowrieEvent], content: dict[str, Any], oddities: Oddities) -> dict[str, Any]:
    """Return the values that fit the fields of `kind`; what does not fit is counted and left out."""
    fitting = {}
    for name, value in content.items():
        wanted = _FIELD_TYPES[kind][name]
        if wanted is msgspec.Raw:
            continue  # known, never read
        try:
            fitting[name] = msgspec.convert(value, wanted, strict=False)
        except (msgspec.ValidationError, UnicodeEncodeError):  # half a surrogate pair where a number belongs
            oddities.count(oddities.odd_types, name)
    return fitting


def _field_types(kind: type[CowrieEvent]) -> dict[str, Any]:
    return {each.name: each.type for each in msgspec.structs.fields(kind)}


_ALL_TYPES: tuple[type[CowrieEvent], ...] = (*EVENT_TYPES.values(), UnknownEvent)
_FIELD_TYPES = {kind: _field_types(kind) for kind in _ALL_TYPES}


def parse_timestamp(text: str) -> datetime:
    """Return the UTC time of a `timestamp` field of any version.

    Known forms: `2018-05-06T17:44:05.866769Z`, without a fraction when the microseconds were 0 (until 2019), and with
    an offset such as `+0200` where the process does not run in UTC. A time without a zone is taken as UTC.

    Raises:
        DeadLetterError: the text is no time.
    """
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not UTC:
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        time = None
    # fromisoformat takes a day alone, and weeks, for a time
    if time is None or len(text) < _MIN_TIMESTAMP_LENGTH:
        raise DeadLetterError(
            Reason.BAD_TIMESTAMP, f"expected a time such as 2018-05-06T17:44:05.866769Z, found {text[:100]!r}"
        )
    return time


_zone_of = attrgetter("tzinfo")


def parse_timestamps(texts: Sequence[str]) -> list[datetime]:
    """Return what `parse_timestamp` returns of each of one or more texts, in a fraction of the time.

    Raises:
        DeadLetterError: one of the texts is no time.
    """
    try:
        times = list(map(datetime.fromisoformat, texts))
    except ValueError:
        pass
    else:
        if set(map(_zone_of, times)) == {UTC} and min(map(len, texts)) >= _MIN_TIMESTAMP_LENGTH:
            return times
    return list(map(parse_timestamp, texts))


def utc_text(timestamp: str) -> str:
    """Return the UTC time of a `timestamp` field, known to be good, as `2018-05-06 17:44:05.866769`.

    Such texts compare as the times do, and both databases take them as they are.
    """
    # the form of nearly every log, told from others that fromisoformat takes (weeks, no dashes) by its punctuation
    if len(timestamp) == 27 and timestamp[26] == "Z" and timestamp[7] == "-" and timestamp[19] == ".":
        return f"{timestamp[:10]} {timestamp[11:26]}"
    return parse_timestamp(timestamp).isoformat(" ", "microseconds")[:26]


_PLAIN_LENGTH = len("2018-05-06T17:44:05.866769Z\n")
_PLAIN_PUNCTUATION = {7: "-", 10: "T", 19: ".", 26: "Z", 27: "\n"}


def utc_texts(timestamps: Sequence[str]) -> list[str]:
    """Return what `utc_text` returns of each of one or more texts, in a third of the time."""
    count = len(timestamps)
    joined = "\n".join((*timestamps, ""))
    # all have the form of nearly every log if they have its length and its punctuation where it belongs
    if len(joined) == count * _PLAIN_LENGTH and all(
        joined[at::_PLAIN_LENGTH] == mark * count for at, mark in _PLAIN_PUNCTUATION.items()
    ):
        return joined.replace("T", " ").replace("Z", "").split("\n")[:count]
    return list(map(utc_text, timestamps))


def duration_ms(duration: float | str | None, milliseconds: int | None) -> int | None:
    """Return the milliseconds of a `duration` (seconds) or `duration_ms` field; None where neither can be true."""
    if milliseconds is None and duration is not None:
        try:
            milliseconds = round(float(duration) * 1000)
        except (ValueError, OverflowError):  # no number, or infinite
            return None
    # a negative duration is a clock that was set, and one over a century is no session
    return milliseconds if milliseconds is not None and 0 <= milliseconds < 100 * 366 * 86_400_000 else None


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
