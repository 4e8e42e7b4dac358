"""Say whether all is well, for monitoring: what is read, and pure functions that judge it.

Each check says what was expected, what was found and what to do, and ends in one of four levels, whose numbers are
those of monitoring plugins. docs/status.md has the table of checks; `RULES` is what it is made of.

Belongs here: what is looked at, and when it is how bad.
Does not belong here: asking Dagster (orchestration/), time limits and output (cli/).
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from pathlib import Path

from sqlalchemy import func, inspect, select, text

from cowrie_pipeline.enrichment.sources.maxmind import GeoIpBuild, MaxMindSource
from cowrie_pipeline.observability.status_files import Status, Work, WorkState, unresolved
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.alerts.conditions import look
from cowrie_pipeline.steps.alerts.model import Failure, Kind
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.watch_checks import judge_ages
from cowrie_pipeline.warehouse.engine import Warehouse, database_url
from cowrie_pipeline.warehouse.schema import SchemaVersion, known_versions, newest_version, version_of
from cowrie_pipeline.warehouse.tables import enrichment_cache_stats, enrichment_pauses, loaded_days, metadata

__all__ = [
    "RULES",
    "DatabaseState",
    "Health",
    "InstanceRun",
    "InstanceState",
    "Level",
    "Room",
    "Rule",
    "judge_database",
    "judge_disk",
    "judge_freshness",
    "judge_geoip",
    "judge_processes",
    "judge_queue",
    "judge_runs",
    "judge_sources",
    "read_database",
    "read_geoip",
    "read_rooms",
    "worst",
]

# What failed longer ago and was never made good is known by now.
_LOOKED_BACK = timedelta(days=7)
# Fewer calls say nothing of a service.
_CALLS_JUDGED = 10
_LONG_PAUSE = timedelta(hours=1)
# A daemon's heart beats every half minute; Dagster itself takes one for dead after this.
_HEARTBEAT = timedelta(minutes=5)
_MEGABYTE = 1_000_000
_SHOWN = 5


class Level(IntEnum):
    """How things are; the number is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_ORDER = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL)


