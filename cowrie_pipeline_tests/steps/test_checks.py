"""Every check passes on good data, fails when its fault is made by hand, and shows the rows at fault."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.settings import ServiceSettings, Settings
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.checks import (
    CheckResult,
    Coverage,
    Severity,
    all_checks,
    coverage_by_day,
    judge_coverage,
    look_ups_by_day,
)
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.steps.watch_checks import WATCH_CHECKS
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.sql_files import read_sql, sql_files
from cowrie_pipeline.warehouse.tables import ip_inventory
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    World,
    closed,
    command,
    connect,
    download,
    enrichment_of,
    event,
    load,
    login,
    scan,
    span,
    write_log,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
BROKEN_AT = datetime(2026, 4, 1, tzinfo=UTC)
DAYS = span("2026-03-01", "2026-03-03")
ASSETS = {
    "raw_sessions",
    "ip_inventory",
    "asn_inventory",
    "session_snapshots",
    "asn_session_counts",
    "file_reputation",
    "password_exposure",
}
# A service that needs a key is judged only where there is one; nobody is asked in these tests.
WITH_KEY = Settings(services={name: ServiceSettings(key="k") for name in Settings().services})
PARAMETERS = {"first_day", "last_day", "start", "end", "earliest", "tomorrow", "gateway_share", "volume_least"}
CHECKS = {check.name: check for check in all_checks()}


def good_data(warehouse: Warehouse, folder: Path) -> None:
    """Three days with all there is: details of every kind, a midnight, no address, a bogon, a dead letter, a blank."""
    events = [
        connect("2026-03-01 10:00", session="a", src_ip="8.8.8.8"),
        login("2026-03-01 10:01", session="a", src_ip="8.8.8.8", succeeded=True),
        command("2026-03-01 10:02", "nonsense", session="a", src_ip="8.8.8.8"),
        command("2026-03-01 10:02", "nonsense", session="a", src_ip="8.8.8.8", kind="failed"),
        download("2026-03-01 10:03", "a" * 64, session="a", src_ip="8.8.8.8"),
        event("2026-03-01 10:04", "session.file_upload", session="a", src_ip="8.8.8.8", filename="x"),
        event("2026-03-01 10:05", "direct-tcpip.request", session="a", src_ip="8.8.8.8", dst_ip="ya.ru", dst_port=80),
        event("2026-03-01 10:06", "client.fingerprint", session="a", src_ip="8.8.8.8", fingerprint="aa"),
        connect("2026-03-01 23:50", session="b", src_ip="1.1.1.1"),
        command("2026-03-02 00:10", "id", session="b", src_ip="1.1.1.1"),
        closed("2026-03-02 00:11", session="b", src_ip="1.1.1.1", duration=1260.0),
        login("2026-03-02 11:00", session="c", src_ip="f" * 64),
        login("2026-03-03 11:00", session="d", src_ip="10.0.0.1"),
        login("2026-03-03 12:00", session="e", src_ip="8.8.4.4"),
        event("2026-03-03 12:00", "log.open", session=None),
    ]
    path = write_log(folder / "cowrie.json", [*events, *events[:2]])
    extra = [login(f"2026-03-03 13:{n // 60:02}:{n % 60:02}", session="e", src_ip="8.8.4.4") for n in range(200)]
    write_log(folder / "more.json", extra)
    path.write_text(path.read_text() + "\n")
    with (folder / "more.json").open("a") as file:
        file.write('{"cut": \n')
    scan(warehouse, folder)
    load(warehouse, "2026-03-01", "2026-03-03")
    World({"8.8.8.8": 15169, "8.8.4.4": 15169, "1.1.1.1": 13335}.get).enrich(
        warehouse, "2026-03-01", "2026-03-03", now=NOW
    )
    with warehouse.begin() as connection:
        take_snapshots(connection, DAYS, now=NOW)
        count_sessions(connection, DAYS)
    ledger = WarehouseCache(warehouse, day=NOW.date())
    enrichment = enrichment_of(
        RecordingSource("virustotal", lambda _: {"malicious": 1}),
        RecordingSource("pwned_passwords", lambda _: {"counts": {sha1_of("1234")[5:16]: 9}}),
    )
    look_up_files(warehouse, enrichment, DAYS, ledger=ledger, now=NOW)
    look_up_passwords(warehouse, enrichment, DAYS, ledger=ledger, now=NOW)


@pytest.fixture(scope="module")
def good_url(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of good data, made once; a test that breaks it works on a copy."""
    url = databases.fresh()
    warehouse = Warehouse(url)
    good_data(warehouse, tmp_path_factory.mktemp("good"))
    if warehouse.dialect == "sqlite":
        with warehouse.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    warehouse.dispose()
    yield url
    databases.drop(url)


