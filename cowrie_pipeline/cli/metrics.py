"""The command `metrics`: what the pipeline does, for Prometheus to scrape."""

import logging
import signal
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import FrameType

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline.cli.console import OUT, fail, print_line
from cowrie_pipeline.cli.database import open_warehouse, require_filled
from cowrie_pipeline.observability.metrics import is_pushed
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.metrics import PipelineCollector
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError

__all__ = ["print_metrics", "serve_metrics"]

_log = logging.getLogger(__name__)
_PATH = "/metrics"
# Who connects and says nothing, or reads nothing, holds a thread for no longer.
_SECONDS_OF_A_CLIENT = 30


def print_metrics(settings: Settings) -> int:
    """Print all metrics once, as a scraper would get them; return the exit code."""
    with open_warehouse(settings) as warehouse:
        content, _ = _page(warehouse, _registry(_collector(warehouse, settings)), accept="")
    OUT.file.write(content.decode())
    return 0


def serve_metrics(settings: Settings, *, host: str, port: int) -> int:
    """Serve metrics until SIGTERM or Ctrl-C; return the exit code.

    A database that does not answer is told to each scraper with a 503, and looked for again at the next scrape.
    """
    stopped = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    with ExitStack() as stack:
        warehouse = stack.enter_context(open_warehouse(settings))
        collector = _collector(warehouse, settings)
        try:
            server = ThreadingHTTPServer((host, port), _handler(warehouse, _registry(collector)))
        except OSError as error:
            raise fail(f"metrics cannot be served on {host}:{port}: {error.strerror}", 1) from None
        server.daemon_threads = True
        stack.callback(server.server_close)
        for each in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, each, signal.signal(each, stop))
        if is_pushed():
            collector.publish()
        Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        stack.callback(server.shutdown)
        print_line(f"serving http://{host}:{server.server_port}{_PATH}")
        OUT.file.flush()
        stopped.wait()
    return 0


def _collector(warehouse: Warehouse, settings: Settings) -> PipelineCollector:
    # Dagster takes a second to import, and the options of the command are wrong sooner
    from cowrie_pipeline.orchestration.runs import count_runs_in_progress

    return PipelineCollector(warehouse, settings, runs_in_progress=lambda: count_runs_in_progress(settings))


def _registry(collector: PipelineCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _page(warehouse: Warehouse, registry: CollectorRegistry, *, accept: str) -> tuple[bytes, str]:
    """Return all metrics in the format that is wanted, and its content type."""
    # asked each time: a database can come, go and be upgraded while this is served
    require_filled(warehouse)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _handler(warehouse: Warehouse, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers `GET /metrics`."""

        server_version = "cowrie_pipeline"
        sys_version = ""
        timeout = _SECONDS_OF_A_CLIENT

        def do_GET(self) -> None:
            """Give the metrics, or say in one line why there are none."""
            if self.path.partition("?")[0] != _PATH:
                self._answer(HTTPStatus.NOT_FOUND, f"expected {_PATH}\n".encode())
                return
            try:
                content, content_type = _page(warehouse, registry, accept=self.headers.get("Accept", ""))
            except WarehouseError as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())
            except DatabaseError as error:
                found = str(error.orig).strip().partition("\n")[0]
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"the database failed: {found}\n".encode())
            except Exception as error:  # noqa: BLE001 - whatever it is, scrapers are answered
                _log.exception("metrics could not be collected")
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}\n".encode())
            else:
                self._answer(HTTPStatus.OK, content, content_type)

        def _answer(self, status: HTTPStatus, content: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the base class's
            """Note requests in the log, which is off unless asked for."""
            _log.debug("%s", format % arguments)

    return Handler
