"""With `hash_passwords` no tried password is anywhere in the database, and all else is as it is without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.cowrie.segments import lines_of
from cowrie_pipeline.cowrie.text import unescape_text
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.scan_logs import ScanReport, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import dead_letters, log_files, log_segments, login_attempts, metadata
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    closed,
    command,
    connect,
    event,
    facts,
    load,
    login,
    rows,
)

DAY = "2026-03-01"
# Each can be told from whatever else is in a database.
PASSWORDS = ("Zq7!first-secret", "Zq7!zweites-Geheimnis-ß", 'Zq7!"quoted"{', "Zq7!nul\0inside", "Zq7!admin")
MARK = "Zq7!"


def attempt(number: int, password: Any, **fields: Any) -> Event:
    message = f"login attempt [root/{password}] failed"
    return login(f"{DAY} 10:00:{number:02}", password=password, message=message, **fields)


def events() -> list[Event]:
    return [
        connect(f"{DAY} 10:00"),
        *(attempt(number, password) for number, password in enumerate(PASSWORDS, 1)),
        attempt(20, PASSWORDS[0]),  # tried again
        login(f"{DAY} 10:01", succeeded=True, password=PASSWORDS[4], message=["login attempt", PASSWORDS[4]]),
        command(f"{DAY} 10:02", "echo password", message="CMD: echo password"),
        event(f"{DAY} 10:03", "of.a.later.version", password=PASSWORDS[1], message="login attempt"),
        closed(f"{DAY} 10:04"),
    ]


def write(folder: Path) -> Path:
    lines = [json.dumps(each, ensure_ascii=False) for each in events()]
    lines.append(json.dumps(attempt(30, MARK * 2))[:-30])  # cut by a crash, behind the password
    lines.append(json.dumps(attempt(31, MARK * 3))[90:])  # and before it
    lines.append(json.dumps(f"login attempt [root/{MARK}]"))  # JSON, and no object
    lines.append(json.dumps(events()[1] | {"timestamp": "yesterday"}))
    path = folder / "cowrie.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("\n".join([*lines, *lines[:3], ""]).encode())
    return path


def scan(warehouse: Warehouse, folder: Path, *, hashed: bool, max_line_bytes: int = 4096) -> ScanReport:
    settings = Settings(hash_passwords=hashed, max_line_bytes=max_line_bytes)
    return scan_logs(warehouse, [str(folder)], settings=settings, now=NOW)


def kept_lines(warehouse: Warehouse) -> list[bytes]:
    with warehouse.read() as connection:
        segments = connection.execute(select(log_segments.c.lines)).scalars().all()
    return [line for each in segments for line in lines_of(bytes(each))]


def everything(warehouse: Warehouse) -> Iterator[bytes]:
    """Yield all that a reader of the database could find: every value of every table, kept lines and files."""
    with warehouse.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    as_bytes = bytes(value) if isinstance(value, bytes | memoryview) else b""
                    yield as_bytes or json.dumps(value, default=str, ensure_ascii=False).encode(errors="surrogatepass")
    yield from kept_lines(warehouse)
    if warehouse.dialect == "sqlite":
        assert warehouse.url.database is not None
        for path in Path(warehouse.url.database).parent.glob(f"{Path(warehouse.url.database).name}*"):
            yield path.read_bytes()


def secrets_in(warehouse: Warehouse) -> list[bytes]:
    return [each[:200] for each in everything(warehouse) if MARK.encode() in each]


@pytest.fixture
def pair(databases: Databases) -> Iterator[tuple[Warehouse, Warehouse]]:
    """Two databases of one kind."""
    urls = [databases.fresh(), databases.fresh()]
    warehouses = [Warehouse(url) for url in urls]
    yield warehouses[0], warehouses[1]
    for warehouse, url in zip(warehouses, urls, strict=True):
        warehouse.dispose()
        databases.drop(url)


def test_no_password_is_anywhere_in_the_database_and_all_else_is_the_same(
    pair: tuple[Warehouse, Warehouse], tmp_path: Path
) -> None:
    clear, hashed = pair
    write(tmp_path / "logs")
    reports = [scan(warehouse, tmp_path / "logs", hashed=warehouse is hashed) for warehouse in pair]
    for warehouse in pair:
        load(warehouse, DAY)
        World(lambda _address: 64500).enrich(warehouse, DAY)
    # what is looked for can be found: in kept lines and in other places
    assert any(MARK.encode() in each for each in kept_lines(clear))
    assert len(secrets_in(clear)) > len(PASSWORDS)
    assert secrets_in(hashed) == []

    in_clear, in_hashes = ((each.lines, each.events, each.duplicates, each.dead_letters) for each in reports)
    assert in_clear == in_hashes
    assert reports[0].dead_letters == 4
    wanted, found = facts(clear, without=["password"]), facts(hashed, without=["password"])
    assert found == wanted
    tried, kept = (rows(warehouse, login_attempts) for warehouse in pair)
    assert [row["password"] for row in kept] == [f"sha1:{sha1_of(unescape_text(row['password']))}" for row in tried]


def test_the_same_log_is_known_again_whichever_way_it_was_kept(warehouse: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "logs")
    first = scan(warehouse, tmp_path / "logs", hashed=True)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "cowrie.json").write_bytes(b"\n" + (tmp_path / "logs" / "cowrie.json").read_bytes())
    again = scan(warehouse, tmp_path / "copy", hashed=True)
    assert (again.events, again.dead_letters) == (0, 0)
    assert again.duplicates == first.lines
    assert secrets_in(warehouse) == []


def test_days_that_are_made_again_of_the_lines_kept_are_the_same(warehouse: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "logs")
    scan(warehouse, tmp_path / "logs", hashed=True)
    load(warehouse, DAY)
    before = facts(warehouse, [login_attempts])
    assert {row["password"] for row in before["login_attempts"]} == {f"sha1:{sha1_of(each)}" for each in PASSWORDS}
    with warehouse.begin() as connection:
        connection.exec_driver_sql("DELETE FROM loaded_days")
    load(warehouse, DAY)
    assert facts(warehouse, [login_attempts]) == before


def test_a_line_that_is_too_long_shows_nothing_of_itself(warehouse: Warehouse, tmp_path: Path) -> None:
    path = write(tmp_path / "logs")
    path.write_bytes(path.read_bytes() + json.dumps(attempt(40, MARK * 2000)).encode() + b"\n")
    scan(warehouse, tmp_path / "logs", hashed=True)
    assert "too_long" in {str(row["reason"]) for row in rows(warehouse, dead_letters)}
    assert secrets_in(warehouse) == []


@pytest.mark.parametrize("cut", [120, 180, 240])
def test_half_a_line_that_may_hold_a_password_is_not_kept(warehouse: Warehouse, tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    whole = json.dumps(attempt(1, MARK * 8)).encode()
    assert len(whole) > cut
    first = json.dumps(connect(f"{DAY} 10:00")).encode() + b"\n" + whole[:cut]
    second = whole[cut:] + b"\n" + json.dumps(closed(f"{DAY} 10:04")).encode() + b"\n"
    (folder / "cowrie.json.1").write_bytes(first)
    (folder / "cowrie.json").write_bytes(second)
    report = scan(warehouse, folder, hashed=True)
    assert secrets_in(warehouse) == []
    assert (report.lines, report.events, report.dead_letters) == (4, 2, 2)
    for row in rows(warehouse, log_files):
        assert row["head_fragment"] is None


@pytest.mark.parametrize("cut", [1, 60, 120, 180, 240, 260])
@pytest.mark.parametrize("before", [0, 1])
def test_a_log_in_that_was_half_written_when_it_was_read_is_one_event_when_it_is_whole(
    pair: tuple[Warehouse, Warehouse], tmp_path: Path, cut: int, before: int
) -> None:
    whole = json.dumps(attempt(1, MARK * 8)).encode() + b"\n"
    first = (json.dumps(connect(f"{DAY} 10:00")).encode() + b"\n") * before
    last = json.dumps(closed(f"{DAY} 10:04")).encode() + b"\n"
    path = tmp_path / "cowrie.json"
    reports = []
    for content in (first + whole[:cut], first + whole[: cut + 5], first + whole + last):
        path.write_bytes(content)
        reports.append([scan(warehouse, path, hashed=warehouse is pair[1]) for warehouse in pair])
        assert secrets_in(pair[1]) == []
    for of_clear, of_hashed in reports:
        assert (of_clear.lines, of_clear.events) == (of_hashed.lines, of_hashed.events)
        assert of_clear.dead_letters == of_hashed.dead_letters
    of_clear, of_hashed = reports[-1]
    assert (of_hashed.lines, of_hashed.events, of_hashed.dead_letters) == (2 + before, 2 + before, 0)
    for warehouse in pair:
        load(warehouse, DAY)
    assert facts(pair[0], without=["password"]) == facts(pair[1], without=["password"])
