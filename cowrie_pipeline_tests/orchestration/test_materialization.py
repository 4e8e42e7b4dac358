"""Assets and checks as Dagster runs them: days and ranges, what is written on each day, and what stops what."""

import importlib
import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import OperationalError

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.observability.instruments import STEP_DURATION
from cowrie_pipeline.observability.processes import this_process
from cowrie_pipeline.orchestration import resources
from cowrie_pipeline.orchestration.assets import inventories, session_snapshots
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.partitions import day_range
from cowrie_pipeline.orchestration.processes import PROCESS_TAG, end_runs_of_dead_processes
from cowrie_pipeline.orchestration.runs import materialize
from cowrie_pipeline.orchestration.upkeep import CLEAN_UP_JOB, LISTS_JOB, RECONCILE_JOB, STALE_JOB
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import DRIFT
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import CascadeStats
from cowrie_pipeline.steps.reports import all_reports
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import enrichment_cache, metric_counts, session_summaries, step_runs
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.contract.http_server import HttpServer
from cowrie_pipeline_tests.contract.services import FILE, KEY, pwned_passwords, virustotal
from cowrie_pipeline_tests.steps.made_days import closed, command, connect, download, login, rows, span, write_log

ALL_ASSETS = {
    "raw_sessions",
    "ip_inventory",
    "asn_inventory",
    "session_snapshots",
    "asn_session_counts",
    "file_reputation",
    "password_exposure",
}
# one session on the first day, two on the second, none on the third, three on the fourth
SESSIONS = {"2026-03-01": 1, "2026-03-02": 2, "2026-03-03": 0, "2026-03-04": 3}
DAYS = span("2026-03-01", "2026-03-04")
UPKEEP = (LISTS_JOB, STALE_JOB, CLEAN_UP_JOB, RECONCILE_JOB)
# Its SHA-1 is among those that the made service has seen in leaks.
LEAKED = "lauragpe"
SECRET = "n0body-sh0uld-read-this"


