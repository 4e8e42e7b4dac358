"""What all services that are asked by HTTP, one call per key, have in common.

Belongs here: leave before each call, pace, calls in flight, pauses, refused keys, the circuit, from reply to outcome.
Does not belong here: what a service is asked and how its answer reads (its own module), HTTP (http_client.py), growing
delays between failures (the ledger knows how often a key failed).

One thread, that of the caller, decides everything: it takes leave, waits for the turn of each call, and judges what has
arrived. The others only send and receive.
"""

import ipaddress
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.circuit import Circuit, CircuitState
from cowrie_pipeline.enrichment.clock import utc_now
from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.http_client import HttpClient, HttpError, HttpRequest, Reply
from cowrie_pipeline.enrichment.limits import PACE_UP_TO, Allowance, Grant
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.terms import Terms

__all__ = [
    "AddressSource",
    "HttpSource",
    "NotApplicableError",
    "RefusedError",
    "UnreadableAnswerError",
    "canonical_address",
    "check_address",
    "json_map",
    "retry_after",
]

# When a key is asked again after its first failure, and when a service is that refused our key or User-Agent.
RETRY_AFTER = timedelta(minutes=15)
RETRY_AFTER_REFUSAL = timedelta(hours=1)
# When a key is asked again that a service called none of its kind: if that was our mistake, it heals.
RETRY_AFTER_NOT_APPLICABLE = timedelta(days=1)
# A service may ask for a longer pause than this; a typing error of theirs must not stop us for years.
MAX_PAUSE = timedelta(days=1)
MIN_PAUSE = timedelta(seconds=1)
# How many keys one look_up should have for each call in flight, where no pace says less: for about a minute of work,
# if a slow service takes two seconds.
KEYS_PER_CALL_IN_FLIGHT = 30
# An allowance that says "now" and still gives nothing is not asked without a breath.
SHORTEST_WAIT = timedelta(milliseconds=50)

TOO_MANY_REQUESTS = 429


