"""The command `run`: from logs to every asset, and a summary."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from cowrie_pipeline.cli.console import OUT, fail, print_error, print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.summary import Overview, overview_of, print_overview
from cowrie_pipeline.observability.status_files import StatusBoard, shown_on
from cowrie_pipeline.orchestration.runs import RunsOutcome, materialize, open_instance
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.attack_page import ROLLING_PAGE
from cowrie_pipeline.steps.attack_report import ROLLING_DAYS
from cowrie_pipeline.steps.days import DayRange, contiguous
from cowrie_pipeline.steps.scan_logs import ScanReport, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["run_pipeline"]


@dataclass(slots=True, kw_only=True)
class _Summary:
    """What a run came to; `outside` counts events on days that were not materialized."""

    database: str
    log_paths: tuple[str, ...]
    scan: ScanReport
    days: list[date]
    outcome: RunsOutcome = field(default_factory=RunsOutcome)
    outside: dict[str, int] = field(default_factory=dict)
    overview: Overview | None = None
    page: Path | None = None
    seconds: float = 0.0

    @property
    def code(self) -> int:
        """The exit code: 1 if a blocking check or a step failed or a file could not be read."""
        return 0 if self.outcome.succeeded and not self.scan.lost_something else 1


def run_pipeline(settings: Settings, first: date | None, last: date | None, *, as_json: bool) -> int:
    """Read the logs of `settings`, materialize the days in them between `first` and `last`, and show what came out.

    Returns:
        The exit code.
    """
    started = monotonic()
    warehouse = Warehouse.of(settings)
    upgrade_schema(warehouse)
    today = datetime.now(UTC).date()
    with shown_on(StatusBoard(settings.status_folder)), show_progress(quiet=as_json) as on_progress:
        scan = scan_logs(
            warehouse,
            settings.log_paths,
            settings=settings,
            now=datetime.now(UTC),
            on_progress=lambda done, total: on_progress("reading logs", done, total),
        )
        missing = [problem for problem in scan.problems if problem.is_missing]
        if missing:
            warehouse.dispose()
            raise fail("; ".join(f"{problem.path}: {problem.reason}" for problem in missing), 2)
        earliest = max(settings.start_date, first or settings.start_date)
        latest = min(today, last or today)
        days = [day for day in scan.days if earliest <= day <= latest]
        summary = _Summary(database=warehouse.safe_url, log_paths=settings.log_paths, scan=scan, days=days)
        if days:
            summary.outcome = materialize(open_instance(settings), contiguous(days), settings)
            page = settings.reports_folder.absolute() / ROLLING_PAGE
            # one that could not be written is among the errors
            summary.page = page if page.exists() else None
            summary.overview = overview_of(warehouse, DayRange(days[0], days[-1]))
    warehouse.dispose()
    summary.outside = {
        "events_before_first_partition": _events_on(scan, lambda day: day < settings.start_date),
        "events_in_future": _events_on(scan, lambda day: day > today),
        "events_on_other_days": _events_on(scan, lambda day: day not in days),
    }
    summary.seconds = monotonic() - started
    if as_json:
        print_json(_as_object(summary))
    else:
        _print(summary)
    return summary.code


def _events_on(scan: ScanReport, is_meant: Callable[[date], bool]) -> int:
    return sum(count for day, count in scan.days.items() if is_meant(day))


def _as_object(summary: _Summary) -> dict[str, Any]:
    scan = summary.scan
    return {
        "ok": summary.code == 0,
        "database": summary.database,
        "seconds": round(summary.seconds, 3),
        "days": [day.isoformat() for day in summary.days],
        "files": scan.files,
        "files_read": scan.files_read,
        "lines": scan.lines,
        "events": scan.events,
        "duplicates": scan.duplicates,
        "dead_letters": scan.dead_letters,
        "blank_lines": scan.blank_lines,
        "lines_read": scan.lines_read,
        **summary.outside,
        "dead_letters_by_reason": scan.dead_letters_by_reason,
        "unknown_events": scan.unknown_events,
        "unknown_fields": scan.unknown_fields,
        "unreadable": {problem.path: problem.reason for problem in scan.problems},
        "not_cowrie_logs": list(scan.foreign_files),
        "damaged": scan.damaged_files,
        "totals": summary.overview.totals if summary.overview else {},
        "assets": {name: asdict(asset) for name, asset in sorted(summary.outcome.assets.items())},
        "errors": summary.outcome.errors,
        "findings": list(summary.outcome.notes),
        "runs": summary.outcome.run_ids,
        "page": str(summary.page) if summary.page else None,
    }


def _print(summary: _Summary) -> None:
    scan = summary.scan
    OUT.print()
    OUT.print(
        f"{scan.files:,} files ({scan.files_read:,} read now), {scan.lines:,} lines = {scan.events:,} events + "
        f"{scan.duplicates:,} duplicates + {scan.dead_letters:,} dead letters + {scan.blank_lines:,} blank"
    )
    for note in _notes(summary):
        print_line(note, style="yellow")
    OUT.print()
    if summary.overview is not None:
        print_overview(summary.overview)
    _print_assets(summary.outcome)
    for problem in scan.problems:
        print_error(f"{problem.path} could not be read: {problem.reason}")
    for error in summary.outcome.errors:
        print_error(error)
    days = "1 day" if len(summary.days) == 1 else f"{len(summary.days):,} days"
    if summary.page is not None:
        print_line(f"The attacks of the last {ROLLING_DAYS} days as a page: {summary.page}")
    print_line(f"{days} in {summary.seconds:.1f} s. Database: {summary.database}")


def _notes(summary: _Summary) -> list[str]:
    """Say what an operator should know although nothing failed."""
    scan, outside = summary.scan, summary.outside
    before, future = outside["events_before_first_partition"], outside["events_in_future"]
    notes = []
    if not scan.files:
        notes.append(
            f"expected log files, found none in {', '.join(summary.log_paths)} (--logs or COWRIE_LOGS names them)"
        )
    elif not summary.days and outside["events_on_other_days"] > before + future:
        notes.append(f"no day asked for is in the logs: they have {min(scan.days)} to {max(scan.days)}")
    if before:
        notes.append(f"{before:,} events before the first partition (COWRIE_START_DATE) were kept and not loaded")
    if future:
        notes.append(f"{future:,} events in the future, where a sensor's clock is wrong, were kept and not loaded")
    if unknown := sum(scan.unknown_events.values()):
        notes.append(f"{unknown:,} events of {len(scan.unknown_events):,} unknown ids were counted with their sessions")
    if scan.unknown_fields:
        notes.append(f"unknown fields were kept: {', '.join(list(scan.unknown_fields)[:5])}")
    notes += [f"no Cowrie log, not loaded: {path}" for path in scan.foreign_files]
    notes += [f"read as far as it goes: {path}: {damage}" for path, damage in scan.damaged_files.items()]
    return [*notes, *summary.outcome.notes]


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
