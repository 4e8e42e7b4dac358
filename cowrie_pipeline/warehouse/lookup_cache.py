"""The memory of look-ups in the database: what was asked of a service last, and what came of it.

Belongs here: rows of `enrichment_cache` and `enrichment_cache_stats`, read and written by batch.
Does not belong here: whether an outcome is still good (enrichment/outcomes.py), asking (enrichment/sources/).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import columns_of, enrichment_cache

__all__ = ["WarehouseCache"]

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
)


class WarehouseCache:
    """A `LookupCache` in the database; each call is a short transaction of its own.

    So an answer that was paid for is kept even if the work that asked for it fails later.
    """

    def __init__(self, warehouse: Warehouse, *, day: date) -> None:
        """Use `warehouse`; the statistics are those of `day`."""
        self._warehouse = warehouse
        self._day = day

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the last outcome of each key that has one, and count that it was read."""
        if not keys:
            return {}
        with self._warehouse.begin(lock="cache") as connection:
            is_any = _is_any(connection)
            rows = connection.execute(
                text(f"SELECT * FROM enrichment_cache WHERE service = :service AND key {is_any}")  # noqa: S608
                .bindparams(_keys(connection, keys), bindparam("service", service))
                .columns(**columns_of(enrichment_cache))
            ).all()
            if rows:
                connection.execute(
                    text(
                        "UPDATE enrichment_cache SET hit_count = hit_count + 1 "  # noqa: S608
                        f"WHERE service = :service AND key {is_any}"
                    ).bindparams(_keys(connection, keys), bindparam("service", service))
                )
            self._count(connection, service, hits=len(rows), misses=len(keys) - len(rows))
        return {
            row.key: Outcome(
                service=row.service,
                key=row.key,
                status=Status(row.status),
                fetched_at=row.fetched_at,
                payload=row.payload or {},
                expires_at=row.expires_at,
                retry_at=row.retry_at,
                response_code=row.response_code,
                latency_ms=row.latency_ms,
                error=row.error,
            )
            for row in rows
        }

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes; one that is no answer leaves an answer as it is and sets only when to ask again, and why."""
        if not outcomes:
            return
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
            )
            for outcome in outcomes
        )
        with self._warehouse.begin(lock="cache") as connection, staged(connection, "staged_outcomes", kinds, rows):
            connection.exec_driver_sql(read_sql("transforms/keep_outcomes", connection.dialect.name).statement)
            for service in sorted({outcome.service for outcome in outcomes}):
                stored = [outcome for outcome in outcomes if outcome.service == service]
                self._count(
                    connection,
                    service,
                    stores=len(stored),
                    calls=sum(outcome.latency_ms is not None for outcome in stored),
                    failures=sum(not outcome.status.is_answer for outcome in stored),
                    latency_ms=sum(outcome.latency_ms or 0.0 for outcome in stored),
                )

    def _count(self, connection: Connection, service: str, **counts: float) -> None:
        """Add to the day's statistics of a service."""
        values = dict.fromkeys(("hits", "misses", "stores", "calls", "failures", "latency_ms"), 0.0) | counts
        statement = read_sql("transforms/count_look_ups", connection.dialect.name).statement
        connection.execute(with_parameters(statement, service=service, day=self._day, **values))


def _is_any(connection: Connection) -> str:
    """Return the condition that a column is one of many values, given as one parameter."""
    if connection.dialect.name == "postgresql":
        return "= ANY(:keys)"
    return "IN (SELECT value FROM json_each(:keys))"


def _keys(connection: Connection, keys: Sequence[str]) -> Any:
    if connection.dialect.name == "postgresql":
        return bindparam("keys", list(keys), type_=ARRAY(Text()))
    return bindparam("keys", json.dumps(list(keys)))