class UnreadableAnswerError(ValueError):
    """A reply is not in the service's format: no answer, so it is asked again."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}, found {found}")


class RefusedError(Exception):
    """The service says by its body that it does not accept our key; the message is what it says, without the key."""


class NotApplicableError(Exception):
    """The service says that it cannot be asked about such a key, such as an address of a private network."""


class HttpSource(ABC):
    """A service that is asked by HTTP about one key at a time.

    A subclass says what is true of it (`terms`, `default_url`, the names of its settings), which keys it can be asked
    about, what is asked, and how the answer reads.

    `circuit` is told how every call ended, and asked before each; a process holds one for each service. `terms`
    replaces what the class says, where settings change a limit or how long an answer holds. `patience` is how long one
    look_up waits for a pace at most; the keys that are left then are skipped, and due when the pace allows.
    """

    terms: Terms
    default_url: str
    # The setting that holds the key, None where the service needs none, and what a key of ours in `keys` looks like.
    key_setting: str | None = None
    asks_about: str
    contact_setting = "COWRIE_CONTACT"
    cached = True
    # The statuses by which a service says that it does not want us, and what an operator can do then.
    refusals = frozenset({401, 403})
    refusal_advice = ""
    # How long to leave it alone after a 429 that does not say.
    default_pause = timedelta(minutes=5)

    def __init__(
        self,
        client: HttpClient,
        allowance: Allowance,
        circuit: Circuit,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        terms: Terms | None = None,
        max_in_flight: int = 8,
        patience: timedelta = timedelta(seconds=60),
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.terms = terms or type(self).terms
        self.name = self.terms.service
        self.base_url = base_url or self.default_url
        self._host = _host_of(self.base_url)
        self.max_in_flight = max(1, max_in_flight)
        self.patience = patience
        self.circuit = circuit
        self.allowance = allowance
        self.clock = clock
        self.sleep = sleep
        self._client = client
        self._api_key = api_key or ""
        self._refusal: str | None = None
        self._last_failure = ""

    @abstractmethod
    def applies_to(self, key: str) -> bool:
        """Whether the service can be asked about `key`."""

    @abstractmethod
    def request(self, key: str) -> HttpRequest:
        """Return what is asked about a key that `applies_to` accepts."""

    @abstractmethod
    def parse(self, key: str, reply: Reply) -> Mapping[str, Any] | None:
        """Return the facts in a reply, None or an empty map where it says that there are none.

        Raises:
            UnreadableAnswerError: the reply is not in the service's format.
            RefusedError: it says that our key is not accepted.
            NotApplicableError: it says that such a key cannot be asked about.
        """

    def pause_for(self, reply: Reply) -> timedelta:  # noqa: ARG002 - a service can say more in its body
        """Return how long to leave the service alone after a 429 that does not say."""
        return self.default_pause

    @property
    def keys_at_once(self) -> int:
        """How many keys one look_up should be given, so that it takes no more than about a minute."""
        paces = [PACE_UP_TO * each.calls // each.window for each in self.terms.limits if each.window <= PACE_UP_TO]
        return max(1, min([*paces, self.max_in_flight * KEYS_PER_CALL_IN_FLIGHT]))

    def availability(self) -> Availability:
        """Say whether all is set that the service needs; asks nobody."""
        if self.terms.needs_key and not self._api_key:
            return Availability(usable=False, reason=f"not configured: set {self.key_setting}")
        if self.terms.needs_contact and not self._client.contact:
            reason = f"not configured: set {self.contact_setting} to an e-mail address or URL, which it is told"
            return Availability(usable=False, reason=reason)
        if problem := self._misconfiguration():
            return Availability(usable=False, reason=problem)
        return Availability(usable=True, reason=f"by HTTP from {self._host}")

    def findings(self, now: datetime) -> Sequence[Finding]:
        """Return what keeps the service from answering; that it is not configured is no finding."""
        where = self._host or self.name
        if problem := self._misconfiguration():
            return [Finding(self.name, where, "settings that can be used", "others", problem)]
        # The circuit remembers a refusal that another source of this process met.
        if refusal := self._refusal or self.circuit.reason:
            advice = self.refusal_advice or f"Check {self.key_setting}"
            advice = f"{advice}; nothing is asked for an hour, and no more in this run."
            return [Finding(self.name, where, "to be let in", refusal, advice)]
        if not self.circuit.allows(now):
            found = f"many failures in a row, the last: {self._last_failure or 'in an earlier batch'}"
            return [Finding(self.name, where, "answers", found, "It is tried again in a few minutes.")]
        return []

    def look_up(self, keys: Sequence[str], *, now: datetime) -> list[Outcome]:
        """Ask about every distinct key once, within the limits; give one outcome per key, in the order of `keys`.

        Never raises for what the service does.
        """
        batch = _Batch(self, now)
        batch.run([key for key in dict.fromkeys(keys) if self._is_asked(key, batch)])
        return [batch.outcomes[key] for key in keys]

    def ask(self, key: str) -> Reply:
        """Send one question; called by many threads at once.

        Raises:
            HttpError: there is no reply.
        """
        return self._client.send(self.base_url, self.request(key))

    def is_refused(self) -> bool:
        """Whether the service has refused us: then it is asked no more by this source."""
        return self._refusal is not None

    def why_not_asked(self) -> str:
        """Say why no call is made, when none is."""
        return f"not asked: {self._refusal or self.circuit.reason or 'circuit open'}"

    def note_refusal(self, said: str) -> None:
        """Stop asking: every further call would be refused, too."""
        self._refusal = said
        self.circuit.trip(self.clock(), said, cool_down=RETRY_AFTER_REFUSAL)

    def note_failure(self, problem: str) -> None:
        """Tell the circuit that a call got no answer."""
        self._last_failure = problem
        self.circuit.record_failure(self.clock())

    def note_success(self) -> None:
        """Tell the circuit that a call got an answer, unless it was under way while another was refused."""
        if not self.is_refused():
            self.circuit.record_success()

    def _is_asked(self, key: str, batch: "_Batch") -> bool:
        """Whether to ask about `key`; the outcome of one that is not is given here."""
        if not (usable := self.availability()).usable:
            batch.end(key, Status.ERROR, retry_at=batch.now + RETRY_AFTER, error=f"not asked: {usable.reason}")
        elif not self.applies_to(key):
            # The key is not repeated here: what is no key of ours can be anything, a password in clear included.
            batch.end(key, Status.NOT_APPLICABLE, error=f"expected {self.asks_about} as key, found something else")
        else:
            return True
        return False

    def _misconfiguration(self) -> str | None:
        """Say which setting cannot be used as it is."""
        # The message of requests for such a header would show it.
        if not (self._api_key.isascii() and self._api_key.isprintable()) or self._api_key != self._api_key.strip():
            return f"{self.key_setting} holds blanks or characters that no key has: set it to the key alone"
        if self._host is None:
            return f"expected the URL of {self.terms.title} as {self.default_url}, found something else; correct it"
        return None


class AddressSource(HttpSource):
    """A service that is asked about an IP address, by its text as key."""

    asks_about = "an IP address"

    def applies_to(self, key: str) -> bool:
        """Whether `key` is an IP address."""
        return canonical_address(key) is not None


class _Batch:
    """One look_up: what is left to ask, what is under way, and what came of each key."""

    def __init__(self, source: HttpSource, now: datetime) -> None:
        self.now = now
        self.outcomes: dict[str, Outcome] = {}
        self._source = source
        self._left: deque[str] = deque()
        self._in_flight = 0
        self._arrived: SimpleQueue[tuple[str, Reply | Exception]] = SimpleQueue()
        self._give_up_at = source.clock() + source.patience
        # Once set, nothing more is asked: the status of the keys that are left, when they are due, and why.
        self._stopped: tuple[Status, datetime, str] | None = None

    def run(self, keys: Sequence[str]) -> None:
        """Bring every key to its end."""
        if not keys:
            return
        self._left.extend(keys)
        with ThreadPoolExecutor(max_workers=min(self._source.max_in_flight, len(keys))) as executor:
            while self._left and self._stopped is None:
                self._ask_some(executor)
            self._collect(until_in_flight=0)
        if self._left and self._stopped is not None:
            status, retry_at, reason = self._stopped
            for key in self._left:
                self.end(key, status, retry_at=retry_at, error=reason)

    def end(
        self,
        key: str,
        status: Status,
        *,
        payload: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
        retry_at: datetime | None = None,
        response_code: int | None = None,
        latency_ms: float | None = None,
        error: str | None = None,
    ) -> None:
        """Write down what came of a key."""
        self.outcomes[key] = Outcome(
            service=self._source.name,
            key=key,
            status=status,
            fetched_at=self.now,
            payload=payload or {},
            expires_at=expires_at,
            retry_at=retry_at,
            response_code=response_code,
            latency_ms=latency_ms,
            error=error,
        )

    def _ask_some(self, executor: ThreadPoolExecutor) -> None:
        """Take leave for as many calls as may be had now and make them; or wait for leave; or stop."""
        source = self._source
        if not self._may_ask():
            return
        is_trial = source.circuit.state(source.clock()) is CircuitState.HALF_OPEN
        wanted = 1 if is_trial else len(self._left)
        grant = source.allowance.take(source.name, source.terms.limits, wanted, now=source.clock())
        made = self._spend(grant, executor)
        if made < grant.calls:
            source.allowance.give_back(source.name, source.terms.limits, grant.calls - made, now=source.clock())
        if is_trial and made:
            self._collect(until_in_flight=0)
        elif grant.calls < wanted and self._stopped is None:
            # A grant that does not say when there is more has none to give soon.
            more_at = grant.next_at or source.clock() + RETRY_AFTER
            self._wait_until(max(more_at, source.clock() + SHORTEST_WAIT), grant.reason)

    def _spend(self, grant: Grant, executor: ThreadPoolExecutor) -> int:
        """Make the calls of a grant, each in its turn; return how many were made."""
        source, turn = self._source, grant.begins_at
        for made in range(grant.calls):
            self._collect(until_in_flight=source.max_in_flight - 1)
            self._wait_until(turn, grant.reason)
            if not self._may_ask():
                return made
            key = self._left.popleft()
            self._in_flight += 1
            executor.submit(self._call, key)
            turn = max(turn, source.clock()) + grant.spacing
        return grant.calls

    def _may_ask(self) -> bool:
        """Whether the next call may be made; if not, note what becomes of the keys that are left."""
        self._collect()
        source = self._source
        if self._stopped is None and (source.is_refused() or not source.circuit.allows(source.clock())):
            wait = RETRY_AFTER_REFUSAL if source.is_refused() or source.circuit.reason else source.circuit.cool_down
            self._stopped = (Status.ERROR, source.clock() + wait, source.why_not_asked())
        return self._stopped is None

    def _wait_until(self, time_of_turn: datetime, reason: str | None) -> None:
        """Wait for the pace, or stop where that takes longer than our patience."""
        source = self._source
        wait = time_of_turn - source.clock()
        if wait <= timedelta(0):
            return
        if time_of_turn > self._give_up_at:
            self._stopped = (Status.SKIPPED_BUDGET, time_of_turn, f"not asked: {reason or 'the pace is kept'}")
        else:
            source.sleep(wait.total_seconds())

    def _call(self, key: str) -> None:
        """Send one question and hand in what came; runs in a thread of its own."""
        try:
            self._arrived.put((key, self._source.ask(key)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of this key and of no other
            self._arrived.put((key, error))

    def _collect(self, *, until_in_flight: int | None = None) -> None:
        """Judge what has arrived, and wait for more until no more than so many calls are in flight."""
        while self._in_flight:
            try:
                key, arrival = self._arrived.get(
                    block=until_in_flight is not None and self._in_flight > until_in_flight
                )
            except Empty:
                return
            self._in_flight -= 1
            if isinstance(arrival, Reply):
                self._judge(key, arrival)
            else:
                self._fail(
                    key, _problem(arrival), getattr(arrival, "status", None), getattr(arrival, "latency_ms", 0.0)
                )

    def _judge(self, key: str, reply: Reply) -> None:
        """Decide what a reply means for its key, and for the keys after it."""
        source = self._source
        if reply.status == TOO_MANY_REQUESTS:
            self._pause(key, reply)
        elif reply.status in source.refusals:
            self._refuse(key, reply, f"refused with HTTP {reply.status}")
        elif reply.status >= 500:
            self._fail(key, f"expected an answer, found {reply}", reply.status, reply.latency_ms, reply)
        else:
            self._read(key, reply)

    def _read(self, key: str, reply: Reply) -> None:
        source, terms = self._source, self._source.terms
        code, latency = reply.status, reply.latency_ms
        try:
            payload = source.parse(key, reply)
        except RefusedError as error:
            self._refuse(key, reply, str(error))
        except NotApplicableError as error:
            source.note_success()
            retry_at = self.now + RETRY_AFTER_NOT_APPLICABLE
            status = Status.NOT_APPLICABLE
            self.end(key, status, retry_at=retry_at, response_code=code, latency_ms=latency, error=str(error))
        except Exception as error:  # noqa: BLE001 - one service's odd answer must not lose the answers to other keys
            self._fail(key, _problem(error), code, latency)
        else:
            source.note_success()
            status, holds = (Status.HIT, terms.hit_for) if payload else (Status.NOT_FOUND, terms.negative_for)
            expires_at = self.now + holds
            self.end(key, status, payload=payload, expires_at=expires_at, response_code=code, latency_ms=latency)

    def _fail(self, key: str, problem: str, code: int | None, latency_ms: float, reply: Reply | None = None) -> None:
        self._source.note_failure(problem)
        wait = RETRY_AFTER
        if reply is not None:
            wait = max(wait, min(retry_after(reply, self._source.clock()) or wait, MAX_PAUSE))
        retry_at = self.now + wait
        self.end(key, Status.ERROR, retry_at=retry_at, response_code=code, latency_ms=latency_ms, error=problem)

    def _pause(self, key: str, reply: Reply) -> None:
        """Leave the service alone for as long as it says, and let all others do so, too."""
        source, now = self._source, self._source.clock()
        wait = retry_after(reply, now)
        if wait is None:
            wait = source.pause_for(reply)
        until = now + max(MIN_PAUSE, min(wait, MAX_PAUSE))
        reason = f"paused until {until.isoformat(timespec='seconds')}, since it answered HTTP {reply.status}"
        source.allowance.pause(source.name, until=until, reason=reason)
        if self._stopped is None or self._stopped[1] < until:
            self._stopped = (Status.SKIPPED_BUDGET, until, f"not asked: {reason}")
        self.end(
            key,
            Status.RATE_LIMITED,
            retry_at=until,
            response_code=reply.status,
            latency_ms=reply.latency_ms,
            error=reason,
        )

    def _refuse(self, key: str, reply: Reply, said: str) -> None:
        self._source.note_refusal(said)
        self.end(
            key,
            Status.ERROR,
            retry_at=self.now + RETRY_AFTER_REFUSAL,
            response_code=reply.status,
            latency_ms=reply.latency_ms,
            error=said,
        )


def canonical_address(address: Any) -> str | None:
    """Return an IP address as it is written in a URL, of a mapped one its IPv4 part; None for what is no address."""
    try:
        return str(ipaddress.ip_address(packed_address(address))) if isinstance(address, str) else None
    except ValueError:
        return None


def json_map(reply: Reply, expected: str, *, statuses: Sequence[int] = (200,)) -> Mapping[str, Any]:
    """Return the JSON map in a reply that has one of `statuses`; its content type does not matter.

    Raises:
        UnreadableAnswerError: there is another status, or no such map; the message says no word of the body.
    """
    if reply.status not in statuses:
        raise UnreadableAnswerError(expected, reply)
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        answer = None
    if not isinstance(answer, dict):
        raise UnreadableAnswerError(expected, reply)
    return answer


def check_address(key: str, said: Any, expected: str, found: object) -> None:
    """Make sure that an answer is about the address that was asked; one that names none is let pass.

    Raises:
        UnreadableAnswerError: it is about another.
    """
    if said is not None and canonical_address(said) != canonical_address(key):
        raise UnreadableAnswerError(f"{expected} about the address that was asked", f"{found} about another")


def retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """Return what a Retry-After says, in seconds or as a date: 0 where that has passed, None where it says nothing.

    It is never longer than the longest pause.
    """
    said = reply.headers.get("Retry-After", "").strip()
    try:
        if said.isascii() and said.replace(".", "", 1).isdigit():
            return timedelta(seconds=min(float(said), MAX_PAUSE.total_seconds()))
        until = parsedate_to_datetime(said)
    except (ValueError, OverflowError):  # a year of twenty digits
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return min(max(timedelta(0), until - now), MAX_PAUSE)


def _host_of(url: str) -> str | None:
    """Return the host of an HTTP URL, None where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None


def _problem(error: Exception) -> str:
    """Say what went wrong; of an error that is none of ours only the type, since its message can hold anything."""
    if isinstance(error, HttpError | UnreadableAnswerError):
        return str(error)
    return f"the source failed with {type(error).__name__}"
