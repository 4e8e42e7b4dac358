"""A month of a honeypot under Dagster's own daemon: what it comes to, who was told, and what it cost in runs.

The month is planned: what becomes of the files on which day, what breaks, and therefore which runs and messages there
have to be. Nothing of the plan is taken from what happened.
"""

import gzip
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from sqlalchemy import select, text

from cowrie_pipeline.orchestration.build import DAILY_JOB
from cowrie_pipeline.orchestration.freshness import FRESHNESS_JOB
from cowrie_pipeline.orchestration.log_sensor import LOG_SENSOR, look
from cowrie_pipeline.orchestration.runs import materialize
from cowrie_pipeline.orchestration.schedules import DAILY_SCHEDULE
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.book import Waiting, open_incidents, waiting
from cowrie_pipeline.steps.alerts.model import Incident
from cowrie_pipeline.steps.days import DAYS_TOGETHER, contiguous
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import dead_letters
from cowrie_pipeline_tests.cli.in_process import invoke, only_environment
from cowrie_pipeline_tests.cli.processes import environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.end_to_end.comparing import all_facts
from cowrie_pipeline_tests.orchestration.dagster_daemon import DagsterDaemon, dagster_home, days_of_runs
from cowrie_pipeline_tests.orchestration.days_gone_by import Honeypot, sessions_of
from cowrie_pipeline_tests.orchestration.receiver import Receiver
from cowrie_pipeline_tests.steps.made_days import Event, write_log

pytestmark = pytest.mark.long

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
Moment = tuple[str, str]
START = date(2025, 12, 1)
ARCHIVE = date(2025, 12, 20)
ARCHIVED_DAYS = 33
ONE_DAY = timedelta(days=1)
STILL_OBSERVED = timedelta(hours=48)
VOLUME = "check:raw_sessions:session_volume"
DEAD_LETTERS = "check:raw_sessions:dead_letter_share"
FRESHNESS = "check:freshness_check"
RUN = "run:raw_sessions"
SENSOR = f"sensor:{LOG_SENSOR}"
# the others keep lists, caches and counts in order, and have nothing to do with files
SCHEDULES = (DAILY_SCHEDULE, FRESHNESS_JOB)


def march(day: int) -> date:
    return date(2026, 3, day)


def at(day: date, time: str) -> datetime:
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC)


