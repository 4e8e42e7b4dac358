"""The memory of look-ups in the database: what was asked of a service last, what came of it, and who is asking.

Belongs here: rows of `enrichment_cache`, `enrichment_claims` and `enrichment_cache_stats`, read and written by batch.
Does not belong here: whether an outcome is still good (enrichment/outcomes.py), how long a failed key rests
(enrichment/backoff.py), asking (enrichment/sources/), looking after the whole memory (cache_care.py).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import chain
from threading import Lock
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Text

from cowrie_pipeline.cowrie.workers import without_collector
from cowrie_pipeline.enrichment.backoff import ask_again_at, is_failure
from cowrie_pipeline.enrichment.clock import utc_now
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.observability.instruments import CACHE_REQUESTS, LOOKUP_DURATION
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.processes import is_gone, this_process
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import enrichment_cache

__all__ = ["LOCK", "WarehouseCache"]

# Claiming, keeping and removing exclude each other: who claims a key sees every outcome that ended a claim on it.
LOCK = "cache"

# Who claims a key has this long to keep its outcome, before another may ask. Claims of a process of this machine that
# was killed end with it; of other machines nobody knows.
DEFAULT_LEASE = timedelta(minutes=10)

_COLUMNS = (
    "service",
    "key",
    "status",
    "payload",
    "fetched_at",
    "expires_at",
    "retry_at",
    "response_code",
    "latency_ms",
    "error",
    "failures",
)
# The payload as text, which msgspec reads faster than the drivers do.
_READ = (
    "SELECT key, status, fetched_at, CAST(payload AS TEXT), expires_at, retry_at, response_code, latency_ms, error "
    "FROM enrichment_cache WHERE service = {service} AND key {is_any}"
)
_READ_SQLITE = _READ.format(service="?", is_any="IN (SELECT value FROM json_each(?))")
# An array given as such takes the driver and the server three times as long as the same keys as one text.
_READ_POSTGRESQL = _READ.format(service="%s", is_any="= ANY(ARRAY(SELECT json_array_elements_text(CAST(%s AS json))))")
# So many fit in a socket's buffer, beside which the server goes on. libpq takes more than one since 17, which is in the
# driver's wheels.
_ROWS_AT_ONCE = 500
_END_CLAIMS = "DELETE FROM enrichment_claims WHERE (service, key) IN (SELECT service, key FROM staged_outcomes)"
_STATUSES = {status.value: status for status in Status}


class WarehouseCache:
    """A `LookupCache` in the database; each call is a short transaction of its own.

    So an answer that was paid for is kept even if the work that asked for it fails later. Reading takes no lock: how
    often each outcome was read is counted in memory and written with the next `put_many`, or by `flush`, which whoever
    reads much calls from time to time, and at the end. Threads may share one.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        *,
        day: date,
        lease: timedelta = DEFAULT_LEASE,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Use `warehouse`; the statistics are those of `day`, and a claim holds for `lease` by `clock`."""
        self._warehouse = warehouse
        self._day = day
        self._lease = lease
        self._clock = clock
        self._holder = f"{this_process()}:{uuid4().hex}"
        self._guard = Lock()
        self._found: dict[str, list[list[str]]] = defaultdict(list)
        self._misses: Counter[str] = Counter()
        self._on_disk: Counter[str] = Counter()

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the last outcome of each key that has one, due or not."""
        if not keys:
            return {}
        # the collector would walk through everything the process holds, several times in ten thousand outcomes
        with self._warehouse.read() as connection, without_collector():
            found = _read(connection, service, keys)
        with self._guard:
            if found:
                self._found[service].append(list(found))
            self._misses[service] += len(keys) - len(found)
        return found

    def claim_many(self, service: str, keys: Sequence[str], *, now: datetime) -> set[str]:
        """Return those of `keys` that are due and that nobody is asking about: they are the caller's to ask.

        A key is given once, also to the same caller, until its outcome is kept, it is released, the lease is over, or
        the process that claimed it is gone.
        """
        if not keys:
            return set()
        # In one order, and each once: no statement may touch a row twice.
        wanted = sorted(set(keys))
        with self._warehouse.begin(lock=LOCK) as connection:
            claimed = self._claim(connection, service, wanted, now)
            if len(claimed) < len(wanted) and _end_claims_of_the_gone(connection, service, wanted):
                claimed |= self._claim(connection, service, sorted(set(wanted) - claimed), now)
            return claimed

    def _claim(self, connection: Connection, service: str, keys: Sequence[str], now: datetime) -> set[str]:
        statement = read_sql("transforms/claim_keys", connection.dialect.name).statement
        clock = self._clock()
        claimed = connection.execute(
            with_parameters(
                statement, service=service, holder=self._holder, until=clock + self._lease, now=now, clock=clock
            ).bindparams(_keys(connection, keys))
        )
        return set(claimed.scalars())

    def release(self, service: str, keys: Sequence[str]) -> None:
        """Give up the caller's claims on `keys`: they were not asked about, and another may do it at once."""
        if not keys:
            return
        with self._warehouse.begin(lock=LOCK) as connection:
            connection.execute(
                text(
                    "DELETE FROM enrichment_claims "  # noqa: S608 - nothing of it comes from outside
                    f"WHERE service = :service AND claimed_by = :holder AND key {_is_any(connection)}"
                ).bindparams(_keys(connection, keys), bindparam("service", service), bindparam("holder", self._holder))
            )

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes; one that is no answer leaves an answer as it is and sets only when to ask again, and why.

        After an error a key rests the longer the more errors came in a row, and as long at least as the outcome says.
        Claims on the keys end.
        """
        if not outcomes:
            return
        try:
            self._put_many(outcomes)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # the server was restarted under it, and is waited for: an answer that was paid for is worth a second try
            self._put_many(outcomes)

    def _put_many(self, outcomes: Sequence[Outcome]) -> None:
        with counting(self._warehouse, lock=LOCK) as (connection, tally):
            for some in _each_key_once(outcomes):
                with _staged(connection, _with_failures(connection, some)):
                    connection.exec_driver_sql(read_sql("transforms/keep_outcomes", connection.dialect.name).statement)
                    connection.exec_driver_sql(_END_CLAIMS)
            for service, stored in _by_service(outcomes).items():
                self._count(
                    connection,
                    service,
                    stores=len(stored),
                    calls=sum(outcome.latency_ms is not None for outcome in stored),
                    failures=sum(not outcome.status.is_answer for outcome in stored),
                    latency_ms=sum(outcome.latency_ms or 0.0 for outcome in stored),
                )
                took = (outcome.latency_ms for outcome in stored if outcome.latency_ms is not None)
                tally.observe_all(LOOKUP_DURATION, took, service=service)
            self._write_reads(connection, tally)

    def back_fill(self, outcomes: Sequence[Outcome]) -> Mapping[tuple[str, str], Outcome]:
        """Take in answers that were kept elsewhere, with their age; return what is known now, by service and key.

        An answer that is as new stays. What is no answer is left out, and claims stay as they are.
        """
        answers = [outcome for outcome in outcomes if outcome.status.is_answer]
        known: dict[tuple[str, str], Outcome] = {}
        with self._warehouse.begin(lock=LOCK) as connection:
            for some in _each_key_once(answers):
                with _staged(connection, ((outcome, 0) for outcome in some)):
                    connection.exec_driver_sql(
                        read_sql("transforms/back_fill_outcomes", connection.dialect.name).statement
                    )
            for service, given in _by_service(outcomes).items():
                found = _read(connection, service, [outcome.key for outcome in given])
                known |= {(service, key): outcome for key, outcome in found.items()}
        return known

    def note_disk(self, *, hits: int, misses: int) -> None:
        """Take note of what was found in files of what the database did not have; written with the reads."""
        with self._guard:
            self._on_disk.update(hit=hits, miss=misses)

    def flush(self) -> None:
        """Write how often outcomes were read since the last time."""
        if self._found or self._misses:
            with counting(self._warehouse, lock=LOCK) as (connection, tally):
                self._write_reads(connection, tally)

    def _write_reads(self, connection: Connection, tally: Tally) -> None:
        with self._guard:
            found, misses, on_disk = self._found, self._misses, self._on_disk
            self._found, self._misses, self._on_disk = defaultdict(list), Counter(), Counter()
        for result, number in on_disk.items():
            tally.count(CACHE_REQUESTS, number, layer="disk", result=result)
        for service in sorted(found.keys() | misses.keys()):
            times = Counter(chain.from_iterable(found.get(service, ())))
            for number in sorted(set(times.values())):
                keys = [key for key, count in times.items() if count == number]
                connection.execute(
                    text(
                        "UPDATE enrichment_cache SET hit_count = hit_count + :number "  # noqa: S608 - nothing of it comes from outside
                        f"WHERE service = :service AND key {_is_any(connection)}"
                    ).bindparams(_keys(connection, keys), bindparam("service", service), bindparam("number", number))
                )
            self._count(connection, service, hits=times.total(), misses=misses[service])
            tally.count(CACHE_REQUESTS, times.total(), layer="database", result="hit")
            tally.count(CACHE_REQUESTS, misses[service], layer="database", result="miss")

    def _count(self, connection: Connection, service: str, **counts: float) -> None:
        """Add to the day's statistics of a service."""
        values = dict.fromkeys(("hits", "misses", "stores", "calls", "failures", "latency_ms"), 0.0) | counts
        statement = read_sql("transforms/count_look_ups", connection.dialect.name).statement
        connection.execute(with_parameters(statement, service=service, day=self._day, **values))


