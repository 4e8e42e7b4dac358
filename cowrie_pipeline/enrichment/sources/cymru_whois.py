"""Team Cymru by bulk whois: the origin ASN of thousands of addresses over one connection.

Belongs here: the conversation on port 43, its limits, when it is held instead of asking by DNS.
Does not belong here: what a record says (cymru.py).

One connection carries `begin`, `verbose`, an address a line and `end`. The reply begins with `Bulk mode; ...` and has
a line `AS | IP | BGP Prefix | CC | Registry | Allocated | AS Name` for each address, several for one with several
origins, `NA` as AS where it is not routed. Team Cymru wants to be asked this way where there is much to ask, and bars
those who make a connection for each address.
"""

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome
from cowrie_pipeline.enrichment.sources.cymru import CymruSource
from cowrie_pipeline.enrichment.sources.dns_client import DnsClient, ResolverError
from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["CymruBulkSource", "WhoisAnswer", "WhoisClient", "WhoisError"]

WHOIS_HOST = "whois.cymru.com"
WHOIS_PORT = 43
MAX_ADDRESSES = 10_000
THRESHOLD = 1_000

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
CONVERSATION_SECONDS = 600.0

_CHUNK = 1 << 16
# A line has about 100 octets, and few addresses have more than one.
_MAX_REPLY_PER_ADDRESS = 1024
_MAX_REPLY_BESIDE = 1 << 16


class WhoisError(Exception):
    """The server could not be reached, or what it says is no bulk reply; the message says which."""


@dataclass(frozen=True, slots=True)
class WhoisAnswer:
    """What came back for one address: records in the form of Team Cymru's TXT records, or why there are none."""

    texts: tuple[str, ...] = ()
    error: str | None = None
    latency_ms: float | None = None
    rcode: int | None = None  # whois has no such thing


class WhoisClient:
    """Asks the server about many addresses at once. Times are in seconds, `read_seconds` for each piece of a reply."""

    def __init__(
        self,
        host: str = WHOIS_HOST,
        port: int = WHOIS_PORT,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        conversation_seconds: float = CONVERSATION_SECONDS,
    ) -> None:
        self.server = f"{host}:{port}"
        self._address = (host, port)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._conversation_seconds = conversation_seconds

    def ask(self, addresses: Sequence[str]) -> list[WhoisAnswer]:
        """Ask about at most `MAX_ADDRESSES` addresses over one connection; give an answer for each, in their order.

        Where the connection ends early, what came is kept, and the others have an error.

        Raises:
            WhoisError: no record of any address came.
            ValueError: there are too many addresses, or one of them is none.
        """
        if len(addresses) > MAX_ADDRESSES:
            raise ValueError(
                f"expected at most {MAX_ADDRESSES:,} addresses for one connection, found {len(addresses):,}"
            )
        asked = {address: packed_address(address) for address in addresses}
        reply = _Reply(set(asked.values()))
        try:
            self._converse(reply)
        except (OSError, _CutError) as error:
            reply.cut(str(error) if isinstance(error, _CutError) else _in_words(error))
        if not reply.answers:
            raise WhoisError(f"{self.server} gave no record: {reply.problem or 'it closed the connection'}")
        unanswered = WhoisAnswer(error=f"{self.server} gave no record: {reply.problem or 'it left the address out'}")
        return [reply.answers.get(asked[address], unanswered) for address in addresses]

    def _converse(self, reply: "_Reply") -> None:
        """Send all questions and read the reply meanwhile: neither side may have to wait for the other."""
        began = time.monotonic()
        with socket.create_connection(self._address, timeout=self._connect_seconds) as connection:
            connection.settimeout(self._read_seconds)
            sender = threading.Thread(target=_send, args=(connection, reply.questions()), daemon=True)
            sender.start()
            try:
                for line in self._lines(connection, began, len(reply.wanted)):
                    reply.take(line, (time.monotonic() - began) * 1000)
            finally:
                # Wakes the sender if it is still at it.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                sender.join()

    def _lines(self, connection: socket.socket, began: float, count: int) -> Iterator[str]:
        """Yield whole lines until the server closes."""
        most = _MAX_REPLY_BESIDE + count * _MAX_REPLY_PER_ADDRESS
        rest, size = b"", 0
        while piece := connection.recv(_CHUNK):
            size += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", errors="replace")
            if size > most:
                raise _CutError(f"expected at most {most:,} octets, found more")
            if time.monotonic() - began > self._conversation_seconds:
                raise _CutError(f"it did not end within {self._conversation_seconds:g} s")
        if rest.strip():
            raise _CutError("the connection ended within a line")


