"""Events of one day added up into what each session did on it.

Belongs here: what an event adds to a session's day and which details it leaves. Adding is commutative: the order of
events does not change the result. Times are the texts of decode.utc_text: they compare as times do, and go into either
database as they are, which is several times faster than making and unmaking a million datetimes.
Does not belong here: which days are one session (sessions.py), how rows are written (warehouse/).
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from cowrie_pipeline.cowrie import events
from cowrie_pipeline.cowrie.addresses import source_address
from cowrie_pipeline.cowrie.decode import Oddities, decode_event, decode_together, duration_ms, utc_texts
from cowrie_pipeline.cowrie.events import EVENT_IDS, CowrieEvent, UnknownEvent
from cowrie_pipeline.cowrie.sessions import session_day_key
from cowrie_pipeline.cowrie.text import escape_text

__all__ = [
    "ClientKey",
    "Command",
    "DayFold",
    "FoldedRows",
    "LoginAttempt",
    "SessionDayRow",
    "SessionFile",
    "Tunnel",
]

_SHA256_LENGTH = 64
_encode_counts = msgspec.json.Encoder(order="deterministic").encode


# Rows that come by the hundred thousand are made by `_make`: a value at a time takes three times as long.


class SessionDayRow(NamedTuple):
    """A row of `session_days`; several rows with one `session_day_key` are parts that add up.

    `session_key` is that of the day until the day turns out to go on with the session of another.
    """

    session_day_key: int
    session_key: int
    day: str
    sensor: str
    session_id: str
    source: str
    source_ip: str | None
    protocol: str | None
    first_event_at: str
    last_event_at: str
    first_connect_at: str | None
    may_continue: bool
    is_closed: bool
    logged_duration_ms: int | None
    event_count: int
    login_success_count: int
    login_failed_count: int
    command_input_count: int
    command_outcome_count: int
    command_failed_count: int
    file_download_count: int
    file_upload_count: int
    tunnel_count: int
    client_version: str | None
    hassh: str | None
    event_counts: str


class LoginAttempt(NamedTuple):
    """A row of `login_attempts`; a log-in by public key has a fingerprint and no password."""

    session_key: int
    event_at: str
    succeeded: bool
    username: str | None
    password: str | None
    key_fingerprint: str | None


class Command(NamedTuple):
    """A row of `commands`; `kind` is `input` (the line entered), `success` or `failed` (a command of it)."""

    session_key: int
    event_at: str
    kind: str
    input: str | None


class SessionFile(NamedTuple):
    """A row of `session_files`; `kind` is `download`, `download_failed` or `upload`."""

    session_key: int
    event_at: str
    kind: str
    url: str | None
    file_name: str | None
    sha256: str | None
    stored_as: str | None


class Tunnel(NamedTuple):
    """A row of `tunnels`; `kind` is the last part of the event id, such as `request` or `data`."""

    session_key: int
    event_at: str
    kind: str
    target: str | None
    target_port: int | None
    data: str | None


class ClientKey(NamedTuple):
    """A row of `client_keys`: a public key that was offered."""

    session_key: int
    event_at: str
    username: str | None
    fingerprint: str | None
    key_type: str | None
    public_key: str | None


class FoldedRows(NamedTuple):
    """What the events given so far add up to, as rows of the tables named."""

    session_days: list[SessionDayRow]
    login_attempts: list[LoginAttempt]
    commands: list[Command]
    session_files: list[SessionFile]
    tunnels: list[Tunnel]
    client_keys: list[ClientKey]


def _escaped(text: str | None) -> str | None:
    # nearly all text is as it was logged: a call less for each value
    return text if text is None or (text.isascii() and "\x00" not in text) else escape_text(text)


def _largest(one: str | None, other: str | None) -> str | None:
    """Return the larger of two texts: any choice would do that does not depend on which came first."""
    return other if one is None or (other is not None and other > one) else one


def _id_of(kind: type[CowrieEvent] | str) -> str:
    """Return the event id of what is counted: a type of event, or the id of an event without one."""
    return kind if isinstance(kind, str) else EVENT_IDS[kind]


class _Totals(NamedTuple):
    """What a session's counts of events by kind come to in its row, in the row's order."""

    events: int
    logins: int
    failed_logins: int
    command_inputs: int
    command_outcomes: int
    failed_commands: int
    downloads: int
    uploads: int
    tunnels: int
    by_event_id: str


# Bots do the same thing again and again: the sessions of a day have few different counts.
@lru_cache(maxsize=16384)
def _totals_of(kinds: tuple[type[CowrieEvent] | str, ...], counts: tuple[int, ...]) -> _Totals:
    by_kind = dict(zip(kinds, counts, strict=True))
    count = by_kind.get
    failed_commands = count(events.CommandFailed, 0)
    return _Totals(
        sum(by_kind.values()),
        count(events.LoginSuccess, 0),
        count(events.LoginFailed, 0),
        count(events.CommandInput, 0),
        count(events.CommandSuccess, 0) + failed_commands,
        failed_commands,
        count(events.FileDownload, 0),
        count(events.FileUpload, 0),
        count(events.TunnelRequest, 0),
        _encode_counts({_id_of(kind): number for kind, number in by_kind.items()}).decode(),
    )


class _Part:
    """What one session did on the day, so far."""

    __slots__ = (
        "client_version",
        "counts",
        "first_connect_at",
        "first_event_at",
        "hassh",
        "is_closed",
        "key",
        "last_event_at",
        "logged_duration_ms",
        "protocol",
        "sensor",
        "session_id",
        "source",
        "source_ip",
    )

    def __init__(self, day: date, sensor: str, session_id: str, src_ip: str | None, time: str) -> None:
        address = source_address(src_ip)
        self.sensor = escape_text(sensor)
        self.session_id = escape_text(session_id)
        self.source = address.source
        self.source_ip = address.ip
        self.key = session_day_key(self.sensor, self.session_id, self.source, day)
        self.counts: dict[type[CowrieEvent] | str, int] = {}
        self.first_event_at = self.last_event_at = time
        self.first_connect_at: str | None = None
        self.is_closed = False
        self.logged_duration_ms: int | None = None
        self.protocol: str | None = None
        self.client_version: str | None = None
        self.hassh: str | None = None

    def row(self, day: str) -> SessionDayRow:
        totals = _totals_of(tuple(self.counts), tuple(self.counts.values()))
        connected_first = self.first_connect_at is not None and self.first_connect_at <= self.first_event_at
        return SessionDayRow._make(
            (
                self.key,
                self.key,
                day,
                self.sensor,
                self.session_id,
                self.source,
                self.source_ip,
                self.protocol,
                self.first_event_at,
                self.last_event_at,
                self.first_connect_at,
                not connected_first or not self.source,
                self.is_closed,
                self.logged_duration_ms,
                *totals[:-1],
                _escaped(self.client_version),
                _escaped(self.hassh),
                totals.by_event_id,
            )
        )


class DayFold:
    """Adds up the events of one UTC day, given to `add_lines`.

    `take` gives what was added since it was last called and lets go of it, so that memory stays bounded on a day with
    millions of events; parts of one session taken at different times add up in the database.
    """

    def __init__(self, day: date) -> None:
        self.day: Final = day
        self.events_without_session = 0
        self._start_over()

    def _start_over(self) -> None:
        self._parts: dict[tuple[str | None, str, str | None], _Part] = {}
        self._by_key: dict[int, _Part] = {}
        self._folded = FoldedRows([], [], [], [], [], [])

    def add_lines(self, lines: bytes) -> None:
        """Add the events of lines, each with a newline behind it, that are known to be events of this day.

        An event without a session id is counted and belongs to none.
        """
        decoded = decode_together(lines)
        if decoded is None:
            oddities = Oddities()  # what is odd was counted when the lines were read first
            decoded = [decode_event(line, oddities) for line in lines.split(b"\n")[:-1]]
        folded, find_part, find_handler = self._folded, self._parts.get, _HANDLERS.get
        for event, time in zip(decoded, utc_texts([event.timestamp for event in decoded]), strict=True):
            session_id = event.session
            if not session_id:
                self.events_without_session += 1
                continue
            identity = (event.sensor, session_id, event.src_ip)
            part = find_part(identity) or self._part_of(identity, time)
            if time > part.last_event_at:
                part.last_event_at = time
            elif time < part.first_event_at:
                part.first_event_at = time
            protocol = event.protocol
            if protocol is not None and protocol != part.protocol:
                part.protocol = _largest(part.protocol, escape_text(protocol))
            kind = type(event)
            counted: type[CowrieEvent] | str = kind
            if kind is UnknownEvent:
                counted = event.event_id  # type: ignore[attr-defined]
            counts = part.counts
            counts[counted] = counts.get(counted, 0) + 1
            handle = find_handler(kind)
            if handle is not None:
                handle(folded, part, event, time)

    def _part_of(self, identity: tuple[str | None, str, str | None], time: str) -> _Part:
        """Return the part of a session seen for the first time in this spelling of its address."""
        sensor, session_id, src_ip = identity
        part = _Part(self.day, sensor or "", session_id, src_ip, time)
        part = self._by_key.setdefault(part.key, part)
        self._parts[identity] = part
        return part

    def take(self) -> FoldedRows:
        """Return what was added since the last call and start over."""
        folded = self._folded
        day = self.day.isoformat()
        # by key, which is the order in which they are written
        folded.session_days.extend(self._by_key[key].row(day) for key in sorted(self._by_key))
        self._start_over()
        return folded


def _connect(_: FoldedRows, part: _Part, __: events.SessionConnect, time: str) -> None:
    if part.first_connect_at is None or time < part.first_connect_at:
        part.first_connect_at = time


def _closed(_: FoldedRows, part: _Part, event: events.SessionClosed, __: str) -> None:
    part.is_closed = True
    logged = duration_ms(event.duration, event.duration_ms)
    if logged is not None:
        # some versions closed a session twice: the later close saw all of it
        part.logged_duration_ms = max(logged, part.logged_duration_ms or 0)


def _version(_: FoldedRows, part: _Part, event: events.ClientVersion, __: str) -> None:
    part.client_version = _largest(part.client_version, event.version)
    part.protocol = _largest(part.protocol, "ssh")


def _kex(_: FoldedRows, part: _Part, event: events.ClientKex, __: str) -> None:
    part.hassh = _largest(part.hassh, event.hassh)
    part.protocol = _largest(part.protocol, "ssh")


def _telnet(_: FoldedRows, part: _Part, __: CowrieEvent, ___: str) -> None:
    part.protocol = _largest(part.protocol, "telnet")


def _login(folded: FoldedRows, part: _Part, event: events.LoginSuccess | events.LoginFailed, time: str) -> None:
    folded.login_attempts.append(
        LoginAttempt._make(
            (
                part.key,
                time,
                type(event) is events.LoginSuccess,
                _escaped(event.username),
                _escaped(event.password),
                _escaped(event.fingerprint),
            )
        )
    )


def _command(kind: str) -> Callable[[FoldedRows, _Part, Any, str], None]:
    def handle(folded: FoldedRows, part: _Part, event: events.CommandInput, time: str) -> None:
        folded.commands.append(Command._make((part.key, time, kind, _escaped(event.input))))

    return handle


def _download(folded: FoldedRows, part: _Part, event: events.FileDownload, time: str) -> None:
    folded.session_files.append(
        SessionFile(
            part.key,
            time,
            "download",
            _escaped(event.url),
            _escaped(event.destfile),
            _sha256(event.shasum),
            _escaped(event.outfile),
        )
    )


def _download_failed(folded: FoldedRows, part: _Part, event: events.FileDownloadFailed, time: str) -> None:
    folded.session_files.append(SessionFile(part.key, time, "download_failed", _escaped(event.url), None, None, None))


def _upload(folded: FoldedRows, part: _Part, event: events.FileUpload, time: str) -> None:
    folded.session_files.append(
        SessionFile(
            part.key,
            time,
            "upload",
            None,
            _escaped(event.filename or event.destfile),
            _sha256(event.shasum),
            _escaped(event.outfile),
        )
    )


def _sha256(text: str | None) -> str | None:
    """Return a SHA-256 in lower case, None for anything that is none."""
    digest = (text or "").lower()
    return digest if len(digest) == _SHA256_LENGTH and not set(digest) - set("0123456789abcdef") else None


def _tunnel(kind: str) -> Callable[[FoldedRows, _Part, Any, str], None]:
    def handle(folded: FoldedRows, part: _Part, event: events.TunnelRequest, time: str) -> None:
        data = event.data or event.ja4 or event.ja4h
        folded.tunnels.append(
            Tunnel._make((part.key, time, kind, _escaped(event.dst_ip), event.dst_port, _escaped(data)))
        )

    return handle


def _client_key(folded: FoldedRows, part: _Part, event: events.ClientFingerprint, time: str) -> None:
    folded.client_keys.append(
        ClientKey(
            part.key,
            time,
            _escaped(event.username),
            _escaped(event.fingerprint),
            _escaped(event.type),
            _escaped(event.key),
        )
    )


# An event id without a line here adds to the counts only.
_HANDLERS: dict[type[CowrieEvent], Callable[[FoldedRows, _Part, Any, str], None]] = {
    events.SessionConnect: _connect,
    events.SessionClosed: _closed,
    events.ClientVersion: _version,
    events.ClientKex: _kex,
    events.TelnetOption: _telnet,
    events.TelnetExploitAttempt: _telnet,
    events.TelnetExploitSuccess: _telnet,
    events.TelnetError: _telnet,
    events.LoginSuccess: _login,
    events.LoginFailed: _login,
    events.CommandInput: _command("input"),
    events.CommandSuccess: _command("success"),
    events.CommandFailed: _command("failed"),
    events.FileDownload: _download,
    events.FileDownloadFailed: _download_failed,
    events.FileUpload: _upload,
    events.TunnelRequest: _tunnel("request"),
    events.TunnelData: _tunnel("data"),
    events.TunnelRedirect: _tunnel("redirect"),
    events.TunnelTunnel: _tunnel("tunnel"),
    events.TunnelJa4: _tunnel("ja4"),
    events.TunnelJa4h: _tunnel("ja4h"),
    events.ClientFingerprint: _client_key,
}