class Month:
    """The month as it goes, and what has to come of it.

    Attributes:
        runs: the days of each run that there has to be.
        freshness_runs: how often freshness has to be looked at.
        messages: what people have to be told, by the day on which they are.
        told: what they were told.
        too_late: sensor and id of sessions of which the pictures are of today's knowledge.
    """

    def __init__(self, folder: Path, receiver: Receiver, clock: time_machine.Traveller) -> None:
        self.folder = folder
        self.receiver = receiver
        self.clock = clock
        self.settings = Settings.from_environment()
        self.honeypot = Honeypot(folder / "logs")
        self.damaged: list[str] = []
        self.too_late: set[tuple[str, str]] = set()
        self.runs: list[tuple[date, ...]] = []
        self.freshness_runs = 0
        self.messages: dict[date, Counter[Moment]] = {}
        self.told: dict[date, Counter[Moment]] = {}

    def tick(self, daemon: DagsterDaemon, day: date, *times: str) -> None:
        """Have everything tick at these times, and note what is told."""
        for time in times:
            before = len(self.receiver.moments)
            daemon.tick(at(day, time))
            if new := self.receiver.moments[before:]:
                self.told.setdefault(day, Counter()).update(new)

    def must_run(self, *days: date) -> None:
        self.runs.append(days)

    def must_tell(self, day: date, *moments: Moment) -> None:
        self.messages.setdefault(day, Counter()).update(moments)

    @contextmanager
    def without_table(self, name: str) -> Iterator[None]:
        """Take a table away, as whoever restores half a backup does."""
        self._execute(f"ALTER TABLE {name} RENAME TO {name}_elsewhere")
        yield
        self._execute(f"ALTER TABLE {name}_elsewhere RENAME TO {name}")

    def _execute(self, statement: str) -> None:
        warehouse = Warehouse(self.settings.database_url)
        with warehouse.begin() as connection:
            connection.execute(text(statement))
        warehouse.dispose()

    # ---- a day

    def live(self, daemon: DagsterDaemon, day: date) -> None:
        """Go through a day: yesterday is made once, then looked at once, and the file of today grows."""
        self.honeypot.midnight(day)
        _MORNINGS.get(day.day, Month.usual_morning)(self, daemon, day)
        events = _events_of(day)
        self.honeypot.log(events[:7])
        if day.day in _NOONS:
            _NOONS[day.day](self, daemon, day)
            self.tick(daemon, day, "12:00")
        if day.day in _AFTERNOONS:
            _AFTERNOONS[day.day](self, daemon, day)
        self.honeypot.log(events[7:-1])
        self.tick(daemon, day, "23:58")
        self.honeypot.log(events[-1:])  # which is read after midnight, in the file of yesterday

    def usual_morning(self, daemon: DagsterDaemon, day: date) -> None:
        self.tick(daemon, day, "02:00")
        self.must_run(day - ONE_DAY)
        self.tick(daemon, day, "06:30")
        self.freshness_runs += 1

    # ---- files

    def comes(self, events: Sequence[Event], name: str, day: date, time: str = "12:00") -> Path:
        """Let a file come or grow, and note the sessions that are then too old to be pictured as they were."""
        for each in events:
            began = datetime.fromisoformat(each["timestamp"])
            if each["eventid"] == "cowrie.session.connect" and at(day, time) - began > STILL_OBSERVED:
                self.too_late.add((each["sensor"], each["session"]))
        return self.honeypot.log(events, name)

    def an_archive_comes(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        days = [ARCHIVE + number * ONE_DAY for number in range(ARCHIVED_DAYS)]
        self.comes([each for of_day in days for each in sessions_of(of_day, 1)], "archive.json", day)
        days.append(days[-1] + ONE_DAY)  # its last session crosses midnight
        # the newest first, as many together as a run may have
        self.must_run(*days[-DAYS_TOGETHER:])
        self.must_run(*days[:-DAYS_TOGETHER])

    def the_archive_comes_again(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon, day
        archive = self.honeypot.folder / "archive.json"
        shutil.copyfile(archive, archive.with_name("the-same-again.json"))
        (self.honeypot.folder / "and-compressed.json.gz").write_bytes(gzip.compress(archive.read_bytes()))

    def the_archive_is_renamed_and_half_of_it_copied(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon, day
        archive = self.honeypot.folder / "archive.json"
        lines = archive.read_bytes().splitlines(keepends=True)
        archive.rename(archive.with_name("old.json"))
        archive.with_name("half.json").write_bytes(b"".join(lines[: len(lines) // 2]))
        archive.with_name("the-same-again.json").unlink()

    def a_day_that_was_missed_comes(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        silent = day - 2 * ONE_DAY
        self.comes(sessions_of(silent), "late.json", day)
        self.must_run(silent, silent + ONE_DAY)
        self.must_tell(day, (VOLUME, "over"), ("late", "over"))

    def another_sensor_comes_late(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        self.comes(sessions_of(march(1), sensor="second", hour=12), "second.json", day)
        self.must_run(march(1), march(2))

    def a_file_comes_damaged(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        path = self.comes(sessions_of(march(18), 2, sensor="third"), "third.json", day)
        self.damaged = [f'{{"eventid": "cowrie.session.connect", number {number}\n' for number in range(8)]
        with path.open("a") as file:
            file.writelines(self.damaged)
        self.must_run(march(18), march(19))
        self.must_tell(day, (DEAD_LETTERS, "opened"))

    def and_grows_until_few_lines_of_it_are(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        self.comes(sessions_of(march(17), 8, sensor="third"), "third.json", day, "23:58")
        self.must_run(march(17), march(18))
        self.must_tell(day, (DEAD_LETTERS, "over"))

    def a_file_vanishes(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon, day
        for name in ("third.json", "second.json"):
            (self.honeypot.folder / name).unlink()

    # ---- trouble

    def a_run_fails_while_the_receiver_is_down(self, daemon: DagsterDaemon, day: date) -> None:
        self.receiver.status = 503
        with self.without_table("commands"):
            self.tick(daemon, day, "02:00")
        self.tick(daemon, day, "02:20", "02:40", "06:30")
        self.must_run(day - ONE_DAY)
        self.must_run(day - ONE_DAY)  # ten minutes after its failure was seen
        self.freshness_runs += 1

    def the_receiver_is_there_again(self, daemon: DagsterDaemon, day: date) -> None:
        assert self.receiver.refused > 0
        assert not self.told
        self.receiver.status = 200
        self.usual_morning(daemon, day)
        self.must_tell(day, (RUN, "opened"), (RUN, "over"))

    def yesterday_was_silent(self, daemon: DagsterDaemon, day: date) -> None:
        self.usual_morning(daemon, day)
        self.must_tell(day, (VOLUME, "opened"), ("late", "opened"))

    def it_still_is_silent(self, daemon: DagsterDaemon, day: date) -> None:
        self.usual_morning(daemon, day)
        self.must_tell(day, (VOLUME, "repeated"), ("late", "repeated"))

    def the_daemon_was_off(self, daemon: DagsterDaemon, day: date) -> None:
        """Since noon of two days ago: what it missed it does once, and nobody is told of what is made up for."""
        self.usual_morning(daemon, day)
        self.must_run(day - 2 * ONE_DAY)

    def yesterday_was_a_flood(self, daemon: DagsterDaemon, day: date) -> None:
        self.usual_morning(daemon, day)
        self.must_tell(day, (VOLUME, "opened"))

    def nobody_cared(self, daemon: DagsterDaemon, day: date) -> None:
        self.usual_morning(daemon, day)
        self.must_tell(day, (VOLUME, "repeated"))

    def somebody_takes_it_for_well(self, daemon: DagsterDaemon, day: date) -> None:
        del daemon
        variables = {"COWRIE_DB_URL": self.settings.database_url, "COWRIE_ALERTS_FILE": str(self.settings.alerts_file)}
        assert invoke(self.folder, "alerts", "close", VOLUME, **variables).code == 0
        self.must_tell(day, (VOLUME, "over"))

    def a_daemon_dies_after_noting_a_request(self, daemon: DagsterDaemon, day: date) -> None:
        self.comes(sessions_of(march(3), sensor="fourth", hour=15)[:-1], "lost.json", day)
        now = at(day, "11:45")
        self.clock.move_to(now)
        assert look(daemon.instance, self.settings, now=now).requests
        self.must_run(march(3))

    def the_daemon_is_installed_anew(self, daemon: DagsterDaemon, day: date) -> None:
        del day
        daemon.forget_cursor(LOG_SENSOR)

    def the_log_sensor_fails_for_long(self, daemon: DagsterDaemon, day: date) -> None:
        self.tick(daemon, day, "12:00")
        with self.without_table("day_requests"):
            self.tick(daemon, day, *(f"12:{minute:02}" for minute in range(4, 46, 4)))
        self.tick(daemon, day, "12:48")
        self.must_tell(day, (SENSOR, "opened"), (SENSOR, "over"))

    def yesterday_cannot_be_made_until_eight(self, daemon: DagsterDaemon, day: date) -> None:
        with self.without_table("commands"):
            self.tick(daemon, day, "02:00", "02:20", "06:30")
        self.tick(daemon, day, "08:20", "09:00", "09:12")
        for _ in ("02:00", "06:30", "09:00"):  # half an hour after the second failure was seen
            self.must_run(day - ONE_DAY)
        self.freshness_runs += 3
        for trouble in (RUN, FRESHNESS, "late"):
            self.must_tell(day, (trouble, "opened"), (trouble, "over"))


Step = Callable[[Month, DagsterDaemon, date], None]
# what is out of the ordinary, by the day of the month
_MORNINGS: dict[int, Step] = {
    6: Month.a_run_fails_while_the_receiver_is_down,
    7: Month.the_receiver_is_there_again,
    10: Month.yesterday_was_silent,
    11: Month.it_still_is_silent,
    14: Month.the_daemon_was_off,
    16: Month.yesterday_was_a_flood,
    17: Month.nobody_cared,
    25: Month.yesterday_cannot_be_made_until_eight,
}
_NOONS: dict[int, Step] = {
    4: Month.an_archive_comes,
    5: Month.the_archive_comes_again,
    11: Month.a_day_that_was_missed_comes,
    17: Month.somebody_takes_it_for_well,
    18: Month.another_sensor_comes_late,
    19: Month.a_daemon_dies_after_noting_a_request,
    20: Month.a_file_comes_damaged,
    21: Month.the_daemon_is_installed_anew,
    23: Month.the_archive_is_renamed_and_half_of_it_copied,
    27: Month.a_file_vanishes,
}
_AFTERNOONS: dict[int, Step] = {
    20: Month.and_grows_until_few_lines_of_it_are,
    22: Month.the_log_sensor_fails_for_long,
}


def _events_of(day: date) -> list[Event]:
    """Return what the honeypot logs on a day: it was off on the 9th, and flooded on the 15th."""
    if day == march(8):
        return sessions_of(day)[:-1]
    if day == march(9):
        return []
    return sessions_of(day, 40 if day == march(15) else 3)


@pytest.fixture
def month(tmp_path: Path, database_url: str) -> Iterator[Month]:
    with Receiver() as receiver:
        alerts = tmp_path / "alerts.toml"
        alerts.write_text(receiver.toml)
        variables = environment(
            tmp_path,
            COWRIE_DB_URL=database_url,
            COWRIE_LOGS=tmp_path / "logs",
            COWRIE_START_DATE=START.isoformat(),
            COWRIE_WATCH_SECONDS="60",
            COWRIE_ALERTS_FILE=alerts,
            # less than a day, so that a second's difference between two mornings is none
            COWRIE_ALERT_REPEAT_HOURS="23",
            # so that days of three sessions are judged
            COWRIE_VOLUME_DAYS="7",
            COWRIE_VOLUME_LEAST="2",
            COWRIE_DEAD_LETTER_SHARE="0.2",
        )
        with only_environment(variables), time_machine.travel(at(FIRST, "00:00"), tick=True) as clock:
            yield Month(tmp_path, receiver, clock)


def test_a_month_ends_as_one_load_of_everything_each_incident_is_told_once_and_nothing_runs_in_vain(
    tmp_path: Path, month: Month, databases: Databases
) -> None:
    storage = databases.empty() if databases.dialect == "postgresql" else None
    month.honeypot.log(sessions_of(FIRST - ONE_DAY))
    with dagster_home(tmp_path / "dagster", storage):
        with DagsterDaemon(month.clock, SCHEDULES) as daemon:
            for day in range(1, 12):
                month.live(daemon, march(day))
            month.honeypot.midnight(march(12))
            month.usual_morning(daemon, march(12))
            month.honeypot.log(_events_of(march(12))[:7])
            month.tick(daemon, march(12), "12:00")
        # the machine that reads is off until two days later; the honeypot is not
        month.honeypot.log(_events_of(march(12))[7:])
        month.honeypot.midnight(march(13))
        month.honeypot.log(_events_of(march(13)))
        with DagsterDaemon(month.clock, SCHEDULES) as daemon:
            for day in range(14, 32):
                month.live(daemon, march(day))
            end = LAST + ONE_DAY
            month.honeypot.midnight(end)
            month.usual_morning(daemon, end)
            # and nothing is left to do, from whatever cursor
            daemon.forget_cursor(LOG_SENSOR)
            month.tick(daemon, end, "06:45")
            runs = days_of_runs(daemon.instance)
            jobs = Counter(run.job_name for run in daemon.instance.get_runs())
    if storage is not None:
        databases.drop(storage)
    assert Counter(runs) == Counter(month.runs)
    assert jobs == {DAILY_JOB: len(month.runs), FRESHNESS_JOB: month.freshness_runs}
    assert month.told == month.messages
    assert left_to_tell(month.settings) == ([], [])
    found = everything_of(month.settings.database_url)
    # what was known of an address is known at the time; all else is the same whenever it is loaded
    pictures = taken_out(found, "snapshot_basis")
    late = {session for session, basis in pictures.items() if basis == "late"}
    # one that came late is pictured as it was where its address was looked up for another at the time
    assert late
    assert late <= month.too_late
    at_once = loaded_at_once(tmp_path, month, databases)
    taken_out(at_once, "snapshot_basis")
    assert found == at_once


def taken_out(facts: dict[str, list[Any]], column: str) -> dict[tuple[str, str], Any]:
    """Take a column out of the sessions; return it by sensor and id."""
    return {(row["sensor"], row["session_id"]): row.pop(column) for row in facts["session_summaries"]}


def left_to_tell(settings: Settings) -> tuple[list[Incident], list[Waiting]]:
    warehouse = Warehouse(settings.database_url)
    with warehouse.read() as connection:
        left = open_incidents(connection), waiting(connection)
    warehouse.dispose()
    return left


def loaded_at_once(folder: Path, month: Month, databases: Databases) -> dict[str, list[Any]]:
    """Return the facts of a fresh database into which one file with everything was loaded in one go."""
    url = databases.fresh()
    log = write_log(folder / "at-once" / "all.json", month.honeypot.written)
    with log.open("a") as file:
        file.writelines(month.damaged)
    variables = {"COWRIE_DB_URL": url, "COWRIE_LOGS": str(log), "COWRIE_START_DATE": START.isoformat()}
    days = contiguous({day for run in month.runs for day in run})
    with only_environment(environment(folder, **variables)), dg.DagsterInstance.ephemeral() as instance:
        assert materialize(instance, days, Settings.from_environment()).succeeded
    found = everything_of(url)
    databases.drop(url)
    return found


def everything_of(url: str) -> dict[str, list[Any]]:
    """Return every row of every table of facts, and the lines that could not be read."""
    letters = dead_letters.c
    warehouse = Warehouse(url)
    with warehouse.read() as connection:
        unread = connection.execute(
            select(letters.line_fingerprint, letters.reason, letters.detail, letters.sample, letters.lines).order_by(
                letters.line_fingerprint
            )
        ).all()
    warehouse.dispose()
    return {**all_facts(url), "dead_letters": [tuple(row) for row in unread]}
