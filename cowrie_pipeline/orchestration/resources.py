"""The resource of every asset and check: the warehouse and what can be asked, opened for a run and closed after it."""

from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.observability.status_files import StatusBoard, shown_on
from cowrie_pipeline.observability.telemetry import flush_telemetry, set_up_telemetry
from cowrie_pipeline.observability.tracing import Span, current_span, fail, run_span
from cowrie_pipeline.orchestration.processes import end_runs_of_dead_processes, note_process
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.ledger import Ledger, open_ledger
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["Pipeline"]

# Of this process: what one run learned of a dead service serves the next.
_circuits: dict[str, Circuit] = {}


class Pipeline(dg.ConfigurableResource[Any]):
    """What the steps need. It has no configuration of its own: settings come from the environment, secrets too.

    So nothing secret is ever stored with a run, and a process started for a step finds the same.
    """

    _settings: Settings = PrivateAttr()
    _warehouse: Warehouse = PrivateAttr()
    _enrichment: Enrichment | None = PrivateAttr(default=None)
    _open: ExitStack = PrivateAttr()
    _run: Span = PrivateAttr()
    _is_beneath: bool = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Say in which process the run is, read the settings, open the database and bring its schema up to date.

        Runs that were killed give their places in pools back first.
        """
        self._settings = Settings.from_environment()
        if context.instance is not None and context.run is not None:
            # a command that materializes has no executor that does it (executors.py); of executors other than this
            # one, each step is in a process of its own
            if self._settings.executor == "in_process":
                note_process(context.instance, context.run.run_id)
            # where no daemon runs nobody else does, and where one does not before its next look: meanwhile this run
            # would wait for the places in pools that a killed one holds
            end_runs_of_dead_processes(context.instance)
        self._enrichment = None
        set_up_telemetry(self._settings)
        # a command that materializes has a trace already
        self._is_beneath = current_span().get_span_context().is_valid
        with ExitStack() as stack:
            self._run = stack.enter_context(_span_of_run(context.run))
            run_id = None if context.run is None else context.run.run_id
            stack.enter_context(shown_on(StatusBoard(self._settings.status_folder, run_id)))
            self._warehouse = Warehouse.of(self._settings)
            stack.callback(self._warehouse.dispose)
            upgrade_schema(self._warehouse)
            self._open = stack.pop_all()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close everything."""
        if self._run.is_recording() and _has_failed(context):
            fail(self._run, "a step failed")
        self._open.close()
        if not self._is_beneath:
            # the process of a run may be ended before it ends by itself
            flush_telemetry()

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self._settings

    @property
    def warehouse(self) -> Warehouse:
        """The database."""
        return self._warehouse

    @property
    def enrichment(self) -> Enrichment:
        """Everything that can be asked, opened when first needed."""
        if self._enrichment is None:
            self._enrichment = self._open.enter_context(
                build_enrichment(self._settings, _circuits, WarehouseAllowance(self._warehouse))
            )
        return self._enrichment

    def ledger(self, now: datetime) -> Ledger:
        """The memory of look-ups; its statistics are those of the day of `now`."""
        return open_ledger(self._warehouse, self._settings, self.enrichment, now=now)


def _span_of_run(run: dg.DagsterRun | None) -> AbstractContextManager[Span]:
    if run is None:
        return run_span("dagster run")
    attributes = {"dagster.run_id": run.run_id, "dagster.job": run.job_name}
    return run_span("dagster run", attributes, run_id=run.run_id)


def _has_failed(context: dg.InitResourceContext) -> bool:
    """Whether a step of the run failed; the run itself has no end yet."""
    if context.instance is None or context.run is None:
        return False
    return bool(context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE))
