"""Ask again what has expired, so much of it as an operator wants, and go on from there the next time.

Addresses, sessions and files are taken some at a time, and each portion is committed: what is done is not due any more,
so that the same work begun again after a kill, or after it was stopped, does the rest. A session's snapshot is
write-once: only sessions without one get one, after their addresses were looked up.

Belongs here: which of them, in what order, and what came of it.
Does not belong here: looking up and writing (inventories.py, file_reputation.py, session_snapshots.py).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, or_, select

from cowrie_pipeline.enrichment.build import Enrichment
from cowrie_pipeline.enrichment.cascade import NETWORK_SERVICE
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.sources.cymru import network_key
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.observability.progress import ProgressListener
from cowrie_pipeline.steps.asking import AskingReport, as_day
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange, day_start
from cowrie_pipeline.steps.enrichment_plan import Subject, subject_of
from cowrie_pipeline.steps.file_reputation import ask_about_files
from cowrie_pipeline.steps.invalidate_answers import make_addresses_due
from cowrie_pipeline.steps.inventories import InventoryReport, look_up_addresses
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.steps.session_snapshots import take_snapshots_between
from cowrie_pipeline.steps.stale_enrichment import count_stale, longest_due_keys, stale_addresses, worth_of
from cowrie_pipeline.warehouse.cache_care import invalidate_keys
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, file_reputation, ip_inventory, session_summaries

__all__ = ["COMMIT_INTERVAL", "Portion", "RefreshReport", "StillStale", "refresh"]

_log = logging.getLogger(__name__)
COMMIT_INTERVAL = 1_000
# Addresses chosen at once: choosing looks at every address, so that it is not done for each commit.
_CHOSEN_AT_ONCE = 50_000
_ONE_DAY = timedelta(days=1)
_ANSWERS = tuple(status.value for status in Status if status.is_answer)
_FAILURES = (Status.ERROR.value, Status.RATE_LIMITED.value)
_address = ip_inventory.c
_session = session_summaries.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What is refreshed: so many addresses, sessions and files at most, None for all.

    `older_than` is a time: what was looked up before it is asked again though it still holds. `source` has only those
    addresses or files taken of which that source's answer has expired, or is older; what else of them has expired is
    asked, too, as by every look-up. `at_once` are committed together.
    """

    addresses: int | None = 0
    sessions: int | None = 0
    files: int | None = 0
    source: str | None = None
    older_than: datetime | None = None
    at_once: int = COMMIT_INTERVAL

    def __post_init__(self) -> None:
        """Refuse a commit of nothing.

        Raises:
            ValueError: `at_once` is below 1.
        """
        if self.at_once < 1:
            raise ValueError(f"expected to commit at least 1 at a time, found {self.at_once}")


@dataclass(frozen=True, slots=True)
class StillStale:
    """What there is still to do: expired addresses, sessions without a snapshot, files that are due."""

    addresses: int
    sessions: int
    files: int


