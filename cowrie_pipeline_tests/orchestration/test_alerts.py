"""The sensors of alerts, on either storage of Dagster's: what people are told of runs, checks and sensors."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cowrie_pipeline.orchestration import alerts
from cowrie_pipeline.orchestration.alerts import (
    RUNS_SENSOR,
    WATCH_SENSOR,
    RunsCursor,
    build_alert_sensors,
    ended_runs,
)
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.book import open_incidents
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.orchestration.receiver import Receiver
from cowrie_pipeline_tests.steps.made_days import closed, command, connect, login, write_log

SECRET = "n0body-sh0uld-read-this"
PARTITIONS = dg.DailyPartitionsDefinition("2026-03-01", timezone="UTC")
FIRST, LAST = "2026-03-01", "2026-03-04"


@pytest.fixture
def instance(databases: Databases, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance whose storage is of the same kind as the warehouse."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    overrides: dict[str, Any] = {}
    url = databases.empty() if databases.dialect == "postgresql" else None
    if url is not None:
        dagsters = make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        overrides = {"storage": {"postgres": {"postgres_url": dagsters}}}
    with dg.instance_for_test(overrides=overrides, temp_dir=str(folder)) as made:
        yield made
    if url is not None:
        databases.drop(url)


@pytest.fixture
def receiver(tmp_path: Path, database_url: str) -> Iterator[Receiver]:
    """A receiver, and the environment that names it."""
    with Receiver() as server:
        file = tmp_path / "alerts.toml"
        file.write_text(server.toml)
        events = [
            make(f"2026-03-0{day} 10:00:0{second}", session=f"{day}0000000000", src_ip=f"198.51.100.{day}")
            for day in (1, 2, 3, 4)
            for second, make in enumerate(
                (connect, login, lambda at, **of: command(at, f"echo {SECRET}", **of), closed)
            )
        ]
        log = write_log(tmp_path / "cowrie.json", events)
        variables = environment(
            tmp_path,
            COWRIE_DB_URL=database_url,
            COWRIE_LOGS=log,
            COWRIE_START_DATE="2026-02-01",
            COWRIE_ALERTS_FILE=file,
            COWRIE_UI_URL="https://dagster.example.org",
            COWRIE_DOCS_URL="https://git.example.org/docs",
            # the made days are of long ago, which is not what these tests are about
            COWRIE_ALERT_STALE_HOURS="100000",
        )
        with only_environment(variables):
            yield server


@contextmanager
def cursors() -> Iterator[Callable[[dg.DagsterInstance, str], str | None]]:
    """Evaluate sensors as the daemon does: each with the cursor that its last good tick left."""
    kept: dict[str, str | None] = {}
    sensors = {sensor.name: sensor for sensor in build_alert_sensors()}

    def tick(instance: dg.DagsterInstance, name: str) -> str | None:
        with dg.build_sensor_context(instance, cursor=kept.get(name), definitions=build_definitions()) as context:
            data = sensors[name].evaluate_tick(context)
        kept[name] = data.cursor
        return data.skip_message

    yield tick


@pytest.fixture
def tick() -> Iterator[Callable[[dg.DagsterInstance, str], str | None]]:
    with cursors() as made:
        yield made


Tick = Callable[[dg.DagsterInstance, str], str | None]


def run_days(instance: dg.DagsterInstance, first: str = FIRST, last: str = LAST) -> dg.ExecuteInProcessResult:
    job = build_definitions().resolve_job_def(DAILY_JOB)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def execute(statement: str) -> None:
    warehouse = Warehouse(Settings.from_environment().database_url)
    with warehouse.begin() as connection:
        connection.execute(text(statement))
    warehouse.dispose()


def test_a_failed_check_is_told_once_with_days_rows_remedy_and_link(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick
) -> None:
    assert run_days(instance).success
    execute(f"UPDATE session_summaries SET event_count = event_count + 1, client_version = '{SECRET}'")
    for _ in range(2):
        assert not run_days(instance).success
    for _ in range(3):
        tick(instance, RUNS_SENSOR)
    assert receiver.moments == [("check:raw_sessions:session_counts", "opened")]
    (told,) = receiver.told
    assert told["days"] == [[FIRST, LAST]]
    assert (told["severity"], told["facts"]["rows_at_fault"]) == ("error", "4")
    assert len(told["rows"]) == 4
    assert "materialize them again" in told["what_to_do"]
    assert told["run_url"].startswith("https://dagster.example.org/runs/")
    assert told["facts"]["more"] == "https://git.example.org/docs/checks/session_counts.md"
    execute("DELETE FROM loaded_days")
    assert run_days(instance).success
    tick(instance, RUNS_SENSOR)
    assert receiver.moments[1:] == [("check:raw_sessions:session_counts", "over")]
    assert SECRET not in b"".join(asked.body for asked in receiver.asked).decode()


def checked(*, passes: Callable[[], bool], severity: dg.AssetCheckSeverity) -> list[Any]:
    """Return an asset of days and a check of it that blocks nothing."""

    @dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def made() -> None: ...

    @dg.asset_check(asset=made)
    def is_good() -> dg.AssetCheckResult:
        rows = dg.MetadataValue.table([dg.TableRecord({"day": FIRST, "password": SECRET})])
        return dg.AssetCheckResult(passed=passes(), severity=severity, metadata={"first_rows": rows})

    return [made, is_good]


@pytest.mark.parametrize("severity", list(dg.AssetCheckSeverity))
def test_a_check_that_blocks_nothing_is_told_though_its_run_succeeds(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick, severity: dg.AssetCheckSeverity
) -> None:
    passes = iter((False, False, True))
    definitions = checked(passes=lambda: next(passes), severity=severity)
    for expected in (1, 1, 2):
        assert dg.materialize(definitions, instance=instance, partition_key=FIRST).success
        tick(instance, RUNS_SENSOR)
        assert len(receiver.moments) == expected
    assert receiver.moments == [("check:made:is_good", "opened"), ("check:made:is_good", "over")]
    assert receiver.told[0]["severity"] == severity.value.lower()
    assert receiver.told[0]["rows"] == [[FIRST, "(not shown)"]]
    assert SECRET not in json.dumps(receiver.told)


def test_each_day_of_a_backfill_that_fails_is_one_incident(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick
) -> None:
    definitions = checked(passes=lambda: False, severity=dg.AssetCheckSeverity.ERROR)
    for number, day in enumerate(PARTITIONS.get_partition_keys()[:4]):
        dg.materialize(definitions, instance=instance, partition_key=day)
        if number % 2:
            tick(instance, RUNS_SENSOR)
    assert receiver.moments == [("check:made:is_good", "opened")]
    assert receiver.told[0]["days"] == [[FIRST, "2026-03-02"]]
    warehouse = Warehouse(Settings.from_environment().database_url)
    with warehouse.read() as connection:
        (incident,) = open_incidents(connection)
    warehouse.dispose()
    assert [str(day) for days in incident.all_days for day in days] == PARTITIONS.get_partition_keys()[:4]


def test_a_run_that_fails_is_told_without_the_errors_words_and_is_over_when_repeated(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick
) -> None:
    failing = True

    @dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def made() -> None:
        if failing:
            raise RuntimeError(SECRET)

    @dg.asset(deps=[made], partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def after() -> None:
        pass

    def run(*assets: dg.AssetsDefinition, day: str = FIRST) -> None:
        dg.materialize(
            [made, after], selection=list(assets), instance=instance, partition_key=day, raise_on_error=False
        )

    run(made, after)
    run(made)
    tick(instance, RUNS_SENSOR)
    assert receiver.moments == [("run:made", "opened")]
    assert receiver.told[0]["facts"]["error"] == "RuntimeError"
    assert receiver.told[0]["assets"] == ["made"]
    failing = False
    run(made, day=LAST)
    tick(instance, RUNS_SENSOR)
    assert len(receiver.moments) == 1
    run(made)
    tick(instance, RUNS_SENSOR)
    assert receiver.moments[1:] == [("run:made", "over")]
    assert SECRET not in json.dumps(receiver.told)


def test_a_run_whose_process_was_killed_is_told(instance: dg.DagsterInstance, receiver: Receiver, tick: Tick) -> None:
    run = instance.create_run_for_job(build_definitions().resolve_job_def(DAILY_JOB), tags={"dagster/partition": FIRST})
    instance.report_run_failed(run, "the process was killed")
    tick(instance, RUNS_SENSOR)
    (told,) = receiver.told
    assert (told["kind"], told["days"]) == ("run", [[FIRST, FIRST]])
    assert run_days(instance, FIRST, FIRST).success
    tick(instance, RUNS_SENSOR)
    assert receiver.moments[1:] == [(told["fingerprint"], "over")]


def test_nothing_is_lost_while_the_receiver_is_down(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick
) -> None:
    receiver.status = 503
    run = instance.create_run_for_job(build_definitions().resolve_job_def(DAILY_JOB))
    instance.report_run_failed(run)
    assert "503" in (tick(instance, RUNS_SENSOR) or "")
    receiver.status = 200
    execute("UPDATE alert_outbox SET due_at = created_at")
    for _ in range(2):
        tick(instance, RUNS_SENSOR)
        tick(instance, WATCH_SENSOR)
    assert [event for fingerprint, event in receiver.moments if fingerprint.startswith("run:")] == ["opened"]


def test_a_tick_that_fails_is_made_good_by_the_next(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.report_run_failed(instance.create_run_for_job(build_definitions().resolve_job_def(DAILY_JOB)))

    def locked(*_: object, **__: object) -> None:
        raise OSError("the database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(alerts, "note_runs", locked)
        with pytest.raises(Exception, match=r"locked|alerts_from_runs"):
            tick(instance, RUNS_SENSOR)
    tick(instance, RUNS_SENSOR)
    assert len(receiver.moments) == 1


def test_two_code_locations_tell_it_once(instance: dg.DagsterInstance, receiver: Receiver) -> None:
    instance.report_run_failed(instance.create_run_for_job(build_definitions().resolve_job_def(DAILY_JOB)))
    with cursors() as one, cursors() as other:
        for tick in (one, other, one, other):
            tick(instance, RUNS_SENSOR)
            tick(instance, WATCH_SENSOR)
    assert [event for fingerprint, event in receiver.moments if fingerprint.startswith("run:")] == ["opened"]


def test_late_days_are_told_and_that_they_arrived(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWRIE_ALERT_DAY_DUE_HOUR", "0")
    tick(instance, WATCH_SENSOR)
    tick(instance, WATCH_SENSOR)
    assert receiver.moments == [("late", "opened")]
    monkeypatch.setenv("COWRIE_START_DATE", (datetime.now(UTC).date() + timedelta(days=2)).isoformat())
    tick(instance, WATCH_SENSOR)
    assert receiver.moments[1:] == [("late", "over")]


def test_a_sensor_that_ticks_and_never_well_is_told_of_until_it_does(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWRIE_START_DATE", "2100-01-01")  # no day is late
    start = datetime.now(UTC)
    origin = RemoteRepositoryOrigin(
        ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="cowrie_pipeline.definitions")), "ours"
    ).get_instigator_origin(RUNS_SENSOR)
    data = SensorInstigatorData(min_interval=30)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, data)
    instance.add_instigator_state(state)
    for minutes in range(0, 50, 4):
        now = start + timedelta(minutes=minutes)
        status = TickStatus.SKIPPED if minutes in {0, 48} else TickStatus.FAILURE
        instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=RUNS_SENSOR,
                instigator_type=InstigatorType.SENSOR,
                status=status,
                timestamp=now.timestamp(),
                selector_id=state.selector_id,
                error=None if status is TickStatus.SKIPPED else SerializableErrorInfo("broken", [], "Error"),
            )
        )
        monkeypatch.setattr(alerts, "utc_now", lambda now=now: now)
        tick(instance, WATCH_SENSOR)
        assert bool(receiver.moments) == (minutes > 30)
    assert receiver.moments == [(f"sensor:{RUNS_SENSOR}", "opened"), (f"sensor:{RUNS_SENSOR}", "over")]


def test_without_a_receiver_the_sensors_do_nothing(
    instance: dg.DagsterInstance, receiver: Receiver, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COWRIE_ALERTS_FILE")
    for name in (RUNS_SENSOR, WATCH_SENSOR):
        assert "COWRIE_ALERTS_FILE" in (tick(instance, name) or "")


def test_every_ended_run_is_looked_at_once_some_at_a_time(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "_RUNS_AT_ONCE", 3)

    @dg.job
    def nothing() -> None: ...

    ids = []
    for _ in range(8):
        run = instance.create_run_for_job(nothing)
        instance.report_run_failed(run)
        ids.append(run.run_id)
    cursor, seen = RunsCursor.read(None, now=datetime.now(UTC)), []
    for _ in range(5):
        runs, cursor = ended_runs(instance, RunsCursor.read(str(cursor), now=datetime.now(UTC)))
        seen += [run.run_id for run in runs]
    assert seen == ids


def test_a_cursor_that_is_not_ours_begins_a_day_ago() -> None:
    now = datetime.now(UTC)
    for other in (None, "", "7", "[]", '{"until": 3}', "not json"):
        assert RunsCursor.read(other, now=now) == RunsCursor(now - timedelta(days=1))


def test_the_sensors_run_by_default() -> None:
    for sensor in build_alert_sensors():
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
