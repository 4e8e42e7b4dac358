"""The memory of look-ups: the last outcome of each, and what never replaces what."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import event, select, text

from cowrie_pipeline.enrichment.backoff import rest_after
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, enrichment_cache_stats, enrichment_claims
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.enrichment.allowances import StoppedClock

NOW = datetime(2026, 3, 10, 12, 0, 0, 1, UTC)
TODAY = date(2026, 3, 10)
KEY = "203.0.113.7"


def outcome(status: Status = Status.HIT, key: str = KEY, **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"service": "cymru", "fetched_at": NOW, "payload": {}}
    return Outcome(key=key, status=status, **(defaults | fields))


HIT = outcome(
    payload={"asn": 4294967295, "name": "Zürich \U0001f600", "origins": [1, 2], "nested": {"yes": True, "half": 0.5}},
    expires_at=NOW + timedelta(days=90),
    response_code=0,
    latency_ms=12.5,
)
FAILURE = outcome(
    Status.ERROR,
    fetched_at=NOW + timedelta(days=91),
    retry_at=NOW + timedelta(days=92),
    error="SERVFAIL",
    latency_ms=3.0,
)


@pytest.fixture
def cache(warehouse: Warehouse) -> WarehouseCache:
    return WarehouseCache(warehouse, day=TODAY)


def stats(cache: WarehouseCache, warehouse: Warehouse) -> Mapping[str, Any]:
    cache.flush()
    with warehouse.read() as connection:
        return dict(connection.execute(select(enrichment_cache_stats)).mappings().one())


@pytest.mark.parametrize("given", [HIT, FAILURE, outcome(Status.NOT_FOUND, expires_at=NOW)], ids=lambda o: o.status)
def test_an_outcome_comes_back_as_it_was_kept(cache: WarehouseCache, given: Outcome) -> None:
    cache.put_many([given])
    assert cache.get_many("cymru", [KEY, "198.51.100.1"]) == {KEY: given}


def test_outcomes_are_kept_by_service_and_key(cache: WarehouseCache) -> None:
    cache.put_many([HIT, outcome(Status.NOT_FOUND, service="other"), outcome(Status.NOT_FOUND, key="::1")])
    assert cache.get_many("cymru", [KEY])[KEY].status is Status.HIT
    assert cache.get_many("other", [KEY, "::1"]).keys() == {KEY}
    assert cache.get_many("third", [KEY]) == {}


def test_nothing_asked_or_kept_is_no_trouble(cache: WarehouseCache, warehouse: Warehouse) -> None:
    assert cache.get_many("cymru", []) == {}
    cache.put_many([])
    with warehouse.read() as connection:
        assert connection.execute(select(enrichment_cache_stats)).all() == []


NO_ANSWERS = [status for status in Status if not status.is_answer]


@pytest.mark.parametrize("status", NO_ANSWERS)
@pytest.mark.parametrize("answer", [HIT, outcome(Status.NOT_FOUND, expires_at=NOW + timedelta(days=7))])
def test_what_is_no_answer_leaves_an_answer_and_says_when_to_ask_again(
    cache: WarehouseCache, answer: Outcome, status: Status
) -> None:
    failure = outcome(status, fetched_at=NOW + timedelta(1), retry_at=NOW + timedelta(2), error="what went wrong")
    cache.put_many([answer])
    cache.put_many([failure])
    kept = cache.get_many("cymru", [KEY])[KEY]
    assert (kept.status, kept.payload, kept.fetched_at, kept.expires_at) == (
        answer.status,
        answer.payload,
        answer.fetched_at,
        answer.expires_at,
    )
    assert (kept.retry_at, kept.error) == (failure.retry_at, "what went wrong")


@pytest.mark.parametrize("earlier", [HIT, FAILURE])
def test_an_answer_replaces_everything(cache: WarehouseCache, earlier: Outcome) -> None:
    answer = outcome(Status.NOT_FOUND, fetched_at=NOW + timedelta(100), expires_at=NOW + timedelta(107))
    cache.put_many([earlier])
    cache.put_many([answer])
    assert cache.get_many("cymru", [KEY])[KEY] == answer


def test_a_failure_replaces_a_failure(cache: WarehouseCache) -> None:
    later = outcome(Status.RATE_LIMITED, fetched_at=NOW + timedelta(1), retry_at=NOW + timedelta(3), response_code=429)
    cache.put_many([FAILURE])
    cache.put_many([later])
    assert cache.get_many("cymru", [KEY])[KEY] == later


def test_ten_thousand_keys_go_at_once(cache: WarehouseCache, warehouse: Warehouse) -> None:
    keys = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(10_000)]
    cache.put_many([outcome(key=key, payload={"n": n}) for n, key in enumerate(keys)])
    found = cache.get_many("cymru", [*keys, "203.0.113.1"])
    assert {key: each.payload["n"] for key, each in found.items()} == {key: n for n, key in enumerate(keys)}
    assert (stats(cache, warehouse)["stores"], stats(cache, warehouse)["hits"], stats(cache, warehouse)["misses"]) == (
        10_000,
        10_000,
        1,
    )


def test_keys_of_any_text_are_kept_apart(cache: WarehouseCache) -> None:
    keys = ["", "'", '"', "a b", "Zürich", "%", "AS15169", "as15169", "]", "\\"]
    cache.put_many([outcome(key=key, payload={"key": key}) for key in keys])
    found = cache.get_many("cymru", keys)
    assert {key: each.payload["key"] for key, each in found.items()} == {key: key for key in keys}


def test_each_read_of_an_outcome_is_counted(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([HIT, outcome(key="198.51.100.1")])
    cache.get_many("cymru", [KEY])
    cache.get_many("cymru", [KEY, "198.51.100.1", "192.0.2.1"])
    cache.flush()
    with warehouse.read() as connection:
        counts = dict(connection.execute(select(enrichment_cache.c.key, enrichment_cache.c.hit_count)).all())
    assert counts == {KEY: 2, "198.51.100.1": 1}


def test_a_new_answer_keeps_the_count_of_reads(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([HIT])
    cache.get_many("cymru", [KEY])
    cache.put_many([HIT])
    with warehouse.read() as connection:
        assert connection.execute(select(enrichment_cache.c.hit_count)).scalar_one() == 1


def test_the_statistics_of_a_day_add_up(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.get_many("cymru", [KEY, "198.51.100.1"])
    cache.put_many(
        [HIT, outcome(Status.ERROR, key="198.51.100.1", latency_ms=2.5), outcome(Status.RATE_LIMITED, key="x")]
    )
    cache.get_many("cymru", [KEY])
    assert stats(cache, warehouse) == {
        "service": "cymru",
        "day": TODAY,
        "hits": 1,
        "misses": 2,
        "stores": 3,
        "calls": 2,
        "failures": 2,
        "latency_ms": 15.0,
    }


def test_statistics_are_kept_by_day_and_service(warehouse: Warehouse) -> None:
    for day in (TODAY, TODAY + timedelta(days=1)):
        cache = WarehouseCache(warehouse, day=day)
        cache.get_many("cymru", [KEY])
        cache.flush()
    WarehouseCache(warehouse, day=TODAY).put_many([HIT, outcome(service="other")])
    with warehouse.read() as connection:
        found = connection.execute(
            select(
                enrichment_cache_stats.c.service,
                enrichment_cache_stats.c.day,
                enrichment_cache_stats.c.misses,
                enrichment_cache_stats.c.stores,
            ).order_by(enrichment_cache_stats.c.service, enrichment_cache_stats.c.day)
        ).all()
    assert found == [("cymru", TODAY, 1, 1), ("cymru", TODAY + timedelta(1), 1, 0), ("other", TODAY, 0, 1)]


def test_an_answer_without_facts_is_sql_null_and_not_json_null(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([outcome(Status.NOT_FOUND)])
    with warehouse.read() as connection:
        statement = text("SELECT COUNT(*) FROM enrichment_cache WHERE payload IS NULL")
        assert connection.execute(statement).scalar_one() == 1


def test_an_answer_survives_a_failure_of_what_asked_for_it(cache: WarehouseCache, warehouse: Warehouse) -> None:
    """Each call is a transaction of its own: what was paid for is kept."""

    def work() -> None:
        cache.put_many([HIT])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert KEY in WarehouseCache(warehouse, day=TODAY).get_many("cymru", [KEY])


# ---- failures in a row


def failures_of(warehouse: Warehouse, key: str = KEY) -> int:
    with warehouse.read() as connection:
        found = connection.execute(select(enrichment_cache.c.failures).where(enrichment_cache.c.key == key))
        return int(found.scalar_one())


def test_a_key_rests_longer_after_each_failure_in_a_row(cache: WarehouseCache, warehouse: Warehouse) -> None:
    rests = []
    for number in range(1, 6):
        cache.put_many([outcome(Status.ERROR)])
        retry_at = cache.get_many("cymru", [KEY])[KEY].retry_at
        assert retry_at == NOW + rest_after("cymru", KEY, number)
        rests.append(retry_at)
    assert rests == sorted(set(rests))
    assert failures_of(warehouse) == 5


def test_an_answer_ends_the_failures_in_a_row(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([outcome(Status.ERROR)])
    cache.put_many([outcome(Status.ERROR)])
    cache.put_many([HIT])
    assert failures_of(warehouse) == 0
    cache.put_many([outcome(Status.ERROR)])
    kept = cache.get_many("cymru", [KEY])[KEY]
    assert (kept.status, kept.payload, kept.retry_at) == (
        Status.HIT,
        HIT.payload,
        NOW + rest_after("cymru", KEY, 1),
    )


@pytest.mark.parametrize("status", [Status.RATE_LIMITED, Status.SKIPPED_BUDGET, Status.NOT_APPLICABLE])
def test_a_spent_budget_is_no_failure_of_the_key_and_no_end_of_its_failures(
    cache: WarehouseCache, warehouse: Warehouse, status: Status
) -> None:
    cache.put_many([outcome(Status.ERROR)])
    cache.put_many([outcome(status, retry_at=NOW + timedelta(seconds=5))])
    assert failures_of(warehouse) == 1
    assert cache.get_many("cymru", [KEY])[KEY].retry_at == NOW + timedelta(seconds=5)


def test_a_later_time_that_the_service_gave_wins(cache: WarehouseCache) -> None:
    cache.put_many([outcome(Status.ERROR, retry_at=NOW + timedelta(days=2))])
    assert cache.get_many("cymru", [KEY])[KEY].retry_at == NOW + timedelta(days=2)


def test_of_two_outcomes_of_a_key_in_one_batch_the_later_comes_second(cache: WarehouseCache) -> None:
    cache.put_many([outcome(Status.ERROR), HIT, outcome(Status.ERROR, error="late")])
    kept = cache.get_many("cymru", [KEY])[KEY]
    assert (kept.status, kept.payload, kept.error) == (Status.HIT, HIT.payload, "late")


@settings(max_examples=40)
@given(
    batches=st.lists(st.lists(st.tuples(st.sampled_from(list(Status)), st.sampled_from("abc")), max_size=4), max_size=5)
)
def test_in_any_order_an_error_never_replaces_an_answer(
    databases: Databases, shared_url: str, batches: list[list[tuple[Status, str]]]
) -> None:
    warehouse = Warehouse(shared_url)
    cache = WarehouseCache(warehouse, day=TODAY)
    service = f"service {next(_services)}"
    last: dict[str, Status] = {}
    for n, batch in enumerate(batches):
        at = NOW + n * timedelta(minutes=1)
        cache.put_many(
            [
                outcome(status, key, service=service, fetched_at=at, payload={"n": n} if status is Status.HIT else {})
                for status, key in batch
            ]
        )
        for status, key in batch:
            if status.is_answer or not (key in last and last[key].is_answer):
                last[key] = status
    assert {key: each.status for key, each in cache.get_many(service, ["a", "b", "c"]).items()} == last
    warehouse.dispose()


_services = count()


@pytest.fixture(scope="module")
def shared_url(databases: Databases) -> str:
    """A database for all examples, which differ in their services."""
    return databases.fresh()


# ---- claims


def another(warehouse: Warehouse, **options: Any) -> WarehouseCache:
    return WarehouseCache(warehouse, day=TODAY, **options)


def test_a_key_is_given_to_one_who_asks(cache: WarehouseCache, warehouse: Warehouse) -> None:
    assert cache.claim_many("cymru", ["a", "b", "a"], now=NOW) == {"a", "b"}
    assert another(warehouse).claim_many("cymru", ["b", "c"], now=NOW) == {"c"}
    assert cache.claim_many("cymru", ["a", "b", "c"], now=NOW) == set()
    assert another(warehouse).claim_many("dshield", ["a"], now=NOW) == {"a"}
    assert cache.claim_many("cymru", [], now=NOW) == set()


def test_a_claim_ends_with_the_outcome_and_the_outcome_says_when_the_key_is_due(
    cache: WarehouseCache, warehouse: Warehouse
) -> None:
    cache.claim_many("cymru", [KEY], now=NOW)
    cache.put_many([HIT])
    with warehouse.read() as connection:
        assert connection.execute(select(enrichment_claims)).all() == []
    assert another(warehouse).claim_many("cymru", [KEY], now=NOW + timedelta(days=89)) == set()
    assert another(warehouse).claim_many("cymru", [KEY], now=NOW + timedelta(days=90)) == {KEY}


def test_a_claim_runs_out_with_its_lease(warehouse: Warehouse) -> None:
    """The lease is one of the clock: a run that has gone on for an hour still works with the time of its beginning."""
    clock = StoppedClock(NOW)
    brief = WarehouseCache(warehouse, day=NOW.date(), lease=timedelta(seconds=30), clock=clock)
    other = WarehouseCache(warehouse, day=NOW.date(), lease=timedelta(minutes=10), clock=clock)
    assert brief.claim_many("cymru", [KEY], now=NOW) == {KEY}
    clock.sleep(29)
    assert other.claim_many("cymru", [KEY], now=NOW) == set()
    clock.sleep(1)
    assert other.claim_many("cymru", [KEY], now=NOW) == {KEY}
    clock.sleep(599)
    assert brief.claim_many("cymru", [KEY], now=NOW) == set()
    clock.sleep(1)
    assert brief.claim_many("cymru", [KEY], now=NOW) == {KEY}


def test_answers_are_kept_though_the_server_ends_the_connection_meanwhile(
    cache: WarehouseCache, warehouse: Warehouse, databases: Databases
) -> None:
    if databases.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    ended: list[int] = []

    def end_it(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not ended and "staged_outcomes" in statement:
            ended.append(connection.connection.driver_connection.info.backend_pid)
            with warehouse.read() as another_connection:
                another_connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": ended[0]})

    event.listen(warehouse.engine, "before_cursor_execute", end_it)
    cache.claim_many("cymru", [KEY], now=NOW)
    cache.put_many([HIT])
    assert ended
    assert cache.get_many("cymru", [KEY]) == {KEY: HIT}
    with warehouse.read() as connection:
        assert connection.execute(select(enrichment_claims)).all() == []


CLAIMS = """
import sys
from datetime import date, datetime
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
url, now, *keys = sys.argv[1:]
cache = WarehouseCache(Warehouse(url), day=date(2026, 3, 10))
assert cache.claim_many("cymru", keys, now=datetime.fromisoformat(now)) == set(keys)
"""


def test_a_claim_ends_with_the_process_that_made_it(
    cache: WarehouseCache, warehouse: Warehouse, database_url: str
) -> None:
    cache.claim_many("cymru", ["alive"], now=NOW)
    subprocess.run([sys.executable, "-c", CLAIMS, database_url, NOW.isoformat(), "a", "b"], check=True)
    assert another(warehouse).claim_many("cymru", ["a", "alive", "c"], now=NOW) == {"a", "c"}
    assert cache.claim_many("cymru", ["a", "alive", "b", "c"], now=NOW) == {"b"}


def test_a_released_key_may_be_asked_by_another_and_only_its_holder_releases_it(
    cache: WarehouseCache, warehouse: Warehouse
) -> None:
    cache.claim_many("cymru", ["a", "b"], now=NOW)
    another(warehouse).release("cymru", ["a", "b"])
    assert another(warehouse).claim_many("cymru", ["a", "b"], now=NOW) == set()
    cache.release("cymru", ["a"])
    assert another(warehouse).claim_many("cymru", ["a", "b"], now=NOW) == {"a"}


times = st.none() | st.sampled_from([NOW - timedelta(1), NOW, NOW + timedelta(microseconds=1)])


@settings(max_examples=60)
@given(
    outcomes=st.lists(
        st.builds(outcome, st.sampled_from(list(Status)), expires_at=times, retry_at=times), min_size=1, max_size=20
    )
)
def test_the_keys_that_are_given_are_those_that_are_due(
    databases: Databases, shared_url: str, outcomes: list[Outcome]
) -> None:
    warehouse = Warehouse(shared_url)
    cache = WarehouseCache(warehouse, day=TODAY)
    service = f"service {next(_services)}"
    cache.put_many([replace(each, service=service, key=str(n)) for n, each in enumerate(outcomes)])
    keys = [str(n) for n in range(len(outcomes) + 1)]
    kept = cache.get_many(service, keys)
    due = {key for key in keys if key not in kept or kept[key].is_due(NOW)}
    assert cache.claim_many(service, keys, now=NOW) == due
    warehouse.dispose()


# ---- answers that were kept elsewhere


def test_an_answer_from_elsewhere_keeps_its_age(cache: WarehouseCache) -> None:
    assert cache.back_fill([HIT]) == {("cymru", KEY): HIT}
    assert cache.get_many("cymru", [KEY]) == {KEY: HIT}


@pytest.mark.parametrize("age", [timedelta(0), timedelta(microseconds=1), timedelta(days=1)])
def test_an_answer_from_elsewhere_replaces_no_answer_that_is_as_new(cache: WarehouseCache, age: timedelta) -> None:
    cache.put_many([HIT])
    old = outcome(Status.NOT_FOUND, fetched_at=NOW - age, expires_at=NOW)
    assert cache.back_fill([old]) == {("cymru", KEY): HIT}


def test_a_newer_answer_from_elsewhere_replaces_an_older(cache: WarehouseCache) -> None:
    cache.put_many([HIT])
    new = outcome(Status.NOT_FOUND, fetched_at=NOW + timedelta(1), expires_at=NOW + timedelta(2))
    assert cache.back_fill([new]) == {("cymru", KEY): new}


def test_an_answer_from_elsewhere_keeps_when_a_later_failure_said_to_ask_again(
    cache: WarehouseCache, warehouse: Warehouse
) -> None:
    cache.put_many([FAILURE])
    kept = cache.back_fill([HIT])["cymru", KEY]
    assert (kept.status, kept.payload, kept.fetched_at) == (Status.HIT, HIT.payload, HIT.fetched_at)
    assert (kept.retry_at, kept.error) == (FAILURE.retry_at, "SERVFAIL")
    assert failures_of(warehouse) == 1


def test_what_is_no_answer_does_not_come_in_from_elsewhere(cache: WarehouseCache) -> None:
    assert cache.back_fill([FAILURE]) == {}
    assert cache.get_many("cymru", [KEY]) == {}
