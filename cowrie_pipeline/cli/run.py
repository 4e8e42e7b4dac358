"""The command `run`: from logs to every asset, and a summary."""

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from time import monotonic
from typing import Any

from cowrie_pipeline.cli.console import OUT, fail, print_error, print_table, show_progress
from cowrie_pipeline.cli.summary import Overview, overview_of, print_overview
from cowrie_pipeline.orchestration.runs import RunsOutcome, materialize, open_instance
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange, contiguous
from cowrie_pipeline.steps.scan_logs import ScanReport, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["run_pipeline"]


def run_pipeline(settings: Settings, first: date | None, last: date | None, *, as_json: bool) -> int:
    """Read the logs of `settings`, materialize the days in them between `first` and `last`, and show what came out.

    Returns:
        The exit code: 0, or 1 if a blocking check or a step failed or a file could not be read.
    """
    started = monotonic()
    warehouse = Warehouse(settings.database_url)
    upgrade_schema(warehouse)
    now = datetime.now(UTC)
    with show_progress(quiet=as_json) as on_progress:
        scan = scan_logs(
            warehouse,
            settings.log_paths,
            settings=settings,
            now=now,
            on_progress=lambda done, total: on_progress("reading logs", done, total),
        )
        missing = [problem for problem in scan.problems if problem.is_missing]
        if missing:
            raise fail("; ".join(f"{problem.path}: {problem.reason}" for problem in missing), 2)
        earliest = max(settings.start_date, first or settings.start_date)
        latest = min(now.date(), last or now.date())
        days = [day for day in scan.days if earliest <= day <= latest]
        outcome = materialize(open_instance(settings), contiguous(days), settings) if days else RunsOutcome()
    outside = {
        "events_before_first_partition": _events(scan, before=settings.start_date),
        "events_in_future": _events(scan, after=now.date()),
        "events_on_other_days": sum(scan.days.values()) - sum(scan.days[day] for day in days),
    }
    overview = overview_of(warehouse, DayRange(days[0], days[-1])) if days else None
    code = 0 if outcome.succeeded and not scan.lost_something else 1
    if as_json:
        OUT.print_json(json.dumps(_as_object(warehouse, scan, outcome, days, outside, monotonic() - started, code)))
    else:
        _print(warehouse, scan, outcome, days, outside, overview, monotonic() - started)
    warehouse.dispose()
    return code


def _events(scan: ScanReport, *, before: date | None = None, after: date | None = None) -> int:
    return sum(
        count
        for day, count in scan.days.items()
        if (before is not None and day < before) or (after is not None and day > after)
    )


def _as_object(
    warehouse: Warehouse,
    scan: ScanReport,
    outcome: RunsOutcome,
    days: list[date],
    outside: dict[str, int],
    seconds: float,
    code: int,
) -> dict[str, Any]:
    return {
        "ok": code == 0,
        "database": warehouse.safe_url,
        "seconds": round(seconds, 3),
        "days": [day.isoformat() for day in days],
        "files": scan.files,
        "files_read": scan.files_read,
        "lines": scan.lines,
        "events": scan.events,
        "duplicates": scan.duplicates,
        "dead_letters": scan.dead_letters,
        "blank_lines": scan.blank_lines,
        "lines_read": scan.lines_read,
        **outside,
        "dead_letters_by_reason": scan.dead_letters_by_reason,
        "unknown_events": scan.unknown_events,
        "unknown_fields": scan.unknown_fields,
        "unreadable": {problem.path: problem.reason for problem in scan.problems},
        "not_cowrie_logs": list(scan.foreign_files),
        "damaged": scan.damaged_files,
        "assets": {name: asdict(asset) for name, asset in sorted(outcome.assets.items())},
        "errors": outcome.errors,
        "findings": list(outcome.notes),
        "runs": outcome.run_ids,
    }


def _print(
    warehouse: Warehouse,
    scan: ScanReport,
    outcome: RunsOutcome,
    days: list[date],
    outside: dict[str, int],
    overview: Overview | None,
    seconds: float,
) -> None:
    OUT.print()
    OUT.print(
        f"{scan.files:,} files ({scan.files_read:,} read now), {scan.lines:,} lines = {scan.events:,} events + "
        f"{scan.duplicates:,} duplicates + {scan.dead_letters:,} dead letters + {scan.blank_lines:,} blank"
    )
    for text, count in (
        ("events before the first partition (COWRIE_START_DATE)", outside["events_before_first_partition"]),
        ("events in the future: a sensor's clock is wrong", outside["events_in_future"]),
    ):
        if count:
            OUT.print(f"{count:,} {text} were kept and not loaded", style="yellow")
    for path in scan.foreign_files:
        OUT.print(f"no Cowrie log, not loaded: {path}", markup=False, style="yellow")
    for path, damage in scan.damaged_files.items():
        OUT.print(f"read as far as it goes: {path}: {damage}", markup=False, style="yellow")
    for note in outcome.notes:
        OUT.print(note, markup=False, style="yellow")
    OUT.print()
    if overview is not None:
        print_overview(overview)
    _print_assets(outcome)
    for problem in scan.problems:
        print_error(f"{problem.path} could not be read: {problem.reason}")
    for error in outcome.errors:
        print_error(error)
    days_text = f"{len(days):,} days" if len(days) != 1 else "1 day"
    OUT.print(f"{days_text} in {seconds:.1f} s. Database: {warehouse.safe_url}", markup=False)


def _print_assets(outcome: RunsOutcome) -> None:
    print_table(
        "Assets",
        ("asset", "rows", "days", "seconds", "checks passed"),
        [
            (
                name,
                asset.rows,
                asset.days,
                round(asset.seconds, 2),
                f"{sum(check.passed for check in asset.checks.values())} of {len(asset.checks)}",
            )
            for name, asset in sorted(outcome.assets.items())
        ],
    )
    print_table(
        "Checks that failed",
        ("check", "severity", "blocks", "rows at fault", "what should be so"),
        [
            (f"{asset_name}.{name}", check.severity.lower(), check.blocking, check.rows_at_fault, check.title)
            for asset_name, asset in sorted(outcome.assets.items())
            for name, check in sorted(asset.checks.items())
            if not check.passed
        ],
    )
