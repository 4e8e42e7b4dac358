"""Snapshots: when one is taken, what it is worth, and that it never changes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.session_snapshots import OBSERVED_WITHIN, SnapshotReport, take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    enrichment_documents,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)
from cowrie_pipeline_tests.steps.made_days import (
    ADDRESS,
    World,
    connect,
    load_events,
    one,
    rows,
    span,
)

SESSION_AT = datetime(2026, 3, 5, 10, 0, 0, 123457, UTC)
OTHER = "198.51.100.9"
HOURS, DAYS, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def take(warehouse: Warehouse, *, now: datetime, first: str = "2026-03-05", last: str | None = None) -> SnapshotReport:
    with warehouse.begin() as connection:
        return take_snapshots(connection, span(first, last), now=now)


@pytest.fixture
def attacked(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """One session, and two networks that its address can be in."""
    load_events(warehouse, tmp_path, [connect(f"{SESSION_AT:%Y-%m-%d %H:%M:%S.%f}")])
    with warehouse.begin() as connection:
        times = {"created_at": SESSION_AT, "updated_at": SESSION_AT}
        connection.execute(insert(asn_inventory), [{"asn_number": asn, **times} for asn in (4134, 4837)])
    return warehouse


def know(warehouse: Warehouse, **values: Any) -> None:
    """Write what is known of the address."""
    defaults = {
        "current_asn": 4134,
        "asn_last_verified": values.get("enrichment_updated_at"),
        "geo_country": "CN",
        "ip_type": "DATACENTER",
        "enrichment": {"maxmind": {"status": "hit"}},
        "enrichment_digest": "digest of it",
        "enrichment_state": "complete",
        "enrichment_due_at": values.get("enrichment_updated_at"),
    }
    with warehouse.begin() as connection:
        connection.execute(update(ip_inventory).where(ip_inventory.c.ip_address == ADDRESS).values(defaults | values))


def snapshot(warehouse: Warehouse, *conditions: Any) -> dict[str, Any]:
    row = one(warehouse, session_summaries, *conditions)
    return {name.removeprefix("snapshot_"): value for name, value in row.items() if name.startswith("snapshot_")}


@dataclass(frozen=True)
class Case:
    """When the network was looked up, from the session on; spans of its history; and what the snapshot is then."""

    says: str
    looked_up: timedelta
    basis: str
    asn: int | None = 4134
    country: str | None = "CN"
    due: timedelta | None = None
    gone_through: timedelta | None = None
    state: str = "complete"
    spans: tuple[tuple[int, timedelta, timedelta], ...] = ()
    current_asn: int | None = 4134


CASES = [
    Case("looked up when it attacked", 0 * HOURS, "observed"),
    Case("looked up 48 hours later", OBSERVED_WITHIN, "observed"),
    Case("looked up 48 hours before", -OBSERVED_WITHIN, "observed"),
    Case("looked up a moment later than that", OBSERVED_WITHIN + TICK, "late"),
    Case("looked up a moment before that", -OBSERVED_WITHIN - TICK, "late"),
    Case("looked up before, and the answer still held", -30 * DAYS, "historical", due=60 * DAYS),
    Case("looked up before, and the answer held just until then", -30 * DAYS, "historical", due=0 * DAYS),
    Case("looked up before, and the answer held no more", -30 * DAYS, "late", due=-TICK),
    Case("looked up afterwards, whatever holds now", 30 * DAYS, "late", due=60 * DAYS),
    Case(
        "an old answer could not be renewed since",
        -100 * DAYS,
        "late",
        due=1 * HOURS,
        gone_through=0 * HOURS,
        state="partial",
    ),
    Case(
        "an answer that holds is old, whenever it was read again",
        -30 * DAYS,
        "historical",
        due=1 * DAYS,
        gone_through=0 * HOURS,
    ),
    Case(
        "a span of the past covers it: of a former network only the number is known",
        30 * DAYS,
        "historical",
        asn=4837,
        country=None,
        spans=((4837, -10 * DAYS, 10 * DAYS), (4134, 11 * DAYS, 30 * DAYS)),
    ),
    Case("a span to the moment covers it", 30 * DAYS, "historical", spans=((4134, 0 * DAYS, 0 * DAYS),)),
    Case("a span that covers it names the network of today", 30 * DAYS, "historical", spans=((4134, -DAYS, DAYS),)),
    Case("a span that ended before does not cover it", 30 * DAYS, "late", spans=((4837, -10 * DAYS, -TICK),)),
    Case("a span that began later does not cover it", 30 * DAYS, "late", spans=((4134, TICK, 30 * DAYS),)),
    Case(
        "a span covers it, and today no network is known",
        30 * DAYS,
        "historical",
        country=None,
        spans=((4134, -DAYS, DAYS),),
        current_asn=None,
    ),
    Case("no network was found", 1 * HOURS, "observed", asn=None, current_asn=None),
    Case("no network was found, long afterwards", 30 * DAYS, "late", asn=None, current_asn=None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_snapshot_says_what_it_is_worth(attacked: Warehouse, case: Case) -> None:
    looked_up = SESSION_AT + case.looked_up
    know(
        attacked,
        current_asn=case.current_asn,
        asn_last_verified=looked_up if case.current_asn else None,
        enrichment_updated_at=SESSION_AT + (case.looked_up if case.gone_through is None else case.gone_through),
        enrichment_due_at=looked_up if case.due is None else SESSION_AT + case.due,
        enrichment_state=case.state,
    )
    with attacked.begin() as connection:
        for asn, first, last in case.spans:
            connection.execute(
                insert(ip_asn_history).values(
                    ip_address=ADDRESS,
                    asn_number=asn,
                    observed_from=SESSION_AT + first,
                    last_confirmed=SESSION_AT + last,
                    source="cymru",
                )
            )
    now = SESSION_AT + 200 * DAYS
    assert take(attacked, now=now) == SnapshotReport(taken={case.basis: 1})
    taken = snapshot(attacked)
    assert (taken["basis"], taken["asn"], taken["country"], taken["at"]) == (case.basis, case.asn, case.country, now)
    whole = case.country is not None
    assert (taken["document"] is not None, taken["ip_type"] is not None) == (whole, whole)


def test_a_snapshot_equals_the_inventory_of_its_time(attacked: Warehouse) -> None:
    know(attacked, enrichment_updated_at=SESSION_AT)
    take(attacked, now=SESSION_AT)
    taken = snapshot(attacked)
    seal = f"4134|CN|DATACENTER|observed|{SESSION_AT:%Y-%m-%d %H:%M:%S.%f}|digest of it"
    assert taken == {
        "asn": 4134,
        "country": "CN",
        "ip_type": "DATACENTER",
        "basis": "observed",
        "at": SESSION_AT,
        "document": "digest of it",
        "seal": seal,
    }
    assert rows(attacked, enrichment_documents) == [
        {"digest": "digest of it", "document": {"maxmind": {"status": "hit"}}}
    ]


@pytest.mark.parametrize("state", [None, "unknown"])
def test_a_session_waits_while_nothing_is_known(attacked: Warehouse, state: str | None) -> None:
    know(attacked, enrichment_state=state, enrichment_updated_at=SESSION_AT)
    assert take(attacked, now=SESSION_AT + 300 * DAYS) == SnapshotReport(waiting=1)
    assert set(snapshot(attacked).values()) == {None}
    assert rows(attacked, enrichment_documents) == []


def test_a_session_waits_48_hours_for_sources_that_failed(attacked: Warehouse) -> None:
    know(attacked, enrichment_state="partial", enrichment_updated_at=SESSION_AT)
    assert take(attacked, now=SESSION_AT + OBSERVED_WITHIN) == SnapshotReport(waiting=1)
    assert rows(attacked, enrichment_documents) == []
    assert take(attacked, now=SESSION_AT + OBSERVED_WITHIN + TICK) == SnapshotReport(taken={"observed": 1})


def test_a_session_without_an_address_has_no_snapshot_and_is_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [connect("2026-03-05 10:00", src_ip="f" * 64)])
    assert take(warehouse, now=SESSION_AT) == SnapshotReport(without_address=1)
    assert set(snapshot(warehouse).values()) == {None}


def test_a_snapshot_is_never_touched_again(attacked: Warehouse) -> None:
    know(attacked, enrichment_updated_at=SESSION_AT)
    take(attacked, now=SESSION_AT + HOURS)
    before = snapshot(attacked)
    know(attacked, enrichment_updated_at=SESSION_AT + HOURS, current_asn=4837, geo_country="FR", enrichment_digest="x")
    assert take(attacked, now=SESSION_AT + 2 * HOURS) == SnapshotReport()
    assert snapshot(attacked) == before
    assert [row["digest"] for row in rows(attacked, enrichment_documents)] == ["digest of it"]


def test_only_sessions_that_began_on_the_days_asked_for_get_one(warehouse: Warehouse, tmp_path: Path) -> None:
    begins = ["2026-03-04 23:59:59.999999", "2026-03-05 00:00", "2026-03-05 23:59:59.999999", "2026-03-06 00:00"]
    load_events(warehouse, tmp_path, [connect(at, session=f"{n:012x}") for n, at in enumerate(begins)])
    know(warehouse, enrichment_updated_at=SESSION_AT, current_asn=None)
    assert take(warehouse, now=SESSION_AT).taken == {"observed": 2}
    with warehouse.read() as connection:
        taken = select(session_summaries.c.first_event_at).where(session_summaries.c.snapshot_at.is_not(None))
        assert {at.day for at in connection.execute(taken).scalars()} == {5}


def test_a_document_is_kept_once_for_all_sessions_and_addresses_that_share_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    addresses = ["11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4"]
    events = [
        connect(f"2026-03-05 1{hour}:00", session=f"{hour}{number:011x}", src_ip=address)
        for number, address in enumerate(addresses)
        for hour in range(3)
    ]
    load_events(warehouse, tmp_path, events)
    World(lambda address: 4837 if address.endswith("4") else 4134).enrich(warehouse, "2026-03-05", now=SESSION_AT)
    assert take(warehouse, now=SESSION_AT).taken == {"observed": 12}
    documents = {row["digest"]: row["document"]["maxmind"]["asn"] for row in rows(warehouse, enrichment_documents)}
    assert sorted(documents.values()) == [4134, 4837]
    assert {documents[row["snapshot_document"]] for row in rows(warehouse, session_summaries)} == {4134, 4837}


def test_the_seals_of_snapshots_hold_whatever_is_in_them(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            connect("2026-03-05 10:00"),
            connect("2026-03-05 10:00", src_ip=OTHER),
            connect("2026-03-05 11:00", src_ip="x"),
        ],
    )
    know(warehouse, enrichment_updated_at=SESSION_AT, current_asn=None, geo_country=None, ip_type=None)
    for now in (SESSION_AT, SESSION_AT.replace(microsecond=0) + HOURS):
        take(warehouse, now=now)
        with warehouse.read() as connection:
            check = next(check for check in all_checks() if check.name == "snapshots_unchanged")
            assert check.run(connection, span("2026-03-05"), Settings(), now).passed
    seals = {row["source"]: row["snapshot_seal"] for row in rows(warehouse, session_summaries)}
    assert seals[ADDRESS].startswith("-|-|-|observed|")
    assert (seals[OTHER], seals["x"]) == (None, None)
