"""Connections to either database, set up so that both keep the same promises.

Belongs here: URLs, engines, pragmas, transactions, locks between processes.
Does not belong here: statements about our tables.
"""

import itertools
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

__all__ = ["UnreachableError", "Warehouse", "WarehouseError", "database_url", "shown_url"]

_log = logging.getLogger(__name__)
# How long a writer waits for another on SQLite, which has one writer at a time.
_PATIENCE_SECONDS = 120.0
_CACHE_KIB = 16 * 1024
# Rows come many at once and side by side: twice SQLite's own page makes loading take a tenth less processor time.
_PAGE_BYTES = 8 * 1024
# FULL JOIN and IS DISTINCT FROM
_OLDEST_SQLITE = (3, 39, 0)


class WarehouseError(Exception):
    """The database cannot be used as it is; the message says what was found and what to do."""


class UnreachableError(WarehouseError):
    """The database does not answer now; it may later."""


class Warehouse:
    """One database: `begin` for work that writes, `read` for work that does not.

    On SQLite foreign keys are on, the journal is a write-ahead log, and a transaction that writes takes its lock at
    the beginning, so that it can wait for another instead of failing half way. On PostgreSQL the session's time zone
    is UTC.

    Args:
        url: where it is.
        patience_seconds: how long to wait for another that writes, on SQLite.
    """

    def __init__(self, url: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.url = database_url(url)
        self.engine = _create_engine(self.url, patience_seconds)
        _log.debug("database %s", self.safe_url)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def is_missing(self) -> bool:
        """Whether this is SQLite and its file is not there; opening it would make it."""
        return self.dialect == "sqlite" and not Path(self.url.database or "").exists()

    @property
    def safe_url(self) -> str:
        """The URL without its password."""
        return shown_url(self.url)

    @contextmanager
    def begin(self, *, lock: str | tuple[str, ...] = ()) -> Iterator[Connection]:
        """Open a transaction that writes; it is committed at the end and undone by an exception.

        Args:
            lock: name, or names, of work that only one process may do at a time. It waits here for the other to
                finish. SQLite has one writer at a time anyway.
        """
        with self._connection().execution_options(cowrie_writes=True) as connection, connection.begin():
            if self.dialect == "postgresql":
                for name in (lock,) if isinstance(lock, str) else lock:
                    key = xxhash.xxh3_64_intdigest(name.encode()) >> 1
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads one state of the database."""
        with self._connection() as connection, connection.begin():
            yield connection

    def _connection(self) -> Connection:
        try:
            return self.engine.connect()
        except (OperationalError, DatabaseError) as error:
            found = str(error.orig).strip().splitlines()[0]
            kind = WarehouseError if _is_damage(found) else UnreachableError
            raise kind(self._explain(found)) from error

    def _explain(self, found: str) -> str:
        if _is_damage(found):
            remedy = "The file is damaged or no SQLite database: restore a backup, or name another with --db."
        elif self.dialect == "sqlite":
            remedy = "Check that the folder exists and can be written, and that the disk is not full."
        else:
            remedy = (
                "Check that the server runs and that COWRIE_DB_URL names host, database, user and password rightly."
            )
        return f"cannot open the database {self.safe_url}: {found}. {remedy}"

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _is_damage(found: str) -> bool:
    return "file is not a database" in found or "malformed" in found


def database_url(url: str) -> URL:
    """Parse a database URL and name the driver, which SQLAlchemy 2.1 and Dagster choose differently."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise WarehouseError(
            f"the database URL cannot be read: {error}. "
            "Expected sqlite:////folder/cowrie.db or postgresql+psycopg://user:password@host/name."
        ) from error
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise WarehouseError("an SQLite database in memory is lost with the process: name a file, sqlite:////...")
        return parsed
    raise WarehouseError(f"expected an SQLite or PostgreSQL database, found {parsed.get_backend_name()}")


def shown_url(url: URL) -> str:
    """Return a database's URL without a password, also where it is in the query: `?password=***`."""
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _create_engine(url: URL, patience_seconds: float) -> Engine:
    # hide_parameters: rows hold tried passwords, and an error that shows them ends up in logs and in Dagster's UI
    if url.get_backend_name() == "sqlite":
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise WarehouseError(
                f"expected SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or later in this Python, found "
                f"{sqlite3.sqlite_version}: use a newer Python, or PostgreSQL."
            )
        assert url.database is not None  # noqa: S101 - database_url has seen to it
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": patience_seconds})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        hide_parameters=True,
        native_inet_types=False,
        pool_pre_ping=True,
        connect_args={"options": "-c timezone=UTC", "application_name": "cowrie_pipeline"},
    )


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    # of a database that is new: another keeps the pages it has
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    _use_write_ahead_log(connection)
    for pragma in (
        "synchronous = NORMAL",
        "foreign_keys = ON",
        f"cache_size = -{_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(connection: Any) -> None:
    """Set the journal mode, which a database keeps once it has it.

    SQLite does not wait for a lock here, so that processes that open a new database at the same time must try again.
    """
    for wait in itertools.chain(itertools.repeat(0.05, 100), [None]):
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if wait is None or "locked" not in str(error):
                raise
            time.sleep(wait)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("cowrie_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