@pytest.fixture
def good(databases: Databases, good_url: str) -> Iterator[Warehouse]:
    url = databases._create(good_url)
    warehouse = Warehouse(url)
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


def run(warehouse: Warehouse, name: str, days: DayRange = DAYS, settings: Settings | None = None) -> CheckResult:
    with warehouse.read() as connection:
        return CHECKS[name].run(connection, days, settings or WITH_KEY, NOW)


def failing(warehouse: Warehouse) -> set[str]:
    return {name for name in CHECKS if not run(warehouse, name).passed}


def break_by_hand(warehouse: Warehouse, *statements: str) -> None:
    """Change the database as somebody may who has switched the foreign keys off."""
    connection = warehouse.engine.raw_connection()
    driver = connection.driver_connection
    assert driver is not None
    off, on = (
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON")
        if warehouse.dialect == "sqlite"
        else ("SET session_replication_role = replica", "SET session_replication_role = DEFAULT")
    )
    cursor = driver.cursor()
    for statement in (off, *statements, on):
        cursor.execute(statement)
        if statement in statements:
            assert cursor.rowcount > 0, f"nothing was broken by {statement}"
    driver.commit()
    connection.close()


@dataclass(frozen=True)
class Fault:
    """What breaks a check, how many rows are at fault then, and which checks see it too and rightly."""

    check: str
    statements: tuple[str, ...]
    at_fault: int = 1
    also: frozenset[str] = frozenset()


def fault(check: str, *statements: str, at_fault: int = 1, also: str = "") -> Fault:
    return Fault(check, statements, at_fault, frozenset(also.split()))


