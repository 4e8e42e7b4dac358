"""One way to speak HTTP: pooled connections, a deadline for each reply, a bound on its size, no secret in an error.

Belongs here: sending one request and reading its reply whole, or saying in a typed error why there is none.
Does not belong here: what a reply means (sources/), how often one may be sent (limits.py), repeating it (the ledger).

All threads share one session. The connections behind it are pooled by urllib3, whose pools are made for that, and the
rest of a session is only read here: it keeps no cookies, follows no redirects and looks at no environment (a .netrc
would add somebody else's password). A session per thread would lose its connections with the threads, which last as
long as one batch.
"""

import http.client
import io
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from cowrie_pipeline import __version__
from cowrie_pipeline.enrichment.clock import utc_now

__all__ = [
    "HttpClient",
    "HttpError",
    "HttpRequest",
    "RedirectedAwayError",
    "Reply",
    "TooLargeError",
    "TransportError",
    "user_agent_of",
]

MAX_REDIRECTS = 3
# Room for pools of that many hosts: more than there are services.
POOLED_HOSTS = 32
READ_SIZE = 64 * 1024
MAX_CONTENT_TYPE = 100
_CONTENT_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_REDIRECTS = (301, 302, 303, 307, 308)
# A redirect by one of these asks for the same method again; by another, for GET.
_SAME_METHOD = (307, 308)


