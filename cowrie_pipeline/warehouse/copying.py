"""Rows of any of our tables as values that both databases take, in the order of their key.

Belongs here: reading a table in portions, where a portion ended, a digest that is the same on both databases.
Does not belong here: what is copied where, and what is done when a copy was interrupted (steps/move_database.py).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import xxhash
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Date,
    LargeBinary,
    Table,
    Text,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
    type_coerce,
)

from cowrie_pipeline.warehouse.tables import UtcDateTime

__all__ = ["Contents", "contents_of", "count_rows", "key_text", "portion_after", "renew_numbers", "rows_at_once"]

# Rows with packed lines may have megabytes each, those with documents some kilobytes.
_PACKED_AT_ONCE = 32
_DOCUMENTS_AT_ONCE = 4_000
_ROWS_AT_ONCE = 20_000
# Beyond what a float can hold; nothing is gained by writing such a number out.
_MOST_DIGITS = 400


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds: how many rows, and a digest that neither their order nor the database changes."""

    rows: int
    digest: str


def rows_at_once(table: Table) -> int:
    """Return how many rows of a table are held in memory at once."""
    kinds = {type(column.type) for column in table.c}
    if LargeBinary in kinds:
        return _PACKED_AT_ONCE
    return _DOCUMENTS_AT_ONCE if _documents(table) else _ROWS_AT_ONCE


def portion_after(connection: Connection, table: Table, last_key: str | None, limit: int) -> list[tuple[Any, ...]]:
    """Return the next `limit` rows of a table in the order of its primary key.

    A row has a value for each column, as `insert_rows` takes it: a document is its text.

    Args:
        connection: a transaction.
        table: one of ours.
        last_key: where the portion before ended, as `key_text` says it; None for the beginning.
        limit: how many rows at most.
    """
    key = list(table.primary_key.columns)
    statement = select(*(_plain(connection, column) for column in table.c)).order_by(*key).limit(limit)
    if last_key is not None:
        values = [
            literal(_parsed(column, part), column.type) for column, part in zip(key, json.loads(last_key), strict=True)
        ]
        # a row of one value is no row to SQLite
        statement = statement.where(tuple_(*key) > tuple_(*values) if len(key) > 1 else key[0] > values[0])
    return [tuple(row) for row in connection.execute(statement)]


def key_text(table: Table, row: Sequence[Any]) -> str:
    """Return the primary key of a row, as JSON."""
    names = [column.name for column in table.c]
    key = [row[names.index(column.name)] for column in table.primary_key.columns]
    return json.dumps([value.isoformat() if isinstance(value, date) else value for value in key])


def read_portions(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield all rows of a table, a portion at a time."""
    limit, last_key = rows_at_once(table), None
    while portion := portion_after(connection, table, last_key, limit):
        yield portion
        last_key = key_text(table, portion[-1])


def contents_of(connection: Connection, table: Table) -> Contents:
    """Read a whole table and return what it holds."""
    documents = [index for index, column in enumerate(table.c) if column in _documents(table)]
    encoder = msgspec.msgpack.Encoder()
    rows = total = 0
    for portion in read_portions(connection, table):
        for row in portion:
            values = list(row)
            for index in documents:
                if values[index] is not None:
                    values[index] = _same_document(values[index])
            # a sum, since each database has an order of its own for texts and addresses
            total += xxhash.xxh3_128_intdigest(encoder.encode(values))
        rows += len(portion)
    return Contents(rows, f"{total % 2**128:032x}")


def count_rows(connection: Connection, table: Table) -> int:
    """Return the number of a table's rows."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def renew_numbers(connection: Connection, table: Table) -> None:
    """Have PostgreSQL give the next row a number that none has; SQLite does so by itself."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence(:table, :column), COALESCE(MAX({column.name}), 1), "  # noqa: S608
            f"MAX({column.name}) IS NOT NULL) FROM {table.name}"  # names are the schema's own
        ),
        {"table": table.name, "column": column.name},
    )


def _documents(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if isinstance(column.type, JSON)]


def _plain(connection: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """Return what is selected of a column: of a document its text, so that nothing of it is rounded on the way."""
    if not isinstance(column.type, JSON):
        return column
    return cast(column, Text) if connection.dialect.name == "postgresql" else type_coerce(column, Text)


def _parsed(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat(value)
    if isinstance(column.type, Date):
        return date.fromisoformat(value)
    return value


def _same_document(document: str) -> str:
    """Return a text that is the same for equal documents: PostgreSQL keeps no order of names and writes 1e2 as 100."""
    return json.dumps(json.loads(document, parse_float=_same_number), sort_keys=True)


def _same_number(written: str) -> Any:
    number = Decimal(written)
    if abs(number.adjusted()) > _MOST_DIGITS:
        return written
    return int(number) if number == number.to_integral_value() else float(written)
