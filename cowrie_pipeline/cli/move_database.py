"""The command `db move`: a whole database into another."""

from dataclasses import asdict

from cowrie_pipeline.cli.console import print_error, print_json, print_line, print_table, show_progress
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.move_database import MoveReport, move_database
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError, database_url

__all__ = ["move"]


def move(settings: Settings, source: str, target: str, *, as_json: bool, quiet: bool) -> int:
    """Move the database `source` to `target`, or what is left of it; return the exit code.

    0 says that every table is the same on both sides, 1 that one is not.
    """
    if database_url(source) == database_url(target):
        raise WarehouseError("--from and --to name the same database: a move needs one of its own to write to")
    reading = Warehouse(source, read_only=True)
    writing = Warehouse(target, pool_size=settings.db_pool_size, pool_overflow=settings.db_pool_overflow)
    try:
        with show_progress(quiet=quiet) as on_progress:
            report = move_database(reading, writing, on_progress=on_progress)
    finally:
        reading.dispose()
        writing.dispose()
    if as_json:
        print_json({"is_valid": report.is_valid} | asdict(report))
    else:
        _print(report)
    for each in report.tables:
        if not each.is_same:
            print_error(
                f"{each.table}: {each.source.rows:,} rows in the source and {each.target.rows:,} in the target differ. "
                "Stop what writes to the source and run the same command again; if they still differ, begin with an "
                "empty target."
            )
    return 0 if report.is_valid else 1


def _print(report: MoveReport) -> None:
    print_table(
        "Compared",
        ("table", "rows in source", "rows in target", "digest", "same"),
        [
            (each.table, each.source.rows, each.target.rows, each.source.digest, each.is_same)
            for each in report.tables
            if each.source.rows or each.target.rows
        ],
    )
    if report.is_valid:
        rows = sum(each.target.rows for each in report.tables)
        print_line(
            f"{report.source} -> {report.target}: {rows:,} rows, the same on both; {report.rows_copied:,} copied now"
        )
        print_line("The source is as it was. Set COWRIE_DB_URL to the target.")
