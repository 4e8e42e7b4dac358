"""`health`: the exit code of each state on both databases, and that it ends in time whatever does not answer."""

import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy import delete, insert, text

from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline.observability.processes import this_process
from cowrie_pipeline.observability.status_files import Days, Shown, StatusBoard, shown, shown_on
from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.processes import PROCESS_TAG
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.health import RULES
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import VERSION_TABLE, enrichment_cache_stats, enrichment_pauses, loaded_days
from cowrie_pipeline_tests.cli.in_process import Done, invoke
from cowrie_pipeline_tests.cli.processes import PROJECT, cowrie_pipeline
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import add_day

NOW = datetime.now(UTC)
TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)
HOUR = timedelta(hours=1)
OK, WARNING, CRITICAL, UNKNOWN = range(4)
# for tests that are not about time: another's work on this machine fails nothing
UNHURRIED = {"COWRIE_HEALTH_SECONDS": "120"}
ROW = GeoRow("203.0.113.0/24", 64500, "Example", "DE", "Berlin", 52.5, 13.4)


@dataclass
class World:
    """A machine where all is well, as the commands find it."""

    folder: Path
    warehouse: Warehouse
    variables: dict[str, str | Path] = field(default_factory=dict)

    @property
    def status(self) -> Path:
        return self.folder / "var" / "status"

    def health(self, *arguments: str, **variables: str | Path) -> Done:
        return invoke(self.folder, "health", *arguments, **{**UNHURRIED, **self.variables, **variables})

    def check(self, name: str, **variables: str | Path) -> tuple[int, str]:
        """Return the exit code of one check alone, and what it found."""
        done = self.health("--check", name, "--json", **variables)
        (each,) = done.json["checks"]
        assert (each["check"], each["code"]) == (name, done.code)
        assert each["expected"]
        assert bool(each["remedy"]) == (done.code != OK)
        return done.code, each["found"]


@pytest.fixture
def world(tmp_path: Path, warehouse: Warehouse) -> World:
    add_day(warehouse, YESTERDAY, at=NOW)
    add_day(warehouse, YESTERDAY - timedelta(days=1), at=NOW)
    write_geoip(tmp_path / "var" / "geoip", [ROW])
    home = tmp_path / "var" / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    url = warehouse.url.render_as_string(hide_password=False)
    return World(
        tmp_path, warehouse, {"COWRIE_DB_URL": url, "DAGSTER_HOME": home, "COWRIE_HEALTH_DISK_WARN_MB": "2",
                              "COWRIE_HEALTH_DISK_CRITICAL_MB": "1"}
    )  # fmt: skip


@pytest.fixture
def instance(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(world.variables["DAGSTER_HOME"]))
    with dg.DagsterInstance.get() as made:
        yield made


def test_where_all_is_well_every_check_says_so_and_the_code_is_zero(world: World) -> None:
    done = world.health("--json")
    assert {each["check"]: each["state"] for each in done.json["checks"]} == dict.fromkeys(RULES, "ok")
    assert (done.code, done.json["code"], done.json["state"], done.json["schema"]) == (OK, OK, "ok", 1)
    plain = world.health()
    assert plain.code == OK
    first, *lines = plain.out.splitlines()
    assert first == f"COWRIE OK: {len(RULES)} checks"
    assert [line.split()[:2] for line in lines] == [["OK", name] for name in RULES]


def test_the_worst_check_decides_and_stands_in_the_first_line(world: World) -> None:
    done = world.health(COWRIE_HEALTH_DISK_WARN_MB="99999999999", COWRIE_GEOIP_DIR=world.folder / "none")
    assert done.code == WARNING
    assert done.out.splitlines()[0] == "COWRIE WARNING: disk warning, geoip warning"
    critical = world.health(
        COWRIE_HEALTH_DISK_WARN_MB="99999999999",
        COWRIE_HEALTH_DISK_CRITICAL_MB="99999999998",
        COWRIE_GEOIP_DIR=world.folder / "none",
    )
    assert critical.code == CRITICAL
    (line,) = [line for line in critical.out.splitlines() if line.startswith("CRITICAL disk")]
    assert " | expected: room for " in line
    assert " | do: make room" in line


# ---- database


