"""Cowrie's events as types, one per event id, with the fields of every version since 2016.

Source: Cowrie's `docs/OUTPUT.rst` and the differences between versions in real logs of 2016 to 2026.

Belongs here: which fields an event has and their types. A field that no type names is unknown; it is kept with the
line and counted. Types are strict on purpose: a line that does not fit takes the tolerant way in decode.py.
Does not belong here: reading bytes (decode.py), what events add up to (fold.py).
"""

from typing import Annotated, Any, Union

from msgspec import Meta, Raw, Struct

__all__ = ["EVENT_IDS", "EVENT_TYPES", "AnyKnownEvent", "CowrieEvent", "UnknownEvent", "event_id_of"]

_ABSENT = Raw(b"")

# SSH carries ports in 32 bits, so attackers can ask for more than 65535. What no port can be fits no column either.
_Port = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class CowrieEvent(Struct, tag_field="eventid", forbid_unknown_fields=True, kw_only=True, gc=False):
    """What every event may carry.

    `timestamp` is the text as logged. `message` is a string, a list or absent, by version, and not used: fields of
    type `Raw` are known but never decoded, which makes reading faster.
    """

    timestamp: str
    session: str | None = None
    sensor: str | None = None
    src_ip: str | None = None
    protocol: str | None = None
    src_port: _Port | None = None
    dst_ip: str | None = None
    dst_port: _Port | None = None
    uuid: Raw = _ABSENT
    message: Raw = _ABSENT
    system: Raw = _ABSENT
    isError: Raw = _ABSENT  # noqa: N815 - Cowrie's name until 2018
    format: Raw = _ABSENT
    late: Raw = _ABSENT
    epoch: Raw = _ABSENT


class UnknownEvent(CowrieEvent):
    """An event of an id that this module does not name, such as one of a fork or of a later version."""

    event_id: str
    fields: dict[str, Any] = {}  # msgspec copies it for each instance


class SessionConnect(CowrieEvent, tag="cowrie.session.connect"):
    """A connection was made."""


class SessionClosed(CowrieEvent, tag="cowrie.session.closed"):
    """A connection ended; `duration` is float seconds, from 2024 a string of them, from 2026 `duration_ms`."""

    duration: float | str | None = None
    duration_ms: int | None = None


class SessionParams(CowrieEvent, tag="cowrie.session.params"):
    """The machine that the honeypot pretends to be."""

    arch: str | None = None


class SessionInput(CowrieEvent, tag="cowrie.session.input"):
    """Input to a program that the attacker started."""

    input: str | None = None
    realm: str | None = None


class _Algorithms(CowrieEvent):
    kexAlgs: Raw = _ABSENT  # noqa: N815 - SSH's and Cowrie's names
    keyAlgs: Raw = _ABSENT  # noqa: N815
    encCS: Raw = _ABSENT  # noqa: N815
    macCS: Raw = _ABSENT  # noqa: N815
    compCS: Raw = _ABSENT  # noqa: N815
    langCS: Raw = _ABSENT  # noqa: N815


class ClientVersion(_Algorithms, tag="cowrie.client.version"):
    """The client's SSH version string; until mid 2018 with its key exchange."""

    version: str | None = None


class ClientKex(_Algorithms, tag="cowrie.client.kex"):
    """The client's key exchange and its HASSH."""

    hassh: str | None = None
    hasshAlgorithms: Raw = _ABSENT  # noqa: N815


class ClientSize(CowrieEvent, tag="cowrie.client.size"):
    """The client's terminal size."""

    width: Raw = _ABSENT
    height: Raw = _ABSENT


class ClientVar(CowrieEvent, tag="cowrie.client.var"):
    """An environment variable that the client set."""

    name: Raw = _ABSENT
    value: Raw = _ABSENT


class ClientFingerprint(CowrieEvent, tag="cowrie.client.fingerprint"):
    """A public key that the client offered."""

    username: str | None = None
    fingerprint: str | None = None
    key: str | None = None
    type: str | None = None


class ClientMalformedPacket(CowrieEvent, tag="cowrie.client.malformed_packet"):
    """A packet that broke SSH's rules."""

    messagenum: Raw = _ABSENT
    datalen: Raw = _ABSENT
    data: Raw = _ABSENT


