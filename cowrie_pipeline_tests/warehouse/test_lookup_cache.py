"""The memory of look-ups: the last outcome of each, and what never replaces what."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, enrichment_cache_stats

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


def stats(warehouse: Warehouse) -> Mapping[str, Any]:
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
    assert (stats(warehouse)["stores"], stats(warehouse)["hits"], stats(warehouse)["misses"]) == (10_000, 10_000, 1)


def test_keys_of_any_text_are_kept_apart(cache: WarehouseCache) -> None:
    keys = ["", "'", '"', "a b", "Zürich", "%", "AS15169", "as15169", "]", "\\"]
    cache.put_many([outcome(key=key, payload={"key": key}) for key in keys])
    found = cache.get_many("cymru", keys)
    assert {key: each.payload["key"] for key, each in found.items()} == {key: key for key in keys}


def test_each_read_of_an_outcome_is_counted(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([HIT, outcome(key="198.51.100.1")])
    cache.get_many("cymru", [KEY])
    cache.get_many("cymru", [KEY, "198.51.100.1", "192.0.2.1"])
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
    assert stats(warehouse) == {
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
        WarehouseCache(warehouse, day=day).get_many("cymru", [KEY])
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
