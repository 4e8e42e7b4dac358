"""Events of one day added up into what each session did on it.

Belongs here: what an event adds to a session's day and which details it leaves. Adding is commutative: the order of
events does not change the result.
Does not belong here: which days are one session (sessions.py), how rows are written (warehouse/).
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import msgspec

from cowrie_pipeline.cowrie import events
from cowrie_pipeline.cowrie.addresses import source_address
from cowrie_pipeline.cowrie.decode import duration_ms
from cowrie_pipeline.cowrie.events import CowrieEvent, event_id_of
from cowrie_pipeline.cowrie.sessions import session_day_key
from cowrie_pipeline.cowrie.text import escape_text

__all__ = [
    "ClientKey",
    "Command",
    "DayFold",
    "FoldedDay",
    "LoginAttempt",
    "SessionDayRow",
    "SessionFile",
    "Tunnel",
]

_SHA256_LENGTH = 64
_encode_counts = msgspec.json.Encoder(order="deterministic").encode


class SessionDayRow(NamedTuple):
    """A row of `session_days`; several rows with one `session_day_key` are parts that add up."""

    session_day_key: int
    day: date
    sensor: str
    session_id: str
    source: str
    source_ip: str | None
    protocol: str | None
    first_event_at: datetime
    last_event_at: datetime
    first_connect_at: datetime | None
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
    event_at: datetime
    succeeded: bool
    username: str | None
    password: str | None
    key_fingerprint: str | None


class Command(NamedTuple):
    """A row of `commands`; `kind` is `input` (the line entered), `success` or `failed` (a command of it)."""

    session_key: int
    event_at: datetime
    kind: str
    input: str | None


class SessionFile(NamedTuple):
    """A row of `session_files`; `kind` is `download`, `download_failed` or `upload`."""

    session_key: int
    event_at: datetime
    kind: str
    url: str | None
    file_name: str | None
    sha256: str | None
    stored_as: str | None


class Tunnel(NamedTuple):
    """A row of `tunnels`; `kind` is the last part of the event id, such as `request` or `data`."""

    session_key: int
    event_at: datetime
    kind: str
    target: str | None
    target_port: int | None
    data: str | None


class ClientKey(NamedTuple):
    """A row of `client_keys`: a public key that was offered."""

    session_key: int
    event_at: datetime
    username: str | None
    fingerprint: str | None
    key_type: str | None
    public_key: str | None


class FoldedDay(NamedTuple):
    """What the events given so far add up to."""

    session_days: list[SessionDayRow]
    login_attempts: list[LoginAttempt]
    commands: list[Command]
    session_files: list[SessionFile]
    tunnels: list[Tunnel]
    client_keys: list[ClientKey]


def _escaped(text: str | None) -> str | None:
    return None if text is None else escape_text(text)


def _largest(one: str | None, other: str | None) -> str | None:
    """Return the larger of two texts: any choice would do that does not depend on which came first."""
    return other if one is None or (other is not None and other > one) else one


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

    def __init__(self, day: date, sensor: str, session_id: str, src_ip: str | None, time: datetime) -> None:
        address = source_address(src_ip)
        self.sensor = escape_text(sensor)
        self.session_id = escape_text(session_id)
        self.source = address.source
        self.source_ip = address.ip
        self.key = session_day_key(self.sensor, self.session_id, self.source, day)
        self.counts: dict[str, int] = {}
        self.first_event_at = self.last_event_at = time
        self.first_connect_at: datetime | None = None
        self.is_closed = False
        self.logged_duration_ms: int | None = None
        self.protocol: str | None = None
        self.client_version: str | None = None
        self.hassh: str | None = None

    def row(self, day: date) -> SessionDayRow:
        count = self.counts.get
        return SessionDayRow(
            session_day_key=self.key,
            day=day,
            sensor=self.sensor,
            session_id=self.session_id,
            source=self.source,
            source_ip=self.source_ip,
            protocol=self.protocol,
            first_event_at=self.first_event_at,
            last_event_at=self.last_event_at,
            first_connect_at=self.first_connect_at,
            is_closed=self.is_closed,
            logged_duration_ms=self.logged_duration_ms,
            event_count=sum(self.counts.values()),
            login_success_count=count("cowrie.login.success", 0),
            login_failed_count=count("cowrie.login.failed", 0),
            command_input_count=count("cowrie.command.input", 0),
            command_outcome_count=count("cowrie.command.success", 0) + count("cowrie.command.failed", 0),
            command_failed_count=count("cowrie.command.failed", 0),
            file_download_count=count("cowrie.session.file_download", 0),
            file_upload_count=count("cowrie.session.file_upload", 0),
            tunnel_count=count("cowrie.direct-tcpip.request", 0),
            client_version=_escaped(self.client_version),
            hassh=_escaped(self.hassh),
            event_counts=_encode_counts(self.counts).decode(),
        )


class DayFold:
    """Adds up the events of one UTC day, given one at a time by `add`.

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
        self._folded = FoldedDay([], [], [], [], [], [])

    def add(self, event: CowrieEvent, time: datetime) -> None:
        """Add an event that happened at `time`; an event without a session id is counted and belongs to none."""
        session_id = event.session
        if not session_id:
            self.events_without_session += 1
            return
        identity = (event.sensor, session_id, event.src_ip)
        part = self._parts.get(identity)
        if part is None:
            part = self._part_of(identity, time)
        event_id = event_id_of(event)
        part.counts[event_id] = part.counts.get(event_id, 0) + 1
        if time < part.first_event_at:
            part.first_event_at = time
        elif time > part.last_event_at:
            part.last_event_at = time
        if event.protocol is not None and event.protocol != part.protocol:
            part.protocol = _largest(part.protocol, escape_text(event.protocol))
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self._folded, part, event, time)

    def _part_of(self, identity: tuple[str | None, str, str | None], time: datetime) -> _Part:
        """Return the part of a session seen for the first time in this spelling of its address."""
        sensor, session_id, src_ip = identity
        part = _Part(self.day, sensor or "", session_id, src_ip, time)
        part = self._by_key.setdefault(part.key, part)
        self._parts[identity] = part
        return part

    def __len__(self) -> int:
        """Return how many sessions are held."""
        return len(self._by_key)

    @property
    def details(self) -> int:
        """How many rows of details are held."""
        return sum(map(len, self._folded))

    def take(self) -> FoldedDay:
        """Return what was added since the last call and start over."""
        folded = self._folded
        folded.session_days.extend(part.row(self.day) for part in self._by_key.values())
        self._start_over()
        return folded


