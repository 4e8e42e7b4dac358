"""A database moved to the other kind is the same there, also when the move was killed on its way."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.move_database import MoveReport, move_database
from cowrie_pipeline.warehouse import copying
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import newest_version, upgrade_schema, version_of
from cowrie_pipeline.warehouse.tables import (
    commands,
    enrichment_documents,
    imported_records,
    login_attempts,
    metadata,
    session_summaries,
    step_runs,
)
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import PROJECT, environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.steps.made_days import span

PLAN = SyntheticPlan(seed=7, first_day=date(2026, 3, 1), days=2, sessions_per_day=120, addresses=40)
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
# what a document may hold that one of the databases would like to write in its own way
DOCUMENT = {"b": 1.0, "a": [1e22, -0.0, 1e-7, 10**18, 0.1, None, True, "é ☃ \\u0000"], "long": {"z": {}, "y": []}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database as runs leave it, with rows in the tables that runs seldom fill."""
    folder = tmp_path_factory.mktemp("filled")
    write_logs(PLAN, folder / "logs")
    write_geoip(folder / "geoip", (GeoRow(**asdict(each)) for each in networks(PLAN)))
    path = folder / "cowrie.db"
    done = invoke(
        folder, "run", "--logs", folder / "logs", "--db", f"sqlite:///{path}", COWRIE_GEOIP_DIR=folder / "geoip"
    )
    assert done.code == 0, done.err
    warehouse = Warehouse(f"sqlite:///{path}")
    with warehouse.begin() as connection:
        connection.execute(insert(enrichment_documents).values(digest="d", document={"a": 1}))
        connection.execute(
            insert(imported_records).values(
                source="s", part="files", legacy_key="1", target_key="x", legacy_document="d", facts=DOCUMENT
            )
        )
        # numbers with gaps, as deleted rows leave them
        connection.execute(
            insert(step_runs).values(step_run_id=4711, step="a", started_at=NOW, seconds=0.1, report={"n": 1})
        )
    warehouse.dispose()
    return path


@pytest.fixture
def source(filled: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(f"sqlite:///{filled}", read_only=True)
    yield warehouse
    warehouse.dispose()


@pytest.fixture
def target(databases: Databases) -> Iterator[Warehouse]:
    """An empty database, of either kind."""
    url = databases.empty()
    warehouse = Warehouse(url)
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


def move(source: Warehouse, target: Warehouse, most_rows: int | None = None) -> MoveReport:
    return move_database(source, target, on_progress=lambda *_: None, most_rows=most_rows)


def assert_all_checks_pass(warehouse: Warehouse) -> None:
    for check in all_checks():
        if check.severity == "error":
            with warehouse.read() as connection:
                result = check.run(connection, span("2026-03-01", "2026-03-02"), Settings(), NOW)
            assert result.passed, f"{check.name}: {result.rows}"


def test_a_database_that_was_moved_has_the_same_facts_and_the_source_is_untouched(
    filled: Path, source: Warehouse, target: Warehouse
) -> None:
    before = sha256(filled.read_bytes()).digest()
    report = move(source, target)
    assert report.is_valid
    assert {each.table for each in report.tables} == set(metadata.tables)
    rows = {each.table: each.target.rows for each in report.tables}
    assert sum(rows.values()) == report.rows_copied > 1000
    assert all(rows[name] for name in ("log_segments", "session_summaries", "ip_inventory", "ip_asn_history"))
    assert all_facts(target.url.render_as_string(hide_password=False)) == all_facts(source.url.render_as_string())
    assert_all_checks_pass(target)
    assert sha256(filled.read_bytes()).digest() == before
    with target.read() as connection:
        assert version_of(connection) == newest_version()


def test_a_database_that_came_back_from_the_other_kind_is_as_it_was(
    source: Warehouse, target: Warehouse, tmp_path: Path
) -> None:
    there = move(source, target, most_rows=97)
    moved = Warehouse(target.url.render_as_string(hide_password=False), read_only=True)
    with pytest.raises(DatabaseError, match=r"(?i)read-?only"), moved.read() as reading:
        reading.execute(text("DELETE FROM commands"))
    back = Warehouse(f"sqlite:///{tmp_path / 'back.db'}")
    again = move(moved, back)
    assert there.is_valid
    assert again.is_valid
    assert [each.source for each in again.tables] == [each.target for each in there.tables]
    assert all_facts(back.url.render_as_string()) == all_facts(source.url.render_as_string())
    with source.read() as one, back.read() as other:
        for table in (commands, login_attempts, session_summaries):
            statement = select(table).order_by(*table.primary_key)
            assert one.execute(statement).all() == other.execute(statement).all()
    for each in (moved, back):
        each.dispose()


def test_rows_that_come_after_a_move_get_numbers_of_their_own(source: Warehouse, target: Warehouse) -> None:
    move(source, target)
    with target.begin() as connection:
        added = connection.execute(insert(step_runs).values(step="b", started_at=NOW, seconds=1, report={}))
        assert added.inserted_primary_key == (4712,)
        key = connection.execute(select(session_summaries.c.session_key).limit(1)).scalar_one()
        connection.execute(insert(commands).values(session_key=key, event_at=NOW, kind="input", input="id"))


MOVE = """
import sys
from cowrie_pipeline.steps.move_database import move_database
from cowrie_pipeline.warehouse.engine import Warehouse
def tell(*progress):
    print(*progress, flush=True)
report = move_database(Warehouse(sys.argv[1], read_only=True), Warehouse(sys.argv[2]), on_progress=tell, most_rows=40)
assert report.is_valid
"""


def test_a_move_that_is_killed_again_and_again_goes_on_where_it_was(
    filled: Path, source: Warehouse, target: Warehouse, tmp_path: Path
) -> None:
    url = target.url.render_as_string(hide_password=False)
    for lines in (1, 7, 30):
        process = subprocess.Popen(
            [sys.executable, "-c", MOVE, f"sqlite:///{filled}", url],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path, PYTHONPATH=PROJECT),
        )
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        process.communicate()
        assert all("copying" in line for line in seen)
        # nobody else takes the half for the whole
        with pytest.raises(WarehouseError, match=r"is not finished: complete it by the same"):
            upgrade_schema(target)
        done = invoke(tmp_path, "status", "--db", url)
        assert (done.code, "is not finished" in done.err) == (1, True)
    report = move(source, target)
    assert report.is_valid
    assert report.rows_copied < sum(each.target.rows for each in report.tables)
    assert all_facts(url) == all_facts(source.url.render_as_string())
    # killed after its last transaction: the same command says that all is there
    again = move(source, target)
    assert (again.is_valid, again.rows_copied) == (True, 0)


