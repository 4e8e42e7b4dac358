"""An HTTP server on loopback that publishes files, and fails as web servers do."""

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Page:
    """What the server says at one path.

    With an `ETag` or `Last-Modified` among the headers, a request that knows it gets 304. `cut_at` ends the body, and
    the connection, before the announced length. `pause_seconds` is waited before every octet but the first.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    is_chunked: bool = False
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]


class FileServer:
    """Serves `pages` by path (with its query) on one free port, in its own threads, until closed."""

    def __init__(self, pages: Mapping[str, Page] | None = None) -> None:
        self.pages = dict(pages or {})
        self.requests: list[Request] = []
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self._server.server_address[1]}{path}"

    def asked(self) -> list[str]:
        return [request.path for request in self.requests]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(Request(self.path, dict(self.headers.items())))
                outer.answer(self, outer.pages.get(self.path, Page(b"no such page", 404)))

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, page: Page) -> None:
        knows = (
            ("If-None-Match", "ETag"),
            ("If-Modified-Since", "Last-Modified"),
        )
        is_known = any(
            page.headers.get(said) and handler.headers.get(sent) == page.headers[said] for sent, said in knows
        )
        handler.send_response(304 if is_known and page.status == 200 else page.status)
        for name, value in page.headers.items():
            handler.send_header(name, value)
        if is_known:
            handler.end_headers()
            return
        if page.is_chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(page.body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        # Whoever asked may have gone away.
        with contextlib.suppress(OSError):
            self._send(handler, page)

    def _send(self, handler: BaseHTTPRequestHandler, page: Page) -> None:
        body = page.body[: page.cut_at]
        if page.is_chunked:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(page.body), body) + (b"" if page.cut_at else b"0\r\n\r\n"))
        elif page.pause_seconds:
            for octet in body:
                handler.wfile.write(bytes([octet]))
                handler.wfile.flush()
                if self._stopping.wait(page.pause_seconds):
                    return
        else:
            handler.wfile.write(body)
