"""A DNS server on loopback that answers as Team Cymru does, and fails as name servers do.

It reads and writes DNS messages by itself, octet by octet, so that it shares no mistake with what it tests.
"""

import asyncio
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, cast

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


@dataclass
class Zone:
    """What the server says: by lower-case name, a list of TXT records, each a list of chunks or one text."""

    records: dict[str, list[str | list[str]]] = field(default_factory=dict)
    default: Callable[[str], list[str | list[str]] | None] = lambda _name: None
    rcodes: dict[str, int] = field(default_factory=dict)
    rcode_for_all: int | None = None
    delay_seconds: float = 0.0
    drop_first: int = 0  # so many packets of each name get no reply
    drop_all: bool = False
    truncate: bool = False
    forged_before_answer: bool = False  # a wrong id, a wrong name and noise come first
    garbage: bool = False


class NameServer:
    """Serves `zone` over UDP and TCP on one free port, in its own thread, until closed."""

    def __init__(self, zone: Zone | None = None, host: str = "127.0.0.1") -> None:
        self.zone = zone or Zone()
        self.host = host
        self.port = 0
        self.questions: list[str] = []
        self.tcp_questions: list[str] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the name server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        # TCP first: of its ports a busy machine has many in use, of UDP's few, and both must be the same
        server = await asyncio.start_server(self._tcp, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(self.host, self.port))
        self._ready.set()
        await self._stop.wait()
        transport.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        query = await reader.readexactly(length)
        name, _ = read_question(query)
        self.tcp_questions.append(name)
        reply = self.reply_to(query, name, truncate=False)
        writer.write(struct.pack("!H", len(reply)) + reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def reply_to(self, query: bytes, name: str, *, truncate: bool) -> bytes:
        zone = self.zone
        records = zone.records.get(name)
        if records is None:
            records = zone.default(name)
        rcode = zone.rcode_for_all if zone.rcode_for_all is not None else zone.rcodes.get(name)
        if rcode is None:
            rcode = NXDOMAIN if records is None else NOERROR
        answers = [] if rcode or truncate or records is None else records
        return write_reply(query, rcode, answers, truncate=truncate)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.loop = server._loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        server, zone = self.server, self.server.zone
        name, _ = read_question(data)
        server.questions.append(name)
        if zone.drop_all or (zone.drop_first and server.questions.count(name) <= zone.drop_first):
            return
        server.in_flight += 1
        server.max_in_flight = max(server.max_in_flight, server.in_flight)
        self.loop.call_later(zone.delay_seconds, self.reply, data, name, addr)

    def reply(self, query: bytes, name: str, addr: tuple[str, int]) -> None:
        server, zone = self.server, self.server.zone
        server.in_flight -= 1
        lie: list[str | list[str]] = ["64999 | 0.0.0.0/0 | ZZ | none | "]
        if zone.forged_before_answer:
            other_id = bytes([query[0] ^ 0xFF, query[1]]) + query[2:]
            first = query[13:14]
            other_name = query[:13] + (b"7" if first != b"7" else b"8") + query[14:]
            for forged in (write_reply(other_id, 0, lie), write_reply(other_name, 0, lie), query, b"\x00", b""):
                self.transport.sendto(forged, addr)
        reply = server.reply_to(query, name, truncate=zone.truncate)
        self.transport.sendto(reply[:-3] if zone.garbage else reply, addr)


def read_question(message: bytes) -> tuple[str, int]:
    """Return the lower-case name asked for, with its trailing dot, and where the question ends."""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    question_type, question_class = struct.unpack_from("!HH", message, at + 1)
    assert (question_type, question_class) == (16, 1), "expected a TXT question of class IN"
    return ".".join(labels) + ".", at + 5


def write_reply(query: bytes, rcode: int, records: list[str | list[str]], *, truncate: bool = False) -> bytes:
    """Write a reply to `query` with one TXT record for each of `records`."""
    _, end = read_question(query)
    flags = 0x8180 | (0x0200 if truncate else 0) | rcode
    parts = [query[:2], struct.pack("!HHHHH", flags, 1, len(records), 0, 0), query[12:end]]
    for record in records:
        chunks = [record] if isinstance(record, str) else record
        data = b"".join(bytes([len(chunk.encode())]) + chunk.encode() for chunk in chunks)
        parts.append(struct.pack("!HHHIH", 0xC00C, 16, 1, 14400, len(data)) + data)
    return b"".join(parts)
