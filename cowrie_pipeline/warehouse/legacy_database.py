"""A database of the older, session-level layout, opened so that nothing can be written to it.

Belongs here: the connection, which tables and columns there are, rows in the order of a key.
Does not belong here: what the rows mean (steps/legacy/).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Boolean, Connection, Engine, Integer, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline.warehouse.engine import WarehouseError, database_url, shown_url
from cowrie_pipeline.warehouse.tables import VERSION_TABLE

__all__ = ["LegacyDatabase"]

_ROWS_AT_ONCE = 2_000


class LegacyDatabase:
    """A legacy database. SQLite is opened with `mode=ro`, PostgreSQL with read-only transactions."""

    def __init__(self, url: str) -> None:
        self.url = database_url(url)
        self._engine = _read_only(self.url.database or "") if self._is_sqlite else _read_only_server(self.url)

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def location(self) -> str:
        """Where it is, without its password, whatever folder the command was called in."""
        if self._is_sqlite:
            return f"sqlite:///{Path(self.url.database or '').resolve()}"
        return shown_url(self.url)

    @property
    def digest(self) -> str:
        """The name under which the target remembers it: of where it is, not of what is in it."""
        where = self.location if self._is_sqlite else shown_url(self.url.set(username=None, password=None))
        return blake2b(where.encode(), digest_size=16).hexdigest()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads one state of the database.

        Raises:
            WarehouseError: it cannot be opened, or is of the present layout.
        """
        with self._connected() as connection, connection.begin():
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
            # the file is only looked at by the first statement
            with connection.begin():
                is_ours = inspect(connection).has_table(VERSION_TABLE)
        except DatabaseError as error:
            found = str(error.orig).strip().splitlines()[0]
            raise WarehouseError(
                f"cannot open the earlier database {self.location}: {found}. Check --from: expected "
                "sqlite:////folder/name.db or postgresql://user:password@host/name."
            ) from error
        with connection:
            if is_ours:
                raise WarehouseError(
                    f"the database {self.location} has the present layout already: name it with --db, "
                    "`cowrie-pipeline db upgrade` brings it up to date"
                )
            yield connection

    def columns(self, connection: Connection, table: str) -> list[str] | None:
        """Return the names of a table's columns, None if there is no such table."""
        inspector = inspect(connection)
        if not inspector.has_table(table):
            return None
        if connection.dialect.name == "sqlite":
            # not through SQLAlchemy, which warns of types that it does not know
            return [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({_quoted(table)})")]
        return [column["name"] for column in inspector.get_columns(table)]

    def count(self, connection: Connection, table: str) -> int:
        """Return the number of a table's rows."""
        return int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {_quoted(table)}").scalar_one())  # noqa: S608

    def count_without_key(self, connection: Connection, table: str, key: str) -> int:
        """Return the number of a table's rows whose key is NULL, which `batches` leaves out."""
        statement = f"SELECT COUNT(*) FROM {_quoted(table)} WHERE {_quoted(key)} IS NULL"  # noqa: S608
        return int(connection.exec_driver_sql(statement).scalar_one())

    def batches(
        self,
        connection: Connection,
        table: str,
        key: str,
        columns: Sequence[str],
        *,
        after: str | None,
        at_least: int,
    ) -> Iterator[tuple[str, list[list[Mapping[str, Any]]]]]:
        """Yield rows in the order of `key`, those with one key together and never in two batches.

        Args:
            connection: a transaction of `read`.
            table: its name.
            key: the column by which rows are ordered; rows in which it is NULL are left out.
            columns: what is read, the key among it.
            after: the key, as an earlier batch gave it, after which to go on; None for the beginning.
            at_least: rows of a batch, but for the last.

        Yields:
            the last key of the batch, as JSON, and the rows by key.
        """
        given = {each: self._given(each) for each in columns} | self._numbers(connection, table, columns)
        shown = ", ".join(f"{form} AS {_quoted(each)}" for each, form in given.items())
        ordered = given[key]
        mark = "?" if self._is_sqlite else "%s"
        beyond = f"AND {ordered} > {mark} " if after is not None else ""
        statement = f"SELECT {shown} FROM {_quoted(table)} WHERE {_quoted(key)} IS NOT NULL {beyond}ORDER BY {ordered}"  # noqa: S608
        result = connection.execution_options(stream_results=True).exec_driver_sql(
            statement, () if after is None else (json.loads(after),)
        )
        batch: list[list[Mapping[str, Any]]] = []
        rows = 0
        mappings = result.yield_per(_ROWS_AT_ONCE).mappings()
        for value, group in groupby(mappings, key=lambda row: row[key]):
            batch.append([dict(row) for row in group])
            rows += len(batch[-1])
            if rows >= at_least:
                yield _key_text(value), batch
                batch, rows = [], 0
        if batch:
            yield _key_text(batch[-1][0][key]), batch

    def _given(self, column: str) -> str:
        """Return what is selected of a column: of PostgreSQL its text, since Python has no type for some values."""
        return _quoted(column) if self._is_sqlite else f"{_quoted(column)}::text"

    def _numbers(self, connection: Connection, table: str, columns: Sequence[str]) -> dict[str, str]:
        """Return what is selected of those columns that hold integers or truth values, which are given as they are."""
        if self._is_sqlite:
            return {}
        found = inspect(connection).get_columns(table)
        plain = {each["name"] for each in found if isinstance(each["type"], Integer | Boolean)}
        return {each: _quoted(each) for each in columns if each in plain}

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _key_text(value: Any) -> str:
    return json.dumps(value if isinstance(value, int | float | str) else bytes(value).decode("latin-1"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read_only(path: str) -> Engine:
    if not Path(path).is_file():
        raise WarehouseError(
            f"there is no database {path}: name the file of the earlier one with --from sqlite:////..."
        )

    def connect() -> sqlite3.Connection:
        # `mode=ro` also where the file may be written to
        connection = sqlite3.connect(f"file:{quote(str(Path(path).resolve()))}?mode=ro", uri=True)
        connection.isolation_level = None
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        return connection

    engine = create_engine("sqlite://", creator=connect, hide_parameters=True)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _read_only_server(url: Any) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        connect_args={
            "options": "-c timezone=UTC -c default_transaction_read_only=on",
            "application_name": "cowrie_pipeline import",
        },
    )
