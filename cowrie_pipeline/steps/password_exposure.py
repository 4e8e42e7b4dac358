"""Count the passwords that were tried, by their SHA-1, and ask how often they were seen in leaks.

A password in clear is read from the sessions and hashed, and goes nowhere from here: not to a table, a log, a report or
a service, which is told five of the hash's forty digits.

Belongs here: which passwords are asked about, and the writing.
Does not belong here: how Have I Been Pwned is asked (enrichment/), how a password is hashed (cowrie/passwords.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Date, func, or_, select

from cowrie_pipeline.cowrie.passwords import sha1_of_stored
from cowrie_pipeline.enrichment.build import Enrichment
from cowrie_pipeline.enrichment.desk import Answers
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource, prefix_of, times_seen
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.asking import AskingReport, as_day, ask, count_look_ups, due_again_at, write_answers
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import login_attempts, password_exposure, retired_passwords

__all__ = ["DayPasswords", "PasswordExposureReport", "ask_about_passwords", "look_up_passwords"]

# An answer holds one or two thousand counts.
_PREFIXES_AT_ONCE = 100
_COLUMNS = ("sha1", "status", "times_seen", "exposure_at", "due_at")
_NEVER = "never asked"
# How a hashed password is stored: `sha1:` and 40 digits.
_HASHED_LENGTH = 45
_SHA1 = password_exposure.c.sha1.type


@dataclass(frozen=True, slots=True)
class DayPasswords:
    """The distinct passwords of a day, by the status of their look-up; `exposed` are those that were seen in leaks."""

    passwords: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    exposed: int = 0


@dataclass(frozen=True, slots=True)
class PasswordExposureReport:
    """What was asked, `due` in prefixes of hashes, and what is known now of each day's passwords."""

    asking: AskingReport
    days: dict[date, DayPasswords]


@dataclass(frozen=True, slots=True)
class _Tried:
    """What was tried: a log-in attempt and the SHA-1 of each distinct password, and the hashes of each day.

    There is no attempt of a password that only retired days have.
    """

    attempts: Sequence[tuple[int | None, str]]
    by_day: Mapping[date, Sequence[str]]


