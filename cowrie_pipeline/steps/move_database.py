"""A whole database into another of the other kind, and proof that nothing was lost on the way.

Rows go in portions, in the order of their key; where the work is stands in a table of the target, written together
with the rows, so that a process killed at any moment leaves a target that the same command completes. Until then the
target has the version `moving`, which keeps everybody else out of it.

Belongs here: what a target must be, the order of tables, what is compared at the end.
Does not belong here: how rows are read and told to be the same (warehouse/copying.py).
"""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, Text, insert, inspect, select, update
from sqlalchemy import text as sql
from sqlalchemy.schema import CreateTable, DropTable

from cowrie_pipeline.observability.progress import ProgressListener
from cowrie_pipeline.steps.import_legacy import add_foreign_keys
from cowrie_pipeline.warehouse.bulk import insert_rows
from cowrie_pipeline.warehouse.copying import (
    Contents,
    contents_of,
    count_rows,
    key_text,
    portion_after,
    renew_numbers,
    rows_at_once,
)
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.schema import MOVING, newest_version, upgrade_schema, version_of
from cowrie_pipeline.warehouse.tables import VERSION_TABLE, imported_records, imported_sessions, metadata

__all__ = ["MoveReport", "TableMove", "move_database"]

# Of no schema: made when a move begins and dropped when it is complete.
_progress = Table(
    "cowrie_move",
    MetaData(),
    Column("table_name", String(64), primary_key=True),
    Column("source", String(32), nullable=False, comment="digest of where the source is"),
    Column("location", Text, nullable=False, comment="of the source, without its password"),
    Column("last_key", Text, comment="as JSON: rows up to this key are here"),
    Column("rows_copied", BigInteger, nullable=False),
)
_LOCK = "move"


@dataclass(frozen=True, slots=True)
class TableMove:
    """One table: what the source holds of it and what the target does."""

    table: str
    source: Contents
    target: Contents

    @property
    def is_same(self) -> bool:
        """Whether both hold the same rows."""
        return self.source == self.target


@dataclass(frozen=True, slots=True)
class MoveReport:
    """A move: every table, and how many rows this process copied; the rest was there from an earlier one."""

    source: str
    target: str
    tables: tuple[TableMove, ...]
    rows_copied: int

    @property
    def is_valid(self) -> bool:
        """Whether every table holds the same on both sides."""
        return all(each.is_same for each in self.tables)


def move_database(
    source: Warehouse, target: Warehouse, *, on_progress: ProgressListener, most_rows: int | None = None
) -> MoveReport:
    """Copy every row of `source` to `target`, or what is left of it, and compare every table.

    Args:
        source: what is moved, opened to read only. It should not be written to meanwhile: what changes after it was
            copied is told as a difference.
        target: an empty database, or one that an earlier call was copying the same source to.
        on_progress: is told of each table what is done and to do.
        most_rows: rows of a portion at most; each portion is one transaction of the target.

    Raises:
        WarehouseError: the source is of another version, or the target holds something else.
    """
    _refuse_other_versions(source)
    if not _begin(source, target):
        # a process that was killed after its last transaction, or the same command once more
        return _compared(source, target, 0, on_progress)
    copied = sum(_copy(source, target, table, on_progress, most_rows) for table in metadata.sorted_tables)
    with target.read() as connection:
        has_imports = any(count_rows(connection, table) for table in (imported_sessions, imported_records))
    if has_imports:
        add_foreign_keys(target)
    report = _compared(source, target, copied, on_progress)
    if report.is_valid:
        _end(target)
    return report


def _refuse_other_versions(source: Warehouse) -> None:
    if source.is_missing:
        raise WarehouseError(f"there is no database {source.safe_url}: name the one to move with --from")
    with source.read() as connection:
        version = version_of(connection)
    if version != newest_version():
        raise WarehouseError(
            f"the database {source.safe_url} has schema version {version or 'none'}, expected {newest_version()}: "
            "bring it up to date first, `cowrie-pipeline db upgrade --db URL`"
        )


def _identity(source: Warehouse) -> str:
    """Return the name under which a target remembers where its rows come from."""
    is_file = source.dialect == "sqlite"
    where = (
        str(Path(source.url.database or "").resolve())
        if is_file
        else source.url.set(username=None, password=None).render_as_string()
    )
    return blake2b(where.encode(), digest_size=16).hexdigest()


