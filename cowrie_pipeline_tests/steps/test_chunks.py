"""Addresses looked up in chunks: each address in one of them, and in the end the same facts as of one chunk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.steps import inventories
from cowrie_pipeline.steps.inventories import Chunk, InventoryReport, enrich_chunk, finish_inventories, plan_chunks
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import NOW, World, connect, facts, load_events, login, span

DAY = span("2026-03-09")
ADDRESSES = [f"11.0.0.{number}" for number in range(60)]


def attack_with_unlike_worth(warehouse: Warehouse, folder: Path) -> None:
    folder.mkdir()
    events = []
    for number, address in enumerate(ADDRESSES):
        of_session = {"session": f"{number:012x}", "src_ip": address}
        events.append(connect("2026-03-09 10:00", **of_session))
        if number % 3:
            events.append(login("2026-03-09 10:01", succeeded=number % 2 == 0, **of_session))
    load_events(warehouse, folder, events)


def in_chunks(warehouse: Warehouse, size: int | None, order: int) -> tuple[InventoryReport, int]:
    """Look up the day in chunks, in one order or the other, one of them twice; return the report and how many they are.

    Each has a cascade of its own, as each worker has.
    """
    ledger = WarehouseCache(warehouse, day=NOW.date())
    world = World(lambda address: 1000 + int(address.rpartition(".")[2]) % 7, by_cymru=True)

    def look_up(chunk: Chunk) -> InventoryReport:
        with world.cascade() as cascade:
            return enrich_chunk(warehouse, cascade, DAY, chunk, ledger=ledger, now=NOW)

    with world.cascade() as cascade:
        chunks = plan_chunks(warehouse, cascade, DAY, size=size, now=NOW)[::order]
        reports = [look_up(chunk) for chunk in (*chunks, chunks[0])]
        assert reports[-1].addresses_due == 0
        return finish_inventories(warehouse, cascade, DAY, reports, ledger=ledger, now=NOW), len(chunks)


def test_chunks_in_any_order_give_the_same_facts_as_all_addresses_at_once(databases: Databases, tmp_path: Path) -> None:
    found: list[Mapping[str, Any]] = []
    reports = []
    for size, order, expected in ((None, 1, 1), (60, 1, 1), (7, 1, 9), (7, -1, 9)):
        url = databases.fresh()
        warehouse = Warehouse(url)
        try:
            attack_with_unlike_worth(warehouse, tmp_path / f"{size}.{order}")
            report, chunks = in_chunks(warehouse, size, order)
            assert chunks == expected
            found.append(facts(warehouse))
            reports.append(report)
        finally:
            warehouse.dispose()
            databases.drop(url)
    assert found[0]["ip_inventory"]
    assert found[1:] == found[:1] * 3
    for report in reports:
        assert report.addresses_due == report.stats.total_ips == 60
        assert report.days == reports[0].days
        assert report.stats.asn_records_created == 7
        assert report.outcomes["maxmind"] == reports[0].outcomes["maxmind"]


def test_the_first_chunks_have_the_addresses_of_most_worth(warehouse: Warehouse, tmp_path: Path) -> None:
    attack_with_unlike_worth(warehouse, tmp_path / "logs")
    cascade = Cascade([])
    chunks = plan_chunks(warehouse, cascade, DAY, size=25, now=NOW)
    with warehouse.read() as connection:
        due = inventories.due_addresses(connection, DAY, sources=cascade.signature, now=NOW)
    worths = [sorted(chunk.of(due).values(), reverse=True) for chunk in chunks]
    assert [len(each) for each in worths] == [25, 25, 10]
    assert [worth for each in worths for worth in each] == sorted(due.values(), reverse=True)


def test_where_nothing_is_due_there_is_one_chunk_in_which_nothing_is_due(warehouse: Warehouse) -> None:
    chunks = plan_chunks(warehouse, Cascade([]), DAY, size=10, now=NOW)
    assert chunks == (Chunk(),)


@given(
    st.dictionaries(st.from_regex(r"[0-9a-f.:]{1,6}", fullmatch=True), st.integers(0, 4), max_size=40),
    st.lists(st.tuples(st.integers(0, 4), st.from_regex(r"[0-9a-f.:]{1,6}", fullmatch=True)), max_size=6, unique=True),
)
def test_every_address_is_in_one_chunk_also_one_that_was_not_due_when_they_were_planned(
    due: dict[str, int], bounds: list[tuple[int, str]]
) -> None:
    bounds.sort(key=lambda place: (-place[0], place[1]))
    chunks = [Chunk(*pair) for pair in zip([None, *bounds], [*bounds, None], strict=True)]
    found = [address for chunk in chunks for address in chunk.of(due)]
    assert sorted(found) == sorted(due)


def test_a_chunk_keeps_the_order_in_which_addresses_are_asked_about(warehouse: Warehouse, tmp_path: Path) -> None:
    attack_with_unlike_worth(warehouse, tmp_path / "logs")
    with warehouse.read() as connection:
        due = inventories.due_addresses(connection, DAY, sources="", now=NOW)
    assert list(Chunk().of(due)) == list(due)
    assert list(Chunk(first=(1, "")).of(due)) == [address for address, worth in due.items() if worth <= 1]
