"""The schema: from nothing to the newest, once, and as tables.py says."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError

from cowrie_pipeline.cowrie.segments import packed_lines
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.log_store import FileRecord, save_file
from cowrie_pipeline.warehouse.schema import newest_version, upgrade_schema, version_of
from cowrie_pipeline.warehouse.tables import VERSION_TABLE, log_segments, metadata
from cowrie_pipeline_tests.conftest import Databases


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    """The URL of a database without any table."""
    url = databases.empty()
    yield url
    databases.drop(url)


@pytest.fixture
def empty(empty_url: str) -> Iterator[Warehouse]:
    warehouse = Warehouse(empty_url)
    yield warehouse
    warehouse.dispose()


def test_an_empty_database_gets_every_table(empty: Warehouse) -> None:
    assert upgrade_schema(empty) == (None, newest_version())
    with empty.read() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "cowrie_schema_version"}
        assert version_of(connection) == newest_version()


def test_an_upgrade_of_the_newest_schema_changes_nothing(empty: Warehouse) -> None:
    upgrade_schema(empty)
    with empty.begin() as connection:
        connection.execute(text("INSERT INTO enrichment_documents VALUES ('d', '{}')"))
    assert upgrade_schema(empty) == (newest_version(), newest_version())
    with empty.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM enrichment_documents")).scalar_one() == 1


def _upgrade(url: str) -> tuple[str | None, str]:
    warehouse = Warehouse(url)
    try:
        return upgrade_schema(warehouse)
    finally:
        warehouse.dispose()


def test_processes_that_upgrade_at_once_make_the_schema_once(databases: Databases) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as executor:
        list(executor.map(abs, range(3)))  # all have started before the first race
        for _ in range(3):
            url = databases.empty()
            results = list(executor.map(_upgrade, [url] * 3))
            assert sorted(results, key=str) == [(newest_version(), newest_version())] * 2 + [(None, newest_version())]
            databases.drop(url)


def test_a_database_that_is_newer_than_the_code_is_refused(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("UPDATE cowrie_schema_version SET version_num = '9999'"))
    with pytest.raises(WarehouseError, match=r"schema version 9999.*newer than the code.*Install"):
        upgrade_schema(warehouse)


@pytest.mark.parametrize("table", ["session_summaries", "commands"])
def test_a_database_of_another_program_is_refused_and_left_alone(empty: Warehouse, table: str) -> None:
    with empty.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table} (id INTEGER)"))
    with pytest.raises(WarehouseError, match=f"table {table}.*another program.*--db"):
        upgrade_schema(empty)
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == [table]


def differences(warehouse: Warehouse) -> list[Any]:
    """Return in what the database differs from tables.py; comments are left out on SQLite, which keeps none."""
    with warehouse.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE},
        )
        found = compare_metadata(context, metadata)
    changes = [change for each in found for change in (each if isinstance(each, list) else [each])]
    return [change for change in changes if warehouse.dialect != "sqlite" or change[0] != "modify_comment"]


def test_the_migrations_make_what_tables_py_says(empty: Warehouse) -> None:
    upgrade_schema(empty)
    assert differences(empty) == []


def test_a_difference_between_migrations_and_tables_is_seen(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("ALTER TABLE commands DROP COLUMN input"))
        connection.execute(text("DROP INDEX ix_session_days_day"))
    assert sorted(change[0] for change in differences(warehouse)) == ["add_column", "add_index"]


def test_an_upgrade_from_the_first_schema_keeps_what_was_looked_up(empty: Warehouse) -> None:
    from alembic import command

    from cowrie_pipeline.warehouse.schema import _config

    with empty.begin() as connection:
        command.upgrade(_config(connection), "0001")
        connection.execute(
            text(
                "INSERT INTO enrichment_cache (service, key, status, payload, fetched_at, hit_count) "
                "VALUES ('cymru', '8.8.8.8', 'hit', '{}', '2026-01-01 00:00:00.000000', 3)"
            )
        )
    assert upgrade_schema(empty) == ("0001", newest_version())
    with empty.read() as connection:
        rows = connection.execute(text("SELECT service, key, status, hit_count, failures FROM enrichment_cache")).all()
    assert rows == [("cymru", "8.8.8.8", "hit", 3, 0)]


def test_an_upgrade_keeps_the_lines_and_stops_postgresql_from_compressing_them_again(empty: Warehouse) -> None:
    from alembic import command

    from cowrie_pipeline.warehouse.schema import _config

    kept = {"lines": packed_lines([b"a line"] * 1000), "fingerprints": bytes(range(256)) * 40}
    with empty.begin() as connection:
        command.upgrade(_config(connection), "0004")
        file_id = save_file(
            connection,
            FileRecord(path="a", fingerprint="f", head_length=1, size=1, modified_ns=0, read_at=datetime.now(UTC)),
        )
        segment = log_segments.insert().values(file_id=file_id, day=date(2026, 3, 1), events=1000, **kept)
        connection.execute(segment)
    upgrade_schema(empty)
    with empty.begin() as connection:
        connection.execute(segment)
        columns = (log_segments.c.lines, log_segments.c.fingerprints)
        assert connection.execute(select(*columns)).all() == [(kept["lines"], kept["fingerprints"])] * 2
        if empty.dialect == "postgresql":
            ways = text(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'log_segments'::regclass AND attstorage = 'e'"
            )
            assert set(connection.execute(ways).scalars()) == set(kept)


def test_a_downgrade_leaves_no_table(empty: Warehouse) -> None:
    from alembic import command

    from cowrie_pipeline.warehouse.schema import _config

    upgrade_schema(empty)
    with empty.begin() as connection:
        command.downgrade(_config(connection), "base")
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == ["cowrie_schema_version"]


# ---- foreign keys


def test_a_row_that_points_nowhere_is_refused(warehouse: Warehouse) -> None:
    statement = text("INSERT INTO ip_inventory (ip_address, current_asn, created_at) VALUES ('8.8.8.8', 15169, :now)")
    with pytest.raises(IntegrityError), warehouse.begin() as connection:
        connection.execute(statement, {"now": "2026-01-01 00:00:00.000000"})


def test_a_row_of_a_session_that_does_not_come_is_refused_when_its_transaction_ends(warehouse: Warehouse) -> None:
    statement = text(
        "INSERT INTO commands (session_key, event_at, kind) VALUES (1, '2026-01-01 00:00:00.000000', 'input')"
    )
    with pytest.raises(IntegrityError), warehouse.begin() as connection:
        connection.execute(statement)
    with warehouse.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM commands")).scalar_one() == 0


def test_every_connection_of_sqlite_has_foreign_keys_on_and_a_write_ahead_log(tmp_path: Path) -> None:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/folder/that/is/new/cowrie.db")
    with warehouse.read() as first, warehouse.read() as second:
        for connection in (first, second):
            assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
            assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() >= 60_000
    warehouse.dispose()


# ---- databases that cannot be used


def test_a_new_database_of_sqlite_has_large_pages_and_another_keeps_its_own(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("PRAGMA page_size = 4096")
        old.execute("CREATE TABLE kept (id INTEGER)")
    for name, size in (("old.db", 4096), ("new.db", 8192)):
        warehouse = Warehouse(f"sqlite:///{tmp_path / name}")
        with warehouse.begin() as connection:
            connection.execute(text("CREATE TABLE made (id INTEGER)"))
            assert connection.execute(text("PRAGMA page_size")).scalar_one() == size
        warehouse.dispose()


def test_a_file_that_is_no_database_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "cowrie.db"
    path.write_bytes(b"This is no SQLite database at all. " * 1000)
    warehouse = Warehouse(f"sqlite:///{path}")
    with pytest.raises(WarehouseError, match=r"cannot open the database sqlite:///.*not a database.*restore a backup"):
        upgrade_schema(warehouse)
    warehouse.dispose()
    assert path.read_bytes().startswith(b"This is no SQLite")


def test_a_folder_that_cannot_hold_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "cowrie.db").mkdir()
    warehouse = Warehouse(f"sqlite:///{tmp_path / 'cowrie.db'}")
    with pytest.raises(WarehouseError, match=r"cannot open the database .*Check that the folder exists"):
        upgrade_schema(warehouse)
    warehouse.dispose()


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    warehouse = Warehouse("postgresql://someone:secret@127.0.0.1:1/cowrie")
    with pytest.raises(WarehouseError, match=r"cannot open the database .*127\.0\.0\.1.*server runs") as raised:
        upgrade_schema(warehouse)
    assert "secret" not in str(raised.value)
    warehouse.dispose()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite:////nowhere/cowrie.db", "sqlite"),
    ],
)
def test_a_url_names_the_driver_that_is_used(given: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", lambda *_args, **_kwargs: None)
    assert Warehouse(given).url.drivername == used


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("cowrie.db", "cannot be read.*Expected sqlite:////"),
        ("sqlite://", "in memory is lost"),
        ("sqlite:///:memory:", "in memory is lost"),
        ("mysql://u:p@h/d", "expected an SQLite or PostgreSQL database, found mysql"),
    ],
)
def test_a_url_that_names_no_usable_database_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(WarehouseError, match=complaint):
        Warehouse(url)