FAULTS = [
    fault("address_counts", "UPDATE ip_inventory SET session_count = session_count + 1 WHERE ip_address = '8.8.8.8'"),
    fault("address_counts", "UPDATE ip_inventory SET first_seen = NULL WHERE ip_address = '10.0.0.1'"),
    fault(
        "address_counts",
        "UPDATE ip_inventory SET last_seen = '2026-03-09 00:00:00.000000' WHERE ip_address = '10.0.0.1'",
    ),
    fault("coverage_of_file_reputation", "UPDATE file_reputation SET status = 'error'"),
    fault("coverage_of_password_exposure", "UPDATE password_exposure SET status = 'rate_limited'", at_fault=2),
    fault("coverage_of_asn_inventory", "UPDATE asn_inventory SET organization_name = ''", at_fault=3),
    fault("coverage_of_ip_inventory", "UPDATE ip_inventory SET geo_country = 'XX'", at_fault=3),
    fault(
        "coverage_of_session_snapshots",
        "UPDATE session_summaries SET snapshot_country = NULL",
        at_fault=2,
        also="snapshots_unchanged country_session_counts",
    ),
    fault("damaged_files", "UPDATE log_files SET damage = 'its end is missing' WHERE path LIKE '%more.json'"),
    fault(
        "dead_letter_share",
        "UPDATE log_files SET dead_letters = 5 WHERE path LIKE '%more.json'",
        also="kept_lines line_accounting",
    ),
    fault("detail_counts", "DELETE FROM login_attempts WHERE succeeded", also="orphan_passwords password_counts"),
    fault("detail_counts", "DELETE FROM commands WHERE kind = 'failed'"),
    fault("detail_counts", "DELETE FROM session_files WHERE kind = 'download'", also="orphan_files"),
    fault("detail_counts", "DELETE FROM session_files WHERE kind = 'upload'"),
    fault("detail_counts", "DELETE FROM tunnels"),
    fault(
        "duplicate_sessions",
        # as if the second day of session b had been taken for a session of its own while the first goes on
        "UPDATE session_days SET session_key = 1 WHERE session_id = 'b' AND day = '2026-03-02'",
        "INSERT INTO session_summaries (session_key, session_id, sensor, source, source_ip, first_event_at, "
        "last_event_at, is_closed, event_count, command_count, event_counts) "
        "SELECT 1, session_id, sensor, source, source_ip, '2026-03-02 00:10:00.000000', last_event_at, is_closed, 2, 1,"
        " event_counts FROM session_summaries WHERE session_id = 'b'",
        at_fault=2,
        also=(
            "session_counts address_counts network_session_counts country_session_counts coverage_of_session_snapshots"
        ),
    ),
    fault("events_in_sessions", "UPDATE loaded_days SET events = events + 1 WHERE day = '2026-03-02'"),
    fault("file_counts", "UPDATE file_reputation SET transfers = transfers + 1"),
    fault("file_counts", "UPDATE file_reputation SET first_seen = '2026-03-01 00:00:00.000000'"),
    fault("file_counts", "DELETE FROM file_reputation"),
    fault(
        "hashed_passwords",
        "INSERT INTO password_exposure (sha1, first_seen, last_seen, attempts) "
        "SELECT 'hunter2', first_seen, last_seen, 0 FROM password_exposure",
    ),
    fault(
        "gateway_addresses",
        # the one session of the third day from a private address, and 49 more
        "INSERT INTO session_summaries (session_key, session_id, sensor, source, source_ip, first_event_at, "
        "last_event_at, is_closed, event_count, event_counts) SELECT 1000 + n, 'x', 'lab', '10.0.0.1', '10.0.0.1', "
        "'2026-03-03 10:00:00.000000', '2026-03-03 10:00:00.000000', true, 0, '{}' "
        f"FROM (SELECT {' AS n UNION ALL SELECT '.join(map(str, range(50)))}) AS numbers",
        also="session_counts address_counts network_session_counts country_session_counts",
    ),
    fault("hashed_passwords", "UPDATE password_exposure SET sha1 = LOWER(sha1)"),
    *(
        fault("impossible_outcomes", f"UPDATE enrichment_cache SET {change} WHERE service = 'virustotal'")
        for change in (
            "status = 'unknown'",
            "payload = NULL",
            "expires_at = NULL",
            "status = 'error'",
            "status = 'not_found', expires_at = NULL",
        )
    ),
    fault("orphan_files", "UPDATE file_reputation SET sha256 = 'b'", also="file_counts"),
    fault("orphan_passwords", "UPDATE password_exposure SET last_seen = '2026-03-03 20:00:00.000000'"),
    fault("password_counts", "UPDATE password_exposure SET attempts = attempts + 1"),
    fault("password_counts", "UPDATE password_exposure SET attempts = attempts - 1"),
    fault("foreign_files", "UPDATE log_files SET is_foreign = true WHERE path LIKE '%more.json'"),
    fault(
        "implausible_times",
        "UPDATE session_summaries SET last_event_at = '2026-03-05 12:00:00.000001' WHERE session_id = 'c'",
        also="session_counts",
    ),
    fault("kept_lines", "DELETE FROM dead_letters"),
    fault("kept_lines", "DELETE FROM log_segments WHERE day = '2026-03-01'"),
    fault("line_accounting", "UPDATE log_files SET blank_lines = blank_lines + 1 WHERE path LIKE '%more.json'"),
    fault("network_counts", "UPDATE asn_inventory SET unique_ip_count = 0 WHERE asn_number = 15169"),
    fault("network_types", "UPDATE asn_inventory SET asn_type = NULL WHERE asn_number = 15169"),
    fault("network_types", "UPDATE asn_inventory SET asn_type_basis = NULL WHERE asn_number = 15169"),
    fault("network_types", "UPDATE asn_inventory SET asn_type = 'SHOP' WHERE asn_number = 15169"),
    fault("network_counts", "UPDATE asn_inventory SET last_seen = first_seen WHERE asn_number = 15169"),
    *(
        fault(
            "network_session_counts",
            f"UPDATE asn_session_counts SET {name} = {name} + 1 WHERE asn_number = 13335",
            also="network_session_totals" + (" network_addresses" if name == "unique_ips" else ""),
        )
        for name in ("unique_ips", "logins", "successful_logins", "commands", "downloads")
    ),
    *(
        fault("network_session_totals", f"UPDATE asn_session_totals SET {name} = {name} + 1 WHERE asn_number = 13335")
        for name in ("sessions", "logins", "successful_logins", "commands", "downloads")
    ),
    fault("network_addresses", "UPDATE asn_addresses SET days = 0 WHERE asn_number = 13335"),
    fault("network_addresses", "DELETE FROM asn_addresses WHERE asn_number = 15169", at_fault=2),
    fault("network_session_totals", "UPDATE asn_session_totals SET first_day = '2026-02-01' WHERE asn_number = 0"),
    fault("network_session_totals", "DELETE FROM asn_session_totals WHERE asn_number = 15169"),
    *(
        fault(
            "country_session_counts",
            f"UPDATE country_session_counts SET {name} = {name} + 1 WHERE country = '' AND day = '2026-03-02'",
        )
        for name in ("sessions", "logins", "successful_logins", "commands", "downloads")
    ),
    fault("country_session_counts", "DELETE FROM country_session_counts WHERE day = '2026-03-01'"),
    fault("country_session_counts", "INSERT INTO country_session_counts (day, country) VALUES ('2026-03-02', 'JP')"),
    fault(
        "network_session_counts",
        "UPDATE asn_session_counts SET sessions = 0 WHERE asn_number = 13335",
        also="network_totals network_session_totals",
    ),
    fault(
        "network_session_counts",
        "DELETE FROM asn_session_counts WHERE asn_number = 0 AND day = '2026-03-02'",
        also="network_session_totals",
    ),
    fault(
        "network_session_counts",
        "INSERT INTO asn_session_counts (day, asn_number, sessions) VALUES ('2026-03-02', 13335, 0)",
        also="network_session_totals",
    ),
    fault("network_totals", "UPDATE asn_inventory SET total_session_count = 0 WHERE asn_number = 15169"),
    fault(
        "orphan_asn_history",
        "UPDATE ip_asn_history SET ip_address = '9.9.9.9' WHERE ip_address = '8.8.8.8'",
    ),
    fault("orphan_asn_history", "UPDATE ip_asn_history SET asn_number = 999 WHERE ip_address = '8.8.8.8'"),
    fault(
        "orphan_counted_networks",
        "UPDATE asn_session_counts SET asn_number = 999 WHERE asn_number = 13335",
        also="network_session_counts network_session_totals network_totals network_addresses",
    ),
    fault(
        "orphan_current_asn",
        "UPDATE ip_inventory SET current_asn = 999 WHERE ip_address = '10.0.0.1'",
    ),
    *(
        # as if an import had brought a session that is not there any more, or whose documents are not
        fault(
            "orphan_imported_sessions",
            "INSERT INTO imported_sessions (source, import_key, legacy_id, first_event_at, facts, "
            f"{name}) VALUES ('0', 1, 'a', '2026-03-01 10:00:00.000000', '{{}}', {value})",
        )
        for name, value in (
            ("session_key", "1"),
            ("legacy_document", "'0'"),
            ("gave_way_to, legacy_document", "1, '0'"),
            ("gave_way_to, snapshot_document", "1, '0'"),
        )
    ),
    *(
        fault("orphan_details", f"UPDATE {table} SET session_key = 1 WHERE event_at < '2026-03-02'")
        for table in ("login_attempts", "tunnels", "client_keys")
    ),
    fault("orphan_details", "UPDATE commands SET session_key = 1 WHERE event_at < '2026-03-02'", at_fault=2),
    fault("orphan_details", "UPDATE session_files SET session_key = 1", at_fault=2),
    fault(
        "orphan_session_addresses",
        "UPDATE session_summaries SET source_ip = '9.9.9.9' WHERE session_id = 'c'",
        also="network_session_counts",
    ),
    fault(
        "orphan_session_days",
        "UPDATE session_days SET session_key = 1 WHERE session_id = 'c'",
        also="session_counts",
    ),
    fault(
        "orphan_snapshot_asn",
        "UPDATE session_summaries SET snapshot_asn = 999 WHERE session_id = 'a'",
        also="snapshots_unchanged network_session_counts",
    ),
    fault("orphan_snapshot_documents", "DELETE FROM enrichment_documents", at_fault=4),
    *(
        fault("session_counts", f"UPDATE session_summaries SET {name} = {name} + 1 WHERE session_id = 'a'")
        for name in ("event_count", "command_failed_count", "file_upload_count", "tunnel_count")
    ),
    *(
        fault(
            "session_counts",
            f"UPDATE session_summaries SET {name} = {name} + 1 WHERE session_id = 'a'",
            also="network_session_counts country_session_counts",
        )
        for name in ("login_success_count", "login_failed_count", "command_count", "file_download_count")
    ),
    fault(
        "snapshots_unchanged",
        "UPDATE session_summaries SET snapshot_country = 'ZZ' WHERE session_id = 'a'",
        also="country_session_counts",
    ),
    fault("snapshots_unchanged", "UPDATE session_summaries SET snapshot_ip_type = 'VPN' WHERE session_id = 'a'"),
    fault("snapshots_unchanged", "UPDATE session_summaries SET snapshot_basis = 'observed' WHERE session_id = 'a'"),
    fault("snapshots_unchanged", "UPDATE session_summaries SET snapshot_document = NULL WHERE session_id = 'a'"),
    fault("snapshots_unchanged", "UPDATE session_summaries SET snapshot_seal = NULL WHERE session_id = 'a'"),
    fault(
        "snapshots_unchanged",
        "UPDATE session_summaries SET snapshot_at = '2026-03-04 12:00:00.000001' WHERE session_id = 'a'",
    ),
]


