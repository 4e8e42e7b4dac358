"""Stored counts held to recounts: what drifted is named and mended, and nothing that is only on its way."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, text, update

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.reconcile_inventories import SETTLED_AFTER, Drift, DriftReport, find_drift, mend
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    ip_inventory,
    session_summaries,
)
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    command,
    connect,
    load,
    login,
    rows,
    scan,
    span,
    write_log,
)

NEXT_DAY = NOW + timedelta(days=1)
ASNS = {"8.8.8.8": 15169, "8.8.4.4": 15169, "1.1.1.1": 13335}
COUNTED = (ip_inventory, asn_inventory, asn_session_counts, country_session_counts, asn_session_totals)


def attack(at: str, session: str, src_ip: str | None) -> list[Event]:
    of_session: dict[str, Any] = {"session": session, "src_ip": src_ip}
    return [
        connect(f"2026-03-{at}:00", **of_session),
        login(f"2026-03-{at}:01", succeeded=True, **of_session),
        command(f"2026-03-{at}:02", "id", **of_session),
    ]


EVENTS = [
    *attack("01 10:00", "a1", "8.8.8.8"),
    *attack("01 11:00", "a2", "8.8.8.8"),
    *attack("01 12:00", "a3", "8.8.4.4"),
    *attack("01 14:00", "a4", "9.9.9.9"),
    *attack("01 15:00", "a5", "e" * 64),
    *attack("02 10:00", "b1", "1.1.1.1"),
    # crosses midnight
    connect("2026-03-01 23:59", session="c1", src_ip="1.1.1.1"),
    command("2026-03-02 00:01", "id", session="c1", src_ip="1.1.1.1"),
]


@pytest.fixture
def filled(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """All steps run over two days."""
    scan(warehouse, write_log(tmp_path / "cowrie.json", EVENTS))
    days = "2026-03-01", "2026-03-02"
    load(warehouse, *days)
    World(ASNS.get).enrich(warehouse, *days)
    count(warehouse, *days)
    return warehouse


def count(warehouse: Warehouse, first: str, last: str, *, now: datetime = NOW) -> None:
    with warehouse.begin() as connection:
        take_snapshots(connection, span(first, last), now=now)
        count_sessions(connection, span(first, last))


def find(warehouse: Warehouse, *, now: datetime = NEXT_DAY) -> DriftReport:
    with warehouse.begin(lock="facts") as connection:
        return find_drift(connection, now=now)


def reconcile(warehouse: Warehouse, *, now: datetime = NEXT_DAY) -> DriftReport:
    with warehouse.begin(lock="facts") as connection:
        report = find_drift(connection, now=now)
        mend(connection, report)
    return report


def stored(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    return {table.name: rows(warehouse, table) for table in COUNTED}


def spoil(warehouse: Warehouse, table: Table, condition: Any, **values: Any) -> None:
    with warehouse.begin() as connection:
        connection.execute(update(table).where(condition).values(**values))


def test_what_the_steps_have_counted_has_not_drifted(filled: Warehouse) -> None:
    before = stored(filled)
    report = reconcile(filled)
    assert (report.rows, report.total, report.waiting) == ((), 0, ())
    assert report.looked_at == {
        "ip_inventory": 4,
        "asn_inventory": 2,
        "asn_session_counts": 4,
        "country_session_counts": 3,
        "asn_session_totals": 3,
    }
    assert stored(filled) == before


def test_an_empty_database_has_not_drifted(warehouse: Warehouse) -> None:
    report = reconcile(warehouse)
    assert (report.total, report.waiting, set(report.looked_at.values())) == (0, (), {0})


WRONG_TIME = datetime(2020, 1, 1, tzinfo=UTC)
FAULTS = [
    (ip_inventory, ip_inventory.c.ip_address == "8.8.8.8", "8.8.8.8", "session_count", 7, 2),
    (ip_inventory, ip_inventory.c.ip_address == "8.8.8.8", "8.8.8.8", "first_seen", WRONG_TIME, "2026-03-01 10:00:00"),
    (ip_inventory, ip_inventory.c.ip_address == "9.9.9.9", "9.9.9.9", "last_seen", None, "2026-03-01 14:00:02"),
    (asn_inventory, asn_inventory.c.asn_number == 15169, "15169", "unique_ip_count", 1, 2),
    (asn_inventory, asn_inventory.c.asn_number == 15169, "15169", "first_seen", WRONG_TIME, "2026-03-01 10:00:00"),
    (asn_inventory, asn_inventory.c.asn_number == 13335, "13335", "last_seen", WRONG_TIME, "2026-03-02 10:00:02"),
    (asn_inventory, asn_inventory.c.asn_number == 13335, "13335", "total_session_count", 0, 2),
    *(
        (asn_session_counts, asn_session_counts.c.asn_number == 15169, "2026-03-01 15169", name, 99, counted)
        for name, counted in {
            "sessions": 3,
            "unique_ips": 2,
            "logins": 3,
            "successful_logins": 3,
            "commands": 3,
            "downloads": 0,
        }.items()
    ),
    *(
        (country_session_counts, country_session_counts.c.day == date(2026, 3, 2), "2026-03-02 FR", name, 99, counted)
        for name, counted in {
            "sessions": 1,
            "logins": 1,
            "successful_logins": 1,
            "commands": 1,
            "downloads": 0,
        }.items()
    ),
    *(
        (asn_session_totals, asn_session_totals.c.asn_number == 15169, "15169", name, 99, counted)
        for name, counted in {"sessions": 3, "logins": 3, "commands": 3, "downloads": 0, "address_days": 2}.items()
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{each[0].name}.{each[3]}" for each in FAULTS])
def test_a_count_that_drifted_is_named_and_mended(filled: Warehouse, fault: tuple[Any, ...]) -> None:
    table, condition, key, column, wrong, right = fault
    before = stored(filled)
    spoil(filled, table, condition, **{column: wrong})
    if isinstance(right, str):
        right = datetime.fromisoformat(right).replace(tzinfo=UTC)
    report = find(filled)
    assert report.rows == (Drift(table.name, key, column, wrong, right),)
    assert report.counts == {f"{table.name}.{column}": 1}
    assert stored(filled) != before  # finding mends nothing
    assert reconcile(filled).rows == report.rows
    assert stored(filled) == before
    assert find(filled).total == 0


def test_rows_that_are_missing_or_too_many_are_drift_too(filled: Warehouse) -> None:
    before = stored(filled)
    with filled.begin() as connection:
        connection.execute(delete(asn_session_counts).where(asn_session_counts.c.asn_number == 13335))
        connection.execute(insert(asn_session_counts).values(day=date(2025, 12, 24), asn_number=15169, sessions=8))
    report = reconcile(filled)
    assert report.counts["asn_session_counts.sessions"] == 3
    found = {(each.key, each.stored, each.counted) for each in report.rows if each.column == "sessions"}
    assert found == {("2025-12-24 15169", 8, None), ("2026-03-01 13335", None, 1), ("2026-03-02 13335", None, 1)}
    assert stored(filled) == before


def test_few_rows_are_shown_and_all_are_counted_and_mended(filled: Warehouse) -> None:
    with filled.begin() as connection:
        for number in range(50):
            connection.execute(
                insert(ip_inventory).values(ip_address=f"192.0.2.{number}", session_count=5, created_at=NOW)
            )
    report = reconcile(filled)
    assert report.counts == {"ip_inventory.session_count": 50}
    assert len(report.rows) == 20
    assert find(filled).total == 0


def test_drift_of_all_tables_at_once_is_mended_at_once(filled: Warehouse) -> None:
    before = stored(filled)
    with filled.begin() as connection:
        connection.execute(update(ip_inventory).values(session_count=0, first_seen=None, last_seen=None))
        connection.execute(
            update(asn_inventory).values(unique_ip_count=0, first_seen=None, last_seen=None, total_session_count=0)
        )
        connection.execute(delete(asn_session_counts))
    assert reconcile(filled).total == 4 * 3 + 2 * 4 + 4 * 6
    assert stored(filled) == before


def test_days_that_a_run_is_about_to_count_are_left_to_it(filled: Warehouse, tmp_path: Path) -> None:
    scan(filled, write_log(tmp_path / "late.json", attack("02 18:00", "d1", "8.8.8.8")))
    load(filled, "2026-03-02", now=NEXT_DAY)
    # loaded, and neither pictured nor counted yet; the session that crosses midnight belongs to the day before
    report = reconcile(filled, now=NEXT_DAY + timedelta(hours=1))
    assert report.total == 0
    assert {date(2026, 3, 1), date(2026, 3, 2)} <= set(report.waiting)
    later = NEXT_DAY + SETTLED_AFTER + timedelta(minutes=1)
    assert find(filled, now=later).counts["asn_session_counts.sessions"] == 1
    with filled.begin() as connection:
        take_snapshots(connection, span("2026-03-02"), now=later)
    assert find(filled, now=later + timedelta(hours=1)).total == 0  # a picture came, and the counts are on their way
    count(filled, "2026-03-02", "2026-03-02", now=later)
    assert find(filled, now=later + timedelta(days=2)).total == 0


def test_the_first_day_of_a_long_session_waits_with_its_last(warehouse: Warehouse, tmp_path: Path) -> None:
    week = [connect("2026-03-01 10:00"), *(command(f"2026-03-0{day} 09:00", "id") for day in range(2, 9))]
    scan(warehouse, write_log(tmp_path / "cowrie.json", week))
    load(warehouse, "2026-03-01", "2026-03-08")
    count(warehouse, "2026-03-01", "2026-03-08")
    scan(warehouse, write_log(tmp_path / "late.json", [command("2026-03-08 09:30", "more")]))
    load(warehouse, "2026-03-08", now=NEXT_DAY)
    report = find(warehouse, now=NEXT_DAY + timedelta(hours=1))
    assert (report.total, date(2026, 3, 1) in report.waiting) == (0, True)
    assert find(warehouse, now=NEXT_DAY + timedelta(days=2)).counts == {
        f"{name}.commands": 1 for name in ("asn_session_counts", "country_session_counts", "asn_session_totals")
    }


# ---- the definitions, recounted in Python


def test_the_view_gives_a_networks_sessions_when_they_attacked_and_now(filled: Warehouse, tmp_path: Path) -> None:
    scan(filled, write_log(tmp_path / "moved.json", attack("03 10:00", "e1", "8.8.8.8")))
    load(filled, "2026-03-03", now=NEXT_DAY)
    later = NOW + timedelta(days=100)
    World((ASNS | {"8.8.8.8": 13335}).get).enrich(filled, "2026-03-03", now=later)
    count(filled, "2026-03-01", "2026-03-03", now=later)
    sessions = rows(filled, session_summaries)
    network_of = {row["ip_address"]: row["current_asn"] for row in rows(filled, ip_inventory)}
    with filled.read() as connection:
        found = {
            row["asn_number"]: row for row in connection.execute(text("SELECT * FROM network_sessions")).mappings()
        }
    assert set(found) == {15169, 13335}
    for asn, row in found.items():
        at_attack = sum(session["snapshot_asn"] == asn for session in sessions)
        now = sum(network_of.get(session["source_ip"]) == asn for session in sessions)
        addresses = sum(current == asn for current in network_of.values())
        assert (row["sessions_at_attack"], row["sessions_now"], row["unique_ip_count"]) == (at_attack, now, addresses)
    # the address moved: its three sessions count where it is now, and two of them where it was
    assert (found[15169]["sessions_at_attack"], found[15169]["sessions_now"]) == (3, 1)
    assert (found[13335]["sessions_at_attack"], found[13335]["sessions_now"]) == (3, 5)
    assert find(filled, now=later + timedelta(days=2)).total == 0
