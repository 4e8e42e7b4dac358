"""The memory of look-ups as the settings want it: in the database, or there and on disk.

Belongs here: which of the two it is. Does not belong here: how they work (warehouse/, enrichment/disk_cache.py).
"""

from datetime import datetime
from typing import Protocol

from cowrie_pipeline.enrichment.build import Enrichment, converters
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.outcomes import LookupCache
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.hybrid_cache import HybridCache
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache

__all__ = ["Ledger", "open_disk_cache", "open_ledger"]


class Ledger(LookupCache, Protocol):
    """A cache that counts its reads in memory until it is told to write them down."""

    def flush(self) -> None:
        """Write how often outcomes were read since the last time."""
        ...


def open_ledger(warehouse: Warehouse, settings: Settings, enrichment: Enrichment, *, now: datetime) -> Ledger:
    """Return the ledger; its statistics are those of the day of `now`."""
    database = WarehouseCache(warehouse, day=now.date())
    return HybridCache(database, open_disk_cache(settings, enrichment)) if settings.cache_mode == "hybrid" else database


def open_disk_cache(settings: Settings, enrichment: Enrichment) -> DiskCache:
    """Return the files of earlier installations, and of the hybrid mode."""
    return DiskCache(
        settings.cache_folder,
        converters=converters(enrichment),
        terms={state.source.name: state.source.terms for state in enrichment.sources},
    )
