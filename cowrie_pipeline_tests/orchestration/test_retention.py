"""The job that removes what is too old: details of sessions, and Dagster's runs, whose partitions stay materialized."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.build import build_definitions
from cowrie_pipeline.orchestration.retention import RETENTION_JOB, drop_old_runs
from cowrie_pipeline.orchestration.runs import materialize
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import commands, session_summaries, step_runs
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import PROJECT, environment
from cowrie_pipeline_tests.orchestration.days_gone_by import sessions_of
from cowrie_pipeline_tests.steps.made_days import rows, span, write_log

DAYS = span("2026-03-01", "2026-03-02")
ASSET = dg.AssetKey("session_snapshots")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Iterator[Settings]:
    write_log(tmp_path / "logs" / "cowrie.json", [each for day in DAYS for each in sessions_of(day)[:-1]])
    variables = environment(
        tmp_path, COWRIE_DB_URL=database_url, COWRIE_LOGS=tmp_path / "logs", COWRIE_START_DATE="2026-02-01"
    )
    with only_environment(variables):
        yield Settings.from_environment()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def retire(instance: dg.DagsterInstance, settings: Settings) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def(RETENTION_JOB)
    return job.execute_in_process(instance=instance)


def materialized(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(ASSET)


def test_nothing_is_removed_unless_a_setting_says_so(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert materialize(instance, [DAYS], settings).succeeded
    assert retire(instance, settings).success
    warehouse = Warehouse(settings.database_url)
    assert len(rows(warehouse, commands)) == 6
    assert not [row for row in rows(warehouse, step_runs) if row["step"] == RETENTION_JOB]
    warehouse.dispose()
    assert len(instance.get_runs()) == 2


def test_what_was_removed_is_in_the_journal_and_on_the_run(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert materialize(instance, [DAYS], settings).succeeded
    monkeypatch.setenv("COWRIE_KEEP_DETAIL_DAYS", "30")
    result = retire(instance, settings)
    (output,) = (
        event.step_output_data.metadata
        for event in result.all_events
        if event.is_successful_output and event.step_key == "drop_old_details_op"
    )
    assert output["days"].value == ["2026-03-01", "2026-03-02"]
    warehouse = Warehouse(settings.database_url)
    assert not rows(warehouse, commands)
    assert len(rows(warehouse, session_summaries)) == 6
    (entry,) = (row for row in rows(warehouse, step_runs) if row["step"] == RETENTION_JOB)
    assert entry["report"]["removed"]["commands"] == 6
    # and with the details gone every check of the days still passes
    assert materialize(instance, [DAYS], settings).succeeded
    warehouse.dispose()


def test_old_runs_go_with_their_events_and_their_partitions_stay_materialized(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    spans = [DAYS, DayRange(DAYS.first, DAYS.first)]
    assert materialize(instance, spans, settings).succeeded
    younger = drop_old_runs(instance, before=datetime.now(UTC) - timedelta(days=1))
    assert (younger.runs, len(instance.get_runs())) == (0, 2)
    report = drop_old_runs(instance, before=datetime.now(UTC) + timedelta(minutes=1))
    assert report.runs == 2
    # eight assets and two days, and the page of 30 days, each by the run that made it last
    assert report.materializations_kept == 17
    assert not instance.get_runs()
    assert materialized(instance) == {"2026-03-01", "2026-03-02"}
    (newest,) = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=ASSET, asset_partitions=["2026-03-01"]), limit=1
    ).records
    made = newest.asset_materialization
    assert made is not None
    assert made.metadata["dagster/row_count"].value == 3
    assert "removed since" in (made.description or "")


def files_of(folder: Path, run_id: str) -> list[Path]:
    return [path for path in folder.rglob("*") if run_id in str(path) and path.is_file()]


def test_nothing_is_left_on_disk_of_a_run_that_was_removed(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        old, young = (materialize(instance, [DayRange(DAYS.first, DAYS.first)], settings).run_ids[0] for _ in range(2))
        kinds = {path.suffix for path in files_of(settings.state_dir, old)}
        # its events, what it printed, and what one step handed to the next
        assert kinds == {".db", ".out", ".err", ".complete"}
        ended = instance.get_run_records(dg.RunsFilter(run_ids=[old]))[0].update_timestamp
        report = drop_old_runs(instance, before=ended.replace(tzinfo=UTC) + timedelta(microseconds=1))
        assert report.runs == 1
        assert files_of(settings.state_dir, old) == []
        assert {path.suffix for path in files_of(settings.state_dir, young)} == kinds
        assert materialized(instance) == {"2026-03-01"}


def test_so_many_runs_are_removed_at_once_and_no_more(settings: Settings, instance: dg.DagsterInstance) -> None:
    for _ in range(3):
        assert materialize(instance, [DAYS], settings).succeeded
    assert drop_old_runs(instance, before=datetime.now(UTC) + timedelta(minutes=1), at_most=2).runs == 2
    assert len(instance.get_runs()) == 1
    assert materialized(instance) == {"2026-03-01", "2026-03-02"}