def look_up_passwords(
    warehouse: Warehouse,
    enrichment: Enrichment,
    days: DayRange,
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> PasswordExposureReport:
    """Count the passwords of `days` anew, ask about those that are due, and write what is said of them.

    Where nobody can be asked the passwords are still counted, and the report says why nobody was.
    """
    with warehouse.begin(lock="password_exposure") as connection:
        tried = _tried(connection, days)
        due = _recount(connection, days, tried, now)
    asking = ask_about_passwords(warehouse, enrichment, due, ledger=ledger, now=now, on_progress=on_progress)
    with warehouse.begin() as connection:
        return PasswordExposureReport(asking, _describe(connection, days, tried))


def ask_about_passwords(
    warehouse: Warehouse,
    enrichment: Enrichment,
    hashes: Sequence[str],
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> AskingReport:
    """Ask about passwords by their SHA-1, each prefix once and in the order given, and write what is said of them."""
    by_prefix: dict[str, list[str]] = {}
    for sha1 in hashes:
        by_prefix.setdefault(prefix_of(sha1), []).append(sha1)
    report = AskingReport(due=len(by_prefix))
    report.not_asked = enrichment.not_asked.get(PwnedPasswordsSource.terms.service)
    if enrichment.passwords is None or report.not_asked is not None:
        return report
    answered = ask(
        enrichment.passwords,
        enrichment.desk,
        list(by_prefix),
        at_once=_PREFIXES_AT_ONCE,
        ledger=ledger,
        now=now,
        report=report,
        on_progress=on_progress,
    )
    for some, answers in answered:
        with counting(warehouse, lock="password_exposure") as (connection, tally):
            count_look_ups(tally, enrichment.passwords, answers)
            rows = (row for prefix in some for row in _rows(prefix, by_prefix[prefix], answers, now))
            write_answers(connection, password_exposure, _COLUMNS, rows)
    return report


def _rows(prefix: str, hashes: Iterable[str], answers: Answers, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the passwords of a prefix: one that is not among the leaked is `not_found`."""
    outcome = answers.latest(prefix)
    assert outcome is not None  # noqa: S101 - the desk gives every key an outcome
    for sha1 in hashes:
        status, count = outcome.status, None
        if status.is_answer:
            count = times_seen(sha1, outcome.payload)
            status = Status.HIT if count else Status.NOT_FOUND
        yield sha1, status.value, count, outcome.fetched_at, due_again_at(answers, prefix, now)


def _tried(connection: Connection, days: DayRange) -> _Tried:
    """Read the distinct passwords of each day and hash them; what is returned holds none in clear."""
    attempt = login_attempts.c
    day = func.date(attempt.event_at)
    rows = connection.execute(
        select(day, attempt.password, func.min(attempt.login_attempt_id))
        .where(attempt.event_at >= days.start, attempt.event_at < days.end, attempt.password.is_not(None))
        .group_by(day, attempt.password)
    ).all()
    hashes: dict[str, str] = {}
    attempts: dict[str, int] = {}
    by_day: dict[date, set[str]] = {}
    for of_day, password, attempt_id in rows:
        sha1 = hashes.get(password) or hashes.setdefault(password, sha1_of_stored(password))
        attempts[password] = attempt_id
        by_day.setdefault(as_day(of_day), set()).add(sha1)
    tried: list[tuple[int | None, str]] = [(attempts[password], sha1) for password, sha1 in hashes.items()]
    retired = _retired(connection, days)
    for of_day, sha1 in retired:
        by_day.setdefault(of_day, set()).add(sha1)
    wanted = set(hashes.values()) | {sha1 for _, sha1 in retired}
    tried += [(None, sha1) for sha1 in sorted(wanted - set(hashes.values()))]
    if retired or any(_is_hashed(password) for password in hashes):
        tried += _in_clear(connection, wanted, hashes)
    return _Tried(tried, {of_day: sorted(found) for of_day, found in by_day.items()})


def _retired(connection: Connection, days: DayRange) -> list[tuple[date, str]]:
    """Return the passwords of the days whose log-in attempts were removed."""
    known = retired_passwords.c
    rows = connection.execute(select(known.day, known.sha1).where(known.day.between(days.first, days.last)))
    return [(day, sha1) for day, sha1 in rows]


def _is_hashed(password: str) -> bool:
    return len(password) == _HASHED_LENGTH and password.startswith("sha1:")


def _in_clear(connection: Connection, wanted: set[str], known: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield an attempt for each password of any day that is stored in clear, and hashed on the days asked about.

    From before COWRIE_HASH_PASSWORDS was set, or of days that are not retired yet: all passwords in clear have to be
    read to find them.
    """
    attempt = login_attempts.c
    is_clear = or_(func.length(attempt.password) != _HASHED_LENGTH, func.substr(attempt.password, 1, 5) != "sha1:")
    rows = connection.execute(
        select(attempt.password, func.min(attempt.login_attempt_id)).where(is_clear).group_by(attempt.password)
    )
    for password, attempt_id in rows:
        if password not in known and (sha1 := sha1_of_stored(password)) in wanted:
            yield attempt_id, sha1


def _recount(connection: Connection, days: DayRange, tried: _Tried, now: datetime) -> Sequence[str]:
    """Count the passwords anew over all days; return the hashes of those that are due, the most tried first."""
    columns = {"login_attempt_id": BigInteger(), "sha1": _SHA1}
    known = password_exposure.c
    with staged(connection, "staged_passwords", columns, tried.attempts) as passwords:
        for name in ("recount_passwords", "forget_passwords"):
            statement = read_sql(f"transforms/{name}", connection.dialect.name).statement
            connection.execute(with_parameters(statement, start=days.start, end=days.end))
        return (
            connection.execute(
                select(known.sha1)
                .where(known.sha1.in_(select(passwords.c.sha1)), or_(known.due_at.is_(None), known.due_at <= now))
                .order_by(known.attempts.desc(), known.sha1)
            )
            .scalars()
            .all()
        )


def _describe(connection: Connection, days: DayRange, tried: _Tried) -> dict[date, DayPasswords]:
    known = password_exposure.c
    status = func.coalesce(known.status, _NEVER)
    pairs = ((day, sha1) for day, hashes in tried.by_day.items() for sha1 in hashes)
    with staged(connection, "passwords_of_days", {"day": Date(), "sha1": _SHA1}, pairs) as of_days:
        rows = connection.execute(
            select(of_days.c.day, status, func.count(), func.count().filter(known.times_seen > 0))
            .join(password_exposure, known.sha1 == of_days.c.sha1)
            .group_by(of_days.c.day, status)
            .order_by(of_days.c.day, status)
        ).all()
    described = {}
    for day in days:
        of_day = [row[1:] for row in rows if row[0] == day]
        described[day] = DayPasswords(
            passwords=sum(passwords for _, passwords, _ in of_day),
            statuses={name: passwords for name, passwords, _ in of_day},
            exposed=sum(exposed for _, _, exposed in of_day),
        )
    return described
