"""Connections to PostgreSQL: a restart under load, limits, and PgBouncer between."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
from sqlalchemy import Text, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeftError

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.failures import may_pass
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import UnreachableError, Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.postgresql import OwnServer, free_port
from cowrie_pipeline_tests.steps.made_days import World, attack, facts

PATIENCE_SECONDS = 60


@pytest.fixture
def server() -> Iterator[OwnServer]:
    server = OwnServer()
    server.start()
    # so that a transaction which did not set its own would be seen
    server.execute("CREATE DATABASE cowrie", "ALTER DATABASE cowrie SET timezone = 'Asia/Tokyo'")
    yield server
    server.remove()


# ---- a server that is restarted


def test_work_goes_on_after_the_server_was_restarted_and_nothing_is_lost_or_twice(server: OwnServer) -> None:
    warehouse = Warehouse(server.url("cowrie"))
    with warehouse.begin() as connection:
        connection.execute(text("CREATE TABLE written (worker INTEGER, number INTEGER, half INTEGER)"))
    ended = threading.Event()
    failed: list[Exception] = []

    def write(worker: int) -> list[int]:
        """Write pairs of rows and return the numbers of those that were committed, as a step that is tried again."""
        committed, number = [], 0
        while not ended.is_set():
            try:
                with warehouse.begin(lock=f"worker {worker}") as connection:
                    for half in (1, 2):
                        connection.execute(
                            text("INSERT INTO written VALUES (:worker, :number, :half)"),
                            {"worker": worker, "number": number, "half": half},
                        )
                committed.append(number)
            except Exception as error:
                if not may_pass(error):
                    failed.append(error)
                    raise
            number += 1
        return committed

    with ThreadPoolExecutor(4) as executor:
        work = [executor.submit(write, worker) for worker in range(4)]
        for _ in range(2):
            wait_for_rows(warehouse)
            server.stop()
            sleep(0.5)
            server.start()
        wait_for_rows(warehouse)
        ended.set()
        committed = {(worker, number) for worker, each in enumerate(work) for number in each.result()}
    assert failed == []
    with warehouse.read() as connection:
        rows = connection.execute(text("SELECT worker, number, COUNT(*) FROM written GROUP BY worker, number")).all()
    assert {tuple(row[:2]) for row in rows} >= committed
    assert {row[2] for row in rows} == {2}
    # a commit whose answer was lost may be there, one for each worker and restart
    assert len(rows) - len(committed) <= 8
    warehouse.dispose()


def wait_for_rows(warehouse: Warehouse) -> None:
    """Wait until every worker has written something more."""
    with warehouse.read() as connection:
        before: int = connection.execute(text("SELECT COALESCE(MAX(number), 0) FROM written")).scalar_one()
    end = monotonic() + PATIENCE_SECONDS
    while monotonic() < end:
        with warehouse.read() as connection:
            statement = text("SELECT COUNT(DISTINCT worker) FROM written WHERE number > :before")
            if connection.execute(statement, {"before": before}).scalar_one() == 4:
                return
        sleep(0.05)
    raise AssertionError("the workers do not go on")


def test_a_process_that_was_connected_waits_for_a_server_that_is_restarted(server: OwnServer) -> None:
    warehouse = Warehouse(server.url("cowrie"))
    with warehouse.read() as connection:
        connection.execute(text("SELECT 1"))
    server.stop()
    restart = threading.Timer(1, server.start)
    restart.start()
    try:
        with warehouse.read() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    finally:
        restart.join()
        warehouse.dispose()


def test_a_server_that_was_never_there_is_not_waited_for(server: OwnServer) -> None:
    wrong = Warehouse(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    with pytest.raises(UnreachableError, match="server runs"), wrong.read():
        pass
    wrong.dispose()


# ---- limits


def test_a_statement_ends_at_its_limit_and_the_wait_for_a_turn_does_not(server: OwnServer) -> None:
    settings = Settings(db_url=server.url("cowrie"), db_statement_timeout_seconds=0.2)
    limited, other = Warehouse.of(settings), Warehouse(server.url("cowrie"))
    with pytest.raises(OperationalError, match="statement timeout"), limited.read() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    holds = threading.Event()

    def hold() -> None:
        with other.begin(lock="facts"):
            holds.set()
            sleep(1)

    with ThreadPoolExecutor(1) as executor:
        holding = executor.submit(hold)
        assert holds.wait(10)
        with limited.begin(lock="facts") as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        holding.result()
    # an upgrade may take longer than the daily work's statements
    upgrade_schema(limited)
    for each in (limited, other):
        each.dispose()


def test_no_more_connections_are_open_than_the_settings_allow(server: OwnServer) -> None:
    warehouse = Warehouse.of(Settings(db_url=server.url("cowrie"), db_pool_size=2, db_pool_overflow=0))
    warehouse.engine.pool._timeout = 0.2  # type: ignore[attr-defined] # not half a minute
    with warehouse.read(), warehouse.read(), pytest.raises(NoConnectionLeftError) as raised, warehouse.read():
        pass
    assert may_pass(raised.value)
    warehouse.dispose()


def test_a_transactions_time_zone_is_utc_and_the_sessions_stays_the_servers(server: OwnServer) -> None:
    warehouse = Warehouse(server.url("cowrie"))
    for opened in (warehouse.read, warehouse.begin):
        with opened() as connection:
            assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"
    raw = warehouse.engine.raw_connection()
    assert raw.driver_connection is not None
    assert raw.driver_connection.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
    raw.close()
    warehouse.dispose()


# ---- PgBouncer


@contextmanager
def bouncing(server: OwnServer, *, connections: int) -> Iterator[int]:
    """Run PgBouncer in transaction mode before a server; yield its port."""
    port = free_port()
    folder = server.folder / "pgbouncer"
    folder.mkdir()
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host=127.0.0.1 port={server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 100
"""
    )
    server.give(folder)
    process = subprocess.Popen(
        [str(shutil.which("pgbouncer")), str(folder / "pgbouncer.ini")],
        user=server.user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/cowrie", prepare_threshold=None).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None
                assert monotonic() < end
                sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="needs pgbouncer (Debian package pgbouncer)"
)


