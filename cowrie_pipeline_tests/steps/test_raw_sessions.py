"""Days made from lines kept: which sessions come of them, whatever was read first."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from cowrie_pipeline.cowrie.text import unescape_text
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import raw_sessions
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.raw_sessions import DaySessions, load_days
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    client_keys,
    commands,
    ip_inventory,
    loaded_days,
    login_attempts,
    session_days,
    session_files,
    session_summaries,
    tunnels,
)
from cowrie_pipeline_tests.conftest import SHARED_DATA, Databases
from cowrie_pipeline_tests.steps.made_days import (
    ADDRESS,
    FACT_TABLES,
    NOW,
    SESSION_TABLES,
    Event,
    closed,
    command,
    connect,
    event,
    facts,
    load,
    load_events,
    login,
    one,
    rows,
    scan,
    span,
    write_log,
)

EXPECTED: dict[str, dict[str, Any]] = (
    json.loads((SHARED_DATA / "expected.json").read_text()) if SHARED_DATA.is_dir() else {"(absent)": {}}
)
OTHER_ADDRESS = "198.51.100.9"


@pytest.fixture(scope="session")
def both(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Databases, Databases]:
    """Both kinds of databases at once, to compare what comes of them."""
    folder = tmp_path_factory.mktemp("both")
    return Databases("sqlite", folder, None), Databases("postgresql", folder, postgres_url)


@pytest.fixture
def pair(both: tuple[Databases, Databases]) -> Iterator[tuple[Warehouse, Warehouse]]:
    """A fresh warehouse of each kind."""
    urls = [each.fresh() for each in both]
    warehouses = Warehouse(urls[0]), Warehouse(urls[1])
    yield warehouses
    for databases, url, warehouse in zip(both, urls, warehouses, strict=True):
        warehouse.dispose()
        databases.drop(url)


def assert_sound(warehouse: Warehouse, days: DayRange) -> None:
    """Hold the database to every check that is an error."""
    with warehouse.read() as connection:
        for check in all_checks():
            if check.severity is Severity.ERROR and check.asset == "raw_sessions":
                result = check.run(connection, days, Settings(), NOW)
                assert result.passed, (check.name, result)


# ---- real logs


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", sorted(EXPECTED))
def test_real_logs_give_the_counts_expected_and_the_same_facts_on_both_databases(
    folder: str, pair: tuple[Warehouse, Warehouse]
) -> None:
    expected = EXPECTED[folder]
    found = []
    for warehouse in pair:
        scanned = scan_logs(warehouse, [str(SHARED_DATA / "logs" / folder)], settings=Settings(), now=NOW)
        days = DayRange(min(scanned.days), max(scanned.days))
        report = load_days(warehouse, days, now=NOW)
        sessions = rows(warehouse, session_summaries)
        kinds = Counter[str]()
        for session in sessions:
            kinds.update(session["event_counts"])
        without_session = sum(day.events_without_session for day in report.days.values())
        began = Counter(session["first_event_at"].date().isoformat() for session in sessions)
        crossing = Counter(row["session_key"] for row in rows(warehouse, session_days))
        assert len(sessions) == expected["sessions"]
        assert len(rows(warehouse, ip_inventory)) == expected["ips"]
        assert kinds.total() + without_session == expected["events"]
        assert kinds.items() <= expected["kinds"].items() if without_session else kinds == expected["kinds"]
        assert began == expected["sessions_by_start_day"]
        assert {day.isoformat(): each.sessions for day, each in report.days.items() if each.sessions} == began
        assert sum(parts > 1 for parts in crossing.values()) == expected["crossing"]
        assert_sound(warehouse, days)
        found.append(facts(warehouse, FACT_TABLES))
    for table in FACT_TABLES:
        assert found[0][table.name] == found[1][table.name], table.name


# ---- days that are one session

CROSSING = (
    [connect("2026-03-01 23:50"), login("2026-03-01 23:51", succeeded=True), command("2026-03-01 23:52", "uname -a")],
    [
        command("2026-03-02 00:05", "wget http://x.example/a"),
        event("2026-03-02 00:06", "session.file_download", url="http://x.example/a", shasum="AB" * 32),
        event("2026-03-02 00:07", "direct-tcpip.request", dst_ip="ya.ru", dst_port=443),
        event(
            "2026-03-02 00:08", "client.fingerprint", username="root", fingerprint="aa:bb", key="AAAA", type="ssh-rsa"
        ),
        closed("2026-03-02 00:10", duration=1200.5),
    ],
)
THREE_DAYS = (
    [connect("2026-03-01 23:00"), command("2026-03-01 23:30", "one")],
    [command("2026-03-02 09:00", "two"), login("2026-03-02 10:00")],
    [command("2026-03-03 08:00", "three"), closed("2026-03-03 08:30", duration=34200.0)],
)


def in_every_order(number: int) -> list[Any]:
    """Return every way to load days: each order one by one, all together, and each one first and then all."""
    alone = [tuple((index, index) for index in order) for order in permutations(range(number))]
    together = [((0, number - 1),), *(((index, index), (0, number - 1)) for index in range(number))]
    return [*alone, *together]


def made_of(parts: tuple[list[Event], ...], warehouse: Warehouse, folder: Path, order: Any) -> DayRange:
    days = [part[0]["timestamp"][:10] for part in parts]
    for first, last in order:
        for index in range(first, last + 1):
            scan(warehouse, write_log(folder / f"cowrie.json.{days[index]}", parts[index]))
        load(warehouse, days[first], days[last])
    return span(days[0], days[-1])


@pytest.mark.parametrize("order", in_every_order(2))
def test_a_session_that_crosses_midnight_is_one_session(warehouse: Warehouse, tmp_path: Path, order: Any) -> None:
    days = made_of(CROSSING, warehouse, tmp_path, order)
    session = one(warehouse, session_summaries)
    assert session["session_key"] == min(rows(warehouse, session_days), key=lambda row: row["day"])["session_day_key"]
    assert session["first_event_at"] == datetime(2026, 3, 1, 23, 50, tzinfo=UTC)
    assert session["last_event_at"] == datetime(2026, 3, 2, 0, 10, tzinfo=UTC)
    assert session["event_count"] == 8
    assert (session["command_count"], session["file_download_count"], session["tunnel_count"]) == (2, 1, 1)
    assert session["duration_ms"] == 1_200_500
    assert session["is_closed"]
    for table in DETAIL_TABLES:
        assert {row["session_key"] for row in rows(warehouse, table)} == {session["session_key"]}, table.name
    assert one(warehouse, ip_inventory)["session_count"] == 1
    assert_sound(warehouse, days)


@pytest.mark.parametrize("order", in_every_order(3))
def test_a_session_over_three_days_is_one_session(warehouse: Warehouse, tmp_path: Path, order: Any) -> None:
    days = made_of(THREE_DAYS, warehouse, tmp_path, order)
    session = one(warehouse, session_summaries)
    assert session["event_count"] == 6
    assert {row["session_key"] for row in rows(warehouse, session_days)} == {session["session_key"]}
    assert [row["input"] for row in rows(warehouse, commands)] != []
    assert {row["session_key"] for row in rows(warehouse, commands)} == {session["session_key"]}
    address = one(warehouse, ip_inventory)
    assert (address["session_count"], address["first_seen"]) == (1, session["first_event_at"])
    assert_sound(warehouse, days)


def test_the_report_counts_a_session_on_the_day_on_which_it_began(warehouse: Warehouse, tmp_path: Path) -> None:
    made_of(CROSSING, warehouse, tmp_path, ((0, 1),))
    report = load(warehouse, "2026-03-01", "2026-03-03")
    assert report.days == {
        date(2026, 3, 1): DaySessions(session_days=1, sessions=1, events=3),
        date(2026, 3, 2): DaySessions(session_days=1, sessions=0, events=5),
        date(2026, 3, 3): DaySessions(),
    }


def test_an_id_that_comes_back_after_months_is_another_session(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [login("2026-01-05 10:00"), login("2026-03-05 10:00")])
    assert [row["event_count"] for row in rows(warehouse, session_summaries)] == [1, 1]
    assert one(warehouse, ip_inventory)["session_count"] == 2


def test_an_id_used_from_two_addresses_at_once_is_two_sessions(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [login("2026-03-05 10:00"), login("2026-03-05 10:00", src_ip=OTHER_ADDRESS), closed("2026-03-05 10:01")],
    )
    assert {row["source_ip"]: row["event_count"] for row in rows(warehouse, session_summaries)} == {
        ADDRESS: 2,
        OTHER_ADDRESS: 1,
    }


def test_an_id_used_at_two_sensors_is_two_sessions(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [login("2026-03-05 10:00"), login("2026-03-05 10:00", sensor="honeypot-2")])
    assert {row["sensor"] for row in rows(warehouse, session_summaries)} == {"honeypot-1", "honeypot-2"}


def test_a_late_connection_splits_what_was_taken_for_one_session(warehouse: Warehouse, tmp_path: Path) -> None:
    first, second = [command("2026-03-01 23:00", "one")], [command("2026-03-02 01:00", "two")]
    made_of((first, second), warehouse, tmp_path, ((0, 1),))
    assert len(rows(warehouse, session_summaries)) == 1
    scan(warehouse, write_log(tmp_path / "late.json", [connect("2026-03-02 00:30")]))
    load(warehouse, "2026-03-02")
    assert [(row["event_count"], row["command_count"]) for row in rows(warehouse, session_summaries)] in (
        [(1, 1), (2, 1)],
        [(2, 1), (1, 1)],
    )
    keys = {row["day"]: row["session_key"] for row in rows(warehouse, session_days)}
    assert {row["event_at"].date(): row["session_key"] for row in rows(warehouse, commands)} == keys
    assert_sound(warehouse, span("2026-03-01", "2026-03-02"))


def test_events_without_an_address_belong_to_the_session_nearest_in_time(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            login("2026-03-05 10:00"),
            event("2026-03-05 10:01", "virustotal.scanfile", src_ip=None, sha256="a" * 64),
            login("2026-03-05 20:00", src_ip=OTHER_ADDRESS),
        ],
    )
    sessions = {row["source_ip"]: row for row in rows(warehouse, session_summaries)}
    assert sessions[ADDRESS]["event_counts"] == {"cowrie.login.failed": 1, "cowrie.virustotal.scanfile": 1}
    assert sessions[OTHER_ADDRESS]["event_count"] == 1


def test_details_stay_with_their_own_session_when_events_without_an_address_move(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """One id, three sources: what has no address goes over to a nearer session and takes only its own along."""
    second = [command("2026-03-02 00:10", "nobody's", src_ip=None), command("2026-03-02 12:00", "mine")]
    first = [command("2026-03-01 23:59", "theirs", src_ip=OTHER_ADDRESS)]
    days = made_of((first, second), warehouse, tmp_path, ((1, 1), (0, 0)))
    of_key = {row["session_key"]: row["source_ip"] for row in rows(warehouse, session_summaries)}
    assert {row["input"]: of_key[row["session_key"]] for row in rows(warehouse, commands)} == {
        "theirs": OTHER_ADDRESS,
        "nobody's": OTHER_ADDRESS,
        "mine": ADDRESS,
    }
    assert_sound(warehouse, days)


def test_an_address_is_seen_from_when_its_session_began_although_that_day_does_not_name_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    first = [command("2026-03-01 23:50", "without an address", src_ip=None)]
    second = [command("2026-03-02 00:10", "with one")]
    for order in (((1, 1), (0, 0)), ((0, 1),)):
        made_of((first, second), warehouse, tmp_path, order)
        address = one(warehouse, ip_inventory)
        assert address["first_seen"] == datetime(2026, 3, 1, 23, 50, tzinfo=UTC)
        with warehouse.read() as connection:
            check = next(check for check in all_checks() if check.name == "address_counts")
            assert check.run(connection, span("2026-03-01", "2026-03-02"), Settings(), NOW).passed


# ---- loading again


def test_a_day_is_replaced_when_a_late_file_brings_more_of_it(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [connect("2026-03-05 10:00"), login("2026-03-05 10:01"), command("2026-03-05 10:02", "id")]
    load_events(warehouse, tmp_path, events)
    late = [login("2026-03-05 10:01:30", succeeded=True), connect("2026-03-05 11:00", session="ffff00001111")]
    scan(warehouse, write_log(tmp_path / "late.json", late))
    report = load(warehouse, "2026-03-05")
    assert report.made == (date(2026, 3, 5),)
    assert report.days[date(2026, 3, 5)] == DaySessions(session_days=2, sessions=2, events=5)
    counts = {row["session_id"]: row["event_count"] for row in rows(warehouse, session_summaries)}
    assert counts == {"0a1b2c3d4e5f": 4, "ffff00001111": 1}
    assert len(rows(warehouse, login_attempts)) == 2
    assert len(rows(warehouse, commands)) == 1
    assert one(warehouse, ip_inventory)["session_count"] == 2


def test_nothing_is_made_again_when_nothing_has_changed(warehouse: Warehouse, tmp_path: Path) -> None:
    assert load_events(warehouse, tmp_path, CROSSING[0]).made == (date(2026, 3, 1),)
    before = rows(warehouse, login_attempts), rows(warehouse, loaded_days)
    again = load(warehouse, "2026-03-01", "2026-03-09", now=datetime(2027, 1, 1, tzinfo=UTC))
    assert again.made == ()
    assert again.days[date(2026, 3, 1)] == DaySessions(session_days=1, sessions=1, events=3)
    assert (rows(warehouse, login_attempts), rows(warehouse, loaded_days)) == before


def test_every_day_is_made_again_and_alike_when_the_code_has_changed(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = made_of(THREE_DAYS, warehouse, tmp_path, ((0, 2),))
    before = facts(warehouse, without={"derivation"})
    monkeypatch.setattr(raw_sessions, "DERIVATION", raw_sessions.DERIVATION + 1)
    assert load_days(warehouse, days, now=NOW).made == tuple(days)
    assert facts(warehouse, without={"derivation"}) == before
    assert load_days(warehouse, days, now=NOW).made == ()


def test_a_day_can_be_made_again_by_deleting_its_row_of_loaded_days(warehouse: Warehouse, tmp_path: Path) -> None:
    """So the remedies of the checks say."""
    days = made_of(CROSSING, warehouse, tmp_path, ((0, 1),))
    before = facts(warehouse)
    with warehouse.begin() as connection:
        connection.execute(delete(loaded_days))
        connection.execute(update(session_days).values(login_failed_count=99))
    assert load_days(warehouse, days, now=NOW).made == tuple(days)
    assert facts(warehouse) == before


def test_days_asked_for_are_made_in_groups_and_progress_reaches_its_end(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_sessions, "_EVENTS_TOGETHER", 3)
    scan(warehouse, *(write_log(tmp_path / f"{n}.json", part) for n, part in enumerate((*THREE_DAYS, CROSSING[1]))))
    seen: list[tuple[int, int]] = []
    load_days(warehouse, span("2026-03-01", "2026-03-03"), now=NOW, on_progress=lambda *step: seen.append(step))
    assert seen == [(2, 11), (9, 11), (11, 11)]
    assert one(warehouse, session_summaries)["event_count"] == 11


def test_parts_of_a_session_folded_apart_add_up(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_sessions, "_EVENTS_AT_ONCE", 1)
    parts = (
        [command("2026-03-05 10:03", "ls", kind="success"), login("2026-03-05 10:01")],
        [connect("2026-03-05 10:00"), login("2026-03-05 10:02", succeeded=True)],
        [closed("2026-03-05 10:05", duration_ms=5000), command("2026-03-05 10:04", "x", kind="failed")],
    )
    scan(warehouse, *(write_log(tmp_path / f"{n}.json", part) for n, part in enumerate(parts)))
    load(warehouse, "2026-03-05")
    session = one(warehouse, session_summaries)
    assert session["event_count"] == 6
    assert session["event_counts"] == {
        "cowrie.command.failed": 1,
        "cowrie.command.success": 1,
        "cowrie.login.failed": 1,
        "cowrie.login.success": 1,
        "cowrie.session.closed": 1,
        "cowrie.session.connect": 1,
    }
    assert (session["command_count"], session["command_failed_count"], session["duration_ms"]) == (2, 1, 5000)
    assert one(warehouse, session_days)["first_connect_at"] == datetime(2026, 3, 5, 10, tzinfo=UTC)


# ---- what a session is made of


def test_a_session_without_an_address_keeps_its_counters(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse, tmp_path, [login("2026-03-05 10:00", src_ip=None), command("2026-03-05 10:01", "id", src_ip=None)]
    )
    session = one(warehouse, session_summaries)
    assert (session["source"], session["source_ip"]) == ("", None)
    assert (session["event_count"], session["login_failed_count"], session["command_count"]) == (2, 1, 1)
    assert rows(warehouse, ip_inventory) == []


def test_a_hashed_address_tells_sessions_apart_and_is_no_address(warehouse: Warehouse, tmp_path: Path) -> None:
    hashes = ["a" * 64, "b" * 64]
    load_events(warehouse, tmp_path, [login("2026-03-05 10:00", src_ip=each) for each in hashes])
    assert sorted(row["source"] for row in rows(warehouse, session_summaries)) == hashes
    assert rows(warehouse, ip_inventory) == []


@pytest.mark.parametrize(
    ("logged", "canonical"),
    [
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(warehouse: Warehouse, tmp_path: Path, logged: str, canonical: str) -> None:
    load_events(
        warehouse, tmp_path, [connect("2026-03-05 10:00", src_ip=logged), login("2026-03-05 10:01", src_ip=canonical)]
    )
    assert one(warehouse, session_summaries)["event_count"] == 2
    assert one(warehouse, ip_inventory)["ip_address"] == canonical


def test_what_attackers_typed_is_kept_to_the_last_character(warehouse: Warehouse, tmp_path: Path) -> None:
    typed = "a\x00b\ud800\u241b\\x00\t\x7f\N{PILE OF POO}'\"; DROP TABLE commands; --"
    load_events(
        warehouse,
        tmp_path,
        [
            connect("2026-03-05 10:00"),
            event("2026-03-05 10:01", "client.version", version=typed),
            login("2026-03-05 10:02", username=typed, password=typed),
            command("2026-03-05 10:03", typed),
            event("2026-03-05 10:04", "session.file_upload", filename=typed, outfile=typed),
            event("2026-03-05 10:05", "direct-tcpip.data", dst_ip=typed, data=typed),
            event("2026-03-05 10:06", "client.fingerprint", username=typed, fingerprint=typed, key=typed, type=typed),
        ],
    )
    attempt, line = one(warehouse, login_attempts), one(warehouse, commands)
    file, tunnel, key = one(warehouse, session_files), one(warehouse, tunnels), one(warehouse, client_keys)
    stored = [
        one(warehouse, session_summaries)["client_version"],
        attempt["username"],
        attempt["password"],
        line["input"],
        file["file_name"],
        file["stored_as"],
        tunnel["target"],
        tunnel["data"],
        *(key[name] for name in ("username", "fingerprint", "public_key", "key_type")),
    ]
    assert all("\x00" not in each for each in stored)
    assert {unescape_text(each) for each in stored} == {typed}


def test_an_id_with_nul_is_a_session_too(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [connect("2026-03-05 10:00", session="a\x00b", sensor="s\x00")])
    session = one(warehouse, session_summaries)
    assert (unescape_text(session["session_id"]), unescape_text(session["sensor"])) == ("a\x00b", "s\x00")


def test_an_event_of_an_unknown_id_is_counted_whatever_its_id_holds(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse, tmp_path, [connect("2026-03-05 10:00"), event("2026-03-05 10:01", "brand.new\x00", what=["ever"])]
    )
    assert one(warehouse, session_summaries)["event_count"] == 2


def test_a_failed_command_counts_once(warehouse: Warehouse, tmp_path: Path) -> None:
    """Cowrie logs `command.input` and then `command.failed` for the same line."""
    load_events(
        warehouse,
        tmp_path,
        [command("2026-03-05 10:00", "nonsense"), command("2026-03-05 10:00:00.1", "nonsense", kind="failed")],
    )
    session = one(warehouse, session_summaries)
    assert (session["command_count"], session["command_failed_count"]) == (1, 1)


def test_commands_of_versions_that_log_only_outcomes_are_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            command("2026-03-05 10:00", "ls", kind="success"),
            command("2026-03-05 10:01", "id", kind="success"),
            command("2026-03-05 10:02", "nonsense", kind="failed"),
        ],
    )
    session = one(warehouse, session_summaries)
    assert (session["command_count"], session["command_failed_count"]) == (3, 1)


@pytest.mark.parametrize(
    ("fields", "milliseconds"),
    [
        ({"duration": 12.3456}, 12346),
        ({"duration": "12.3456"}, 12346),
        ({"duration_ms": 12346}, 12346),
        ({"duration": "a while"}, 90_250),
        ({"duration": -1.0}, 90_250),
        ({}, 90_250),
    ],
)
def test_a_duration_is_the_one_logged_or_the_time_between_first_and_last_event(
    warehouse: Warehouse, tmp_path: Path, fields: dict[str, Any], milliseconds: int
) -> None:
    load_events(warehouse, tmp_path, [connect("2026-03-05 23:59:00.75"), closed("2026-03-06 00:00:31.0009", **fields)])
    assert one(warehouse, session_summaries)["duration_ms"] == milliseconds


def test_uploads_are_no_downloads_and_a_failed_download_is_neither(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [
            event("2026-03-05 10:00", "session.file_download", url="http://a.example/x", shasum="AB" * 32),
            event("2026-03-05 10:01", "session.file_download.failed", url="tftp://a.example/y"),
            event("2026-03-05 10:02", "session.file_upload", filename="z", shasum="not a hash"),
        ],
    )
    session = one(warehouse, session_summaries)
    assert (session["file_download_count"], session["file_upload_count"]) == (1, 1)
    files = {row["kind"]: row for row in rows(warehouse, session_files)}
    assert files["download"]["sha256"] == "ab" * 32
    assert files["download_failed"]["url"] == "tftp://a.example/y"
    assert (files["upload"]["file_name"], files["upload"]["sha256"]) == ("z", None)


def test_a_port_that_no_database_can_hold_does_not_stop_a_day(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(
        warehouse,
        tmp_path,
        [connect("2026-03-05 10:00"), event("2026-03-05 10:01", "direct-tcpip.request", dst_ip="x", dst_port=10**30)],
    )
    assert one(warehouse, session_summaries)["tunnel_count"] == 1


def test_an_event_without_a_session_is_counted_for_its_day(warehouse: Warehouse, tmp_path: Path) -> None:
    report = load_events(
        warehouse, tmp_path, [connect("2026-03-05 10:00"), event("2026-03-05 10:01", "log.open", session=None)]
    )
    assert report.days[date(2026, 3, 5)] == DaySessions(session_days=1, sessions=1, events=2, events_without_session=1)
    assert_sound(warehouse, span("2026-03-05"))


# ---- snapshots outlive what happens to their sessions


def snap(warehouse: Warehouse, at: datetime, *conditions: Any) -> None:
    """Write a snapshot as the step would."""
    with warehouse.begin() as connection:
        connection.execute(
            update(session_summaries)
            .where(session_summaries.c.snapshot_at.is_(None), *conditions)
            .values(snapshot_basis="observed", snapshot_country="FR", snapshot_at=at, snapshot_seal=f"taken at {at}")
        )


def snapshots(warehouse: Warehouse) -> list[datetime | None]:
    with warehouse.read() as connection:
        return list(
            connection.execute(
                select(session_summaries.c.snapshot_at).order_by(session_summaries.c.first_event_at)
            ).scalars()
        )


EARLY, LATE = datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 7, tzinfo=UTC)


def test_a_snapshot_stays_when_its_session_turns_out_to_begin_a_day_earlier(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    made_of(CROSSING, warehouse, tmp_path, ((1, 1),))
    old_key = one(warehouse, session_summaries)["session_key"]
    snap(warehouse, EARLY)
    made_of(CROSSING, warehouse, tmp_path, ((0, 0),))
    session = one(warehouse, session_summaries)
    assert session["session_key"] != old_key
    taken = {name: value for name, value in session.items() if name.startswith("snapshot_") and value is not None}
    assert taken == {
        "snapshot_basis": "observed",
        "snapshot_country": "FR",
        "snapshot_at": EARLY,
        "snapshot_seal": f"taken at {EARLY}",
    }
    assert session["event_count"] == 8


@pytest.mark.parametrize(("first", "third"), [(EARLY, LATE), (LATE, EARLY)])
def test_a_session_that_swallows_another_keeps_its_own_snapshot(
    warehouse: Warehouse, tmp_path: Path, first: datetime, third: datetime
) -> None:
    made_of(THREE_DAYS, warehouse, tmp_path, ((0, 0), (2, 2)))
    boundary = datetime(2026, 3, 2, tzinfo=UTC)
    snap(warehouse, first, session_summaries.c.first_event_at < boundary)
    snap(warehouse, third, session_summaries.c.first_event_at > boundary)
    made_of(THREE_DAYS, warehouse, tmp_path, ((1, 1),))
    assert snapshots(warehouse) == [first]


def test_a_session_split_off_another_has_no_snapshot_yet(warehouse: Warehouse, tmp_path: Path) -> None:
    parts = (
        [command("2026-03-01 23:00", "one")],
        [command("2026-03-02 10:00", "two")],
        [command("2026-03-03 09:00", "three")],
    )
    made_of(parts, warehouse, tmp_path, ((0, 2),))
    snap(warehouse, EARLY)
    scan(warehouse, write_log(tmp_path / "late.json", [connect("2026-03-02 09:00")]))
    load(warehouse, "2026-03-02")
    assert snapshots(warehouse) == [EARLY, None]


def test_every_table_of_sessions_is_compared() -> None:
    """A table forgotten here would never be compared."""
    assert {table.name for table in SESSION_TABLES} >= {table.name for table in DETAIL_TABLES}
