"""Counters in the database: each batch counts with what it writes, once, whoever writes and whatever ends."""

import multiprocessing
import time
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from cowrie_pipeline.observability.instruments import (
    CATALOG,
    DEAD_LETTERS,
    LINES_READ,
    LOOKUP_DURATION,
    LOOKUPS,
    RECORDS_CREATED,
    STEP_DURATION,
    TOTAL_COUNT,
    Instrument,
    Kind,
)
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import Counted, counting, read_counts
from cowrie_pipeline.warehouse.tables import metric_counts, step_runs

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PROCESSES = 4
BATCHES = 40
SERVICES = ("dshield", "cymru", "greynoise", "spur")


class _StopError(Exception):
    pass


def counts_of(warehouse: Warehouse, instrument: Instrument) -> dict[tuple[str, ...], int]:
    """Return what a counter has come to, by labels."""
    with warehouse.read() as connection:
        return {labels: counted.number for labels, counted in read_counts(connection)[instrument].items()}


def histogram_of(warehouse: Warehouse, instrument: Instrument, *labels: str) -> Counted:
    with warehouse.read() as connection:
        return read_counts(connection)[instrument][labels]


def test_batches_add_up_and_labels_stand_apart(warehouse: Warehouse) -> None:
    for amount in (2, 3):
        with counting(warehouse) as (_, tally):
            tally.count(LINES_READ, amount)
            tally.count(DEAD_LETTERS, reason="cut")
            tally.count(DEAD_LETTERS, amount, reason="too_long")
    assert counts_of(warehouse, LINES_READ) == {(): 5}
    assert counts_of(warehouse, DEAD_LETTERS) == {("cut",): 2, ("too_long",): 5}


def test_an_observation_lies_in_the_lowest_bucket_that_holds_it(warehouse: Warehouse) -> None:
    with counting(warehouse) as (_, tally):
        tally.observe_all(LOOKUP_DURATION, [5.0, 5.01, 3, 99_999], service="dshield")
        tally.observe(LOOKUP_DURATION, 0.5, times=1000, service="dshield")
    found = histogram_of(warehouse, LOOKUP_DURATION, "dshield")
    assert found.buckets == {5.0: 1002, 10.0: 1, float("inf"): 1}
    assert found.number == 1004
    assert found.total == pytest.approx(5 + 5.01 + 3 + 99_999 + 500)


def _count_and_fail(warehouse: Warehouse, step: str | None) -> None:
    """Count a batch that writes a row, and comes to grief by its statement or after it."""
    with counting(warehouse) as (connection, tally):
        tally.count(LINES_READ, 100)
        connection.execute(insert(step_runs).values(step=step, started_at=NOW, seconds=1, report={}))
        raise _StopError


@pytest.mark.parametrize(("step", "error"), [("x", _StopError), (None, IntegrityError)])
def test_a_batch_that_is_undone_counts_nothing(warehouse: Warehouse, step: str | None, error: type[Exception]) -> None:
    with counting(warehouse) as (_, tally):
        tally.count(LINES_READ)
    with pytest.raises(error):
        _count_and_fail(warehouse, step)
    assert counts_of(warehouse, LINES_READ) == {(): 1}


def test_nothing_is_kept_where_metrics_are_off(database_url: str) -> None:
    warehouse = Warehouse(database_url, counts=False)
    with counting(warehouse) as (_, tally):
        tally.count(LINES_READ)
    assert counts_of(warehouse, LINES_READ) == {}
    warehouse.dispose()


def test_a_batch_that_counted_nothing_writes_nothing(warehouse: Warehouse) -> None:
    with counting(warehouse) as (_, tally):
        tally.count(LINES_READ, 0)
        tally.count(LINES_READ, -1)
        tally.observe_all(LOOKUP_DURATION, [], service="dshield")
        tally.gauge(TOTAL_COUNT, 7)
    with warehouse.read() as connection:
        assert connection.execute(select(func.count()).select_from(metric_counts)).scalar_one() == 0