@dataclass(frozen=True, slots=True)
class Health:
    """What a check came to; `remedy` is empty where there is nothing to do."""

    check: str
    level: Level
    expected: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table of checks: what is expected, and what makes it worse."""

    expected: str
    warning: str
    critical: str
    unknown: str
    remedy: str


RULES = {
    "database": Rule(
        expected="the database answers and has the schema of this code",
        warning="its schema is older: the next run upgrades it",
        critical="it does not answer in time, is damaged, belongs to another program, or is newer than this code",
        unknown="there is none yet, or it is empty",
        remedy="see that the server runs and COWRIE_DB_URL is right; restore a damaged file",
    ),
    "disk": Rule(
        expected="room for the state folder, the status files and SQLite's file",
        warning="less than COWRIE_HEALTH_DISK_WARN_MB is left",
        critical="less than COWRIE_HEALTH_DISK_CRITICAL_MB is left, no file can be made, or it is read-only",
        unknown="the disk does not answer in time",
        remedy="make room: COWRIE_KEEP_DETAIL_DAYS, `cowrie-enrich cache clean-up`, old logs; or move COWRIE_STATE_DIR",
    ),
    "sources": Rule(
        expected="services answer, none is paused for long, and there is budget left",
        warning=(
            "more than COWRIE_HEALTH_FAILURE_SHARE of 10 or more calls since yesterday failed, a pause of more than an "
            "hour, a quota used up to COWRIE_ALERT_BUDGET_SHARE, or the newest work found a source unusable (an open "
            "circuit, a key that is refused, a missing file)"
        ),
        critical="every one of 10 or more calls of a service failed since yesterday",
        unknown="there is no database that can be read",
        remedy="`cowrie-enrich sources` shows the last error and the budget of each",
    ),
    "freshness": Rule(
        expected="yesterday is materialized, and something was read lately",
        warning="no day is materialized yet",
        critical=(
            "a day of the last week is missing after COWRIE_ALERT_DAY_DUE_HOUR, or nothing was written for "
            "COWRIE_ALERT_STALE_HOURS"
        ),
        unknown="there is no database that can be read",
        remedy="see that logs reach COWRIE_LOGS, and in Dagster's UI whether runs begin and how they end",
    ),
    "geoip": Rule(
        expected="GeoIP files that are not old",
        warning="older than COWRIE_GEOIP_NOTE_DAYS (monthly ones 31 more), or there are none",
        critical="older than COWRIE_GEOIP_WARN_DAYS (monthly ones 31 more)",
        unknown="the folder cannot be read",
        remedy="`cowrie-enrich lists --refresh`, or put newer files into COWRIE_GEOIP_DIR",
    ),
    "runs": Rule(
        expected="what failed in the last week was made good since, and work goes on",
        warning="a run or a phase failed, and no later one did the same days",
        critical="work shows no progress for COWRIE_HEALTH_STUCK_MINUTES and holds up what comes after",
        unknown="Dagster's storage or the status files cannot be read",
        remedy="open the run in Dagster's UI and materialize its days again; stop the process of work that is stuck",
    ),
    "queue": Rule(
        expected="Dagster's daemon is alive and runs do not wait long",
        warning="a run waits longer than COWRIE_HEALTH_QUEUE_MINUTES in the queue",
        critical="Dagster's storage does not answer, or a daemon that ran before has been silent for 5 minutes",
        unknown="there is no Dagster instance yet",
        remedy="start the daemon again, and see what it logs; where runs are started by cron leave this check out",
    ),
    "processes": Rule(
        expected="no process was killed in the middle of its work",
        warning="a process was killed in the last week and no later one did its work, or a status file is unreadable",
        critical="-",
        unknown="Dagster's storage or the status files cannot be read",
        remedy="see in the system's log what killed it (memory?); run it again: it goes on from what was committed",
    ),
}


def worst(results: Iterable[Health]) -> Level:
    """Return the worst level: critical before warning before unknown before ok."""
    return max((each.level for each in results), key=_ORDER.index, default=Level.UNKNOWN)


def _result(check: str, problems: Sequence[tuple[Level, str]], well: str, remedy: str = "") -> Health:
    """Return what a check came to: the worst of its problems, and all of them in words, the worst first."""
    rule = RULES[check]
    if not problems:
        return Health(check, Level.OK, rule.expected, well)
    ordered = sorted(problems, key=lambda each: -_ORDER.index(each[0]))
    words = [words for _, words in ordered]
    more = f"; and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return Health(check, ordered[0][0], rule.expected, "; ".join(words[:_SHOWN]) + more, remedy or rule.remedy)


# ---- database


@dataclass(frozen=True, slots=True)
class ServiceCalls:
    """What became of the calls of a service since yesterday."""

    calls: int
    failures: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What was read of the database; all from `troubles` on is of one with the schema of this code.

    `is_taken` is whether it has tables with our names and no version of our schema; `size` is in bytes.
    """

    is_missing: bool = False
    is_taken: bool = False
    version: SchemaVersion = None
    size: int = 0
    troubles: tuple[Failure, ...] = ()
    newest_day: date | None = None
    calls: Mapping[str, ServiceCalls] = field(default_factory=dict)
    pauses: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether its tables are as this code knows them."""
        return self.version == newest_version()


def read_database(settings: Settings, *, seconds: float, now: datetime) -> DatabaseState:
    """Read what is judged of the database; makes and changes nothing.

    Args:
        settings: where it is, and thresholds.
        seconds: how long a connection and each statement may take.
        now: the time.

    Raises:
        WarehouseError: it cannot be opened.
        sqlalchemy.exc.DatabaseError: it is damaged, or answers too late.
    """
    url = database_url(settings.database_url)
    # opening it would make its folder
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return DatabaseState(is_missing=True)
    warehouse = Warehouse(settings.database_url, patience_seconds=seconds, answer_seconds=seconds)
    try:
        with warehouse.read() as connection:
            version = version_of(connection)
            size = connection.execute(
                text(
                    "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
                    if warehouse.dialect == "sqlite"
                    else "SELECT pg_database_size(current_database())"
                )
            ).scalar_one()
            if version != newest_version():
                taken = version is None and metadata.tables.keys() & set(inspect(connection).get_table_names())
                return DatabaseState(is_taken=bool(taken), version=version, size=size)
            newest_day = connection.execute(select(func.max(loaded_days.c.day))).scalar()
            stats, pauses = enrichment_cache_stats.c, enrichment_pauses.c
            calls = {
                service: ServiceCalls(int(calls), int(failures))
                for service, calls, failures in connection.execute(
                    select(stats.service, func.sum(stats.calls), func.sum(stats.failures))
                    .where(stats.day >= now.date() - timedelta(days=1))
                    .group_by(stats.service)
                    .order_by(stats.service)
                )
            }
            paused = {
                service: (until, reason)
                for service, until, reason in connection.execute(
                    select(pauses.service, pauses.paused_until, pauses.reason)
                    .where(pauses.paused_until > now)
                    .order_by(pauses.service)
                )
            }
        return DatabaseState(
            version=version,
            size=size,
            troubles=tuple(look(warehouse, settings, now=now)),
            newest_day=newest_day,
            calls=calls,
            pauses=paused,
        )
    finally:
        warehouse.dispose()


def judge_database(state: DatabaseState) -> Health:
    """Judge whether the database is there and of the right version."""
    newest = newest_version()
    problems: list[tuple[Level, str]] = []
    remedy = ""
    if state.is_taken:
        remedy = "name another database with COWRIE_DB_URL"
        problems.append((Level.CRITICAL, "it has tables with our names that belong to another program"))
    elif state.is_missing or state.version is None:
        remedy = "`cowrie-pipeline run --logs PATH` makes and fills it"
        problems.append((Level.UNKNOWN, "there is no database yet" if state.is_missing else "the database is empty"))
    elif state.version != newest:
        if state.version in known_versions():
            remedy = "`cowrie-pipeline db upgrade`, or wait for the next run"
            problems.append((Level.WARNING, f"schema {state.version}, older than {newest}"))
        else:
            remedy = "install the version of cowrie_pipeline that made it, or a later one"
            problems.append((Level.CRITICAL, f"schema {state.version}, which this code ({newest}) does not know"))
    return _result("database", problems, f"schema {newest}, {_megabytes(state.size)}", remedy)


# ---- disk


@dataclass(frozen=True, slots=True)
class Room:
    """The room on the disk of `path`, in bytes; `writable` is whether files can be made there by this user."""

    path: Path
    free: int
    writable: bool
    has_inodes: bool


def read_rooms(settings: Settings) -> tuple[Room, ...]:
    """Read the room on each disk that is written to, once for each disk.

    Raises:
        OSError: a disk cannot be asked.
    """
    folders = [settings.state_dir, settings.status_folder]
    url = database_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        folders.append(Path(url.database or "").parent)
    rooms: dict[tuple[int, bool], Room] = {}
    for folder in folders:
        place = _nearest(folder.absolute())
        found = os.statvfs(place)
        writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK) and not found.f_flag & os.ST_RDONLY
        room = Room(place, shutil.disk_usage(place).free, writable, not found.f_files or found.f_favail > 0)
        rooms.setdefault((place.stat().st_dev, writable), room)
    return tuple(rooms.values())


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there: on its disk the path will be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def judge_disk(rooms: Sequence[Room], settings: Settings) -> Health:
    """Judge the room on the disks."""
    problems: list[tuple[Level, str]] = []
    for room in rooms:
        left = f"{_megabytes(room.free)} left for {room.path}"
        if not room.writable:
            problems.append((Level.CRITICAL, f"{room.path} cannot be written by this user"))
        elif not room.has_inodes:
            problems.append((Level.CRITICAL, f"no file can be made on the disk of {room.path}: it has no inodes left"))
        elif room.free < settings.health_disk_critical_mb * _MEGABYTE:
            problems.append((Level.CRITICAL, f"{left}, less than {settings.health_disk_critical_mb:,.0f} MB"))
        elif room.free < settings.health_disk_warn_mb * _MEGABYTE:
            problems.append((Level.WARNING, f"{left}, less than {settings.health_disk_warn_mb:,.0f} MB"))
    least = min((room.free for room in rooms), default=0)
    return _result("disk", problems, f"{_megabytes(least)} left")


# ---- sources, freshness, GeoIP


def judge_sources(state: DatabaseState, status: Status, settings: Settings, *, now: datetime) -> Health:
    """Judge the services: failures, pauses, budgets, and what the newest work had to say of them."""
    problems: list[tuple[Level, str]] = []
    for service, each in state.calls.items():
        if each.calls >= _CALLS_JUDGED and each.failures > settings.health_failure_share * each.calls:
            level = Level.CRITICAL if each.failures >= each.calls else Level.WARNING
            problems.append((level, f"{each.failures:,} of {each.calls:,} calls of {service} failed since yesterday"))
    for service, (until, reason) in state.pauses.items():
        if until - now > _LONG_PAUSE:
            problems.append((Level.WARNING, f"{service} is paused until {_minute(until)}: {reason}"))
    problems += [(Level.WARNING, _in_words(failure)) for failure in _of_kinds(state, Kind.BUDGET)]
    findings = dict.fromkeys(each for phase in status.phases.values() for each in _newest_findings(phase.works))
    problems += [(Level.WARNING, finding.rstrip(".")) for finding in findings]
    calls = sum(each.calls for each in state.calls.values())
    return _result("sources", problems, f"{calls:,} calls since yesterday")


def _newest_findings(works: Sequence[Work]) -> tuple[str, ...]:
    ended = [work for work in works if work.state is WorkState.DONE]
    return ended[0].findings if ended else ()


def judge_freshness(state: DatabaseState, *, now: datetime) -> Health:
    """Judge whether the days are there that should be."""
    if state.newest_day is None:
        remedy = "`cowrie-pipeline run --logs PATH`, or materialize the days in Dagster's UI"
        return _result("freshness", [(Level.WARNING, "no day is materialized yet")], "", remedy)
    days = (now.date() - state.newest_day).days
    newest = f"the newest day is {state.newest_day}, {days} {'day' if days == 1 else 'days'} ago"
    problems = [
        (Level.CRITICAL, f"{_in_words(failure)}{_of_days(failure.days)}")
        for failure in _of_kinds(state, Kind.LATE, Kind.STALE)
    ]
    if problems:
        problems.append((Level.CRITICAL, newest))
    return _result("freshness", problems, newest)


def _of_kinds(state: DatabaseState, *kinds: Kind) -> list[Failure]:
    return [failure for failure in state.troubles if failure.trouble.kind in kinds]


def _in_words(failure: Failure) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in failure.trouble.facts)
    return f"{failure.trouble.title} ({facts})" if facts else failure.trouble.title


def _of_days(days: DayRange | None) -> str:
    return "" if days is None else f": {days.first}" if days.first == days.last else f": {days.first} to {days.last}"


def read_geoip(settings: Settings) -> list[GeoIpBuild]:
    """Return the GeoIP files in use."""
    with MaxMindSource(settings.geoip_folder) as source:
        return list(source.builds())


def judge_geoip(builds: Sequence[GeoIpBuild], settings: Settings, *, now: datetime) -> Health:
    """Judge the age of the GeoIP files in use."""
    noted, too_old = judge_ages(
        builds,
        note_after=timedelta(days=settings.geoip_note_days),
        warn_after=timedelta(days=settings.geoip_warn_days),
        now=now,
    )
    problems = [
        (level, f"{build.path.name} is {age:g} days old")
        for level, aged in ((Level.CRITICAL, too_old), (Level.WARNING, noted))
        for build, age in aged
    ]
    if not builds:
        problems.append((Level.WARNING, f"there are no GeoIP files in {settings.geoip_folder}"))
    newest = max((build.built_at for build in builds), default=now)
    return _result("geoip", problems, f"{len(builds)} files, the newest of {newest.date()}")


# ---- Dagster and the status files


@dataclass(frozen=True, slots=True)
class InstanceRun:
    """A run of Dagster: that failed, or whose process is gone though it is not ended."""

    run_id: str
    job: str
    days: DayRange | None
    at: datetime


@dataclass(frozen=True, slots=True)
class InstanceState:
    """What was read of Dagster's instance.

    `queued` are the times at which the waiting runs were made; `heartbeats` when each daemon was last alive; `failed`
    are runs of the last week that no later one made good; `dead` are under way for Dagster, and their process is gone.
    """

    queued: tuple[datetime, ...] = ()
    heartbeats: Mapping[str, datetime] = field(default_factory=dict)
    failed: tuple[InstanceRun, ...] = ()
    dead: tuple[InstanceRun, ...] = ()


def judge_runs(instance: InstanceState | None, status: Status, settings: Settings, *, now: datetime) -> Health:
    """Judge what failed and was not made good, and what is stuck."""
    problems: list[tuple[Level, str]] = []
    stuck_after = timedelta(minutes=settings.health_stuck_minutes)
    told: set[str | None] = set()
    for name, phase in status.phases.items():
        for work in phase.works:
            if work.state is WorkState.RUNNING and now - work.updated_at > stuck_after and _is_innermost(work, status):
                since = f"since {_minute(work.updated_at)}, process {work.process}"
                problems.append((Level.CRITICAL, f"{name}{_days(work)} shows no progress {since}"))
        for work in unresolved(phase.works):
            if work.state is WorkState.FAILED and now - work.updated_at <= _LOOKED_BACK:
                told.add(work.run_id)
                problems.append(
                    (Level.WARNING, f"{name}{_days(work)} failed at {_minute(work.updated_at)}: {work.error}")
                )
    for run in instance.failed if instance else ():
        if run.run_id not in told:
            where = f"run {run.run_id} of {run.job}{_of_days(run.days)}"
            problems.append((Level.WARNING, f"{where} failed at {_minute(run.at)}"))
    return _result("runs", problems, f"nothing failed that was not made good; phases running: {len(status.running)}")


def _is_innermost(work: Work, status: Status) -> bool:
    """Whether no later work of the same process is under way: one that waits for its parts is not stuck itself."""
    return not any(
        other.state is WorkState.RUNNING and other.process == work.process and other.started_at > work.started_at
        for phase in status.phases.values()
        for other in phase.works
    )


def judge_queue(instance: InstanceState | None, settings: Settings, *, now: datetime) -> Health:
    """Judge Dagster's queue and its daemon; None is that there is no instance yet."""
    if instance is None:
        remedy = "`cowrie-pipeline run`, `cowrie-pipeline ui` and Dagster's daemon make it; see DAGSTER_HOME"
        return _result("queue", [(Level.UNKNOWN, "there is no Dagster instance yet")], "", remedy)
    problems: list[tuple[Level, str]] = []
    problems += [
        (Level.CRITICAL, f"the daemon {name} has been silent since {_minute(beat)}")
        for name, beat in sorted(instance.heartbeats.items())
        if now - beat > _HEARTBEAT
    ]
    oldest = min(instance.queued, default=None)
    waiting = f"runs that wait: {len(instance.queued):,}"
    if oldest is not None and now - oldest > timedelta(minutes=settings.health_queue_minutes):
        problems.append((Level.WARNING, f"{waiting}, the oldest since {_minute(oldest)}"))
    alive = "the daemon is alive" if instance.heartbeats else "no daemon ever ran: runs are begun by hand or by cron"
    return _result("queue", problems, f"{alive}, {waiting}")


