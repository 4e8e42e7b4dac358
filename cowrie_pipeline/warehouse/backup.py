"""A copy of the database as one file, taken while others write, and the way back.

SQLite is copied page by page by its online backup, PostgreSQL by its own `pg_dump`. A file appears under its name only
when it is whole and was looked at.

Belongs here: making and restoring the file, whole or not at all.
Does not belong here: what is shown of it (cli/).
"""

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect

from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import known_versions, version_of
from cowrie_pipeline.warehouse.tables import VERSION_TABLE, metadata

__all__ = ["Backup", "back_up", "restore"]

_PAGES_AT_ONCE = 2_000
_VERSION_IN_LIST = re.compile(rf" TABLE DATA \S+ {VERSION_TABLE} ")
_MAJOR = re.compile(r"\) (\d+)")


@dataclass(frozen=True, slots=True)
class Backup:
    """A file that holds a whole database; `version` is of its schema, None where the file does not tell it."""

    path: Path
    size: int
    version: str | None


def back_up(warehouse: Warehouse, path: Path, *, replace: bool = False, on_progress: OnProgress = unheard) -> Backup:
    """Write the state that the database has now to one file, readable by its owner alone.

    Args:
        warehouse: what is copied; others may write to it meanwhile.
        path: the file.
        replace: whether a file of that name gives way.
        on_progress: is told of pages copied, on SQLite.

    Raises:
        WarehouseError: the file is there already, the copy is not sound, or `pg_dump` is missing or too old.
    """
    if warehouse.is_missing:
        raise WarehouseError(f"there is no database {warehouse.safe_url} to make a backup of")
    if path.exists() and not (replace and path.is_file()):
        raise WarehouseError(f"{path} is there already: name another file, or add --replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warehouse.read() as connection:
        version = version_of(connection)
    if version is None:
        raise WarehouseError(f"the database {warehouse.safe_url} is empty: there is nothing to make a backup of")
    with _appearing(path) as partial:
        if warehouse.dialect == "sqlite":
            _copy_pages(Path(warehouse.url.database or ""), partial, on_progress)
            _sound_version(partial)
        else:
            _dump(warehouse, partial)
    return Backup(path, path.stat().st_size, version)


def restore(warehouse: Warehouse, path: Path, *, replace: bool = False, on_progress: OnProgress = unheard) -> Backup:
    """Put what a backup holds in the place of the database; a failure leaves the database as it was.

    Args:
        warehouse: where to; nobody else may use it meanwhile.
        path: a file that `back_up` wrote, of a database of the same kind.
        replace: whether the rows that are there now may be lost.
        on_progress: is told of pages copied, on SQLite.

    Raises:
        WarehouseError: the file is no sound backup, or the database has rows and `replace` was not said.
    """
    if not path.is_file():
        raise WarehouseError(f"there is no backup {path}")
    with path.open("rb") as file:
        beginning = file.read(16)
    kinds = {b"SQLite format 3\0": "sqlite", b"PGDMP": "postgresql"}
    kind = next((kind for magic, kind in kinds.items() if beginning.startswith(magic)), None)
    if kind != warehouse.dialect:
        of = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        found = f"one of {of[kind]}" if kind else "something else"
        raise WarehouseError(
            f"{path}: expected a backup of {of[warehouse.dialect]}, found {found}. `cowrie-pipeline db move` goes from "
            "one kind to the other"
        )
    if kind == "sqlite":
        version: str | None = _restore_file(warehouse, path, replace=replace, on_progress=on_progress)
    else:
        version = _restore_dump(warehouse, path, replace=replace)
    return Backup(path, path.stat().st_size, version)


def _refuse_rows(warehouse: Warehouse) -> None:
    with warehouse.read() as connection:
        taken = sorted({*metadata.tables, VERSION_TABLE} & set(inspect(connection).get_table_names()))
    if taken:
        raise WarehouseError(
            f"the database {warehouse.safe_url} is not empty: it has a table {taken[0]}. Add --replace to lose what is "
            "in it"
        )


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yield a file beside `path` that takes its name when all went well, and is removed else."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.absolute().parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.absolute().parent)
    finally:
        for leftover in (partial, *(Path(f"{name}{ending}") for ending in ("-wal", "-shm", "-journal"))):
            leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- SQLite


def _copy_pages(source: Path, target: Path, on_progress: OnProgress) -> None:
    def tell(_: int, remaining: int, total: int) -> None:
        on_progress(total - remaining, total)

    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        try:
            # One state is held from here to the end, so that the copy need not begin again whenever somebody writes.
            reading.execute("BEGIN")
            reading.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            reading.backup(writing, pages=_PAGES_AT_ONCE, progress=tell)
            # one file, without a log beside it
            writing.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            raise WarehouseError(f"{source} cannot be copied to {target.parent}: {error}") from error


def _sound_version(path: Path) -> str:
    """Look at every page of a copy and return the version of its schema.

    Raises:
        WarehouseError: something is wrong with it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchone()
            versions = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()  # noqa: S608
    except sqlite3.DatabaseError as error:
        found, orphans, versions = [str(error)], None, []
    if found != ["ok"]:
        raise WarehouseError(f"{path.name}: expected a sound copy of our database, found: {found[0]}")
    if orphans is not None:
        raise WarehouseError(f"{path.name}: a row of {orphans[0]} points to one of {orphans[2]} that is not there")
    _refuse_unknown(path, versions[0][0] if versions else None)
    return str(versions[0][0])


def _refuse_unknown(path: Path, version: str | None) -> None:
    if version not in known_versions():
        raise WarehouseError(
            f"{path.name} has schema version {version or 'none'}, unknown to this code: install the version of "
            "cowrie_pipeline that made it, or a later one"
        )


def _restore_file(warehouse: Warehouse, path: Path, *, replace: bool, on_progress: OnProgress) -> str:
    # of a link the file that it leads to is replaced
    target = Path(warehouse.url.database or "").resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not replace:
        _refuse_rows(warehouse)
    # its own connections, too, use the file that goes
    warehouse.dispose()
    with _appearing(target) as partial:
        _copy_pages(path, partial, on_progress)
        version = _sound_version(partial)
        if target.exists():
            partial.chmod(target.stat().st_mode & 0o777)
            _take_log_in(target)
        for ending in ("-wal", "-shm"):
            Path(f"{target}{ending}").unlink(missing_ok=True)
    return version


def _take_log_in(target: Path) -> None:
    """Have what is in the log of a database written into it, and see to it that nobody uses it.

    A log that stayed beside it would be read into the database that takes its place.
    """
    try:
        with closing(sqlite3.connect(target, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise WarehouseError(
                f"another process uses the database {target}: stop the pipeline first, `systemctl stop "
                "cowrie-pipeline.target cowrie-pipeline-alerts.timer`"
            ) from error
        raise
    except sqlite3.DatabaseError:
        pass  # damaged, which is why there is a restore


# ---- PostgreSQL


def _program(name: str, warehouse: Warehouse) -> str:
    """Return the path of one of PostgreSQL's programs that is as new as the server.

    Raises:
        WarehouseError: there is none, or it is older.
    """
    path = shutil.which(name)
    if path is None:
        raise WarehouseError(
            f"a backup of PostgreSQL needs its program {name}, which is not in PATH: install PostgreSQL's client "
            "(Debian: postgresql-client)"
        )
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    match = _MAJOR.search(said)
    with warehouse.read() as connection:
        server = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
    if match is None or int(match[1]) < server:
        raise WarehouseError(
            f"{path} says {said or 'nothing'}, and the server is PostgreSQL {server}: expected a program as new as the "
            f"server. Install postgresql-client-{server} and put its folder first in PATH"
        )
    return path


def _connection_variables(warehouse: Warehouse) -> Mapping[str, str]:
    """Return the environment in which PostgreSQL's programs find the database: no password is in a process list."""
    url = warehouse.url
    query = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    given = {
        "PGHOST": query.pop("host", None) or url.host,
        "PGPORT": query.pop("port", None) or (str(url.port) if url.port else None),
        "PGUSER": query.pop("user", None) or url.username,
        "PGPASSWORD": query.pop("password", None) or (str(url.password) if url.password else None),
        "PGDATABASE": url.database,
        "PGPASSFILE": query.pop("passfile", None),
        "PGSSLMODE": query.pop("sslmode", None),
        "PGSSLROOTCERT": query.pop("sslrootcert", None),
        "PGSSLCERT": query.pop("sslcert", None),
        "PGSSLKEY": query.pop("sslkey", None),
        "PGAPPNAME": "cowrie_pipeline backup",
    }
    return {name: value for name, value in given.items() if value}


def _run(command: list[str], warehouse: Warehouse) -> str:
    done = subprocess.run(  # noqa: S603 - our own arguments
        command, env=_environment(warehouse), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise WarehouseError(f"{Path(command[0]).name} failed: {_last_line(done.stderr)}")
    return done.stdout


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _dump(warehouse: Warehouse, partial: Path) -> None:
    program = _program("pg_dump", warehouse)
    reader = _program("pg_restore", warehouse)
    _run([program, "--format=custom", "--no-password", f"--file={partial}"], warehouse)
    _contents(reader, partial, warehouse)


def _contents(reader: str, path: Path, warehouse: Warehouse) -> None:
    """Look whether a dump can be read and is one of ours."""
    listed = _run([reader, "--list", str(path)], warehouse)
    if not _VERSION_IN_LIST.search(listed):
        raise WarehouseError(f"{path}: expected a dump of our database, found none of our tables in it")


def _restore_dump(warehouse: Warehouse, path: Path, *, replace: bool) -> str | None:
    """Restore in one transaction: what is dropped and what is made, or nothing of it."""
    reader, writer = _program("pg_restore", warehouse), _program("psql", warehouse)
    _contents(reader, path, warehouse)
    if not replace:
        _refuse_rows(warehouse)
    ours = ", ".join(f'"{name}"' for name in (*metadata.tables, VERSION_TABLE))
    script = subprocess.Popen(  # noqa: S603
        [reader, "--no-owner", "--no-privileges", "--clean", "--if-exists", "--file=-", str(path)],
        env=_environment(warehouse),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with tempfile.TemporaryFile() as said:
        into = subprocess.Popen(  # noqa: S603
            [writer, "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"],
            env=_environment(warehouse),
            stdin=subprocess.PIPE,
            stderr=said,
        )
        assert into.stdin is not None  # noqa: S101 - both are pipes
        assert script.stdout is not None  # noqa: S101
        assert script.stderr is not None  # noqa: S101
        try:
            # tables that the backup does not have, too: they are of a newer schema
            into.stdin.write(f"BEGIN;\nDROP TABLE IF EXISTS {ours} CASCADE;\n".encode())
            shutil.copyfileobj(script.stdout, into.stdin, 1024 * 1024)
            read_wrong = script.stderr.read().decode(errors="replace")
            if script.wait() == 0:
                into.stdin.write(b"\nCOMMIT;\n")
        except BrokenPipeError:
            script.kill()
            script.wait()
            read_wrong = ""
        finally:
            script.stdout.close()
            script.stderr.close()
        with suppress(BrokenPipeError):  # psql ended by an error, which it has said
            into.stdin.close()
        ended = into.wait()
        said.seek(0)
        written_wrong = said.read().decode(errors="replace")
    if ended != 0 or script.returncode != 0:
        lines = [line for line in (written_wrong or read_wrong).splitlines() if "ERROR" in line]
        raise WarehouseError(
            f"{path} was not restored, and the database is as it was: "
            f"{lines[0] if lines else _last_line(written_wrong or read_wrong)}"
        )
    with warehouse.begin() as connection:
        # a dump brings no statistics, without which the first reports take long
        for table in sorted(metadata.tables.keys() & set(inspect(connection).get_table_names())):
            connection.exec_driver_sql(f'ANALYZE "{table}"')
        return version_of(connection)


def _environment(warehouse: Warehouse) -> dict[str, str]:
    return {**os.environ, **_connection_variables(warehouse)}
