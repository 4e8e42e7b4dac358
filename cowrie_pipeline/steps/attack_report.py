"""What a page on some days says: how often was attacked, from where, with what, and how well that is known.

Attackers write user names, passwords, commands and URLs; here they are as stored, and the page makes them harmless.

Belongs here: gathering it from the database, typed. Does not belong here: how it looks (attack_page.py, charts.py).
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, case, cast, extract, func, null, select, union_all

from cowrie_pipeline.cowrie.passwords import sha1_of_stored
from cowrie_pipeline.steps.checks import Coverage, coverage_by_day
from cowrie_pipeline.steps.days import DayRange, days_with_sessions
from cowrie_pipeline.steps.reports import run_report
from cowrie_pipeline.warehouse.tables import (
    asn_session_counts,
    commands,
    country_session_counts,
    dead_letters,
    file_reputation,
    loaded_days,
    log_files,
    login_attempts,
    password_exposure,
    retired_days,
    retired_files,
    session_days,
    session_files,
    session_summaries,
)

__all__ = [
    "ROLLING_DAYS",
    "AttackReport",
    "Command",
    "CountryRow",
    "Credential",
    "FieldCoverage",
    "FileRow",
    "Moment",
    "NetworkRow",
    "NewNetwork",
    "Quality",
    "SensorRow",
    "Totals",
    "gather_attack_report",
    "last_30_days",
]

ROLLING_DAYS = 30
_TOP = 15


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all days of a report."""

    sessions: int
    addresses: int
    networks: int
    countries: int
    log_ins: int
    successful_log_ins: int
    commands: int
    downloads: int
    uploads: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Sessions that began on a day, or in an hour of it: `hour` is None for a whole day."""

    day: date
    hour: int | None
    sessions: int
    with_log_in: int


@dataclass(frozen=True, slots=True)
class CountryRow:
    """A country at attack time; None where none was known. `share` is of all sessions, 0 to 1."""

    country: str | None
    sessions: int
    share: float
    log_ins: int
    downloads: int


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A network at attack time; `trend` are its sessions on each of the 30 days to the last, the last one last.

    `before` are its sessions in as many days just before.
    """

    asn: int
    organization: str | None
    country: str | None
    kind: str | None
    sessions: int
    share: float
    before: int
    trend: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NewNetwork:
    """A network that had not attacked before."""

    asn: int
    organization: str | None
    country: str | None
    kind: str | None
    first_day: date
    sessions: int


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password as tried; `times_seen` is how often the password is in leaks, None if nobody knows."""

    username: str | None
    password: str | None
    attempts: int
    successes: int
    times_seen: int | None


@dataclass(frozen=True, slots=True)
class Command:
    """A line that was entered, and in how many sessions."""

    line: str
    times: int
    sessions: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file that was moved onto the honeypot; `status` is what became of asking about it, None if nobody asked."""

    sha256: str
    transfers: int
    url: str | None
    status: str | None
    malicious: int | None
    suspicious: int | None
    label: str | None
    file_type: str | None


@dataclass(frozen=True, slots=True)
class FieldCoverage:
    """Of how many rows a field is known over all days, and the share on each of them, None where there are no rows."""

    asset: str
    field: str
    total: int
    known: int
    by_day: tuple[float | None, ...]

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.known / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class SensorRow:
    """A honeypot and the sessions on it."""

    sensor: str
    sessions: int
    last_event_at: datetime


@dataclass(frozen=True, slots=True)
class Quality:
    """How far the report can be trusted.

    `not_loaded` are days that were never made, `retired` those whose details were removed. Lines are those of the files
    that have events of these days, for whole files.
    """

    events: int
    events_without_session: int
    sessions_without_address: int
    not_loaded: tuple[date, ...]
    retired: tuple[date, ...]
    files: int
    lines: int
    duplicates: int
    dead_letters: int
    blank_lines: int
    damaged_files: int
    dead_letters_by_reason: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """Everything that a page shows. `hours` is empty for more than one day."""

    days: DayRange
    made_at: datetime
    totals: Totals
    by_day: tuple[Moment, ...]
    hours: tuple[Moment, ...]
    countries: tuple[CountryRow, ...]
    networks: tuple[NetworkRow, ...]
    new_networks: tuple[NewNetwork, ...]
    new_networks_are_cut: bool
    credentials: tuple[Credential, ...]
    passwords_are_hashed: bool
    commands: tuple[Command, ...]
    files: tuple[FileRow, ...]
    coverage: tuple[FieldCoverage, ...]
    sensors: tuple[SensorRow, ...]
    quality: Quality


