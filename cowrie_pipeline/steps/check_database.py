"""Every check at once: what must be true of the rows, and whether what holds them is sound.

Belongs here: what the database itself can be asked about its files, indexes and constraints, and the list of all.
Does not belong here: any check of rows (checks.py, sql/checks/), what is shown (cli/).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.check_model import CheckResult, Severity
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse

__all__ = ["Checked", "check_database"]

_STORAGE = "database"
_INVALID_INDEXES = """
SELECT c.relname AS index, t.relname AS of_table
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE (NOT i.indisvalid OR NOT i.indisready) AND t.relnamespace = current_schema()::regnamespace
ORDER BY c.relname
"""
_UNPROVEN_CONSTRAINTS = """
SELECT conname AS constraint_name, conrelid::regclass::text AS of_table
FROM pg_constraint
WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
ORDER BY conname
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """One check and what it found."""

    name: str
    asset: str
    title: str
    remedy: str
    severity: Severity
    result: CheckResult


@dataclass(frozen=True, slots=True)
class _StorageCheck:
    name: str
    title: str
    remedy: str
    run: Callable[[Connection], CheckResult]


def check_database(
    warehouse: Warehouse, days: DayRange, settings: Settings, *, now: datetime, on_progress: OnProgress = unheard
) -> tuple[Checked, ...]:
    """Run every check of the database's storage and of its rows.

    Args:
        warehouse: the database, with the newest schema.
        days: the days at which checks of days look.
        settings: the thresholds.
        now: the time.
        on_progress: is told how many checks were made, of how many.
    """
    storage, checks = _STORAGE_CHECKS[warehouse.dialect], all_checks()
    found = []

    def keep(each: Checked) -> None:
        found.append(each)
        on_progress(len(found), len(storage) + len(checks))

    for of_storage in storage:
        with warehouse.read() as connection:
            result = of_storage.run(connection)
        keep(Checked(of_storage.name, _STORAGE, of_storage.title, of_storage.remedy, Severity.ERROR, result))
    for check in checks:
        # a state of its own for each: on SQLite a reader that stays open keeps the write-ahead log growing
        with warehouse.read() as connection:
            result = check.run(connection, days, settings, now)
        keep(Checked(check.name, check.asset, check.title, check.remedy, check.severity, result))
    return tuple(found)


def _pages(connection: Connection) -> CheckResult:
    rows = connection.exec_driver_sql("PRAGMA integrity_check").all()
    return CheckResult.of(("found",), (tuple(row) for row in rows if row[0] != "ok"))


def _rows_of(statement: str) -> Callable[[Connection], CheckResult]:
    def run(connection: Connection) -> CheckResult:
        result = connection.exec_driver_sql(statement)
        return CheckResult.of(tuple(result.keys()), (tuple(row) for row in result))

    return run


_STORAGE_CHECKS = {
    "sqlite": (
        _StorageCheck(
            "integrity_check",
            "Every page and index of the file is sound",
            "The file is damaged: stop the pipeline, look at the disk, and `cowrie-pipeline db restore` a backup.",
            _pages,
        ),
        _StorageCheck(
            "foreign_key_check",
            "Every row that a row points to is there",
            "Something wrote to the file with foreign keys off: restore a backup, or remove the rows named.",
            _rows_of("PRAGMA foreign_key_check"),
        ),
    ),
    "postgresql": (
        _StorageCheck(
            "valid_indexes",
            "Every index is complete and used",
            "Making it was interrupted or failed: REINDEX INDEX it.",
            _rows_of(_INVALID_INDEXES),
        ),
        _StorageCheck(
            "valid_constraints",
            "Every constraint was proven for all rows",
            "Adding it was interrupted: ALTER TABLE ... VALIDATE CONSTRAINT it; what that names is at fault.",
            _rows_of(_UNPROVEN_CONSTRAINTS),
        ),
    ),
}
