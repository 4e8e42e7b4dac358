"""Assets and checks as Dagster runs them: days and ranges, what is written on each day, and what stops what."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import func, select, text

from cowrie_pipeline.orchestration.assets import session_snapshots
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.runs import _end_runs_of_dead_processes, materialize
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import session_summaries
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.steps.made_days import closed, command, connect, login, rows, span, write_log

ALL_ASSETS = {"raw_sessions", "ip_inventory", "asn_inventory", "session_snapshots", "asn_session_counts"}
# one session on the first day, two on the second, none on the third, three on the fourth
SESSIONS = {"2026-03-01": 1, "2026-03-02": 2, "2026-03-03": 0, "2026-03-04": 3}
DAYS = span("2026-03-01", "2026-03-04")


@pytest.fixture
def pipeline(tmp_path: Path, database_url: str) -> Iterator[Settings]:
    """Logs of four days, and the environment in which assets find them."""
    events = [
        make(f"{day} 10:00:0{second}", session=f"{day[8:]}{number:010x}", src_ip=f"198.51.{day[9:]}.{number + 1}")
        for day, count in SESSIONS.items()
        for number in range(count)
        for second, make in enumerate((connect, login, lambda at, **of: command(at, "uname -a", **of), closed))
    ]
    log = write_log(tmp_path / "cowrie.json", events)
    variables = environment(tmp_path, COWRIE_DB_URL=database_url, COWRIE_LOGS=log, COWRIE_START_DATE="2026-02-01")
    with only_environment(variables):
        yield Settings.from_environment()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_assets(
    instance: dg.DagsterInstance, settings: Settings, first: str, last: str | None = None
) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def(DAILY_JOB)
    if last is None:
        return job.execute_in_process(instance=instance, partition_key=first, raise_on_error=False)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, dict[str, Any]]:
    """Return the metadata of an asset's materializations by partition."""
    return {
        event.partition: dict(event.step_materialization_data.materialization.metadata)
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key == dg.AssetKey(asset)
    }


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def execute(settings: Settings, statement: str) -> None:
    warehouse = Warehouse(settings.database_url)
    with warehouse.begin() as connection:
        assert connection.execute(text(statement)).rowcount
    warehouse.dispose()


