"""What moved: addresses between networks and countries, networks that came and went, snapshots that are history now."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.movement import MovementReport, last_week, report_movement
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_asn_history, ip_country_changes, session_summaries
from cowrie_pipeline_tests.steps.made_days import NOW, World, connect, load, one, rows, scan, span, write_log

LATER = NOW + timedelta(days=100)
A, B = 4134, 4837


def report(warehouse: Warehouse, first: str, last: str | None = None, **options: Any) -> MovementReport:
    with warehouse.read() as connection:
        return report_movement(connection, span(first, last), **options)


def run(warehouse: Warehouse, world: World, day: str, *, now: datetime) -> None:
    load(warehouse, day, now=now)
    world.enrich(warehouse, day, now=now)
    with warehouse.begin() as connection:
        take_snapshots(connection, span(day), now=now)
        count_sessions(connection, span(day))


@pytest.fixture
def moved(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """One address that moves from A to B between two sessions; another that stays in A and comes once; one of C."""
    first = [
        connect("2026-03-09 10:00", session="a1", src_ip="8.8.8.8"),
        connect("2026-03-09 11:00", session="a2", src_ip="9.9.9.9"),
    ]
    second = [
        connect("2026-06-18 10:00", session="b1", src_ip="8.8.8.8"),
        connect("2026-06-18 11:00", session="b2", src_ip="1.1.1.1"),
    ]
    scan(warehouse, write_log(tmp_path / "first.json", first))
    run(warehouse, World({"8.8.8.8": A, "9.9.9.9": A}.get), "2026-03-09", now=NOW)
    scan(warehouse, write_log(tmp_path / "second.json", second))
    run(warehouse, World({"8.8.8.8": B, "9.9.9.9": A, "1.1.1.1": 64500}.get), "2026-06-18", now=LATER)
    return warehouse


def test_nothing_moves_in_an_empty_database(warehouse: Warehouse) -> None:
    found = report(warehouse, "2026-03-01", "2026-03-31")
    assert [part.total for part in (found.addresses, found.countries, found.appeared, found.vanished)] == [0] * 4
    assert found.differing == {}


def test_an_address_that_moves_has_two_spans_and_each_session_its_own_network(moved: Warehouse) -> None:
    history = rows(moved, ip_asn_history, ip_asn_history.c.ip_address == "8.8.8.8")
    assert [row["asn_number"] for row in history] == [A, B]
    of_address = session_summaries.c.source_ip == "8.8.8.8"
    pictures = {row["session_id"]: row["snapshot_asn"] for row in rows(moved, session_summaries, of_address)}
    assert pictures == {"a1": A, "b1": B}
    networks = {row["asn_number"]: row["unique_ip_count"] for row in rows(moved, asn_inventory)}
    assert networks == {A: 1, B: 1, 64500: 1}
    found = report(moved, LATER.date().isoformat())
    assert found.addresses.total == 1
    row = dict(zip(found.addresses.columns, found.addresses.rows[0], strict=True))
    assert (row["ip_address"], row["old_asn"], row["new_asn"]) == ("8.8.8.8", A, B)
    assert (row["old_organization"], row["new_organization"]) == (f"Network {A}", f"Network {B}")
    assert report(moved, "2026-03-01", "2026-03-31").addresses.total == 0


def test_a_network_seen_again_after_another_is_a_move_too(moved: Warehouse) -> None:
    back = LATER + timedelta(days=5)
    with moved.begin() as connection:
        for asn, at in ((B, back - timedelta(days=1)), (A, back)):
            connection.execute(
                insert(ip_asn_history).values(
                    ip_address="8.8.8.8", asn_number=asn, observed_from=at, last_confirmed=at, source="maxmind"
                )
            )
    found = report(moved, (back - timedelta(days=1)).date().isoformat(), back.date().isoformat())
    assert [(row[1], row[4]) for row in found.addresses.rows] == [(B, A)]  # B after B is none


def test_networks_appear_on_their_first_day_and_vanish_when_they_stay_away(moved: Warehouse) -> None:
    found = report(moved, "2026-06-18")
    assert [row[0] for row in found.appeared.rows] == [B, 64500]
    assert found.vanished.total == 0  # A was last seen longer ago than this span is long
    assert [row[0] for row in report(moved, "2026-03-10").vanished.rows] == [A]
    whole = report(moved, "2026-03-01", "2026-06-30")
    assert (whole.appeared.total, whole.vanished.total) == (3, 0)
    assert len(report(moved, "2026-03-01", "2026-06-30", limit=2).appeared.rows) == 2


def test_countries_that_changed_are_reported(moved: Warehouse) -> None:
    with moved.begin() as connection:
        connection.execute(
            insert(ip_country_changes).values(
                ip_address="8.8.8.8", changed_at=NOW, old_country="FR", old_basis="geolocation", new_country="DE"
            )
        )
    found = report(moved, "2026-03-10").countries
    assert (found.total, found.rows[0][:5]) == (1, ("8.8.8.8", "FR", "geolocation", "DE", None))
    assert report(moved, "2026-03-11").countries.total == 0


def test_the_share_of_snapshots_that_differ_from_now_is_reported(moved: Warehouse) -> None:
    assert report(moved, "2026-03-09").differing == {"network": 0.5, "country": 0.0}
    assert report(moved, "2026-06-18").differing == {"network": 0.0, "country": 0.0}
    assert one(moved, session_summaries, session_summaries.c.session_id == "a1")["snapshot_country"] == "FR"


def test_the_last_week_is_seven_whole_days() -> None:
    assert last_week(NOW) == DayRange(date(2026, 3, 3), date(2026, 3, 9))
