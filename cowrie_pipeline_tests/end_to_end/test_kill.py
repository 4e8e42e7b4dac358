"""A process killed at any moment leaves no orphan and no half day, and does not keep the next one from its work."""

import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from subprocess import Popen
from time import sleep

import pytest
from sqlalchemy import Connection, func, select

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.schema import version_of
from cowrie_pipeline.warehouse.tables import loaded_days, log_segments, session_summaries
from cowrie_pipeline_tests.cli.processes import PROJECT, cowrie_pipeline, report_of, start
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.steps.made_days import span

PLAN = SyntheticPlan(seed=11, first_day=date(2026, 3, 1), days=3, sessions_per_day=350, addresses=120)
DAYS = span("2026-03-01", "2026-03-03")

# Two databases, each with runs that are killed at a random moment after so many lines of progress. Lines, and not
# seconds, since other work on the machine may double those.
KILLS = ((0, 1), (2, 1))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs, databases that know their addresses, and a Dagster instance that has pools."""
    folder = tmp_path_factory.mktemp("world")
    write_logs(PLAN, folder / "logs")
    write_geoip(
        folder / "geoip",
        (GeoRow(**asdict(each)) for each in networks(PLAN)),
    )
    (folder / "home").mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", folder / "home" / "dagster.yaml")
    return folder


def options(world: Path, url: str) -> tuple[tuple[str | Path, ...], Mapping[str, str | Path]]:
    arguments = ("run", "--logs", world / "logs", "--db", url)
    return arguments, {"COWRIE_GEOIP_DIR": world / "geoip", "DAGSTER_HOME": world / "home"}


def assert_whole(url: str) -> None:
    """Assert that the database holds no orphan and no half day."""
    warehouse = Warehouse(url)
    with warehouse.read() as connection:
        if version_of(connection) is not None:  # it may be killed before there was a schema
            assert_nothing_is_half_done(connection)
    warehouse.dispose()


def assert_nothing_is_half_done(connection: Connection) -> None:
    for check in all_checks():
        if "orphan" in check.name or check.name in {"detail_counts", "session_counts", "line_accounting"}:
            result = check.run(connection, DAYS, Settings(), datetime.now(UTC))
            assert result.passed, f"{check.name}: {result.rows}"
    if connection.dialect.name == "sqlite":
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    read: dict[date, int] = dict(
        connection.execute(select(log_segments.c.day, func.sum(log_segments.c.events)).group_by("day")).all()
    )
    loaded = connection.execute(select(loaded_days.c.day, loaded_days.c.events)).all()
    of_days = {day: int(read[day]) for day, _ in loaded}
    assert {day: int(events) for day, events in loaded} == of_days
    in_sessions = connection.execute(select(func.sum(session_summaries.c.event_count))).scalar() or 0
    without = connection.execute(select(func.sum(loaded_days.c.events_without_session))).scalar() or 0
    assert int(in_sessions) + int(without) == sum(of_days.values())


def test_a_run_killed_at_any_moment_leaves_nothing_half_done_and_the_next_one_finishes_the_work(
    world: Path, databases: Databases, tmp_path: Path
) -> None:
    undisturbed = databases.fresh()
    arguments, variables = options(world, undisturbed)
    report = report_of(cowrie_pipeline(tmp_path, *arguments, "--json", **variables))
    expected = all_facts(undisturbed)
    assert report["events"] > 5000
    assert len(expected["session_summaries"]) == report["assets"]["raw_sessions"]["rows"]
    assert len(expected["asn_inventory"]) > 5

    choose = random.Random(20260301)
    killed = 0
    for lines in KILLS:
        url = databases.empty()
        arguments, variables = options(world, url)
        for seen in lines:
            killed += kill_after(start(tmp_path, *arguments, **variables), seen, choose.uniform(0, 0.4))
            assert_whole(url)
        # a run that was killed held places in pools of one: the next would wait for them for ever
        report_of(cowrie_pipeline(tmp_path, *arguments, "--json", **variables))
        assert_whole(url)
        assert all_facts(url) == expected
        databases.drop(url)
    # a run may come to its end before its moment, but not most of them
    assert killed >= 2
    databases.drop(undisturbed)


def kill_after(process: Popen[str], lines: int, seconds: float) -> bool:
    """Kill a process some time after it printed `lines` lines of progress; return whether it was still at work."""
    assert process.stderr is not None
    if lines == 0:
        sleep(1)  # Python has to start
    for _ in range(lines):
        process.stderr.readline()
    sleep(seconds)
    was_at_work = process.poll() is None
    process.kill()
    process.communicate()
    return was_at_work
