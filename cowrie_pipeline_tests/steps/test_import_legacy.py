"""A database of the older layout becomes one of ours: all of it, once, whatever is in it and whenever it is stopped."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, func, inspect, select

from cowrie_pipeline.enrichment.cascade import NetworkFacts
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline.steps.import_legacy import ImportReport, import_legacy, plan_import
from cowrie_pipeline.steps.network_facts import write_networks
from cowrie_pipeline.warehouse.engine import Warehouse, WarehouseError, database_url
from cowrie_pipeline.warehouse.legacy_database import LegacyDatabase
from cowrie_pipeline.warehouse.tables import (
    asn_fact_history,
    asn_inventory,
    enrichment_cache,
    enrichment_documents,
    imported_records,
    imported_sessions,
    ip_asn_history,
    ip_inventory,
    legacy_imports,
    metadata,
    session_days,
    session_summaries,
)
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import (
    FACT_TABLES,
    closed,
    connect,
    facts,
    load,
    load_events,
    login,
    one,
    rows,
    scan,
    span,
    write_log,
)
from cowrie_pipeline_tests.steps.made_legacy import FIRST, KINDS, MadeLegacy, write_legacy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = read_network_rules()
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
    report = import_legacy(warehouse, legacy, rules=RULES, now=options.pop("now", NOW), **options)
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


def test_what_is_malformed_is_counted_by_kind_and_the_session_still_comes(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy
) -> None:
    report = run(warehouse, legacy)
    odd = report.parts["sessions"].oddities
    kinds = made.kinds
    assert odd["enrichment: a number in place of a document"] == kinds["enrichment is a number"]
    assert odd["enrichment: text in place of a document"] == kinds["enrichment is a string"]
    assert odd["enrichment.maxmind: str in place of a block"] == kinds["maxmind is a string"]
    assert odd["enrichment.maxmind: an organization that is int"] == kinds["numeric asn_org"]
    assert odd["enrichment.maxmind: asn: above 4294967295 or negative"] == kinds["ASN of 64 bits"]
    assert odd["enrichment.greynoise: last_seen is no day"] == kinds["malformed last_seen"]
    assert odd["enrichment: NUL in text, escaped"] == kinds["NUL in user names"]
    assert odd["source_ip: none"] == kinds["no address"]
    assert odd["source_ip: IPv4-mapped, written as IPv4"] == kinds["an IPv4-mapped address"]
    assert odd["command_count: negative"] == odd["file_downloads: negative"] == kinds["negative counts"]
    assert odd["last_event_at: before first_event_at, exchanged"] == kinds["the times exchanged"]


def session_of(warehouse: Warehouse, kind: str) -> dict[str, Any]:
    """Return the first session of a kind of trouble."""
    number = list(KINDS).index(kind)
    return one(warehouse, session_summaries, session_summaries.c.session_id == f"{number:012x}")


def test_sessions_keep_what_their_rows_say(warehouse: Warehouse, legacy: LegacyDatabase) -> None:
    run(warehouse, legacy)
    assert session_of(warehouse, "a host name")["source"] == "scanner.example.net"
    assert session_of(warehouse, "a host name")["source_ip"] is None
    unknown = session_of(warehouse, "an address that the inventory lacks")
    assert unknown["source_ip"] == unknown["source"]
    assert unknown["snapshot_asn"] is not None
    assert session_of(warehouse, "ASN of 32 bits")["snapshot_asn"] == 4_200_000_001
    assert session_of(warehouse, "address types as a list")["snapshot_ip_type"] == "VPN"
    of_xx = session_of(warehouse, "a snapshot of XX")
    assert (of_xx["snapshot_country"], of_xx["snapshot_ip_type"]) == (None, "PROXY")
    given = session_of(warehouse, "a snapshot, enriched at once")
    assert (given["snapshot_country"], given["snapshot_ip_type"]) == ("DE", "DATACENTER")
    risky = one(
        warehouse,
        imported_sessions,
        imported_sessions.c.session_key == session_of(warehouse, "a risk score")["session_key"],
    )
    assert (risky["facts"]["risk_score"], risky["facts"]["matcher"]) == (97, "mirai")


def test_what_an_earlier_database_knew_of_addresses_is_old_and_due(
    warehouse: Warehouse, legacy: LegacyDatabase
) -> None:
    run(warehouse, legacy)
    address = one(warehouse, ip_inventory, ip_inventory.c.ip_address == "45.0.0.7")
    assert address["enrichment"]["maxmind"]["status"] == "hit"
    assert address["enrichment_due_at"] <= NOW
    assert address["enrichment_sources"] == "imported"
    assert address["asn_last_verified"] == FIRST + timedelta(hours=7)
    (first_span,) = rows(warehouse, ip_asn_history, ip_asn_history.c.ip_address == "45.0.0.7")
    assert first_span["last_confirmed"] == FIRST + timedelta(hours=7)
    # written as ::ffff:45.0.0.1 and as 45.0.0.1 there, it is one here
    assert len(rows(warehouse, ip_inventory, ip_inventory.c.ip_address == "45.0.0.1")) == 1
    network = one(warehouse, asn_inventory, asn_inventory.c.asn_number == 1004)
    assert (network["organization_country"], network["organization_country_source"]) == ("FR", "imported")


def test_networks_of_an_earlier_database_are_classified_and_say_what_their_addresses_are(
    warehouse: Warehouse, source_url: str
) -> None:
    write_legacy(source_url, sessions=70)
    source = create_engine(database_url(source_url))
    with source.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE asn_inventory SET organization_name = 'Some Hosting GmbH' WHERE asn_number = 1004"
        )
    source.dispose()
    legacy = opened(source_url)
    run(warehouse, legacy, batch_size=20)
    legacy.dispose()
    network = one(warehouse, asn_inventory, asn_inventory.c.asn_number == 1004)
    assert (network["organization_source"], network["asn_type"]) == ("imported", "HOSTING")
    assert network["asn_type_basis"]
    assert {row["asn_type"] is None for row in rows(warehouse, asn_inventory)} == {False}
    of_network = rows(warehouse, ip_inventory, ip_inventory.c.current_asn == 1004)
    assert {row["ip_type"] for row in of_network} == {"DATACENTER"}
    assert {row["ip_type"] for row in rows(warehouse, ip_inventory, ip_inventory.c.current_asn == 1005)} == {None}
    assert_checks_pass(warehouse)


def test_an_earlier_database_fills_in_what_is_not_known_of_a_network_and_replaces_nothing(
    warehouse: Warehouse, legacy: LegacyDatabase
) -> None:
    known = NetworkFacts(1004, organization="Known Ltd", organization_source="spamhaus_asndrop")
    with warehouse.begin(lock="facts") as connection:
        write_networks(connection, [known], rules=RULES, now=NOW)
    run(warehouse, legacy)
    network = one(warehouse, asn_inventory, asn_inventory.c.asn_number == 1004)
    assert (network["organization_name"], network["organization_source"]) == ("Known Ltd", "spamhaus_asndrop")
    assert (network["organization_country"], network["organization_country_source"]) == ("FR", "imported")
    assert rows(warehouse, asn_fact_history) == []


def test_documents_are_kept_once_for_each_content(warehouse: Warehouse, legacy: LegacyDatabase) -> None:
    run(warehouse, legacy)
    naming = (
        imported_sessions.c.legacy_document,
        imported_records.c.legacy_document,
        session_summaries.c.snapshot_document,
        imported_sessions.c.snapshot_document,
    )
    with warehouse.read() as connection:
        named = [digest for column in naming for digest in connection.execute(select(column)).scalars() if digest]
        kept = connection.execute(select(enrichment_documents.c.digest, enrichment_documents.c.document)).all()
    assert {digest for digest, _ in kept} == set(named)
    assert len({repr(document) for _, document in kept}) == len(kept) < len(named)


def test_what_scanners_said_of_files_is_remembered(warehouse: Warehouse, legacy: LegacyDatabase) -> None:
    run(warehouse, legacy)
    cached = rows(warehouse, enrichment_cache)
    assert {row["service"] for row in cached} == {"virustotal"}
    assert all(row["fetched_at"] == FIRST for row in cached)
    assert all(row["expires_at"] < NOW for row in cached)
    files = rows(warehouse, imported_records, imported_records.c.part == "files")
    assert all(row["target_key"] == row["legacy_key"].lower() for row in files)
    assert not any("size" in row["facts"] and row["facts"]["size"] < 0 for row in files)


# ---- sources that lack something


@pytest.fixture
def source_url(sources: Databases) -> Iterator[str]:
    url = sources.empty()
    yield url
    sources.drop(url)


def opened(url: str) -> LegacyDatabase:
    return LegacyDatabase(url)


def test_tables_other_than_that_of_sessions_may_be_missing(warehouse: Warehouse, source_url: str) -> None:
    made = write_legacy(source_url, sessions=70, leave_out=("ip_inventory", "asn_inventory", "files"))
    legacy = opened(source_url)
    report = run(warehouse, legacy)
    legacy.dispose()
    assert [part for part, each in report.parts.items() if each.is_missing] == ["networks", "addresses", "files"]
    assert report.parts["sessions"].here == made.bases.total()
    assert_checks_pass(warehouse)


def test_a_source_without_sessions_is_refused_before_anything_is_written(databases: Databases, source_url: str) -> None:
    write_legacy(source_url, sessions=40, leave_out=("session_summaries",))
    url = databases.empty()
    warehouse, legacy = Warehouse(url), opened(source_url)
    with pytest.raises(WarehouseError, match="has no table session_summaries"):
        import_legacy(warehouse, legacy, rules=RULES, now=NOW)
    with warehouse.read() as connection:
        assert not inspect(connection).has_table("session_summaries")
    legacy.dispose()
    warehouse.dispose()
    databases.drop(url)


def change_source(url: str, *statements: str) -> None:
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_table_without_what_is_needed_is_named_with_what_is_expected(warehouse: Warehouse, source_url: str) -> None:
    write_legacy(source_url, sessions=40)
    change_source(
        source_url,
        "ALTER TABLE session_summaries RENAME COLUMN first_event_at TO a",
        "ALTER TABLE session_summaries RENAME COLUMN last_event_at TO b",
    )
    legacy = opened(source_url)
    with pytest.raises(WarehouseError, match=r"session_summaries of .* lacks first_event_at or .*it has session_id, a"):
        import_legacy(warehouse, legacy, rules=RULES, now=NOW)
    legacy.dispose()


def test_a_database_of_the_present_layout_is_refused(warehouse: Warehouse, sources: Databases) -> None:
    url = sources.fresh()
    legacy = opened(url)
    with pytest.raises(WarehouseError, match="has the present layout already"):
        import_legacy(warehouse, legacy, rules=RULES, now=NOW)
    legacy.dispose()
    sources.drop(url)


def test_rows_that_were_added_later_come_with_the_next_import(warehouse: Warehouse, source_url: str) -> None:
    write_legacy(source_url, sessions=70)
    legacy = opened(source_url)
    before = run(warehouse, legacy)
    change_source(
        source_url,
        "INSERT INTO session_summaries (session_id, first_event_at, event_count, source_ip) "
        "VALUES ('000000000000a', '2025-02-01 10:00:00', 9, '45.0.0.3')",
    )
    after = run(warehouse, legacy)
    assert (after.changed, after.parts["sessions"].here) == (True, (before.parts["sessions"].here or 0) + 1)
    assert_checks_pass(warehouse)
    legacy.dispose()


def test_rows_that_are_not_here_any_more_are_named(warehouse: Warehouse, legacy: LegacyDatabase) -> None:
    run(warehouse, legacy)
    with warehouse.begin() as connection:
        connection.exec_driver_sql("DELETE FROM imported_records WHERE part = 'files'")
    report = import_legacy(warehouse, legacy, rules=RULES, now=NOW)
    assert not report.is_valid
    (mismatch,) = report.mismatches
    assert mismatch.startswith("files: ")
    assert mismatch.endswith("rows copied, 0 here")


# ---- sessions that logs give, too


LOGGED: dict[str, Any] = {"session": "000000000018", "src_ip": "45.0.0.24"}  # "a snapshot, enriched at once"


def write_the_same_session(folder: Path) -> Path:
    """Write the log of a session that the earlier database has, at its time."""
    return write_log(
        folder / "cowrie.json",
        [
            connect("2025-01-01 00:24:00", **LOGGED),
            login("2025-01-01 00:24:01", **LOGGED),
            closed("2025-01-01 00:25:00", **LOGGED),
            # another session of the day, which the earlier database lacks
            connect("2025-01-01 05:00:00", session="feedfeedfeed", src_ip="45.0.0.24"),
        ],
    )


def sessions_here(warehouse: Warehouse) -> list[dict[str, Any]]:
    keyless = ("session_key", "snapshot_at", "snapshot_seal")
    return [
        {name: value for name, value in row.items() if name not in keyless}
        for row in sorted(rows(warehouse, session_summaries), key=lambda row: (row["session_id"], row["sensor"]))
    ]


def test_the_kind_of_the_session_that_is_logged() -> None:
    assert list(KINDS)[24] == "a snapshot, enriched at once"
    assert int(LOGGED["session"], 16) == 24


def test_an_imported_session_gives_way_to_that_of_the_logs_in_either_order(
    databases: Databases, legacy: LegacyDatabase, made: MadeLegacy, tmp_path: Path
) -> None:
    found = []
    for logs_first in (True, False):
        url = databases.fresh()
        warehouse = Warehouse(url)
        log = write_the_same_session(tmp_path / str(logs_first))
        for step in ("logs", "import") if logs_first else ("import", "logs"):
            if step == "logs":
                scan(warehouse, log)
                load(warehouse, "2025-01-01")
            else:
                run(warehouse, legacy)
        report = run(warehouse, legacy)
        assert report.parts["sessions"].gave_way == 1
        (session,) = rows(warehouse, session_summaries, session_summaries.c.session_id == LOGGED["session"])
        assert (session["sensor"], session["event_count"], session["login_failed_count"]) == ("honeypot-1", 3, 1)
        # its snapshot is that which the earlier database proves
        assert (session["snapshot_basis"], session["snapshot_country"]) == ("observed", "DE")
        with warehouse.read() as connection:
            assert count(connection, session_summaries) == made.bases.total() + 1
            address = connection.execute(
                select(ip_inventory.c.session_count).where(ip_inventory.c.ip_address == "45.0.0.24")
            ).scalar_one()
        assert address == made.sessions_of["45.0.0.24"] + 1
        found.append(sessions_here(warehouse))
        warehouse.dispose()
        databases.drop(url)
    assert found[0] == found[1]


def test_days_made_again_from_lines_leave_imported_sessions_alone(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy, tmp_path: Path
) -> None:
    run(warehouse, legacy)
    before = rows(warehouse, session_days, session_days.c.imported_from.is_not(None))
    load_events(warehouse, tmp_path / "1", [connect("2025-01-01 00:30", session="abcabcabcabc", src_ip="45.0.0.2")])
    load_events(warehouse, tmp_path / "2", [closed("2025-01-01 00:31", session="abcabcabcabc", src_ip="45.0.0.2")])
    assert rows(warehouse, session_days, session_days.c.imported_from.is_not(None)) == before
    with warehouse.read() as connection:
        assert count(connection, session_summaries) == made.bases.total() + 1
        for check in all_checks():
            # counts by network are materialized by an asset, which has not run since
            if check.severity is Severity.ERROR and check.asset in {"raw_sessions", "ip_inventory", "asn_inventory"}:
                assert check.run(connection, span("2025-01-01"), Settings(), NOW).passed, check.name


def test_another_sensor_another_address_or_another_day_is_another_session(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy, tmp_path: Path
) -> None:
    run(warehouse, legacy)
    load_events(
        warehouse,
        tmp_path,
        [
            connect("2025-01-01 00:24", session=LOGGED["session"], src_ip="45.0.0.25"),
            connect("2025-01-02 00:24", session=LOGGED["session"], src_ip="45.0.0.24"),
        ],
    )
    with warehouse.read() as connection:
        assert count(connection, session_summaries) == made.bases.total() + 2


def test_a_snapshot_that_was_taken_is_not_replaced_by_an_older_one(
    warehouse: Warehouse, legacy: LegacyDatabase, tmp_path: Path
) -> None:
    scan(warehouse, write_the_same_session(tmp_path))
    load(warehouse, "2025-01-01")
    with warehouse.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE session_summaries SET snapshot_country = 'NL', snapshot_basis = 'late', "
            "snapshot_at = '2025-01-05 00:00:00.000000+00' WHERE session_id = '000000000018'"
            if warehouse.dialect == "postgresql"
            else "UPDATE session_summaries SET snapshot_country = 'NL', snapshot_basis = 'late', "
            "snapshot_at = '2025-01-05 00:00:00.000000' WHERE session_id = '000000000018'"
        )
    run(warehouse, legacy)
    session = one(warehouse, session_summaries, session_summaries.c.session_id == LOGGED["session"])
    assert session["snapshot_country"] == "NL"


def test_the_same_database_from_another_place_is_not_imported_twice(
    warehouse: Warehouse, legacy: LegacyDatabase, made: MadeLegacy, sources: Databases
) -> None:
    copy_url = sources.empty()
    write_legacy(copy_url, sessions=SESSIONS)
    copy = opened(copy_url)
    run(warehouse, legacy)
    report = run(warehouse, copy)
    assert report.parts["sessions"].here == made.bases.total()
    with warehouse.read() as connection:
        assert count(connection, session_summaries) == made.bases.total()
    assert_checks_pass(warehouse)
    copy.dispose()
    sources.drop(copy_url)


# ---- foreign keys


def test_foreign_keys_are_validated_beside_a_writer(postgres_url: str, tmp_path: Path) -> None:
    databases = Databases("postgresql", tmp_path, postgres_url)
    url, source = databases.fresh(), f"sqlite:///{tmp_path}/old.db"
    write_legacy(source, sessions=60)
    warehouse, legacy = Warehouse(url), LegacyDatabase(source)
    run(warehouse, legacy)
    with warehouse.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE imported_sessions DROP CONSTRAINT fk_imported_sessions_session_key")
        connection.exec_driver_sql(
            "ALTER TABLE imported_sessions ADD CONSTRAINT fk_imported_sessions_session_key FOREIGN KEY (session_key) "
            "REFERENCES session_summaries (session_key) NOT VALID"
        )
    with warehouse.begin() as writer:
        # a writer in the middle of its work on both tables
        writer.exec_driver_sql("UPDATE session_summaries SET event_count = event_count")
        writer.exec_driver_sql("UPDATE imported_sessions SET legacy_id = legacy_id")
        report = import_legacy(warehouse, legacy, rules=RULES, now=NOW)
    assert "fk_imported_sessions_session_key" in report.constraints
    with warehouse.read() as connection:
        valid = connection.exec_driver_sql(
            "SELECT convalidated FROM pg_constraint WHERE conname = 'fk_imported_sessions_session_key'"
        ).scalar_one()
    assert valid is True
    legacy.dispose()
    warehouse.dispose()
    databases.drop(url)
