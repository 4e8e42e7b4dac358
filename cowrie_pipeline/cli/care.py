"""The commands `db backup`, `db restore` and `db check`."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cowrie_pipeline.cli.console import print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.database import open_filled, open_warehouse
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.check_database import Checked, check_database
from cowrie_pipeline.steps.check_model import Severity
from cowrie_pipeline.steps.days import DayRange, days_with_sessions
from cowrie_pipeline.warehouse.backup import Backup, back_up, restore
from cowrie_pipeline.warehouse.schema import newest_version

__all__ = ["make_backup", "restore_backup", "show_checks"]


def make_backup(settings: Settings, path: Path, *, replace: bool, as_json: bool, quiet: bool) -> int:
    """Write the database to one file; return the exit code."""
    with open_warehouse(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        backup = back_up(
            warehouse, path, replace=replace, on_progress=lambda done, total: on_progress("pages", done, total)
        )
    _tell(f"{warehouse.safe_url} -> {path}", warehouse.safe_url, backup, as_json=as_json)
    return 0


def restore_backup(settings: Settings, path: Path, *, replace: bool, as_json: bool, quiet: bool) -> int:
    """Put what a backup holds in the place of the database; return the exit code."""
    with open_warehouse(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        backup = restore(
            warehouse, path, replace=replace, on_progress=lambda done, total: on_progress("pages", done, total)
        )
    _tell(f"{path} -> {warehouse.safe_url}", warehouse.safe_url, backup, as_json=as_json)
    if backup.version != newest_version() and not as_json:
        print_line("It is of an older schema: run `cowrie-pipeline db upgrade`.")
    return 0


def _tell(what: str, database: str, backup: Backup, *, as_json: bool) -> None:
    if as_json:
        print_json({"database": database, "path": backup.path, "bytes": backup.size, "schema": backup.version})
    else:
        print_line(f"{what}: {backup.size:,} bytes, schema {backup.version}, whole and sound")


def show_checks(settings: Settings, first: date | None, last: date | None, *, as_json: bool, quiet: bool) -> int:
    """Run every check and print what each found; return 1 if one failed that is more than a warning."""
    now = datetime.now(UTC)
    with open_filled(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        with warehouse.read() as connection:
            known = days_with_sessions(connection) or DayRange(now.date(), now.date())
        days = DayRange(first or min(known.first, last or known.first), last or max(known.last, first or known.last))
        found = check_database(
            warehouse, days, settings, now=now, on_progress=lambda done, total: on_progress("checks", done, total)
        )
    is_sound = all(each.result.passed or each.severity is Severity.WARN for each in found)
    if as_json:
        checks = [_described(each) for each in found]
        print_json(
            {
                "database": warehouse.safe_url,
                "first_day": days.first,
                "last_day": days.last,
                "is_sound": is_sound,
                "checks": checks,
            }
        )
    else:
        _print(warehouse.safe_url, days, found)
    return 0 if is_sound else 1


def _described(each: Checked) -> dict[str, Any]:
    return {
        "check": each.name,
        "asset": each.asset,
        "title": each.title,
        "severity": each.severity,
        "passed": each.result.passed,
        "rows_at_fault": each.result.at_fault,
        "first_rows": [dict(zip(each.result.columns, row, strict=True)) for row in each.result.rows],
        "notes": each.result.notes,
    }


def _print(url: str, days: DayRange, found: tuple[Checked, ...]) -> None:
    print_line(f"{url}, days {days.first} to {days.last}")
    print_table(
        "Checks",
        ("check", "of", "found", "rows at fault"),
        [
            (each.name, each.asset, "passed" if each.result.passed else each.severity.value, each.result.at_fault)
            for each in found
        ],
    )
    failed = [each for each in found if not each.result.passed]
    for each in failed:
        print_table(f"{each.name}: not so: {each.title}", each.result.columns, each.result.rows)
        print_line(each.remedy)
    warned = sum(each.severity is Severity.WARN for each in failed)
    print_line(f"{len(found):,} checks: {len(failed) - warned:,} failed, {warned:,} warn")
