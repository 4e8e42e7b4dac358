"""Look up again, a bounded number at a time, the addresses, files and passwords whose facts have expired.

The rule for addresses: of the `at_most` of a refresh, half (rounded up) are those that have been due longest, and they
come first, so that budgets reach them; the rest are those of the others that were seen last, in the order of worth.
What is looked up becomes due again later than all that is due now. So an address that n others are due before is looked
up by the refresh number n / (at_most / 2) + 1 at the latest, however many attack meanwhile: none starves. Files and
passwords are taken in the order in which they became due.

Belongs here: which those are.
Does not belong here: looking them up and writing (inventories.py, file_reputation.py, password_exposure.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, func, or_, select

from cowrie_pipeline.enrichment.build import Enrichment
from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.asking import AskingReport
from cowrie_pipeline.steps.file_reputation import ask_about_files
from cowrie_pipeline.steps.inventories import InventoryReport, look_up_addresses
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.steps.password_exposure import ask_about_passwords
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import file_reputation, ip_inventory, password_exposure

__all__ = [
    "AT_MOST",
    "count_stale",
    "longest_due",
    "longest_due_keys",
    "refresh_stale",
    "refresh_stale_files",
    "refresh_stale_passwords",
    "stale_addresses",
    "worth_of",
]

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


def refresh_stale_files(
    warehouse: Warehouse, enrichment: Enrichment, *, ledger: Ledger, now: datetime, at_most: int = AT_MOST
) -> AskingReport:
    """Ask again about `at_most` of the files that are due at `now`, whenever they were transferred."""
    hashes = longest_due_keys(warehouse, file_reputation, file_reputation.c.sha256, now=now, at_most=at_most)
    return ask_about_files(warehouse, enrichment, hashes, ledger=ledger, now=now)


def refresh_stale_passwords(
    warehouse: Warehouse,
    enrichment: Enrichment,
    *,
    ledger: Ledger,
    now: datetime,
    at_most: int = AT_MOST,
    on_progress: OnProgress = unheard,
) -> AskingReport:
    """Ask again about `at_most` of the passwords that are due at `now`, whenever they were tried."""
    hashes = longest_due_keys(warehouse, password_exposure, password_exposure.c.sha1, now=now, at_most=at_most)
    return ask_about_passwords(warehouse, enrichment, hashes, ledger=ledger, now=now, on_progress=on_progress)


def longest_due_keys(
    warehouse: Warehouse, table: Table, key: Column[str], *, now: datetime, at_most: int
) -> Sequence[str]:
    """Return the keys of a table of files or passwords that have been due longest."""
    due = or_(table.c.due_at.is_(None), table.c.due_at <= now)
    since = func.coalesce(table.c.due_at, table.c.first_seen)
    with warehouse.read() as connection:
        return connection.execute(select(key).where(due).order_by(since, key).limit(at_most)).scalars().all()


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


def worth_of(connection: Connection, addresses: Sequence[str]) -> dict[str, int]:
    """Return what addresses are worth, in the order in which they are given."""
    statement = read_sql("transforms/worth_of_addresses", connection.dialect.name).statement
    columns = {"ip_address": ip_inventory.c.ip_address.type}
    with staged(connection, "worth_asked", columns, ((address,) for address in addresses)):
        worths: dict[str, int] = dict(connection.exec_driver_sql(statement).all())
    return {address: worths[address] for address in addresses}


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
