"""Move a database of the older, session-level layout into this schema, in phases that can be repeated and resumed.

create: the schema. copy: networks, addresses, sessions and files, in batches in the order of their keys, each batch one
transaction that also writes down how far it came. snapshots: what the old rows prove of them, and the days' counts.
constrain: foreign keys, on PostgreSQL without keeping anybody from writing. verify: rows there and rows here.

The source is only read, and nothing is dropped from the target. `legacy_imports` has the progress: killed at any
moment, the same call goes on, and when all is done it changes nothing.

Belongs here: the phases, their order, and the accounting of rows.
Does not belong here: what rows say (legacy/rows.py), how they are written (legacy/writing.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from time import sleep
from typing import Any

from sqlalchemy import BigInteger, Connection, delete, func, insert, inspect, select, update
from sqlalchemy.exc import OperationalError

from cowrie_pipeline.enrichment.network_types import NetworkRules
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.progress import ProgressListener
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange, contiguous
from cowrie_pipeline.steps.legacy.rows import (
    TABLES,
    LegacyTable,
    Row,
    UnusableRowError,
    distinct_sessions,
    read_address,
    read_file,
    read_network,
    read_session,
)
from cowrie_pipeline.steps.legacy.values import Oddities
from cowrie_pipeline.steps.legacy.writing import (
    reputations,
    write_addresses,
    write_files,
    write_networks,
    write_sessions,
)
from cowrie_pipeline.warehouse.bulk import analyze, staged
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError
from cowrie_pipeline.warehouse.legacy_database import LegacyDatabase
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.schema import upgrade_schema
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    imported_sessions,
    legacy_imports,
    session_summaries,
)

__all__ = ["BATCH_SIZE", "ImportReport", "PartReport", "add_foreign_keys", "import_legacy", "plan_import"]

BATCH_SIZE = 5_000

_SNAPSHOTS = "snapshots"
_AGAIN = "the same again"
_NO_KEY = {"networks": "no AS number", "addresses": "no IP address", "sessions": "no session id", "files": "no SHA-256"}
# What a foreign key waits for is a moment without writers; behind it others wait, so it gives up and tries again.
_LOCK_TIMEOUT = "2s"
_LOCK_TRIES = 30
_FOREIGN_KEYS = (
    ("fk_imported_sessions_session_key", "imported_sessions", "session_key", "session_summaries", "session_key"),
    (
        "fk_imported_sessions_snapshot_document",
        "imported_sessions",
        "snapshot_document",
        "enrichment_documents",
        "digest",
    ),
    ("fk_imported_sessions_legacy_document", "imported_sessions", "legacy_document", "enrichment_documents", "digest"),
    ("fk_imported_sessions_snapshot_asn", "imported_sessions", "snapshot_asn", "asn_inventory", "asn_number"),
    ("fk_imported_records_legacy_document", "imported_records", "legacy_document", "enrichment_documents", "digest"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """What became of the rows of one table: those in the source = copied + skipped, and as many are here as copied.

    `here` is None in a dry run. `oddities` are malformed values in rows that were copied, by kind; `gave_way` counts
    sessions that logs have given, too.
    """

    table: str
    is_missing: bool = False
    in_source: int = 0
    copied: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    oddities: Mapping[str, int] = field(default_factory=dict)
    here: int | None = None
    gave_way: int = 0
    ignored_columns: tuple[str, ...] = ()

    @property
    def mismatch(self) -> str | None:
        """What does not add up, in words; None if all does."""
        skipped = sum(self.skipped.values())
        if self.in_source != self.copied + skipped:
            return f"{self.table}: {self.in_source:,} rows there, {self.copied:,} copied + {skipped:,} skipped"
        if self.here is not None and self.here != self.copied:
            return f"{self.table}: {self.copied:,} rows copied, {self.here:,} here"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import came to, or in a dry run would come to.

    `snapshots` counts the sessions of this source by the basis of their snapshot, `none` where nothing is known.
    `constraints` are the foreign keys that hold, or the checks made in their place; `mismatches` is empty when all is
    well.
    """

    source: str
    dry_run: bool
    parts: Mapping[str, PartReport]
    snapshots: Mapping[str, int]
    constraints: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    changed: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether every row is accounted for."""
        return not self.mismatches


@dataclass(slots=True)
class _Progress:
    """How far a part is."""

    last_key: str | None = None
    rows_read: int = 0
    rows_copied: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    oddities: Oddities = field(default_factory=Oddities)
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    """Parsed rows, and what became of those that are not among them."""

    last_key: str
    rows: int
    parsed: Sequence[Any]
    skipped: Counter[str]
    oddities: Oddities


def _unheard(step: str, done: int, total: int) -> None:
    del step, done, total


def import_legacy(
    warehouse: Warehouse,
    legacy: LegacyDatabase,
    *,
    rules: NetworkRules,
    now: datetime,
    batch_size: int = BATCH_SIZE,
    on_progress: ProgressListener = _unheard,
) -> ImportReport:
    """Import an earlier database, or what is left to import of it.

    Args:
        warehouse: the target; made or brought up to date first.
        legacy: the source, which is only read.
        rules: of what type a network is.
        now: time of the work, UTC.
        batch_size: rows of one transaction.
        on_progress: is told the phase, and the rows done and to do.

    Raises:
        WarehouseError: the source lacks what cannot be done without, or a database cannot be used.
    """
    with legacy.read() as source:
        tables = _tables_there(legacy, source)
        upgrade_schema(warehouse)
        changed = False
        for part, (table, columns) in tables.items():
            copier = _Copier(
                warehouse,
                legacy,
                source,
                part=part,
                table=table,
                columns=columns,
                rules=rules,
                now=now,
                batch_size=batch_size,
            )
            changed |= copier.run(on_progress)
        changed |= _derive_snapshots(warehouse, legacy, now, batch_size, on_progress)
        constraints = add_foreign_keys(warehouse)
        return _verified(warehouse, legacy, source, tables, constraints, changed=changed)


def plan_import(
    legacy: LegacyDatabase, *, batch_size: int = BATCH_SIZE, on_progress: ProgressListener = _unheard
) -> ImportReport:
    """Read all of an earlier database as an import does, write nothing, and say what an import would do.

    Sessions that a target has already are not looked for.

    Raises:
        WarehouseError: the source lacks what cannot be done without, or cannot be used.
    """
    snapshots = Counter[str]()
    parts: dict[str, PartReport] = {}
    with legacy.read() as source:
        for part, (table, columns) in _tables_there(legacy, source).items():
            if columns is None:
                parts[part] = PartReport(table=table.name, is_missing=True)
                continue
            total = legacy.count(source, table.name)
            progress = _begun(legacy, source, part, table, columns)
            for batch in _parsed_batches(legacy, source, part, table, columns, after=None, batch_size=batch_size):
                _add(progress, batch)
                if part == "sessions":
                    snapshots.update(each.basis or "of the address, or none" for each in batch.parsed)
                on_progress(f"reading {part}", progress.rows_read, total)
            parts[part] = _part_report(table, columns, total, progress)
    return ImportReport(
        source=legacy.location,
        dry_run=True,
        parts=parts,
        snapshots=dict(snapshots),
        mismatches=tuple(each.mismatch for each in parts.values() if each.mismatch),
    )


_Tables = Mapping[str, tuple[LegacyTable, list[str] | None]]


def _tables_there(legacy: LegacyDatabase, source: Connection) -> _Tables:
    """Return the tables of the older layout, with their columns; None for a table that is not there.

    Raises:
        WarehouseError: there are no sessions, or a table lacks what is needed of it.
    """
    found = {part: (table, legacy.columns(source, table.name)) for part, table in TABLES.items()}
    if found["sessions"][1] is None:
        raise WarehouseError(
            f"the earlier database {legacy.location} has no table session_summaries: name one of the session-level "
            "layout with --from"
        )
    for table, columns in found.values():
        if columns is not None and (missing := table.missing(columns)):
            raise WarehouseError(
                f"the table {table.name} of {legacy.location} lacks {', '.join(missing)}; it has {', '.join(columns)}. "
                "Give the column one of these names, in a view or by renaming it."
            )
    return found


def _begun(legacy: LegacyDatabase, source: Connection, part: str, table: LegacyTable, columns: list[str]) -> _Progress:
    """Return the progress of a part that begins: rows without a key are never read, so they are skipped at once."""
    progress = _Progress()
    if without := legacy.count_without_key(source, table.name, _key(table, columns)):
        progress.rows_read = without
        progress.skipped[_NO_KEY[part]] = without
    return progress


def _key(table: LegacyTable, columns: Sequence[str]) -> str:
    key = table.key_column(columns)
    assert key is not None  # noqa: S101 - _tables_there has seen to it
    return key


def _add(progress: _Progress, batch: _Batch) -> None:
    progress.last_key = batch.last_key
    progress.rows_read += batch.rows
    progress.rows_copied += len(batch.parsed)
    progress.skipped += batch.skipped
    progress.oddities += batch.oddities


def _part_report(
    table: LegacyTable, columns: list[str], in_source: int, progress: _Progress, **more: Any
) -> PartReport:
    known = set(table.columns(columns))
    return PartReport(
        table=table.name,
        in_source=in_source,
        copied=progress.rows_copied,
        skipped=dict(progress.skipped.most_common()),
        oddities=dict(progress.oddities.most_common()),
        ignored_columns=tuple(each for each in columns if each not in known),
        **more,
    )


# ---- copy


_READERS: Mapping[str, Callable[[Row, Oddities], Any]] = {
    "networks": read_network,
    "addresses": read_address,
    "sessions": read_session,
    "files": read_file,
}


def _parsed_batches(
    legacy: LegacyDatabase,
    source: Connection,
    part: str,
    table: LegacyTable,
    columns: list[str],
    *,
    after: str | None,
    batch_size: int,
) -> Iterator[_Batch]:
    batches = legacy.batches(
        source, table.name, _key(table, columns), table.columns(columns), after=after, at_least=batch_size
    )
    for last_key, groups in batches:
        skipped, oddities = Counter[str](), Oddities()
        parsed: list[Any] = []
        for group in groups:
            readable = []
            for row in group:
                try:
                    readable.append(_READERS[part](row, oddities))
                except UnusableRowError as error:
                    skipped[str(error)] += 1
            kept = distinct_sessions(readable) if part == "sessions" else readable[:1]
            if len(kept) < len(readable):
                skipped[_AGAIN] += len(readable) - len(kept)
            parsed += kept
        yield _Batch(last_key, sum(map(len, groups)), parsed, skipped, oddities)


class _Copier:
    """Copies one part, from where it was left."""

    def __init__(
        self,
        warehouse: Warehouse,
        legacy: LegacyDatabase,
        source: Connection,
        *,
        part: str,
        table: LegacyTable,
        columns: list[str] | None,
        rules: NetworkRules,
        now: datetime,
        batch_size: int,
    ) -> None:
        self._warehouse = warehouse
        self._legacy = legacy
        self._source = source
        self._part = part
        self._table = table
        self._columns = columns
        self._rules = rules
        self._now = now
        self._batch_size = batch_size

    def run(self, on_progress: ProgressListener) -> bool:
        """Copy what is left; return whether there was anything."""
        if self._columns is None:
            return False
        total = self._legacy.count(self._source, self._table.name)
        progress = _progress_of(self._warehouse, self._legacy.digest, self._part)
        if progress is not None and progress.is_done and progress.rows_read == total:
            return False
        if progress is None or progress.is_done:
            # not begun, or rows were added since: those that are here are met again and stay
            progress = _begun(self._legacy, self._source, self._part, self._table, self._columns)
        batches = _parsed_batches(
            self._legacy,
            self._source,
            self._part,
            self._table,
            self._columns,
            after=progress.last_key,
            batch_size=self._batch_size,
        )
        for batch in batches:
            if self._part == "files":
                # of a transaction and a lock of its own; done again after a crash it changes nothing
                WarehouseCache(self._warehouse, day=self._now.date()).back_fill(reputations(batch.parsed, self._now))
            _add(progress, batch)
            with counting(self._warehouse, lock="facts") as (connection, tally):
                self._write(connection, tally, batch.parsed)
                _keep_progress(connection, self._legacy, self._part, progress, self._now)
            on_progress(f"copying {self._part}", progress.rows_read, total)
        progress.is_done = True
        with self._warehouse.begin(lock="facts") as connection:
            _keep_progress(connection, self._legacy, self._part, progress, self._now)
            if self._part == "sessions":
                # days are looked through again for sessions that have no snapshot, and counted
                connection.execute(delete(legacy_imports).where(*_is_part(self._legacy.digest, _SNAPSHOTS)))
        return True

    def _write(self, connection: Connection, tally: Tally, parsed: Sequence[Any]) -> None:
        digest = self._legacy.digest
        if self._part == "networks":
            write_networks(connection, digest, parsed, rules=self._rules, now=self._now, tally=tally)
        elif self._part == "addresses":
            write_addresses(connection, digest, parsed, rules=self._rules, now=self._now, tally=tally)
        elif self._part == "sessions":
            write_sessions(connection, digest, parsed, rules=self._rules, now=self._now, tally=tally)
        else:
            write_files(connection, digest, parsed)


def _is_part(digest: str, part: str) -> tuple[Any, Any]:
    return legacy_imports.c.source == digest, legacy_imports.c.part == part


def _progress_of(warehouse: Warehouse, digest: str, part: str) -> _Progress | None:
    with warehouse.read() as connection:
        row = connection.execute(select(legacy_imports).where(*_is_part(digest, part))).one_or_none()
    if row is None:
        return None
    return _Progress(
        row.last_key, row.rows_read, row.rows_copied, Counter(row.skipped), Oddities(row.oddities), row.is_done
    )


def _keep_progress(
    connection: Connection, legacy: LegacyDatabase, part: str, progress: _Progress, now: datetime
) -> None:
    values = {
        "location": legacy.location,
        "last_key": progress.last_key,
        "rows_read": progress.rows_read,
        "rows_copied": progress.rows_copied,
        "skipped": dict(progress.skipped),
        "oddities": dict(progress.oddities),
        "is_done": progress.is_done,
        "updated_at": now,
    }
    changed = connection.execute(update(legacy_imports).where(*_is_part(legacy.digest, part)).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(legacy_imports).values(source=legacy.digest, part=part, **values))


# ---- snapshots


def _derive_snapshots(
    warehouse: Warehouse, legacy: LegacyDatabase, now: datetime, batch_size: int, on_progress: ProgressListener
) -> bool:
    """Give the sessions of the source their snapshots, and count their days; return whether that was left to do."""
    progress = _progress_of(warehouse, legacy.digest, _SNAPSHOTS) or _Progress()
    if progress.is_done:
        return False
    with warehouse.read() as connection:
        sessions_of = _sessions_by_day(connection, legacy.digest)
    total, done = sum(sessions_of.values()), 0
    for days in _grouped(sessions_of, batch_size):
        done += sum(sessions_of[day] for day in days)
        if progress.last_key is not None and days[-1].isoformat() <= progress.last_key:
            continue
        with warehouse.begin(lock="facts") as connection:
            _take(connection, legacy.digest, DayRange(days[0], days[-1]), days, now)
            progress.last_key = days[-1].isoformat()
            progress.rows_read = done
            _keep_progress(connection, legacy, _SNAPSHOTS, progress, now)
        on_progress("deriving snapshots", done, total)
    progress.is_done = True
    with warehouse.begin(lock="facts") as connection:
        _keep_progress(connection, legacy, _SNAPSHOTS, progress, now)
    return True


def _sessions_by_day(connection: Connection, digest: str) -> dict[date, int]:
    day = func.date(imported_sessions.c.first_event_at)
    rows = connection.execute(
        select(day, func.count()).where(imported_sessions.c.source == digest).group_by(day).order_by(day)
    )
    return {_as_day(each): count for each, count in rows}


def _as_day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _grouped(sessions_of: Mapping[date, int], batch_size: int) -> Iterator[list[date]]:
    """Yield days together that have about `batch_size` sessions."""
    group: list[date] = []
    sessions = 0
    for day, count in sessions_of.items():
        group.append(day)
        sessions += count
        if sessions >= batch_size:
            yield group
            group, sessions = [], 0
    if group:
        yield group


def _take(connection: Connection, digest: str, span: DayRange, days: Sequence[date], now: datetime) -> None:
    dialect = connection.dialect.name
    kinds = {
        "session_key": BigInteger(),
        **{
            name: session_summaries.c[name].type
            for name in ("snapshot_asn", "snapshot_country", "snapshot_ip_type", "snapshot_basis", "snapshot_document")
        },
        "of_address": session_summaries.c.source_ip.type,
    }

    def run(name: str, **parameters: Any) -> None:
        connection.execute(with_parameters(read_sql(f"transforms/{name}", dialect).statement, **parameters))

    touched = set(days)
    with staged(connection, "legacy_snapshots", kinds) as found:
        run("find_legacy_snapshots", source=digest, start=span.start, end=span.end)
        analyze(connection, found)
        run("keep_documents_of_addresses")
        run("take_legacy_snapshots", now=now)
        keys = select(found.c.session_key)
        first, last = connection.execute(
            select(func.min(session_summaries.c.first_event_at), func.max(session_summaries.c.first_event_at)).where(
                session_summaries.c.session_key.in_(keys)
            )
        ).one()
        if first is not None:
            run("seal_snapshots", start=first, end=last + timedelta(microseconds=1))
            began = func.date(session_summaries.c.first_event_at)
            of_keys = select(began).where(session_summaries.c.session_key.in_(keys)).distinct()
            touched |= {_as_day(each) for each in connection.execute(of_keys).scalars()}
    for each in contiguous(touched):
        count_sessions(connection, each)


# ---- constrain


def add_foreign_keys(warehouse: Warehouse) -> tuple[str, ...]:
    """See to it that what was imported points to what is there; return by which constraints, or which check.

    PostgreSQL gets foreign keys: added as NOT VALID, which looks at no row and needs its lock for a moment, then
    validated in a transaction of its own, beside which others write. SQLite cannot add any to a table that is there,
    so the rows are checked.
    """
    if warehouse.dialect == "sqlite":
        return ("no row of imported_sessions is an orphan",) if not _orphans(warehouse) else ()
    names = []
    for name, table, column, target, key in _FOREIGN_KEYS:
        with warehouse.read() as connection:
            known = {each["name"] for each in inspect(connection).get_foreign_keys(table)}
        if name not in known:
            _add_foreign_key(
                warehouse,
                f"ALTER TABLE {table} ADD CONSTRAINT {name} "
                f"FOREIGN KEY ({column}) REFERENCES {target} ({key}) NOT VALID",
            )
        if not _is_validated(warehouse, name):
            with warehouse.begin() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        names.append(name)
    return tuple(names)


def _add_foreign_key(warehouse: Warehouse, statement: str) -> None:
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            with warehouse.begin() as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                connection.exec_driver_sql(statement)
        except OperationalError as error:
            if not tries_left or "lock timeout" not in str(error.orig):
                raise
            sleep(1)
        else:
            return


def _is_validated(warehouse: Warehouse, name: str) -> bool:
    with warehouse.read() as connection:
        found = connection.exec_driver_sql("SELECT convalidated FROM pg_constraint WHERE conname = %s", (name,))
        return bool(found.scalar())


def _orphans(warehouse: Warehouse) -> int:
    with warehouse.read() as connection:
        statement = read_sql("checks/orphan_imported_sessions", connection.dialect.name).statement
        return len(connection.exec_driver_sql(statement).all())


# ---- verify


def _verified(
    warehouse: Warehouse,
    legacy: LegacyDatabase,
    source: Connection,
    tables: _Tables,
    constraints: tuple[str, ...],
    *,
    changed: bool,
) -> ImportReport:
    digest = legacy.digest
    parts: dict[str, PartReport] = {}
    for part, (table, columns) in tables.items():
        progress = _progress_of(warehouse, digest, part)
        if columns is None or progress is None:
            parts[part] = PartReport(table=table.name, is_missing=True)
            continue
        with warehouse.read() as connection:
            here, gave_way = _count_here(connection, digest, part)
        parts[part] = _part_report(
            table, columns, legacy.count(source, table.name), progress, here=here, gave_way=gave_way
        )
    mismatches = [each.mismatch for each in parts.values() if each.mismatch]
    if orphans := _orphans(warehouse):
        mismatches.append(f"imported_sessions: {orphans:,} rows point to nothing")
    with warehouse.read() as connection:
        snapshots = _snapshots(connection, digest)
    return ImportReport(
        source=legacy.location,
        dry_run=False,
        parts=parts,
        snapshots=snapshots,
        constraints=constraints,
        mismatches=tuple(mismatches),
        changed=changed,
    )


def _count_here(connection: Connection, digest: str, part: str) -> tuple[int, int]:
    """Return how many rows of a part are here, and how many of those gave way to sessions of the logs."""
    if part == "sessions":
        of_source = imported_sessions.c.source == digest
        counted = select(func.count(), func.count().filter(imported_sessions.c.session_key.is_(None)))
        here, gave_way = connection.execute(counted.select_from(imported_sessions).where(of_source)).one()
        return here, gave_way
    statement = read_sql(f"transforms/count_imported_{part}", connection.dialect.name).statement
    return int(connection.execute(with_parameters(statement, source=digest)).scalar_one()), 0


def _snapshots(connection: Connection, digest: str) -> dict[str, int]:
    basis = func.coalesce(session_summaries.c.snapshot_basis, "none")
    rows = connection.execute(
        select(basis, func.count())
        .select_from(imported_sessions)
        .join(session_summaries, session_summaries.c.session_key == imported_sessions.c.session_key)
        .where(imported_sessions.c.source == digest)
        .group_by(basis)
        .order_by(basis)
    )
    return dict(rows.all())
