"""Checks of how things go, against thresholds of the settings: volume, clocks, GeoIP files, networks, the cache.

None of these is a fault in the data. They tell of trouble around it: a honeypot that fell silent, a clock that is
wrong, a file that nobody renews. All are warnings.

Belongs here: what is measured, and pure functions that judge it.
Does not belong here: what must be true of the rows (checks.py, sql/checks/).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.enrichment.sources.maxmind import GeoIpBuild, MaxMindSource
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.check_model import Check, CheckResult, Severity
from cowrie_pipeline.steps.days import DayRange, day_start
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    enrichment_cache_stats,
    loaded_days,
    log_files,
    session_days,
    session_summaries,
)

__all__ = [
    "ALL_SENSORS",
    "WATCH_CHECKS",
    "Volume",
    "bursts_of_networks",
    "judge_ages",
    "judge_volume",
]

ALL_SENSORS = "(all)"
_ONE_DAY = timedelta(days=1)
# Fewer days before a day are no measure of what is usual.
_LEAST_DAYS = 7
# What was read before this says nothing of the clocks of today.
_CLOCKS_LOOKED_AT = timedelta(days=7)
# How much longer a file may be in use whose publisher makes one a month.
_MONTH = timedelta(days=31)
_CACHE_DAYS, _CACHE_DAYS_BEFORE, _CACHE_LEAST = 7, 28, 1000


# ---- volume


@dataclass(frozen=True, slots=True)
class Volume:
    """A day on which a sensor had too few or too many sessions; `usual` is the median of the days before."""

    day: date
    sensor: str
    sessions: int
    usual: float
    reason: str


def judge_volume(
    counts: Mapping[tuple[str, date], int], days: DayRange, *, settings: Settings, now: datetime
) -> list[Volume]:
    """Return the days of `days` with too few or too many sessions, of each sensor and of all together.

    A day without sessions counts as 0 from the first day of its sensor on. A day that is not over is never too quiet.
    A sensor that fell silent while a new name appeared has been renamed: Cowrie's is by default the container's.

    Args:
        counts: sessions by sensor and day, of the days and of those before that the median is taken of.
        days: the days that are judged.
        settings: the thresholds.
        now: the time.
    """
    by_sensor: dict[str, dict[date, int]] = defaultdict(dict)
    for (sensor, day), sessions in counts.items():
        by_sensor[sensor][day] = sessions
    first_days = {sensor: min(of_days) for sensor, of_days in by_sensor.items()}
    if len(by_sensor) > 1:
        total: dict[date, int] = defaultdict(int)
        for (_, day), sessions in counts.items():
            total[day] += sessions
        by_sensor[ALL_SENSORS] = total
    found = []
    for sensor, of_days in sorted(by_sensor.items()):
        first_day = min(of_days)
        for day in days:
            span = [day - timedelta(days=n) for n in range(1, settings.volume_days + 1)]
            before = [of_days.get(each, 0) for each in span if each >= first_day]
            if len(before) < min(_LEAST_DAYS, settings.volume_days):
                continue
            usual, sessions = median(before), of_days.get(day, 0)
            if usual < settings.volume_least:
                continue
            if sessions > settings.volume_high * usual:
                found.append(Volume(day, sensor, sessions, usual, f"above {settings.volume_high:g} times the usual"))
            elif (
                sessions < settings.volume_low * usual
                and day_start(day + _ONE_DAY) <= now
                and not _was_renamed(sensor, day, of_days, first_days)
            ):
                found.append(Volume(day, sensor, sessions, usual, f"below {settings.volume_low:.0%} of the usual"))
    return sorted(found, key=lambda each: (each.day, each.sensor))


def _was_renamed(sensor: str, day: date, of_days: Mapping[date, int], first_days: Mapping[str, date]) -> bool:
    """Whether a new sensor appeared on or after the last day of this one before it fell silent."""
    last = max((each for each, sessions in of_days.items() if each <= day and sessions), default=day)
    return sensor != ALL_SENSORS and any(last <= first <= day for other, first in first_days.items() if other != sensor)


def _volume(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    table = session_summaries.c
    day_of = func.date(table.first_event_at)
    with_before = DayRange(days.first - timedelta(days=settings.volume_days), days.last)
    rows = connection.execute(
        select(table.sensor, day_of, func.count())
        .where(table.first_event_at >= with_before.start, table.first_event_at < with_before.end)
        .group_by(table.sensor, day_of)
    )
    counts = {(sensor, _day(day)): sessions for sensor, day, sessions in rows}
    judged = judge_volume(counts, days, settings=settings, now=now)
    return CheckResult.of(
        ("day", "sensor", "sessions", "usual_sessions", "reason"),
        ((each.day, each.sensor, each.sessions, each.usual, each.reason) for each in judged),
    )


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


# ---- clocks


def _clocks(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    """Find what tells of times to come: nothing else of a clock can be known from a log alone.

    An old event may be read late, and a sensor that is behind looks as one that is read late. But nobody can have read
    what has not happened.
    """
    del days
    files, loaded, parts = log_files.c, loaded_days.c, session_days.c
    ahead = timedelta(minutes=settings.clock_skew_minutes)
    since = now - _CLOCKS_LOOKED_AT
    of_files = connection.execute(
        select(files.path, files.last_event_at, files.read_at)
        .where(files.read_at >= since, files.last_event_at > files.read_at)
        .order_by(files.path)
    )
    # the few days that were loaded before they ended, asked for apart: SQLite would go through all sessions for them
    early = connection.execute(
        select(loaded.day, loaded.loaded_at)
        .where(loaded.loaded_at >= since, loaded.day >= func.date(loaded.loaded_at))
        .order_by(loaded.day)
    ).all()
    newest = func.max(parts.last_event_at)
    of_sensors = [
        (sensor, event_at, loaded_at)
        for day, loaded_at in early
        for sensor, event_at in connection.execute(
            select(parts.sensor, newest)
            .where(parts.day == day, parts.imported_from.is_(None), parts.last_event_at > loaded_at)
            .group_by(parts.sensor)
            .order_by(parts.sensor)
        )
    ]
    rows = [(None, path, event_at, read_at) for path, event_at, read_at in of_files]
    rows += [(sensor, None, event_at, read_at) for sensor, event_at, read_at in of_sensors]
    return CheckResult.of(
        ("sensor", "path", "event_at", "read_at", "minutes_ahead"),
        (
            (sensor, path, event_at, read_at, round((event_at - read_at) / timedelta(minutes=1), 1))
            for sensor, path, event_at, read_at in rows
            if event_at - read_at > ahead
        ),
    )


# ---- GeoIP files


def judge_ages(
    builds: Sequence[GeoIpBuild], *, note_after: timedelta, warn_after: timedelta, now: datetime
) -> tuple[list[tuple[GeoIpBuild, float]], list[tuple[GeoIpBuild, float]]]:
    """Return the files that are old, and those that are too old, each with its age in days."""
    noted, too_old = [], []
    for build in builds:
        age, more = now - build.built_at, _MONTH if build.is_monthly else timedelta(0)
        aged = (build, round(age / _ONE_DAY, 1))
        if age > warn_after + more:
            too_old.append(aged)
        elif age > note_after + more:
            noted.append(aged)
    return noted, too_old


def _geoip_age(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    del connection, days
    with MaxMindSource(settings.geoip_folder) as source:
        builds = source.builds()
    noted, too_old = judge_ages(
        builds,
        note_after=timedelta(days=settings.geoip_note_days),
        warn_after=timedelta(days=settings.geoip_warn_days),
        now=now,
    )
    notes = [f"{build.path.name} is {age:g} days old" for build, age in noted]
    if not builds:
        notes.append("there are no GeoIP files")
    return CheckResult.of(
        ("path", "kind", "built_at", "days_old"),
        ((str(build.path), build.kind, build.built_at, age) for build, age in too_old),
        notes,
    )


# ---- networks


def bursts_of_networks(
    created: Sequence[tuple[datetime, int]], *, most: float, within: timedelta
) -> list[tuple[datetime, datetime, int]]:
    """Return the spans no longer than `within` in which more than `most` networks were created, none overlapping.

    Args:
        created: times and how many networks were created then, the first first.
        most: the number that is still good.
        within: the length of a span.
    """
    bursts, start, end, networks = [], 0, 0, 0
    while start < len(created):
        while end < len(created) and created[end][0] < created[start][0] + within:
            networks += created[end][1]
            end += 1
        if networks > most:
            bursts.append((created[start][0], created[end - 1][0], networks))
            start, networks = end, 0
        else:
            networks -= created[start][1]
            start += 1
    return bursts


def _asn_creation(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    del days
    created_at = asn_inventory.c.created_at
    first = connection.execute(select(func.min(created_at))).scalar()
    if first is None:
        return CheckResult()
    # whoever begins meets all networks for the first time
    since = max(now - _ONE_DAY, first + _ONE_DAY)
    created = [
        (at, number)
        for at, number in connection.execute(
            select(created_at, func.count()).where(created_at >= since).group_by(created_at).order_by(created_at)
        )
    ]
    within = timedelta(minutes=settings.asn_rate_minutes)
    most = settings.asn_rate * settings.asn_rate_minutes
    return CheckResult.of(
        ("began_at", "ended_at", "networks"),
        bursts_of_networks(created, most=most, within=within),
    )


# ---- the cache


def _cache_hits(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    del days
    stats = enrichment_cache_stats.c
    today = now.astimezone(UTC).date()
    changed_on = today - timedelta(days=_CACHE_DAYS)
    since = changed_on - timedelta(days=_CACHE_DAYS_BEFORE)
    hits: dict[tuple[str, bool], int] = defaultdict(int)
    looked_up: dict[tuple[str, bool], int] = defaultdict(int)
    for service, day, of_hits, misses in connection.execute(
        select(stats.service, stats.day, stats.hits, stats.misses).where(stats.day > since, stats.day <= today)
    ):
        key = (service, day > changed_on)
        hits[key] += of_hits
        looked_up[key] += of_hits + misses
    rows = []
    for service in sorted({service for service, _ in looked_up}):
        lately, before = (service, True), (service, False)
        if min(looked_up[lately], looked_up[before]) < _CACHE_LEAST:
            continue
        share, share_before = hits[lately] / looked_up[lately], hits[before] / looked_up[before]
        if share < share_before - settings.cache_hit_drop:
            rows.append((service, looked_up[lately], round(share, 3), round(share_before, 3)))
    return CheckResult.of(("service", "look_ups", "hit_share", "hit_share_before"), rows)


WATCH_CHECKS = (
    Check(
        name="session_volume",
        asset="raw_sessions",
        title="Each sensor has about as many sessions on a day as is usual",
        why=(
            "A honeypot that fell silent looks like a quiet Internet: nothing fails, and nobody sees that there is "
            "nothing to see. A flood fills the disk, spends the quotas of services, and bends every average."
        ),
        remedy=(
            "Too few: see that Cowrie runs, that its ports are reached from outside, and that its files still come. A "
            "sensor that was taken down for good is usual after half of COWRIE_VOLUME_DAYS. Too many: "
            "`cowrie-pipeline report` shows which networks and addresses they come from; one address that floods can "
            "be blocked before Cowrie. Usual is the median of the days before, so one odd day does not move it. "
            "Thresholds: COWRIE_VOLUME_DAYS, COWRIE_VOLUME_LOW, COWRIE_VOLUME_HIGH, COWRIE_VOLUME_LEAST."
        ),
        severity=Severity.WARN,
        run=_volume,
    ),
    Check(
        name="sensor_clocks",
        asset="raw_sessions",
        title="No event was read before it happened",
        why=(
            "Of a sensor whose clock is ahead all sessions are at the wrong time, some on the wrong day; its attacks "
            "cannot be put beside those on other sensors or in other logs. (A clock that is behind cannot be told from "
            "files that are read late.)"
        ),
        remedy=(
            "Set the clock of the sensor shown, or of the machine that wrote the file, and keep it right (NTP). If it "
            "is all of them, the clock of this machine is behind. Times that are logged already stay as they are. "
            "What was read more than a week ago is not looked at. Threshold: COWRIE_CLOCK_SKEW_MINUTES."
        ),
        severity=Severity.WARN,
        run=_clocks,
        of_days=False,
    ),
    Check(
        name="geoip_age",
        asset="ip_inventory",
        title="The GeoIP files in use are not old",
        why=(
            "Addresses change hands every week. An old file gives answers as sure as a new one, and snapshots of "
            "sessions keep for ever what it said."
        ),
        remedy=(
            "Start the job refresh_lists, or run `cowrie-enrich lists --refresh`, and see what it says: GeoLite2 needs "
            "COWRIE_MAXMIND_ACCOUNT_ID and COWRIE_MAXMIND_LICENSE_KEY. Files from elsewhere belong into "
            "COWRIE_GEOIP_DIR. A file that is old and not yet too old is noted with the check. Thresholds: "
            "COWRIE_GEOIP_NOTE_DAYS, COWRIE_GEOIP_WARN_DAYS."
        ),
        severity=Severity.WARN,
        run=_geoip_age,
        of_days=False,
    ),
    Check(
        name="asn_creation_rate",
        asset="asn_inventory",
        title="Networks are not created by the thousand within minutes",
        why=(
            "A honeypot meets few networks a day that it has never met. Very many at once are a source that answers "
            "nonsense, a file of addresses that was loaded by mistake, or an attack with spoofed sources."
        ),
        remedy=(
            "Look at the networks of that time: SELECT * FROM asn_inventory WHERE created_at between the times shown, "
            "and the sessions of their addresses. If logs of years or an earlier database were loaded just then, all "
            "is well: it is over a day later. The first day of an inventory is not judged. Thresholds: "
            "COWRIE_ASN_RATE, COWRIE_ASN_RATE_MINUTES."
        ),
        severity=Severity.WARN,
        run=_asn_creation,
        of_days=False,
    ),
    Check(
        name="cache_hit_rate",
        asset="ip_inventory",
        title="The cache answers as large a share of look-ups as before",
        why=(
            "What the cache does not answer is asked of a service, and spends its quota. A share that falls means that "
            "answers are not kept, are thrown away too early, or that the same is asked under other keys."
        ),
        remedy=(
            "See `cowrie-enrich cache stats` for the service. Was the cache emptied or moved, were "
            "COWRIE_<SERVICE>_HIT_DAYS or COWRIE_CACHE_KEEP_DAYS lowered, or is it a wave of addresses that were never "
            "seen (check session_volume)? After such a change it is over in a week. Services with fewer than 1,000 "
            "look-ups in the week or in the four weeks before are not judged. Threshold: COWRIE_CACHE_HIT_DROP."
        ),
        severity=Severity.WARN,
        run=_cache_hits,
        of_days=False,
    ),
)
