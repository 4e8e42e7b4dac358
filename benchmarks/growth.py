"""What a database has grown to, and what the runs on it took: tasks of the figure `scale` (see task.py).

Belongs here: sizes, counts of documents, when each step of a run began and ended, seconds of each check.
Does not belong here: starting the runs (scale.py).
"""

import os
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import due_addresses
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    enrichment_documents,
    ip_inventory,
    metadata,
    session_days,
    session_summaries,
    step_runs,
)

__all__ = ["check_seconds", "database_size", "due_seconds", "held", "steps_taken"]

_SIZE_OF_TABLES = {
    # of each table with its indexes, which `aggregate` adds up without a row for each page
    "sqlite": (
        "SELECT m.tbl_name, CAST(SUM(s.pgsize) AS INTEGER) FROM dbstat AS s JOIN sqlite_schema AS m ON m.name = s.name "
        "WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
    ),
    "postgresql": "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables",
}


def database_size(*, url: str) -> dict[str, Any]:
    """Say how large the database is, and the log that it writes ahead, in bytes."""
    warehouse = Warehouse(url)
    if warehouse.dialect == "sqlite":
        path = Path(warehouse.url.database or "")
        log = Path(f"{path}-wal")
        return {"bytes": path.stat().st_size, "log_bytes": log.stat().st_size if log.exists() else 0}
    with warehouse.read() as connection:
        return {
            "bytes": _number(connection, "SELECT pg_database_size(current_database())"),
            "log_bytes": _number(connection, "SELECT SUM(size) FROM pg_ls_waldir()"),
        }


def held(*, url: str) -> dict[str, Any]:
    """Count rows, bytes of each table with its indexes, and documents, each distinct one and each one stored."""
    with Warehouse(url).read() as connection:
        sizes: dict[str, int] = dict(connection.exec_driver_sql(_SIZE_OF_TABLES[connection.dialect.name]).all())
        rows = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
        address, of_sessions = ip_inventory.c, session_summaries.c
        length = func.length if connection.dialect.name == "sqlite" else func.pg_column_size
        of_addresses = connection.execute(
            select(
                func.count(address.enrichment),
                func.count(address.enrichment_digest.distinct()),
                func.sum(length(address.enrichment)),
            )
        ).one()
        kept = connection.execute(select(func.sum(length(enrichment_documents.c.document)))).scalar_one()
        return {
            "tables": {
                name: {"rows": rows[name], "bytes": int(sizes[name])} for name in rows if int(sizes.get(name, 0))
            },
            "events": int(connection.execute(select(func.sum(session_days.c.event_count))).scalar_one()),
            "sessions": rows["session_summaries"],
            "addresses": rows["ip_inventory"],
            "days": connection.execute(select(func.count(session_days.c.day.distinct()))).scalar_one(),
            "documents": {
                "of_addresses": of_addresses[0],
                "of_addresses_distinct": of_addresses[1],
                "of_addresses_bytes": int(of_addresses[2] or 0),
                "kept": rows["enrichment_documents"],
                "kept_bytes": int(kept or 0),
                "named_by_sessions": connection.execute(
                    select(func.count(of_sessions.snapshot_document.distinct()))
                ).scalar_one(),
            },
        }


def check_seconds(*, url: str, first: str, last: str) -> dict[str, Any]:
    """Run every check of days once, and return the seconds of each."""
    warehouse, days = Warehouse(url), DayRange(date.fromisoformat(first), date.fromisoformat(last))
    settings = Settings(offline=True)
    now = datetime.now(UTC)
    seconds = {}
    for check in all_checks():
        with warehouse.read() as connection:
            started = perf_counter()
            check.run(connection, days, settings, now)
            seconds[check.name] = perf_counter() - started
    return {"seconds": seconds}


def due_seconds(*, url: str, day: str) -> dict[str, Any]:
    """Ask which addresses of a day are due: when none is, and when all answers of the whole inventory have expired."""
    warehouse, days = Warehouse(url), DayRange(date.fromisoformat(day), date.fromisoformat(day))
    with warehouse.read() as connection:
        sources = connection.execute(select(func.max(ip_inventory.c.enrichment_sources))).scalar_one()
        newest = connection.execute(select(func.max(ip_inventory.c.enrichment_due_at))).scalar_one()
    seconds, found = {}, {}
    for name, now in (("none", datetime(2000, 1, 1, tzinfo=UTC)), ("all", newest)):
        with warehouse.read() as connection:
            started = perf_counter()
            found[name] = len(due_addresses(connection, days, sources=sources, now=now))
            seconds[name] = perf_counter() - started
    return {"seconds": seconds, "due": found}


def steps_taken(*, url: str, state: str, runs: list[str]) -> dict[str, Any]:
    """Return when each step of Dagster's runs began and ended, and when logs were read, in seconds since 1970."""
    home = Path(state) / "dagster"
    os.environ |= {"COWRIE_STATE_DIR": state, "DAGSTER_HOME": str(home)}
    # only here: other tasks do without Dagster
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        steps = [
            (step.step_key, step.start_time, step.end_time) for run in runs for step in instance.get_run_step_stats(run)
        ]
    with Warehouse(url).read() as connection:
        read = connection.execute(
            select(step_runs.c.started_at, step_runs.c.seconds)
            .where(step_runs.c.step == "scan_logs")
            .order_by(step_runs.c.step_run_id.desc())
            .limit(1)
        ).one()
    began = read.started_at.timestamp()
    return {"steps": [("reading logs", began, began + read.seconds), *steps]}


def _number(connection: Connection, statement: str) -> int:
    return int(connection.exec_driver_sql(statement).scalar_one())