class _CutError(Exception):
    """A reply that is not whole."""


class _Reply:
    """The records that came, by address."""

    def __init__(self, wanted: set[bytes]) -> None:
        self.wanted = wanted
        self.answers: dict[bytes, WhoisAnswer] = {}
        self.problem: str | None = None
        self._last: bytes | None = None

    def questions(self) -> bytes:
        """Write what is sent; sorted, so that the same addresses are the same question."""
        lines = [
            socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
            for packed in sorted(self.wanted, key=lambda packed: (len(packed), packed))
        ]
        return "\n".join(["begin", "verbose", *lines, "end", ""]).encode("ascii")

    def take(self, line: str, latency_ms: float) -> None:
        """Read one line; what is no record of an address that was asked is left out."""
        fields = [field.strip() for field in line.split("|", 6)]
        if len(fields) < 3:
            if fields[0].lower().startswith("error"):
                self.problem = self.problem or fields[0][:100]
            return
        try:
            packed = packed_address(fields[1])
        except ValueError:
            return
        if packed not in self.wanted:
            return
        origin, _, *rest = fields
        before = self.answers.get(packed, WhoisAnswer()).texts
        self.answers[packed] = WhoisAnswer(_joined(before, origin, " | ".join(rest)), latency_ms=latency_ms)
        self._last = packed

    def cut(self, problem: str) -> None:
        """Note that the reply is not whole: the last address in it could have had more records."""
        self.problem = problem
        if self._last is not None:
            del self.answers[self._last]


class CymruBulkSource(CymruSource):
    """As CymruSource; `threshold` keys or more are asked by whois, fewer by DNS, and all by DNS where whois fails.

    Payload: as by DNS, and by whois also `organization`: the name of `asn`. `circuit` is told whether whois works:
    whoever wants one failure to keep all from trying for a while hands in one that opens at the first.
    """

    def __init__(
        self,
        client: DnsClient | ResolverError,
        terms: Terms | None = None,
        *,
        whois: WhoisClient,
        circuit: Circuit,
        threshold: int = THRESHOLD,
    ) -> None:
        super().__init__(client, terms)
        self._whois = whois
        self._circuit = circuit
        self._threshold = threshold

    def availability(self) -> Availability:
        """Say which servers are asked, or why none can be."""
        by_dns = super().availability()
        reason = f"{by_dns.reason}; {self._threshold:,} addresses or more by whois through {self._whois.server}"
        return Availability(usable=True, reason=reason) if by_dns.usable else by_dns

    def _ask(self, names: Mapping[str, bytes], now: datetime) -> Sequence[Outcome]:
        keys = list(names)
        outcomes: list[Outcome] = []
        if len(keys) >= self._threshold:
            # Equal parts: a last one of a few addresses would be a connection for hardly anything.
            parts = -(-len(keys) // MAX_ADDRESSES)
            size = -(-len(keys) // parts)
            while len(outcomes) < len(keys) and self._circuit.allows(now):
                some = keys[len(outcomes) : len(outcomes) + size]
                try:
                    answers = self._whois.ask(some)
                    outcomes += (self._judge(key, answer, now) for key, answer in zip(some, answers, strict=True))
                    self._circuit.record_success()
                except WhoisError:
                    self._circuit.record_failure(now)
                    break
        left = keys[len(outcomes) :]
        return [*outcomes, *super()._ask({key: names[key] for key in left}, now)] if left else outcomes


def _joined(texts: tuple[str, ...], origin: str, rest: str) -> tuple[str, ...]:
    """Add a record; to one of the same prefix only its origin, as a TXT record has all origins of a prefix in one."""
    prefix = rest.partition("|")[0]
    for index, text in enumerate(texts):
        origins, _, known = text.partition(" | ")
        if known.partition("|")[0] == prefix:
            if origin not in origins.split():
                return (*texts[:index], f"{origins} {origin} | {known}", *texts[index + 1 :])
            return texts
    return (*texts, f"{origin} | {rest}")


def _send(connection: socket.socket, questions: bytes) -> None:
    # Where sending fails, reading does too, and says why.
    with suppress(OSError):
        connection.sendall(questions)


def _in_words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no reply in time"
    return error.strerror or type(error).__name__
