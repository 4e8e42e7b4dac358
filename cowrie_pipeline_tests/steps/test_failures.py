"""What may pass by itself, and what cannot."""

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.schema import CreateTable

from cowrie_pipeline.settings import SettingsError
from cowrie_pipeline.steps.failures import in_one_line, may_pass
from cowrie_pipeline.warehouse.bulk import insert_rows
from cowrie_pipeline.warehouse.engine import UnreachableError, Warehouse, WarehouseError

PASSES = (
    OperationalError("SELECT 1", {}, Exception("database is locked")),
    UnreachableError("no answer"),
    ConnectionResetError(),
    TimeoutError(),
)
STAYS = (
    IntegrityError("INSERT", {}, Exception("FOREIGN KEY constraint failed")),
    ProgrammingError("SELECT", {}, Exception("no such column")),
    WarehouseError("a database of something else"),
    SettingsError("COWRIE_DAILY_HOUR must be from 0 to 23"),
    FileNotFoundError(),
    PermissionError(),
    KeyError("x"),
    MemoryError(),
)


@pytest.mark.parametrize("error", PASSES, ids=lambda each: type(each).__name__)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    assert may_pass(error)
    assert "tried again" in in_one_line(error)


@pytest.mark.parametrize("error", STAYS, ids=lambda each: type(each).__name__)
def test_what_stays_as_it_is_until_somebody_mends_it_is_not(error: Exception) -> None:
    assert not may_pass(error)
    assert in_one_line(error).startswith(type(error).__name__)
    assert "tried again" not in in_one_line(error)


def test_a_server_that_does_not_answer_may_pass() -> None:
    warehouse = Warehouse("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(WarehouseError) as raised, warehouse.read():
        pass
    assert may_pass(raised.value)


@pytest.mark.parametrize("moment", ["a statement", "rows that are copied", "the commit"])
def test_a_connection_lost_in_the_middle_may_pass_and_is_said_in_one_line(warehouse: Warehouse, moment: str) -> None:
    if warehouse.dialect == "sqlite":
        pytest.skip("SQLite has no connections to lose")

    def lose() -> None:
        with warehouse.begin() as connection:
            table = Table("things", MetaData(), Column("number", BigInteger()), prefixes=["TEMPORARY"])
            connection.execute(CreateTable(table))
            process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with warehouse.begin() as another:
                # it answers when the process is gone, or after ten seconds
                another.execute(text("SELECT pg_terminate_backend(:process, 10000)").bindparams(process=process))
            if moment == "a statement":
                connection.execute(text("SELECT 1"))
            elif moment == "rows that are copied":
                insert_rows(connection, table, ["number"], [(1,)])

    with pytest.raises(OperationalError) as raised:
        lose()
    assert may_pass(raised.value)
    said = in_one_line(raised.value)
    assert said.startswith("the connection to the database was lost, the work is tried again: ")
    assert "\n" not in said
    with warehouse.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_table_that_is_not_there_cannot(warehouse: Warehouse) -> None:
    with pytest.raises((ProgrammingError, OperationalError)) as raised, warehouse.read() as connection:
        connection.execute(text("SELECT * FROM nothing"))
    assert not may_pass(raised.value)


def test_a_database_that_another_process_writes_may_pass(warehouse: Warehouse) -> None:
    impatient = Warehouse(warehouse.url.render_as_string(hide_password=False), patience_seconds=0.1)
    if impatient.dialect == "sqlite":
        with (
            warehouse.begin(),
            pytest.raises(OperationalError, match="locked") as raised,
            impatient.begin() as connection,
        ):
            connection.execute(text("SELECT 1"))
        assert may_pass(raised.value)
    impatient.dispose()
