"""Freshness through Dagster's own instance: yesterday of every asset is expected, by an hour, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from cowrie_pipeline.orchestration.alerts import RunsCursor, ended_runs
from cowrie_pipeline.orchestration.build import build_definitions
from cowrie_pipeline.orchestration.freshness import FRESHNESS_JOB
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.model import Failure, Recovery
from cowrie_pipeline.steps.alerts.runs import findings_of_run

DAILY_ASSETS = (
    "asn_inventory",
    "asn_session_counts",
    "attack_report",
    "file_reputation",
    "ip_inventory",
    "password_exposure",
    "raw_sessions",
    "session_snapshots",
)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COWRIE_LOGS", str(tmp_path))
    monkeypatch.setenv("COWRIE_ALERT_DAY_DUE_HOUR", "6")


def day(days_ago: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days_ago)).isoformat()


def materialized(instance: dg.DagsterInstance, days_ago: int, *assets: str) -> None:
    for asset in assets or DAILY_ASSETS:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=day(days_ago)))


def look(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, bool]:
    result = definitions.resolve_job_def(FRESHNESS_JOB).execute_in_process(instance=instance, run_config=QUIET)
    assert result.success
    return {each.asset_key.to_user_string(): each.passed for each in result.get_asset_check_evaluations()}


def at(hour: int) -> datetime:
    return datetime.now(UTC).replace(hour=hour, minute=11, second=0, microsecond=0)


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, hour: int) -> str:
    """Return why a tick at that hour of today asks for nothing, "" if it asks for a run."""
    (schedule,) = (each for each in definitions.schedules or () if each.name == FRESHNESS_JOB)
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at(hour)) as context:
        data = schedule.evaluate_tick(context)
    assert bool(data.skip_message) != bool(data.run_requests)
    return data.skip_message or ""


def test_yesterday_is_expected_of_every_asset_of_days(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert look(definitions, instance) == dict.fromkeys(DAILY_ASSETS, False)
    materialized(instance, 1)
    assert look(definitions, instance) == dict.fromkeys(DAILY_ASSETS, True)


def test_neither_an_old_day_nor_the_running_one_makes_yesterday_fresh(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    for days_ago in (0, 2, 300):
        materialized(instance, days_ago)
    assert look(definitions, instance) == dict.fromkeys(DAILY_ASSETS, False)


def test_each_asset_is_judged_by_itself(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    materialized(instance, 1, "raw_sessions", "ip_inventory")
    assert {asset for asset, passed in look(definitions, instance).items() if passed} == {
        "raw_sessions",
        "ip_inventory",
    }


def test_it_is_looked_at_from_the_hour_on_that_is_set_and_until_yesterday_is_there(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "due at 06:00" in tick(definitions, instance, 5)
    assert tick(definitions, instance, 6) == ""
    look(definitions, instance)
    assert tick(definitions, instance, 7) == "", "it failed, so it is looked at again"
    materialized(instance, 1)
    look(definitions, instance)
    assert "yesterday is there" in tick(definitions, instance, 8)
    monkeypatch.setenv("COWRIE_ALERT_DAY_DUE_HOUR", "9")
    assert "due at 09:00" in tick(definitions, instance, 8)


def test_that_it_was_there_yesterday_says_nothing_of_today(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(days=1)):
        materialized(instance, 1)
        assert look(definitions, instance) == dict.fromkeys(DAILY_ASSETS, True)
    # by when it was looked at, whatever time the database of Dagster has
    assert tick(definitions, instance, 8) == ""


def test_nothing_is_expected_where_there_is_nothing_to_read(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWRIE_START_DATE", day(0))
    assert "COWRIE_START_DATE" in tick(definitions, instance, 6)
    monkeypatch.delenv("COWRIE_LOGS")
    assert "COWRIE_LOGS" in tick(definitions, instance, 6)


def test_a_day_that_is_missing_of_all_assets_is_one_alert_and_over_when_all_are_there(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    cursor = RunsCursor(datetime.now(UTC) - timedelta(hours=1))
    look(definitions, instance)
    (run,), cursor = ended_runs(instance, cursor)
    (failure,) = (each for each in findings_of_run(run) if isinstance(each, Failure))
    assert failure.fingerprint == "check:freshness_check"
    assert failure.trouble.assets == DAILY_ASSETS
    assert "each hour" in failure.trouble.remedy
    assert [str(each) for each in failure.days or ()] == [day(1)]
    materialized(instance, 1)
    look(definitions, instance)
    (run,), _ = ended_runs(instance, cursor)
    well = {each.scope for each in findings_of_run(run) if isinstance(each, Recovery)}
    assert set(failure.scopes) <= well