def test_every_check_passes_on_good_data(good: Warehouse) -> None:
    assert failing(good) == set()


def test_every_check_passes_on_an_empty_database(warehouse: Warehouse) -> None:
    assert failing(warehouse) == set()


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.check)
def test_a_check_fails_on_its_fault_and_shows_the_rows(good: Warehouse, case: Fault) -> None:
    break_by_hand(good, *case.statements)
    result = run(good, case.check)
    assert not result.passed
    assert result.at_fault == len(result.rows) == case.at_fault
    assert all(len(row) == len(result.columns) > 1 for row in result.rows)
    assert failing(good) == {case.check} | case.also


def test_every_check_has_a_fault_that_breaks_it() -> None:
    assert {case.check for case in FAULTS} | {check.name for check in WATCH_CHECKS} == set(CHECKS)


def test_rows_at_fault_are_shown_up_to_twenty_and_all_counted(good: Warehouse) -> None:
    for number in (19, 20, 21, 45):
        with good.begin() as connection:
            rows = [
                {"ip_address": f"12.{number}.0.{n}", "session_count": 1, "created_at": BROKEN_AT} for n in range(number)
            ]
            connection.execute(insert(ip_inventory), rows)
        result = run(good, "address_counts")
        assert (result.at_fault, len(result.rows)) == (number, min(number, 20))
        with good.begin() as connection:
            connection.execute(delete(ip_inventory).where(ip_inventory.c.created_at == BROKEN_AT))


