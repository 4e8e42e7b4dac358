"""How the tests ask a service: with a clock that stands, a count of calls in memory and short time-outs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.outcomes import Outcome
from cowrie_pipeline.enrichment.sources.http_source import HttpSource
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.contract.services import KEY, Case
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance, StoppedClock

CONTACT = "operator@example.org"


@dataclass
class Desk:
    """A source, the server that it asks, and all it was given."""

    source: HttpSource
    server: HttpServer
    clock: StoppedClock
    allowance: MemoryAllowance
    circuit: Circuit = field(default_factory=Circuit)

    def look_up(self, *keys: str) -> list[Outcome]:
        return self.source.look_up(keys, now=self.clock.now)


@contextmanager
def desk(
    case: Case,
    answer: Callable[[Asked], Answer] | Answer | None = None,
    *,
    limits: tuple[Limit, ...] = (),
    circuit: Circuit | None = None,
    seconds: float = 10.0,
    **named: Any,
) -> Iterator[Desk]:
    """Open a service for `case`, which answers as it does in truth, or by `answer`; without limits, unless given."""
    say = answer or case.answer
    named.setdefault("api_key", KEY)
    clock, allowance, circuit = StoppedClock(), MemoryAllowance(), circuit or Circuit()
    with (
        HttpServer(say if callable(say) else lambda _asked: say) as server,
        HttpClient(contact=CONTACT, connect_seconds=5, read_seconds=seconds, total_seconds=seconds) as client,
    ):
        source = case.source(
            client,
            allowance,
            circuit,
            base_url=server.url,
            terms=replace(case.source.terms, limits=limits),
            patience=named.pop("patience", timedelta(seconds=60)),
            clock=clock,
            sleep=clock.sleep,
            **named,
        )
        yield Desk(source, server, clock, allowance, circuit)
