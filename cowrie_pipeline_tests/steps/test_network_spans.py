"""Spans of networks that are written: a few with their facts, all of them counted, and the same rows as without."""

from typing import Any

from cowrie_pipeline.enrichment.cascade import NetworkFacts
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.observability.tracing import run_span
from cowrie_pipeline.steps.network_facts import write_networks
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory
from cowrie_pipeline_tests.observability.recorded import Finished, recorded
from cowrie_pipeline_tests.steps.made_days import NOW, rows

RULES = read_network_rules()
FIRST = 64_512


def network(asn: int, **facts: Any) -> NetworkFacts:
    document = {"maxmind": {"status": "hit", **facts}}
    return NetworkFacts(asn, organization=f"Network {asn}", organization_source="maxmind", enrichment=document, **facts)


def write(warehouse: Warehouse, *networks: NetworkFacts) -> Finished:
    with recorded() as finished, run_span("run"), warehouse.begin(lock="facts") as connection:
        write_networks(connection, networks, rules=RULES, now=NOW)
    return finished


def counts(finished: Finished) -> tuple[Any, ...]:
    attributes = finished.one("write networks").attributes or {}
    return tuple(attributes[f"asn.{name}"] for name in ("networks", "created", "updated"))


def test_networks_have_spans_of_their_own_up_to_a_number_and_all_are_counted(warehouse: Warehouse) -> None:
    finished = write(warehouse, *(network(FIRST + number) for number in range(60)))
    assert counts(finished) == (60, 60, 0)
    created = [each.attributes or {} for each in finished.named("create network")]
    assert [each["asn.number"] for each in created] == list(range(FIRST, FIRST + 50))
    assert len(rows(warehouse, asn_inventory)) == 60


def test_a_network_that_is_met_again_is_updated_only_if_something_is_new(warehouse: Warehouse) -> None:
    write(warehouse, network(FIRST), network(FIRST + 1))
    finished = write(
        warehouse,
        network(FIRST),
        network(FIRST + 1, country="NL", country_source="rir"),
        network(FIRST + 2),
    )
    assert counts(finished) == (3, 1, 1)
    assert [span.name for span in finished.spans if span.name.endswith(" network")] == [
        "create network",
        "update network",
    ]
    updated = dict(finished.one("update network").attributes or {})
    assert updated.pop("asn.operation_duration_ms") is not None
    assert updated == {
        "asn.number": FIRST + 1,
        "asn.organization": f"Network {FIRST + 1}",
        "asn.country": "NL",
        "asn.operation": "update",
    }


def test_what_is_written_is_the_same_whether_it_is_traced_or_not(warehouse: Warehouse) -> None:
    networks = [network(FIRST + number) for number in range(3)]
    write(warehouse, *networks)
    traced = rows(warehouse, asn_inventory)
    with warehouse.begin(lock="facts") as connection:
        connection.execute(asn_inventory.delete())
        write_networks(connection, networks, rules=RULES, now=NOW)
    assert rows(warehouse, asn_inventory) == traced