@dataclass(slots=True)
class RefreshReport:
    """What was done so far, also when the work is stopped; then it may lack the portion that was just committed.

    `addresses` and `files` were looked up, `snapshots` counts those taken by basis. `outcomes` counts look-ups by
    source and status, `remembered` answers that the ledger had, `findings` are troubles in words for the operator.
    """

    addresses: int = 0
    files: int = 0
    snapshots: Counter[str] = field(default_factory=Counter)
    networks_created: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    remembered: Counter[str] = field(default_factory=Counter)
    findings: dict[str, None] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[str, ...]:
        """The sources that were asked, failed, and gave not one answer."""
        return tuple(
            service
            for service, counts in sorted(self.outcomes.items())
            if any(counts[each] for each in _FAILURES) and not any(counts[each] for each in _ANSWERS)
        )

    @property
    def counts(self) -> dict[str, Any]:
        """The report as a journal keeps it; empty where there was nothing to do."""
        if not (self.addresses or self.files or self.snapshots):
            return {}
        return {
            "addresses": self.addresses,
            "snapshots": dict(self.snapshots),
            "files": self.files,
            "look_ups": {service: dict(counts) for service, counts in sorted(self.outcomes.items())},
        }

    def add_addresses(self, report: InventoryReport) -> None:
        """Add what a look-up of addresses came to."""
        self.addresses += report.addresses_due
        self.networks_created += report.stats.asn_records_created
        for service, counts in report.outcomes.items():
            self.outcomes.setdefault(service, Counter()).update(counts)
        self.remembered.update(report.cache_hits)
        self.findings |= dict.fromkeys(report.findings)

    def add_files(self, service: str, report: AskingReport) -> None:
        """Add what a look-up of files came to."""
        self.files += report.due
        self.outcomes.setdefault(service, Counter()).update(report.outcomes)
        self.remembered[service] += report.remembered
        self.findings |= dict.fromkeys(report.findings)


def refresh(
    warehouse: Warehouse,
    enrichment: Enrichment,
    portion: Portion,
    *,
    ledger: Ledger,
    now: datetime,
    report: RefreshReport,
    on_progress: ProgressListener,
) -> StillStale:
    """Look up again what a portion names: addresses, then sessions without a snapshot, then files.

    Args:
        warehouse: the database.
        enrichment: what can be asked.
        portion: how much of what.
        ledger: the memory of look-ups.
        now: time of the work, UTC; what is due at it has expired.
        report: what was done is added here, portion by portion.
        on_progress: called with the step, and what is done and to do.
    """
    _Refresh(warehouse, enrichment, portion, ledger, now, report, on_progress).run()
    return still_stale(warehouse, now=now)


def still_stale(warehouse: Warehouse, *, now: datetime) -> StillStale:
    """Count what has expired, or waits."""
    due = or_(file_reputation.c.due_at.is_(None), file_reputation.c.due_at <= now)
    with warehouse.read() as connection:
        return StillStale(
            count_stale(connection, now=now),
            connection.execute(select(func.count()).where(*_WITHOUT_SNAPSHOT)).scalar_one(),
            connection.execute(select(func.count()).select_from(file_reputation).where(due)).scalar_one(),
        )


_WITHOUT_SNAPSHOT = (_session.snapshot_at.is_(None), _session.source_ip.is_not(None))


