"""A year of days materialized in one go, as Dagster backfills assets: one run for the whole range."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.log_sensor import FIRST_OF_RANGE, LAST_OF_RANGE
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.orchestration.days_gone_by import sessions_of
from cowrie_pipeline_tests.steps.made_days import write_log

YEAR = DayRange(date(2025, 3, 1), date(2026, 2, 28))


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Iterator[Settings]:
    log = write_log(tmp_path / "cowrie.json", [each for day in YEAR for each in sessions_of(day, 1)])
    variables = environment(tmp_path, COWRIE_DB_URL=database_url, COWRIE_LOGS=log, COWRIE_START_DATE=str(YEAR.first))
    with only_environment(variables):
        yield Settings.from_environment()


def test_a_year_in_one_run_materializes_every_partition_of_every_asset(settings: Settings) -> None:
    definitions = build_definitions(settings)
    tags = {FIRST_OF_RANGE: str(YEAR.first), LAST_OF_RANGE: str(YEAR.last)}
    assets = definitions.resolve_asset_graph()
    of_days = [key for key in assets.materializable_asset_keys if assets.get(key).is_partitioned]
    assert len(of_days) == 8
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def(DAILY_JOB)
        assert job.execute_in_process(instance=instance, tags=tags).success
        for key in of_days:
            assert instance.get_materialized_partitions(key) == {str(day) for day in YEAR}, key
