"""An HTTP server on loopback that answers as a test or benchmark says, and fails as servers do.

It writes status line, headers and body octet by octet, so that it can also break off, drip, or never end.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

PIECE = b"x" * 65536


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    form: Mapping[str, str]
    arrived_at: float  # by time.monotonic()
    body: bytes = b""

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What is sent back, and how it goes wrong."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_to: int | None = None  # so many octets of the body are sent, and then the connection ends
    drip_seconds: float | None = None  # the time between two octets of the body
    drip_headers_seconds: float | None = None  # the time between two octets of a header that never ends
    endless: bool = False  # the body goes on for as long as somebody reads it
    chunked: bool = False
    never: bool = False  # nothing at all is sent
    dropped: bool = False  # the connection ends instead of an answer


def as_json(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer."""
    return Answer(status, json.dumps(value).encode(), headers=headers or {})


class HttpServer:
    """Answers by `answer`, after `delay_seconds`, on a free port until closed.

    `asked` is what arrived, in order; `max_in_flight` the most requests that were being answered at once.
    """

    def __init__(self, answer: Callable[[Asked], Answer], *, delay_seconds: float = 0.0) -> None:
        self.answer = answer
        self.delay_seconds = delay_seconds
        self.asked: list[Asked] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, owner: HttpServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.owner.lock:
            self.server.owner.connections += 1

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.respond()

    def respond(self) -> None:
        owner = self.server.owner
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=parts.path,
            query=parts.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            form=dict(parse_qsl(sent.decode(errors="replace"), keep_blank_values=True)),
            arrived_at=time.monotonic(),
            body=sent,
        )
        with owner.lock:
            owner.asked.append(asked)
            owner.in_flight += 1
            owner.max_in_flight = max(owner.max_in_flight, owner.in_flight)
        try:
            if owner.delay_seconds:
                time.sleep(owner.delay_seconds)
            answer = owner.answer(asked)
        finally:
            with owner.lock:
                owner.in_flight -= 1
        self.send(answer)

    def send(self, answer: Answer) -> None:
        if answer.never:
            self.server.owner.stopping.wait()
        if answer.never or answer.dropped:
            self.close_connection = True
            return
        headers = dict(answer.headers)
        if answer.content_type is not None:
            headers.setdefault("Content-Type", answer.content_type)
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif not answer.endless:
            headers.setdefault("Content-Length", str(len(answer.body)))
        phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus.__members__.values() else "Odd"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n")
        if answer.drip_headers_seconds is not None:
            self.drip(b"X-Slow: " + PIECE, answer.drip_headers_seconds)
        self.wfile.write(b"\r\n")
        if answer.drip_seconds is not None:
            self.drip(answer.body, answer.drip_seconds)
        elif answer.endless:
            while not self.server.owner.stopping.is_set():
                self.wfile.write(self.framed(PIECE, answer))
        else:
            whole = b"".join(
                self.framed(answer.body[at : at + 65536], answer) for at in range(0, len(answer.body), 65536)
            )
            if answer.chunked:
                whole += b"0\r\n\r\n"
            self.wfile.write(whole if answer.cut_to is None else whole[: answer.cut_to])
        self.wfile.flush()
        if answer.cut_to is not None or answer.endless:
            self.close_connection = True

    def framed(self, piece: bytes, answer: Answer) -> bytes:
        return b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece

    def drip(self, octets: bytes, seconds: float) -> None:
        for octet in octets:
            self.wfile.write(bytes([octet]))
            self.wfile.flush()
            if self.server.owner.stopping.wait(seconds):
                break
