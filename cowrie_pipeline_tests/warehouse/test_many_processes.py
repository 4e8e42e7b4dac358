"""Several processes at one cache and one budget: no call too many, no key asked twice, no row lost, no deadlock."""

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, enrichment_cache_stats, enrichment_claims
from cowrie_pipeline_tests.warehouse.test_allowances import most_in_a_span

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SERVICES = ("dshield", "virustotal")
KEYS = [f"10.0.{n // 256}.{n % 256}" for n in range(600)]
QUOTA = Limit(150, timedelta(hours=1))
PACE = Limit(20, timedelta(seconds=30))


def _look_up_all(url: str, seed: int, calls: str) -> int:
    """Look up every key at both services in an order of one's own, noting each call in a file; return how many."""
    random = Random(seed)
    warehouse = Warehouse(url)
    cache = WarehouseCache(warehouse, day=date(2026, 3, 10))
    asked = 0
    todo = {service: random.sample(KEYS, len(KEYS)) for service in SERVICES}
    while any(todo.values()):
        service = random.choice([service for service, keys in todo.items() if keys])
        some = todo[service][: random.randint(1, 60)]
        known = cache.get_many(service, some)
        mine = cache.claim_many(service, [key for key in some if key not in known], now=NOW)
        _note(calls, [f"{service} {key}" for key in mine])
        asked += len(mine)
        if mine and random.random() < 0.1:
            # it came to nothing: what was claimed is still to do, and was not asked after all
            _note(calls, [f"-{service} {key}" for key in mine])
            asked -= len(mine)
            cache.release(service, list(mine))
            mine = set()
        cache.put_many(
            [
                Outcome(
                    service=service,
                    key=key,
                    status=Status.HIT,
                    fetched_at=NOW,
                    expires_at=NOW + timedelta(days=1),
                    payload={"key": key},
                    latency_ms=1.0,
                )
                for key in random.sample(sorted(mine), len(mine))
            ]
        )
        # in the end also what others had claimed
        done = known.keys() | mine
        todo[service] = [key for key in todo[service] if key not in done]
        random.shuffle(todo[service])
    cache.flush()
    warehouse.dispose()
    return asked


def _note(path: str, lines: list[str]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, "".join(f"{line}\n" for line in lines).encode())
    finally:
        os.close(file)


def _take_calls(url: str, seed: int) -> list[datetime]:
    """Take calls over four hours by a clock that differs from the others' by some seconds; return when they begin."""
    random = Random(seed)
    warehouse = Warehouse(url)
    allowance = WarehouseAllowance(warehouse)
    times: list[datetime] = []
    for step in range(120):
        now = NOW + step * timedelta(minutes=2) + random.random() * timedelta(seconds=30)
        grant = allowance.take("virustotal", [PACE, QUOTA], random.randint(1, 30), now=now)
        back = random.randint(0, grant.calls) if random.random() < 0.2 else 0
        allowance.give_back("virustotal", [PACE, QUOTA], back, now=now)
        times += [grant.begins_at + n * grant.spacing for n in range(grant.calls - back)]
        if random.random() < 0.05:
            allowance.pause("virustotal", until=now + timedelta(seconds=20), reason="HTTP 429")
    warehouse.dispose()
    return times


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_one_cache_and_one_budget(database_url: str, tmp_path: Path, processes: int) -> None:
    calls = tmp_path / "calls"
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
        list(executor.map(abs, range(processes)))  # all have started before the race
        askers = [executor.submit(_look_up_all, database_url, seed, str(calls)) for seed in range(processes)]
        asked = [each.result() for each in askers]
        takers = [executor.submit(_take_calls, database_url, seed) for seed in range(processes)]
        times = [time for each in takers for time in each.result()]

    noted = Counter[str]()
    for line in calls.read_text(encoding="ascii").splitlines():
        noted[line.removeprefix("-")] += -1 if line.startswith("-") else 1
    assert noted == dict.fromkeys((f"{service} {key}" for service in SERVICES for key in KEYS), 1)
    assert sum(asked) == len(KEYS) * len(SERVICES)
    warehouse = Warehouse(database_url)
    with warehouse.read() as connection:
        assert connection.execute(select(func.count()).select_from(enrichment_claims)).scalar_one() == 0
        rows = connection.execute(
            select(enrichment_cache.c.service, enrichment_cache.c.key, enrichment_cache.c.payload)
        ).all()
        counted = connection.execute(
            select(func.sum(enrichment_cache_stats.c.stores), func.sum(enrichment_cache_stats.c.hits))
        ).one()
        hits = connection.execute(select(func.sum(enrichment_cache.c.hit_count))).scalar_one()
    warehouse.dispose()
    assert {(service, key): payload for service, key, payload in rows} == {
        (service, key): {"key": key} for service in SERVICES for key in KEYS
    }
    assert (counted[0], counted[1]) == (len(KEYS) * len(SERVICES), hits)

    assert most_in_a_span(times, QUOTA.window) <= QUOTA.calls
    assert most_in_a_span(times, PACE.window) <= PACE.calls
    assert len(times) > QUOTA.calls