def last_30_days(connection: Connection, *, today: date) -> DayRange:
    """Return the 30 days to the newest that has sessions and is not in the future; to today where none has any."""
    known = days_with_sessions(connection)
    last = today if known is None else min(known.last, today)
    return DayRange(last - timedelta(days=ROLLING_DAYS - 1), last)


def gather_attack_report(
    connection: Connection, days: DayRange, *, now: datetime, hash_passwords: bool, top: int = _TOP
) -> AttackReport:
    """Read everything that a page on `days` shows.

    Args:
        connection: reads one state of the database.
        days: both included.
        now: when the report is made.
        hash_passwords: show no password in clear, also none that is stored so.
        top: how many rows a ranking has at most.
    """
    month = DayRange(days.last - timedelta(days=ROLLING_DAYS - 1), days.last)
    shown = days if len(days) > 1 else month
    new = run_report(connection, "new_networks", days, limit=top)
    return AttackReport(
        days=days,
        made_at=now,
        totals=_totals(connection, days),
        by_day=_sessions_by_day(connection, shown),
        hours=_sessions_by_hour(connection, days) if len(days) == 1 else (),
        countries=tuple(
            CountryRow(country, sessions, share, log_ins, downloads)
            for country, sessions, share, log_ins, _, _, downloads, _ in run_report(
                connection, "countries", days, limit=top
            ).rows
        ),
        networks=_networks(connection, days, month, top),
        new_networks=tuple(NewNetwork(*row[:6]) for row in new.rows),
        new_networks_are_cut=new.is_cut,
        credentials=_credentials(connection, days, top, hash_passwords=hash_passwords),
        passwords_are_hashed=hash_passwords,
        commands=_commands(connection, days, top),
        files=_files(connection, days, top),
        coverage=_coverage(coverage_by_day(connection, days), days),
        sensors=_sensors(connection, days),
        quality=_quality(connection, days),
    )


def _began(days: DayRange) -> ColumnElement[bool]:
    began = session_summaries.c.first_event_at
    return and_(began >= days.start, began < days.end)


def _totals(connection: Connection, days: DayRange) -> Totals:
    table = session_summaries.c
    sums = (
        table.login_success_count + table.login_failed_count,
        table.login_success_count,
        table.command_count,
        table.file_download_count,
        table.file_upload_count,
    )
    row = connection.execute(
        select(
            func.count(),
            func.count(table.source_ip.distinct()),
            func.count(table.snapshot_asn.distinct()),
            func.count(table.snapshot_country.distinct()),
            *(func.coalesce(func.sum(each), 0) for each in sums),
        ).where(_began(days))
    ).one()
    return Totals(*(int(value) for value in row))


def _sessions_by_day(connection: Connection, days: DayRange) -> tuple[Moment, ...]:
    counts = country_session_counts.c
    found = {
        day: (int(sessions), int(successes))
        for day, sessions, successes in connection.execute(
            select(counts.day, func.sum(counts.sessions), func.sum(counts.successful_logins))
            .where(counts.day.between(days.first, days.last))
            .group_by(counts.day)
        )
    }
    return tuple(Moment(day, None, *found.get(day, (0, 0))) for day in days)


def _sessions_by_hour(connection: Connection, days: DayRange) -> tuple[Moment, ...]:
    table = session_summaries.c
    hour = extract("hour", table.first_event_at)
    found = {
        int(of_day): (sessions, int(successes))
        for of_day, sessions, successes in connection.execute(
            select(hour, func.count(), func.sum(table.login_success_count)).where(_began(days)).group_by(hour)
        )
    }
    return tuple(Moment(days.first, number, *found.get(number, (0, 0))) for number in range(24))