def _begin(source: Warehouse, target: Warehouse) -> bool:
    """Make the target ready; return whether there is anything to copy.

    Raises:
        WarehouseError: the target is not empty, and holds something else than the source.
    """
    with target.read() as connection:
        version = version_of(connection)
    if version != MOVING:
        upgrade_schema(target)
    with target.begin(lock=("schema", _LOCK)) as connection:
        if inspect(connection).has_table(_progress.name):
            _refuse_other_move(connection, source, target)
            return True
        filled = [table for table in metadata.sorted_tables if count_rows(connection, table)]
        if not filled:
            connection.execute(CreateTable(_progress))
            connection.execute(
                insert(_progress),
                [
                    {
                        "table_name": table.name,
                        "source": _identity(source),
                        "location": source.safe_url,
                        "rows_copied": 0,
                    }
                    for table in metadata.sorted_tables
                ],
            )
            connection.execute(sql(f"UPDATE {VERSION_TABLE} SET version_num = :version"), {"version": MOVING})  # noqa: S608
            return True
        counts = {table: count_rows(connection, table) for table in metadata.sorted_tables}
    with source.read() as connection:
        if any(count_rows(connection, table) != counts[table] for table in counts):
            raise WarehouseError(
                f"the database {target.safe_url} is not empty: {filled[0].name} has {counts[filled[0]]:,} rows. A move "
                "needs an empty one of its own; name another with --to"
            )
    return False


def _refuse_other_move(connection: Connection, source: Warehouse, target: Warehouse) -> None:
    digest, location = connection.execute(select(_progress.c.source, _progress.c.location).limit(1)).one()
    if digest != _identity(source):
        raise WarehouseError(
            f"a move of {location} to {target.safe_url} is not finished: run it again with --from {location}, or name "
            "an empty database with --to"
        )


def _copy(
    source: Warehouse, target: Warehouse, table: Table, on_progress: ProgressListener, most_rows: int | None
) -> int:
    """Copy what is left of one table; return how many rows that was."""
    columns = [column.name for column in table.c]
    limit = min(rows_at_once(table), most_rows or rows_at_once(table))
    of_table = _progress.c.table_name == table.name
    with source.read() as reading:
        total = count_rows(reading, table)
    copied, is_done = 0, False
    while not is_done:
        with target.begin(lock=_LOCK) as writing:
            # looked at each time: another process may be at the same move
            before, last_key = writing.execute(
                select(_progress.c.rows_copied, _progress.c.last_key).where(of_table)
            ).one()
            with source.read() as reading:
                portion = portion_after(reading, table, last_key, limit)
            is_done = len(portion) < limit
            if portion:
                insert_rows(writing, table, columns, portion)
                last_key = key_text(table, portion[-1])
            done = before + len(portion)
            if is_done:
                renew_numbers(writing, table)
            writing.execute(update(_progress).where(of_table).values(rows_copied=done, last_key=last_key))
        copied += len(portion)
        if total:
            on_progress(f"copying {table.name}", min(done, total), total)
    return copied


def _compared(source: Warehouse, target: Warehouse, copied: int, on_progress: ProgressListener) -> MoveReport:
    tables = []
    for done, table in enumerate(metadata.sorted_tables, start=1):
        with source.read() as reading, target.read() as written:
            tables.append(TableMove(table.name, contents_of(reading, table), contents_of(written, table)))
        on_progress("comparing tables", done, len(metadata.sorted_tables))
    return MoveReport(source.safe_url, target.safe_url, tuple(tables), copied)


def _end(target: Warehouse) -> None:
    """Let everybody in: the target is complete."""
    with target.begin(lock=("schema", _LOCK)) as connection:
        if version_of(connection) != MOVING:
            return  # another process at the same move came first
        connection.execute(DropTable(_progress))
        connection.execute(sql(f"UPDATE {VERSION_TABLE} SET version_num = :version"), {"version": newest_version()})  # noqa: S608
    if target.dialect == "postgresql":
        with target.begin() as connection:
            for table in metadata.sorted_tables:
                connection.exec_driver_sql(f"ANALYZE {table.name}")
