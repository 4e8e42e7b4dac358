"""A backup is made while others write, appears whole, and gives the same facts back."""

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text

from cowrie_pipeline.warehouse.backup import back_up, restore
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import newest_version, upgrade_schema, version_of
from cowrie_pipeline.warehouse.tables import commands, enrichment_documents, step_runs
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.postgresql import OwnServer, programs
from cowrie_pipeline_tests.steps.made_days import attack, command, connect, facts, load_events, login

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _programs_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    if "COWRIE_TEST_POSTGRES_URL" not in os.environ:
        monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def filled(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """A database with a few sessions."""
    at = "2026-03-01 10:00"
    load_events(
        warehouse, tmp_path / "logs", [connect(at), login(f"{at}:01"), command(f"{at}:02", "cat /etc/passwd; 'é\\x00'")]
    )
    attack(warehouse, tmp_path / "more", "203.0.113.8", "2001:db8::1")
    return warehouse


@pytest.fixture
def empty(databases: Databases) -> Iterator[Warehouse]:
    url = databases.empty()
    warehouse = Warehouse(url)
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


def test_what_is_restored_from_a_backup_are_the_same_facts(filled: Warehouse, empty: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "cowrie.backup"
    made = back_up(filled, path)
    assert (made.path, made.size, made.version) == (path, path.stat().st_size, newest_version())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # it holds what attackers tried, and who they were
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert restore(empty, path).version == newest_version()
    assert facts(empty) == facts(filled)
    assert facts(empty)["commands"]
    assert upgrade_schema(empty) == (newest_version(), newest_version())
    # numbers go on
    for each in (filled, empty):
        with each.begin() as connection:
            connection.execute(insert(step_runs).values(step="a", started_at=NOW, seconds=1, report={}))


def write_documents(
    url: str, started: "multiprocessing.synchronize.Event", ended: "multiprocessing.synchronize.Event"
) -> None:
    """Add two rows in each transaction until told to end, so that half a transaction would be seen."""
    warehouse = Warehouse(url)
    number = 0
    while not ended.is_set():
        with warehouse.begin() as connection:
            for half in "ab":
                connection.execute(
                    insert(enrichment_documents).values(digest=f"{number}{half}", document={"is": "x" * 2000})
                )
        number += 1
        if number == 50:
            started.set()
    warehouse.dispose()


def test_a_backup_is_one_state_of_a_database_that_others_write_to(
    filled: Warehouse, empty: Warehouse, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    started, ended = context.Event(), context.Event()
    writer = context.Process(
        target=write_documents, args=(filled.url.render_as_string(hide_password=False), started, ended)
    )
    writer.start()
    assert started.wait(60)
    made = [back_up(filled, tmp_path / f"{number}.backup").path for number in range(3)]
    ended.set()
    writer.join(60)
    assert writer.exitcode == 0
    counted = []
    for path in made:
        restore(empty, path, replace=True)
        with empty.read() as connection:
            counted.append(connection.execute(select(func.count()).select_from(enrichment_documents)).scalar_one())
    assert all(number % 2 == 0 for number in counted)
    assert 100 <= counted[0] <= counted[1] <= counted[2]


def test_a_file_that_is_there_is_not_overwritten_unasked(filled: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "cowrie.backup"
    path.write_text("something dear")
    with pytest.raises(WarehouseError, match=r"is there already.*--replace"):
        back_up(filled, path)
    assert path.read_text() == "something dear"
    back_up(filled, path, replace=True)
    assert path.stat().st_size > 1000


def test_a_database_with_rows_is_only_replaced_when_that_is_said(filled: Warehouse, tmp_path: Path) -> None:
    path = back_up(filled, tmp_path / "cowrie.backup").path
    before = facts(filled)
    with filled.begin() as connection:
        connection.execute(commands.delete())
        # of a newer schema: it has to go, too
        connection.execute(text("UPDATE cowrie_schema_version SET version_num = '9999'"))
    with pytest.raises(WarehouseError, match=r"is not empty: it has a table .*--replace"):
        restore(filled, path)
    assert facts(filled)["commands"] == []
    filled.dispose()
    restore(filled, path, replace=True)
    assert facts(filled) == before
    with filled.read() as connection:
        assert version_of(connection) == newest_version()


def test_a_damaged_backup_is_refused_and_the_database_stays(filled: Warehouse, tmp_path: Path) -> None:
    path = back_up(filled, tmp_path / "cowrie.backup").path
    before = facts(filled)
    content = path.read_bytes()
    cut = tmp_path / "cut.backup"
    cut.write_bytes(content[: len(content) * 2 // 3])
    other = tmp_path / "other.backup"
    other.write_text("no backup at all")
    filled.dispose()
    for wrong in (cut, other, tmp_path / "none"):
        with pytest.raises(WarehouseError):
            restore(filled, wrong, replace=True)
        assert facts(filled) == before
        filled.dispose()
    assert not list(tmp_path.glob(".*partial*"))


def test_a_backup_of_the_other_kind_is_named(filled: Warehouse, databases: Databases, tmp_path: Path) -> None:
    path = back_up(filled, tmp_path / "cowrie.backup").path
    other = (
        Warehouse("postgresql://nobody@127.0.0.1:1/none")
        if databases.dialect == "sqlite"
        else Warehouse(f"sqlite:///{tmp_path / 'other.db'}")
    )
    with pytest.raises(WarehouseError, match=r"expected a backup of .*found one of .*db move"):
        restore(other, path)
    other.dispose()


# ---- SQLite


def test_a_database_that_another_process_uses_is_not_replaced(tmp_path: Path) -> None:
    warehouse = Warehouse(f"sqlite:///{tmp_path / 'cowrie.db'}")
    upgrade_schema(warehouse)
    path = back_up(warehouse, tmp_path / "cowrie.backup").path
    warehouse.dispose()
    with closing(sqlite3.connect(tmp_path / "cowrie.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT COUNT(*) FROM commands").fetchone()
        with pytest.raises(WarehouseError, match=r"another process uses the database.*stop the pipeline"):
            restore(warehouse, path, replace=True)
    restore(warehouse, path, replace=True)


def test_a_damaged_database_and_its_log_give_way_to_a_backup(tmp_path: Path) -> None:
    target = tmp_path / "cowrie.db"
    warehouse = Warehouse(f"sqlite:///{target}")
    attack(_upgraded(warehouse), tmp_path / "logs", "203.0.113.8")
    before = facts(warehouse)
    path = back_up(warehouse, tmp_path / "cowrie.backup").path
    warehouse.dispose()
    target.write_bytes(b"no database " * 5000)
    Path(f"{target}-wal").write_bytes(b"of another " * 5000)
    restore(warehouse, path, replace=True)
    assert facts(warehouse) == before
    warehouse.dispose()


def _upgraded(warehouse: Warehouse) -> Warehouse:
    upgrade_schema(warehouse)
    return warehouse


# ---- PostgreSQL


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    server = OwnServer()
    server.start()
    server.execute("CREATE ROLE keeper LOGIN PASSWORD 'pl4nted-s3cret'", "CREATE DATABASE kept OWNER keeper")
    yield server
    server.remove()


def test_the_password_is_in_no_process_list_and_in_no_error(
    own_server: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    for name in ("pg_dump", "pg_restore", "psql"):
        # in front of each program, one that notes how it was called
        wrapper = tmp_path / "bin" / name
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(f'#!/bin/sh\necho "$0 $@" >> {seen}\nexec {programs() / name} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    warehouse = Warehouse(own_server.url("kept", user="keeper", password="pl4nted-s3cret"))
    upgrade_schema(warehouse)
    path = back_up(warehouse, tmp_path / "kept.dump").path
    restore(warehouse, path, replace=True)
    called = seen.read_text()
    assert "pg_dump --format" in called
    assert "psql --no-psqlrc" in called
    assert "s3cret" not in called
    warehouse.dispose()
    wrong = Warehouse(own_server.url("kept", user="keeper", password="pl4nted-other"))
    with pytest.raises(WarehouseError, match="password authentication failed") as raised:
        back_up(wrong, tmp_path / "wrong.dump")
    assert "pl4nted" not in str(raised.value)
    assert not (tmp_path / "wrong.dump").exists()


def test_programs_that_are_older_than_the_server_or_missing_are_named(
    own_server: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(own_server.url("kept", user="keeper", password="pl4nted-s3cret"))
    upgrade_schema(warehouse)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(WarehouseError, match=r"needs its program pg_dump, which is not in PATH: install"):
        back_up(warehouse, tmp_path / "a.dump")
    old = tmp_path / "bin" / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    old.chmod(0o755)
    with pytest.raises(WarehouseError, match=r"PostgreSQL\) 9\.6\.1, and the server is PostgreSQL \d+: .*Install"):
        back_up(warehouse, tmp_path / "a.dump")
    warehouse.dispose()


# ---- the commands


def test_the_commands_make_a_backup_refuse_to_overwrite_and_restore(filled: Warehouse, tmp_path: Path) -> None:
    url = filled.url.render_as_string(hide_password=False)
    path, variables = tmp_path / "a.backup", {"PATH": os.environ["PATH"]}
    made = invoke(tmp_path, "db", "backup", path, "--db", url, "--json", **variables)
    assert (made.code, made.json["schema"]) == (0, newest_version())
    assert invoke(tmp_path, "db", "backup", path, "--db", url).code == 1
    before = facts(filled)
    filled.dispose()
    refused = invoke(tmp_path, "db", "restore", path, "--db", url)
    assert (refused.code, "--replace" in refused.err) == (1, True)
    done = invoke(tmp_path, "db", "restore", path, "--replace", "--db", url)
    assert (done.code, "whole and sound" in done.out) == (0, True), done.err
    assert facts(filled) == before


def test_every_check_runs_at_once_and_tells_how_it_ended(filled: Warehouse, tmp_path: Path) -> None:
    url = filled.url.render_as_string(hide_password=False)
    done = invoke(tmp_path, "db", "check", "--db", url, "--json")
    names = {each["check"]: each["passed"] for each in done.json["checks"]}
    of_storage = {"sqlite": "integrity_check", "postgresql": "valid_indexes"}[filled.dialect]
    assert names[of_storage]
    assert {"orphan_details", "dead_letter_share", "line_accounting"} <= set(names)
    assert len(names) > 40
    with filled.begin() as connection:
        connection.execute(text("UPDATE session_summaries SET command_count = 99"))
    failed = invoke(tmp_path, "db", "check", "--db", url)
    assert failed.code == 1
    assert "session_counts: not so: " in failed.out


def test_a_damaged_index_or_an_unproven_constraint_fails_the_check(filled: Warehouse, tmp_path: Path) -> None:
    url = filled.url.render_as_string(hide_password=False)
    if filled.dialect == "postgresql":
        with filled.begin() as connection:
            connection.execute(
                text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_commands_event_at'::regclass")
            )
            connection.execute(
                text("ALTER TABLE imported_sessions ADD CONSTRAINT unproven CHECK (import_key > 0) NOT VALID")
            )
        expected = {"valid_indexes": "ix_commands_event_at", "valid_constraints": "unproven"}
    else:
        with closing(sqlite3.connect(filled.url.database or "", isolation_level=None)) as connection:
            connection.execute("DELETE FROM log_files")
        expected = {"foreign_key_check": "log_segments"}
    done = invoke(tmp_path, "db", "check", "--db", url, "--json")
    assert done.code == 1
    found = {each["check"]: each for each in done.json["checks"]}
    for name, what in expected.items():
        assert what in str(found[name]["first_rows"])