def _connect(_: FoldedDay, part: _Part, __: events.SessionConnect, time: datetime) -> None:
    if part.first_connect_at is None or time < part.first_connect_at:
        part.first_connect_at = time


def _closed(_: FoldedDay, part: _Part, event: events.SessionClosed, __: datetime) -> None:
    part.is_closed = True
    logged = duration_ms(event.duration, event.duration_ms)
    if logged is not None:
        # some versions closed a session twice: the later close saw all of it
        part.logged_duration_ms = max(logged, part.logged_duration_ms or 0)


def _version(_: FoldedDay, part: _Part, event: events.ClientVersion, __: datetime) -> None:
    part.client_version = _largest(part.client_version, event.version)
    part.protocol = _largest(part.protocol, "ssh")


def _kex(_: FoldedDay, part: _Part, event: events.ClientKex, __: datetime) -> None:
    part.hassh = _largest(part.hassh, event.hassh)
    part.protocol = _largest(part.protocol, "ssh")


def _telnet(_: FoldedDay, part: _Part, __: CowrieEvent, ___: datetime) -> None:
    part.protocol = _largest(part.protocol, "telnet")


def _login(
    folded: FoldedDay, part: _Part, event: events.LoginSuccess | events.LoginFailed, time: datetime
) -> None:
    folded.login_attempts.append(
        LoginAttempt(
            part.key,
            time,
            type(event) is events.LoginSuccess,
            _escaped(event.username),
            _escaped(event.password),
            _escaped(event.fingerprint),
        )
    )


def _command(kind: str) -> Callable[[FoldedDay, _Part, Any, datetime], None]:
    def handle(folded: FoldedDay, part: _Part, event: events.CommandInput, time: datetime) -> None:
        folded.commands.append(Command(part.key, time, kind, _escaped(event.input)))

    return handle


def _download(folded: FoldedDay, part: _Part, event: events.FileDownload, time: datetime) -> None:
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


def _download_failed(folded: FoldedDay, part: _Part, event: events.FileDownloadFailed, time: datetime) -> None:
    folded.session_files.append(SessionFile(part.key, time, "download_failed", _escaped(event.url), None, None, None))


def _upload(folded: FoldedDay, part: _Part, event: events.FileUpload, time: datetime) -> None:
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


def _tunnel(kind: str) -> Callable[[FoldedDay, _Part, Any, datetime], None]:
    def handle(folded: FoldedDay, part: _Part, event: events.TunnelRequest, time: datetime) -> None:
        data = event.data or event.ja4 or event.ja4h
        folded.tunnels.append(Tunnel(part.key, time, kind, _escaped(event.dst_ip), event.dst_port, _escaped(data)))

    return handle


def _client_key(folded: FoldedDay, part: _Part, event: events.ClientFingerprint, time: datetime) -> None:
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
_HANDLERS: dict[type[CowrieEvent], Callable[[FoldedDay, _Part, Any, datetime], None]] = {
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
