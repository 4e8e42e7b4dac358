"""The command `status`: the state of the database in one screen."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.cli.console import OUT, print_json, print_line, print_table
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import coverage_by_day, look_ups_by_day
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.tables import dead_letters, loaded_days, log_files, log_segments, metadata, step_runs

__all__ = ["show_status"]

_SHOWN_TABLES = (
    "session_summaries",
    "session_days",
    "login_attempts",
    "commands",
    "session_files",
    "tunnels",
    "client_keys",
    "ip_inventory",
    "asn_inventory",
    "asn_session_counts",
    "enrichment_cache",
)
# Coverage is shown of the newest days: of all time it would say little, and take long.
_DAYS_SHOWN = 14


def show_status(settings: Settings, *, as_json: bool) -> int:
    """Print days, rows, coverage by field and source, dead letters and last runs; return the exit code."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        state = _state(connection)
    if as_json:
        print_json({"database": warehouse.safe_url} | state)
    else:
        _print(warehouse.safe_url, state)
    return 0


def _state(connection: Connection) -> dict[str, Any]:
    first, last, days = connection.execute(
        select(func.min(loaded_days.c.day), func.max(loaded_days.c.day), func.count())
    ).one()
    waiting = connection.execute(
        select(func.count(log_segments.c.day.distinct())).where(
            ~select(loaded_days.c.day).where(loaded_days.c.day == log_segments.c.day).exists()
        )
    ).scalar_one()
    files = connection.execute(
        select(
            func.count(),
            *(
                func.coalesce(func.sum(log_files.c[name]), 0)
                for name in ("lines", "events", "duplicates", "dead_letters", "blank_lines")
            ),
        )
    ).one()
    newest = DayRange(max(first, last - timedelta(days=_DAYS_SHOWN - 1)), last) if last else None
    return {
        "days": {"first": first, "last": last, "loaded": days, "read_but_not_loaded": waiting},
        "rows": {
            name: connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one()
            for name in _SHOWN_TABLES
        },
        "files": dict(
            zip(("files", "lines", "events", "duplicates", "dead_letters", "blank_lines"), map(int, files), strict=True)
        ),
        "coverage": _coverage(connection, newest) if newest else {},
        "sources": _sources(connection, newest) if newest else {},
        "dead_letters": {
            reason: int(lines)
            for reason, lines in connection.execute(
                select(dead_letters.c.reason, func.sum(dead_letters.c.lines))
                .group_by(dead_letters.c.reason)
                .order_by(func.sum(dead_letters.c.lines).desc())
            )
        },
        "last_runs": [
            {
                "step": row.step,
                "first_day": row.first_day,
                "last_day": row.last_day,
                "started_at": row.started_at,
                "seconds": row.seconds,
                "report": row.report,
            }
            for row in connection.execute(select(step_runs).order_by(step_runs.c.step_run_id.desc()).limit(10))
        ],
    }


def _coverage(connection: Connection, days: DayRange) -> dict[str, float]:
    totals: dict[str, tuple[int, int]] = {}
    for each in coverage_by_day(connection, days):
        name = f"{each.asset}.{each.field}"
        total, known = totals.get(name, (0, 0))
        totals[name] = (total + each.total, known + each.known)
    return {name: known / total for name, (total, known) in sorted(totals.items()) if total}


def _sources(connection: Connection, days: DayRange) -> dict[str, dict[str, int]]:
    sources: dict[str, dict[str, int]] = {}
    for _, source, status, addresses in look_ups_by_day(connection, days):
        of_source = sources.setdefault(source, {})
        of_source[status] = of_source.get(status, 0) + addresses
    return sources


def _print(url: str, state: dict[str, Any]) -> None:
    days, files = state["days"], state["files"]
    print_line(f"Database: {url}")
    if days["loaded"]:
        loaded = "1 day" if days["loaded"] == 1 else f"{days['loaded']:,} days"
        OUT.print(f"{loaded} loaded, {days['first']} to {days['last']}")
    if days["read_but_not_loaded"]:
        OUT.print(f"{days['read_but_not_loaded']:,} days were read and wait to be materialized", style="yellow")
    OUT.print(
        f"{files['files']:,} files, {files['lines']:,} lines = {files['events']:,} events + "
        f"{files['duplicates']:,} duplicates + {files['dead_letters']:,} dead letters + {files['blank_lines']:,} blank"
    )
    OUT.print()
    print_table("Rows", ("table", "rows"), list(state["rows"].items()))
    print_table(
        f"Known of the newest {_DAYS_SHOWN} days",
        ("field", "share"),
        [(name, f"{share:.1%}") for name, share in state["coverage"].items()],
    )
    print_table(
        "Look-ups of their addresses",
        ("source", "outcome", "addresses by day"),
        [(source, status, n) for source, counts in state["sources"].items() for status, n in counts.items()],
    )
    print_table("Dead letters", ("reason", "lines"), list(state["dead_letters"].items()))
    print_table(
        "Last runs",
        ("step", "days", "began", "seconds", "what"),
        [
            (
                run["step"],
                f"{run['first_day']} to {run['last_day']}" if run["first_day"] else "-",
                f"{run['started_at']:%Y-%m-%d %H:%M:%S}",
                round(run["seconds"], 2),
                ", ".join(f"{name} {value}" for name, value in run["report"].items()),
            )
            for run in state["last_runs"]
        ],
    )
