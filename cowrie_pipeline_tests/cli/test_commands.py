"""Every command: what it prints, and which exit code it ends with when it is used wrongly or finds trouble."""

import json
import os
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from cowrie_pipeline import __version__
from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, write_logs
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import cowrie_pipeline, report_of
from cowrie_pipeline_tests.conftest import Databases


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of synthetic logs."""
    folder = tmp_path_factory.mktemp("logs")
    plan = SyntheticPlan(seed=3, first_day=date(2026, 3, 1), days=1, sessions_per_day=30, addresses=10, sensors=1)
    write_logs(plan, folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Dagster instance for all tests."""
    return tmp_path_factory.mktemp("home")


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = invoke(tmp_path, "--version")
    assert (done.code, done.out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "no logs are named: give --logs PATH or set COWRIE_LOGS"),
        (["--logs", "x", "--from", "2026-13-01"], "found '2026-13-01'"),
        (["--logs", "x", "--to", "yesterday"], "found 'yesterday'"),
        (["--logs", "x", "--from", "2026-03-02", "--to", "2026-03-01"], "--to 2026-03-01 comes before --from"),
        (["--logs", "x", "--no-such-option"], "--no-such-option"),
        (["--logs", "/no/such/folder"], "/no/such/folder: no such file or folder"),
    ],
)
def test_wrong_use_of_run_ends_with_two_and_says_what_is_wrong(tmp_path: Path, options: list[str], told: str) -> None:
    done = invoke(tmp_path, "run", *options)
    assert done.code == 2
    assert told in done.err
    assert done.out == ""


def test_a_wrong_setting_ends_with_two(tmp_path: Path) -> None:
    done = invoke(tmp_path, "status", COWRIE_START_DATE="soon")
    assert (done.code, done.err) == (2, "error: COWRIE_START_DATE must be a day such as 2016-01-01, found 'soon'\n")


def test_logs_may_come_from_the_environment(tmp_path: Path, logs: Path, home: Path) -> None:
    done = invoke(tmp_path, "run", "--json", COWRIE_LOGS=logs, DAGSTER_HOME=home)
    assert (done.code, done.json["files"]) == (0, 1)
    assert (tmp_path / "var" / "cowrie.db").exists()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs /proc to have such a file")
def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_loaded(tmp_path: Path, logs: Path, home: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "cowrie.json").write_bytes(next(logs.rglob("cowrie.json*")).read_bytes())
    unreadable = folder / "cowrie.json.1"
    if os.geteuid() == 0:  # whom no permission stops
        unreadable.symlink_to("/proc/self/mem")
    else:
        unreadable.write_text("{}\n")
        unreadable.chmod(0)
    done = invoke(tmp_path, "run", "--logs", folder, "--json", DAGSTER_HOME=home)
    assert done.code == 1
    assert list(done.json["unreadable"]) == [str(unreadable)]
    assert done.json["assets"]["raw_sessions"]["rows"] == 30
    plain = invoke(tmp_path, "run", "--logs", folder, DAGSTER_HOME=home)
    assert plain.code == 1
    assert f"error: {unreadable} could not be read: " in plain.err


def test_a_run_that_finds_no_log_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    done = invoke(tmp_path, "run", "--logs", tmp_path / "logs")
    assert done.code == 0
    assert f"expected log files, found none in {tmp_path / 'logs'} " in done.out.replace("\n", " ")


def test_a_run_of_days_that_no_log_has_says_which_there_are(tmp_path: Path, logs: Path) -> None:
    done = invoke(tmp_path, "run", "--logs", logs, "--from", "2026-04-01")
    assert done.code == 0
    assert "no day asked for is in the logs: they have 2026-03-01 to 2026-03-01" in done.out


def test_a_run_whose_logs_are_before_the_first_partition_says_that_and_no_more(tmp_path: Path, logs: Path) -> None:
    done = invoke(tmp_path, "run", "--logs", logs, COWRIE_START_DATE="2026-04-01")
    assert done.code == 0
    assert "events before the first partition (COWRIE_START_DATE) were kept and not loaded" in done.out
    assert "no day asked for" not in done.out


