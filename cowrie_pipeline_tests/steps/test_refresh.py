"""What an operator asks again: so much of what has expired, or is old, in portions of which each is committed."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from cowrie_pipeline.enrichment.build import Enrichment
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.inventories import enrich_addresses
from cowrie_pipeline.steps.refresh import Portion, RefreshReport, StillStale, refresh
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    asn_session_counts,
    file_reputation,
    ip_asn_history,
    ip_inventory,
    session_summaries,
)
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    connect,
    download,
    enrichment_of,
    load_events,
    rows,
    span,
)

DAY = timedelta(days=1)
MUCH_LATER = NOW + 40 * DAY


def address(number: int) -> str:
    return f"12.0.0.{number + 1}"


def attacks(numbers: Iterable[int], day: str = "2026-03-01") -> list[Event]:
    return [connect(f"{day} 10:{number:02}", session=f"{number:012x}", src_ip=address(number)) for number in numbers]


class Sources:
    """MaxMind, which gives each address a network, two services that know nothing, and the scanners of files."""

    def __init__(self, asn: int = 4100, dshield: Callable[[str], Any] = lambda _: Status.NOT_FOUND) -> None:
        self.maxmind = RecordingSource("maxmind", lambda _: {"asn": asn, "country": "FR"}, cached=False)
        self.greynoise = RecordingSource("greynoise", expires_after=30 * DAY)
        self.dshield = RecordingSource("dshield", dshield, expires_after=20 * DAY)
        self.virustotal = RecordingSource("virustotal", lambda _: {"malicious": 3}, expires_after=30 * DAY)

    def enrichment(self) -> Enrichment:
        return enrichment_of(self.maxmind, self.greynoise, self.dshield, self.virustotal)

    def asked(self) -> dict[str, list[str]]:
        """Return what each was asked about since the last time."""
        sources = (self.maxmind, self.greynoise, self.dshield, self.virustotal)
        found = {each.name: sorted(key for call in each.calls for key in call) for each in sources if each.calls}
        for each in sources:
            each.calls.clear()
        return found


def enrich(warehouse: Warehouse, sources: Sources, *, now: datetime = NOW) -> None:
    with sources.enrichment() as enrichment:
        ledger = WarehouseCache(warehouse, day=now.date())
        enrich_addresses(warehouse, enrichment.cascade, span("2026-03-01", "2026-03-09"), ledger=ledger, now=now)
        look_up_files(warehouse, enrichment, span("2026-03-01", "2026-03-09"), ledger=ledger, now=now)
    sources.asked()


def run(
    warehouse: Warehouse,
    sources: Sources,
    *,
    now: datetime = NOW,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
    report: RefreshReport | None = None,
    **portion: Any,
) -> tuple[RefreshReport, StillStale]:
    made = RefreshReport() if report is None else report
    with sources.enrichment() as enrichment:
        still = refresh(
            warehouse,
            enrichment,
            Portion(**portion),
            ledger=WarehouseCache(warehouse, day=now.date()),
            now=now,
            report=made,
            on_progress=on_progress,
        )
    return made, still


def facts_of(warehouse: Warehouse, column: str) -> Mapping[str, Any]:
    return {row["ip_address"]: row[column] for row in rows(warehouse, ip_inventory)}


# ---- addresses


def test_what_has_expired_is_asked_again_and_no_more_than_is_wanted(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(5)))
    enrich(warehouse, sources := Sources())
    assert run(warehouse, sources, addresses=None)[0].addresses == 0
    report, still = run(warehouse, sources, addresses=3, at_once=2, now=MUCH_LATER)
    assert (report.addresses, still.addresses) == (3, 2)
    assert report.outcomes["dshield"] == {"not_found": 3}
    report, still = run(warehouse, sources, addresses=None, at_once=2, now=MUCH_LATER)
    assert (report.addresses, still.addresses) == (2, 0)
    assert sources.asked()["dshield"] == [address(number) for number in range(5)]


def test_answers_that_still_hold_are_asked_again_where_they_are_older_than_wanted(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, attacks(range(3)))
    enrich(warehouse, sources := Sources())
    later = NOW + 3 * DAY
    assert run(warehouse, sources, addresses=None, older_than=later - 4 * DAY, now=later)[0].addresses == 0
    assert sources.asked() == {}
    report, _ = run(warehouse, sources, addresses=None, older_than=later - 2 * DAY, now=later)
    assert report.addresses == 3
    everybody = [address(number) for number in range(3)]
    assert sources.asked() == {"maxmind": everybody, "greynoise": everybody, "dshield": everybody}
    assert run(warehouse, sources, addresses=None, older_than=later - 2 * DAY, now=later)[0].addresses == 0


def test_of_one_source_only_its_answers_are_asked_again(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(4)))
    enrich(warehouse, sources := Sources())
    later = NOW + 3 * DAY
    cut: dict[str, Any] = {"source": "greynoise", "older_than": later - DAY, "now": later}
    assert run(warehouse, sources, addresses=2, **cut)[0].addresses == 2
    assert sources.asked() == {"greynoise": [address(0), address(1)]}
    # begun again, it goes on where it was
    assert run(warehouse, sources, addresses=None, **cut)[0].addresses == 2
    assert sources.asked() == {"greynoise": [address(2), address(3)]}
    assert run(warehouse, sources, addresses=None, **cut)[0].addresses == 0


def test_of_one_source_what_has_expired_is_found_in_the_documents(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(2)))
    enrich(warehouse, sources := Sources())
    later = NOW + 25 * DAY
    assert run(warehouse, sources, addresses=None, source="greynoise", now=later)[0].addresses == 0
    report, _ = run(warehouse, sources, addresses=None, source="dshield", now=later)
    assert report.outcomes["dshield"] == {"not_found": 2}
    assert "greynoise" not in sources.asked()


def test_a_source_that_fails_keeps_no_address_at_the_head_and_is_named(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(4)))
    enrich(warehouse, Sources())
    failing = Sources(dshield=lambda _: Status.ERROR)
    later = NOW + 25 * DAY
    reached = []
    for minute in range(4):
        report, _ = run(warehouse, failing, addresses=1, source="dshield", now=later + timedelta(minutes=minute))
        assert report.failed == ("dshield",)
        reached += failing.asked()["dshield"]
    assert reached == [address(number) for number in range(4)]


def test_a_network_is_asked_about_with_one_of_its_addresses(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(3)))
    cymru = RecordingSource("cymru", lambda _: {"asn": 4100, "origins": [4100]}, expires_after=90 * DAY)
    network = RecordingSource("cymru_asn", lambda _: {"organization": "Network"}, expires_after=90 * DAY)
    ledger = WarehouseCache(warehouse, day=NOW.date())
    with enrichment_of(cymru, network) as enrichment:
        enrich_addresses(warehouse, enrichment.cascade, span("2026-03-01"), ledger=ledger, now=NOW)
        network.calls.clear()
        later, report = NOW + 3 * DAY, RefreshReport()
        portion = Portion(addresses=None, source="cymru_asn", older_than=later - DAY)
        options = {"ledger": ledger, "now": later, "report": report, "on_progress": lambda *_: None}
        refresh(warehouse, enrichment, portion, **options)  # type: ignore[arg-type]
    assert (report.addresses, network.calls) == (1, [("AS4100",)])
    assert report.outcomes["cymru_asn"] == {"hit": 1}


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_work_that_is_stopped_goes_on_and_ends_as_if_it_had_not_been(
    warehouse: Warehouse, tmp_path: Path, stop_after: int
) -> None:
    load_events(warehouse, tmp_path, [*attacks(range(6)), *attacks(range(6, 9), "2026-03-02")])
    sources = Sources()
    calls = 0

    def stop(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_after:
            raise KeyboardInterrupt

    report = RefreshReport()
    with pytest.raises(KeyboardInterrupt):
        run(warehouse, sources, addresses=None, sessions=None, at_once=2, on_progress=stop, report=report)
    assert report.addresses == 2 * stop_after
    again, still = run(warehouse, sources, addresses=None, sessions=None, at_once=2)
    assert report.addresses + again.addresses == 9
    assert sources.asked()["maxmind"] == sorted(address(number) for number in range(9))
    assert (still.addresses, still.sessions, again.snapshots.total()) == (0, 0, 9)
    assert len(rows(warehouse, ip_asn_history)) == 9


# ---- sessions


def test_sessions_get_their_snapshots_the_oldest_first_and_no_more_than_wanted(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, [*attacks(range(3)), *attacks(range(3, 5), "2026-03-05")])
    sources = Sources()
    report, still = run(warehouse, sources, sessions=2)
    assert (report.snapshots, report.addresses, still.sessions) == ({"late": 2}, 2, 3)
    taken = rows(warehouse, session_summaries, session_summaries.c.snapshot_at.is_not(None))
    assert {row["source_ip"] for row in taken} == {address(0), address(1)}
    report, still = run(warehouse, sources, sessions=None, at_once=1)
    assert (report.snapshots, still.sessions) == ({"late": 3}, 0)
    counted = {
        (row["day"].isoformat(), row["asn_number"]): row["sessions"] for row in rows(warehouse, asn_session_counts)
    }
    assert counted == {("2026-03-01", 4100): 3, ("2026-03-05", 4100): 2}


def test_a_snapshot_that_is_there_is_never_touched(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, attacks(range(3)))
    run(warehouse, Sources(asn=4100), sessions=2)
    before = rows(warehouse, session_summaries, session_summaries.c.snapshot_at.is_not(None))
    moved = Sources(asn=4200)
    run(warehouse, moved, addresses=None, sessions=None, files=None, older_than=MUCH_LATER, now=MUCH_LATER)
    keys = [row["session_key"] for row in before]
    assert rows(warehouse, session_summaries, session_summaries.c.session_key.in_(keys)) == before
    assert set(facts_of(warehouse, "current_asn").values()) == {4200}
    assert run(warehouse, moved, sessions=None)[0].snapshots.total() == 0


def test_sessions_that_wait_for_an_answer_do_not_stand_in_the_way_of_others(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, attacks(range(4), "2026-03-08"))
    now = NOW - 3 * DAY
    with warehouse.begin() as connection:
        connection.execute(
            update(ip_inventory)
            .where(ip_inventory.c.ip_address.in_([address(0), address(1)]))
            .values(enrichment_state="unknown", enrichment_due_at=now + DAY)
        )
    report, still = run(warehouse, Sources(), sessions=1, now=now)
    assert (report.snapshots.total(), still.sessions) == (1, 3)


# ---- files


def test_files_are_asked_about_again_when_due_or_old(warehouse: Warehouse, tmp_path: Path) -> None:
    hashes = [letter * 64 for letter in "abc"]
    load_events(warehouse, tmp_path, [download("2026-03-01 10:00", each) for each in hashes])
    sources = Sources()
    report, still = run(warehouse, sources, files=2, at_once=1)
    assert (report.files, still.files, report.outcomes) == (0, 0, {})
    enrich(warehouse, sources)
    assert run(warehouse, sources, files=None)[0].files == 0
    report, still = run(warehouse, sources, files=2, at_once=1, now=MUCH_LATER)
    assert (report.files, still.files) == (2, 1)
    sources.asked()
    later = MUCH_LATER + DAY
    report, _ = run(warehouse, sources, files=None, older_than=later - DAY / 2, now=later)
    assert (report.files, sources.asked()) == (3, {"virustotal": hashes})
    with warehouse.read() as connection:
        assert set(connection.execute(select(file_reputation.c.reputation_at)).scalars()) == {later}


def test_a_commit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Portion(at_once=0)
