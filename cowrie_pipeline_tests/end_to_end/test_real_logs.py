"""Real logs of thirteen honeypots through the command `run`, held to counts that were made independently."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import ip_inventory, loaded_days, session_summaries
from cowrie_pipeline.warehouse.times import count_by_day
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import cowrie_pipeline, report_of
from cowrie_pipeline_tests.conftest import SHARED_DATA, Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.steps.made_days import rows, span

pytestmark = [pytest.mark.shared_data, pytest.mark.long]

LOGS = SHARED_DATA / "logs"
EXPECTED_FILE = SHARED_DATA / "expected.json"
EXPECTED: dict[str, Any] = json.loads(EXPECTED_FILE.read_text()) if EXPECTED_FILE.exists() else {}


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'cowrie.db'}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Dagster instance for all tests: to make one takes longer than to load a small folder."""
    return tmp_path_factory.mktemp("home")


def assert_as_expected(report: Mapping[str, Any], name: str) -> None:
    expected = EXPECTED[name]
    assert report["ok"] is True
    assert (
        report["lines"],
        report["events"],
        report["duplicates"],
        report["dead_letters"],
        report["blank_lines"],
    ) == (expected["lines"], expected["events"], expected["duplicates"], expected["bad"], expected["blank"])
    assert len(report["days"]) == len(expected["sessions_by_start_day"]) or expected["crossing"]
    blocked = [
        check
        for asset in report["assets"].values()
        for check, outcome in asset["checks"].items()
        if outcome["blocking"] and not outcome["passed"]
    ]
    assert not blocked


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_folder_of_real_logs_ends_well_with_the_counts_that_were_made_independently(
    name: str, tmp_path: Path, home: Path
) -> None:
    done = invoke(tmp_path, "run", "--logs", LOGS / name, "--db", sqlite(tmp_path), "--json", DAGSTER_HOME=home)
    assert done.code == 0, done.err
    assert_as_expected(done.json, name)
    warehouse = Warehouse(sqlite(tmp_path))
    addresses = {row["ip_address"] for row in rows(warehouse, ip_inventory)}
    assert len(addresses) == EXPECTED[name]["ips"]
    warehouse.dispose()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> dict[str, Databases]:
    """Databases of both kinds in one test."""
    folder = tmp_path_factory.mktemp("both")
    return {"sqlite": Databases("sqlite", folder, None), "postgresql": Databases("postgresql", folder, postgres_url)}


@pytest.mark.parametrize("name", ["docker-2025", "tpot-2022"])
def test_a_process_gives_the_same_facts_in_both_databases(
    name: str, both: dict[str, Databases], tmp_path: Path, home: Path
) -> None:
    found = {}
    for dialect, databases in both.items():
        url = databases.empty()
        folder = tmp_path / dialect
        folder.mkdir()
        report = report_of(
            cowrie_pipeline(folder, "run", "--logs", LOGS / name, "--db", url, "--json", DAGSTER_HOME=home)
        )
        assert_as_expected(report, name)
        found[dialect] = all_facts(url)
        databases.drop(url)
    assert len(found["sqlite"]["session_summaries"]) == EXPECTED[name]["sessions"]
    assert found["sqlite"] == found["postgresql"]


def test_a_second_run_reads_nothing_and_changes_no_fact(tmp_path: Path, databases: Databases, home: Path) -> None:
    url = databases.empty()
    arguments = ("run", "--logs", LOGS / "docker-2025", "--db", url, "--json")
    first = invoke(tmp_path, *arguments, DAGSTER_HOME=home)
    assert (first.code, first.json["files_read"], first.json["lines_read"]) == (0, 1, 4391)
    before = all_facts(url)
    second = invoke(tmp_path, *arguments, DAGSTER_HOME=home)
    assert (second.code, second.json["files_read"], second.json["lines_read"]) == (0, 0, 0)
    assert second.json["events"] == first.json["events"]
    assert all_facts(url) == before
    databases.drop(url)


def test_from_and_to_load_only_those_days(tmp_path: Path, home: Path) -> None:
    done = invoke(
        tmp_path,
        *("run", "--logs", LOGS / "tpot-2022", "--db", sqlite(tmp_path), "--json"),
        *("--from", "2022-05-05", "--to", "2022-05-06"),
        DAGSTER_HOME=home,
    )
    assert done.code == 0, done.err
    assert done.json["days"] == ["2022-05-05", "2022-05-06"]
    assert done.json["lines"] == EXPECTED["tpot-2022"]["lines"]
    warehouse = Warehouse(sqlite(tmp_path))
    assert [str(row["day"]) for row in rows(warehouse, loaded_days)] == ["2022-05-05", "2022-05-06"]
    loaded = sum(row["events"] for row in rows(warehouse, loaded_days))
    assert done.json["events_on_other_days"] == done.json["events"] - loaded > 0
    with warehouse.read() as connection:
        began = count_by_day(connection, session_summaries.c.first_event_at, span("2022-05-01", "2022-05-31"))
    by_day = EXPECTED["tpot-2022"]["sessions_by_start_day"]
    assert {str(day): count for day, count in began.items() if count} == {
        day: by_day[day] for day in ("2022-05-05", "2022-05-06")
    }
    warehouse.dispose()


def test_several_paths_after_one_option_are_all_read(tmp_path: Path, home: Path) -> None:
    day_files = sorted((LOGS / "tpot-2022").glob("cowrie.json.2022-05-0[456]"))
    assert len(day_files) == 3
    done = invoke(tmp_path, "run", "--db", sqlite(tmp_path), "--json", "--logs", *day_files, DAGSTER_HOME=home)
    assert (done.code, done.json["files"]) == (0, 3)
    assert done.json["lines"] == sum(len(file.read_bytes().splitlines()) for file in day_files)


def test_days_before_the_first_partition_are_counted_and_not_loaded(tmp_path: Path, home: Path) -> None:
    done = invoke(
        tmp_path,
        *("run", "--logs", LOGS / "tpot-2022", "--db", sqlite(tmp_path), "--json"),
        COWRIE_START_DATE="2022-05-06",
        DAGSTER_HOME=home,
    )
    assert done.code == 0, done.err
    assert done.json["days"][0] == "2022-05-06"
    assert done.json["events_before_first_partition"] > 0
    assert done.json["events"] == EXPECTED["tpot-2022"]["events"]
