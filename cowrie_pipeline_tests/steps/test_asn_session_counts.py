"""Counts by network and day: they add up, and follow sessions that move to another day."""

from collections import Counter
from datetime import date, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_session_counts import CountsReport, count_sessions
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import _config, upgrade_schema
from cowrie_pipeline.warehouse.tables import (
    asn_addresses,
    asn_inventory,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    session_summaries,
)
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    command,
    connect,
    event,
    load,
    login,
    one,
    rows,
    scan,
    span,
    write_log,
)

ASNS = {"8.8.8.8": 15169, "8.8.4.4": 15169, "1.1.1.1": 13335}


def count(warehouse: Warehouse, first: str, last: str | None = None) -> CountsReport:
    with warehouse.begin() as connection:
        return count_sessions(connection, span(first, last))


def materialize(warehouse: Warehouse, first: str, last: str | None = None, *, now: datetime = NOW) -> CountsReport:
    """Run all steps over days."""
    load(warehouse, first, last)
    World(ASNS.get).enrich(warehouse, first, last, now=now)
    with warehouse.begin() as connection:
        take_snapshots(connection, span(first, last), now=now)
    return count(warehouse, first, last)


def assert_counts_are_recounts(warehouse: Warehouse) -> None:
    """Recount in Python, and hold the database to its own checks."""
    recounted: dict[tuple[date, int], Counter[str]] = {}
    addresses: dict[tuple[date, int], set[str]] = {}
    for session in rows(warehouse, session_summaries):
        key = session["first_event_at"].date(), session["snapshot_asn"] or 0
        addresses.setdefault(key, set()).update({session["source_ip"]} - {None})
        recounted.setdefault(key, Counter()).update(
            sessions=1,
            logins=session["login_success_count"] + session["login_failed_count"],
            successful_logins=session["login_success_count"],
            commands=session["command_count"],
            downloads=session["file_download_count"],
        )
    expected: list[dict[str, Any]] = [
        {"day": day, "asn_number": asn, "unique_ips": len(addresses[day, asn]), **counts}
        for (day, asn), counts in sorted(recounted.items())
    ]
    assert rows(warehouse, asn_session_counts) == expected
    totals = Counter[int]()
    for each in expected:
        totals[each["asn_number"]] += each["sessions"]
    for network in rows(warehouse, asn_inventory):
        assert network["total_session_count"] == totals[network["asn_number"]]
    with warehouse.read() as connection:
        for check in all_checks():
            if check.asset == "asn_session_counts":
                assert check.run(connection, span("2026-03-01", "2026-03-09"), Settings(), NOW).passed, check.name


def attack(at: str, session: str, src_ip: str | None) -> list[Event]:
    return [
        connect(f"2026-03-{at}:00", session=session, src_ip=src_ip),
        login(f"2026-03-{at}:01", session=session, src_ip=src_ip),
        login(f"2026-03-{at}:02", session=session, src_ip=src_ip, succeeded=True),
        command(f"2026-03-{at}:03", "id", session=session, src_ip=src_ip),
        event(f"2026-03-{at}:04", "session.file_download", session=session, src_ip=src_ip, url="http://x"),
    ]


EVENTS = [
    *attack("01 10:00", "a1", "8.8.8.8"),
    *attack("01 11:00", "a2", "8.8.8.8"),
    *attack("01 12:00", "a3", "8.8.4.4"),
    *attack("01 13:00", "a4", "1.1.1.1"),
    *attack("01 14:00", "a5", "9.9.9.9"),
    *attack("01 15:00", "a6", "e" * 64),
    *attack("02 10:00", "b1", "1.1.1.1"),
]


def test_the_days_add_up_and_network_0_holds_what_is_of_no_network(warehouse: Warehouse, tmp_path: Path) -> None:
    scan(warehouse, write_log(tmp_path / "cowrie.json", EVENTS))
    report = materialize(warehouse, "2026-03-01", "2026-03-02")
    assert report == CountsReport(
        rows={date(2026, 3, 1): 3, date(2026, 3, 2): 1},
        networks={date(2026, 3, 1): 2, date(2026, 3, 2): 1},
        sessions={date(2026, 3, 1): 6, date(2026, 3, 2): 1},
    )
    google = one(warehouse, asn_session_counts, asn_session_counts.c.asn_number == 15169)
    assert google == {
        "day": date(2026, 3, 1),
        "asn_number": 15169,
        "sessions": 3,
        "unique_ips": 2,
        "logins": 6,
        "successful_logins": 3,
        "commands": 3,
        "downloads": 3,
    }
    nobody = one(warehouse, asn_session_counts, asn_session_counts.c.asn_number == 0)
    assert (nobody["sessions"], nobody["unique_ips"]) == (2, 1)
    assert {row["asn_number"]: row["total_session_count"] for row in rows(warehouse, asn_inventory)} == {
        15169: 3,
        13335: 2,
    }
    assert_counts_are_recounts(warehouse)


