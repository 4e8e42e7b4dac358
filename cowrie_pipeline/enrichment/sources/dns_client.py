"""Thousands of TXT questions over a few UDP sockets, never more than a set number at once.

Belongs here: which resolver is asked and believed, matching replies to questions, time-outs, repeats, the way to TCP,
the circuit.
Does not belong here: what a TXT record says (cymru.py).

One socket for each question costs more than the question. Here a few connected sockets carry all of them: the kernel
drops what comes from elsewhere, and a reply counts only if its id and its question are those of an open question.
Replies are not read by dnspython: of one only the code and the TXT records count, and to make objects of its names,
sections and records takes ten times as long as all the rest. A question is written as header, name and type, since
rendering a whole message takes five times as long and gives the same octets.

"No such name" is an answer, and some resolvers give it to every question: on a machine without a network, or behind a
filter. So a resolver can be made to prove itself first, by a name that is known to have a TXT record.
"""

import asyncio
import ipaddress
import secrets
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.resolver
from msgspec import Struct

from cowrie_pipeline.enrichment.circuit import Circuit, CircuitState

__all__ = ["DnsAnswer", "DnsClient", "Resolver", "ResolverError", "system_resolvers"]

_Read = TypeVar("_Read")

DNS_PORT = 53
MAX_TRIES = 3
PROOF_TRIES = 2  # a run without a network should end soon
SOCKETS_PER_RESOLVER = 4
# So many questions go first; the others follow when one of these has been answered.
FIRST_QUESTIONS = 16
MAX_SYSTEM_RESOLVERS = 3  # as many as the C library reads from resolv.conf

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
# As plain numbers: dnspython's enums make every `&` an object.
_QR, _TC, _RCODE = int(dns.flags.QR), int(dns.flags.TC), 0x000F
_POINTER, _MAX_LABEL = 0xC0, 63
_QUESTION_END = struct.pack("!HH", dns.rdatatype.TXT, dns.rdataclass.IN)
_ANSWERED = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)


class ResolverError(ValueError):
    """No resolver can be told from the settings or the system; the message says why."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """A DNS server that is asked, by its IP address."""

    address: str
    port: int = DNS_PORT

    @classmethod
    def parse(cls, text: str) -> "Resolver":
        """Read `address`, `address:port` or `[address]:port`.

        Raises:
            ResolverError: `text` is none of these.
        """
        host, port = text, str(DNS_PORT)
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            port = rest.removeprefix(":") or port
            if not bracket:
                host = ""
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        try:
            address = str(ipaddress.ip_address(host))
            number = int(port)
        except ValueError:
            number = 0
        if not 0 < number < 65536:
            raise ResolverError(
                f"expected a resolver as 9.9.9.9, 9.9.9.9:53 or [2620:fe::fe]:53, found {text!r}; "
                "set COWRIE_CYMRU_RESOLVER to one of these forms"
            )
        return cls(address, number)

    def __str__(self) -> str:
        """Write it as the setting is written."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def system_resolvers(path: Path = Path("/etc/resolv.conf")) -> tuple[Resolver, ...]:
    """Return the first resolvers that the system names.

    Raises:
        ResolverError: the file is missing or names none.
    """
    reader = dns.resolver.Resolver(configure=False)
    try:
        reader.read_resolv_conf(str(path))
    except (OSError, dns.exception.DNSException) as error:
        raise ResolverError(
            f"expected the system's resolvers in {path}, found none ({type(error).__name__}); "
            "set COWRIE_CYMRU_RESOLVER to the address of one"
        ) from error
    return tuple(Resolver(str(each), reader.port) for each in reader.nameservers[:MAX_SYSTEM_RESOLVERS])


# A struct, because there is one for each question.
class DnsAnswer(Struct, frozen=True, gc=False):
    """What became of one question.

    `texts` holds a text for each TXT record, its chunks joined; empty where the name does not exist or has none.
    `error` says why there is no answer, and is None where there is one. `rcode` is None where nothing came back.
    """

    texts: tuple[str, ...] = ()
    rcode: int | None = None
    latency_ms: float | None = None
    error: str | None = None


