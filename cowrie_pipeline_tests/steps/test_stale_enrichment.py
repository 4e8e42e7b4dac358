"""Addresses whose facts have expired: which are looked up again, in what order, and that none waits for ever."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cowrie_pipeline.enrichment.cascade import Cascade, Stage
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.inventories import InventoryReport
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.steps.stale_enrichment import (
    count_stale,
    refresh_stale,
    refresh_stale_files,
    refresh_stale_passwords,
    stale_addresses,
)
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import asn_inventory, file_reputation, ip_inventory, password_exposure
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    command,
    connect,
    download,
    enrichment_of,
    load_events,
    login,
    one,
    rows,
    span,
)

POLICY = (Stage("maxmind", frozenset({"asn"})),)


def address(number: int) -> str:
    return f"12.0.0.{number + 1}"


def attacks(count: int, at: str = "2026-03-01 10:00") -> list[Event]:
    return [connect(at, session=f"{number:012x}", src_ip=address(number)) for number in range(count)]


def set_times(warehouse: Warehouse, number: int, *, due: datetime | None, seen: datetime | None = None) -> None:
    values = {"enrichment_due_at": due} | ({"last_seen": seen} if seen else {})
    with warehouse.begin() as connection:
        connection.execute(update(ip_inventory).where(ip_inventory.c.ip_address == address(number)).values(values))


def refresh(warehouse: Warehouse, source: RecordingSource, at_most: int, *, now: datetime = NOW) -> InventoryReport:
    with Cascade([source], policy=POLICY) as cascade:
        ledger = WarehouseCache(warehouse, day=now.date())
        return refresh_stale(warehouse, cascade, ledger=ledger, now=now, at_most=at_most)


def maxmind(**options: timedelta) -> RecordingSource:
    return RecordingSource("maxmind", lambda _: {"asn": 64_496}, cached=False, **options)  # type: ignore[arg-type]


def test_only_what_is_due_is_looked_up_by_the_same_cascade_and_written(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(3))
    World({address(n): 13335 for n in range(3)}.get).enrich(warehouse, "2026-03-01")
    later = NOW + timedelta(days=8)
    for number in (0, 2):
        set_times(warehouse, number, due=later + timedelta(seconds=1))
    source = maxmind()
    report = refresh(warehouse, source, 10, now=later)
    assert source.calls == [(address(1),)]
    assert (report.addresses_due, report.outcomes, report.days) == (1, {"maxmind": {"hit": 1}}, {})
    row = one(warehouse, ip_inventory, ip_inventory.c.ip_address == address(1))
    assert (row["current_asn"], row["enrichment_due_at"]) == (64_496, later + timedelta(days=7))
    with warehouse.read() as connection:
        counts = dict(connection.execute(select(asn_inventory.c.asn_number, asn_inventory.c.unique_ip_count)).all())
        assert counts == {13335: 2, 64_496: 1}
        assert count_stale(connection, now=later) == 0


def test_half_are_the_longest_due_and_half_were_seen_last_by_worth(warehouse: Warehouse, tmp_path: Path) -> None:
    events = attacks(8)
    events += [command("2026-03-01 10:01", "id", session=f"{6:012x}", src_ip=address(6))]
    events += [login("2026-03-01 10:01", session=f"{5:012x}", src_ip=address(5))]
    load_events(warehouse, tmp_path, events)
    for number in range(8):
        seen = datetime(2026, 3, 1 + number, tzinfo=UTC)
        set_times(warehouse, number, due=NOW - timedelta(days=8 - number), seen=seen)
    set_times(warehouse, 7, due=NOW + timedelta(days=1))
    with warehouse.read() as connection:
        chosen = stale_addresses(connection, at_most=5, now=NOW)
    assert list(chosen.items()) == [(address(0), 0), (address(1), 0), (address(2), 0), (address(6), 2), (address(5), 1)]


def test_an_address_that_was_never_looked_up_is_due(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(2))
    assert refresh(warehouse, maxmind(), 10).addresses_due == 2
    assert refresh(warehouse, maxmind(), 10).addresses_due == 0


@pytest.mark.parametrize("at_most", [1, 4, 7])
def test_every_due_address_is_reached_however_many_attack_meanwhile(
    warehouse: Warehouse, tmp_path: Path, at_most: int
) -> None:
    waiting, restless = range(12), range(12, 40)
    load_events(warehouse, tmp_path, attacks(40))
    for number in range(40):
        set_times(warehouse, number, due=NOW - timedelta(days=1, seconds=number))
    # What is looked up is due again by the next refresh, so that there is always more to do than can be done.
    source = maxmind(expires_after=timedelta(minutes=30))
    reached: set[str] = set()
    ahead = 40
    rounds = ahead // ((at_most + 1) // 2) + 1
    for hour in range(rounds):
        now = NOW + timedelta(hours=hour)
        for number in restless:
            with warehouse.begin() as connection:
                connection.execute(
                    update(ip_inventory).where(ip_inventory.c.ip_address == address(number)).values(last_seen=now)
                )
        assert refresh(warehouse, source, at_most, now=now).addresses_due == at_most
        reached |= set(source.calls[-1])
    assert reached >= {address(number) for number in waiting}


def test_a_failure_does_not_keep_an_address_at_the_head_of_the_queue(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(4))
    for number in range(4):
        set_times(warehouse, number, due=NOW - timedelta(days=9 - number))
    source = RecordingSource("maxmind", lambda _: Status.ERROR, cached=False)
    reached: list[str] = []
    for minute in range(4):
        refresh(warehouse, source, 1, now=NOW + timedelta(minutes=minute))
        reached += source.calls[-1]
    assert reached == [address(number) for number in range(4)]


def test_nothing_at_a_time_is_refused(warehouse: Warehouse) -> None:
    with warehouse.read() as connection, pytest.raises(ValueError, match="at least 1"):
        stale_addresses(connection, at_most=0, now=NOW)


def test_files_that_a_budget_did_not_reach_are_asked_about_by_a_refresh(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [download("2026-03-01 10:00", letter * 64) for letter in "abc"])
    skipping = RecordingSource("virustotal", lambda _: Status.SKIPPED_BUDGET)
    ledger = WarehouseCache(warehouse, day=NOW.date())
    look_up_files(warehouse, enrichment_of(skipping), span("2026-03-01"), ledger=ledger, now=NOW)
    assert {row["status"] for row in rows(warehouse, file_reputation)} == {"skipped_budget"}

    later = NOW + timedelta(hours=1)
    scanners = RecordingSource("virustotal", lambda _: {"malicious": 40})
    report = refresh_stale_files(warehouse, enrichment_of(scanners), ledger=ledger, now=later, at_most=2)
    assert (report.due, scanners.calls) == (2, [("a" * 64, "b" * 64)])
    refresh_stale_files(warehouse, enrichment_of(scanners), ledger=ledger, now=later, at_most=2)
    assert [row["malicious"] for row in rows(warehouse, file_reputation)] == [40, 40, 40]
    # nothing is due now
    assert refresh_stale_files(warehouse, enrichment_of(scanners), ledger=ledger, now=later).due == 0


def test_passwords_that_a_budget_did_not_reach_are_asked_about_by_a_refresh(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, [login("2026-03-01 10:00", password=each) for each in ("one", "two")])
    skipping = RecordingSource("pwned_passwords", lambda _: Status.SKIPPED_BUDGET)
    ledger = WarehouseCache(warehouse, day=NOW.date())
    look_up_passwords(warehouse, enrichment_of(skipping), span("2026-03-01"), ledger=ledger, now=NOW)
    leaks = RecordingSource("pwned_passwords", lambda _: {"counts": {"F" * 11: 3}})
    later = NOW + timedelta(hours=1)
    report = refresh_stale_passwords(warehouse, enrichment_of(leaks), ledger=ledger, now=later)
    assert report.outcomes == {"hit": 2}
    assert [row["status"] for row in rows(warehouse, password_exposure)] == ["not_found", "not_found"]
