"""From disk into the database and back: nothing is lost, all keeps its age, and the disk stays as it was."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.migrate_cache import SkippedFile, migrate_to_database, roll_back
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline_tests.enrichment.test_disk_cache import (
    CONVERTERS,
    FILE_HASH,
    NOW,
    TERMS,
    outcome,
    write_raw,
)

LATER = NOW + timedelta(days=30)
OURS = [
    outcome(),
    outcome(Status.NOT_FOUND, "virustotal", FILE_HASH, payload={}),
    outcome(service="cymru", key="AS15169", payload={"name": "Zürich \U0001f600"}, response_code=0, latency_ms=1.5),
]


@pytest.fixture
def database(warehouse: Warehouse) -> WarehouseCache:
    return WarehouseCache(warehouse, day=date(2026, 3, 10))


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    """Six answers, of which two are raw, and two files that give none."""
    disk = DiskCache(tmp_path / "cache", converters=CONVERTERS, terms=TERMS)
    disk.put_many(OURS)
    write_raw(disk, "dshield", "1.1.1.1", {"facts": {"count": 9}}, NOW - timedelta(days=3))
    write_raw(disk, "greynoise", "9.9.9.9", {"facts": {"noise": True}})
    write_raw(disk, "greynoise", "8.8.4.4", {"ip": "8.8.4.4", "facts": {}})
    write_raw(disk, "dshield", "2.2.2.2", '{"facts": {"cou')
    write_raw(disk, "spur", "3.3.3.3", {"ip": "3.3.3.3"})
    return disk


KNOWN = ["9.9.9.9", "5.5.5.5"]


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_answer_comes_in_with_its_age_and_every_other_file_is_accounted_for(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache
) -> None:
    before = state_of(disk.folder)
    heard: list[tuple[int, int]] = []
    report = migrate_to_database(
        warehouse, disk, now=LATER, known_keys=KNOWN, on_progress=lambda done, total: heard.append((done, total))
    )
    assert (report.files, report.written, report.already_there, report.newer_in_database) == (8, 6, 0, 0)
    assert report.is_valid
    assert report.skipped == {
        "not JSON, or cut": 1,
        "a raw answer, and nothing here can read those of this service": 1,
    }
    assert SkippedFile("dshield/2.2.2.2.json", "not JSON, or cut") in report.examples
    assert heard == [(8, 8)]
    for each in OURS:
        assert database.get_many(each.service, [each.key]) == {each.key: each}
    raw = database.get_many("dshield", ["1.1.1.1"])["1.1.1.1"]
    assert raw.payload == {"count": 9}
    assert abs(raw.fetched_at - (NOW - timedelta(days=3))) < timedelta(milliseconds=1)
    assert database.get_many("greynoise", ["9.9.9.9", "8.8.4.4"]).keys() == {"9.9.9.9", "8.8.4.4"}
    assert state_of(disk.folder) == before


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache
) -> None:
    report = migrate_to_database(warehouse, disk, now=LATER, dry_run=True)
    assert (report.dry_run, report.files, report.written) == (True, 8, 5)
    assert report.skipped["its name is the hash of a key that is neither in it nor known"] == 1
    assert database.get_many("dshield", ["8.8.8.8", "1.1.1.1"]) == {}


def test_a_migration_that_was_killed_is_begun_again_and_skips_what_is_there(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.steps.migrate_cache._AT_ONCE", 3)

    def kill(done: int, total: int) -> None:
        del total
        if done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN, on_progress=kill)
    again = migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    assert again.already_there > 0
    assert again.already_there + again.written == 6
    third = migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    assert (third.already_there, third.written) == (6, 0)
    for each in OURS:
        assert database.get_many(each.service, [each.key]) == {each.key: each}


def test_an_answer_of_the_database_that_is_newer_stays(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache
) -> None:
    newer = outcome(Status.NOT_FOUND, payload={}, fetched_at=NOW + timedelta(days=1))
    database.put_many([newer])
    report = migrate_to_database(warehouse, disk, now=LATER)
    assert report.newer_in_database == 1
    assert database.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": newer}


def test_a_row_that_is_not_what_was_written_is_reported(
    warehouse: Warehouse, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is lost on its way cannot be caused, so that it is left out."""
    monkeypatch.setattr(WarehouseCache, "back_fill", lambda *_args: {})
    report = migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    assert not report.is_valid
    assert len(report.mismatched) == 6
    assert "dshield 8.8.8.8" in report.mismatched


def test_after_migration_and_way_back_the_disk_is_as_it_was(warehouse: Warehouse, disk: DiskCache) -> None:
    before = state_of(disk.folder)
    migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    report = roll_back(warehouse, disk, now=LATER)
    assert (report.answers, report.written, report.unchanged, report.failed) == (6, 0, 6, 0)
    assert state_of(disk.folder) == before


def test_the_way_back_gives_every_answer_to_a_disk_that_lost_them(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.steps.migrate_cache._AT_ONCE", 2)
    migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    shutil.rmtree(disk.folder)
    would = roll_back(warehouse, disk, now=LATER, dry_run=True)
    assert (would.written, disk.folder.exists()) == (6, False)
    heard: list[tuple[int, int]] = []
    report = roll_back(warehouse, disk, now=LATER, on_progress=lambda done, total: heard.append((done, total)))
    assert (report.answers, report.written, report.unchanged, report.failed) == (6, 6, 0, 0)
    assert heard[-1] == (6, 6)
    for service, key in (
        ("dshield", "1.1.1.1"),
        ("greynoise", "9.9.9.9"),
        *((each.service, each.key) for each in OURS),
    ):
        assert disk.get_many(service, [key]) == database.get_many(service, [key])
    assert all(disk.read_file(path).outcome for path in disk.paths())


def test_the_way_back_brings_what_was_learned_since(
    warehouse: Warehouse, database: WarehouseCache, disk: DiskCache
) -> None:
    migrate_to_database(warehouse, disk, now=LATER, known_keys=KNOWN)
    before = state_of(disk.folder)
    newer = outcome(fetched_at=LATER, expires_at=LATER + timedelta(days=7))
    failed = outcome(Status.ERROR, key="7.7.7.7", payload={}, expires_at=None)
    database.put_many([newer, failed])
    report = roll_back(warehouse, disk, now=LATER)
    assert (report.answers, report.written, report.unchanged) == (6, 1, 5)
    assert disk.get_many("dshield", ["8.8.8.8", "7.7.7.7"]) == {"8.8.8.8": newer}
    changed = {name for name, state in state_of(disk.folder).items() if state != before.get(name)}
    assert changed == {"dshield/8.8.8.8.json"}


def test_a_disk_that_cannot_be_written_is_said_to_have_failed(
    warehouse: Warehouse, database: WarehouseCache, tmp_path: Path
) -> None:
    database.put_many(OURS)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    report = roll_back(warehouse, DiskCache(tmp_path / "file"), now=LATER)
    assert (report.written, report.failed) == (0, 3)
