"""`cowrie-enrich import-legacy` as its users have it: a large database, a process that is killed, and wrong use."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from sqlalchemy import func, select

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import Severity, all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import imported_records, imported_sessions, ip_inventory, session_summaries
from cowrie_pipeline_tests.cli.in_process import invoke_enrich
from cowrie_pipeline_tests.cli.processes import start_enrich
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import FACT_TABLES, facts
from cowrie_pipeline_tests.steps.made_legacy import FIRST, KINDS, UNUSABLE, MadeLegacy, write_legacy

COMMAND = "import-legacy"
# A session a minute from the first day on.
WEEKS = [
    DayRange(FIRST.date() + timedelta(days=day), FIRST.date() + timedelta(days=day + 6)) for day in range(0, 70, 7)
]
# A pair of imports differs in when they were made.
TIMES_OF_WORK = {"enrichment_due_at", "snapshot_at", "snapshot_seal"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, MadeLegacy]:
    """100,000 sessions, with every malformation."""
    url = f"sqlite:///{tmp_path_factory.mktemp('large')}/old.db"
    return url, write_legacy(url, sessions=100_000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, MadeLegacy]:
    url = f"sqlite:///{tmp_path_factory.mktemp('small')}/old.db"
    return url, write_legacy(url, sessions=1_200)


@pytest.fixture
def target(databases: Databases) -> Iterator[str]:
    """The URL of a database without any table."""
    url = databases.empty()
    yield url
    databases.drop(url)


def test_a_hundred_thousand_sessions_with_every_malformation_come_over(
    tmp_path: Path, target: str, large: tuple[str, MadeLegacy]
) -> None:
    source, made = large
    assert all(made.kinds[kind] > 1000 for kind in (*KINDS, *UNUSABLE, "twice"))
    done = invoke_enrich(tmp_path, COMMAND, "--from", source, "--db", target, "--json")
    assert (done.code, done.err) == (0, "")
    parts = done.json["parts"]
    for part in parts.values():
        assert part["in_source"] == made.rows[part["table"]]
        assert part["skipped"] == dict(made.skipped[part["table"]])
        assert part["copied"] == part["here"] == part["in_source"] - sum(part["skipped"].values())
    assert done.json["snapshots"] == dict(made.bases)
    warehouse = Warehouse(target)
    with warehouse.read() as connection:
        total, events = connection.execute(select(func.count(), func.sum(session_summaries.c.event_count))).one()
        assert (total, events) == (made.bases.total(), made.events)
        by_address = connection.execute(
            select(ip_inventory.c.ip_address, ip_inventory.c.session_count).where(ip_inventory.c.session_count > 0)
        )
        assert dict(by_address.all()) == dict(made.sessions_of)
        for check in all_checks():
            # as a run has them: SQLite compares the networks of a whole year with each other
            for days in WEEKS if check.severity is Severity.ERROR else ():
                result = check.run(connection, days, Settings(), datetime.now(UTC))
                assert result.passed, f"{check.name}: {result.at_fault} {result.rows[:3]}"
    warehouse.dispose()


def everything(url: str) -> dict[str, Any]:
    warehouse = Warehouse(url)
    found = facts(warehouse, (*FACT_TABLES, imported_sessions, imported_records), without=TIMES_OF_WORK)
    warehouse.dispose()
    return found


def sessions_in(url: str) -> int:
    warehouse = Warehouse(url)
    with warehouse.read() as connection:
        has_table = warehouse.engine.dialect.has_table(connection, "imported_sessions")
        count = connection.execute(select(func.count()).select_from(imported_sessions)).scalar_one() if has_table else 0
    warehouse.dispose()
    return count


def test_an_import_killed_in_the_middle_goes_on_and_comes_to_the_same(
    databases: Databases, tmp_path: Path, small: tuple[str, MadeLegacy]
) -> None:
    source, made = small
    undisturbed, url = databases.empty(), databases.empty()
    assert invoke_enrich(tmp_path, COMMAND, "--from", source, "--db", undisturbed).code == 0
    arguments = (COMMAND, "--from", source, "--db", url, "--batch-size", "20")
    seen = []
    for wanted in (1, 500):
        process = start_enrich(tmp_path, *arguments)
        while process.poll() is None and sessions_in(url) < wanted:
            sleep(0.1)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        seen.append(sessions_in(url))
    assert 0 < seen[0] < seen[1] < made.bases.total()
    done = invoke_enrich(tmp_path, *arguments, "--json")
    assert (done.code, done.json["is_valid"]) == (0, True)
    assert done.json["parts"]["sessions"]["skipped"] == dict(made.skipped["session_summaries"])
    assert everything(url) == everything(undisturbed)
    databases.drop(url)
    databases.drop(undisturbed)


def test_a_second_import_says_that_nothing_was_left(tmp_path: Path, target: str, small: tuple[str, MadeLegacy]) -> None:
    arguments = (COMMAND, "--from", small[0], "--db", target)
    first = invoke_enrich(tmp_path, *arguments)
    assert (first.code, "old.db: imported" in first.out) == (0, True)
    assert "copying sessions: " in first.err
    assert "deriving snapshots: " in first.err
    assert "operator_note" in first.out
    second = invoke_enrich(tmp_path, *arguments)
    assert (second.code, "nothing was left to import" in second.out) == (0, True)


def test_a_dry_run_writes_nothing_and_makes_no_database(tmp_path: Path, small: tuple[str, MadeLegacy]) -> None:
    source, made = small
    done = invoke_enrich(tmp_path, COMMAND, "--from", source, "--db", f"sqlite:///{tmp_path}/new.db", "--dry-run")
    assert (done.code, "dry run, nothing is written" in done.out) == (0, True)
    assert f"{made.bases.total():,}" in done.out
    assert "the same again" in done.out
    assert not list(tmp_path.rglob("*.db"))


def test_rows_that_are_lost_end_with_one_and_are_named(
    tmp_path: Path, target: str, small: tuple[str, MadeLegacy]
) -> None:
    arguments = (COMMAND, "--from", small[0], "--db", target)
    assert invoke_enrich(tmp_path, *arguments).code == 0
    warehouse = Warehouse(target)
    with warehouse.begin() as connection:
        connection.exec_driver_sql("DELETE FROM imported_records WHERE part = 'networks'")
    warehouse.dispose()
    done = invoke_enrich(tmp_path, *arguments)
    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith("error: asn_inventory: 401 rows copied, 0 here. ")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("sqlite:///nowhere.db", "there is no database nowhere.db: name the file"),
        ("mysql://u:p@h/d", "expected an SQLite or PostgreSQL database"),
        ("postgresql://someone:secret@127.0.0.1:1/old", "cannot open the earlier database postgresql"),
        ("sqlite:///text.db", "cannot open the earlier database"),
        ("sqlite:///new.db", "--from and --db name the same database"),
    ],
)
def test_a_source_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "text.db").write_text("This is no SQLite database at all. " * 100)
    done = invoke_enrich(tmp_path, COMMAND, "--from", source, "--db", "sqlite:///new.db")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert told in line
    assert "secret" not in line
    assert not (tmp_path / "new.db").exists()
