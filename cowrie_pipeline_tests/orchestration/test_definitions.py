"""What Dagster loads: whole, described, and changed only when that is meant."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.assets.shared import RETRY
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.freshness import FRESHNESS_JOB
from cowrie_pipeline.orchestration.log_sensor import LOG_SENSOR
from cowrie_pipeline.orchestration.partitions import daily_partitions
from cowrie_pipeline.orchestration.retention import RETENTION_JOB
from cowrie_pipeline.orchestration.schedules import DAILY_SCHEDULE
from cowrie_pipeline.orchestration.upkeep import CLEAN_UP_JOB, LISTS_JOB, RECONCILE_JOB, STALE_JOB
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import DRIFT, FRESHNESS, all_checks
from cowrie_pipeline_tests.orchestration.definitions_text import SNAPSHOT, START_DATE, describe, present

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_DAYS = ("attack_report_30_days", "downloaded_lists", "reconciled_inventories", "stale_enrichment")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return present()


def test_the_definitions_can_be_loaded(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_definitions_are_those_of_the_snapshot(definitions: dg.Definitions) -> None:
    assert describe(definitions) == SNAPSHOT.read_text(encoding="utf-8"), (
        f"the definitions changed: if that is meant, `python -m {describe.__module__}` writes {SNAPSHOT.name} anew"
    )


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert len(graph.get(key).description or "") > 40, key


def test_every_check_is_of_an_asset_that_exists_and_says_what_should_be_so(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    keys = {(each.asset_key.to_user_string(), each.name) for each in graph.asset_check_keys}
    of_days = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).partitions_def is not None}
    # these are told by the work itself, before it mends what it found, and by Dagster
    others = {(DRIFT.asset, DRIFT.name), *((asset, FRESHNESS.name) for asset in of_days)}
    assert keys == {(check.asset, check.name) for check in all_checks()} | others
    for key in graph.asset_check_keys:
        assert key.asset_key in graph.get_all_asset_keys()
        description = graph.get_check_spec(key).description or ""
        assert len(description) > 20, key
        assert f"docs/checks/{key.name}.md" in description, key


def test_freshness_is_in_a_job_of_its_own(definitions: dg.Definitions) -> None:
    nodes = {
        name: {node.name for node in definitions.resolve_job_def(name).nodes} for name in (DAILY_JOB, FRESHNESS_JOB)
    }
    assert len(nodes[FRESHNESS_JOB]) == 1
    assert not nodes[DAILY_JOB] & nodes[FRESHNESS_JOB]


def test_the_first_partition_is_the_start_date_of_the_settings(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys() - {dg.AssetKey(name) for name in WITHOUT_DAYS}:
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        assert partitions.get_first_partition_key() == START_DATE.isoformat()


def test_the_start_date_is_that_of_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COWRIE_START_DATE", "2024-02-29")
    graph = build_definitions().resolve_asset_graph()
    partitions = graph.get(dg.AssetKey("raw_sessions")).partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == "2024-02-29"


def test_the_running_day_is_a_partition_and_tomorrow_is_not() -> None:
    today = datetime.now(UTC).date()
    keys = daily_partitions(today - timedelta(days=3)).get_partition_keys()
    assert keys[0] == (today - timedelta(days=3)).isoformat()
    assert keys[-1] in {today.isoformat(), datetime.now(UTC).date().isoformat()}
    assert len(keys) in {4, 5}


def test_the_daily_job_has_every_asset_of_days_and_all_its_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_job_def(DAILY_JOB)
    of_days = {key for key in graph.get_all_asset_keys() if graph.get(key).partitions_def is not None}
    assert job.asset_layer.selected_asset_keys == of_days | {dg.AssetKey("attack_report_30_days")}
    assert {key.to_user_string() for key in graph.get_all_asset_keys() - of_days} == set(WITHOUT_DAYS)
    assert {f"check_{key.to_user_string()}" for key in of_days - {dg.AssetKey("attack_report")}} <= {
        node.name for node in job.nodes
    }


def test_every_step_tries_again_what_may_pass(definitions: dg.Definitions) -> None:
    jobs = [job for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")]
    policies = {name: op.retry_policy for job in jobs for name, op in ops_of(job)}
    assert {"enrich_addresses_op", "check_raw_sessions", "clean_up_cache_op", "backfill_op"} <= policies.keys()
    # each list says itself when its publisher may be asked again; freshness is Dagster's own, and looked at each hour
    without = {name for name, policy in policies.items() if policy is None}
    assert {name for name in without if not name.startswith("freshness_check")} == {"downloaded_lists"}
    assert {policy for policy in policies.values() if policy is not None} == {RETRY}


def ops_of(job: dg.JobDefinition) -> list[tuple[str, dg.OpDefinition]]:
    """Return the names and definitions of a job's ops, also those within graphs."""
    found = [(handle.name, job.get_node(handle).definition) for handle in job.graph.iterate_node_handles()]
    return [(name, op) for name, op in found if isinstance(op, dg.OpDefinition)]


def test_every_asset_links_to_a_page_that_is_there() -> None:
    graph = build_definitions(Settings()).resolve_asset_graph()
    url = "https://git.example.org/docs"
    linked = build_definitions(Settings(docs_url=url)).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        page = graph.get(key).metadata["docs"]
        assert isinstance(page, dg.PathMetadataValue)
        name, _, anchor = str(page.value).partition("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, page
        assert linked.get(key).metadata["docs"] == dg.MetadataValue.url(f"{url}/{str(page.value).partition('/')[2]}")


def test_checks_link_to_their_pages_where_it_is_known_where_docs_are_read() -> None:
    graph = build_definitions(Settings(docs_url="https://git.example.org/docs")).resolve_asset_graph()
    for key in graph.asset_check_keys:
        description = graph.get_check_spec(key).description or ""
        assert description.endswith(f"More: https://git.example.org/docs/checks/{key.name}.md")


def test_upkeep_and_the_daily_job_run_by_default(definitions: dg.Definitions) -> None:
    schedules = {each.job_name: each for each in definitions.schedules or () if isinstance(each, dg.ScheduleDefinition)}
    assert set(schedules) == {
        DAILY_JOB,
        LISTS_JOB,
        STALE_JOB,
        CLEAN_UP_JOB,
        RECONCILE_JOB,
        RETENTION_JOB,
        FRESHNESS_JOB,
    }
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    for name, schedule in schedules.items():
        assert name in jobs
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "UTC"


def test_the_sensor_of_logs_runs_by_default_and_looks_as_often_as_is_set() -> None:
    (sensor,) = (
        each for each in build_definitions(Settings(watch_seconds=45)).sensors or () if each.name == LOG_SENSOR
    )
    assert isinstance(sensor, dg.SensorDefinition)
    assert sensor.minimum_interval_seconds == 45
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_yesterday_is_materialized_at_the_hour_that_is_set() -> None:
    definitions = build_definitions(Settings(daily_hour=5))
    (schedule,) = (each for each in definitions.schedules or () if each.name == DAILY_SCHEDULE)
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.cron_schedule == "0 5 * * *"
    assert schedule.execution_timezone == "UTC"


def test_a_part_of_the_definitions_can_be_replaced() -> None:
    replaced = build_definitions(Settings(), jobs=[], schedules=[], sensors=[])
    assert [job.name for job in replaced.resolve_all_job_defs()] == ["__ASSET_JOB"]