@needs_pgbouncer
def test_nothing_is_expected_of_a_connection_after_its_transaction(
    server: OwnServer, tmp_path: Path, databases: Databases
) -> None:
    addresses = [f"203.0.113.{number}" for number in range(1, 40)]
    with bouncing(server, connections=3) as port:
        bounced = Warehouse(f"postgresql://postgres@127.0.0.1:{port}/cowrie")
        upgrade_schema(bounced)
        attack(bounced, tmp_path / "bounced", *addresses, at="2026-03-09 23:30")
        world = World(lambda address: 64500 + int(address.rpartition(".")[2]) % 7)

        def count(worker: int) -> None:
            for number in range(25):
                with bounced.begin(lock="facts") as connection:
                    # wrong without the lock: what is read is written later
                    seen = connection.execute(text("SELECT version_num FROM counted")).scalar_one()
                    with staged(connection, "numbers", {"number": Text}, [(f"{worker} {number}",)]) as table:
                        connection.execute(text("UPDATE counted SET version_num = :next"), {"next": seen + 1})
                        assert connection.execute(table.select()).all() == [(f"{worker} {number}",)]
                    assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"

        with bounced.begin() as connection:
            connection.execute(text("CREATE TABLE counted AS SELECT 0 AS version_num"))
        with ThreadPoolExecutor(8) as executor:
            done = [executor.submit(count, worker) for worker in range(8)]
            world.enrich(bounced, "2026-03-09")
            for each in done:
                each.result()
        with bounced.read() as connection:
            assert connection.execute(text("SELECT version_num FROM counted")).scalar_one() == 200
            connections = connection.execute(
                text("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = 'cowrie'")
            ).scalar_one()
            assert connections <= 3
            left = text(
                "SELECT (SELECT COUNT(*) FROM pg_prepared_statements), "
                "(SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'), "
                "(SELECT COUNT(*) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r')"
            )
            assert connection.execute(left).one() == (0, 0, 0)
        url = databases.fresh()
        direct = Warehouse(url)
        attack(direct, tmp_path / "direct", *addresses, at="2026-03-09 23:30")
        world.enrich(direct, "2026-03-09")
        assert facts(bounced) == facts(direct)
        for opened in (bounced, direct):
            opened.dispose()
        databases.drop(url)


@needs_pgbouncer
def test_a_server_restarted_behind_pgbouncer_is_found_again(server: OwnServer) -> None:
    with bouncing(server, connections=2) as port:
        warehouse = Warehouse(f"postgresql://postgres@127.0.0.1:{port}/cowrie")
        with warehouse.read() as connection:
            connection.execute(text("SELECT 1"))
        server.stop()
        server.start()
        end = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with warehouse.read() as connection:
                    assert connection.execute(text("SELECT 1")).scalar_one() == 1
                break
            except Exception as error:
                if not may_pass(error) or monotonic() > end:
                    raise
                sleep(0.1)
        warehouse.dispose()
