"""The invariants of the whole pipeline, on both databases, for logs and orders that nobody thought of.

Order does not matter, nothing is orphaned, a snapshot never changes, counts are recounts, every look-up has an outcome
and nobody is asked twice before it expires.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.desk import RETRY_AFTER
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.file_reputation import look_up_files
from cowrie_pipeline.steps.password_exposure import look_up_passwords
from cowrie_pipeline.steps.raw_sessions import load_days
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, ip_inventory, session_summaries
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    SESSION_TABLES,
    Event,
    World,
    command,
    connect,
    enrichment_of,
    event,
    facts,
    load_events,
    login,
    rows,
    run_cascade,
    scan,
    span,
    write_log,
)
from cowrie_pipeline_tests.steps.test_asn_session_counts import assert_counts_are_recounts

FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])

START = datetime(2026, 3, 1, tzinfo=UTC)
NUMBER_OF_DAYS = 4
ALL_DAYS = span("2026-03-01", "2026-03-04")
WORKED_AT = datetime(2026, 12, 1, tzinfo=UTC)
ERRORS = [check for check in all_checks() if check.severity is Severity.ERROR]

ASNS = {"8.8.8.8": 15169, "8.8.4.4": 15169, "2001:db9::1": 4_200_000}
ADDRESSES = (*ASNS, "9.9.9.9", "::ffff:8.8.8.8", "10.0.0.1", "f" * 64)


@contextmanager
def fresh(databases: Databases) -> Iterator[tuple[Warehouse, Path]]:
    """Give a warehouse and a folder of their own to one example."""
    url = databases.fresh()
    warehouse = Warehouse(url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield warehouse, Path(folder)
    finally:
        warehouse.dispose()
        databases.drop(url)


# ---- logs, and the orders in which they may come


def _event(minute: int, session: str, source: str | None, kind: str) -> Event:
    at = f"{START + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S.%f}"
    whose: dict[str, Any] = {"session": session, "src_ip": source}
    made = {
        "connect": connect(at, **whose),
        "login": login(at, succeeded=minute % 2 == 0, **whose),
        "command": command(at, "id", **whose),
        "failed": command(at, "nonsense", kind="failed", **whose),
        "download": event(at, "session.file_download", url="http://x", **whose),
        "version": event(at, "client.version", version=f"SSH-2.0-{minute % 3}", **whose),
        "closed": event(at, "session.closed", duration=minute / 7, **whose),
    }
    return made[kind]


KINDS = ("connect", "login", "command", "failed", "download", "version", "closed")


def logs(sources: Sequence[str | None]) -> st.SearchStrategy[list[Event]]:
    """Events of few sessions, many of them around midnight, with sources that share an id."""
    minutes = st.one_of(
        st.integers(0, NUMBER_OF_DAYS * 1440 - 1),
        st.builds(lambda day, minute: day * 1440 + minute, st.integers(1, NUMBER_OF_DAYS - 1), st.integers(-9, 9)),
    )
    one_event = st.builds(
        _event, minutes, st.sampled_from(["a1", "b2"]), st.sampled_from(sources), st.sampled_from(KINDS)
    )
    return st.lists(one_event, min_size=2, max_size=24)


@dataclass(frozen=True)
class Plan:
    """In which file each event is, and what is done in turn: a file is read, or days are materialized."""

    file_of: tuple[int, ...]
    steps: tuple[int | DayRange, ...]


RANGES = [DayRange(first, last) for first in ALL_DAYS for last in ALL_DAYS if first <= last]


@st.composite
def plans(draw: st.DrawFn, number_of_events: int) -> Plan:
    """Every file is read, with days materialized in between; in the end all days are, one by one or together."""
    files = draw(st.integers(1, 3))
    file_of = draw(st.lists(st.integers(0, files - 1), min_size=number_of_events, max_size=number_of_events))
    steps: list[int | DayRange] = []
    for file in draw(st.permutations(range(files))):
        steps.append(file)
        steps += draw(st.lists(st.sampled_from(RANGES), max_size=2))
    apart = [DayRange(day, day) for day in ALL_DAYS]
    steps += draw(st.one_of(st.permutations(apart), st.just([ALL_DAYS]), st.just([*reversed(apart), ALL_DAYS])))
    return Plan(tuple(file_of), tuple(steps))


def write_files(events: list[Event], file_of: Sequence[int], folder: Path) -> dict[int, Path]:
    return {
        file: write_log(
            folder / f"cowrie.json.{file}", [each for each, of in zip(events, file_of, strict=True) if of == file]
        )
        for file in set(file_of)
    }


def materialize(warehouse: Warehouse, days: DayRange) -> None:
    """Run all steps over days, with sources that always say the same."""
    load_days(warehouse, days, now=WORKED_AT)
    with World(ASNS.get).cascade() as cascade:
        run_cascade(warehouse, cascade, days, now=WORKED_AT)
    with warehouse.begin() as connection:
        take_snapshots(connection, days, now=WORKED_AT)
    with warehouse.begin() as connection:
        count_sessions(connection, days)
    enrichment = enrichment_of(RecordingSource("virustotal"), RecordingSource("pwned_passwords"))
    ledger = WarehouseCache(warehouse, day=WORKED_AT.date())
    look_up_files(warehouse, enrichment, days, ledger=ledger, now=WORKED_AT)
    look_up_passwords(warehouse, enrichment, days, ledger=ledger, now=WORKED_AT)


def assert_sound(warehouse: Warehouse, *assets: str) -> None:
    """Hold the database to its foreign keys and to every check that is an error."""
    with warehouse.read() as connection:
        if warehouse.dialect == "sqlite":  # PostgreSQL has no way around them
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        for check in ERRORS:
            if not assets or check.asset in assets:
                result = check.run(connection, ALL_DAYS, Settings(), WORKED_AT)
                assert result.passed, (check.name, result.columns, result.rows)


def snapshots(warehouse: Warehouse) -> dict[int, Mapping[str, Any]]:
    """Return every snapshot taken, by session."""
    columns = [column for column in session_summaries.c if column.name.startswith("snapshot_")]
    with warehouse.read() as connection:
        found = connection.execute(
            select(session_summaries.c.session_key, *columns).where(session_summaries.c.snapshot_at.is_not(None))
        ).mappings()
        return {row["session_key"]: dict(row) for row in found}


@FEW
@given(st.data())
def test_order_does_not_matter_nothing_is_orphaned_snapshots_stay_and_counts_are_recounts(
    databases: Databases, data: st.DataObject
) -> None:
    events = data.draw(logs(ADDRESSES), label="events")
    plan = data.draw(plans(len(events)), label="plan")
    with fresh(databases) as (whole, folder), fresh(databases) as (parted, parts):
        scan(whole, write_log(folder / "cowrie.json", events))
        materialize(whole, ALL_DAYS)
        assert_sound(whole)

        files = write_files(events, plan.file_of, parts)
        taken: dict[int, Mapping[str, Any]] = {}
        for step in plan.steps:
            if isinstance(step, int):
                if step in files:
                    scan(parted, files[step])
                continue
            materialize(parted, step)
            assert_sound(parted)
            now = snapshots(parted)
            assert {key: now[key] for key in taken.keys() & now.keys()} == {
                key: taken[key] for key in taken.keys() & now.keys()
            }
            assert not any(key in _sessions(parted) for key in taken.keys() - now.keys()), "a snapshot was lost"
            taken |= now
        assert_counts_are_recounts(parted)
        assert facts(parted) == facts(whole)


def _sessions(warehouse: Warehouse) -> set[int]:
    return {row["session_key"] for row in rows(warehouse, session_summaries)}


@FEW
@given(st.data())
def test_order_does_not_matter_for_sessions_some_of_whose_events_name_no_address(
    databases: Databases, data: st.DataObject
) -> None:
    """Events without an address go to the session nearest in time, and that can change with each file."""
    events = data.draw(logs(["8.8.8.8", "9.9.9.9", None, "f" * 64]), label="events")
    plan = data.draw(plans(len(events)), label="plan")
    with fresh(databases) as (whole, folder), fresh(databases) as (parted, parts):
        scan(whole, write_log(folder / "cowrie.json", events))
        load_days(whole, ALL_DAYS, now=WORKED_AT)
        files = write_files(events, plan.file_of, parts)
        for step in plan.steps:
            if isinstance(step, int):
                if step in files:
                    scan(parted, files[step])
                continue
            load_days(parted, step, now=WORKED_AT)
            assert_sound(parted, "raw_sessions", "ip_inventory")
        tables = (*SESSION_TABLES, ip_inventory)
        assert facts(parted, tables) == facts(whole, tables)


# ---- look-ups


@dataclass
class Watched(RecordingSource):
    """A source that fails as a seed says, and that complains when it is asked too early."""

    random: Random = field(default_factory=Random)
    free_at: dict[str, datetime] = field(default_factory=dict)
    answers: dict[str, Outcome] = field(default_factory=dict)
    last: dict[str, Outcome] = field(default_factory=dict)
    too_early: list[tuple[str, datetime]] = field(default_factory=list)

    def look_up(self, keys: Sequence[str], *, now: datetime) -> Sequence[Outcome]:
        self.calls.append(tuple(keys))
        self.too_early += [(key, now) for key in keys if now < self.free_at.get(key, now)]
        broken = self.random.random() < 0.15
        outcomes = [] if broken else [self._said(key, now) for key in keys]
        for key in keys:
            self.free_at[key] = now + RETRY_AFTER
        for outcome in outcomes:
            self.last[outcome.key] = outcome
            if outcome.status.is_answer:
                assert outcome.expires_at is not None
                self.answers[outcome.key] = outcome
                self.free_at[outcome.key] = outcome.expires_at
            else:
                self.free_at[outcome.key] = outcome.retry_at or now + RETRY_AFTER
        if broken:
            raise OSError("the network is down")
        return outcomes

    def _said(self, key: str, now: datetime) -> Outcome:
        status = self.random.choice([Status.HIT, Status.HIT, Status.NOT_FOUND, Status.ERROR, Status.RATE_LIMITED])
        hours = timedelta(hours=self.random.choice([1, 24, 24 * 30]))
        return Outcome(
            service=self.name,
            key=key,
            status=status,
            fetched_at=now,
            payload={"asn": self.random.choice([15169, 13335]), "country": "US"} if status is Status.HIT else {},
            expires_at=now + hours if status.is_answer else None,
            retry_at=None if status.is_answer else self.random.choice([None, now + hours]),
        )


@FEW
@given(
    seed=st.integers(0, 2**32),
    waits=st.lists(st.sampled_from([0.0, 0.1, 0.25, 1.0, 23.9, 24.0, 24.0 * 40]), min_size=2, max_size=8),
)
def test_every_look_up_has_an_outcome_is_not_repeated_too_early_and_only_an_answer_replaces_an_answer(
    databases: Databases, seed: int, waits: list[float]
) -> None:
    random = Random(seed)
    sources = [
        Watched("maxmind", cached=False, random=random),
        Watched("cymru", random=random),
        Watched("cymru_asn", random=random),
    ]
    now = WORKED_AT
    with fresh(databases) as (warehouse, folder):
        addresses = ["8.8.8.8", "9.9.9.9", "2001:db9::1", "10.0.0.1"]
        load_events(warehouse, folder, [connect("2026-03-01 10:00", src_ip=each) for each in addresses])
        for wait in waits:
            now += timedelta(hours=wait)
            with Cascade(sources) as cascade:
                run_cascade(warehouse, cascade, ALL_DAYS, now=now)
            kept = {(row["service"], row["key"]): row for row in rows(warehouse, enrichment_cache)}
            documents = {row["ip_address"]: row["enrichment"] for row in rows(warehouse, ip_inventory)}
            for source in sources:
                assert source.too_early == []
                asked = {key for call in source.calls for key in call}
                assert "10.0.0.1" not in asked
                if source.cached:
                    assert {key for service, key in kept if service == source.name} == asked
                for key in asked:
                    said = kept[source.name, key] if source.cached else documents[key][source.name]
                    answer = source.answers.get(key)
                    if answer is None:
                        assert not Status(said["status"]).is_answer
                    else:
                        assert said["status"] == answer.status
                    if answer is not None and source.cached:
                        assert (said["payload"] or {}) == answer.payload
                        assert said["fetched_at"] == answer.fetched_at
            assert_sound(warehouse, "raw_sessions", "ip_inventory", "asn_inventory")


def test_the_checks_that_hold_after_every_step_can_fail(databases: Databases) -> None:
    with fresh(databases) as (warehouse, folder):
        load_events(warehouse, folder, [connect("2026-03-01 10:00")])
        with warehouse.begin() as connection:
            connection.execute(insert(ip_inventory).values(ip_address="8.8.8.8", session_count=1, created_at=WORKED_AT))
        with pytest.raises(AssertionError, match="address_counts"):
            assert_sound(warehouse, "ip_inventory")
