"""Counters and histograms in the database: exact over all processes, because a batch counts with what it writes.

Belongs here: rows of `metric_counts`, added to and read.
Does not belong here: which instruments there are and what a batch collects (observability/), serving (the steps).
Why they are kept so: docs/decisions/0015-counters-in-the-database.md.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, select

from cowrie_pipeline.observability.instruments import CATALOG, Instrument, Kind
from cowrie_pipeline.observability.metrics import Tally, push
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import metric_counts

__all__ = ["Counted", "add_counts", "counting", "read_counts"]

_OVERFLOW = "+Inf"
_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(slots=True)
class Counted:
    """What one series has come to: a counter's `number`; or a histogram's observations and their sum.

    `buckets` are the observations by upper bound, each in the lowest bucket that holds it.
    """

    number: int = 0
    total: float = 0.0
    buckets: dict[float, int] = field(default_factory=dict)


@contextmanager
def counting(warehouse: Warehouse, *, lock: str | tuple[str, ...] = ()) -> Iterator[tuple[Connection, Tally]]:
    """Open a transaction that writes, with a tally that counts if it is committed, and else not.

    Counts are the last that it writes, so that rows which others add to, too, are held for no longer than the commit.
    """
    tally = Tally()
    with warehouse.begin(lock=lock) as connection:
        yield connection, tally
        if warehouse.counts:
            add_counts(connection, tally)
    if warehouse.counts:
        push(tally)


def add_counts(connection: Connection, tally: Tally) -> None:
    """Add what a batch counted to what is kept, by one statement."""
    rows = [
        (
            added.instrument.name,
            _encode(dict(zip(added.instrument.label_names, added.labels, strict=True))).decode(),
            _bound(added.instrument, added.bucket),
            added.number,
            added.total,
        )
        for added in tally.additions()
    ]
    if rows:
        statement = read_sql("transforms/add_counts", connection.dialect.name).statement
        connection.exec_driver_sql(statement, (_encode(rows).decode(),))


def read_counts(connection: Connection) -> Mapping[Instrument, Mapping[tuple[str, ...], Counted]]:
    """Return what each series has come to, by instrument and the values of its labels.

    What an earlier version counted under other names or labels is left out.
    """
    catalog = {each.name: each for each in CATALOG if each.kind is not Kind.GAUGE}
    counts: dict[Instrument, dict[tuple[str, ...], Counted]] = {each: {} for each in catalog.values()}
    for name, labels, bucket, number, total in connection.execute(
        select(metric_counts).order_by(metric_counts.c.instrument, metric_counts.c.labels)
    ):
        instrument = catalog.get(name)
        named = _decode_labels(labels)
        if instrument is None or tuple(named) != instrument.label_names:
            continue
        counted = counts[instrument].setdefault(instrument.bounded(named), Counted())
        counted.number += number
        counted.total += total
        if bucket:
            bound = float(bucket)
            counted.buckets[bound] = counted.buckets.get(bound, 0) + number
    return counts


def _bound(instrument: Instrument, bucket: int | None) -> str:
    if bucket is None:
        return ""
    return repr(instrument.buckets[bucket]) if bucket < len(instrument.buckets) else _OVERFLOW
