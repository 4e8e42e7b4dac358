"""Bring the answers of earlier installations from disk into the database, and give them back.

Belongs here: which file is taken in, which is skipped and why, the proof that what was written is there.
Does not belong here: what a file holds (enrichment/disk_cache.py), rows (warehouse/lookup_cache.py).

Neither way removes anything. The migration only reads the disk, so that after it the disk is as it was, byte for byte;
killed, it is begun again and skips what is there. The way back writes the answers of the database that the disk lacks
or has older, such as those that were learned since, or all where the folder was removed; a file that is as new is left
alone, whatever its format.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path

from sqlalchemy import select, tuple_

from cowrie_pipeline.enrichment.disk_cache import DiskCache, StoredFile
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.cymru import network_key
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import asn_inventory, enrichment_cache, ip_inventory, session_files

__all__ = ["MigrationReport", "RollBackReport", "SkippedFile", "known_keys", "migrate_to_database", "roll_back"]

_AT_ONCE = 1_000
_NAMED = 100


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file, below the folder of the disk cache, that was not taken in, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What became of each file: `files` is the sum of `written`, `already_there`, `newer_in_database` and the skipped.

    In a dry run `written` says how many would be. `skipped` counts by reason, and `examples` names the first hundred.
    `mismatched` are keys, as `service key`, whose row was not what was written when it was read back.
    """

    dry_run: bool
    files: int
    written: int
    already_there: int
    newer_in_database: int
    skipped: Mapping[str, int]
    examples: tuple[SkippedFile, ...]
    mismatched: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Whether everything that was written was read back as it is."""
        return not self.mismatched


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackReport:
    """What became of each answer of the database: written to disk, or there already; `failed` could not be written."""

    dry_run: bool
    answers: int
    written: int
    unchanged: int
    failed: int


def known_keys(warehouse: Warehouse) -> Iterator[str]:
    """Yield what services may have been asked about: addresses, hashes of files, AS numbers."""
    with warehouse.read() as connection:
        yield from connection.execute(select(ip_inventory.c.ip_address)).scalars()
        files = select(session_files.c.sha256).where(session_files.c.sha256.is_not(None)).distinct()
        yield from connection.execute(files).scalars()
        yield from map(network_key, connection.execute(select(asn_inventory.c.asn_number)).scalars())


def migrate_to_database(
    warehouse: Warehouse,
    disk: DiskCache,
    *,
    now: datetime,
    known_keys: Iterable[str] = (),
    dry_run: bool = False,
    on_progress: OnProgress = unheard,
) -> MigrationReport:
    """Take every answer on disk into the database, with the age it has.

    Args:
        warehouse: the database; an answer in it that is as new stays.
        disk: the files, which are only read.
        now: the time of the migration.
        known_keys: what services may have been asked about: a raw answer that does not say itself whom it is about, in
            a file named after a hash, is only found by them.
        dry_run: write nothing.
        on_progress: is told how many files of how many are done.
    """
    cache = WarehouseCache(warehouse, day=now.date())
    names = {sha256(key.encode("utf-8", "surrogatepass")).hexdigest(): key for key in known_keys}
    total = sum(1 for _ in disk.paths())
    counts, skipped = Counter[str](), Counter[str]()
    examples: list[SkippedFile] = []
    mismatched: list[str] = []
    done = 0
    for paths in _batches(disk.paths()):
        new: list[Outcome] = []
        stored = [disk.read_file(path, known_keys=names) for path in paths]
        there = _ages(warehouse, stored)
        for file in stored:
            outcome = file.outcome
            if outcome is None:
                reason = file.reason or "no answer"
                skipped[reason] += 1
                if len(examples) < _NAMED:
                    examples.append(SkippedFile(str(file.path.relative_to(disk.folder)), reason))
                continue
            age = there.get((outcome.service, outcome.key))
            if age is None or age < outcome.fetched_at:
                new.append(outcome)
            else:
                counts["already_there" if age == outcome.fetched_at else "newer_in_database"] += 1
        counts["written"] += len(new)
        if new and not dry_run:
            cache.back_fill(new)
            mismatched += _differing(warehouse, new, now)
        done += len(paths)
        on_progress(done, max(done, total))
    return MigrationReport(
        dry_run=dry_run,
        files=done,
        written=counts["written"],
        already_there=counts["already_there"],
        newer_in_database=counts["newer_in_database"],
        skipped=dict(skipped.most_common()),
        examples=tuple(examples),
        mismatched=tuple(mismatched),
    )


def roll_back(
    warehouse: Warehouse, disk: DiskCache, *, now: datetime, dry_run: bool = False, on_progress: OnProgress = unheard
) -> RollBackReport:
    """Write every answer of the database to disk that is not there as new; the database stays as it is."""
    cache = WarehouseCache(warehouse, day=now.date())
    with warehouse.read() as connection:
        total = len(connection.execute(select(enrichment_cache.c.key).where(_IS_ANSWER)).all())
    counts = Counter[str]()
    done = 0
    for service, keys in _answered(warehouse):
        in_database = cache.get_many(service, keys)
        on_disk = disk.get_many(service, keys)
        missing = [
            outcome
            for key, outcome in in_database.items()
            if key not in on_disk or on_disk[key].fetched_at < outcome.fetched_at
        ]
        counts["unchanged"] += len(in_database) - len(missing)
        if dry_run:
            counts["written"] += len(missing)
        else:
            disk.put_many(missing)
            written = disk.get_many(service, [outcome.key for outcome in missing])
            for outcome in missing:
                is_there = outcome.key in written and written[outcome.key].fetched_at == outcome.fetched_at
                counts["written" if is_there else "failed"] += 1
        done += len(keys)
        on_progress(done, max(done, total))
    return RollBackReport(
        dry_run=dry_run,
        answers=done,
        written=counts["written"],
        unchanged=counts["unchanged"],
        failed=counts["failed"],
    )


_IS_ANSWER = enrichment_cache.c.status.in_([status.value for status in Status if status.is_answer])


def _batches(paths: Iterator[Path]) -> Iterator[list[Path]]:
    while some := list(islice(paths, _AT_ONCE)):
        yield some


def _ages(warehouse: Warehouse, files: Iterable[StoredFile]) -> dict[tuple[str, str], datetime]:
    """Return when the answers that the database has to these files were fetched, by service and key."""
    keys: dict[str, list[str]] = {}
    for file in files:
        if file.outcome is not None:
            keys.setdefault(file.service, []).append(file.outcome.key)
    found: dict[tuple[str, str], datetime] = {}
    with warehouse.read() as connection:
        for service, some in keys.items():
            rows = connection.execute(
                select(enrichment_cache.c.key, enrichment_cache.c.fetched_at).where(
                    enrichment_cache.c.service == service, enrichment_cache.c.key.in_(some), _IS_ANSWER
                )
            )
            found |= {(service, key): fetched_at for key, fetched_at in rows}
    return found


def _differing(warehouse: Warehouse, written: Iterable[Outcome], now: datetime) -> list[str]:
    """Read back what was written; return what is neither as it was written nor was replaced by a newer answer."""
    cache = WarehouseCache(warehouse, day=now.date())
    differing = []
    by_service: dict[str, list[Outcome]] = {}
    for outcome in written:
        by_service.setdefault(outcome.service, []).append(outcome)
    for service, outcomes in by_service.items():
        kept = cache.get_many(service, [outcome.key for outcome in outcomes])
        for outcome in outcomes:
            there = kept.get(outcome.key)
            is_newer = there is not None and there.fetched_at > outcome.fetched_at
            if not is_newer and (there is None or _content(there) != _content(outcome)):
                differing.append(f"{service} {outcome.key}")
    return differing


def _content(outcome: Outcome) -> tuple[object, ...]:
    return outcome.status, outcome.fetched_at, outcome.expires_at, dict(outcome.payload), outcome.response_code


def _answered(warehouse: Warehouse) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys of all answers in the database, some of one service at a time."""
    cache = enrichment_cache.c
    last = ("", "")
    while True:
        statement = (
            select(cache.service, cache.key)
            .where(_IS_ANSWER, tuple_(cache.service, cache.key) > last)
            .order_by(cache.service, cache.key)
            .limit(_AT_ONCE)
        )
        with warehouse.read() as connection:
            rows = connection.execute(statement).all()
        if not rows:
            return
        by_service: dict[str, list[str]] = {}
        for service, key in rows:
            by_service.setdefault(service, []).append(key)
        yield from by_service.items()
        last = (rows[-1][0], rows[-1][1])
