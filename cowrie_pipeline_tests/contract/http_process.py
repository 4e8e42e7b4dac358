"""An HTTP server in a process of its own, for whoever measures: in the same process it would share the interpreter."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer


@dataclass
class ServedElsewhere:
    """A server at `url`; the rest is known when it has ended: when requests came, and the most at once."""

    url: str
    arrivals: list[float] = field(default_factory=list)  # by time.monotonic(), in order
    max_in_flight: int = 0


@contextmanager
def served_elsewhere(answer: Callable[[Asked], Answer], *, delay_seconds: float) -> Iterator[ServedElsewhere]:
    """Serve `answer`, a function of some module, until the end of the block."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, answer, delay_seconds))
    process.start()
    try:
        served = ServedElsewhere(ours.recv())
        yield served
        ours.send(None)
        served.arrivals, served.max_in_flight = ours.recv()
        process.join(10)
    finally:
        process.kill()
        process.join()
        ours.close()
        theirs.close()


def _serve(pipe: Connection, answer: Callable[[Asked], Answer], delay_seconds: float) -> None:
    with HttpServer(answer, delay_seconds=delay_seconds) as server:
        pipe.send(server.url)
        pipe.recv()
        pipe.send(([asked.arrived_at for asked in server.asked], server.max_in_flight))
