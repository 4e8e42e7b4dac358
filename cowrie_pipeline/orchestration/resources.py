"""The resource that every asset and check uses: the warehouse and the cascade, opened for a run and closed after it."""

from contextlib import ExitStack
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from cowrie_pipeline.enrichment.build import build_cascade
from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.settings import Settings
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
    _cascade: Cascade | None = PrivateAttr(default=None)
    _open: ExitStack = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Read the settings, open the database and bring its schema up to date."""
        del context
        self._settings = Settings.from_environment()
        self._open = ExitStack()
        self._cascade = None
        self._warehouse = Warehouse(self._settings.database_url)
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
    def cascade(self) -> Cascade:
        """The cascade of sources, opened when first asked for."""
        if self._cascade is None:
            self._cascade = self._open.enter_context(build_cascade(self._settings, _circuits))
        return self._cascade