@pytest.fixture
def pipeline(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Logs of four days, and the environment in which assets find them."""
    # what a process has learned of services is nothing to the next test
    monkeypatch.setattr(resources, "_circuits", {})
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
    for day, made in metadata_of(result, "asn_session_counts").items():
        # of nobody's network, as it is without GeoIP files: a row all the same
        assert day is not None
        assert (made["dagster/row_count"].value, made["networks"].value) == (min(SESSIONS[day], 1), 0)
        unique = [each.name for each in made["dagster/column_schema"].schema.columns if each.constraints.unique]
        assert unique == [], "day and network are a key together"
    addresses = {day: made["dagster/row_count"].value for day, made in metadata_of(result, "ip_inventory").items()}
    assert addresses == SESSIONS
    for asset in ALL_ASSETS:
        of_day = metadata_of(result, asset)["2026-03-04"]
        # nobody moved a file, and of no network's address nothing is known of networks
        has_plot = asset not in {"file_reputation", "asn_inventory"}
        assert any(isinstance(value, dg.MarkdownMetadataValue) for value in of_day.values()) == has_plot, asset
    previews = {day: len(made["preview"].records) for day, made in metadata_of(result, "raw_sessions").items()}
    assert previews == SESSIONS
    for spec in all_reports():
        for asset in spec.assets:
            for metadata in metadata_of(result, asset).values():
                assert isinstance(metadata[spec.name], dg.TableMetadataValue), spec.name
                assert spec.plot is None or isinstance(metadata[f"{spec.name}_plot"], dg.MarkdownMetadataValue)
    by_country = {
        day: sum(record.data["sessions"] for record in made["countries"].records)
        for day, made in metadata_of(result, "asn_session_counts").items()
    }
    assert by_country == SESSIONS
    for asset in ("ip_inventory", "asn_inventory"):
        for metadata in metadata_of(result, asset).values():
            stats = metadata["cascade_stats"].value
            assert stats["total_ips"] == sum(SESSIONS.values())
            assert stats.keys() == {each.name for each in fields(CascadeStats)}
            assert metadata["asn_records_created"].value == stats["asn_records_created"]


@pytest.mark.parametrize("is_on", [True, False])
def test_a_run_counts_its_steps_unless_metrics_are_off(
    pipeline: Settings, instance: dg.DagsterInstance, is_on: bool
) -> None:
    os.environ["COWRIE_METRICS"] = str(is_on)
    assert run_assets(instance, pipeline, "2026-03-01", "2026-03-04").success
    warehouse = Warehouse(pipeline.database_url)
    ended = Counter(f'{{"step":"{row["step"]}"}}' for row in rows(warehouse, step_runs))
    counted = Counter[str]()
    for row in rows(warehouse, metric_counts, metric_counts.c.instrument == STEP_DURATION.name):
        counted[row["labels"]] += row["number"]
    warehouse.dispose()
    assert ended
    assert counted == (ended if is_on else Counter())


def test_each_day_and_the_last_thirty_have_a_page(pipeline: Settings, instance: dg.DagsterInstance) -> None:
    result = run_assets(instance, pipeline, "2026-03-01", "2026-03-04")
    assert result.success
    of_days = metadata_of(result, "attack_report")
    assert {day: made["sessions"].value for day, made in of_days.items()} == SESSIONS
    (rolling,) = metadata_of(result, "attack_report_30_days").values()
    assert rolling["sessions"].value == sum(SESSIONS.values())
    assert rolling["days"].value == "2026-02-03 to 2026-03-04"
    for made in (*of_days.values(), rolling):
        page = Path(made["page"].value)
        assert page.is_absolute()
        assert "<!DOCTYPE html>" in page.read_text()
        assert page.parent == pipeline.reports_folder
    assert "data:image/svg+xml;base64," in of_days["2026-03-01"]["sessions_by_hour_plot"].value
    assert "data:image/svg+xml;base64," in rolling["sessions_by_day_plot"].value


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


def warnings_of(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[str]:
    return [each.user_message for each in instance.all_logs(result.run_id) if int(each.level) >= logging.WARNING]


def run_job(instance: dg.DagsterInstance, settings: Settings, name: str, **options: Any) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def(name)
    return job.execute_in_process(instance=instance, raise_on_error=False, **options)


def test_offline_everything_materializes_and_says_why_nobody_was_asked(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    results = [run_assets(instance, pipeline, "2026-03-02"), *(run_job(instance, pipeline, name) for name in UPKEEP)]
    assert all(result.success for result in results)
    for asset in ("file_reputation", "password_exposure"):
        (metadata,) = metadata_of(results[0], asset).values()
        assert metadata["not_asked"].value == "COWRIE_OFFLINE is set"
        assert metadata["findings"].value == []
    (addresses,) = metadata_of(results[0], "ip_inventory").values()
    not_asked = addresses["not_asked"].value
    assert not_asked["greynoise"] == "COWRIE_OFFLINE is set"
    assert "downloaded_lists" in not_asked["tor"]
    (lists,) = metadata_of(results[1], "downloaded_lists").values()
    assert lists["not_asked"].value == "COWRIE_OFFLINE is set"
    assert len(lists["lists"].records) == len(ALL_LISTS)
    noise = [each for result in results for each in warnings_of(instance, result)]
    assert [each for each in noise if not each.startswith(("maxmind:", "Check"))] == []


def test_files_and_passwords_are_looked_up_and_no_password_is_in_an_event(
    pipeline: Settings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    events = [
        connect("2026-03-05 10:00", src_ip="12.0.0.1"),
        login("2026-03-05 10:01", src_ip="12.0.0.1", password=LEAKED),
        login("2026-03-05 10:02", src_ip="12.0.0.1", password=SECRET),
        download("2026-03-05 10:03", FILE, src_ip="12.0.0.1"),
    ]
    log = write_log(tmp_path / "more.json", events)
    with HttpServer(lambda asked: (virustotal if "files" in asked.path else pwned_passwords)(asked)) as server:
        only = {f"COWRIE_{name.upper()}_ENABLED": "false" for name in pipeline.services}
        asked = {
            "COWRIE_OFFLINE": "false",
            "COWRIE_CYMRU_ENABLED": "false",
            "COWRIE_LOGS": str(log),
            "COWRIE_VIRUSTOTAL_ENABLED": "true",
            "COWRIE_VIRUSTOTAL_KEY": KEY,
            "COWRIE_VIRUSTOTAL_URL": server.url,
            "COWRIE_PWNED_PASSWORDS_ENABLED": "true",
            "COWRIE_PWNED_PASSWORDS_URL": server.url,
        }
        os.environ.update(only | asked)
        result = run_assets(instance, Settings.from_environment(), "2026-03-05")
    assert result.success
    (files,) = metadata_of(result, "file_reputation").values()
    assert (files["dagster/row_count"].value, files["flagged"].value) == (1, 1)
    assert files["look_ups"].value == {"hit": 1}
    (passwords,) = metadata_of(result, "password_exposure").values()
    assert (passwords["dagster/row_count"].value, passwords["exposed"].value) == (2, 1)
    assert passwords["statuses"].value == {"hit": 1, "not_found": 1}
    assert [list(record.data.values()) for record in passwords["coverage"].records] == [
        ["hit", 1, 0.5],
        ["not_found", 1, 0.5],
    ]
    assert passwords["coverage_of_answers"].value == 1
    found = evaluations(result)
    assert found["coverage_of_file_reputation"].passed
    assert found["coverage_of_password_exposure"].passed
    told = "".join(str(each) for each in instance.all_logs(result.run_id))
    assert "flagged" in told
    for secret in (SECRET, LEAKED, KEY, sha1_of(SECRET)):
        assert secret not in told


def test_a_service_that_refuses_the_key_is_a_warning_and_the_run_succeeds(
    pipeline: Settings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "more.json", [download("2026-03-05 10:03", FILE, src_ip="12.0.0.1")])
    with HttpServer(virustotal) as server:
        only = {f"COWRIE_{name.upper()}_ENABLED": "false" for name in pipeline.services}
        os.environ.update(only | {"COWRIE_OFFLINE": "false", "COWRIE_CYMRU_ENABLED": "false", "COWRIE_LOGS": str(log)})
        os.environ.update({"COWRIE_VIRUSTOTAL_ENABLED": "true", "COWRIE_VIRUSTOTAL_URL": server.url})
        os.environ["COWRIE_VIRUSTOTAL_KEY"] = "a-wrong-key"
        result = run_assets(instance, Settings.from_environment(), "2026-03-05")
    assert result.success
    (warning,) = [each for each in warnings_of(instance, result) if each.startswith("virustotal:")]
    assert "COWRIE_VIRUSTOTAL_KEY" in warning
    assert "a-wrong-key" not in "".join(str(each) for each in instance.all_logs(result.run_id))
    assert not evaluations(result)["coverage_of_file_reputation"].passed


def test_stale_addresses_are_looked_up_again_as_many_as_the_run_is_told(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    assert run_assets(instance, pipeline, "2026-03-01", "2026-03-04").success
    execute(pipeline, "UPDATE ip_inventory SET enrichment_due_at = '2026-03-01 00:00:00.000000'")
    config = {"ops": {"stale_enrichment": {"config": {"at_most": 4}}}}
    due = []
    for _ in range(3):
        result = run_job(instance, pipeline, STALE_JOB, run_config=config)
        assert result.success
        (metadata,) = metadata_of(result, "stale_enrichment").values()
        due.append((metadata["dagster/row_count"].value, metadata["still_due"].value))
    assert due == [(4, 2), (2, 0), (0, 0)]


def test_drift_fails_the_check_of_the_reconciliation_and_is_mended(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    assert run_assets(instance, pipeline, "2026-03-01", "2026-03-04").success
    result = run_job(instance, pipeline, RECONCILE_JOB)
    assert result.success
    assert evaluations(result)[DRIFT.name].passed
    execute(pipeline, "UPDATE ip_inventory SET session_count = 77 WHERE ip_address = '198.51.2.1'")
    result = run_job(instance, pipeline, RECONCILE_JOB)
    assert result.success  # told, and nothing is kept from running
    check = evaluations(result)[DRIFT.name]
    assert (check.passed, check.blocking, check.severity) == (False, False, dg.AssetCheckSeverity.ERROR)
    assert check.metadata["rows_at_fault"].value == 1
    shown = check.metadata["first_rows"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [dict(record.data) for record in shown.records] == [
        {"table": "ip_inventory", "key": "198.51.2.1", "column": "session_count", "stored": 77, "counted": 1}
    ]
    (metadata,) = metadata_of(result, "reconciled_inventories").values()
    assert metadata["mended"].value == {"ip_inventory.session_count": 1}
    assert metadata["movement"].value["new_networks"] == 0
    assert evaluations(run_job(instance, pipeline, RECONCILE_JOB))[DRIFT.name].passed


def test_what_is_long_expired_is_removed_by_a_job(pipeline: Settings, instance: dg.DagsterInstance) -> None:
    warehouse = Warehouse(pipeline.database_url)
    expired = {"kept": timedelta(days=170), "removed": timedelta(days=190)}
    with warehouse.begin() as connection:
        for key, since in expired.items():
            at = datetime.now(UTC) - since
            row = {"service": "x", "key": key, "status": "not_found", "fetched_at": at, "expires_at": at}
            connection.execute(insert(enrichment_cache).values(row))
    result = run_job(instance, pipeline, CLEAN_UP_JOB)
    assert result.success
    assert [row["key"] for row in rows(warehouse, enrichment_cache)] == ["kept"]
    warehouse.dispose()


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
                "alive": this_process(),
                "another with its number": f"{socket.gethostname()}:{os.getpid()}:1",
                "elsewhere": f"another.host:{dead.pid}",
                "of the daemon": "",
            }.items()
        }
        claimed = storage.claim_concurrency_slot("warehouse", runs["killed"].run_id, "raw_sessions")
        assert claimed.is_claimed
        assert not storage.claim_concurrency_slot("warehouse", runs["alive"].run_id, "raw_sessions").is_claimed

        end_runs_of_dead_processes(instance)

        found = {name: instance.get_run_by_id(run.run_id) for name, run in runs.items()}
        statuses = {name: run.status for name, run in found.items() if run is not None}
        assert statuses == {
            "killed": dg.DagsterRunStatus.FAILURE,
            "alive": dg.DagsterRunStatus.STARTED,
            "another with its number": dg.DagsterRunStatus.FAILURE,
            "elsewhere": dg.DagsterRunStatus.STARTED,
            "of the daemon": dg.DagsterRunStatus.STARTED,
        }
        assert storage.claim_concurrency_slot("warehouse", runs["alive"].run_id, "raw_sessions").is_claimed


def test_a_run_that_was_killed_alone_gives_its_places_back_when_the_next_run_starts(
    pipeline: Settings, tmp_path: Path
) -> None:
    """The code server had marked it as failed, and the run that Dagster started instead waited five minutes."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("warehouse", 1)
        killed = instance.create_run_for_job(
            build_definitions(pipeline).resolve_job_def(DAILY_JOB),
            status=dg.DagsterRunStatus.STARTED,
            tags={PROCESS_TAG: f"{socket.gethostname()}:{dead.pid}"},
        )
        assert storage.claim_concurrency_slot("warehouse", killed.run_id, "raw_sessions").is_claimed
        instance.report_run_failed(killed)
        assert materialize(instance, [span("2026-03-01")], pipeline).succeeded


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


@pytest.mark.parametrize(
    ("error", "tries"),
    [(OperationalError("INSERT", {}, Exception("database is locked")), 2), (ValueError("a mistake in the code"), 1)],
    ids=["may pass", "cannot pass"],
)
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(
    pipeline: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    calls = 0

    def fail_once(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return take_snapshots(*arguments, **named)

    monkeypatch.setattr(f"{session_snapshots.__name__}.take_snapshots", fail_once)
    outcome = materialize(instance, [span("2026-03-01")], pipeline)
    assert calls == tries
    assert outcome.succeeded == (tries == 2)
    assert [each for each in outcome.errors if not each.endswith("ValueError: a mistake in the code")] == []
    assert len(outcome.errors) == 2 - tries


@pytest.mark.parametrize(
    ("error", "tries"),
    [(OperationalError("SELECT", {}, Exception("database is locked")), 2), (ValueError("a mistake in the code"), 1)],
    ids=["may pass", "cannot pass"],
)
@pytest.mark.parametrize("work", ["orchestration.checks.table_of", "orchestration.assets.reconciled_inventories.mend"])
def test_what_yields_its_results_is_tried_again_by_the_same_rule(
    pipeline: Settings, monkeypatch: pytest.MonkeyPatch, work: str, error: Exception, tries: int
) -> None:
    calls = 0
    module, _, name = f"cowrie_pipeline.{work}".rpartition(".")
    done = getattr(importlib.import_module(module), name)

    def fail_once(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return done(*arguments, **named)

    monkeypatch.setattr(f"{module}.{name}", fail_once)
    with dg.DagsterInstance.ephemeral() as instance:
        # without GeoIP files the checks of coverage fail, and show rows
        result = run_assets(instance, pipeline, "2026-03-01")
        if name == "mend":
            assert result.success
            result = run_job(instance, pipeline, RECONCILE_JOB)
            assert calls == tries
    assert result.success == (tries == 2)


def test_a_description_is_tried_again_too_and_says_why_in_one_line(
    pipeline: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fail_at_the_third(context: Any) -> DayRange:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OperationalError("SELECT", {}, Exception("database is locked"))
        return day_range(context)

    monkeypatch.setattr(f"{inventories.__name__}.day_range", fail_at_the_third)
    result = run_assets(instance, pipeline, "2026-03-01")
    assert result.success
    (retried,) = [each for each in result.all_events if each.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]
    assert retried.step_key == "inventories.finish_inventories_op"
    error = retried.step_retry_data.error
    assert error is not None
    assert error.cause is not None
    told = error.cause.message.strip()
    assert told.endswith(
        "this may pass, the work is tried again: OperationalError: (builtins.Exception) database is locked"
    )
    assert "\n" not in told


def test_a_long_range_is_one_run_and_several_transactions(
    pipeline: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = []

    def note(connection: Any, days: DayRange, **named: Any) -> Any:
        parts.append(days)
        return take_snapshots(connection, days, **named)

    monkeypatch.setattr(f"{session_snapshots.__name__}.take_snapshots", note)
    outcome = materialize(instance, [span("2026-02-01", "2026-03-20")], pipeline)
    assert outcome.succeeded
    assert [len(part) for part in parts] == [31, 17]
    assert outcome.assets["session_snapshots"].days == 48
    assert outcome.assets["raw_sessions"].rows == sum(SESSIONS.values())


def test_every_run_says_in_which_process_it_is_whoever_started_it(
    pipeline: Settings, instance: dg.DagsterInstance
) -> None:
    assert run_assets(instance, pipeline, "2026-03-01").success
    (run,) = instance.get_runs()
    assert run.tags[PROCESS_TAG] == this_process()
