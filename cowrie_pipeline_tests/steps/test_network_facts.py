"""Networks' facts: what fills them, what replaces them, what is kept of what they were, and who writes them at once."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, delete, insert, select, update

from cowrie_pipeline.enrichment.cascade import Cascade, NetworkFacts
from cowrie_pipeline.enrichment.merge import PRECEDENCE, believe
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.inventories import look_up_addresses
from cowrie_pipeline.steps.network_facts import incomplete_networks, write_networks
from cowrie_pipeline.steps.stale_enrichment import refresh_stale
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    asn_fact_history,
    asn_inventory,
    ip_country_changes,
    ip_inventory,
)
from cowrie_pipeline_tests.enrichment.recording import RecordingSource
from cowrie_pipeline_tests.steps.made_days import NOW, World, attack, one, rows, run_cascade, span

RULES = read_network_rules()
DAY = "2026-03-09"
ADDRESS = "8.8.8.8"
ASN = 65_010
HOUR = timedelta(hours=1)


def told(asn: int = ASN, **entries: Mapping[str, Any]) -> NetworkFacts:
    """Return what the cascade makes of what sources say of a network."""
    document = {service: {"status": "hit", **payload} for service, payload in sorted(entries.items())}
    (organization, named), (country, placed), (rir, registered) = (
        believe(field, document) for field in ("organization", "network_country", "rir")
    )
    sources = [claim.service if claim else None for claim in (named, placed, registered)]
    return NetworkFacts(asn, organization, sources[0], country, sources[1], rir, sources[2], document)


MAXMIND: dict[str, Any] = {"maxmind": {"organization": "Acme Hosting"}}
CYMRU: dict[str, Any] = {"cymru_asn": {"organization": "ACME-AS", "country": "NL", "registry": "ripencc"}}
RIR: dict[str, Any] = {"rir": {"country": "DE", "registry": "ripencc"}}
DROP: dict[str, Any] = {"spamhaus_asndrop": {"name": "ACME-DROP", "country": "SC", "rir": "afrinic"}}


def write(warehouse: Warehouse, *networks: NetworkFacts, after: timedelta = HOUR) -> None:
    with warehouse.begin(lock="facts") as connection:
        write_networks(connection, networks, rules=RULES, now=NOW + after)


def put(warehouse: Warehouse, **values: Any) -> None:
    """Put a row there that an earlier version, or somebody else, has written."""
    with warehouse.begin() as connection:
        connection.execute(
            insert(asn_inventory).values({"asn_number": ASN, "created_at": NOW, "updated_at": NOW} | values)
        )


def facts_of(warehouse: Warehouse, asn: int = ASN) -> list[tuple[Any, Any]]:
    row = one(warehouse, asn_inventory, asn_inventory.c.asn_number == asn)
    return [
        (row["organization_name"], row["organization_source"]),
        (row["organization_country"], row["organization_country_source"]),
        (row["rir_registry"], row["rir_registry_source"]),
    ]


def history(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    names = ("asn_number", "field", "old_value", "old_source", "new_value", "new_source")
    return [tuple(row[name] for name in names) for row in rows(warehouse, asn_fact_history)]


# ---- what fills and what replaces


def test_a_network_has_each_fact_from_the_best_source_and_says_from_which(warehouse: Warehouse) -> None:
    write(warehouse, told(**MAXMIND, **CYMRU, **RIR, **DROP))
    assert facts_of(warehouse) == [("Acme Hosting", "maxmind"), ("DE", "rir"), ("ripencc", "rir")]
    assert history(warehouse) == []


def test_the_name_on_the_asn_drop_list_is_better_than_none_and_its_country_is_not_asked_for(
    warehouse: Warehouse,
) -> None:
    write(warehouse, told(**DROP))
    assert facts_of(warehouse) == [("ACME-DROP", "spamhaus_asndrop"), (None, None), (None, None)]


def test_the_same_source_never_replaces_its_own_fact(warehouse: Warehouse) -> None:
    """Case 5: "GOOGLE" stays when "GOOGLE LLC" comes; what was missing is filled."""
    write(warehouse, told(maxmind={"organization": "GOOGLE"}))
    write(warehouse, told(maxmind={"organization": "GOOGLE LLC"}, rir={"country": "US", "registry": "arin"}))
    assert facts_of(warehouse) == [("GOOGLE", "maxmind"), ("US", "rir"), ("arin", "rir")]
    assert history(warehouse) == []
    assert one(warehouse, asn_inventory)["enrichment"]["maxmind"]["organization"] == "GOOGLE LLC"


def test_a_network_without_facts_gets_all_of_them(warehouse: Warehouse) -> None:
    """Case 6."""
    put(warehouse)
    write(warehouse, told(**CYMRU))
    assert facts_of(warehouse) == [("ACME-AS", "cymru_asn"), ("NL", "cymru_asn"), ("ripencc", "cymru_asn")]
    assert one(warehouse, asn_inventory)["asn_type"] == "UNKNOWN"


def test_a_better_source_replaces_and_the_old_value_is_kept(warehouse: Warehouse) -> None:
    write(warehouse, told(**CYMRU))
    write(warehouse, told(**MAXMIND, **RIR), after=2 * HOUR)
    assert facts_of(warehouse) == [("Acme Hosting", "maxmind"), ("DE", "rir"), ("ripencc", "rir")]
    assert history(warehouse) == [
        (ASN, "organization_country", "NL", "cymru_asn", "DE", "rir"),
        (ASN, "organization_name", "ACME-AS", "cymru_asn", "Acme Hosting", "maxmind"),
    ], "the registry is the same, so nothing of it was lost"
    assert {row["replaced_at"] for row in rows(warehouse, asn_fact_history)} == {NOW + 2 * HOUR}
    row = one(warehouse, asn_inventory)
    assert (row["asn_type"], row["updated_at"]) == ("HOSTING", NOW + 2 * HOUR)
    assert set(row["enrichment"]) == {"maxmind", "cymru_asn", "rir"}


def test_a_lesser_source_replaces_nothing(warehouse: Warehouse) -> None:
    write(warehouse, told(**MAXMIND, **RIR))
    write(warehouse, told(**CYMRU, **DROP), after=2 * HOUR)
    assert facts_of(warehouse) == [("Acme Hosting", "maxmind"), ("DE", "rir"), ("ripencc", "rir")]
    assert history(warehouse) == []


def test_a_fact_replaced_twice_in_one_run_became_the_last_from_the_first(warehouse: Warehouse) -> None:
    for entries in (DROP, CYMRU, MAXMIND):
        write(warehouse, told(**entries))
    assert history(warehouse) == [
        (ASN, "organization_name", "ACME-DROP", "spamhaus_asndrop", "Acme Hosting", "maxmind")
    ]


def test_a_fact_of_before_sources_were_kept_has_its_source_from_the_document(warehouse: Warehouse) -> None:
    document = {"cymru_asn": {"status": "hit", "country": "NL", "registry": "ripencc"}}
    put(warehouse, organization_country="NL", rir_registry="ripencc", enrichment=document)
    write(warehouse, told(**RIR))
    assert facts_of(warehouse)[1:] == [("DE", "rir"), ("ripencc", "rir")]
    assert history(warehouse) == [(ASN, "organization_country", "NL", "cymru_asn", "DE", "rir")]


def test_a_fact_that_nobody_told_stays_until_somebody_says_the_same(warehouse: Warehouse) -> None:
    put(warehouse, organization_name="GOOGLE", organization_country="US")
    write(warehouse, told(maxmind={"organization": "GOOGLE LLC"}, rir={"country": "US"}))
    assert facts_of(warehouse)[:2] == [("GOOGLE", None), ("US", "rir")]
    assert history(warehouse) == []


def test_a_source_that_nobody_ranks_is_the_worst(warehouse: Warehouse) -> None:
    put(warehouse, organization_name="by hand", organization_source="manual")
    write(warehouse, told(**DROP))
    assert facts_of(warehouse)[0] == ("ACME-DROP", "spamhaus_asndrop")
    assert history(warehouse) == [(ASN, "organization_name", "by hand", "manual", "ACME-DROP", "spamhaus_asndrop")]


def test_a_failure_does_not_replace_an_answer_in_a_networks_document(warehouse: Warehouse) -> None:
    write(warehouse, told(**RIR))
    failed = {"rir": {"status": "error", "retry_at": "2026-03-11T00:00:00+00:00"}, "new": {"status": "error"}}
    write(warehouse, NetworkFacts(ASN, enrichment=failed))
    document = one(warehouse, asn_inventory)["enrichment"]
    assert (document["rir"]["status"], document["rir"]["country"], document["new"]) == (
        "hit",
        "DE",
        {"status": "error"},
    )
    write(warehouse, NetworkFacts(ASN, enrichment={"rir": {"status": "not_found"}, "new": {"status": "hit", "a": 1}}))
    document = one(warehouse, asn_inventory)["enrichment"]
    assert document == {"rir": {"status": "not_found"}, "new": {"status": "hit", "a": 1}}
    assert facts_of(warehouse)[1] == ("DE", "rir"), "that a source says nothing now takes nothing away"


@pytest.mark.parametrize("spoiled", ["a text", ["a list"], JSON.NULL, {"maxmind": "x"}])
def test_a_spoiled_document_of_a_network_does_no_harm(warehouse: Warehouse, spoiled: Any) -> None:
    put(warehouse, organization_name="ACME", enrichment=spoiled)
    write(warehouse, told(**RIR))
    assert facts_of(warehouse) == [("ACME", None), ("DE", "rir"), ("ripencc", "rir")]
    assert one(warehouse, asn_inventory)["enrichment"]["rir"]["country"] == "DE"


@pytest.fixture(scope="module")
def emptied(databases: Any) -> Iterator[Warehouse]:
    url = databases.fresh()
    warehouse = Warehouse(url)
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.dictionaries(
            st.integers(1, 4), st.sets(st.sampled_from(["maxmind", "cymru_asn", "rir", "spamhaus_asndrop"])), min_size=1
        ),
        min_size=1,
        max_size=5,
    ),
    seed=st.integers(0, 99),
)
def test_the_best_source_wins_in_whatever_order_batches_come(
    emptied: Warehouse, batches: list[dict[int, set[str]]], seed: int
) -> None:
    said: dict[str, Any] = {**MAXMIND, **CYMRU, **RIR, **DROP}

    def run(some: Sequence[dict[int, set[str]]]) -> list[Any]:
        with emptied.begin() as connection:
            connection.execute(delete(asn_fact_history))
            connection.execute(delete(asn_inventory))
        for number, batch in enumerate(some):
            networks = [told(asn, **{name: said[name] for name in batch[asn]}) for asn in sorted(batch)]
            write(emptied, *networks, after=number * HOUR)
        without = {"created_at", "updated_at"}
        return [{k: v for k, v in row.items() if k not in without} for row in rows(emptied, asn_inventory)]

    shuffled = Random(seed).sample(batches, len(batches))
    assert run(batches) == run(shuffled) == run([*shuffled, *batches])
    for row in rows(emptied, asn_inventory):
        names = set().union(*(batch.get(row["asn_number"], set()) for batch in batches))
        for column, of_source, field in (
            ("organization_name", "organization_source", "organization"),
            ("organization_country", "organization_country_source", "network_country"),
            ("rir_registry", "rir_registry_source", "rir"),
        ):
            best = next((claim for claim in PRECEDENCE[field] if claim.service in names), None)
            expected = (said[best.service][best.key], best.service) if best else (None, None)
            assert (row[column], row[of_source]) == expected


def test_replacements_in_any_order_leave_a_chain_without_gaps(warehouse: Warehouse) -> None:
    for number, order in enumerate(permutations((MAXMIND, CYMRU, DROP))):
        for step, entries in enumerate(order):
            write(warehouse, told(70_000 + number, **entries), after=step * HOUR)
        assert facts_of(warehouse, 70_000 + number)[0] == ("Acme Hosting", "maxmind")
        of_network = (asn_fact_history.c.asn_number == 70_000 + number) & (
            asn_fact_history.c.field == "organization_name"
        )
        chain = sorted(rows(warehouse, asn_fact_history, of_network), key=lambda row: row["replaced_at"])
        ends = [row["new_value"] for row in chain]
        assert [row["old_value"] for row in chain[1:]] == ends[:-1]
        assert not chain or ends[-1] == "Acme Hosting"


# ---- what is missing is asked for again


def test_a_network_that_maxmind_names_has_country_and_registry_from_team_cymru(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Case 1: Team Cymru is not called about the address, and country and registry are not those of the address."""
    attack(warehouse, tmp_path, ADDRESS)
    world = World(lambda _: ASN)
    world.enrich(warehouse, DAY)
    assert (world.cymru.calls, world.network.calls) == ([], [(f"AS{ASN}",)])
    assert facts_of(warehouse) == [(f"Network {ASN}", "maxmind"), ("NL", "cymru_asn"), ("ripencc", "cymru_asn")]
    world.enrich(warehouse, DAY, now=NOW + HOUR)
    assert len(world.network.calls) == 1, "a network that is complete is asked about no more"


