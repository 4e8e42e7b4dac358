"""Details of old days go; what they add up to stays, also when lines come for such a day after all."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import CheckResult, all_checks
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.steps.retention import RetentionReport, drop_old_details
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    dead_letters,
    file_reputation,
    log_files,
    password_exposure,
    retired_days,
    retired_files,
    retired_passwords,
    session_days,
    session_summaries,
)
from cowrie_pipeline_tests.steps.made_days import (
    Event,
    command,
    connect,
    download,
    enrichment_of,
    facts,
    load,
    login,
    one,
    rows,
    scan,
    span,
    write_log,
)

# three days, of which the first two are over more than five days ago
NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
DAYS = span("2026-03-01", "2026-03-03")
RETIRED = (date(2026, 3, 1), date(2026, 3, 2))
COUNTS = (password_exposure, file_reputation, session_summaries, session_days)
A, B = "a" * 64, "b" * 64


def events_of(day: str, *, session: str = "0a1b2c3d4e5f") -> list[Event]:
    of: dict[str, Any] = {"session": session, "src_ip": f"198.51.100.{day[-1]}"}
    return [
        connect(f"{day} 10:00:00", **of),
        login(f"{day} 10:00:01", password="every day", **of),
        login(f"{day} 10:00:02", password=f"only on {day}", **of),
        command(f"{day} 10:00:03", "uname -a", **of),
        download(f"{day} 10:00:04", A, **of),
        download(f"{day} 10:00:05", B if day == "2026-03-01" else A, **of),
    ]


def loaded(warehouse: Warehouse, folder: Path) -> None:
    for number, day in enumerate(DAYS, start=1):
        scan(warehouse, write_log(folder / f"{day}.json", events_of(f"{day}", session=f"{number:012x}")))
    load(warehouse, "2026-03-01", "2026-03-03")
    count(warehouse)


def count(warehouse: Warehouse) -> None:
    """Count files and passwords anew, as materializing their days does; nobody is asked."""
    ledger = WarehouseCache(warehouse, day=NOW.date())
    for step in (look_up_files, look_up_passwords):
        step(warehouse, enrichment_of(), DAYS, ledger=ledger, now=NOW)


def drop(warehouse: Warehouse, keep_days: int = 5) -> RetentionReport:
    return drop_old_details(warehouse, keep_days=keep_days, now=NOW)


def days_with(warehouse: Warehouse, table: Table) -> set[date]:
    return {row["event_at"].date() for row in rows(warehouse, table)}


def failed_checks(warehouse: Warehouse) -> dict[str, CheckResult]:
    with warehouse.read() as connection:
        results = {check.name: check.run(connection, DAYS, Settings(offline=True), NOW) for check in all_checks()}
    return {
        name: result
        for name, result in results.items()
        # these days were neither enriched nor counted by network
        if not result.passed and not name.startswith(("coverage", "network"))
    }


def test_details_of_old_days_are_removed_and_reported_and_every_count_stays(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    loaded(warehouse, tmp_path)
    before = facts(warehouse, COUNTS)
    fine = failed_checks(warehouse)
    report = drop(warehouse)
    assert report.days == RETIRED
    assert report.removed == {"login_attempts": 4, "commands": 2, "session_files": 4, "tunnels": 0, "client_keys": 0}
    for table in DETAIL_TABLES[:3]:
        assert days_with(warehouse, table) == {date(2026, 3, 3)}
    assert {row["day"]: row["details"] for row in rows(warehouse, retired_days)} == dict.fromkeys(RETIRED, 5)
    assert facts(warehouse, COUNTS) == before
    count(warehouse)
    assert facts(warehouse, COUNTS) == before
    assert failed_checks(warehouse) == fine


def test_nothing_is_removed_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    loaded(warehouse, tmp_path)
    assert not drop(warehouse).is_empty
    assert drop(warehouse).is_empty
    assert len(rows(warehouse, retired_days)) == 2


def test_days_that_are_young_enough_keep_everything(warehouse: Warehouse, tmp_path: Path) -> None:
    loaded(warehouse, tmp_path)
    assert drop(warehouse, keep_days=7).is_empty
    assert drop(warehouse, keep_days=6).days == RETIRED[:1]


def test_a_retired_day_whose_lines_came_late_counts_all_of_them(warehouse: Warehouse, tmp_path: Path) -> None:
    loaded(warehouse, tmp_path)
    drop(warehouse)
    late = [
        login("2026-03-01 20:00:00", session="ffffffffffff", src_ip="198.51.100.77", password="every day"),
        download("2026-03-01 20:00:01", A, session="ffffffffffff", src_ip="198.51.100.77"),
    ]
    scan(warehouse, write_log(tmp_path / "late.json", late))
    assert load(warehouse, "2026-03-01", "2026-03-03").made == RETIRED[:1]
    # whole again, with its details
    assert days_with(warehouse, DETAIL_TABLES[0]) == {date(2026, 3, 1), date(2026, 3, 3)}
    for table in (retired_days, retired_files, retired_passwords):
        assert {row["day"] for row in rows(warehouse, table)} == {date(2026, 3, 2)}
    count(warehouse)
    assert one(warehouse, file_reputation, file_reputation.c.sha256 == A)["transfers"] == 6
    assert sorted(row["attempts"] for row in rows(warehouse, password_exposure)) == [1, 1, 1, 4]
    with_details = facts(warehouse, COUNTS)
    assert drop(warehouse).days == RETIRED[:1]
    count(warehouse)
    assert facts(warehouse, COUNTS) == with_details
    assert len(rows(warehouse, session_summaries)) == 4


def test_passwords_hashed_and_in_clear_are_one_also_when_their_day_is_retired(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    hashing = Settings(hash_passwords=True)
    path = write_log(tmp_path / "hashed.json", events_of("2026-03-01"))
    scan_logs(warehouse, [str(path)], settings=hashing, now=NOW)
    scan(warehouse, write_log(tmp_path / "clear.json", events_of("2026-03-03", session="111111111111")))
    load(warehouse, "2026-03-01", "2026-03-03")
    drop(warehouse)
    count(warehouse)
    assert sorted(row["attempts"] for row in rows(warehouse, password_exposure)) == [1, 1, 2]


def test_a_dead_letter_loses_what_it_says_and_stays_counted_and_known(warehouse: Warehouse, tmp_path: Path) -> None:
    path = write_log(tmp_path / "cowrie.json", events_of("2026-03-01"))
    path.write_text(path.read_text() + '{"eventid": broken and secret}\n')
    long_ago = NOW - timedelta(days=30)
    scan_logs(warehouse, [str(path)], settings=Settings(), now=long_ago)
    load(warehouse, "2026-03-01")
    assert drop(warehouse).samples == 1
    letter = one(warehouse, dead_letters)
    assert (letter["sample"], letter["detail"]) == ("", "")
    assert letter["reason"]
    copy = tmp_path / "copy.json"
    copy.write_text('{"eventid": broken and secret}\n' + path.read_text())
    scan(warehouse, copy)
    with warehouse.read() as connection:
        accounts = connection.execute(select(log_files.c.dead_letters, log_files.c.duplicates)).all()
    assert sorted(map(tuple, accounts)) == [(0, 8), (1, 0)]
    assert "secret" not in repr(rows(warehouse, dead_letters))
    assert not failed_checks(warehouse).keys() & {"kept_lines", "line_accounting"}
