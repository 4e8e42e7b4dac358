"""The command `migrate-cache`: answers of earlier installations from disk into the database, and back."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from cowrie_pipeline.cli.console import print_error, print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.database import is_filled, open_filled, open_warehouse
from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.ledger import open_disk_cache
from cowrie_pipeline.steps.migrate_cache import MigrationReport, known_keys, migrate_to_database, roll_back
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["bring_in", "give_back"]


def bring_in(settings: Settings, folder: Path, *, dry_run: bool, quiet: bool, as_json: bool) -> int:
    """Take the answers below `folder` into the database, which is made if there is none; return the exit code."""
    with _database_to_fill(settings, dry_run=dry_run) as warehouse:
        disk = _disk(settings, folder, warehouse)
        with show_progress(quiet=quiet) as on_progress:
            report = migrate_to_database(
                warehouse,
                disk,
                now=datetime.now(UTC),
                known_keys=known_keys(warehouse),
                dry_run=dry_run,
                on_progress=lambda done, total: on_progress("reading files", done, total),
            )
    if as_json:
        print_json({"folder": folder, "is_valid": report.is_valid} | asdict(report))
    else:
        _print(report, folder)
    return 0 if report.is_valid else 1


def give_back(settings: Settings, folder: Path, *, dry_run: bool, quiet: bool, as_json: bool) -> int:
    """Write the database's answers below `folder`, where they are missing or older; return the exit code."""
    with open_filled(settings) as warehouse:
        disk = _disk(settings, folder, warehouse)
        with show_progress(quiet=quiet) as on_progress:
            report = roll_back(
                warehouse,
                disk,
                now=datetime.now(UTC),
                dry_run=dry_run,
                on_progress=lambda done, total: on_progress("writing files", done, total),
            )
    if as_json:
        print_json({"folder": folder} | asdict(report))
    else:
        would = "would be written" if dry_run else "written"
        print_line(
            f"{folder}: {report.answers:,} answers in the database = {report.written:,} {would} + "
            f"{report.unchanged:,} there already + {report.failed:,} that could not be written"
        )
    if report.failed:
        print_error(f"{report.failed:,} answers could not be written below {folder}: check that it can be written to")
    return 1 if report.failed else 0


@contextmanager
def _database_to_fill(settings: Settings, *, dry_run: bool) -> Iterator[Warehouse]:
    """Open the database, brought up to date; for a dry run into one that is not there, an empty one in its place."""
    with open_warehouse(settings) as warehouse:
        if not dry_run:
            upgrade_schema(warehouse)
            yield warehouse
        elif is_filled(warehouse):
            yield warehouse
        else:
            with tempfile.TemporaryDirectory(prefix="cowrie-enrich-") as folder:
                elsewhere = replace(settings, db_url=f"sqlite:///{folder}/empty.db")
                with open_warehouse(elsewhere) as empty:
                    upgrade_schema(empty)
                    yield empty


def _disk(settings: Settings, folder: Path, warehouse: Warehouse) -> DiskCache:
    with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
        return open_disk_cache(replace(settings, cache_dir=folder), enrichment)


def _print(report: MigrationReport, folder: Path) -> None:
    would = "would be written" if report.dry_run else "written"
    print_line(
        f"{folder}: {report.files:,} files = {report.written:,} {would} + {report.already_there:,} there already + "
        f"{report.newer_in_database:,} newer in the database + {sum(report.skipped.values()):,} skipped"
    )
    print_table("Skipped", ("why", "files"), list(report.skipped.items()))
    print_table(
        f"Skipped, the first {len(report.examples):,}",
        ("file", "why"),
        [(each.path, each.reason) for each in report.examples],
    )
    for mismatch in report.mismatched:
        print_error(f"{mismatch}: what was read back from the database is not what was written")
    if report.is_valid and not report.dry_run:
        print_line("Everything that was written was read back as it is. The files are as they were.")
