"""Dagster's own command line does the same work as ours, and its instance file is one that Dagster reads."""

import shutil
import subprocess
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, write_logs
from cowrie_pipeline.orchestration import pools
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, SCRIPTS, TIMEOUT, cowrie_pipeline, environment, report_of
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts

DAY = "2026-03-02"
PLAN = SyntheticPlan(seed=5, first_day=date(2026, 3, 1), days=3, sessions_per_day=60, addresses=20)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Dagster home with the project's own instance file."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", folder / "dagster.yaml")
    return folder


def dagster(folder: Path, *arguments: str, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Dagster's command line in the project's folder, with everything it writes in `folder`."""
    return subprocess.run(
        [SCRIPTS / "dagster", *arguments],
        cwd=PROJECT,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_a_partition_materialized_by_dagster_is_the_same_as_one_of_our_own_command(
    tmp_path: Path, home: Path, databases: Databases
) -> None:
    write_logs(PLAN, tmp_path / "logs")
    of_dagster, ours = databases.empty(), databases.empty()
    done = dagster(
        tmp_path,
        *("asset", "materialize", "-m", "cowrie_pipeline.definitions", "--select", "*", "--partition", DAY),
        DAGSTER_HOME=home,
        COWRIE_LOGS=tmp_path / "logs",
        COWRIE_DB_URL=of_dagster,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    arguments = ("run", "--logs", tmp_path / "logs", "--db", ours, "--from", DAY, "--to", DAY, "--json")
    report = report_of(cowrie_pipeline(tmp_path, *arguments, DAGSTER_HOME=home))
    assert report["days"] == [DAY]
    found = all_facts(of_dagster)
    assert [str(row["day"]) for row in found["loaded_days"]] == [DAY]
    assert len(found["session_summaries"]) >= 60
    assert found == all_facts(ours)
    for url in (of_dagster, ours):
        databases.drop(url)


def test_the_definitions_are_valid_from_the_projects_folder(tmp_path: Path, home: Path) -> None:
    done = dagster(tmp_path, "definitions", "validate", DAGSTER_HOME=home)
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr


def test_dg_reads_the_project_and_launches_a_job_of_it(tmp_path: Path, home: Path) -> None:
    """dg finds definitions by pyproject.toml alone; all that a run leaves is in the state folder."""
    write_logs(PLAN, tmp_path / "logs")
    variables = environment(tmp_path, DAGSTER_HOME=home, COWRIE_LOGS=tmp_path / "logs", PYTHONPATH=PROJECT)
    before = set(PROJECT.iterdir())
    for arguments in (["check", "defs"], ["launch", "--job", "daily", "--partition", DAY]):
        done = subprocess.run(
            [SCRIPTS / "dg", *arguments],
            cwd=PROJECT,
            env=variables,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    found = all_facts(f"sqlite:///{tmp_path / 'var' / 'cowrie.db'}")
    assert [str(row["day"]) for row in found["loaded_days"]] == [DAY]
    assert set(PROJECT.iterdir()) == before
    assert list((tmp_path / "var").rglob("runs.db"))


def test_a_backfill_by_dagster_asks_for_every_day_of_its_range(tmp_path: Path, home: Path) -> None:
    options = ("--noprompt", "--job", "daily", "--from", "2026-03-01", "--to", "2026-03-03")
    done = dagster(tmp_path, "job", "backfill", *options, DAGSTER_HOME=home)
    assert done.returncode == 0, done.stderr[-3000:]
    with only_environment(environment(tmp_path)), dg.DagsterInstance.from_config(str(home)) as instance:
        (backfill,) = instance.get_backfills()
        assert list(backfill.partition_names or ()) == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_dagster_reads_the_instance_file(tmp_path: Path, home: Path) -> None:
    with only_environment(environment(tmp_path)), dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.pool_config.pool_granularity is not None
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 2
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.get_settings("retention")["schedule"] == {"purge_after_days": 90}
        # everything that Dagster keeps is below the state folder
        assert list((tmp_path / "var").rglob("runs.db"))
        assert instance.event_log_storage.supports_global_concurrency_limits
    assert len({getattr(pools, name) for name in pools.__all__}) == len(pools.__all__)
