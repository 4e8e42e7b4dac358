"""The whole cascade as it runs: every source on loopback, ledger and budgets in a real database, two processes."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import InventoryReport, enrich_addresses
from cowrie_pipeline.steps.ledger import open_ledger
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    enrichment_budget,
    enrichment_cache,
    enrichment_claims,
    ip_inventory,
)
from cowrie_pipeline_tests.end_to_end.loopback import (
    ALL,
    ANSWERS,
    BOGON,
    DROPPED,
    HOSTED,
    PUBLIC,
    RESEARCHER,
    STRANGERS,
    TOR_EXIT,
    UNLISTED,
    Loopback,
    loopback,
)
from cowrie_pipeline_tests.steps.made_days import connect, event, load_events, login, rows, span

# Downloaded files are as old as their files, and budgets go by the clock: the test lives today.
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = (NOW - timedelta(days=1)).date().isoformat()
HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Loopback]:
    with loopback(tmp_path / "state") as world:
        yield world


def attacks(warehouse: Warehouse, folder: Path) -> None:
    """Let every address try to log in, and HOSTED and UNLISTED bring a file: they are worth most."""
    events = []
    for number, address in enumerate(ALL):
        session = f"{number:012x}"
        events.append(connect(f"{DAY} 10:00", session=session, src_ip=address))
        events.append(login(f"{DAY} 10:01", session=session, src_ip=address))
        if address in (HOSTED, UNLISTED):
            events.append(
                event(
                    f"{DAY} 10:02",
                    "session.file_download",
                    session=session,
                    src_ip=address,
                    url="http://198.51.100.1/x",
                    shasum=f"{number:064x}",
                )
            )
    load_events(warehouse, folder, events)


def enrich(
    url: str, environment: Mapping[str, str], now: datetime = NOW, days: DayRange | None = None
) -> InventoryReport:
    """Do what the asset does, with everything made anew as a process of its own would."""
    settings = Settings.from_environment(environment)
    warehouse = Warehouse(url)
    try:
        with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
            ledger = open_ledger(warehouse, settings, enrichment, now=now)
            return enrich_addresses(warehouse, enrichment.cascade, days or span(DAY), ledger=ledger, now=now)
    finally:
        warehouse.dispose()


def expected() -> Counter[tuple[str, str]]:
    """Return who is asked about whom: everybody about everybody, but where the answer is known already."""
    questions = {(service, address) for service in ANSWERS for address in PUBLIC}
    # a researcher scans and an exit of Tor is one, whatever GreyNoise and SPUR say; AbuseIPDB says what HOSTED is
    questions -= {("greynoise", RESEARCHER), ("spur", TOR_EXIT), ("spur", HOSTED)}
    return Counter(questions)


def inventory(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    return {row["ip_address"]: row for row in rows(warehouse, ip_inventory)}


def documents(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    return {address: row["enrichment"] for address, row in inventory(warehouse).items()}


def test_every_service_is_asked_once_about_each_address_and_what_it_says_is_kept(
    warehouse: Warehouse, database_url: str, world: Loopback, tmp_path: Path
) -> None:
    attacks(warehouse, tmp_path / "logs")
    report = enrich(database_url, world.environment)
    assert report.findings == ()
    assert world.asked() == expected()
    # MaxMind knows the networks of all but one
    assert world.asked_by_dns() == {"9.118.240.91.origin.asn.cymru.com.": 1, "as4500.asn.cymru.com.": 1}

    found = inventory(warehouse)
    assert set(found) == set(ALL)
    facts = {
        address: (row["current_asn"], row["geo_country"], row["ip_type"], row["is_scanner"], row["scanner_kind"])
        for address, row in found.items()
    }
    assert facts[HOSTED] == (4100, "NL", "DATACENTER", True, "noise")
    assert facts[UNLISTED] == (4500, "RU", None, False, None)
    assert facts[TOR_EXIT] == (4200, "DE", "TOR", False, None)
    assert facts[RESEARCHER] == (4300, "US", None, True, "research")
    assert facts[DROPPED] == (4400, "RU", None, False, None)
    assert facts[BOGON] == (None, None, None, None, None)
    assert {facts[address] for address in STRANGERS} == {(4100, "DE", None, False, None)}
    assert (found[UNLISTED]["country_basis"], found[HOSTED]["country_basis"]) == ("registry", "geolocation")
    assert found[UNLISTED]["enrichment"]["cymru"]["origins"] == [4500, 4501]
    # what its services say of HOSTED comes from the examples of another network
    assert found[HOSTED]["disagreements"] == "asn"
    assert {row["enrichment_state"] for row in found.values()} == {"complete"}
    assert found[BOGON]["is_bogon"]
    assert found[DROPPED]["enrichment"]["spamhaus_drop"]["sblid"] == "SBL402809"
    for address in PUBLIC:
        for entry in found[address]["enrichment"].values():
            assert datetime.fromisoformat(entry["fetched_at"]) == NOW
            assert entry["status"] in ("hit", "not_found")

    networks = {row["asn_number"]: row for row in rows(warehouse, asn_inventory)}
    assert set(networks) == {4100, 4200, 4300, 4400, 4500}
    assert (networks[4100]["organization_name"], networks[4100]["rir_registry"]) == ("Network 4100", "ripencc")
    assert networks[4500]["organization_name"] == "UNLISTED-4500 - Unlisted"
    assert networks[4400]["enrichment"]["spamhaus_asndrop"]["status"] == "hit"

    with warehouse.read() as connection:
        assert connection.execute(select(func.count()).select_from(enrichment_claims)).scalar_one() == 0
        kept = connection.execute(select(enrichment_cache.c.service, func.count()).group_by("service")).all()
        used = connection.execute(
            select(enrichment_budget.c.service, func.sum(enrichment_budget.c.calls_used)).group_by("service")
        ).all()
    calls = Counter(service for service, _ in expected().elements())
    assert dict(used) == calls
    assert dict(kept) == calls | Counter({"cymru": 1, "cymru_asn": 1})


def test_a_second_run_asks_nobody_and_later_only_whom_it_must(
    warehouse: Warehouse, database_url: str, world: Loopback, tmp_path: Path
) -> None:
    # URLhaus' answers hold three days; those of all others longer
    given = {"COWRIE_DSHIELD_NEGATIVE_DAYS": "30"}
    given |= {f"COWRIE_{service.upper()}_HIT_DAYS": "30" for service in ANSWERS if service != "urlhaus"}
    environment = world.environment | given
    attacks(warehouse, tmp_path / "logs")
    first = enrich(database_url, environment)
    assert first.addresses_due == len(ALL)
    before = documents(warehouse)

    world.forget()
    assert enrich(database_url, environment, NOW + HOUR).addresses_due == 0
    # even if the inventory were lost: the ledger remembers
    with warehouse.begin() as connection:
        connection.execute(update(ip_inventory).values(enrichment_due_at=None, enrichment=None))
    assert enrich(database_url, environment, NOW + HOUR).addresses_due == len(ALL)
    assert (world.asked(), world.asked_by_dns()) == ({}, {})
    restored = documents(warehouse)
    for address in PUBLIC:
        for service in (*ANSWERS, "cymru"):
            assert restored[address].get(service) == before[address].get(service)

    later = NOW + 4 * ONE_DAY
    enrich(database_url, environment, later)
    assert world.asked() == Counter({("urlhaus", address): 1 for address in PUBLIC})
    assert world.asked_by_dns() == {}
    after = documents(warehouse)
    for address in PUBLIC:
        assert datetime.fromisoformat(after[address]["urlhaus"]["fetched_at"]) == later
        for service in set(ANSWERS) - {"urlhaus"} | {"cymru"}:
            assert after[address].get(service) == before[address].get(service)


def test_a_budget_goes_to_those_that_are_worth_most_and_the_rest_waits(
    warehouse: Warehouse, database_url: str, world: Loopback, tmp_path: Path
) -> None:
    attacks(warehouse, tmp_path / "logs")
    environment = world.environment | {"COWRIE_GREYNOISE_LIMITS": "2/7d"}
    report = enrich(database_url, environment)
    assert {address for service, address in world.asked() if service == "greynoise"} == {HOSTED, UNLISTED}
    assert report.outcomes["greynoise"] == {"hit": 1, "not_found": 1, "skipped_budget": 10, "not_applicable": 2}
    found = inventory(warehouse)
    # nothing is wrong with the others: they are as complete as they can be, and due when there is budget again
    assert {row["enrichment_state"] for row in found.values()} == {"complete"}
    for address in set(PUBLIC) - {HOSTED, UNLISTED, RESEARCHER}:
        assert found[address]["enrichment"]["greynoise"]["status"] == "skipped_budget"
        assert found[address]["is_scanner"] is None
    world.forget()
    enrich(database_url, environment, NOW + 2 * ONE_DAY)
    assert [address for service, address in world.asked() if service == "greynoise"] == []


def test_a_service_that_fails_costs_its_own_facts_alone(
    warehouse: Warehouse, database_url: str, world: Loopback, tmp_path: Path
) -> None:
    attacks(warehouse, tmp_path / "logs")
    # it does not know this key
    report = enrich(database_url, world.environment | {"COWRIE_ABUSEIPDB_KEY": "wrong"})
    assert any("abuseipdb" in finding for finding in report.findings)
    assert "wrong" not in str(report)
    # it is asked no more than the calls that were under way when it refused the first
    asked = Counter(service for service, _ in world.asked().elements())
    assert 1 <= asked["abuseipdb"] <= Settings().services["abuseipdb"].max_in_flight
    others = expected() + Counter({("spur", HOSTED): 1})  # whom now nobody calls a data centre before SPUR
    assert {each: count for each, count in world.asked().items() if each[0] != "abuseipdb"} == {
        each: count for each, count in others.items() if each[0] != "abuseipdb"
    }
    found = inventory(warehouse)
    assert {found[address]["enrichment_state"] for address in PUBLIC} == {"partial"}
    # of SPUR's example it is a tunnel
    assert (found[HOSTED]["current_asn"], found[HOSTED]["ip_type"]) == (4100, "VPN")


def test_two_processes_at_once_ask_about_each_address_once(
    warehouse: Warehouse, database_url: str, world: Loopback, tmp_path: Path
) -> None:
    attacks(warehouse, tmp_path / "logs")
    world.http.delay_seconds = 0.02  # so that they meet
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        list(executor.map(abs, range(2)))  # both have started before the race
        running = [executor.submit(enrich, database_url, world.environment) for _ in range(2)]
        reports = [each.result() for each in running]
    assert world.asked() == expected()
    assert set(world.asked_by_dns().values()) == {1}
    for report in reports:
        assert report.findings == ()
    found = inventory(warehouse)
    assert {row["enrichment_state"] for row in found.values()} == {"complete"}
    assert found[HOSTED]["ip_type"] == "DATACENTER"
    with warehouse.read() as connection:
        assert connection.execute(select(func.count()).select_from(enrichment_claims)).scalar_one() == 0
