"""What the log sensor asks for: again after a failure, little at a time, and nothing that somebody else makes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pytest

from cowrie_pipeline.orchestration.log_sensor import LOG_SENSOR
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DAYS_TOGETHER
from cowrie_pipeline.steps.log_watch import Status, pause_after
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import day_requests
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.orchestration.days_gone_by import Daemon, Honeypot, lines_of, sessions_of
from cowrie_pipeline_tests.steps.made_days import one

FIRST = date(2026, 3, 1)
ONE_DAY = timedelta(days=1)
BROKEN = {"COWRIE_DB_URL": "mysql://nobody@localhost/nothing"}


def at(day: date, time: str) -> datetime:
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Iterator[Settings]:
    variables = environment(
        tmp_path, COWRIE_DB_URL=database_url, COWRIE_LOGS=tmp_path / "logs", COWRIE_START_DATE="2025-12-01"
    )
    with only_environment(variables):
        yield Settings.from_environment()


@pytest.fixture
def daemon(settings: Settings) -> Iterator[Daemon]:
    with dg.instance_for_test() as instance:
        yield Daemon(instance, settings)


@pytest.fixture
def honeypot(tmp_path: Path) -> Honeypot:
    return Honeypot(tmp_path / "logs")


def test_a_run_that_failed_is_requested_again_with_growing_pauses_and_given_up_at_last(
    daemon: Daemon, honeypot: Honeypot
) -> None:
    honeypot.log(sessions_of(FIRST)[:-1])
    now = at(FIRST + 5 * ONE_DAY, "12:00")
    tries: list[datetime] = []
    while not daemon.tick(now, fails_with=BROKEN).given_up:
        if len(daemon.runs) > len(tries):
            tries.append(now)
        # seen soon after it, and not asked for too early
        now += timedelta(minutes=5) if len(tries) < 4 else timedelta(minutes=90)
        assert now < at(FIRST + 30 * ONE_DAY, "12:00")
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) == 8
    for failures, pause in enumerate(pauses, start=1):
        # a failure is seen at the tick after it
        assert pause_after(failures) <= pause <= pause_after(failures) + timedelta(minutes=10 if failures < 4 else 180)
    # lines that come are a new reason
    honeypot.log(sessions_of(FIRST, sensor="second", hour=12)[:-1], "late.json")
    assert [request.days.first for request in daemon.tick(now).requests] == [FIRST]
    daemon.tick(now + timedelta(minutes=5))
    warehouse = Warehouse(daemon.settings.database_url)
    request = one(warehouse, day_requests, day_requests.c.day == FIRST)
    warehouse.dispose()
    assert (request["status"], request["failures"]) == (Status.DONE, 0)


def test_an_archive_of_a_year_is_some_runs_of_some_days_a_few_at_a_time(daemon: Daemon, honeypot: Honeypot) -> None:
    year = [each for day in range(200) for each in sessions_of(date(2025, 12, 1) + day * ONE_DAY, 1)]
    honeypot.log(year, "archive.json")
    report = daemon.tick(datetime(2026, 8, 1, 12, tzinfo=UTC), loses=True)
    assert [len(request.days) for request in report.requests] == [DAYS_TOGETHER] * 4
    assert len({request.run_key for request in report.requests}) == 4


def test_today_is_materialized_every_so_many_minutes_if_lines_came(
    daemon: Daemon, honeypot: Honeypot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWRIE_TODAY_MINUTES", "30")
    daemon.settings = Settings.from_environment()
    events = sessions_of(FIRST)[:-1]
    for minute in range(0, 120, 10):
        if minute <= 60:
            honeypot.log(events[minute // 10 : minute // 10 + 1])
        daemon.tick(at(FIRST, "12:00") + timedelta(minutes=minute))
    # at 12:00, 12:30 and 13:00; nothing came after that
    assert daemon.started == {FIRST: 3}


def test_a_day_that_somebody_else_materializes_is_not_requested(daemon: Daemon, honeypot: Honeypot) -> None:
    honeypot.log(sessions_of(FIRST)[:-1])
    tags = {"dagster/partition": FIRST.isoformat()}
    daemon.instance.create_run_for_job(
        daemon.definitions.resolve_job_def("daily"), tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    now = at(FIRST + 5 * ONE_DAY, "12:00")
    assert not daemon.tick(now).requests
    (run,) = daemon.instance.get_runs()
    daemon.instance.report_run_failed(run)
    # that run read nothing and made nothing
    assert [request.days.first for request in daemon.tick(now).requests] == [FIRST]


def test_lines_of_days_that_are_no_partitions_are_read_and_not_requested(daemon: Daemon, honeypot: Honeypot) -> None:
    honeypot.log(sessions_of(date(2020, 1, 1)) + sessions_of(FIRST + 100 * ONE_DAY))
    assert not daemon.tick(at(FIRST, "12:00")).requests


def test_the_sensor_itself_requests_what_a_look_says(daemon: Daemon, honeypot: Honeypot) -> None:
    honeypot.log(sessions_of(FIRST) + sessions_of(FIRST + 3 * ONE_DAY)[:-1])
    (sensor,) = (each for each in daemon.definitions.sensors or () if each.name == LOG_SENSOR)
    assert isinstance(sensor, dg.SensorDefinition)
    context = dg.build_sensor_context(instance=daemon.instance, repository_def=daemon.definitions.get_repository_def())
    data = sensor.evaluate_tick(context)
    assert [(request.job_name, request.partition_key) for request in data.run_requests or ()] == [
        ("daily", "2026-03-04"),
        ("daily", None),
    ]
    assert data.run_requests is not None
    assert data.run_requests[1].tags["dagster/asset_partition_range_start"] == "2026-03-01"
    assert data.run_requests[1].tags["dagster/asset_partition_range_end"] == "2026-03-02"
    again = sensor.evaluate_tick(context)
    assert not again.run_requests
    assert again.skip_message


def test_much_is_read_by_a_run_and_not_by_the_sensor(
    daemon: Daemon, honeypot: Honeypot, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = honeypot.log(sessions_of(FIRST)[:-1], "archive.json")
    with path.open("a") as file:
        file.write("\n" * (9 * 1024 * 1024))
    now = at(FIRST + 5 * ONE_DAY, "12:00")
    assert daemon.tick(now).unread
    assert daemon.reads == 1
    assert [request.days.first for request in daemon.tick(now + timedelta(minutes=5)).requests] == [FIRST]
    assert daemon.reads == 1
    assert lines_of(honeypot.written).count("\n") == len(honeypot.written)


def test_a_run_that_dagster_starts_once_more_by_itself_has_not_failed_yet(daemon: Daemon, honeypot: Honeypot) -> None:
    honeypot.log(sessions_of(FIRST)[:-1])
    now = datetime.now(UTC)
    (request,) = daemon.tick(now, loses=True).requests
    job = daemon.definitions.resolve_job_def("daily")
    tags = {"dagster/run_key": request.run_key, "dagster/partition": FIRST.isoformat(), "dagster/will_retry": "true"}
    killed = daemon.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    daemon.instance.report_run_failed(killed)
    assert not daemon.tick(now).requests
    again = daemon.instance.create_run_for_job(job, tags=tags, parent_run_id=killed.run_id, root_run_id=killed.run_id)
    assert again.status is dg.DagsterRunStatus.NOT_STARTED
    assert not daemon.tick(now).requests
    daemon.instance.report_run_failed(again)
    daemon.instance.add_run_tags(again.run_id, {"dagster/will_retry": "false"})
    assert not daemon.tick(now).requests
    assert [each.days for each in daemon.tick(now + pause_after(1)).requests] == [request.days]