class DnsClient:
    """Asks `resolvers` for TXT records; a repeat goes to the next of them.

    `timeout` is in seconds and for one try, of which there are three at most. `circuit` is told how every question
    ended, and asked before each; whoever wants it shared between clients hands the same one to all.

    `proof` is a name with a TXT record. Where it is set, every resolver is asked for it before anything else, and those
    that do not give it are not used. Where none gives it, nothing is asked, and the circuit opens. What was proven
    holds as long as the circuit.
    """

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        *,
        max_in_flight: int,
        timeout: float,
        circuit: Circuit,
        proof: dns.name.Name | None = None,
    ) -> None:
        self.resolvers = tuple(resolvers)
        self._proof = proof
        self._max_in_flight = max(1, max_in_flight)
        self._timeout = timeout
        self._circuit = circuit

    def ask(self, names: Sequence[bytes], read: Callable[[int, DnsAnswer], _Read], *, now: datetime) -> list[_Read]:
        """Ask for the TXT records of each name; give what `read` makes of each answer, in the order of the names.

        It is called with the place of the name and the answer, while other answers are waited for.

        Names are in wire form, as `dns.name.Name.to_digestable()` gives them: thousands of objects take longer to
        make than to ask. Runs its own event loop, in a thread of its own where the calling thread runs one already.
        """
        if not names:
            return []
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(names, read, now)
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(self._run, names, read, now).result()

    def trouble(self, now: datetime) -> str | None:
        """Say why nothing is asked at `now`; None where the resolvers work, as far as is known."""
        return None if self._circuit.allows(now) else why_closed(self._circuit)

    def _run(self, names: Sequence[bytes], read: Callable[[int, DnsAnswer], _Read], now: datetime) -> list[_Read]:
        batch = _Batch(self.resolvers, self._proof, self._timeout, self._circuit, now)
        with asyncio.Runner() as runner:
            return runner.run(batch.ask_all(names, read, self._max_in_flight))


