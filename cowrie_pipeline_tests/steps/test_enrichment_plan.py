"""The plan says what a run asks then, asks nobody itself, writes nothing, and knows how long the rest takes."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cowrie_pipeline.enrichment.build import Enrichment, SourceState
from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.enrichment_plan import (
    EnrichmentPlan,
    PlannedAddress,
    PlannedSource,
    Subject,
    calls_of_a_run,
    plan_enrichment,
    time_for,
)
from cowrie_pipeline.steps.inventories import enrich_addresses
from cowrie_pipeline.warehouse.allowances import AllowanceState, LimitState, WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import enrichment_cache, enrichment_cache_stats, metadata
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    command,
    connect,
    event,
    load_events,
    login,
    rows,
    span,
)

DAY = "2026-03-09"
A_DAY = timedelta(days=1)
WEEKLY = Limit(50, timedelta(days=7))
QUIET, TRIED, ENTERED, TYPED, MOVED = "8.8.8.8", "1.1.1.1", "9.9.9.9", "4.4.4.4", "5.5.5.5"
FILE = sha256(b"file").hexdigest()


def each_worth(warehouse: Warehouse, folder: Path) -> None:
    """Let one address of each worth attack, 0 to 4."""
    at = f"{DAY} 10:00:00"
    events: list[dict[str, Any]] = []
    for number, address in enumerate((QUIET, TRIED, ENTERED, TYPED, MOVED)):
        of_session: dict[str, Any] = {"session": f"{number:012x}", "src_ip": address}
        events.append(connect(at, **of_session))
        if number:
            events.append(login(at, succeeded=number > 1, password=f"password {number}", **of_session))
        if number > 2:
            events.append(command(at, "id", **of_session))
        if number > 3:
            events.append(event(at, "session.file_download", shasum=FILE, url="http://x.example/", **of_session))
    load_events(warehouse, folder, events)


def sources(**changed: Any) -> dict[str, RecordingSource]:
    """Return sources that know nothing, by name."""
    made = [
        RecordingSource("maxmind", cached=False),
        RecordingSource("cymru"),
        RecordingSource("greynoise", limits=(WEEKLY,)),
        RecordingSource("dshield", limits=(Limit(1, timedelta(seconds=1)),)),
        RecordingSource("virustotal", limits=(Limit(4, timedelta(minutes=1)), Limit(500, A_DAY))),
        RecordingSource("pwned_passwords"),
    ]
    for name, changes in changed.items():
        for field, value in changes.items():
            setattr(next(each for each in made if each.name == name), field, value)
    return {each.name: each for each in made}


def enrichment_of(
    made: Mapping[str, RecordingSource], settings: Settings, off: Mapping[str, str] | None = None
) -> Enrichment:
    states = [SourceState(source, (off or {}).get(name)) for name, source in made.items()]
    return Enrichment(states, HttpClient(), settings)


def plan_of(
    warehouse: Warehouse, settings: Settings, made: Mapping[str, RecordingSource], *, now: datetime = NOW, **off: str
) -> EnrichmentPlan:
    with enrichment_of(made, settings, off) as enrichment:
        return plan_enrichment(warehouse, enrichment, span(DAY), settings=settings, now=now)


def to_ask(plan: EnrichmentPlan) -> dict[str, int]:
    return {each.service: each.to_ask for each in plan.sources if each.to_ask}


def planned(plan: EnrichmentPlan, service: str) -> PlannedSource:
    return next(each for each in plan.sources if each.service == service)


def everything(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    return {table.name: rows(warehouse, table) for table in metadata.sorted_tables}


def outcome(service: str, key: str, status: Status = Status.NOT_FOUND, **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"fetched_at": NOW - A_DAY, "payload": {}, "expires_at": NOW + A_DAY}
    return Outcome(service=service, key=key, status=status, **(defaults | fields))


def keep(warehouse: Warehouse, outcomes: Iterable[Outcome]) -> None:
    WarehouseCache(warehouse, day=NOW.date()).put_many(list(outcomes))


# ---- what would be asked


def test_the_plan_is_what_a_run_asks_then_and_the_plan_itself_asks_and_writes_nothing(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    each_worth(warehouse, tmp_path)
    made = sources()
    before = everything(warehouse)
    plan = plan_of(warehouse, settings, made)
    assert [name for name, source in made.items() if source.calls] == ["maxmind"]
    assert everything(warehouse) == before
    with enrichment_of(made, settings) as enrichment:
        ledger = WarehouseCache(warehouse, day=NOW.date())
        enrich_addresses(warehouse, enrichment.cascade, span(DAY), ledger=ledger, now=NOW)
    asked = {
        name: len({key for call in made[name].calls for key in call}) for name in ("cymru", "greynoise", "dshield")
    }
    assert to_ask(plan) == {**asked, "virustotal": 1, "pwned_passwords": 4}
    assert asked == {"cymru": 5, "greynoise": 4, "dshield": 4}
    again = plan_of(warehouse, settings, made)
    assert (again.addresses_due, to_ask(again)) == (0, {"virustotal": 1, "pwned_passwords": 4})


def test_the_first_addresses_are_those_worth_most_with_who_is_asked_about_them(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    each_worth(warehouse, tmp_path)
    plan = plan_of(warehouse, settings, sources())
    everybody = ("cymru", "greynoise", "dshield")
    assert plan.first == (
        PlannedAddress(MOVED, 4, everybody),
        PlannedAddress(TYPED, 3, everybody),
        PlannedAddress(ENTERED, 2, everybody),
        PlannedAddress(TRIED, 1, everybody),
        PlannedAddress(QUIET, 0, ("cymru",)),
    )
    assert (plan.addresses_due, plan.files, plan.passwords) == (5, 1, 4)


def test_who_is_worth_too_little_is_not_planned_for_services_with_limits(warehouse: Warehouse, tmp_path: Path) -> None:
    each_worth(warehouse, tmp_path)
    settings = Settings(state_dir=tmp_path, limited_min_worth=3)
    found = to_ask(plan_of(warehouse, settings, sources()))
    assert (found["cymru"], found["greynoise"], found["dshield"]) == (5, 2, 2)


def test_what_a_local_file_knows_is_not_planned_for_a_later_source(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    each_worth(warehouse, tmp_path)

    def knows(address: str) -> Mapping[str, Any] | Status:
        return {"asn": 15169, "country": "US"} if address in (QUIET, TRIED) else Status.NOT_FOUND

    plan = plan_of(warehouse, settings, sources(maxmind={"script": knows}))
    assert to_ask(plan)["cymru"] == 3
    assert planned(plan, "maxmind").is_local


def test_what_the_ledger_remembers_is_not_planned_unless_it_is_due(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    each_worth(warehouse, tmp_path)
    keep(
        warehouse,
        [
            outcome("greynoise", MOVED),
            outcome("greynoise", TYPED, expires_at=NOW),
            outcome("greynoise", TRIED, Status.RATE_LIMITED, expires_at=None, retry_at=NOW + A_DAY),
            outcome("virustotal", FILE, Status.HIT, payload={"malicious": 3}),
            outcome("cymru", QUIET, Status.HIT, payload={"asn": 15169, "origins": [15169]}),
        ],
    )
    plan = plan_of(warehouse, settings, sources())
    assert (planned(plan, "greynoise").to_ask, planned(plan, "greynoise").remembered) == (2, 2)
    assert (planned(plan, "virustotal").to_ask, planned(plan, "virustotal").remembered) == (0, 1)
    assert (planned(plan, "cymru").to_ask, planned(plan, "cymru").remembered) == (4, 1)


def test_a_network_that_only_cymru_told_is_planned_once(
    warehouse: Warehouse, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.steps.inventories._ADDRESSES_AT_ONCE", 2)
    each_worth(warehouse, tmp_path)
    keep(
        warehouse,
        [
            outcome("cymru", address, Status.HIT, payload={"asn": asn, "origins": [asn]})
            for address, asn in ((QUIET, 15169), (TRIED, 15169), (MOVED, 15169), (TYPED, 13335))
        ],
    )
    plan = plan_of(warehouse, settings, sources() | {"cymru_asn": RecordingSource("cymru_asn")})
    assert to_ask(plan)["cymru_asn"] == 2
    assert planned(plan, "cymru_asn").asks_about is Subject.NETWORKS
    assert to_ask(plan)["greynoise"] == 4


def test_what_only_the_disk_remembers_is_not_planned_and_stays_there_alone(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    each_worth(warehouse, tmp_path)
    settings = Settings(state_dir=tmp_path, cache_mode="hybrid")
    DiskCache(settings.cache_folder).put_many([outcome("greynoise", MOVED)])
    assert planned(plan_of(warehouse, settings, sources()), "greynoise").to_ask == 3
    with warehouse.read() as connection:
        for table in (enrichment_cache, enrichment_cache_stats):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_a_source_that_is_not_asked_says_why(warehouse: Warehouse, tmp_path: Path) -> None:
    each_worth(warehouse, tmp_path)
    settings = Settings(state_dir=tmp_path, enrichment_policy=("maxmind", "greynoise", "cymru"))
    made = sources(greynoise={"usable": False})
    plan = plan_of(warehouse, settings, made, virustotal="COWRIE_VIRUSTOTAL_ENABLED is false")
    assert {each.service: each.not_asked for each in plan.sources} == {
        "maxmind": None,
        "cymru": None,
        "greynoise": "as the test says",
        "dshield": "not in COWRIE_ENRICHMENT_POLICY",
        "virustotal": "COWRIE_VIRUSTOTAL_ENABLED is false",
        "pwned_passwords": None,
    }
    assert to_ask(plan) == {"cymru": 5, "pwned_passwords": 4}


# ---- budgets


def test_the_budget_is_what_is_left_of_it(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> None:
    each_worth(warehouse, tmp_path)
    allowance = WarehouseAllowance(warehouse)
    allowance.take("greynoise", [WEEKLY], 48, now=NOW - A_DAY)
    allowance.pause("dshield", until=NOW + A_DAY, reason="HTTP 429")
    plan = plan_of(warehouse, settings, sources())
    greynoise, dshield = planned(plan, "greynoise"), planned(plan, "dshield")
    assert (greynoise.calls_now, greynoise.next_at, greynoise.backlog) == (2, None, timedelta(days=7))
    assert greynoise.calls_per_day == pytest.approx(50 / 7)
    assert (dshield.calls_now, dshield.next_at) == (0, NOW + A_DAY)
    assert dshield.backlog == A_DAY + timedelta(seconds=4)
    assert (planned(plan, "cymru").calls_now, planned(plan, "cymru").calls_per_day) == (None, None)


def state_of(*limits: tuple[Limit, int], paused_for: timedelta | None = None) -> AllowanceState:
    return AllowanceState(
        "service",
        tuple(LimitState(limit, limit.calls - left, left, None) for limit, left in limits),
        None if paused_for is None else NOW + paused_for,
        None,
    )


PER_DAY, PER_MINUTE = Limit(500, A_DAY), Limit(4, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("calls", "budget", "expected"),
    [
        (0, state_of((PER_DAY, 0)), timedelta(0)),
        (10_000, state_of(), timedelta(0)),
        (500, state_of((PER_DAY, 500)), timedelta(0)),
        (501, state_of((PER_DAY, 500)), A_DAY),
        (1500, state_of((PER_DAY, 0)), 3 * A_DAY),
        (400, state_of((PER_DAY, 500), (PER_MINUTE, 4)), timedelta(minutes=100)),
        (5, state_of((PER_DAY, 500), paused_for=2 * A_DAY), 2 * A_DAY),
        (1, state_of((Limit(0, A_DAY), 0)), None),
        (0, state_of((Limit(0, A_DAY), 0)), timedelta(0)),
    ],
)
def test_the_time_for_calls_follows_from_the_limits(
    calls: int, budget: AllowanceState, expected: timedelta | None
) -> None:
    assert time_for(calls, budget, NOW) == expected


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (state_of(), None),
        (state_of((PER_DAY, 17)), 17),
        (state_of((PER_MINUTE, 0)), 40),
        (state_of((PER_DAY, 17), (PER_MINUTE, 4)), 17),
        (state_of((PER_DAY, 17), paused_for=A_DAY), 0),
        (state_of((Limit(0, A_DAY), 0)), 0),
    ],
)
def test_a_run_makes_as_many_calls_as_quota_pace_and_its_time_allow(
    budget: AllowanceState, expected: int | None
) -> None:
    assert calls_of_a_run(budget, timedelta(minutes=10)) == expected
