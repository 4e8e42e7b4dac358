"""Files: how often they came, what the scanners say of them, and what is asked first."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.settings import ServiceSettings, Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.file_reputation import DayFiles, FileReputationReport, look_up_files
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, file_reputation, session_files
from cowrie_pipeline_tests.contract.http_server import HttpServer
from cowrie_pipeline_tests.contract.services import FILE, KEY, UNKNOWN_FILE, virustotal
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    download,
    enrichment_of,
    facts,
    load_events,
    one,
    rows,
    span,
    upload,
)

BOTH = span("2026-03-01", "2026-03-02")
ONE, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
EVENTS = [
    download("2026-03-01 10:00", ONE),
    download("2026-03-01 10:05", ONE, session="second", src_ip="198.51.100.2"),
    upload("2026-03-01 11:00", OTHER),
    upload("2026-03-01 11:30", OTHER),
    upload("2026-03-01 11:45", OTHER),
    download("2026-03-02 09:00", ONE),
    download("2026-03-02 09:30", THIRD),
    download("2026-03-02 09:40", None),
]


def ask(
    warehouse: Warehouse, enrichment: Enrichment, days: DayRange = BOTH, *, now: datetime = NOW
) -> FileReputationReport:
    ledger = WarehouseCache(warehouse, day=now.date())
    return look_up_files(warehouse, enrichment, days, ledger=ledger, now=now)


def scanners(**said: dict[str, object] | Status) -> RecordingSource:
    """Scanners that say of a file what is given by its first letter."""
    return RecordingSource("virustotal", lambda sha256: said.get(sha256[0], Status.NOT_FOUND))


def test_files_are_counted_over_all_days_and_asked_about_once(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    source = scanners(a={"malicious": 40, "suspicious": 1, "label": "trojan.mirai", "type": "ELF", "size": 7})
    report = ask(warehouse, enrichment_of(source), span("2026-03-01"))
    row = one(warehouse, file_reputation, file_reputation.c.sha256 == ONE)
    assert (row["transfers"], row["first_seen"], row["last_seen"]) == (
        3,
        datetime(2026, 3, 1, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 9, tzinfo=UTC),
    )
    assert (row["status"], row["malicious"], row["suspicious"], row["label"]) == ("hit", 40, 1, "trojan.mirai")
    assert (row["file_type"], row["size"], row["reputation_at"]) == ("ELF", 7, NOW)
    assert row["due_at"] == NOW + timedelta(days=7)
    assert (report.asking.due, report.asking.outcomes) == (2, {"hit": 1, "not_found": 1})
    assert report.days == {date(2026, 3, 1): DayFiles(files=2, statuses={"hit": 1, "not_found": 1}, flagged=1)}
    again = ask(warehouse, enrichment_of(source))
    assert (again.asking.due, again.asking.outcomes) == (1, {"not_found": 1})
    assert source.calls == [(ONE, OTHER), (THIRD,)]
    assert again.days[date(2026, 3, 2)] == DayFiles(files=2, statuses={"hit": 1, "not_found": 1}, flagged=1)


def test_the_files_of_the_newest_day_are_asked_about_first_and_of_those_the_most_frequent(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    more = [download("2026-03-02 08:00", "d" * 64), *(download("2026-03-01 12:00", "e" * 64) for _ in range(9))]
    load_events(warehouse, tmp_path, [*EVENTS, *more])
    source = scanners()
    ask(warehouse, enrichment_of(source))
    assert ["".join(key[0] for key in call) for call in source.calls] == ["acdbe"]


@pytest.mark.parametrize("status", [Status.ERROR, Status.RATE_LIMITED, Status.SKIPPED_BUDGET])
@pytest.mark.parametrize("with_ledger", [True, False])
def test_what_is_no_answer_removes_no_fact(
    warehouse: Warehouse,
    tmp_path: Path,
    status: Status,
    with_ledger: bool,
) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    ask(warehouse, enrichment_of(scanners(a={"malicious": 40})))
    if not with_ledger:
        with warehouse.begin() as connection:
            connection.execute(delete(enrichment_cache))
    later = NOW + timedelta(days=8)
    report = ask(warehouse, enrichment_of(scanners(a=status, b=status)), now=later)
    assert report.asking.outcomes[status.value] == 2
    row = one(warehouse, file_reputation, file_reputation.c.sha256 == ONE)
    assert (row["status"], row["malicious"], row["reputation_at"]) == ("hit", 40, NOW)
    assert later < row["due_at"] < later + timedelta(days=1)
    assert report.days[date(2026, 3, 1)].flagged == 1


def test_a_file_that_is_not_known_any_more_is_flagged_no_more(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    ask(warehouse, enrichment_of(scanners(a={"malicious": 40})))
    ask(warehouse, enrichment_of(scanners()), now=NOW + timedelta(days=8))
    row = one(warehouse, file_reputation, file_reputation.c.sha256 == ONE)
    assert (row["status"], row["malicious"]) == ("not_found", None)


def test_where_nobody_can_be_asked_files_are_counted_and_the_report_says_why(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    source = scanners()
    off = ask(warehouse, enrichment_of(source, off="COWRIE_OFFLINE is set"))
    assert (off.asking.not_asked, off.asking.due, off.asking.findings) == ("COWRIE_OFFLINE is set", 3, ())
    assert off.days[date(2026, 3, 1)] == DayFiles(files=2, statuses={"never asked": 2})
    settings = Settings(services={name: ServiceSettings() for name in Settings().services})
    with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
        keyless = ask(warehouse, enrichment)
    assert keyless.asking.not_asked == "not configured: set COWRIE_VIRUSTOTAL_KEY"
    assert keyless.asking.findings == ()
    assert source.calls == []
    assert [row["transfers"] for row in rows(warehouse, file_reputation)] == [3, 3, 1]


def test_days_in_any_order_together_or_apart_count_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    found = []
    for parts in ([BOTH], [span("2026-03-01"), span("2026-03-02")], [span("2026-03-02"), span("2026-03-01"), BOTH]):
        with warehouse.begin() as connection:
            connection.execute(delete(file_reputation))
        for part in parts:
            ask(warehouse, enrichment_of(scanners(a={"malicious": 2})), part)
        found.append(facts(warehouse, [file_reputation]))
    assert found[0] == found[1] == found[2]


def test_a_file_that_no_session_brought_after_all_is_forgotten(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, EVENTS)
    ask(warehouse, enrichment_of(scanners()))
    with warehouse.begin() as connection:
        connection.execute(delete(session_files).where(session_files.c.sha256 == THIRD))
    ask(warehouse, enrichment_of(scanners()))
    assert {row["sha256"] for row in rows(warehouse, file_reputation)} == {ONE, OTHER}


@contextmanager
def virus_total(warehouse: Warehouse, server: HttpServer, **of_service: object) -> Iterator[Enrichment]:
    """Open the true source, which asks `server` and nobody else."""
    services = {name: ServiceSettings(enabled=False) for name in Settings().services}
    services["virustotal"] = ServiceSettings(key=KEY, url=server.url, **of_service)  # type: ignore[arg-type]
    settings = Settings(services=services, cymru_enabled=False, patience_seconds=0.01)
    with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
        yield enrichment


def brought(*hashes: str) -> list[Event]:
    return [download(f"2026-03-01 10:0{n}", sha256) for n, sha256 in enumerate(hashes)]


def test_virustotal_is_asked_by_hash_alone_and_only_once(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, brought(FILE, UNKNOWN_FILE))
    now = datetime.now(UTC)
    with HttpServer(virustotal) as server:
        for _ in range(2):
            with virus_total(warehouse, server, limits=((100, 86_400.0),)) as enrichment:
                report = ask(warehouse, enrichment, now=now)
        assert sorted(asked.path for asked in server.asked) == sorted(
            f"/api/v3/files/{sha256}" for sha256 in (FILE, UNKNOWN_FILE)
        )
    assert report.days[date(2026, 3, 1)] == DayFiles(files=2, statuses={"hit": 1, "not_found": 1}, flagged=1)
    row = one(warehouse, file_reputation, file_reputation.c.sha256 == FILE)
    assert (row["malicious"], row["label"], row["size"]) == (41, "trojan.mirai/gafgyt", 73400)
    assert row["due_at"] == now + timedelta(days=30)
    unknown = one(warehouse, file_reputation, file_reputation.c.sha256 == UNKNOWN_FILE)
    assert unknown["due_at"] == now + timedelta(hours=12)


def test_no_call_is_made_past_the_budget_and_the_rest_is_due_later(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, brought(FILE, ONE, OTHER))
    now = datetime.now(UTC)
    with (
        HttpServer(virustotal) as server,
        virus_total(warehouse, server, limits=((1, 86_400.0),)) as enrichment,
    ):
        report = ask(warehouse, enrichment, now=now)
        assert len(server.asked) == 1
    assert report.asking.outcomes["skipped_budget"] == 2
    skipped = rows(warehouse, file_reputation, file_reputation.c.status == "skipped_budget")
    assert len(skipped) == 2
    assert all(row["due_at"] > now for row in skipped)


def test_a_key_that_is_refused_is_a_finding_without_the_key(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, brought(FILE))
    services = {name: ServiceSettings(enabled=False) for name in Settings().services}
    with HttpServer(virustotal) as server:
        services["virustotal"] = ServiceSettings(key="a-wrong-key", url=server.url)
        settings = Settings(services=services, cymru_enabled=False)
        with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
            report = ask(warehouse, enrichment, now=datetime.now(UTC))
    (finding,) = report.asking.findings
    assert "COWRIE_VIRUSTOTAL_KEY" in finding
    assert "a-wrong-key" not in str(report)
    assert report.days[date(2026, 3, 1)].statuses == {"error": 1}