def judge_processes(instance: InstanceState | None, status: Status, *, now: datetime) -> Health:
    """Judge whether processes were killed in the middle of their work."""
    problems: list[tuple[Level, str]] = []
    told: set[str | None] = set()
    for name, phase in status.phases.items():
        for work in unresolved(phase.works):
            if work.state is WorkState.KILLED and now - work.updated_at <= _LOOKED_BACK:
                told.add(work.run_id)
                last = f"last seen {_minute(work.updated_at)} at {work.done:,} of {work.total:,}"
                problems.append((Level.WARNING, f"{name}{_days(work)} was killed: process {work.process}, {last}"))
    for run in instance.dead if instance else ():
        if run.run_id not in told:
            where = f"run {run.run_id} of {run.job}{_of_days(run.days)}"
            problems.append((Level.WARNING, f"{where} is under way for Dagster, and its process is gone"))
    problems += [(Level.WARNING, f"{name} is no status file of this version") for name in status.unreadable]
    return _result("processes", problems, f"{len(status.phases)} phases known, no process was killed")


def _days(work: Work) -> str:
    return "" if work.days is None else _of_days(DayRange(work.days.first, work.days.last)).replace(":", "", 1)


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _megabytes(size: int) -> str:
    return f"{size / _MEGABYTE:,.0f} MB"
