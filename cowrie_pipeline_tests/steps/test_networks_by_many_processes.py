"""Four processes that meet the same networks at once: one row for each, nothing lost, and nobody waits for ever."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from random import Random
from typing import Any

from sqlalchemy import insert

from cowrie_pipeline.enrichment.cascade import NetworkFacts
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.steps.asn_inventory_build import build_asn_inventory
from cowrie_pipeline.steps.network_facts import write_networks
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory
from cowrie_pipeline_tests.steps.made_days import NOW, rows

PROCESSES = 4
ROUNDS = 5
NETWORKS = range(65_000, 65_060)
RULES = read_network_rules()

_barrier: Barrier | None = None


def _share(barrier: Barrier) -> None:
    globals()["_barrier"] = barrier


def _write(url: str, number: int) -> None:
    """Write the same networks as everybody, in an order of one's own, without the lock that the steps take.

    Each process knows one fact of every network, so that a lost update would be seen.
    """
    assert _barrier is not None
    warehouse = Warehouse(url)
    random = Random(number)
    for _ in range(ROUNDS):
        fact: dict[str, Any] = [{"organization": "Name"}, {"country": "NL"}, {"rir": "arin"}, {}][number]
        networks = [NetworkFacts(asn, **fact) for asn in NETWORKS]
        random.shuffle(networks)
        _barrier.wait(timeout=60)
        with warehouse.begin() as connection:
            write_networks(connection, networks, rules=RULES, now=NOW)
    warehouse.dispose()


def _build(url: str, number: int) -> int:
    assert _barrier is not None
    warehouse = Warehouse(url)
    _barrier.wait(timeout=60)
    try:
        now = NOW + timedelta(seconds=number)
        return build_asn_inventory(warehouse, rules=RULES, now=now, batch_size=7 + number).networks
    finally:
        warehouse.dispose()


def test_processes_that_write_the_same_new_networks_in_different_orders_lose_nothing(
    database_url: str, warehouse: Warehouse
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=_share, initargs=(barrier,)) as executor:
        for future in [executor.submit(_write, database_url, number) for number in range(PROCESSES)]:
            future.result(timeout=120)
    found = rows(warehouse, asn_inventory)
    assert [row["asn_number"] for row in found] == list(NETWORKS)
    facts = {(row["organization_name"], row["organization_country"], row["rir_registry"]) for row in found}
    assert facts == {("Name", "NL", "arin")}


def test_processes_that_build_the_inventory_at_once_build_it_once(database_url: str, warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        for asn in NETWORKS:
            connection.execute(insert(asn_inventory).values(asn_number=asn, created_at=NOW, updated_at=NOW))
            for last in (1, 2):
                connection.execute(
                    insert(ip_inventory).values(
                        ip_address=f"203.0.{asn - NETWORKS.start}.{last}",
                        current_asn=asn,
                        enrichment={"maxmind": {"asn": asn, "organization": f"Network {asn}"}},
                        created_at=NOW,
                    )
                )
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=_share, initargs=(barrier,)) as executor:
        futures = [executor.submit(_build, database_url, number) for number in range(PROCESSES)]
        assert [future.result(timeout=120) for future in futures] == [len(NETWORKS)] * PROCESSES
    found = rows(warehouse, asn_inventory)
    assert [(row["asn_number"], row["organization_name"], row["unique_ip_count"]) for row in found] == [
        (asn, f"Network {asn}", 2) for asn in NETWORKS
    ]
    assert not build_asn_inventory(warehouse, rules=RULES, now=NOW).changed
