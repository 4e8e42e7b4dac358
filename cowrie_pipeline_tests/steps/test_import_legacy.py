"""A database of the older layout becomes one of ours: all of it, once, whatever is in it and whenever it is stopped."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline.steps.import_legacy import ImportReport, import_legacy, plan_import
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.legacy_database import LegacyDatabase
from cowrie_pipeline.warehouse.tables import (
    enrichment_cache,
    imported_records,
    imported_sessions,
    ip_inventory,
    legacy_imports,
    metadata,
    session_summaries,
)
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import (
    FACT_TABLES,
    facts,
    rows,
    span,
)
from cowrie_pipeline_tests.steps.made_legacy import KINDS, MadeLegacy, write_legacy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SESSIONS = 600
IMPORT_TABLES = (*FACT_TABLES, imported_sessions, imported_records, legacy_imports, enrichment_cache)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Databases for sources: with those for targets, every pair of kinds."""
    postgres_url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return Databases(request.param, tmp_path_factory.mktemp("sources"), postgres_url)


@pytest.fixture(scope="session")
def small(sources: Databases) -> Iterator[tuple[str, MadeLegacy]]:
    """A source that is never written to, and what is in it."""
    url = sources.empty()
    yield url, write_legacy(url, sessions=SESSIONS)
    sources.drop(url)


@pytest.fixture
def legacy(small: tuple[str, MadeLegacy]) -> Iterator[LegacyDatabase]:
    legacy = LegacyDatabase(small[0])
    yield legacy
    legacy.dispose()


@pytest.fixture
def made(small: tuple[str, MadeLegacy]) -> MadeLegacy:
    return small[1]


def run(warehouse: Warehouse, legacy: LegacyDatabase, **options: Any) -> ImportReport:
    report = import_legacy(warehouse, legacy, now=options.pop("now", NOW), **options)
    assert report.mismatches == ()
    return report


def count(connection: Connection, table: Any, *conditions: Any) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def assert_checks_pass(warehouse: Warehouse) -> None:
    """Assert that every check of the assets that tells of an error passes."""
    days = span("2025-01-01", "2025-12-31")
    with warehouse.read() as connection:
        for check in all_checks():
            if check.severity is Severity.ERROR:
                result = check.run(connection, days, Settings(), NOW)
                assert result.passed, f"{check.name}: {result.at_fault} {result.columns} {result.rows[:3]}"


def assert_is_all_there(warehouse: Warehouse, report: ImportReport, made: MadeLegacy) -> None:
    for part in report.parts.values():
        assert part.in_source == made.rows[part.table]
        assert dict(part.skipped) == dict(made.skipped[part.table])
        assert part.copied == part.here == made.rows[part.table] - made.skipped[part.table].total()
    assert report.snapshots == {name: number for name, number in made.bases.items() if number}
    with warehouse.read() as connection:
        assert count(connection, session_summaries) == made.bases.total()
        assert connection.execute(select(func.sum(session_summaries.c.event_count))).scalar_one() == made.events
        counted = dict(
            connection.execute(
                select(ip_inventory.c.ip_address, ip_inventory.c.session_count).where(ip_inventory.c.session_count > 0)
            ).all()
        )
        assert counted == dict(made.sessions_of)


def test_all_of_an_earlier_database_comes_over_and_every_check_passes(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy
) -> None:
    report = run(warehouse, legacy, batch_size=130)
    assert report.changed
    assert set(made.kinds) >= set(KINDS)
    assert_is_all_there(warehouse, report, made)
    assert_checks_pass(warehouse)
    assert report.parts["sessions"].ignored_columns == ("operator_note",)
    assert len(report.constraints) == (5 if warehouse.dialect == "postgresql" else 1)


def test_a_second_import_changes_nothing(warehouse: Warehouse, legacy: LegacyDatabase) -> None:
    first = run(warehouse, legacy)
    before = {table.name: rows(warehouse, table) for table in metadata.sorted_tables}
    second = run(warehouse, legacy, now=NOW + timedelta(days=1))
    assert {table.name: rows(warehouse, table) for table in metadata.sorted_tables} == before
    assert (first.changed, second.changed) == (True, False)
    assert (second.parts, second.snapshots) == (first.parts, first.snapshots)


def test_the_size_of_a_batch_does_not_matter(databases: Databases, legacy: LegacyDatabase) -> None:
    found = []
    for batch_size in (7, 100_000):
        url = databases.fresh()
        warehouse = Warehouse(url)
        run(warehouse, legacy, batch_size=batch_size)
        found.append(facts(warehouse, IMPORT_TABLES))
        warehouse.dispose()
        databases.drop(url)
    assert found[0] == found[1]


def test_a_dry_run_says_all_of_it_and_the_source_is_not_written_to(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy
) -> None:
    planned = plan_import(legacy, batch_size=50)
    done = run(warehouse, legacy)
    assert planned.dry_run
    assert planned.is_valid
    for part, of_plan in planned.parts.items():
        of_import = done.parts[part]
        assert (of_plan.copied, of_plan.skipped, of_plan.oddities) == (
            of_import.copied,
            of_import.skipped,
            of_import.oddities,
        )
        assert of_plan.here is None
    with legacy.read() as connection, pytest.raises(Exception, match=r"readonly|read-only"):
        connection.exec_driver_sql("DELETE FROM files")
