"""A service is asked again about what was invalidated, and about nothing else; what it said is kept until then."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, insert

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.steps.invalidate_answers import InvalidationReport, invalidate_answers
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.cache_care import Selection
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    enrichment_documents,
    file_reputation,
    ip_inventory,
    password_exposure,
)
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import NOW, connect, load_events, one, rows, run_cascade, span

DAY = "2026-03-09"
HOUR = timedelta(hours=1)
KNOWN, UNKNOWN, FAILED = "8.8.8.8", "1.1.1.1", "9.9.9.9"


def greynoise_says(address: str) -> Mapping[str, Any] | Status:
    if address == KNOWN:
        return {"noise": True, "riot": False}
    return Status.ERROR if address == FAILED else Status.NOT_FOUND


class Asked:
    """Two services, and who was asked about what since the last look."""

    def __init__(self) -> None:
        self.greynoise = RecordingSource("greynoise", greynoise_says, retry_after=timedelta(days=1))
        self.dshield = RecordingSource("dshield", lambda _: {"count": 3})
        self.maxmind = RecordingSource("maxmind", lambda _: {"asn": 15169, "country": "US"}, cached=False)

    def run(self, warehouse: Warehouse, hours: int) -> dict[str, set[str]]:
        sources = (self.maxmind, self.greynoise, self.dshield)
        for source in sources:
            source.calls.clear()
        with Cascade(sources) as cascade:
            run_cascade(warehouse, cascade, span(DAY), now=NOW + hours * HOUR)
        return {source.name: {key for call in source.calls for key in call} for source in sources if source.calls}


@pytest.fixture
def asked(warehouse: Warehouse, tmp_path: Path) -> Asked:
    """Three addresses, looked up at NOW."""
    addresses = (KNOWN, UNKNOWN, FAILED)
    events = [connect(f"{DAY} 10:00", session=f"{n:012x}", src_ip=address) for n, address in enumerate(addresses)]
    load_events(warehouse, tmp_path, events)
    made = Asked()
    made.run(warehouse, 0)
    assert made.run(warehouse, 1) == {}
    return made


def document_of(warehouse: Warehouse, address: str) -> dict[str, Any]:
    document: dict[str, Any] = one(warehouse, ip_inventory, ip_inventory.c.ip_address == address)["enrichment"]
    return document


@pytest.mark.parametrize(
    ("selection", "again"),
    [
        (Selection(service="greynoise"), {KNOWN, UNKNOWN, FAILED}),
        (Selection(service="greynoise", status=Status.HIT), {KNOWN}),
        (Selection(service="greynoise", status=Status.ERROR), {FAILED}),
        (Selection(service="greynoise", key=UNKNOWN), {UNKNOWN}),
        (Selection(service="greynoise", older_than=NOW + HOUR), {KNOWN, UNKNOWN, FAILED}),
        (Selection(service="greynoise", older_than=NOW), set()),
        (Selection(service="greynoise", key="AS15169"), set()),
        (Selection(service="urlhaus"), set()),
    ],
)
def test_the_next_run_asks_again_what_was_selected_and_nothing_else(
    warehouse: Warehouse, asked: Asked, selection: Selection, again: set[str]
) -> None:
    before = {address: document_of(warehouse, address) for address in (KNOWN, UNKNOWN, FAILED)}
    report = invalidate_answers(warehouse, selection, now=NOW + 2 * HOUR)
    assert report == InvalidationReport(answers=len(again), addresses=len(again))
    for address, document in before.items():
        now = document_of(warehouse, address)
        for name in ("status", "fetched_at", "noise"):
            assert now["greynoise"].get(name) == document["greynoise"].get(name)
        assert {**now, "greynoise": None} == {**document, "greynoise": None}
    assert invalidate_answers(warehouse, selection, now=NOW + 2 * HOUR) == InvalidationReport()
    assert asked.run(warehouse, 3) == ({"greynoise": again} if again else {})
    assert asked.run(warehouse, 4) == {}


def test_a_local_source_has_no_entry_in_the_ledger_and_is_looked_up_again(warehouse: Warehouse, asked: Asked) -> None:
    report = invalidate_answers(warehouse, Selection(service="maxmind"), now=NOW + 2 * HOUR)
    assert report == InvalidationReport(answers=0, addresses=3)
    assert asked.run(warehouse, 3) == {"maxmind": {KNOWN, UNKNOWN, FAILED}}


def test_many_addresses_are_made_due_in_small_transactions(
    warehouse: Warehouse, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.steps.invalidate_answers._ROWS_AT_ONCE", 2)
    heard: list[tuple[str, int, int]] = []
    invalidate_answers(
        warehouse, Selection(service="dshield"), now=NOW + HOUR, on_progress=lambda *each: heard.append(each)
    )
    assert heard == [("answers", 3, 3), ("addresses", 2, 3), ("addresses", 3, 3)]
    assert asked.run(warehouse, 3) == {"dshield": {KNOWN, UNKNOWN, FAILED}}


def test_an_invalidation_killed_after_the_ledger_is_finished_by_the_next(warehouse: Warehouse, asked: Asked) -> None:
    def kill(step: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invalidate_answers(warehouse, Selection(service="dshield"), now=NOW + HOUR, on_progress=kill)
    report = invalidate_answers(warehouse, Selection(service="dshield"), now=NOW + HOUR)
    assert report == InvalidationReport(answers=0, addresses=3)
    assert asked.run(warehouse, 3) == {"dshield": {KNOWN, UNKNOWN, FAILED}}


def test_a_snapshot_taken_afterwards_holds_the_document_that_its_digest_says(
    warehouse: Warehouse, asked: Asked
) -> None:
    invalidate_answers(warehouse, Selection(service="dshield"), now=NOW + HOUR)
    with warehouse.begin() as connection:
        take_snapshots(connection, span(DAY), now=NOW + 2 * HOUR)
    kept = {row["digest"]: row["document"] for row in rows(warehouse, enrichment_documents)}
    # the third could not be looked up whole, so that its session waits
    whole = [row for row in rows(warehouse, ip_inventory) if row["ip_address"] != FAILED]
    assert len(kept) == len(whole) == 2
    for row in whole:
        assert kept[row["enrichment_digest"]] == row["enrichment"]


def test_networks_that_cymru_named_are_asked_about_again(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [connect(f"{DAY} 10:00", src_ip=KNOWN)])
    cymru = RecordingSource("cymru", lambda _: {"asn": 15169, "origins": [15169]}, expires_after=timedelta(days=90))
    network = RecordingSource("cymru_asn", lambda _: {"asn": 15169, "organization": "X"})

    def run(hours: int) -> list[tuple[str, ...]]:
        network.calls.clear()
        with Cascade([cymru, network]) as cascade:
            run_cascade(warehouse, cascade, span(DAY), now=NOW + hours * HOUR)
        return network.calls

    assert run(0) == [("AS15169",)]
    other = invalidate_answers(warehouse, Selection(service="cymru_asn", key="AS13335"), now=NOW + HOUR)
    assert (other, run(2)) == (InvalidationReport(), [])
    report = invalidate_answers(warehouse, Selection(service="cymru_asn", key="AS15169"), now=NOW + 3 * HOUR)
    assert report == InvalidationReport(answers=1, addresses=1)
    assert run(4) == [("AS15169",)]
    assert len(cymru.calls) == 1


@pytest.mark.parametrize(
    ("table", "service", "keys", "counted"),
    [
        (file_reputation, "virustotal", ("ab" * 32, "cd" * 32), "files"),
        (password_exposure, "pwned_passwords", ("AB" * 20, "CD" * 20), "passwords"),
    ],
)
def test_files_and_passwords_become_due_with_the_answers_about_them(
    warehouse: Warehouse, table: Table, service: str, keys: tuple[str, str], counted: str
) -> None:
    name = table.primary_key.columns[0].name
    common = {"first_seen": NOW, "last_seen": NOW, "status": "hit", "due_at": NOW + 9 * HOUR}
    with warehouse.begin() as connection:
        connection.execute(insert(table), [{**common, name: key} for key in keys])
    asked_key = keys[0] if service == "virustotal" else keys[0][:5]
    report = invalidate_answers(warehouse, Selection(service=service, key=asked_key), now=NOW + HOUR)
    assert getattr(report, counted) == 1
    assert {row[name]: row["due_at"] for row in rows(warehouse, table)} == {
        keys[0]: NOW + HOUR,
        keys[1]: NOW + 9 * HOUR,
    }
    none = invalidate_answers(warehouse, Selection(service=service, status=Status.ERROR), now=NOW + HOUR)
    assert getattr(none, counted) == 0


@pytest.mark.parametrize(
    ("service", "key", "written"),
    [
        ("virustotal", "ab" * 32, "AB" * 32),
        ("pwned_passwords", "ABCDE", "abcde"),
        ("pwned_passwords", "ABCDE", "ABCDE" * 8),
        ("dshield", "2001:db8::1", "2001:0DB8:0:0::1"),
        ("rir", "AS15169", "as15169"),
    ],
)
def test_a_key_is_found_however_it_is_written(warehouse: Warehouse, service: str, key: str, written: str) -> None:
    answer = Outcome(service=service, key=key, status=Status.HIT, fetched_at=NOW, payload={}, expires_at=NOW + 9 * HOUR)
    WarehouseCache(warehouse, day=NOW.date()).put_many([answer])
    assert invalidate_answers(warehouse, Selection(service=service, key=written), now=NOW + HOUR).answers == 1


def test_a_selection_without_a_service_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="name it"):
        invalidate_answers(warehouse, Selection(key=KNOWN), now=NOW)