class _Batch:
    """The questions of one call, and the sockets they share."""

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        proof: dns.name.Name | None,
        timeout: float,
        circuit: Circuit,
        now: datetime,
    ) -> None:
        self._resolvers = resolvers
        self._proof = proof
        self._timeout = timeout
        self._circuit = circuit
        self._now = now
        self._started = time.monotonic()
        self._channels: dict[Resolver, list[_Channel]] = {}
        self._deadlines = _Deadlines(timeout)
        self._opening = asyncio.Lock()
        self._warm = asyncio.Event()
        self._first_done = 0

    async def ask_all(
        self, names: Sequence[bytes], read: Callable[[int, DnsAnswer], _Read], max_in_flight: int
    ) -> list[_Read]:
        try:
            self._resolvers = await self._believed()
            if not self._resolvers:
                return [read(index, self._not_asked()) for index in range(len(names))]
            return await self._ask_each(names, read, max_in_flight)
        finally:
            self._deadlines.stop()
            for channel in (each for channels in self._channels.values() for each in channels):
                channel.close()
            # A transport closes its socket in the loop's next round.
            await asyncio.sleep(0)

    async def _believed(self) -> Sequence[Resolver]:
        """Return the resolvers that need no proof or have given it; where none has, ask all of them for it."""
        if self._proof is None:
            return self._resolvers
        proven = [each for each in self._resolvers if str(each) in self._circuit.proven]
        if proven or not self._circuit.allows(self._clock()):
            return proven
        answers = await asyncio.gather(
            *(self._exchange(self._proof.to_digestable(), [resolver], PROOF_TRIES) for resolver in self._resolvers)
        )
        proven = [each for each, answer in zip(self._resolvers, answers, strict=True) if answer.texts]
        if proven:
            self._circuit.proven.update(map(str, proven))
            self._circuit.record_success()
        else:
            name = self._proof.to_text(omit_final_dot=True)
            found = "; ".join(map(_no_proof, self._resolvers, answers))
            self._circuit.trip(self._clock(), f"no resolver can see {name}, which is always there: {found}")
        return proven

    async def _ask_each(
        self, names: Sequence[bytes], read: Callable[[int, DnsAnswer], _Read], max_in_flight: int
    ) -> list[_Read]:
        answers: dict[int, _Read] = {}
        left = iter(range(len(names)))
        trial = self._circuit.state(self._clock()) is CircuitState.HALF_OPEN
        first = min(1 if trial else FIRST_QUESTIONS, max_in_flight, len(names))

        async def take_one() -> None:
            for index in left:
                answers[index] = read(index, await self._ask(names[index]))
                return

        async def work(number: int) -> None:
            if number < first:
                await take_one()
                self._first_done += 1
                if self._first_done == first:
                    self._warm.set()
            await self._warm.wait()
            for index in left:
                answers[index] = read(index, await self._ask(names[index]))

        async with asyncio.TaskGroup() as group:
            for number in range(min(max_in_flight, len(names))):
                group.create_task(work(number))
        return [answers[index] for index in range(len(names))]

    def _clock(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._started)

    def _not_asked(self) -> DnsAnswer:
        return DnsAnswer(error=f"not asked: {why_closed(self._circuit)}")

    async def _ask(self, name: bytes) -> DnsAnswer:
        """Ask one question if the circuit allows it, and tell the circuit how it ended."""
        if not self._circuit.allows(self._clock()):
            return self._not_asked()
        answer = await self._exchange(name, self._resolvers, MAX_TRIES)
        if answer.error is None:
            self._circuit.record_success()
            self._warm.set()
        else:
            self._circuit.record_failure(self._clock())
        return answer

    async def _exchange(self, name: bytes, resolvers: Sequence[Resolver], tries: int) -> DnsAnswer:
        """Ask one question of `resolvers` in turn until it is answered, `tries` times at most."""
        began = time.perf_counter()
        problem, rcode = "", None
        for number in range(tries):
            if number and not self._circuit.allows(self._clock()):
                break
            resolver = resolvers[number % len(resolvers)]
            try:
                rcode, texts = await self._try(resolver, name)
            except (TimeoutError, OSError, EOFError, dns.exception.DNSException) as error:
                problem = f"{resolver}: {_in_words(error)}"
                continue
            if rcode in _ANSWERED:
                return DnsAnswer(texts, rcode, (time.perf_counter() - began) * 1000)
            problem = f"{resolver}: {dns.rcode.to_text(dns.rcode.Rcode(rcode))}"
        return DnsAnswer(
            rcode=rcode,
            latency_ms=(time.perf_counter() - began) * 1000,
            error=f"no answer; the last of at most {tries} tries: {problem}",
        )

    async def _try(self, resolver: Resolver, name: bytes) -> tuple[int, tuple[str, ...]]:
        """Send a question once; return code and texts of its reply. A truncated one is asked for again over TCP."""
        channels = self._channels.get(resolver) or await self._open(resolver)
        question = name + _QUESTION_END
        wire = await min(channels, key=_Channel.load).exchange(question)
        _, flags, _, answers, *_ = _HEADER.unpack_from(wire)
        if not flags & _TC:
            return flags & _RCODE, _read_texts(wire, _HEADER.size + len(question), answers)
        query = dns.message.make_query(dns.name.from_wire(name, 0)[0], dns.rdatatype.TXT)
        message = await dns.asyncquery.tcp(query, resolver.address, timeout=self._timeout, port=resolver.port)
        return int(message.rcode()), _texts_of(message)

    async def _open(self, resolver: Resolver) -> "list[_Channel]":
        """Open the sockets to `resolver`, once for all."""
        async with self._opening:
            if resolver not in self._channels:
                self._channels[resolver] = [
                    await _open_channel(resolver, self._deadlines) for _ in range(SOCKETS_PER_RESOLVER)
                ]
        return self._channels[resolver]