def test_a_range_is_one_run_that_writes_on_each_day_what_is_true_of_that_day(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    result = run_assets(instance, pipeline, "2026-03-01", "2026-03-04")
    assert result.success
    for asset in ALL_ASSETS:
        of_days = metadata_of(result, asset)
        assert set(of_days) == set(SESSIONS), asset
        for metadata in of_days.values():
            assert metadata["seconds"].value >= 0
            assert isinstance(metadata["preview"], dg.TableMetadataValue)
            assert metadata["dagster/table_name"].value
            columns = {column.name for column in metadata["dagster/column_schema"].schema.columns}
            lineage = metadata["dagster/column_lineage"].lineage.deps_by_column
            assert set(lineage) <= columns, asset
            assert lineage or asset == "raw_sessions"
    counts = {day: made["dagster/row_count"].value for day, made in metadata_of(result, "raw_sessions").items()}
    assert counts == SESSIONS
    addresses = {day: made["dagster/row_count"].value for day, made in metadata_of(result, "ip_inventory").items()}
    assert addresses == SESSIONS
    previews = {day: len(made["preview"].records) for day, made in metadata_of(result, "raw_sessions").items()}
    assert previews == SESSIONS


def test_one_day_is_materialized_alone(pipeline: Settings, instance: dg.DagsterInstance) -> None:
    result = run_assets(instance, pipeline, "2026-03-02")
    assert result.success
    for asset in ALL_ASSETS:
        assert set(metadata_of(result, asset)) == {"2026-03-02"}
    warehouse = Warehouse(pipeline.database_url)
    with warehouse.read() as connection:
        assert connection.execute(select(func.count()).select_from(session_summaries)).scalar() == 2
    warehouse.dispose()


def test_a_blocking_check_that_fails_stops_what_is_downstream_and_the_run_fails(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    assert materialize(instance, [DAYS], pipeline).succeeded
    execute(pipeline, "UPDATE session_summaries SET event_count = event_count + 1")
    result = run_assets(instance, pipeline, "2026-03-01", "2026-03-04")
    assert not result.success
    made = {event.asset_key for event in result.all_events if event.is_step_materialization}
    assert made == {dg.AssetKey("raw_sessions")}
    failed = evaluations(result)["session_counts"]
    assert (failed.passed, failed.blocking, failed.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    assert failed.metadata["rows_at_fault"].value == sum(SESSIONS.values())
    shown = failed.metadata["first_rows"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert len(shown.records) == sum(SESSIONS.values())
    assert len(str(failed.metadata["what_to_do"].value)) > 20

    outcome = materialize(instance, [DAYS], pipeline)
    assert not outcome.succeeded
    assert outcome.assets["raw_sessions"].checks["session_counts"].rows_at_fault == sum(SESSIONS.values())
    assert set(outcome.assets) == {"raw_sessions"}


def test_a_check_that_fails_without_blocking_leaves_the_run_a_success(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    # nobody knows the addresses here, so that coverage is too low
    result = run_assets(instance, pipeline, "2026-03-01", "2026-03-04")
    assert result.success
    failed = evaluations(result)["coverage_of_ip_inventory"]
    assert (failed.passed, failed.blocking, failed.severity) == (False, False, dg.AssetCheckSeverity.WARN)
    outcome = materialize(instance, [DAYS], pipeline)
    assert outcome.succeeded
    assert not outcome.assets["ip_inventory"].checks["coverage_of_ip_inventory"].passed


def test_a_check_can_be_run_alone_without_a_partition(pipeline: Settings, instance: dg.DagsterInstance) -> None:
    assert materialize(instance, [DAYS], pipeline).succeeded
    selection = dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey("raw_sessions"), "session_counts"),
        dg.AssetCheckKey(dg.AssetKey("raw_sessions"), "orphan_details"),
    )
    alone = build_definitions(pipeline, jobs=[dg.define_asset_job("alone", selection=selection)])
    result = alone.resolve_job_def("alone").execute_in_process(instance=instance)
    assert result.success
    assert {name: each.passed for name, each in evaluations(result).items()} == {
        "session_counts": True,
        "orphan_details": True,
    }
    assert not [event for event in result.all_events if event.is_step_materialization]


def test_spans_of_days_are_runs_of_their_own_and_add_up(pipeline: Settings, instance: dg.DagsterInstance) -> None:
    outcome = materialize(instance, [span("2026-03-01"), span("2026-03-02")], pipeline)
    assert outcome.succeeded
    assert len(set(outcome.run_ids)) == 2
    assert outcome.assets["raw_sessions"].days == 2
    assert outcome.assets["raw_sessions"].rows == 3
    warehouse = Warehouse(pipeline.database_url)
    assert len(rows(warehouse, session_summaries)) == 3
    warehouse.dispose()


def test_the_run_of_a_killed_process_is_ended_and_its_places_in_pools_are_free(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    began = datetime.now(UTC)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("warehouse", 1)
        runs = {
            name: instance.create_run_for_job(
                build_definitions(Settings(start_date=began.date())).resolve_job_def(DAILY_JOB),
                status=dg.DagsterRunStatus.STARTED,
                tags={"cowrie_pipeline/process": process} if process else {},
            )
            for name, process in {
                "killed": f"{socket.gethostname()}:{dead.pid}",
                "alive": f"{socket.gethostname()}:{os.getpid()}",
                "elsewhere": f"another.host:{dead.pid}",
                "of the daemon": "",
            }.items()
        }
        claimed = storage.claim_concurrency_slot("warehouse", runs["killed"].run_id, "raw_sessions")
        assert claimed.is_claimed
        assert not storage.claim_concurrency_slot("warehouse", runs["alive"].run_id, "raw_sessions").is_claimed

        _end_runs_of_dead_processes(instance)

        found = {name: instance.get_run_by_id(run.run_id) for name, run in runs.items()}
        statuses = {name: run.status for name, run in found.items() if run is not None}
        assert statuses == {
            "killed": dg.DagsterRunStatus.FAILURE,
            "alive": dg.DagsterRunStatus.STARTED,
            "elsewhere": dg.DagsterRunStatus.STARTED,
            "of the daemon": dg.DagsterRunStatus.STARTED,
        }
        assert storage.claim_concurrency_slot("warehouse", runs["alive"].run_id, "raw_sessions").is_claimed


def test_a_step_that_fails_is_told_in_words_and_the_other_runs_go_on(
    pipeline: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_the_first(*arguments: Any, **named: Any) -> Any:
        if arguments[1].first == span("2026-03-01").first:
            raise dg.Failure("the disk is full\nand more", allow_retries=False)
        return take_snapshots(*arguments, **named)

    monkeypatch.setattr(f"{session_snapshots.__name__}.take_snapshots", fail_on_the_first)
    outcome = materialize(instance, [span("2026-03-01"), span("2026-03-02")], pipeline)
    assert not outcome.succeeded
    (error,) = outcome.errors
    assert error.startswith("session_snapshots: ")
    assert "the disk is full" in error
    assert "\n" not in error
    assert outcome.assets["session_snapshots"].days == 1
    assert outcome.assets["asn_session_counts"].days == 1