def _networks(connection: Connection, days: DayRange, month: DayRange, top: int) -> tuple[NetworkRow, ...]:
    rows = run_report(connection, "top_networks_by_sessions", days, limit=top).rows
    counts = asn_session_counts.c
    before = days.first - timedelta(days=len(days))
    # the networks are few, the days as many as the longer of both spans
    of_days: dict[int, dict[date, int]] = {row[0]: {} for row in rows}
    for asn, day, sessions in connection.execute(
        select(counts.asn_number, counts.day, counts.sessions).where(
            counts.asn_number.in_(of_days),
            counts.day.between(min(before, month.first), days.last),
        )
    ):
        of_days[asn][day] = sessions
    return tuple(
        NetworkRow(
            asn,
            organization,
            country,
            kind,
            sessions,
            share,
            before=sum(count for day, count in of_days[asn].items() if before <= day < days.first),
            trend=tuple(of_days[asn].get(day, 0) for day in month),
        )
        for asn, organization, country, kind, sessions, share, *_ in rows
    )


def _credentials(connection: Connection, days: DayRange, top: int, *, hash_passwords: bool) -> tuple[Credential, ...]:
    attempt = login_attempts.c
    counted = (
        select(
            attempt.username,
            attempt.password,
            func.count().label("attempts"),
            func.sum(case((attempt.succeeded, 1), else_=0)),
        )
        # a log-in by key has no password
        .where(attempt.event_at >= days.start, attempt.event_at < days.end, attempt.password.is_not(None))
        .group_by(attempt.username, attempt.password)
        .order_by(func.count().desc(), attempt.username, attempt.password)
    )
    found: Iterable[tuple[str | None, str, int, int]]
    if hash_passwords:
        found = _hashed(connection, counted, top)
    else:
        found = [
            (name, password, count, int(successes))
            for name, password, count, successes in connection.execute(counted.limit(top))
        ]
    hashes = {password: sha1_of_stored(password) for _, password, _, _ in found}
    known = password_exposure.c
    statement = select(known.sha1, known.times_seen).where(known.sha1.in_(list(hashes.values())))
    seen: dict[str, int | None] = dict(connection.execute(statement).all())
    return tuple(
        Credential(name, password, attempts, successes, seen.get(hashes[password]))
        for name, password, attempts, successes in found
    )


def _hashed(connection: Connection, counted: Select[Any], top: int) -> list[tuple[str | None, str, int, int]]:
    """Return what was tried most with no password in clear; one that is stored in both ways counts once."""
    attempts, successes = Counter[tuple[str | None, str]](), Counter[tuple[str | None, str]]()
    for name, password, count, successful in connection.execute(counted, execution_options={"yield_per": 10_000}):
        key = (name, f"sha1:{sha1_of_stored(password)}")
        attempts[key] += count
        successes[key] += int(successful)
    most = heapq.nsmallest(top, attempts.items(), key=lambda each: (-each[1], each[0][0] or "", each[0][1]))
    return [(*key, count, successes[key]) for key, count in most]


def _commands(connection: Connection, days: DayRange, top: int) -> tuple[Command, ...]:
    entered = commands.c
    rows = connection.execute(
        select(entered.input, func.count(), func.count(entered.session_key.distinct()))
        .where(
            entered.event_at >= days.start,
            entered.event_at < days.end,
            entered.kind == "input",
            entered.input.is_not(None),
        )
        .group_by(entered.input)
        .order_by(func.count().desc(), entered.input)
        .limit(top)
    )
    return tuple(Command(*row) for row in rows)