def test_a_day_without_sessions_has_no_counts(warehouse: Warehouse) -> None:
    assert count(warehouse, "2026-03-01", "2026-03-03") == CountsReport()
    assert rows(warehouse, asn_session_counts) == []


def test_counting_again_changes_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    scan(warehouse, write_log(tmp_path / "cowrie.json", EVENTS))
    materialize(warehouse, "2026-03-01", "2026-03-02")
    before = rows(warehouse, asn_session_counts), rows(warehouse, asn_inventory)
    count(warehouse, "2026-03-02")
    count(warehouse, "2026-03-01", "2026-03-02")
    assert (rows(warehouse, asn_session_counts), rows(warehouse, asn_inventory)) == before


def test_counts_follow_a_network_that_is_known_only_later(warehouse: Warehouse, tmp_path: Path) -> None:
    scan(warehouse, write_log(tmp_path / "cowrie.json", EVENTS))
    load(warehouse, "2026-03-01", "2026-03-02")
    count(warehouse, "2026-03-01", "2026-03-02")
    assert {row["asn_number"] for row in rows(warehouse, asn_session_counts)} == {0}
    materialize(warehouse, "2026-03-01", "2026-03-02")
    assert_counts_are_recounts(warehouse)


CROSSING = {
    "2026-03-01": [connect("2026-03-01 23:50", src_ip="8.8.8.8"), login("2026-03-01 23:51", src_ip="8.8.8.8")],
    "2026-03-02": [command("2026-03-02 09:00", "one", src_ip="8.8.8.8"), *attack("02 10:00", "b1", "1.1.1.1")],
    "2026-03-03": [command("2026-03-03 08:00", "two", src_ip="8.8.8.8")],
}


@pytest.mark.parametrize("order", list(permutations(CROSSING)))
def test_a_session_that_moves_to_another_day_is_counted_there_and_no_more_here(
    warehouse: Warehouse, tmp_path: Path, order: Any
) -> None:
    for day in order:
        scan(warehouse, write_log(tmp_path / f"{day}.json", CROSSING[day]))
        materialize(warehouse, day)
        assert_counts_are_recounts(warehouse)
    assert one(warehouse, asn_session_counts, asn_session_counts.c.asn_number == 15169)["commands"] == 2


def test_a_session_that_loses_a_day_to_a_late_connection_is_counted_again(warehouse: Warehouse, tmp_path: Path) -> None:
    scan(warehouse, *(write_log(tmp_path / f"{day}.json", events) for day, events in CROSSING.items()))
    materialize(warehouse, "2026-03-01", "2026-03-03")
    scan(warehouse, write_log(tmp_path / "late.json", [connect("2026-03-03 07:00", src_ip="8.8.8.8")]))
    materialize(warehouse, "2026-03-03")
    google = rows(warehouse, asn_session_counts, asn_session_counts.c.asn_number == 15169)
    assert [(row["day"].day, row["commands"]) for row in google] == [(1, 1), (3, 1)]
    assert_counts_are_recounts(warehouse)


def test_an_upgrade_fills_the_tables_of_counts_as_counting_does(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [*attack("01 10:00", "a" * 12, "8.8.8.8"), *attack("02 10:00", "b" * 12, "1.1.1.1")]
    events += [*attack("22 10:00", "c" * 12, "8.8.8.8"), *attack("22 11:00", "d" * 12, "8.8.4.4")]
    scan(warehouse, write_log(tmp_path / "cowrie.json", [*events, *attack("01 12:00", "e" * 12, None)]))
    for day in ("2026-03-01", "2026-03-02", "2026-03-22"):
        materialize(warehouse, day)
    tables = (country_session_counts, asn_session_totals, asn_addresses)
    counted = [rows(warehouse, table) for table in tables]
    assert all(counted)
    with warehouse.begin() as connection:
        alembic.downgrade(_config(connection), "0005")
    upgrade_schema(warehouse)
    assert [rows(warehouse, table) for table in tables] == counted
