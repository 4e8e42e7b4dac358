"""The resource of every asset and check: the warehouse and what can be asked, opened for a run and closed after it."""

from contextlib import ExitStack
from datetime import datetime
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.orchestration.processes import PROCESS_TAG, this_process
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

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Say in which process the run is, read the settings, open the database and bring its schema up to date."""
        if context.instance is not None and context.run is not None:
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: this_process()})
        self._settings = Settings.from_environment()
        self._open = ExitStack()
        self._enrichment = None
        self._warehouse = Warehouse.of(self._settings)
        self._open.callback(self._warehouse.dispose)
        upgrade_schema(self._warehouse)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close everything."""
        del context
        self._open.close()

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