class _Deadlines:
    """The time-outs of all questions, by one timer.

    All have the same time, so the first that was asked is the first whose time is up.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[bytes]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, loop: asyncio.AbstractEventLoop, reply: asyncio.Future[bytes]) -> None:
        """Let `reply` fail with TimeoutError unless it is done in time."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        ends_at = loop.time() + self._seconds
        self._waiting.append((ends_at, reply))
        if self._timer is None:
            self._timer = loop.call_at(ends_at, self._sweep, loop)

    def stop(self) -> None:
        """Let nothing fail any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        while self._waiting:
            ends_at, reply = self._waiting[0]
            if not reply.done() and ends_at > now:
                self._timer = loop.call_at(ends_at, self._sweep, loop)
                return
            self._waiting.popleft()
            _fail(reply, TimeoutError())


class _Channel(asyncio.DatagramProtocol):
    """One connected UDP socket and its open questions, by id."""

    def __init__(self, deadlines: _Deadlines) -> None:
        self._deadlines = deadlines
        self._transport: asyncio.DatagramTransport
        self._open: dict[int, tuple[bytes, asyncio.Future[bytes]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def load(self) -> int:
        return len(self._open)

    def close(self) -> None:
        self._transport.close()

    async def exchange(self, question: bytes) -> bytes:
        """Send `question` (name, type and class) under a fresh id and return the reply to it.

        Raises:
            TimeoutError: nothing came in time.
            OSError: the question could not be sent, or nobody listens there.
        """
        loop = asyncio.get_running_loop()
        number = next(each for each in _random_ids() if each not in self._open)
        reply: asyncio.Future[bytes] = loop.create_future()
        self._open[number] = (question.lower(), reply)
        self._deadlines.add(loop, reply)
        try:
            self._transport.sendto(_HEADER.pack(number, dns.flags.RD, 1, 0, 0, 0) + question)
            return await reply
        finally:
            del self._open[number]

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the socket is connected
        if len(data) < _HEADER.size:
            return
        number, flags, *_ = _HEADER.unpack_from(data)
        question, reply = self._open.get(number, (b"", None))
        if reply is None or reply.done() or not flags & _QR:
            return
        # Lower-casing octets is safe: a label's length is below 64, and "A" is 65.
        if data[_HEADER.size : _HEADER.size + len(question)].lower() == question:
            reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        # ICMP names no question: whatever is open on this socket was sent in vain, or will be asked again.
        for _, reply in self._open.values():
            _fail(reply, exc)


async def _open_channel(resolver: Resolver, deadlines: _Deadlines) -> _Channel:
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_datagram_endpoint(
        lambda: _Channel(deadlines), remote_addr=(resolver.address, resolver.port)
    )
    return channel


def _fail(reply: asyncio.Future[bytes], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)


def _random_ids() -> Iterator[int]:
    while True:
        yield secrets.randbits(16)


def _read_texts(wire: bytes, at: int, answers: int) -> tuple[str, ...]:
    """Return the text of every TXT record in the answer of a reply, which begins at `at`.

    Whose records they are does not matter: they answer the question, be it by way of an alias.

    Raises:
        dns.exception.FormError: the reply is cut or garbled.
    """
    texts: list[str] = []
    try:
        for _ in range(answers):
            at = _end_of_name(wire, at)
            record_type, record_class, _, length = _RECORD.unpack_from(wire, at)
            at += _RECORD.size
            if at + length > len(wire):
                raise dns.exception.FormError
            if record_type == dns.rdatatype.TXT and record_class == dns.rdataclass.IN:
                texts.append(_text_in(wire[at : at + length]))
            at += length
    except (IndexError, struct.error) as error:
        raise dns.exception.FormError from error
    return tuple(texts)


def _end_of_name(wire: bytes, at: int) -> int:
    """Return where a name ends that begins at `at`: after its root label, or after a pointer to the rest of it."""
    while length := wire[at]:
        if length >= _POINTER:
            return at + 2
        if length > _MAX_LABEL:
            raise dns.exception.FormError
        at += 1 + length
    return at + 1


def _text_in(data: bytes) -> str:
    """Return the text of a TXT record: chunks, one or more, each behind its length (RFC 1035, section 3.3.14).

    Raises:
        dns.exception.FormError: the last chunk is cut, or there is none.
    """
    chunks: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        chunks.append(data[at + 1 : end])
        at = end
    if not chunks or at > len(data):
        raise dns.exception.FormError
    return _joined(chunks)


def _texts_of(message: dns.message.Message) -> tuple[str, ...]:
    """Return the text of every TXT record in the answer of a message."""
    return tuple(
        _joined(record.strings)
        for rrset in message.answer
        for record in rrset
        if isinstance(record, dns.rdtypes.ANY.TXT.TXT)
    )


def _joined(chunks: Sequence[bytes]) -> str:
    """Return what the chunks of a TXT record say: they are one text (RFC 7208, section 3.3)."""
    return b"".join(chunks).decode("utf-8", errors="replace")


def _no_proof(resolver: Resolver, answer: DnsAnswer) -> str:
    """Say what came instead of a TXT record; an error names its resolver already."""
    if answer.error is not None:
        return answer.error
    return f"{resolver} says that it {'does not exist' if answer.rcode == dns.rcode.NXDOMAIN else 'has no TXT record'}"


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError | dns.exception.Timeout):
        return "no reply in time"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"unreadable reply ({type(error).__name__})"


def why_closed(circuit: Circuit) -> str:
    """Say why the resolvers are not asked any more."""
    return circuit.reason or "the resolver gave no answer to many questions in a row"