def _files(connection: Connection, days: DayRange, top: int) -> tuple[FileRow, ...]:
    """Return the files moved most; of days without details what was kept of them counts."""
    moved, kept, known = session_files.c, retired_files.c, file_reputation.c
    by_day = union_all(
        select(moved.sha256, func.count().label("transfers"), func.min(moved.url).label("url"))
        .where(
            moved.event_at >= days.start,
            moved.event_at < days.end,
            moved.sha256.is_not(None),
            moved.kind.in_(("download", "upload")),
        )
        .group_by(moved.sha256),
        select(kept.sha256, func.sum(kept.transfers), cast(null(), Text))
        .where(kept.day.between(days.first, days.last))
        .group_by(kept.sha256),
    ).subquery()
    transfers = func.sum(by_day.c.transfers)
    rows = connection.execute(
        select(
            by_day.c.sha256,
            transfers,
            func.min(by_day.c.url),
            known.status,
            known.malicious,
            known.suspicious,
            known.label,
            known.file_type,
        )
        .join_from(by_day, file_reputation, known.sha256 == by_day.c.sha256, isouter=True)
        .group_by(
            by_day.c.sha256, *(known[name] for name in ("status", "malicious", "suspicious", "label", "file_type"))
        )
        .order_by(transfers.desc(), by_day.c.sha256)
        .limit(top)
    )
    return tuple(FileRow(sha256, int(count), *rest) for sha256, count, *rest in rows)


def _coverage(coverages: Iterable[Coverage], days: DayRange) -> tuple[FieldCoverage, ...]:
    of_fields: dict[tuple[str, str], dict[date, Coverage]] = {}
    for each in coverages:
        of_fields.setdefault((each.asset, each.field), {})[each.day] = each
    return tuple(
        FieldCoverage(
            asset,
            name,
            sum(each.total for each in of_days.values()),
            sum(each.known for each in of_days.values()),
            tuple(of_days[day].share if day in of_days else None for day in days),
        )
        for (asset, name), of_days in sorted(of_fields.items())
    )


def _sensors(connection: Connection, days: DayRange) -> tuple[SensorRow, ...]:
    table = session_summaries.c
    rows = connection.execute(
        select(table.sensor, func.count(), func.max(table.last_event_at))
        .where(_began(days))
        .group_by(table.sensor)
        .order_by(func.count().desc(), table.sensor)
    )
    return tuple(SensorRow(*row) for row in rows)


def _quality(connection: Connection, days: DayRange) -> Quality:
    loaded, retired, file = loaded_days.c, retired_days.c, log_files.c
    of_days = {
        day: (events, without)
        for day, events, without in connection.execute(
            select(loaded.day, loaded.events, loaded.events_without_session).where(
                loaded.day.between(days.first, days.last)
            )
        )
    }
    imported = set(
        connection.execute(
            select(session_days.c.day).where(session_days.c.day.between(days.first, days.last)).distinct()
        ).scalars()
    )
    of_these = and_(file.first_event_at < days.end, file.last_event_at >= days.start)
    counts = ("lines", "duplicates", "dead_letters", "blank_lines")
    files, damaged, *lines = connection.execute(
        select(
            func.count(),
            func.count(file.damage),
            *(func.coalesce(func.sum(file[name]), 0) for name in counts),
        ).where(of_these)
    ).one()
    reasons = connection.execute(
        select(dead_letters.c.reason, func.sum(dead_letters.c.lines))
        .join(log_files, file.file_id == dead_letters.c.file_id)
        .where(of_these)
        .group_by(dead_letters.c.reason)
        .order_by(func.sum(dead_letters.c.lines).desc(), dead_letters.c.reason)
        .limit(_TOP)
    )
    return Quality(
        events=sum(events for events, _ in of_days.values()),
        events_without_session=sum(without for _, without in of_days.values()),
        sessions_without_address=connection.execute(
            select(func.count())
            .select_from(session_summaries)
            .where(_began(days), session_summaries.c.source_ip.is_(None))
        ).scalar_one(),
        not_loaded=tuple(day for day in days if day not in of_days and day not in imported),
        retired=tuple(
            connection.execute(
                select(retired.day).where(retired.day.between(days.first, days.last)).order_by(retired.day)
            ).scalars()
        ),
        files=files,
        damaged_files=damaged,
        **{name: int(value) for name, value in zip(counts, lines, strict=True)},
        dead_letters_by_reason=tuple((reason, int(count)) for reason, count in reasons),
    )