@pytest.mark.parametrize("by_refresh", [False, True])
def test_a_network_that_lacks_facts_gets_them_when_a_source_can_tell_and_no_address_is_due(
    warehouse: Warehouse, tmp_path: Path, by_refresh: bool
) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    world = World(lambda _: ASN)
    with Cascade([world.maxmind]) as cascade:
        run_cascade(warehouse, cascade, span(DAY), now=NOW)
    assert facts_of(warehouse)[1:] == [(None, None), (None, None)]
    ledger = WarehouseCache(warehouse, day=NOW.date())
    with Cascade([world.maxmind, world.network]) as cascade:
        if by_refresh:
            refresh_stale(warehouse, cascade, ledger=ledger, now=NOW + HOUR)
        else:
            look_up_addresses(warehouse, cascade, {}, ledger=ledger, now=NOW + HOUR)
    assert facts_of(warehouse)[1:] == [("NL", "cymru_asn"), ("ripencc", "cymru_asn")]


def test_a_network_is_not_asked_about_again_before_the_outcome_expires(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    world = World(lambda _: ASN)
    world.network.script = lambda _: Status.ERROR
    rir = RecordingSource("rir", lambda _: Status.NOT_FOUND, cached=False, expires_after=timedelta(days=1))

    def run(after: timedelta) -> None:
        with Cascade([world.maxmind, world.network, rir]) as cascade:
            ledger = WarehouseCache(warehouse, day=NOW.date())
            look_up_addresses(warehouse, cascade, {}, ledger=ledger, now=NOW + after)

    with Cascade([world.maxmind, world.network, rir]) as cascade:
        run_cascade(warehouse, cascade, span(DAY), now=NOW)
    assert (len(rir.calls), len(world.network.calls)) == (1, 1)
    run(timedelta(minutes=11))
    assert (len(rir.calls), len(world.network.calls)) == (1, 1)
    run(timedelta(minutes=18))  # a rest is up to 20 % longer than its quarter of an hour
    assert (len(rir.calls), len(world.network.calls)) == (1, 2)
    rir.script = lambda _: {"country": "US", "registry": "arin"}
    run(timedelta(days=1))
    assert facts_of(warehouse)[1:] == [("US", "rir"), ("arin", "rir")]
    with warehouse.read() as connection:
        assert incomplete_networks(connection) == []


# ---- countries of addresses


def changes(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows(warehouse, ip_country_changes)]


def test_a_country_that_becomes_another_or_is_known_no_more_is_kept(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS, "9.9.9.9")
    world = World(lambda _: ASN)
    times = [NOW + timedelta(days=30 * number) for number in range(5)]
    countries = ["FR", "FR", "DE", None, "US"]
    for at, country in zip(times, countries, strict=True):
        world.maxmind.script = lambda address, country=country: {  # type: ignore[misc]
            "asn": ASN,
            **({"country": "JP"} if address != ADDRESS else {"country": country} if country else {}),
        }
        world.enrich(warehouse, DAY, now=at)
    assert changes(warehouse) == [
        (ADDRESS, times[2], "FR", "geolocation", "DE", "geolocation"),
        (ADDRESS, times[3], "DE", "geolocation", None, None),
    ], "that one becomes known is no change"
    row = one(warehouse, ip_inventory, ip_inventory.c.ip_address == ADDRESS)
    assert row["geo_country"] == "US"


def test_another_witness_of_another_country_is_told_by_its_basis(warehouse: Warehouse, tmp_path: Path) -> None:
    attack(warehouse, tmp_path, ADDRESS)
    world = World(lambda _: ASN)
    world.enrich(warehouse, DAY)
    world.maxmind.script = lambda _: Status.NOT_FOUND
    world.enrich(warehouse, DAY, now=NOW + timedelta(days=30))
    assert changes(warehouse) == [(ADDRESS, NOW + timedelta(days=30), "FR", "geolocation", "DE", "registry")]


# ---- several processes

_ASNS = range(64_512, 64_712)
_SAID: dict[str, Any] = {**MAXMIND, **CYMRU, **RIR, **DROP}


def _batches(worker: int) -> list[list[NetworkFacts]]:
    """What one process meets: all networks, in an order of its own, from sources of its own."""
    random = Random(worker)
    met = [
        told(asn, **{name: payload for name, payload in _SAID.items() if (asn + worker + place) % 4})
        for place in range(3)
        for asn in random.sample(_ASNS, len(_ASNS))
    ]
    batches = [met[start : start + 40] for start in range(0, len(met), 40)]
    # the cascade gives them in the order of their numbers, each once
    return [sorted({each.asn: each for each in batch}.values(), key=lambda each: each.asn) for batch in batches]


def _write_all(url: str, worker: int, dies_in: int | None, *, locked: bool = True) -> None:
    warehouse = Warehouse(url)
    for number, batch in enumerate(_batches(worker)):
        with warehouse.begin(lock="facts" if locked else ()) as connection:
            write_networks(connection, batch, rules=RULES, now=NOW + number * HOUR + worker * timedelta(seconds=1))
            if number == dies_in:
                os._exit(9)  # as a kill does: nothing is undone but by the database
            time.sleep(0.001)
    warehouse.dispose()


def networks_of(warehouse: Warehouse) -> list[dict[str, Any]]:
    without = {"created_at", "updated_at"}
    return [{k: v for k, v in row.items() if k not in without} for row in rows(warehouse, asn_inventory)]


@pytest.mark.parametrize("killed", [False, True])
def test_four_processes_that_meet_the_same_networks_end_as_one_would(
    databases: Any, warehouse: Warehouse, database_url: str, killed: bool
) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_write_all, args=(database_url, worker, 7 if killed and worker == 2 else None))
        for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0, 9 if killed else 0, 0]
    if killed:
        _write_all(database_url, 2, None)  # as its next run does
    serial_url = databases.fresh()
    serial = Warehouse(serial_url)
    for worker in range(4):
        _write_all(serial_url, worker, None)
    assert networks_of(warehouse) == networks_of(serial)
    assert [row["asn_number"] for row in networks_of(warehouse)] == [*_ASNS]
    with warehouse.read() as connection:
        lost = connection.execute(
            select(asn_fact_history.c.asn_number).where(asn_fact_history.c.old_value == asn_fact_history.c.new_value)
        ).all()
    assert lost == []
    serial.dispose()
    databases.drop(serial_url)


def test_row_locks_alone_keep_four_processes_from_losing_a_network(warehouse: Warehouse, database_url: str) -> None:
    """Without the lock that all writers take: rows are met in the order of their numbers, so there is no ring.

    There was one, in about one of four rounds: an upsert that came after the locks met rows which were new since.
    """
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as executor:
        for _ in range(6):
            with warehouse.begin(lock="facts") as connection:
                connection.execute(delete(asn_fact_history))
                connection.execute(delete(asn_inventory))
            writers = [executor.submit(_write_all, database_url, worker, None, locked=False) for worker in range(4)]
            for writer in writers:
                writer.result(timeout=120)
            assert [row["asn_number"] for row in networks_of(warehouse)] == [*_ASNS]
            assert {tuple(facts_of(warehouse, asn)[0]) for asn in _ASNS} == {("Acme Hosting", "maxmind")}


def test_documents_that_are_null_stay_null_where_nothing_is_said(warehouse: Warehouse) -> None:
    put(warehouse)
    write(warehouse, NetworkFacts(ASN))
    with warehouse.begin() as connection:
        connection.execute(update(asn_inventory).values(enrichment=None))
    write(warehouse, NetworkFacts(ASN))
    assert one(warehouse, asn_inventory)["enrichment"] is None