def _end_claims_of_the_gone(connection: Connection, service: str, keys: Sequence[str]) -> bool:
    """End the claims on `keys` of processes of this machine that are gone; say whether there were any."""
    those = f"FROM enrichment_claims WHERE service = :service AND key {_is_any(connection)}"
    statement = text(f"SELECT DISTINCT claimed_by {those}").bindparams(
        _keys(connection, keys), bindparam("service", service)
    )
    gone = [holder for holder in connection.execute(statement).scalars() if is_gone(holder.rpartition(":")[0])]
    for holder in gone:
        connection.execute(
            text(f"DELETE {those} AND claimed_by = :holder").bindparams(
                _keys(connection, keys), bindparam("service", service), bindparam("holder", holder)
            )
        )
    return bool(gone)


def _read(connection: Connection, service: str, keys: Sequence[str]) -> dict[str, Outcome]:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a connection in use has its driver's
    # In the order of the index, neighbours lie on one page.
    parameters = (service, json.dumps(sorted(keys)))
    rows: Iterable[tuple[Any, ...]]
    time: Callable[[Any], datetime]
    if connection.dialect.name == "postgresql":
        # Some rows become outcomes here while the server looks for the next.
        rows = driver.cursor(binary=True).stream(_READ_POSTGRESQL, parameters, size=_ROWS_AT_ONCE)
        time = _as_it_is
    else:
        rows = driver.execute(_READ_SQLITE, parameters).fetchall()
        # All that one batch asked has the same few times.
        time = cache(_from_text)
    decode = msgspec.json.decode
    return {
        key: Outcome(
            service=service,
            key=key,
            status=_STATUSES[status],
            fetched_at=time(fetched_at),
            payload=decode(payload) if payload else {},
            expires_at=None if expires_at is None else time(expires_at),
            retry_at=None if retry_at is None else time(retry_at),
            response_code=response_code,
            latency_ms=latency_ms,
            error=error,
        )
        for key, status, fetched_at, payload, expires_at, retry_at, response_code, latency_ms, error in rows
    }


