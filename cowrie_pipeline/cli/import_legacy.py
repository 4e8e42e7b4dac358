"""The command `import-legacy`: a database of the older, session-level layout into this schema."""

from dataclasses import asdict
from datetime import UTC, datetime

from cowrie_pipeline.cli.console import print_error, print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.database import open_warehouse
from cowrie_pipeline.enrichment.build import network_rules_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.import_legacy import ImportReport, import_legacy, plan_import
from cowrie_pipeline.warehouse.engine import WarehouseError, database_url
from cowrie_pipeline.warehouse.legacy_database import LegacyDatabase

__all__ = ["bring_in"]

_ODDITIES_SHOWN = 40


def bring_in(settings: Settings, source: str, *, dry_run: bool, batch_size: int, as_json: bool, quiet: bool) -> int:
    """Import the database `source`, or what is left of it; return the exit code.

    0 says that every row is accounted for, 1 that a count on one side is not that on the other.
    """
    if database_url(source) == database_url(settings.database_url):
        raise WarehouseError("--from and --db name the same database: an import needs one of its own to write to")
    legacy = LegacyDatabase(source)
    try:
        with show_progress(quiet=quiet) as on_progress:
            if dry_run:
                report = plan_import(legacy, batch_size=batch_size, on_progress=on_progress)
            else:
                with open_warehouse(settings) as warehouse:
                    report = import_legacy(
                        warehouse,
                        legacy,
                        rules=network_rules_of(settings),
                        now=datetime.now(UTC),
                        batch_size=batch_size,
                        on_progress=on_progress,
                    )
    finally:
        legacy.dispose()
    if as_json:
        print_json({"is_valid": report.is_valid} | asdict(report))
    else:
        _print(report)
    for mismatch in report.mismatches:
        print_error(
            f"{mismatch}. If the source was written to meanwhile, run the same command again: it reads what was added; "
            "if the numbers stay as they are, report it."
        )
    return 0 if report.is_valid else 1


def _print(report: ImportReport) -> None:
    copied = "would be copied" if report.dry_run else "copied"
    if report.dry_run:
        print_line(f"{report.source}: dry run, nothing is written")
    else:
        print_line(f"{report.source}: {'imported' if report.changed else 'nothing was left to import'}")
    print_table(
        "Rows",
        ("table", "in source", copied, "skipped", "here", "given by logs too"),
        [
            (part.table, part.in_source, part.copied, sum(part.skipped.values()), part.here, part.gave_way)
            for part in report.parts.values()
            if not part.is_missing
        ],
    )
    if missing := [part.table for part in report.parts.values() if part.is_missing]:
        print_line(f"Tables that are not there: {', '.join(missing)}")
    print_table("Snapshots", ("basis", "sessions"), list(report.snapshots.items()))
    print_table(
        "Skipped rows",
        ("table", "why", "rows"),
        [(part.table, why, rows) for part in report.parts.values() for why, rows in part.skipped.items()],
    )
    odd = [(part.table, kind, number) for part in report.parts.values() for kind, number in part.oddities.items()]
    odd.sort(key=lambda each: -each[2])
    print_table("Malformed values, the most frequent", ("table", "what", "values"), odd[:_ODDITIES_SHOWN])
    print_table(
        "Columns that are not read",
        ("table", "columns"),
        [(part.table, ", ".join(part.ignored_columns)) for part in report.parts.values() if part.ignored_columns],
    )
    if report.constraints:
        print_line(f"Holds: {', '.join(report.constraints)}")
