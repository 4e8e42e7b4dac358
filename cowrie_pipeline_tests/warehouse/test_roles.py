"""The roles of sql/roles.postgresql.sql: each does its work, and no more."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, ProgrammingError

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import upgrade_schema
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.postgresql import OwnServer

PLAN = SyntheticPlan(seed=3, first_day=date(2026, 3, 1), days=1, sessions_per_day=60, addresses=20)
OWNER, PIPELINE, ANALYST = "cowrie_owner", "cowrie_pipeline", "ada"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    server = OwnServer()
    server.start()
    server.execute("CREATE DATABASE cowrie")
    superuser = Warehouse(server.url("cowrie"))
    upgrade_schema(superuser)
    superuser.dispose()
    # as often as one likes
    for _ in range(2):
        server.execute(read_sql("roles", "postgresql").statement, database="cowrie")
    server.execute(
        f"ALTER ROLE {OWNER} PASSWORD 'o'",
        f"ALTER ROLE {PIPELINE} PASSWORD 'p'",
        f"CREATE ROLE {ANALYST} LOGIN PASSWORD 'a' IN ROLE cowrie_analyst",
    )
    yield server
    server.remove()


def url_of(server: OwnServer, role: str) -> str:
    password = {OWNER: "o", PIPELINE: "p", ANALYST: "a"}[role]
    return server.url("cowrie", user=role, password=password)


@pytest.fixture
def warehouse_of(server: OwnServer) -> Iterator[dict[str, Warehouse]]:
    opened = {role: Warehouse(url_of(server, role)) for role in (OWNER, PIPELINE, ANALYST)}
    yield opened
    for each in opened.values():
        each.dispose()


def test_the_pipeline_does_all_its_work_and_the_analyst_reads_it(
    server: OwnServer, warehouse_of: dict[str, Warehouse], tmp_path: Path
) -> None:
    write_logs(PLAN, tmp_path / "logs")
    write_geoip(tmp_path / "geoip", (GeoRow(**asdict(each)) for each in networks(PLAN)))
    url = url_of(server, PIPELINE)
    done = invoke(
        tmp_path, "run", "--logs", tmp_path / "logs", "--db", url, "--json", COWRIE_GEOIP_DIR=tmp_path / "geoip"
    )
    assert done.code == 0, done.err
    assert done.json["assets"]["session_snapshots"]["rows"] >= 60
    for command in (["db", "check"], ["status"], ["alerts", "list"]):
        assert invoke(tmp_path, *command, "--db", url).code == 0
    assert invoke(tmp_path, "status", "--db", url_of(server, ANALYST)).code == 0
    with warehouse_of[ANALYST].read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM session_summaries")).scalar_one() >= 60


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (PIPELINE, "DROP TABLE commands"),
        (PIPELINE, "TRUNCATE commands"),
        (PIPELINE, "ALTER TABLE commands ADD COLUMN x TEXT"),
        (PIPELINE, "CREATE TABLE public.mine (id INTEGER)"),
        (PIPELINE, "UPDATE cowrie_schema_version SET version_num = '0001'"),
        (PIPELINE, "CREATE ROLE other"),
        (PIPELINE, "COPY commands TO PROGRAM 'true'"),
        (ANALYST, "INSERT INTO enrichment_documents VALUES ('a', '{}')"),
        (ANALYST, "UPDATE session_summaries SET sensor = 'x'"),
        (ANALYST, "DELETE FROM commands"),
        (ANALYST, "CREATE TEMPORARY TABLE mine (id INTEGER)"),
        (ANALYST, "CREATE TABLE public.mine (id INTEGER)"),
        (ANALYST, "SELECT nextval('commands_command_id_seq')"),
        (OWNER, "CREATE ROLE other"),
        (OWNER, "COPY commands TO PROGRAM 'true'"),
    ],
)
def test_what_a_role_need_not_do_it_may_not_do(warehouse_of: dict[str, Warehouse], role: str, statement: str) -> None:
    with (
        pytest.raises(DatabaseError, match=r"permission denied|must be owner"),
        warehouse_of[role].begin() as connection,
    ):
        connection.execute(text(statement))


def test_tables_of_later_versions_are_written_by_the_pipeline_and_read_by_analysts(
    warehouse_of: dict[str, Warehouse],
) -> None:
    with warehouse_of[OWNER].begin() as connection:
        connection.execute(text("CREATE TABLE added_later (id BIGSERIAL PRIMARY KEY, what TEXT)"))
    with warehouse_of[PIPELINE].begin() as connection:
        connection.execute(text("INSERT INTO added_later (what) VALUES ('a')"))
    with warehouse_of[ANALYST].read() as connection:
        assert connection.execute(text("SELECT id, what FROM added_later")).all() == [(1, "a")]
    with pytest.raises(ProgrammingError), warehouse_of[ANALYST].begin() as connection:
        connection.execute(text("INSERT INTO added_later (what) VALUES ('b')"))
    with warehouse_of[OWNER].begin() as connection:
        connection.execute(text("DROP TABLE added_later"))


def test_an_upgrade_that_only_the_owner_may_do_is_told_so(
    server: OwnServer, warehouse_of: dict[str, Warehouse]
) -> None:
    server.execute("CREATE DATABASE bare", f"REVOKE ALL ON DATABASE bare FROM {PIPELINE}")
    bare = Warehouse(server.url("bare", user=PIPELINE, password="p"))
    with pytest.raises(WarehouseError, match=r"schema version none, .* may not change tables: run .* as their owner"):
        upgrade_schema(bare)
    bare.dispose()
    # nothing to do is no reason to complain
    upgrade_schema(warehouse_of[PIPELINE])