@pytest.mark.parametrize("command", [("run", "--logs", "."), ("status",), ("db", "upgrade")])
def test_a_damaged_file_is_told_in_one_line_with_a_remedy(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database " * 500)
    done = invoke(tmp_path, *command, "--db", f"sqlite:///{tmp_path / 'bad.db'}")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert "file is not a database" in line
    assert "restore a backup" in line


def test_a_process_tells_of_a_server_that_does_not_answer_in_one_line_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/cowrie"
    done = cowrie_pipeline(tmp_path, "run", "--logs", ".", "--db", url)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot open the database postgresql+psycopg://someone:***@127.0.0.1:1/cowrie")
    assert "Check that the server runs" in line
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("url", ["mysql://somewhere/cowrie", "sqlite://", "no url at all"])
def test_a_url_of_no_use_is_told_in_one_line(tmp_path: Path, url: str) -> None:
    done = invoke(tmp_path, "status", "--db", url)
    assert done.code in {1, 2}
    assert len(done.err.splitlines()) == 1


def test_the_summary_of_a_run_says_what_came_of_it(tmp_path: Path, logs: Path, home: Path) -> None:
    done = invoke(tmp_path, "run", "--logs", logs, DAGSTER_HOME=home)
    assert done.code == 0
    assert "1 files (1 read now)" in done.out or "1 file (1 read now)" in done.out
    assert "2026-03-01 to 2026-03-01" in done.out
    assert "30 sessions" in done.out
    assert "Checks that failed" in done.out  # nobody knows the addresses
    assert f"Database: sqlite:///{tmp_path / 'var' / 'cowrie.db'}" in done.out
    assert "reading logs: " in done.err


def test_status_shows_a_filled_database(tmp_path: Path, logs: Path, databases: Databases, home: Path) -> None:
    url = databases.empty()
    assert invoke(tmp_path, "run", "--logs", logs, "--db", url, "--json", DAGSTER_HOME=home).code == 0
    plain = invoke(tmp_path, "status", "--db", url)
    assert plain.code == 0
    assert "1 day loaded, 2026-03-01 to 2026-03-01" in plain.out
    assert "session_summaries" in plain.out
    assert "Last runs" in plain.out
    state = invoke(tmp_path, "status", "--db", url, "--json").json
    assert state["rows"]["session_summaries"] == 30
    assert state["days"] == {"first": "2026-03-01", "last": "2026-03-01", "loaded": 1, "read_but_not_loaded": 0}
    assert state["files"]["lines"] == state["files"]["events"] > 0
    assert {run["step"] for run in state["last_runs"]} == {
        "scan_logs",
        "raw_sessions",
        "ip_inventory",
        "session_snapshots",
        "attack_report",
        "attack_report_30_days",
        "asn_session_counts",
        "file_reputation",
        "password_exposure",
    }
    databases.drop(url)


def test_status_of_a_database_without_tables_says_how_to_fill_it(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    done = invoke(tmp_path, "status", "--db", url)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert "cowrie-pipeline run --logs PATH" in line
    databases.drop(url)


def test_status_of_somebody_elses_database_is_told_in_one_line_and_changes_nothing(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    done = invoke(tmp_path, "status", "--db", f"sqlite:///{tmp_path / 'other.db'}")
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    connection = sqlite3.connect(tmp_path / "other.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("people",)]
    connection.close()


def test_the_schema_is_brought_up_to_date_once(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    first = invoke(tmp_path, "db", "upgrade", "--db", url)
    assert first.code == 0
    assert "schema none -> " in first.out
    second = invoke(tmp_path, "db", "upgrade", "--db", url)
    newest = first.out.strip().rpartition(" ")[2]
    assert f"schema {newest} -> {newest}" in second.out
    assert invoke(tmp_path, "status", "--db", url).code == 0
    databases.drop(url)


def test_generated_logs_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    options = ("--days", "2", "--sessions-per-day", "20", "--addresses", "5", "--first-day", "2026-03-01")
    for name in ("a", "b"):
        done = invoke(tmp_path, "generate-logs", tmp_path / name, *options, "--geoip", tmp_path / f"{name}-geoip")
        assert done.code == 0, done.err
        assert "40 sessions" in done.out
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("cowrie.json*"))
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert len(list((tmp_path / "a-geoip").glob("*.mmdb"))) == 2


def test_logs_that_cannot_be_written_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = invoke(tmp_path, "generate-logs", tmp_path / "file", "--days", "1", "--sessions-per-day", "1")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert str(tmp_path / "file") in done.err


def test_a_process_shows_the_demo_and_all_is_known(tmp_path: Path) -> None:
    report = report_of(cowrie_pipeline(tmp_path, "demo", "--json"))
    assert report["ok"]
    assert len(report["days"]) == 4
    assert report["findings"] == []
    failed = [
        name for asset in report["assets"].values() for name, each in asset["checks"].items() if not each["passed"]
    ]
    assert failed == []
    assert json.dumps(report).isascii()
    assert (tmp_path / "var" / "demo" / "cowrie.db").exists()
