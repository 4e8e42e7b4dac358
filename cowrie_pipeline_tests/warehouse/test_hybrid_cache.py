"""The memory in the database and on disk: which is read when, and what each holds afterwards."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.observability.instruments import CACHE_REQUESTS
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.hybrid_cache import HybridCache
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.metric_store import read_counts
from cowrie_pipeline_tests.enrichment.test_disk_cache import CONVERTERS, NOW, TERMS, outcome, write_raw


@pytest.fixture
def database(warehouse: Warehouse) -> WarehouseCache:
    return WarehouseCache(warehouse, day=date(2026, 3, 10))


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", converters=CONVERTERS, terms=TERMS)


@pytest.fixture
def hybrid(database: WarehouseCache, disk: DiskCache) -> HybridCache:
    return HybridCache(database, disk)


def test_an_answer_is_written_to_both(hybrid: HybridCache, database: WarehouseCache, disk: DiskCache) -> None:
    hybrid.put_many([outcome()])
    for cache in (hybrid, database, disk):
        assert cache.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}


def test_what_only_the_disk_has_comes_into_the_database_with_its_age(
    hybrid: HybridCache, database: WarehouseCache, disk: DiskCache
) -> None:
    old = outcome(fetched_at=NOW - timedelta(days=30), expires_at=NOW - timedelta(days=23))
    disk.put_many([old])
    raw = write_raw(disk, "dshield", "1.1.1.1", {"facts": {"count": 1}}, NOW - timedelta(days=2))
    found = hybrid.get_many("dshield", ["8.8.8.8", "1.1.1.1", "9.9.9.9"])
    assert found.keys() == {"8.8.8.8", "1.1.1.1"}
    assert found["8.8.8.8"] == old
    raw.unlink()
    disk.path_of("dshield", "8.8.8.8").unlink()
    assert database.get_many("dshield", ["8.8.8.8", "1.1.1.1", "9.9.9.9"]) == found
    assert hybrid.claim_many("dshield", ["8.8.8.8", "1.1.1.1", "9.9.9.9"], now=NOW) == {"8.8.8.8", "9.9.9.9"}


def test_what_each_place_had_is_counted(hybrid: HybridCache, disk: DiskCache, warehouse: Warehouse) -> None:
    disk.put_many([outcome()])
    hybrid.get_many("dshield", ["8.8.8.8", "1.1.1.1", "9.9.9.9"])
    hybrid.get_many("dshield", ["8.8.8.8"])
    hybrid.flush()
    with warehouse.read() as connection:
        counted = {labels: each.number for labels, each in read_counts(connection)[CACHE_REQUESTS].items()}
    assert counted == {
        ("database", "hit"): 1,
        ("database", "miss"): 3,
        ("disk", "hit"): 1,
        ("disk", "miss"): 2,
    }


def test_the_database_is_believed(hybrid: HybridCache, database: WarehouseCache, disk: DiskCache) -> None:
    disk.put_many([outcome(fetched_at=NOW + timedelta(days=1))])
    database.put_many([outcome()])
    assert hybrid.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}


def test_a_failure_in_the_database_does_not_hide_an_answer_on_disk(
    hybrid: HybridCache, database: WarehouseCache, disk: DiskCache
) -> None:
    disk.put_many([outcome()])
    failed_at = NOW + timedelta(days=8)
    database.put_many([outcome(Status.ERROR, payload={}, fetched_at=failed_at, expires_at=None, error="timeout")])
    found = hybrid.get_many("dshield", ["8.8.8.8"])["8.8.8.8"]
    assert (found.status, found.payload, found.fetched_at) == (Status.HIT, {"count": 3}, NOW)
    assert not found.is_due(failed_at)
    assert database.get_many("dshield", ["8.8.8.8"])["8.8.8.8"] == found


def test_a_failure_reaches_the_database_and_leaves_the_file(
    hybrid: HybridCache, database: WarehouseCache, disk: DiskCache
) -> None:
    hybrid.put_many([outcome()])
    hybrid.put_many([outcome(Status.ERROR, payload={}, expires_at=None)])
    assert database.get_many("dshield", ["8.8.8.8"])["8.8.8.8"].retry_at is not None
    assert disk.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}


def test_a_claim_is_one_of_the_database(hybrid: HybridCache, database: WarehouseCache) -> None:
    assert hybrid.claim_many("dshield", ["8.8.8.8"], now=NOW) == {"8.8.8.8"}
    assert database.claim_many("dshield", ["8.8.8.8"], now=NOW) == set()
    hybrid.release("dshield", ["8.8.8.8"])
    assert database.claim_many("dshield", ["8.8.8.8"], now=NOW) == {"8.8.8.8"}


def test_a_disk_that_cannot_be_written_loses_nothing(database: WarehouseCache, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    disk = DiskCache(tmp_path / "file")
    hybrid = HybridCache(database, disk)
    hybrid.put_many([outcome()])
    assert hybrid.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}
    assert disk.findings(NOW) != []