def test_without_a_database_nothing_is_made_and_nothing_is_known(tmp_path: Path) -> None:
    done = invoke(tmp_path, "health", "--json", **UNHURRIED)
    states = {each["check"]: each["state"] for each in done.json["checks"]}
    assert states == {
        "database": "unknown",
        "disk": states["disk"],
        "sources": "unknown",
        "freshness": "unknown",
        "geoip": "warning",
        "runs": "ok",
        "queue": "unknown",
        "processes": "ok",
    }
    assert list(tmp_path.iterdir()) == []
    alone = invoke(tmp_path, "health", "--check", "database", "--check", "freshness", **UNHURRIED)
    assert alone.code == UNKNOWN
    assert "there is no database yet" in alone.out
    assert "cowrie-pipeline run --logs PATH" in alone.out


def test_an_empty_database_is_told_and_left_empty(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    if databases.dialect == "sqlite":
        sqlite3.connect(url.removeprefix("sqlite:///")).close()
        Path(url.removeprefix("sqlite:///")).touch()
    done = invoke(tmp_path, "health", "--check", "database", "--db", url, **UNHURRIED)
    assert done.code == UNKNOWN
    assert "the database is empty" in done.out
    databases.drop(url)


def test_the_database_of_another_program_is_critical(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    warehouse = Warehouse(url)
    with warehouse.begin() as connection:
        connection.execute(text("CREATE TABLE commands (name TEXT)"))
    warehouse.dispose()
    done = invoke(tmp_path, "health", "--check", "database", "--db", url, **UNHURRIED)
    assert done.code == CRITICAL
    assert "belong to another program" in done.out
    databases.drop(url)


@pytest.mark.parametrize(("version", "code"), [("0009", WARNING), ("9999", CRITICAL)])
def test_an_older_schema_is_a_warning_and_one_that_is_newer_than_the_code_is_critical(
    world: World, version: str, code: int
) -> None:
    with world.warehouse.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"))
    found, words = world.check("database")
    assert (found, f"schema {version}" in words) == (code, True)
    assert world.check("freshness") == (UNKNOWN, "see the check database")


@pytest.mark.parametrize("damage", ["whole", "middle"])
def test_a_damaged_file_is_critical(tmp_path: Path, damage: str, databases: Databases) -> None:
    if databases.dialect != "sqlite":
        pytest.skip("PostgreSQL looks after its own files")
    url = databases.fresh()
    path = Path(url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[slice(0 if damage == "whole" else 8192, None)] = b"\xa5" * (
        len(content) - (0 if damage == "whole" else 8192)
    )
    path.write_bytes(content)
    done = invoke(tmp_path, "health", "--json", "--check", "database", "--check", "sources", "--db", url, **UNHURRIED)
    assert done.code == CRITICAL
    assert [each["state"] for each in done.json["checks"]] == ["critical", "unknown"]
    databases.drop(url)


def test_a_server_that_is_down_is_critical_and_its_password_is_not_shown(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/cowrie"
    done = invoke(tmp_path, "health", "--check", "database", "--db", url, **UNHURRIED)
    assert done.code == CRITICAL
    assert "Check that the server runs" in done.out
    assert "hunter2" not in done.out + done.err


def test_a_server_that_never_answers_is_critical_in_bounded_time(tmp_path: Path) -> None:
    """It takes connections and says nothing: without a bound the check would hang for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/cowrie"
        done = cowrie_pipeline(
            tmp_path, "health", "--check", "database", "--check", "disk", "--db", url, COWRIE_HEALTH_SECONDS="4",
            COWRIE_HEALTH_DISK_WARN_MB="2", COWRIE_HEALTH_DISK_CRITICAL_MB="1",
        )  # fmt: skip
    assert done.returncode == CRITICAL, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["CRITICAL", "database"], ["OK", "disk"]]
    assert done.stderr == ""


def test_a_statement_that_takes_too_long_is_critical_in_bounded_time(world: World) -> None:
    """Another holds the table for itself, as a migration or a rewrite does."""
    if world.warehouse.dialect != "postgresql":
        pytest.skip("SQLite's readers wait for nobody")
    with world.warehouse.begin() as connection:
        connection.execute(text("LOCK TABLE loaded_days IN ACCESS EXCLUSIVE MODE"))
        code, words = world.check("database", COWRIE_HEALTH_SECONDS="2")
    assert code == CRITICAL
    assert "timeout" in words or "no answer within" in words


# ---- disk


def test_a_folder_that_cannot_be_written_is_critical(world: World) -> None:
    (world.folder / "file").write_text("in the way")
    assert world.check("disk", COWRIE_STATUS_DIR=world.folder / "file" / "status")[0] == CRITICAL
    assert world.check("disk", COWRIE_STATUS_DIR="/proc/status")[0] == CRITICAL


# Does the checks once as it is, so that all is imported, and once as a user whom permissions stop.
AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import upgrade_schema
folder = Path(sys.argv[1])
warehouse = Warehouse(f"sqlite:///{folder}/var/cowrie.db")
upgrade_schema(warehouse)
warehouse.dispose()
wanted = [each for name in ("database", "disk", "runs", "processes") for each in ("--check", name)]
invoke(folder, "health", *wanted, COWRIE_HEALTH_SECONDS="120")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
else:
    (folder / "var").chmod(0o555)
done = invoke(folder, "health", *wanted, COWRIE_HEALTH_SECONDS="120")
sys.stdout.write(done.out)
sys.stderr.write(done.err)
sys.exit(done.code)
"""


def test_a_user_who_may_only_read_is_told_so_and_everything_else_is_judged() -> None:
    # pytest's own folders are not open to other users
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, folder], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        (folder / "var").chmod(0o755)
    assert done.returncode == CRITICAL, done.stdout + done.stderr
    assert f"{folder}/var cannot be written by this user" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["database", "disk", "runs", "processes"]
    assert "unexpected" not in done.stdout
    assert done.stderr == ""


# ---- sources


def add_calls(world: World, service: str, calls: int, failures: int, day: date = TODAY) -> None:
    with world.warehouse.begin() as connection:
        connection.execute(
            insert(enrichment_cache_stats).values(service=service, day=day, calls=calls, failures=failures)
        )


@pytest.mark.parametrize(
    ("calls", "failures", "code"),
    [(100, 10, OK), (100, 11, WARNING), (100, 99, WARNING), (100, 100, CRITICAL), (9, 9, OK), (10, 10, CRITICAL)],
)
def test_failed_calls_of_a_service_are_judged_by_their_share(
    world: World, calls: int, failures: int, code: int
) -> None:
    add_calls(world, "greynoise", calls, failures)
    add_calls(world, "dshield", 1000, 0)
    add_calls(world, "urlhaus", 1000, 1000, NOW.date() - timedelta(days=3))
    found, words = world.check("sources")
    assert found == code
    assert ("greynoise" in words) == (code != OK)


def test_a_long_pause_is_a_warning_and_a_short_one_is_how_services_are(world: World) -> None:
    for service, hours in (("greynoise", 5), ("dshield", 0.5)):
        with world.warehouse.begin() as connection:
            connection.execute(
                insert(enrichment_pauses).values(
                    service=service, paused_until=datetime.now(UTC) + hours * HOUR, reason="HTTP 429"
                )
            )
    code, words = world.check("sources")
    assert code == WARNING
    assert "greynoise is paused until" in words
    assert "dshield" not in words


def test_a_budget_that_is_nearly_spent_is_a_warning(world: World) -> None:
    allowance = WarehouseAllowance(world.warehouse)
    limit = (Limit(10, timedelta(days=1)),)
    for _ in range(9):
        allowance.take("abuseipdb", limit, 1, now=datetime.now(UTC))
    code, words = world.check("sources")
    assert code == WARNING
    assert "the budget of abuseipdb is nearly spent" in words


def test_what_the_newest_work_found_of_a_source_is_a_warning_until_a_later_one_does_not(world: World) -> None:
    with shown_on(StatusBoard(world.status)):
        with shown("ip_inventory", None) as work:
            work.findings = ["dshield: expected a source that can be asked, found the circuit is open (dshield). Wait."]
        code, words = world.check("sources")
        assert code == WARNING
        assert "the circuit is open" in words
        with shown("ip_inventory", None):
            pass
    assert world.check("sources")[0] == OK


# ---- freshness


def test_a_day_that_is_late_and_a_database_that_goes_stale_are_critical(world: World) -> None:
    assert world.check("freshness")[0] == OK
    assert world.check("freshness", COWRIE_ALERT_STALE_HOURS="0.000001")[0] == CRITICAL
    with world.warehouse.begin() as connection:
        connection.execute(delete(loaded_days).where(loaded_days.c.day == YESTERDAY))
    code, words = world.check("freshness", COWRIE_ALERT_DAY_DUE_HOUR="0")
    assert code == CRITICAL
    assert f"days are late (what is there read and not materialized): {YESTERDAY}" in words
    assert f"the newest day is {YESTERDAY - timedelta(days=1)}" in words


def test_a_database_without_days_is_a_warning(world: World) -> None:
    with world.warehouse.begin() as connection:
        connection.execute(delete(loaded_days))
    assert world.check("freshness") == (WARNING, "no day is materialized yet")


@pytest.mark.parametrize(("days", "code"), [(6, OK), (8, WARNING), (15, CRITICAL)])
def test_geoip_files_age(world: World, days: int, code: int) -> None:
    write_geoip(world.folder / "old", [ROW], build_epoch=int(NOW.timestamp()) - days * 86_400)
    found, words = world.check("geoip", COWRIE_GEOIP_DIR=world.folder / "old")
    assert found == code
    assert ("days old" in words) == (code != OK)


# ---- runs, queue, processes

DAYS = Days(date(2026, 3, 1), date(2026, 3, 2))


def test_a_phase_that_failed_is_a_warning_until_its_days_are_done(world: World) -> None:
    board = StatusBoard(world.status, "run-1")
    board.end(board.begin("raw_sessions", DAYS), Shown(), error="OperationalError")
    code, words = world.check("runs")
    assert code == WARNING
    assert "raw_sessions 2026-03-01 to 2026-03-02 failed at" in words
    board.end(board.begin("raw_sessions", Days(DAYS.first, DAYS.first)), Shown(), error=None)
    assert world.check("runs")[0] == WARNING
    board.end(board.begin("raw_sessions", DAYS), Shown(), error=None)
    assert world.check("runs")[0] == OK


def test_a_failure_of_more_than_a_week_ago_is_history(world: World) -> None:
    board = StatusBoard(world.status, clock=lambda: NOW - timedelta(days=8))
    board.end(board.begin("raw_sessions", DAYS), Shown(), error="OperationalError")
    assert world.check("runs")[0] == OK


def test_work_without_progress_is_critical_and_one_that_waits_for_its_part_is_not(world: World) -> None:
    at = [NOW - 10 * HOUR]
    board = StatusBoard(world.status, every_seconds=0, clock=lambda: at[0])
    board.begin("raw_sessions", DAYS)
    code, words = world.check("runs")
    assert code == CRITICAL
    assert "raw_sessions 2026-03-01 to 2026-03-02 shows no progress since" in words
    at[0] = NOW
    inner = board.begin("scan_logs", None)
    assert world.check("runs")[0] == OK
    board.end(inner, Shown(), error=None)
    board.progress(1, 2)
    assert world.check("runs")[0] == OK
    assert world.check("runs", COWRIE_HEALTH_STUCK_MINUTES="0.000001")[0] == CRITICAL


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, day: str, process: str = "") -> str:
    tags = {"dagster/partition": day, **({PROCESS_TAG: process} if process else {})}
    job = build_definitions(Settings()).resolve_job_def(DAILY_JOB)
    return instance.create_run_for_job(job, status=status, tags=tags).run_id


def test_a_run_of_dagster_that_failed_is_a_warning_until_a_later_one_succeeds(
    world: World, instance: dg.DagsterInstance
) -> None:
    failed = add_run(instance, dg.DagsterRunStatus.FAILURE, "2026-03-01")
    add_run(instance, dg.DagsterRunStatus.SUCCESS, "2026-03-02")
    code, words = world.check("runs")
    assert code == WARNING
    assert f"run {failed} of {DAILY_JOB}: 2026-03-01 failed" in words
    add_run(instance, dg.DagsterRunStatus.SUCCESS, "2026-03-01")
    assert world.check("runs")[0] == OK


@pytest.mark.parametrize(("seconds", "code"), [(30, OK), (290, OK), (400, CRITICAL)])
def test_a_daemon_that_fell_silent_is_critical(
    world: World, instance: dg.DagsterInstance, seconds: int, code: int
) -> None:
    at = datetime.now(UTC).timestamp()
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, "SENSOR", "id"))
    instance.add_daemon_heartbeat(DaemonHeartbeat(at - seconds, "SCHEDULER", "id"))
    found, words = world.check("queue")
    assert found == code
    assert ("the daemon SCHEDULER has been silent" in words) == (code == CRITICAL)