class _Login(CowrieEvent):
    username: str | None = None
    password: str | None = None
    fingerprint: str | None = None
    key: str | None = None
    type: str | None = None


class LoginSuccess(_Login, tag="cowrie.login.success"):
    """A log-in that the honeypot let pass; without `password` when by public key."""


class LoginFailed(_Login, tag="cowrie.login.failed"):
    """A log-in that the honeypot refused."""


class _Command(CowrieEvent):
    input: str | None = None
    realm: str | None = None


class CommandInput(_Command, tag="cowrie.command.input"):
    """A line that the attacker entered."""


class CommandSuccess(_Command, tag="cowrie.command.success"):
    """A command of such a line that the honeypot knows."""


class CommandFailed(_Command, tag="cowrie.command.failed"):
    """A command of such a line that the honeypot does not know."""


class CommandChpasswd(CowrieEvent, tag="cowrie.command.chpasswd"):
    """A password that the attacker changed."""

    realm: str | None = None
    username: str | None = None


class FileDownload(CowrieEvent, tag="cowrie.session.file_download"):
    """A file that the attacker fetched."""

    url: str | None = None
    outfile: str | None = None
    shasum: str | None = None
    destfile: str | None = None
    duplicate: Raw = _ABSENT
    unique: Raw = _ABSENT


class FileDownloadFailed(CowrieEvent, tag="cowrie.session.file_download.failed"):
    """A file that the attacker tried to fetch."""

    url: str | None = None
    error: Raw = _ABSENT


class FileUpload(CowrieEvent, tag="cowrie.session.file_upload"):
    """A file that the attacker brought."""

    filename: str | None = None
    outfile: str | None = None
    shasum: str | None = None
    destfile: str | None = None
    duplicate: Raw = _ABSENT
    unique: Raw = _ABSENT


class _Tunnel(CowrieEvent):
    orig_ip: str | None = None
    orig_port: _Port | None = None
    new_ip: Raw = _ABSENT
    new_port: Raw = _ABSENT
    data: str | None = None
    id: Raw = _ABSENT
    ja4: str | None = None
    ja4h: str | None = None


class TunnelRequest(_Tunnel, tag="cowrie.direct-tcpip.request"):
    """A tunnel that the attacker asked for; `dst_ip` is its target, often a host name."""


class TunnelData(_Tunnel, tag="cowrie.direct-tcpip.data"):
    """What was sent into a tunnel."""


class TunnelRedirect(_Tunnel, tag="cowrie.direct-tcpip.redirect"):
    """A tunnel that the honeypot led elsewhere."""


class TunnelTunnel(_Tunnel, tag="cowrie.direct-tcpip.tunnel"):
    """A tunnel that the honeypot put into another."""


class TunnelJa4(_Tunnel, tag="cowrie.direct-tcpip.ja4"):
    """The TLS fingerprint of what was sent into a tunnel."""


class TunnelJa4h(_Tunnel, tag="cowrie.direct-tcpip.ja4h"):
    """The HTTP fingerprint of what was sent into a tunnel."""


class TunnelProxyData(CowrieEvent, tag="cowrie.tunnelproxy-tcpip.data"):
    """What was sent into a tunnel that the honeypot put into another."""

    data: Raw = _ABSENT


class LogOpen(CowrieEvent, tag="cowrie.log.open"):
    """The recording of a terminal began."""

    ttylog: str | None = None


class LogClosed(CowrieEvent, tag="cowrie.log.closed"):
    """The recording of a terminal ended."""

    ttylog: str | None = None
    size: Raw = _ABSENT
    shasum: str | None = None
    duplicate: Raw = _ABSENT
    duration: float | str | None = None
    duration_ms: int | None = None


class TelnetOption(CowrieEvent, tag="cowrie.telnet.option"):
    """An option that a telnet client negotiated."""

    command: Raw = _ABSENT
    option_name: Raw = _ABSENT
    option_byte: Raw = _ABSENT


class TelnetExploitAttempt(CowrieEvent, tag="cowrie.telnet.exploit_attempt"):
    """An attack on the telnet server itself."""

    cve: Raw = _ABSENT
    name: Raw = _ABSENT
    value: Raw = _ABSENT


