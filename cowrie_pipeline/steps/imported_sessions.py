"""Let sessions of an earlier database give way when the same sessions come from logs.

An imported session has no lines, so what is made from lines is better: more is known of it, and it can be made again.
It gives way to a session of the logs with its id, its address (any, where it has none) and its sensor (any, where it
names none), that was active on one of its days. Its snapshot, which is written once, goes over to a successor that has
none, and `imported_sessions` keeps what its row said.

Belongs here: which imported sessions give way, and what becomes of what they held.
Does not belong here: the import (import_legacy.py), sessions of the logs (raw_sessions.py).
"""

from collections.abc import Collection
from datetime import date

from sqlalchemy import BigInteger, Connection, Date, Table, delete, func, insert, select

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import contiguous
from cowrie_pipeline.warehouse.bulk import analyze, staged
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import asn_session_counts, session_days, session_summaries

__all__ = ["give_way"]


def give_way(connection: Connection, days: Collection[date], addresses: Table) -> int:
    """Remove the imported sessions that sessions of `days` replace; return how many.

    Args:
        connection: a transaction with the lock `facts`, in which the sessions of `days` have been written.
        days: days just made from their lines.
        addresses: a table of addresses to be recounted; those of the sessions removed are added.
    """
    if connection.execute(select(1).where(session_days.c.imported_from.is_not(None)).limit(1)).one_or_none() is None:
        return 0
    dialect = connection.dialect.name
    with (
        staged(connection, "made_days", {"day": Date()}, ((day,) for day in sorted(days))),
        staged(connection, "giving_way", {"session_key": BigInteger(), "successor": BigInteger()}) as giving,
    ):
        replaced = connection.exec_driver_sql(read_sql("transforms/find_replaced_imports", dialect).statement).rowcount
        if replaced:
            analyze(connection, giving)
            for name in ("hand_over_snapshots", "note_replaced_imports"):
                connection.exec_driver_sql(read_sql(f"transforms/{name}", dialect).statement)
            keys = select(giving.c.session_key)
            of_keys = session_summaries.c.session_key.in_(keys)
            began = func.date(session_summaries.c.first_event_at)
            left = connection.execute(select(began).where(of_keys).distinct()).scalars().all()
            connection.execute(
                insert(addresses).from_select(
                    ["ip_address"],
                    select(session_summaries.c.source_ip).where(of_keys, session_summaries.c.source_ip.is_not(None)),
                )
            )
            connection.execute(delete(session_days).where(session_days.c.session_key.in_(keys)))
            connection.execute(delete(session_summaries).where(of_keys))
            _count_again(connection, {each if isinstance(each, date) else date.fromisoformat(each) for each in left})
    return replaced


def _count_again(connection: Connection, days: Collection[date]) -> None:
    """Count days again, of those that were counted, whoever comes to count them next may not look at."""
    counted = set(
        connection.execute(
            select(asn_session_counts.c.day).where(asn_session_counts.c.day.in_(list(days))).distinct()
        ).scalars()
    )
    for span in contiguous(counted):
        count_sessions(connection, span)