def test_a_run_that_waits_long_is_a_warning(world: World, instance: dg.DagsterInstance) -> None:
    # Dagster queues only runs of a code location that a daemon could load
    location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="cowrie_pipeline")
    instance.create_run_for_job(
        build_definitions(Settings()).resolve_job_def(DAILY_JOB),
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), DAILY_JOB),
    )
    code, words = world.check("queue")
    assert (code, "runs that wait: 1" in words) == (OK, True)
    code, words = world.check("queue", COWRIE_HEALTH_QUEUE_MINUTES="0.000001")
    assert (code, "runs that wait: 1, the oldest since" in words) == (WARNING, True)


def test_without_an_instance_the_queue_is_unknown_and_none_is_made(world: World) -> None:
    home = world.folder / "nowhere"
    assert world.check("queue", DAGSTER_HOME=home) == (UNKNOWN, "there is no Dagster instance yet")
    assert not home.exists()


def test_a_dagster_storage_that_does_not_answer_is_critical(world: World) -> None:
    home = Path(str(world.variables["DAGSTER_HOME"]))
    (home / "dagster.yaml").write_text(
        "storage: {postgres: {postgres_url: 'postgresql://someone:hunter2@127.0.0.1:1/dagster'}}\n"
    )
    done = world.health("--check", "queue")
    assert done.code == CRITICAL
    assert "hunter2" not in done.out
    # nobody can say that no run failed, but what the status files say is said
    assert world.check("runs")[0] == world.check("processes")[0] == UNKNOWN
    board = StatusBoard(world.status)
    board.end(board.begin("raw_sessions", DAYS), Shown(), error="ValueError")
    assert world.check("runs")[0] == WARNING


