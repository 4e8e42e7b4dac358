"""What was done lately: one row for each piece of work, for those who ask how things stand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from sqlalchemy import delete, func, insert, select

from cowrie_pipeline.observability.instruments import STEP_DURATION
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.tables import step_runs

__all__ = ["Entry", "journaled"]

_KEPT = 10_000


class Entry:
    """The entry being written: what the work came to, and how long it took."""

    def __init__(self) -> None:
        self.report: Mapping[str, Any] = {}
        self._started = monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return monotonic() - self._started


@contextmanager
def journaled(warehouse: Warehouse, step: str, days: DayRange | None) -> Iterator[Entry]:
    """Write down that `step` was done for `days`; whoever does it sets the entry's `report`.

    Work that came to nothing, and has no report, is not written down; nor is work that failed: Dagster's event log has
    it, with its error.
    """
    started_at = datetime.now(UTC)
    entry = Entry()
    yield entry
    if not entry.report:
        return
    seconds = entry.seconds
    with counting(warehouse) as (connection, tally):
        connection.execute(
            insert(step_runs).values(
                step=step,
                first_day=days.first if days else None,
                last_day=days.last if days else None,
                started_at=started_at,
                seconds=seconds,
                report=dict(entry.report),
            )
        )
        newest = select(func.max(step_runs.c.step_run_id)).scalar_subquery()
        connection.execute(delete(step_runs).where(step_runs.c.step_run_id <= newest - _KEPT))
        tally.observe(STEP_DURATION, seconds, step=step)
