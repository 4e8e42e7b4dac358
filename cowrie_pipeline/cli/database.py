"""The database as commands find it: there and of the right version, or not, and what to do then."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange, days_with_sessions
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import newest_version, refuse_half_moved, version_of

__all__ = ["is_filled", "open_filled", "open_warehouse", "require_filled", "span_of"]

_HOW_TO_FILL = "`cowrie-pipeline demo` shows how"


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open the database, whatever is in it, and close it."""
    warehouse = Warehouse.of(settings)
    try:
        yield warehouse
    finally:
        warehouse.dispose()


def is_filled(warehouse: Warehouse) -> bool:
    """Whether there is a database and tables in it; makes neither.

    Raises:
        WarehouseError: its tables are of another version than this code works with.
    """
    if warehouse.is_missing:
        return False
    with warehouse.read() as connection:
        version = version_of(connection)
    refuse_half_moved(warehouse, version)
    if version not in (None, newest_version()):
        raise WarehouseError(
            f"the database {warehouse.safe_url} has schema version {version}, this code works with "
            f"{newest_version()}: run `cowrie-pipeline db upgrade`"
        )
    return version is not None


def require_filled(warehouse: Warehouse) -> None:
    """See that a database has our tables.

    Raises:
        WarehouseError: there is none, it is empty, or of another version; says what to do.
    """
    if not is_filled(warehouse):
        found = (
            f"there is no database {warehouse.safe_url}: `cowrie-pipeline run --logs PATH` makes it"
            if warehouse.is_missing
            else f"the database {warehouse.safe_url} is empty: `cowrie-pipeline run --logs PATH` fills it"
        )
        raise WarehouseError(f"{found}, {_HOW_TO_FILL}")


@contextmanager
def open_filled(settings: Settings) -> Iterator[Warehouse]:
    """Open a database that has our tables, and close it.

    Raises:
        WarehouseError: there is none, it is empty, or of another version; says what to do.
    """
    with open_warehouse(settings) as warehouse:
        require_filled(warehouse)
        yield warehouse


def span_of(warehouse: Warehouse, first: date | None, last: date | None) -> DayRange | None:
    """Return the days that are meant and have sessions around them, None where there are none."""
    with warehouse.read() as connection:
        known = days_with_sessions(connection)
    if known is None:
        return None
    begin, end = max(first or known.first, known.first), min(last or known.last, known.last)
    return DayRange(begin, end) if begin <= end else None