def test_addresses_are_recounted_that_were_active_on_the_days_or_were_so_as_it_was_thought(good: Warehouse) -> None:
    break_by_hand(good, "UPDATE ip_inventory SET session_count = session_count + 1 WHERE ip_address = '8.8.8.8'")
    with good.begin() as connection:
        seen = datetime(2026, 3, 20, tzinfo=UTC)
        connection.execute(
            insert(ip_inventory).values(
                ip_address="9.9.9.9", session_count=1, first_seen=seen, last_seen=seen, created_at=BROKEN_AT
            )
        )
    for days, expected in (("2026-03-20", ["9.9.9.9"]), ("2026-03-19", []), (None, ["8.8.8.8"])):
        result = run(good, "address_counts", DAYS if days is None else span(days))
        assert [str(row[0]) for row in result.rows] == expected


def test_only_the_days_asked_for_are_checked(good: Warehouse) -> None:
    break_by_hand(good, "UPDATE session_summaries SET event_count = event_count + 1 WHERE session_id = 'a'")
    assert not run(good, "session_counts", span("2026-03-01")).passed
    assert run(good, "session_counts", span("2026-03-02", "2026-03-03")).passed


def test_a_session_of_before_cowrie_is_implausible(good: Warehouse) -> None:
    break_by_hand(
        good, "UPDATE session_summaries SET first_event_at = '2013-12-31 23:59:59.999999' WHERE session_id = 'c'"
    )
    assert run(good, "implausible_times", span("2013-12-31")).at_fault == 1


def test_the_share_of_dead_letters_is_a_setting(good: Warehouse) -> None:
    assert run(good, "dead_letter_share").passed, "1 of 201 lines"
    strict = run(good, "dead_letter_share", settings=Settings(dead_letter_share=0.004))
    assert [row[1:] for row in strict.rows] == [(201, 1)]


