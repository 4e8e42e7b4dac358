"""Look up again, a bounded number at a time, the addresses whose facts have expired, whenever they attacked.

The rule: of the `at_most` addresses of a refresh, half (rounded up) are those that have been due longest, and they come
first, so that budgets reach them; the rest are those of the others that were seen last, in the order of their worth.
What is looked up becomes due again later than all that is due now. So an address that n others are due before is looked
up by the refresh number n / (at_most / 2) + 1 at the latest, however many attack meanwhile: none starves.

Belongs here: which addresses those are. Does not belong here: looking them up and writing (inventories.py).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.inventories import InventoryReport, look_up_addresses
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import ip_inventory

__all__ = ["AT_MOST", "count_stale", "longest_due", "refresh_stale", "stale_addresses"]

# With local sources alone some seconds of work; limited sources stop at their budgets.
AT_MOST = 5_000


def refresh_stale(
    warehouse: Warehouse,
    cascade: Cascade,
    *,
    ledger: Ledger,
    now: datetime,
    at_most: int = AT_MOST,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Look up `at_most` of the addresses whose facts have expired at `now`; the report has no days."""
    with warehouse.read() as connection:
        stale = stale_addresses(connection, at_most=at_most, now=now)
    return look_up_addresses(warehouse, cascade, stale, ledger=ledger, now=now, on_progress=on_progress)


def stale_addresses(connection: Connection, *, at_most: int, now: datetime) -> Mapping[str, int]:
    """Return the addresses that a refresh takes, in its order, with what each is worth.

    Raises:
        ValueError: `at_most` is below 1.
    """
    if at_most < 1:
        raise ValueError(f"expected to refresh at least 1 address at a time, found {at_most}")
    statement = read_sql("transforms/stale_addresses", connection.dialect.name).statement
    parameters = {"now": now, "at_most": at_most, "oldest": (at_most + 1) // 2}
    return dict(connection.execute(with_parameters(statement, **parameters)).all())


def count_stale(connection: Connection, *, now: datetime) -> int:
    """Return of how many addresses the facts have expired."""
    return connection.execute(select(func.count()).select_from(ip_inventory).where(_is_due(now))).scalar_one()


def longest_due(now: datetime) -> Select[Any]:
    """Return the query for the addresses that have been due longest."""
    table = ip_inventory.c
    due_since = func.coalesce(table.enrichment_due_at, table.created_at).label("due_since")
    return (
        select(table.ip_address, due_since, table.last_seen, table.enrichment_state, table.enrichment_updated_at)
        .where(_is_due(now))
        .order_by(due_since, table.ip_address)
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    due_at = ip_inventory.c.enrichment_due_at
    return or_(due_at.is_(None), due_at <= now)
