"""Looking after the memory of look-ups: statistics, reports, invalidation, clean-up."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.warehouse.cache_care import (
    CachedAddress,
    CleanUpReport,
    FlaggedFile,
    Selection,
    ServiceContents,
    ServiceDay,
    cached_addresses,
    clean_up,
    contents,
    flagged_files,
    invalidate,
    usage_by_day,
)
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, enrichment_claims

NOW = datetime(2026, 3, 10, 12, 0, 0, 1, UTC)
TODAY = date(2026, 3, 10)
DAY = timedelta(days=1)


def outcome(status: Status = Status.HIT, service: str = "dshield", key: str = "8.8.8.8", **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"fetched_at": NOW, "payload": {}, "expires_at": NOW + 7 * DAY}
    return Outcome(service=service, key=key, status=status, **(defaults | fields))


FAILURE = outcome(Status.ERROR, key="9.9.9.9", expires_at=None, retry_at=NOW + DAY)
RATE_LIMITED = outcome(Status.RATE_LIMITED, key="7.7.7.7", expires_at=None, retry_at=NOW + DAY)
OLD = outcome(key="1.1.1.1", fetched_at=NOW - 8 * DAY, expires_at=NOW - DAY)
MANY = [outcome(key=f"10.0.{n // 256}.{n % 256}") for n in range(2500)]


@pytest.fixture
def cache(warehouse: Warehouse) -> WarehouseCache:
    return WarehouseCache(warehouse, day=TODAY)


def due_keys(cache: WarehouseCache, service: str, keys: list[str], now: datetime = NOW) -> set[str]:
    return {key for key, each in cache.get_many(service, keys).items() if each.is_due(now)}


def test_the_contents_are_counted_by_service(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many([outcome(), OLD, FAILURE, RATE_LIMITED, outcome(Status.NOT_FOUND, "cymru")])
    with warehouse.read() as connection:
        assert contents(connection, now=NOW) == [
            ServiceContents("cymru", 1, {"not_found": 1}, 0, NOW, NOW),
            ServiceContents("dshield", 4, {"error": 1, "hit": 2, "rate_limited": 1}, 1, NOW - 8 * DAY, NOW),
        ]


def test_what_is_due_is_counted_as_an_outcome_says(cache: WarehouseCache, warehouse: Warehouse) -> None:
    times = [None, NOW - DAY, NOW, NOW + DAY]
    outcomes = [
        outcome(status, key=f"{status} {expires_at} {retry_at}", expires_at=expires_at, retry_at=retry_at)
        for status in Status
        for expires_at in times
        for retry_at in times
    ]
    cache.put_many(outcomes)
    due = due_keys(cache, "dshield", [each.key for each in outcomes])
    with warehouse.read() as connection:
        assert contents(connection, now=NOW)[0].due == len(due)


def test_the_use_of_each_day_is_shown(warehouse: Warehouse) -> None:
    for day, latency_ms in ((TODAY - DAY, None), (TODAY, 10.0), (TODAY + DAY, None)):
        cache = WarehouseCache(warehouse, day=day)
        cache.put_many([outcome(latency_ms=latency_ms), outcome(key="1.1.1.1", latency_ms=latency_ms), FAILURE])
        cache.get_many("dshield", ["8.8.8.8", "unknown"])
        cache.flush()
    with warehouse.read() as connection:
        assert usage_by_day(connection, TODAY - DAY, TODAY) == [
            ServiceDay("dshield", TODAY - DAY, 1, 1, 3, 0, 1, None),
            ServiceDay("dshield", TODAY, 1, 1, 3, 2, 1, 10.0),
        ]


def test_the_addresses_of_a_country_are_those_that_a_service_places_there(
    cache: WarehouseCache, warehouse: Warehouse
) -> None:
    cache.put_many(
        [
            outcome(payload={"country": "FR"}),
            outcome(service="cymru", payload={"country": "FR", "asn": 1}),
            outcome(service="cymru_asn", key="AS1", payload={"country": "FR"}),
            outcome(key="1.1.1.1", payload={"country": "US"}),
            outcome(key="2.2.2.2", payload={"count": 3}),
            outcome(Status.NOT_FOUND, key="3.3.3.3"),
        ]
    )
    with warehouse.read() as connection:
        assert cached_addresses(connection, "fr") == [
            CachedAddress("8.8.8.8", "cymru", NOW, NOW + 7 * DAY),
            CachedAddress("8.8.8.8", "dshield", NOW, NOW + 7 * DAY),
        ]
        assert cached_addresses(connection, "DE") == []


def test_flagged_files_are_those_that_scanners_call_malicious_lately(
    cache: WarehouseCache, warehouse: Warehouse
) -> None:
    def file(key: str, **fields: Any) -> Outcome:
        return outcome(service="virustotal", key=key, **fields)

    cache.put_many(
        [
            file("a", payload={"malicious": 3}),
            file("b", payload={"malicious": 40, "label": "trojan.mirai"}, fetched_at=NOW - 6 * DAY),
            file("clean", payload={"malicious": 0}),
            file("old", payload={"malicious": 9}, fetched_at=NOW - 8 * DAY),
            file("odd", payload={"size": 1}),
            outcome(service="other", payload={"malicious": "very"}),
        ]
    )
    with warehouse.read() as connection:
        assert flagged_files(connection, since=NOW - 7 * DAY) == [
            FlaggedFile("b", 40, "trojan.mirai", NOW - 6 * DAY),
            FlaggedFile("a", 3, None, NOW),
        ]


# ---- invalidation


@pytest.mark.parametrize(
    ("selection", "made_due"),
    [
        (Selection(service="dshield"), {"dshield new", "dshield old", "dshield nothing", "dshield failed"}),
        (Selection(service="dshield", status=Status.HIT), {"dshield new", "dshield old"}),
        (Selection(status=Status.NOT_FOUND), {"dshield nothing"}),
        (Selection(older_than=NOW), {"dshield old"}),
        (Selection(key="new"), {"dshield new", "cymru new"}),
        (Selection(service="nobody"), set()),
    ],
)
def test_what_is_selected_becomes_due_and_nothing_else(
    cache: WarehouseCache, warehouse: Warehouse, selection: Selection, made_due: set[str]
) -> None:
    outcomes = [
        outcome(key="new", payload={"count": 1}),
        outcome(key="old", fetched_at=NOW - DAY, payload={"count": 2}),
        outcome(Status.NOT_FOUND, key="nothing"),
        outcome(Status.ERROR, key="failed", expires_at=None, retry_at=NOW + DAY),
        outcome(service="cymru", key="new"),
    ]
    cache.put_many(outcomes)
    heard: list[tuple[int, int]] = []
    count = invalidate(warehouse, selection, now=NOW, on_progress=lambda done, total: heard.append((done, total)))
    assert count == len(made_due)
    assert heard == ([(count, count)] if count else [])
    keys = ["new", "old", "nothing", "failed"]
    assert {f"{name} {key}" for name in ("dshield", "cymru") for key in due_keys(cache, name, keys)} == made_due
    for each in outcomes:
        kept = cache.get_many(each.service, [each.key])[each.key]
        assert (kept.status, kept.payload, kept.fetched_at) == (each.status, each.payload, each.fetched_at)
    assert invalidate(warehouse, selection, now=NOW) == 0


def test_an_invalidation_of_everything_by_mistake_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="name one at least"):
        invalidate(warehouse, Selection(), now=NOW)


def test_many_entries_are_invalidated_in_small_transactions(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many(MANY)
    heard: list[tuple[int, int]] = []
    invalidate(
        warehouse, Selection(service="dshield"), now=NOW, on_progress=lambda done, total: heard.append((done, total))
    )
    assert heard == [(1000, 2500), (2000, 2500), (2500, 2500)]


# ---- clean-up


def test_what_is_expired_for_long_is_removed_and_nothing_else(cache: WarehouseCache, warehouse: Warehouse) -> None:
    long_ago = NOW - 31 * DAY
    removed = [
        outcome(key="expired", fetched_at=long_ago, expires_at=long_ago),
        outcome(Status.RATE_LIMITED, key="failed", fetched_at=long_ago, expires_at=None, retry_at=long_ago),
        outcome(Status.NOT_APPLICABLE, "cymru", "never", fetched_at=long_ago, expires_at=None),
    ]
    kept = [
        outcome(key="good"),
        outcome(key="late", fetched_at=long_ago, expires_at=NOW - 30 * DAY),
        outcome(Status.RATE_LIMITED, key="waiting", fetched_at=long_ago, expires_at=None, retry_at=NOW),
    ]
    cache.put_many([*removed, *kept])
    yesterday = WarehouseCache(warehouse, day=NOW.date(), clock=lambda: NOW - DAY)
    yesterday.claim_many("dshield", ["run out"], now=NOW)
    cache.claim_many("dshield", ["running"], now=NOW)
    report = clean_up(warehouse, expired_for=30 * DAY, now=NOW)
    assert report == CleanUpReport({"cymru": 1, "dshield": 2}, claims=1)
    with warehouse.read() as connection:
        keys = set(connection.execute(select(enrichment_cache.c.key)).scalars())
        claims = set(connection.execute(select(enrichment_claims.c.key)).scalars())
    assert keys == {each.key for each in kept}
    assert claims == {"running"}
    assert clean_up(warehouse, expired_for=30 * DAY, now=NOW) == CleanUpReport()


def test_many_entries_are_removed_in_small_transactions(cache: WarehouseCache, warehouse: Warehouse) -> None:
    cache.put_many(MANY)
    heard: list[tuple[int, int]] = []
    later = NOW + 8 * DAY
    report = clean_up(
        warehouse, expired_for=DAY / 2, now=later, on_progress=lambda done, total: heard.append((done, total))
    )
    assert report.removed == {"dshield": 2500}
    assert heard == [(1000, 2500), (2000, 2500), (2500, 2500)]