def test_the_floor_of_coverage_is_a_setting(good: Warehouse) -> None:
    break_by_hand(good, "UPDATE ip_inventory SET geo_country = NULL WHERE ip_address = '8.8.8.8'")
    assert run(good, "coverage_of_ip_inventory", settings=Settings(coverage_floor=0.5)).passed, "1 of 2 is 50 %"
    strict = run(good, "coverage_of_ip_inventory")
    assert strict.rows == ((date(2026, 3, 1), "geo_country", 2, 1, "below the floor of 95%"),)


def test_coverage_looks_at_values_and_leaves_bogons_out(good: Warehouse) -> None:
    with good.read() as connection:
        found = {
            (each.day.day, each.asset, each.field): (each.known, each.total)
            for each in coverage_by_day(connection, DAYS)
        }
    shown_only = ("asn_type", "geo_city", "ip_type", "is_scanner", "organization_country", "rir_registry")
    assert {field for _, _, field in found if field in shown_only} == set(shown_only)
    assert {key: counts for key, counts in found.items() if key[2] not in shown_only} == {
        (day, asset, name): counts
        for day, asset, names, counts in (
            (1, "ip_inventory", ("current_asn", "geo_country"), (2, 2)),
            (2, "ip_inventory", ("current_asn", "geo_country"), (1, 1)),
            (3, "ip_inventory", ("current_asn", "geo_country"), (1, 1)),
            (1, "asn_inventory", ("organization_name",), (2, 2)),
            (2, "asn_inventory", ("organization_name",), (1, 1)),
            (3, "asn_inventory", ("organization_name",), (1, 1)),
            (1, "session_snapshots", ("snapshot_basis", "snapshot_asn", "snapshot_country"), (2, 2)),
            (3, "session_snapshots", ("snapshot_basis", "snapshot_asn", "snapshot_country"), (1, 1)),
        )
        for name in names
    }


def test_the_answers_of_a_source_are_judged_by_day(good: Warehouse) -> None:
    assert run(good, "coverage_of_ip_inventory").passed
    break_by_hand(
        good,
        'UPDATE ip_inventory SET enrichment = \'{"cymru": {"status": "error"}, "maxmind": '
        '{"status": "not_applicable"}}\' WHERE ip_address = \'8.8.8.8\'',
    )
    failed = run(good, "coverage_of_ip_inventory")
    assert [row[1:] for row in failed.rows] == [("answers of cymru", 1, 0, "below the floor of 95%")]


def test_every_source_is_counted_by_day_and_outcome(good: Warehouse) -> None:
    with good.read() as connection:
        found = look_ups_by_day(connection, DAYS)
    passwords = {(day, status, count) for day, source, status, count in found if source == "pwned_passwords"}
    assert passwords == {(date(2026, 3, 1), "hit", 1), (date(2026, 3, 3), "hit", 1)}
    assert {row for row in found if row[0] == date(2026, 3, 1) and row[1] != "pwned_passwords"} == {
        (date(2026, 3, 1), "maxmind", "hit", 2),
        (date(2026, 3, 1), "cymru_asn", "hit", 2),
        (date(2026, 3, 1), "virustotal", "hit", 1),
    }


NETWORK_FAILS = (
    'UPDATE asn_inventory SET enrichment = \'{"cymru_asn": {"status": "error"}, "maxmind": {"status": "hit"}}\''
)


def test_the_answers_about_networks_are_judged_with_the_networks(good: Warehouse) -> None:
    break_by_hand(good, NETWORK_FAILS)
    assert {row[1] for row in run(good, "coverage_of_asn_inventory").rows} == {"answers of cymru_asn"}
    assert run(good, "coverage_of_ip_inventory").passed


def test_a_source_that_could_not_be_asked_is_neither_counted_nor_judged(good: Warehouse) -> None:
    break_by_hand(
        good,
        NETWORK_FAILS,
        'UPDATE ip_inventory SET enrichment = \'{"greynoise": {"status": "error"}, "cymru": {"status": "error"}}\'',
        "UPDATE ip_inventory SET enrichment_sources = 'maxmind+not_greynoise'",
    )
    assert run(good, "coverage_of_ip_inventory").passed
    assert run(good, "coverage_of_asn_inventory").passed
    with good.read() as connection:
        assert {row[1] for row in look_ups_by_day(connection, DAYS)} == {"virustotal", "pwned_passwords"}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(offline=True, services=WITH_KEY.services),
        Settings(services={name: ServiceSettings(enabled=False, key="k") for name in Settings().services}),
    ],
    ids=["no key", "offline", "off"],
)
def test_a_service_that_is_not_configured_is_not_judged(good: Warehouse, settings: Settings) -> None:
    break_by_hand(good, "UPDATE file_reputation SET status = 'error'")
    assert not run(good, "coverage_of_file_reputation").passed
    assert run(good, "coverage_of_file_reputation", settings=settings).passed