@dataclass(frozen=True, slots=True)
class _Refresh:
    """One refresh: what all its parts need."""

    warehouse: Warehouse
    enrichment: Enrichment
    portion: Portion
    ledger: Ledger
    now: datetime
    report: RefreshReport
    on_progress: ProgressListener

    def run(self) -> None:
        if self.portion.addresses != 0:
            self._addresses()
        if self.portion.sessions != 0:
            self._sessions()
        if self.portion.files != 0:
            self._files()

    # ---- addresses

    def _addresses(self) -> None:
        with self.warehouse.read() as connection:
            total = connection.execute(select(func.count()).select_from(self._chosen().subquery())).scalar_one()
        wanted = total if self.portion.addresses is None else min(total, self.portion.addresses)
        done = 0
        while done < wanted:
            with self.warehouse.read() as connection:
                some = self._choose(connection, min(wanted - done, _CHOSEN_AT_ONCE))
            if not some:
                return  # another process was quicker
            for portion in _portions(some, self.portion.at_once):
                if self.portion.older_than is not None:
                    self._make_due(list(portion), self.portion.older_than)
                self._look_up(portion)
                done += len(portion)
                self.on_progress("addresses", done, max(done, wanted))

    def _choose(self, connection: Connection, at_most: int) -> Mapping[str, int]:
        """Return the addresses that come next, with what they are worth."""
        if self.portion.source is None and self.portion.older_than is None:
            return stale_addresses(connection, at_most=at_most, now=self.now)
        return worth_of(connection, connection.execute(self._chosen().limit(at_most)).scalars().all())

    def _chosen(self) -> Select[Any]:
        """Return the query for all addresses that are meant, those that were looked up longest ago first.

        Looked up, an address is not meant any more in this refresh, whatever came of it; so each comes once.
        """
        portion, looked_up_at = self.portion, _address.enrichment_updated_at
        by_age = (func.coalesce(looked_up_at, _address.created_at), _address.ip_address)
        chosen = select(_address.ip_address).order_by(*by_age)
        if portion.source is None:
            if portion.older_than is None:
                due_at = _address.enrichment_due_at
                return chosen.where(or_(due_at.is_(None), due_at <= self.now))
            return chosen.where(or_(looked_up_at.is_(None), looked_up_at < portion.older_than))
        not_yet = or_(looked_up_at.is_(None), looked_up_at < self.now)
        if subject_of(portion.source) is Subject.NETWORKS:
            return chosen.where(not_yet, _address.ip_address.in_(self._one_of_each_network(portion.source)))
        return chosen.where(not_yet, *self._is_old(_address.enrichment, portion.source))

    def _one_of_each_network(self, source: str) -> Select[Any]:
        """Return the query for an address of each network of which a source's answer is old: it is asked with it."""
        told = [_address.asn_source == "cymru"] if source == NETWORK_SERVICE else []
        return (
            select(func.min(_address.ip_address))
            .join(asn_inventory, asn_inventory.c.asn_number == _address.current_asn)
            .where(*self._is_old(asn_inventory.c.enrichment, source), *told)
            .group_by(_address.current_asn)
        )

    def _is_old(self, document: Column[Any], source: str) -> list[ColumnElement[bool]]:
        """Return what is true of a document in which the entry of a source has expired, or is older than is wanted."""

        def of(name: str) -> Any:
            return document[(source, name)].as_string()

        if self.portion.older_than is not None:
            return [of("fetched_at") < self.portion.older_than.astimezone(UTC).isoformat()]
        moment = self.now.astimezone(UTC).isoformat()
        return [
            of("status").is_not(None),
            func.coalesce(of("retry_at"), "") <= moment,
            or_(of("status").not_in(_ANSWERS), func.coalesce(of("expires_at"), "") <= moment),
        ]

    def _look_up(self, worths: Mapping[str, int]) -> None:
        """Look up addresses and commit."""
        cascade = self.enrichment.cascade
        self.report.add_addresses(look_up_addresses(self.warehouse, cascade, worths, ledger=self.ledger, now=self.now))
        _log.info("%d addresses looked up and committed", len(worths))

    def _make_due(self, addresses: Sequence[str], older_than: datetime) -> None:
        source = self.portion.source
        if source is not None and subject_of(source) is Subject.NETWORKS:
            with self.warehouse.read() as connection:
                numbers = connection.execute(
                    select(_address.current_asn).where(_address.ip_address.in_(addresses)).distinct()
                ).scalars()
                keys = [network_key(number) for number in numbers if number is not None]
            invalidate_keys(self.warehouse, [source], keys, older_than=older_than, now=self.now)
            return
        services = [state.source.name for state in self.enrichment.sources] if source is None else [source]
        make_addresses_due(self.warehouse, services, addresses, older_than=older_than, now=self.now)

    # ---- sessions

    def _sessions(self) -> None:
        with self.warehouse.read() as connection:
            waiting = connection.execute(select(func.count()).where(*_WITHOUT_SNAPSHOT)).scalar_one()
            began_on = func.date(_session.first_event_at)
            days = connection.execute(select(began_on).where(*_WITHOUT_SNAPSHOT).distinct().order_by(began_on))
            days_waiting = [as_day(day) for day in days.scalars()]
        wanted = waiting if self.portion.sessions is None else min(waiting, self.portion.sessions)
        for day in days_waiting:
            for start, end in self._spans(day, wanted):
                self._take(day, start, end)
                self.on_progress("sessions", self.report.snapshots.total(), max(self.report.snapshots.total(), wanted))
            if self.report.snapshots.total() >= wanted:
                return

    def _spans(self, day: date, wanted: int) -> Iterator[tuple[datetime, datetime]]:
        """Yield spans of time of a day that hold as many sessions without a snapshot as may be taken together.

        Sessions that began at the same microsecond are taken together, however many they are.
        """
        start, end = day_start(day), day_start(day + _ONE_DAY)
        while start < end and (left := wanted - self.report.snapshots.total()) > 0:
            size = min(left, self.portion.at_once)
            with self.warehouse.read() as connection:
                times = (
                    connection.execute(
                        select(_session.first_event_at)
                        .where(*_WITHOUT_SNAPSHOT, _session.first_event_at >= start, _session.first_event_at < end)
                        .order_by(_session.first_event_at)
                        .limit(size + 1)
                    )
                    .scalars()
                    .all()
                )
            if not times:
                return
            until = end if len(times) <= size else max(times[size], times[0] + timedelta(microseconds=1))
            yield times[0], until
            start = until

    def _take(self, day: date, start: datetime, end: datetime) -> None:
        """Look up what is due of the addresses of a span of sessions, take their snapshots and count the day again."""
        due_at = _address.enrichment_due_at
        with self.warehouse.read() as connection:
            addresses = (
                connection.execute(
                    select(_address.ip_address)
                    .join(session_summaries, _session.source_ip == _address.ip_address)
                    .where(
                        *_WITHOUT_SNAPSHOT,
                        _session.first_event_at >= start,
                        _session.first_event_at < end,
                        or_(due_at.is_(None), due_at <= self.now),
                    )
                    .distinct()
                    .order_by(_address.ip_address)
                )
                .scalars()
                .all()
            )
            worths = worth_of(connection, addresses)
        if worths:
            self._look_up(worths)
        # The day's counts are by snapshot, so that both change together.
        with self.warehouse.begin(lock="facts") as connection:
            taken = take_snapshots_between(connection, start, end, now=self.now).taken
            if taken:
                count_sessions(connection, DayRange(day, day))
        self.report.snapshots.update(taken)
        _log.info("%d snapshots taken of sessions of %s", sum(taken.values()), day)

    # ---- files

    def _files(self) -> None:
        service = VirusTotalSource.terms.service
        if self.enrichment.files is None or service in self.enrichment.not_asked:
            return
        with self.warehouse.read() as connection:
            total = connection.execute(select(func.count()).select_from(file_reputation)).scalar_one()
            at_most = total if self.portion.files is None else self.portion.files
            if self.portion.older_than is not None:
                asked_at = file_reputation.c.reputation_at
                hashes = (
                    connection.execute(
                        select(file_reputation.c.sha256)
                        .where(or_(asked_at.is_(None), asked_at < self.portion.older_than))
                        .order_by(asked_at, file_reputation.c.sha256)
                        .limit(at_most)
                    )
                    .scalars()
                    .all()
                )
        if self.portion.older_than is None:
            hashes = longest_due_keys(
                self.warehouse, file_reputation, file_reputation.c.sha256, now=self.now, at_most=at_most
            )
        for done in range(0, len(hashes), self.portion.at_once):
            some = hashes[done : done + self.portion.at_once]
            if self.portion.older_than is not None:
                invalidate_keys(self.warehouse, [service], some, older_than=self.portion.older_than, now=self.now)
            asked = ask_about_files(self.warehouse, self.enrichment, some, ledger=self.ledger, now=self.now)
            self.report.add_files(service, asked)
            self.on_progress("files", done + len(some), len(hashes))


def _portions(worths: Mapping[str, int], size: int) -> Iterator[dict[str, int]]:
    rest = iter(worths.items())
    while some := dict(islice(rest, size)):
        yield some