def test_a_target_that_holds_something_else_is_refused_and_left_alone(source: Warehouse, warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(insert(enrichment_documents).values(digest="other", document={}))
    with pytest.raises(WarehouseError, match=r"is not empty: enrichment_documents has 1 rows"):
        move(source, warehouse)
    with warehouse.read() as connection:
        assert connection.execute(select(enrichment_documents.c.digest)).scalars().all() == ["other"]


def test_a_half_moved_target_takes_no_other_source(source: Warehouse, target: Warehouse, tmp_path: Path) -> None:
    other = Warehouse(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade_schema(other)

    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        move_database(source, target, on_progress=stop)
    with pytest.raises(WarehouseError, match=r"a move of sqlite:.* is not finished: run it again with --from sqlite"):
        move(other, target)
    assert move(source, target).is_valid
    other.dispose()


def test_a_source_that_is_older_or_not_there_is_named(target: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"there is no database .*none\.db"):
        move(Warehouse(f"sqlite:///{tmp_path / 'none.db'}", read_only=True), target)
    old = Warehouse(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade_schema(old)
    with old.begin() as connection:
        connection.execute(text("UPDATE cowrie_schema_version SET version_num = '0001'"))
    with pytest.raises(WarehouseError, match=r"schema version 0001, expected .*db upgrade"):
        move(old, target)
    old.dispose()


def test_what_changed_on_the_way_is_told_and_the_target_stays_closed(
    source: Warehouse, target: Warehouse, tmp_path: Path
) -> None:
    changed = Warehouse(f"sqlite:///{tmp_path / 'changed.db'}")
    assert move(source, changed).is_valid

    def change_when_copied(step: str, done: int, total: int) -> None:
        if step == "copying session_summaries" and done == total:
            with changed.begin() as connection:
                connection.execute(update(session_summaries).values(hassh="x" * 32))

    report = move_database(changed, target, on_progress=change_when_copied)
    assert [each.table for each in report.tables if not each.is_same] == ["session_summaries"]
    with pytest.raises(WarehouseError, match="is not finished"):
        upgrade_schema(target)
    changed.dispose()


def test_the_command_tells_what_it_compared_and_how_it_ended(
    filled: Path, databases: Databases, tmp_path: Path
) -> None:
    url = databases.empty()
    done = invoke(tmp_path, "db", "move", "--from", f"sqlite:///{filled}", "--to", url, "--json")
    assert (done.code, done.json["is_valid"]) == (0, True)
    assert "copying session_summaries: " in done.err
    shown = invoke(tmp_path, "db", "move", "--from", f"sqlite:///{filled}", "--to", url)
    assert (shown.code, "the same on both; 0 copied now" in shown.out) == (0, True)
    same = invoke(tmp_path, "db", "move", "--from", f"sqlite:///{filled}", "--to", f"sqlite:///{filled}")
    assert (same.code, "name the same database" in same.err) == (1, True)
    databases.drop(url)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ("[1e22, -0.0, 1E2]", "[10000000000000000000000, 0.0, 100]", True),
        ("[1e23]", "[100000000000000000000000]", True),
        ("[0.0000001]", "[1e-07]", True),
        ("[1]", "[1.5]", False),
        ('["1"]', "[1]", False),
        ("null", "{}", False),
    ],
)
def test_documents_are_the_same_however_a_database_writes_them(one: str, other: str, is_same: bool) -> None:
    assert (copying._same_document(one) == copying._same_document(other)) is is_same