def _as_it_is(time: datetime) -> datetime:
    """Return a time of PostgreSQL's, which is in UTC since the session is."""
    return time


def _from_text(time: str) -> datetime:
    return datetime.fromisoformat(time).replace(tzinfo=UTC)


def _each_key_once(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Split outcomes into batches without a key twice, so that a later one of a key is kept after an earlier one."""
    batches: list[list[Outcome]] = []
    seen: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        nth = seen[outcome.service, outcome.key]
        if nth == len(batches):
            batches.append([])
        batches[nth].append(outcome)
        seen[outcome.service, outcome.key] += 1
    return batches


def _with_failures(connection: Connection, outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, int]]:
    """Yield each outcome, with its time to ask again, and how many failures in a row it ends."""
    failed = _by_service([outcome for outcome in outcomes if is_failure(outcome.status)])
    before: dict[tuple[str, str], int] = {}
    for service, some in failed.items():
        statement = text(
            f"SELECT key, failures FROM enrichment_cache WHERE service = :service AND key {_is_any(connection)}"  # noqa: S608 - nothing of it comes from outside
        ).bindparams(_keys(connection, [outcome.key for outcome in some]), bindparam("service", service))
        before |= {(service, key): failures for key, failures in connection.execute(statement)}
    for outcome in outcomes:
        if is_failure(outcome.status):
            failures = before.get((outcome.service, outcome.key), 0) + 1
            yield msgspec.structs.replace(outcome, retry_at=ask_again_at(outcome, failures)), failures
        else:
            yield outcome, 0


@contextmanager
def _staged(connection: Connection, outcomes: Iterator[tuple[Outcome, int]]) -> Iterator[None]:
    kinds = {name: enrichment_cache.c[name].type for name in _COLUMNS}
    rows = (
        (
            outcome.service,
            outcome.key,
            outcome.status.value,
            msgspec.json.encode(outcome.payload).decode() if outcome.payload else None,
            outcome.fetched_at.astimezone(UTC),
            outcome.expires_at,
            outcome.retry_at,
            outcome.response_code,
            outcome.latency_ms,
            outcome.error,
            failures,
        )
        for outcome, failures in outcomes
    )
    with staged(connection, "staged_outcomes", kinds, list(rows)):
        yield


def _by_service(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    services: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda each: each.service):
        services.setdefault(outcome.service, []).append(outcome)
    return services


def _is_any(connection: Connection) -> str:
    """Return the condition that a column is one of many values, given as one parameter."""
    if connection.dialect.name == "postgresql":
        return "= ANY(:keys)"
    return "IN (SELECT value FROM json_each(:keys))"


def _keys(connection: Connection, keys: Sequence[str]) -> Any:
    if connection.dialect.name == "postgresql":
        return bindparam("keys", list(keys), type_=ARRAY(Text()))
    return bindparam("keys", json.dumps(list(keys)))
