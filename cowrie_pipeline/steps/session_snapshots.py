"""Take the write-once picture of each session: who its address was when it attacked.

What a picture is worth is its basis: `observed` when the network was looked up within 48 hours of the session,
`historical` when an answer covers that time (a span of `ip_asn_history`, or an answer that had not expired), `late`
when it is today's knowledge of an older session.

Belongs here: which sessions still lack a picture and may have one.
Does not belong here: looking anything up (enrichment/), Dagster (orchestration/).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import session_summaries

__all__ = ["OBSERVED_WITHIN", "SnapshotReport", "all_of", "take_snapshots", "take_snapshots_between"]

OBSERVED_WITHIN = timedelta(hours=48)
_AT_ONCE = timedelta(days=3)
_TRANSFORMS = ("keep_documents", "take_snapshots")


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """How many snapshots were taken, by basis; how many sessions wait for an answer; how many have no address."""

    taken: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    without_address: int = 0


def all_of(reports: Iterable[SnapshotReport]) -> SnapshotReport:
    """Add up the reports of several spans."""
    reports = list(reports)
    taken = Counter[str]()
    for report in reports:
        taken.update(report.taken)
    return SnapshotReport(
        taken=dict(sorted(taken.items())),
        waiting=sum(report.waiting for report in reports),
        without_address=sum(report.without_address for report in reports),
    )


def take_snapshots(connection: Connection, days: DayRange, *, now: datetime) -> SnapshotReport:
    """Fill the snapshot columns of sessions that began in `days` and have none.

    A session that has a snapshot is never touched. One whose address no source could be asked about waits: a picture
    of nothing, taken because a service was down, could never be mended.
    """
    return take_snapshots_between(connection, days.start, days.end, now=now)


def take_snapshots_between(connection: Connection, start: datetime, end: datetime, *, now: datetime) -> SnapshotReport:
    """Do the same for sessions that began from `start` on and before `end`: a day's sessions can be many."""
    dialect = connection.dialect.name
    parameters = {
        "now": now,
        "patience": now - OBSERVED_WITHIN,
        "within": OBSERVED_WITHIN // timedelta(microseconds=1),
    }
    documents, snapshots = (read_sql(f"transforms/{name}", dialect).statement for name in _TRANSFORMS)
    connection.execute(with_parameters(documents, start=start, end=end, **parameters))
    for begin, stop in _parts(start, end):
        connection.execute(with_parameters(snapshots, start=begin, end=stop, **parameters))
    in_span = (session_summaries.c.first_event_at >= start) & (session_summaries.c.first_event_at < end)
    taken = connection.execute(
        select(session_summaries.c.snapshot_basis, func.count())
        .where(in_span, session_summaries.c.snapshot_at == now)
        .group_by(session_summaries.c.snapshot_basis)
        .order_by(session_summaries.c.snapshot_basis)
    )
    without = select(func.count()).where(in_span, session_summaries.c.snapshot_at.is_(None))
    return SnapshotReport(
        taken=dict(taken.all()),
        waiting=connection.execute(without.where(session_summaries.c.source_ip.is_not(None))).scalar_one(),
        without_address=connection.execute(without.where(session_summaries.c.source_ip.is_(None))).scalar_one(),
    )


def _parts(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the span in parts, from first to last.

    PostgreSQL updates rows in the order of a hash. Those of a few days lie together and stay in memory
    meanwhile; those of months are read, written and logged as whole pages many times over.
    """
    while start < end:
        stop = min(start + _AT_ONCE, end)
        yield start, stop
        start = stop