class TelnetExploitSuccess(CowrieEvent, tag="cowrie.telnet.exploit_success"):
    """An attack on the telnet server that the honeypot let pass."""

    cve: Raw = _ABSENT
    username: Raw = _ABSENT
    original_username: Raw = _ABSENT
    attempted_command: Raw = _ABSENT


class TelnetError(CowrieEvent, tag="cowrie.telnet.error"):
    """A telnet session that broke."""

    error: Raw = _ABSENT


class ProxySsh(CowrieEvent, tag="cowrie.proxy.ssh"):
    """A packet that went through the proxy."""

    direction: Raw = _ABSENT
    packet: Raw = _ABSENT
    payload: Raw = _ABSENT


class ProxyClientDisconnect(CowrieEvent, tag="cowrie.proxy.client_disconnect"):
    """A client left the proxy."""

    vm_id: Raw = _ABSENT
    honey_ip: Raw = _ABSENT
    honey_port: Raw = _ABSENT


class _ProxyBackend(CowrieEvent):
    backend_ip: Raw = _ABSENT
    backend_port: Raw = _ABSENT
    local_ip: Raw = _ABSENT
    local_port: Raw = _ABSENT
    error: Raw = _ABSENT


class ProxyBackendConnected(_ProxyBackend, tag="cowrie.proxy.backend_connected"):
    """The proxy reached the machine behind it."""


class ProxyBackendConnectError(_ProxyBackend, tag="cowrie.proxy.backend_connect_error"):
    """The proxy did not reach the machine behind it."""


class ProxyBackendDisconnected(_ProxyBackend, tag="cowrie.proxy.backend_disconnected"):
    """The machine behind the proxy went away."""


class _ReverseDns(CowrieEvent):
    ptr: Raw = _ABSENT
    ttl: Raw = _ABSENT


class ReverseDnsConnect(_ReverseDns, tag="cowrie.reversedns.connect"):
    """The name of the client's address."""


class ReverseDnsForward(_ReverseDns, tag="cowrie.reversedns.forward"):
    """The name of a tunnel's target."""


class GreyNoiseResult(CowrieEvent, tag="cowrie.greynoise.result"):
    """What Cowrie's own GreyNoise plugin said."""


class _VirusTotal(CowrieEvent):
    is_new: Raw = _ABSENT
    positives: Raw = _ABSENT
    total: Raw = _ABSENT
    scan_date: Raw = _ABSENT
    scans: Raw = _ABSENT


class VirusTotalFile(_VirusTotal, tag="cowrie.virustotal.scanfile"):
    """What Cowrie's own VirusTotal plugin said of a file."""

    sha256: str | None = None


class VirusTotalUrl(_VirusTotal, tag="cowrie.virustotal.scanurl"):
    """What Cowrie's own VirusTotal plugin said of a URL."""

    url: str | None = None


class UrlhausSubmitted(CowrieEvent, tag="cowrie.urlhaus.submitted"):
    """A URL that Cowrie's own URLhaus plugin reported."""

    url: Raw = _ABSENT
    result: Raw = _ABSENT
    http_status: Raw = _ABSENT


def _tagged(base: type[CowrieEvent]) -> dict[str, type[CowrieEvent]]:
    """Return every event type below `base`, by event id."""
    found: dict[str, type[CowrieEvent]] = {}
    for each in base.__subclasses__():
        tag = each.__struct_config__.tag
        if isinstance(tag, str) and tag.startswith("cowrie."):
            found[tag] = each
        found |= _tagged(each)
    return found


EVENT_TYPES: dict[str, type[CowrieEvent]] = _tagged(CowrieEvent)
EVENT_IDS = {each: event_id for event_id, each in EVENT_TYPES.items()}

AnyKnownEvent = Union[tuple(EVENT_TYPES.values())]  # type: ignore[valid-type]  # noqa: UP007 - made from the table


def event_id_of(event: CowrieEvent) -> str:
    """Return Cowrie's id of an event, such as `cowrie.login.failed`."""
    return event.event_id if isinstance(event, UnknownEvent) else EVENT_IDS[type(event)]
