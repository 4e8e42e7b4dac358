"""One round of alerting: findings are taken in, conditions looked at, and what waits is delivered.

Dagster's sensors and `cowrie-pipeline alerts send` do the same through this.

Belongs here: the order of the work. Does not belong here: any of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cowrie_pipeline.settings import ReceiverSettings, Settings
from cowrie_pipeline.steps.alerts.book import Noted, note, open_incidents
from cowrie_pipeline.steps.alerts.conditions import findings_of_look, look
from cowrie_pipeline.steps.alerts.model import Failure, Kind
from cowrie_pipeline.steps.alerts.runs import RunEnd, findings_of_run
from cowrie_pipeline.warehouse.engine import Warehouse

__all__ = ["note_conditions", "note_runs"]

_OF_DATABASE = (Kind.LATE, Kind.STALE, Kind.BUDGET)


def note_runs(
    warehouse: Warehouse,
    runs: Iterable[RunEnd],
    settings: Settings,
    receivers: Sequence[ReceiverSettings],
    *,
    now: datetime,
) -> Noted:
    """Take in runs that have ended, in any order and as often as one likes."""
    findings = [finding for run in runs for finding in findings_of_run(run, where=settings.docs_page)]
    return note(
        warehouse,
        findings,
        receivers,
        now=now,
        repeat_after=timedelta(hours=settings.alert_repeat_hours),
        ui_url=settings.ui_url,
    )


def note_conditions(
    warehouse: Warehouse,
    settings: Settings,
    receivers: Sequence[ReceiverSettings],
    *,
    sensors: Sequence[Failure] | None,
    now: datetime,
) -> Noted:
    """Look at the database, and take in which sensors fell silent; None where nobody could look at them."""
    kinds = _OF_DATABASE if sensors is None else (*_OF_DATABASE, Kind.SENSOR)
    failures = [*look(warehouse, settings, now=now), *(sensors or ())]
    with warehouse.read() as connection:
        findings = findings_of_look(failures, open_incidents(connection), kinds, now=now)
    return note(
        warehouse,
        findings,
        receivers,
        now=now,
        repeat_after=timedelta(hours=settings.alert_repeat_hours),
        ui_url=settings.ui_url,
    )
