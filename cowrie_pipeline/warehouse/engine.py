"""Connections to either database, set up so that both keep the same promises.

Belongs here: URLs, engines, pragmas, transactions, locks between processes.
Does not belong here: statements about our tables.
"""

import itertools
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import xxhash
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from cowrie_pipeline.observability.tracing import counts_in, span
from cowrie_pipeline.settings import Settings

__all__ = ["UnreachableError", "Warehouse", "WarehouseError", "database_url", "note_rows", "shown_url"]

_log = logging.getLogger(__name__)
# How long a writer waits for another on SQLite, which has one writer at a time.
_PATIENCE_SECONDS = 120.0
_CACHE_KIB = 16 * 1024
# How long a server may take to be there again once it was there: that of a restart.
_RESTART_SECONDS = 60.0
_CONNECT_SECONDS = 10
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
    the beginning, so that it can wait for another instead of failing half way. On PostgreSQL a transaction's time zone
    is UTC. Nothing there outlives a transaction, no lock, no setting, no prepared statement and no temporary table, so
    that PgBouncer may give each transaction another connection.

    Args:
        url: where it is.
        patience_seconds: how long to wait for another that writes, on SQLite.
        pool_size: connections to PostgreSQL that are kept open.
        pool_overflow: how many more may be open at once.
        statement_timeout_seconds: how long a statement may take on PostgreSQL; None for the server's own limit.
        answer_seconds: how long to wait for PostgreSQL at all, for a connection and for each statement; for who would
            rather not know than wait.
        read_only: whether nothing can be written: SQLite is opened with `mode=ro`, PostgreSQL with transactions that
            only read, each of one state of the database.
        counts: whether what work counts is kept (metric_store.py).
    """

    def __init__(
        self,
        url: str,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        pool_size: int = 5,
        pool_overflow: int = 10,
        statement_timeout_seconds: float | None = None,
        answer_seconds: float | None = None,
        read_only: bool = False,
        counts: bool = True,
    ) -> None:
        self.url = database_url(url)
        self.counts = counts
        if self.url.get_backend_name() == "sqlite":
            self.engine = _open_file(self.url, patience_seconds, read_only=read_only)
        else:
            self.engine = _open_server(self.url, pool_size, pool_overflow, answer_seconds, read_only=read_only)
        self._statement_timeout_seconds = answer_seconds or statement_timeout_seconds
        self._was_reached = False
        _log.debug("database %s", self.safe_url)

    @classmethod
    def of(cls, settings: Settings, *, patience_seconds: float = _PATIENCE_SECONDS) -> "Warehouse":
        """Open the database of the settings, as they say."""
        return cls(
            settings.database_url,
            patience_seconds=patience_seconds,
            pool_size=settings.db_pool_size,
            pool_overflow=settings.db_pool_overflow,
            statement_timeout_seconds=settings.db_statement_timeout_seconds,
            counts=settings.metrics,
        )

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
        locks = (lock,) if isinstance(lock, str) else lock
        rows = Counter[str]()
        with (
            span("database write", {"db.system.name": self.dialect, "cowrie.lock": ",".join(locks)}) as writing,
            self._connection().execution_options(cowrie_writes=True, cowrie_rows=rows) as connection,
            connection.begin(),
        ):
            if self.dialect == "postgresql":
                for name in locks:
                    key = xxhash.xxh3_64_intdigest(name.encode()) >> 1
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            self._limit_statements(connection)
            # from here to the beginning it waited for others
            writing.add_event("lock taken")
            yield connection
            writing.set_attributes(counts_in({"rows": rows}))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads one state of the database."""
        with self._connection() as connection, connection.begin():
            self._limit_statements(connection)
            yield connection

    def _limit_statements(self, connection: Connection) -> None:
        """Set the limit for the rest of the transaction: after its locks, for which it may wait for long."""
        if self._statement_timeout_seconds is not None and self.dialect == "postgresql":
            milliseconds = max(1, round(self._statement_timeout_seconds * 1000))
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")

    def _connection(self) -> Connection:
        """Connect; wait for a server that was there and is not now, since it may be starting again."""
        given_up = time.monotonic() + _RESTART_SECONDS
        for wait in itertools.chain((0.1, 0.2, 0.5), itertools.repeat(1.0)):
            try:
                connection = self.engine.connect()
            except (OperationalError, DatabaseError) as error:
                found = str(error.orig).strip().splitlines()[0]
                if _is_damage(found):
                    raise WarehouseError(self._explain(found)) from error
                if self.dialect == "sqlite" or not self._was_reached or time.monotonic() > given_up:
                    raise UnreachableError(self._explain(found)) from error
                _log.warning("the database is away, waiting for it: %s", found)
                time.sleep(wait)
            else:
                self._was_reached = True
                return connection
        raise AssertionError("the waits have no end")

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


def note_rows(connection: Connection, table: str, rows: int) -> None:
    """Note rows that were inserted, for the span of the transaction that writes them.

    A span for each table and day would be half of all spans of a load.
    """
    written: Counter[str] | None = connection.get_execution_options().get("cowrie_rows")
    if written is not None:
        written[table] += rows


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


def _open_file(url: URL, patience_seconds: float, *, read_only: bool) -> Engine:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise WarehouseError(
            f"expected SQLite {'.'.join(map(str, _OLDEST_SQLITE))} or later in this Python, found "
            f"{sqlite3.sqlite_version}: use a newer Python, or PostgreSQL."
        )
    assert url.database is not None  # noqa: S101 - database_url has seen to it
    path = Path(url.database).absolute()
    if read_only:
        # a URI, which alone can say so
        url = url.set(database=f"file:{quote(str(path))}").update_query_dict({"mode": "ro", "uri": "true"})
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    # hide_parameters: rows hold tried passwords, and an error that shows them ends up in logs and in Dagster's UI
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": patience_seconds})
    event.listen(engine, "connect", _set_up_reader if read_only else _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_server(
    url: URL, pool_size: int, pool_overflow: int, answer_seconds: float | None, *, read_only: bool
) -> Engine:
    bounds = {"connect_timeout": _CONNECT_SECONDS}
    if answer_seconds is not None:
        # the system's own patience with a server that is gone is a quarter of an hour
        bounds = {"connect_timeout": max(1, round(answer_seconds)), "tcp_user_timeout": round(answer_seconds * 1000)}
    engine = create_engine(
        url,
        hide_parameters=True,
        native_inet_types=False,
        # a connection that the server has closed meanwhile, as by a restart, is replaced when it is needed
        pool_pre_ping=True,
        pool_size=pool_size,
        max_overflow=pool_overflow,
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        connect_args={
            "application_name": "cowrie_pipeline",
            **bounds,
            # a statement prepared on one of PgBouncer's connections is not there on the next
            "prepare_threshold": None,
        },
    )
    event.listen(engine, "begin", _begin_reading if read_only else _begin_postgresql)
    return engine


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


def _set_up_reader(connection: Any, _: object) -> None:
    connection.isolation_level = None


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


def _begin_postgresql(connection: Connection) -> None:
    # not when connecting: PgBouncer would give what is set then to others, or refuse it
    # jit: what the planner takes for minutes of work takes milliseconds, and compiling it tenths of a second
    connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'; SET LOCAL jit = off")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    _begin_postgresql(connection)