class HttpError(Exception):
    """There is no reply that can be read.

    The message names the host and never more of the URL. `status` is the HTTP status where one came, `latency_ms` the
    time until the failure.
    """

    def __init__(self, message: str, *, status: int | None = None, latency_ms: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.latency_ms = latency_ms


class TransportError(HttpError):
    """No whole reply came: no address, no connection, no TLS, no answer in time, or a body that was cut."""


class TooLargeError(HttpError):
    """The reply is larger than is read, as it was sent or unpacked."""


class RedirectedAwayError(HttpError):
    """The reply sends us to another host, another scheme, or in circles: a key must not go there."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked of a service. Only method and path are shown: the rest can hold a key.

    `body` is sent as it is, with the Content-Type that `headers` name, instead of `form`.
    """

    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service said, whole. `headers` are found whatever their case; `content_type` is lower-case, bare."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    content_type: str
    latency_ms: float
    fetched_at: datetime

    def __str__(self) -> str:
        """Say what it is without saying what is in it."""
        return f"HTTP {self.status}, {self.content_type or 'no content type'}, {len(self.body)} bytes"


def user_agent_of(contact: str | None) -> str:
    """Return the User-Agent that names this program and whom to write to about it.

    Raises:
        ValueError: `contact` cannot stand in a header.
    """
    if contact is not None and not (contact.isascii() and contact.isprintable()):
        raise ValueError(f"expected a contact in printable ASCII, such as an e-mail address, found {contact!r}")
    return f"cowrie_pipeline/{__version__}" + (f" (+{contact})" if contact else "")


class HttpClient:
    """Sends requests, from any thread.

    `contact` (an e-mail address or URL) goes into the User-Agent. `pool_size` is how many connections to one host are
    kept: as many as calls are in flight. `connect_seconds` holds for each address of the host, `read_seconds` for each
    wait for more of a reply, `total_seconds` for a whole reply. `max_bytes` bounds a body, unpacked.

    Raises:
        ValueError: `contact` cannot stand in a header.
    """

    def __init__(
        self,
        *,
        contact: str | None = None,
        pool_size: int = 64,
        connect_seconds: float = 5.0,
        read_seconds: float = 15.0,
        total_seconds: float = 30.0,
        max_bytes: int = 4 * 1024 * 1024,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.contact = contact
        self.user_agent = user_agent_of(contact)
        self._timeout = (connect_seconds, read_seconds)
        self._total_seconds = total_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # What urllib3 unpacks in bounded pieces without another package.
        self._session.headers.update({"User-Agent": self.user_agent, "Accept-Encoding": "gzip"})
        adapter = _Adapter(pool_connections=POOLED_HOSTS, pool_maxsize=pool_size)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def send(self, base_url: str, request: HttpRequest) -> Reply:
        """Send `request` to the service at `base_url` and read the reply, whatever its status.

        Raises:
            TransportError: no whole reply came.
            TooLargeError: the body is larger than `max_bytes`.
            RedirectedAwayError: the reply leads to another host.
        """
        began = time.monotonic()
        deadline = began + self._total_seconds
        failure, status = "", None
        unlimited = _deadline.set(deadline)
        try:
            response = self._follow(base_url.rstrip("/") + request.path, request)
            with response:
                status = response.status_code
                body = self._read(response)
        except HttpError as error:
            error.latency_ms = _milliseconds_since(began)
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            failure = _in_words(error)
        finally:
            _deadline.reset(unlimited)
        latency_ms = _milliseconds_since(began)
        if failure:
            # Raised here and not above, so that it carries no exception of requests with it: those hold the URL.
            raise TransportError(f"{_host(base_url)}: {failure}", status=status, latency_ms=latency_ms)
        return Reply(
            status=response.status_code,
            headers=CaseInsensitiveDict(response.headers),
            body=body,
            content_type=_content_type(response.headers.get("Content-Type", "")),
            latency_ms=latency_ms,
            fetched_at=self._clock(),
        )

    def _follow(self, url: str, request: HttpRequest) -> requests.Response:
        """Send a request, and again where the same host says that the thing has moved."""
        method, params, form = request.method, dict(request.params), dict(request.form)
        home = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._session.request(
                method,
                url,
                params=params,
                data=request.body or form or None,
                headers=dict(request.headers),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
            target = response.headers.get("Location")
            # what was to be delivered is not delivered by a GET of another page: that reply is the caller's to judge
            loses_body = bool(request.body) and response.status_code not in _SAME_METHOD
            if response.status_code not in _REDIRECTS or target is None or loses_body:
                return response
            response.close()
            moved_to, params = _joined(url, target), {}
            if response.status_code not in _SAME_METHOD:
                method, form = "GET", {}
            if _origin(moved_to) != home:
                found = f"a redirect to {_host(moved_to)}; nothing was sent there"
                raise RedirectedAwayError(
                    f"{_host(home)}: expected an answer, found {found}", status=response.status_code
                )
            url = moved_to
        raise RedirectedAwayError(
            f"{_host(home)}: expected an answer, found more than {MAX_REDIRECTS} redirects", status=response.status_code
        )

    def _read(self, response: requests.Response) -> bytes:
        """Read a body piece by piece, and stop where it becomes too large."""
        announced = response.headers.get("Content-Length", "")
        body = bytearray()
        if not (announced.isascii() and announced.isdigit() and int(announced[:20]) > self._max_bytes):
            for piece in response.raw.stream(READ_SIZE, decode_content=True):
                body += piece
                if len(body) > self._max_bytes:
                    break
            else:
                return bytes(body)
        raise TooLargeError(
            f"{_host(response.url)}: expected at most {self._max_bytes} bytes, found more",
            status=response.status_code,
        )


# When the reply that this thread waits for must be there, by time.monotonic(). It is handed over in this way, since
# between a session and its connections there are pools that pass on nothing of ours.
_deadline: ContextVar[float] = ContextVar("deadline")


class _Session(requests.Session):
    """A session that leaves redirects to us: it would prepare the next request even where it is not to send it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the name is requests'
        return None


class _UntilDeadline(io.RawIOBase):
    """What a socket receives, until the deadline: a socket's own time-out begins anew with every octet."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._seconds = connected.gettimeout()
        self._deadline = deadline
        self._received = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the reply has passed")
        self._socket.settimeout(left if self._seconds is None else min(left, self._seconds))
        return self._received.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._received.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A response of which status line, headers and body come before the deadline, or not at all."""

    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock, _deadline.get()))


class _HttpConnection(HTTPConnection):
    response_class = _TimedResponse


class _HttpsConnection(HTTPSConnection):
    response_class = _TimedResponse


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Pools of connections that keep to the deadline."""

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def _content_type(header: str) -> str:
    """Return the bare type, "" where it is none: it stands in messages, so it must not be just any text."""
    bare = header.partition(";")[0].strip().lower()
    return bare if len(bare) <= MAX_CONTENT_TYPE and _CONTENT_TYPE.fullmatch(bare) else ""


def _milliseconds_since(began: float) -> float:
    return (time.monotonic() - began) * 1000


def _joined(url: str, target: str) -> str:
    """Return where a redirect leads, "" where that is no URL."""
    try:
        joined = urljoin(url, target)
        urlsplit(joined)
    except ValueError:
        return ""
    return joined


def _origin(url: str) -> str:
    """Return scheme, host and port of a URL: where a key may go."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    try:
        port = parts.port or default
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or "a URL without a host"


def _in_words(error: BaseException) -> str:
    """Say what went wrong without the words of requests, which hold the URL."""
    chain = list(_causes(error))
    for kind, words in _WORDS:
        if any(isinstance(each, kind) for each in chain):
            return words
    return f"the request failed ({type(error).__name__})"


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it was made of: requests wraps those of urllib3, which wrap those of the system."""
    found: list[BaseException] = []
    queue = [error]
    while queue:
        each = queue.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            queue += [each.__cause__, each.__context__, getattr(each, "reason", None), *_inner(each)]
    return found


def _inner(error: BaseException) -> list[BaseException]:
    return [each for each in error.args if isinstance(each, BaseException)]


# In this order: a failed look-up of a name is a failed connection, too.
_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (urllib3.exceptions.NameResolutionError, "the host's name has no address"),
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError), "no TLS: its certificate or protocol was refused"),
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
    (urllib3.exceptions.NewConnectionError, "no connection"),
    ((TimeoutError, urllib3.exceptions.ReadTimeoutError, requests.Timeout), "no whole answer in time"),
    (urllib3.exceptions.DecodeError, "the answer cannot be unpacked"),
    ((urllib3.exceptions.IncompleteRead, http.client.IncompleteRead), "the answer was cut"),
    ((urllib3.exceptions.InvalidHeader, requests.exceptions.InvalidHeader), "a header is malformed"),
    ((urllib3.exceptions.ProtocolError, ConnectionError), "the connection broke"),
)