def test_what_a_budget_did_not_reach_is_shown_and_no_failure(good: Warehouse) -> None:
    break_by_hand(
        good,
        "UPDATE file_reputation SET status = 'skipped_budget'",
        "UPDATE ip_inventory SET enrichment_sources = 'greynoise', enrichment = '{\"greynoise\": "
        '{"status": "skipped_budget"}}\'',
    )
    assert run(good, "coverage_of_file_reputation").passed
    assert run(good, "coverage_of_ip_inventory").passed
    with good.read() as connection:
        found = look_ups_by_day(connection, DAYS)
    assert (date(2026, 3, 1), "greynoise", "skipped_budget", 2) in found
    assert (date(2026, 3, 1), "virustotal", "skipped_budget", 1) in found


# ---- judging coverage

TODAY = date(2026, 3, 10)


def known(share: float, days_ago: int = 0, field: str = "asn") -> Coverage:
    return Coverage(TODAY - timedelta(days=days_ago), "ip_inventory", field, 100, round(100 * share))


@pytest.mark.parametrize(
    ("coverages", "reasons"),
    [
        ([known(1.0)], []),
        ([known(0.5)], []),
        ([known(0.49)], ["below the floor of 50%"]),
        ([Coverage(TODAY, "ip_inventory", "asn", 0, 0)], []),
        ([known(0.7), known(0.9, 1)], []),
        ([known(0.69), known(0.9, 1)], ["90% in the days before"]),
        ([known(0.69), known(0.9, 7)], ["90% in the days before"]),
        ([known(0.69), known(0.9, 8)], []),
        ([known(0.7), known(1.0, 1), known(0.8, 2)], []),
        ([known(0.69), known(1.0, 1), known(0.8, 2)], ["90% in the days before"]),
        ([known(0.69), known(0.9, 1, "country")], []),
        ([known(0.4), known(0.9, 1)], ["below the floor of 50%"]),
        ([known(0.1, 1), known(0.9)], []),
        ([known(0.4), known(0.4, 0, "country")], ["below the floor of 50%"] * 2),
    ],
)
def test_coverage_is_too_low_below_the_floor_or_after_a_drop(coverages: list[Coverage], reasons: list[str]) -> None:
    for order in (coverages, coverages[::-1]):
        judged = judge_coverage(order, DayRange(TODAY, TODAY), floor=0.5, drop=0.2)
        assert [reason for _, reason in judged] == reasons
        assert {each.day for each, _ in judged} <= {TODAY}


# ---- what each check says of itself


def test_every_check_says_what_holds_and_what_to_do() -> None:
    for check in all_checks():
        assert check.asset in ASSETS
        assert len(check.title) > 20
        assert not check.title.endswith(".")
        assert len(check.why) > 40
        assert check.why.endswith((".", ".)"))
        assert len(check.remedy) > 40
        assert check.remedy.endswith(".")
        assert check.severity in Severity
        assert not (check.blocks and check.severity is Severity.WARN), "a warning does not stop what comes after"


def test_no_two_checks_have_one_name() -> None:
    assert len(all_checks()) == len(CHECKS)


@pytest.mark.parametrize("name", sql_files("checks"))
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_file_of_a_check_has_a_header_that_can_be_used(name: str, dialect: str) -> None:
    found = read_sql(name, dialect)
    assert {"asset", "severity", "blocks", "title", "why", "remedy"} <= found.header.keys()
    assert found.header["blocks"] in ("yes", "no")
    assert found.header["severity"] in ("error", "warn")
    assert set(re.findall(r"(?<!:):([a-z_]+)", found.statement)) <= PARAMETERS
    assert name.removeprefix("checks/") in CHECKS
    assert not re.search(r"NOT\s+IN\s*\(", found.statement, re.IGNORECASE), "NOT IN finds nothing beside a NULL"