def test_what_an_earlier_version_counted_under_other_names_or_labels_is_left_out(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        for name, labels in (("cowrie.gone", "{}"), (LOOKUPS.name, '{"service":"dshield"}')):
            connection.execute(
                insert(metric_counts).values(instrument=name, labels=labels, bucket="", number=1, total=0)
            )
        # buckets that are declared otherwise by now
        connection.execute(
            insert(metric_counts).values(
                instrument=LOOKUP_DURATION.name, labels='{"service":"dshield"}', bucket="7.0", number=3, total=20.5
            )
        )
    assert counts_of(warehouse, LOOKUPS) == {}
    assert histogram_of(warehouse, LOOKUP_DURATION, "dshield") == Counted(3, 20.5, {7.0: 3})


HOSTILE = (
    "203.0.113.7",
    "2001:db8::1",
    "hunter2",
    "c0ffee00c0ff",
    "'; DROP TABLE metric_counts; --",
    'x"} 1\nevil_metric{y="',
    "\x00\x1b[2J",
    "\ud800",
    "",
    "US ",
    "us",
    "x" * 100_000,
)


@pytest.mark.parametrize("instrument", CATALOG, ids=lambda each: each.name)
def test_no_label_has_a_value_that_the_world_chooses(instrument: Instrument) -> None:
    random = Random(instrument.name)
    tally = Tally()
    for number in range(5000):
        labels: dict[str, Any] = {
            name: random.choice((*HOSTILE, f"10.{number // 256}.{number % 256}.1", f"{number:x}"))
            for name in instrument.label_names
        }
        if instrument.kind is Kind.COUNTER:
            tally.count(instrument, **labels)
        elif instrument.kind is Kind.HISTOGRAM:
            tally.observe(instrument, 1.0, **labels)
        else:
            assert instrument.bounded(labels) == ("other",) * len(labels)
    found = {added.labels for added in tally.additions()}
    assert found <= {("other",) * len(instrument.labels)}


def test_the_number_of_series_has_a_bound() -> None:
    assert max(each.most_series for each in CATALOG) < 40_000
    assert sum(each.most_series for each in CATALOG if each is not RECORDS_CREATED) < 1000
    assert all(len(value) < 40 for each in CATALOG for label in each.labels for value in label.values)


def test_labels_are_given_all_and_no_others() -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"service": "dshield"}, {"service": "", "outcome": "", "address": ""})
    for labels in wrong:
        with pytest.raises(KeyError):
            Tally().count(LOOKUPS, **labels)


def _work(url: str, seed: int) -> None:
    """Do batches that each write a row and count it, with the series in an order of one's own; undo some."""
    random, warehouse = Random(seed), Warehouse(url)
    for _ in range(BATCHES):
        with suppress(_StopError), counting(warehouse) as (connection, tally):
            lines = random.randint(1, 1000)
            connection.execute(
                insert(step_runs).values(step="scan_logs", started_at=NOW, seconds=lines, report={"seed": seed})
            )
            tally.count(LINES_READ, lines)
            for service in random.sample(SERVICES, len(SERVICES)):
                tally.count(LOOKUPS, service=service, outcome="hit")
                tally.observe(STEP_DURATION, 0.25, step="scan_logs")
            _stop_sometimes(random)
    warehouse.dispose()


def _stop_sometimes(random: Random) -> None:
    if random.random() < 0.25:
        raise _StopError


def test_four_processes_of_which_one_is_killed_count_exactly_what_they_wrote(
    database_url: str, warehouse: Warehouse
) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(database_url, seed)) for seed in range(PROCESSES)]
    for worker in workers:
        worker.start()
    # in the middle of its work
    while _written(warehouse, 0)[0] < 3 and workers[0].is_alive():
        time.sleep(0.01)
    workers[0].kill()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers[1:]] == [0, 0, 0]
    written, lines = _written(warehouse, None)
    assert written > PROCESSES
    assert counts_of(warehouse, LINES_READ) == {(): lines}
    assert counts_of(warehouse, LOOKUPS) == {(service, "hit"): written for service in SERVICES}
    assert histogram_of(warehouse, STEP_DURATION, "scan_logs") == Counted(
        written * len(SERVICES), written * len(SERVICES) * 0.25, {0.5: written * len(SERVICES)}
    )


def _written(warehouse: Warehouse, seed: int | None) -> tuple[int, int]:
    """Return how many batches were written, and the lines in them."""
    with warehouse.read() as connection:
        rows = connection.execute(select(step_runs.c.seconds, step_runs.c.report)).all()
    found = [int(row.seconds) for row in rows if seed is None or row.report["seed"] == seed]
    return len(found), sum(found)
