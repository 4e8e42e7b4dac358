"""The memory of look-ups in the database and on disk: both written, the database believed.

Belongs here: which of the two is asked when, and how an answer gets from the disk into the database.
Does not belong here: either of them (lookup_cache.py, enrichment/disk_cache.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.outcomes import Outcome
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache

__all__ = ["HybridCache"]


class HybridCache:
    """A `LookupCache` of which the database is the first place, and the disk the second.

    What only the disk has is taken into the database when it is first read, with the age it has.
    """

    def __init__(self, database: WarehouseCache, disk: DiskCache) -> None:
        self._database = database
        self._disk = disk

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the last outcome of each key that has one, due or not."""
        found = self._database.get_many(service, keys)
        missing = [key for key in keys if key not in found or not found[key].status.is_answer]
        on_disk = self._disk.get_many(service, missing)
        self._database.note_disk(hits=len(on_disk), misses=len(missing) - len(on_disk))
        if not on_disk:
            return found
        known = self._database.back_fill(list(on_disk.values()))
        return {**found, **{key: outcome for (_, key), outcome in known.items()}}

    def claim_many(self, service: str, keys: Sequence[str], *, now: datetime) -> set[str]:
        """Return those of `keys` that are due, as far as the database knows, and that nobody is asking about."""
        return self._database.claim_many(service, keys, now=now)

    def release(self, service: str, keys: Sequence[str]) -> None:
        """Give up the caller's claims on `keys`."""
        self._database.release(service, keys)

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes in the database, and then the answers among them on disk."""
        self._database.put_many(outcomes)
        self._disk.put_many(outcomes)

    def flush(self) -> None:
        """Write how often outcomes were read since the last time."""
        self._database.flush()