def hold(world: World) -> subprocess.Popen[str]:
    module = "cowrie_pipeline_tests.observability.status_writer"
    writer = subprocess.Popen(
        [sys.executable, "-m", module, world.status, "a", "0", "hold"], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "holding\n"
    return writer


def test_a_killed_process_is_a_warning_until_its_work_is_done(world: World) -> None:
    writer = hold(world)
    assert world.check("processes")[0] == OK
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    code, words = world.check("processes")
    assert code == WARNING
    assert f":{writer.pid}:" in words
    assert "held 2026-03-01 to 2026-03-02 was killed" in words
    # it is no failure, and nothing that is stuck
    assert world.check("runs", COWRIE_HEALTH_STUCK_MINUTES="0.000001")[0] == OK
    with shown_on(StatusBoard(world.status)), shown("held", DAYS):
        pass
    assert world.check("processes")[0] == OK


def test_a_run_whose_process_is_gone_and_a_status_file_that_is_none_are_warnings(
    world: World, instance: dg.DagsterInstance
) -> None:
    add_run(instance, dg.DagsterRunStatus.STARTED, "2026-03-01", this_process())
    assert world.check("processes")[0] == OK
    dead = add_run(instance, dg.DagsterRunStatus.STARTED, "2026-03-02", f"{this_process()}1")
    code, words = world.check("processes")
    assert (code, dead in words) == (WARNING, True)
    world.status.mkdir()
    (world.status / "raw_sessions.json").write_text("{")
    assert "raw_sessions.json is no status file of this version" in world.check("processes")[1]


# ---- use


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [(("--check", "weather"), {}), ((), {"COWRIE_START_DATE": "soon"}), (("--db", "mysql://x/y"), {})],
)
def test_where_it_is_used_wrongly_nothing_is_known(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = invoke(tmp_path, "health", *arguments, **UNHURRIED, **variables)
    assert done.code in {UNKNOWN, CRITICAL}
    assert "Traceback" not in done.err


def test_an_unexpected_error_of_one_check_is_told_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr("cowrie_pipeline.steps.health.read_rooms", fail)
    done = world.health("--check", "disk", "--check", "geoip")
    assert done.code == UNKNOWN
    assert "an unexpected ZeroDivisionError" in done.out
    assert "OK       geoip" in done.out
    assert "hunter2" not in done.out + done.err
