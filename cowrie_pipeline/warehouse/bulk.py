"""Many rows written at once: COPY on PostgreSQL, one prepared statement on SQLite.

Belongs here: how rows reach a table. Does not belong here: which rows (the steps).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Connection, Date, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable, DropConstraint, DropIndex, DropTable
from sqlalchemy.types import TypeEngine

from cowrie_pipeline.warehouse.engine import note_rows
from cowrie_pipeline.warehouse.tables import UtcDateTime

__all__ = ["analyze", "insert_rows", "staged", "written_together"]

_ROWS_AT_ONCE = 20_000
# Another uses one of the tables, or owns it: then they cannot be altered.
_NOT_TO_BE_HAD = {"55P03", "42501"}
_STORED_AS_THEY_ARE = {str, type(None)}


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Insert rows, each with one value for each of `columns`; return how many.

    A time is a datetime in UTC or its text, such as `2018-05-06 17:44:05.866769`; a value of a JSON column is JSON
    text.
    """
    count = 0
    rows = iter(rows)
    write = _copy if connection.dialect.name == "postgresql" else _insert_many
    some = list(islice(rows, _ROWS_AT_ONCE))
    if not some:
        return 0
    while some:
        write(connection, table, columns, _with_times_as_text(table, columns, some))
        count += len(some)
        some = list(islice(rows, _ROWS_AT_ONCE))
    note_rows(connection, table.name, count)
    return count


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: list[Sequence[Any]]) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a connection in use has its driver's
    names = ", ".join(f'"{name}"' for name in columns)
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def _insert_many(connection: Connection, table: Table, columns: Sequence[str], rows: list[Sequence[Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    connection.exec_driver_sql(
        f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})',  # noqa: S608 - names are the schema's own
        rows,
    )


def _with_times_as_text(table: Table, columns: Sequence[str], rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return rows with their times and days as text, each different one written once.

    That is how SQLite has them. PostgreSQL's driver writes them too, each anew, which takes more of its time than all
    the other columns of a row together.
    """
    converters = [(index, each) for index, name in enumerate(columns) if (each := _text_of(table.c[name].type))]
    # rows that hold texts already, as those of cowrie/fold.py do, go as they are
    if all(set(map(type, map(itemgetter(index), rows))) <= _STORED_AS_THEY_ARE for index, _ in converters):
        return rows
    # turned to columns and back: converting one column at a time is several times faster than row by row
    values = list(zip(*rows, strict=True))
    for index, convert in converters:
        # a column of times has few different ones: those of the work that is written
        texts = {
            value: value if value is None or isinstance(value, str) else convert(value) for value in set(values[index])
        }
        values[index] = tuple(map(texts.__getitem__, values[index]))
    return list(zip(*values, strict=True))


def _text_of(kind: TypeEngine[Any]) -> Callable[[Any], str] | None:
    """Return how values of a type are written, as SQLAlchemy stores them on SQLite; None for types that need nothing.

    On PostgreSQL, too, a time without a zone is one in UTC: the transaction's zone.
    """
    if isinstance(kind, UtcDateTime):
        return lambda time: time.astimezone(UTC).isoformat(" ", "microseconds")[:26]
    if isinstance(kind, Date):
        return lambda day: day.isoformat()
    return None


def analyze(connection: Connection, table: Table) -> None:
    """Tell PostgreSQL's planner what a table holds that was just filled, and which it would take for empty.

    Only the first column is looked at: it is the key by which such a table is joined, and others are large documents.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f'ANALYZE "{table.name}" ("{table.columns[0].name}")')


@contextmanager
def staged(
    connection: Connection,
    name: str,
    columns: Mapping[str, Any],
    rows: Iterable[Sequence[Any]] = (),
    *,
    key: str | None = None,
) -> Iterator[Table]:
    """Hold rows in a temporary table while set-based statements use them.

    Args:
        connection: a transaction.
        name: the temporary table's name, not used by another table.
        columns: name and type of each column.
        rows: what to put in at once; more can be added with `insert_rows`.
        key: the column of a session's key, different in each row, if rows come in its order and are read in it. SQLite
            keeps them in it then instead of sorting them; for PostgreSQL sorting what is sorted is little work.
    """
    key = key if connection.dialect.name == "sqlite" else None
    definitions = (Column(each, kind, primary_key=each == key, autoincrement=False) for each, kind in columns.items())
    table = Table(name, MetaData(), *definitions, prefixes=["TEMPORARY"])
    connection.execute(CreateTable(table))
    if insert_rows(connection, table, list(columns), rows):
        analyze(connection, table)
    yield table
    # not in a `finally`: after an error the transaction is undone, and the temporary table with it
    connection.execute(DropTable(table))


@contextmanager
def written_together(connection: Connection, references: Iterable[Column[Any]]) -> Iterator[None]:
    """Check foreign keys and fill indexes once, when the block ends, for all rows that it writes.

    PostgreSQL does both row by row, which is most of its work when hundreds of thousands are written. A foreign key
    that is put on a table is checked by one join, and an index built by sorting, of everything in the table: so this is
    for tables that hold no more than what comes. Keys and indexes are taken off and put back in the same transaction:
    nobody, and no crash, ever sees the database without them. Whoever wants to read the tables meanwhile waits. Where
    they cannot be had without waiting for others, and on SQLite, rows are written as always.

    Args:
        connection: a transaction.
        references: the columns whose foreign keys are checked together; the indexes are those of their tables.
    """
    references = list(references)
    keys = [key.constraint for column in references for key in column.foreign_keys if key.constraint is not None]
    if connection.dialect.name != "postgresql" or not _locked(connection, keys):
        yield
        return
    # sorted: they are a set, and statements shall come in the same order every time
    indexes = sorted((index for key in keys for index in key.table.indexes), key=lambda index: str(index.name))
    # what waits to be checked keeps a table from being altered
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    for key in keys:
        connection.execute(DropConstraint(key))
    for index in indexes:
        connection.execute(DropIndex(index))
    connection.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")
    yield
    for index in indexes:
        connection.execute(CreateIndex(index))
    for key in keys:
        connection.execute(AddConstraint(key, isolate_from_table=False))


def _locked(connection: Connection, keys: Iterable[ForeignKeyConstraint]) -> bool:
    """Take the tables on both sides of foreign keys for this transaction alone; say whether they could be had."""
    tables = sorted({table.name for key in keys for table in (key.table, key.referred_table)})
    savepoint = connection.begin_nested()
    try:
        names = ", ".join(f'"{name}"' for name in tables)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE NOWAIT")
    except DBAPIError as error:
        savepoint.rollback()
        if getattr(error.orig, "sqlstate", None) in _NOT_TO_BE_HAD:
            return False
        raise
    savepoint.commit()
    return True
