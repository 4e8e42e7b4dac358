"""Which passwords were tried most, and which for the first time, with what is known of them from leaks.

A password is stored as it was tried, or by its SHA-1 (COWRIE_HASH_PASSWORDS), and in a database that has both it is one
password. The database groups by what is stored. Only where both kinds meet, passwords in clear are hashed here to be
told apart; none in clear goes back to the database.

Belongs here: counting and comparing. Does not belong here: asking about them (password_exposure.py), showing (cli/).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, func, not_, select

from cowrie_pipeline.cowrie.passwords import sha1_of_stored
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.tables import login_attempts, password_exposure, session_summaries

__all__ = ["ExposureOverview", "TriedPassword", "exposure_overview", "new_passwords", "top_passwords"]

# How a hashed password is stored: `sha1:` and 40 digits.
_HASHED_LENGTH = 45
_NEVER = "never asked"
_attempt = login_attempts.c
_is_hashed = and_(func.length(_attempt.password) == _HASHED_LENGTH, func.substr(_attempt.password, 1, 5) == "sha1:")


@dataclass(frozen=True, slots=True)
class TriedPassword:
    """A password and who tried it in a span of days.

    `password` is as stored: in clear, or `sha1:` and its hash. `times_seen` says how often it is in leaks, None where
    nobody knows: it was not asked about, or the service gave no answer. `first_seen` is its first attempt in the span.
    """

    password: str
    sha1: str
    attempts: int
    sessions: int
    addresses: int
    first_seen: datetime
    times_seen: int | None

    @property
    def is_exposed(self) -> bool | None:
        """Whether it is in leaks; None where that is not known."""
        return None if self.times_seen is None else self.times_seen > 0


@dataclass(frozen=True, slots=True)
class ExposureOverview:
    """All passwords that were counted, by what became of asking: `statuses` of the last look-up.

    `exposed` are in leaks, `exposed_attempts` are the log-in attempts by them, of `attempts` in all.
    """

    passwords: int
    statuses: Mapping[str, int]
    due: int
    exposed: int
    attempts: int
    exposed_attempts: int


def exposure_overview(connection: Connection, *, now: datetime) -> ExposureOverview:
    """Count what is known of all passwords."""
    known = password_exposure.c
    status = func.coalesce(known.status, _NEVER)
    is_due = func.coalesce(known.due_at <= now, True)
    rows = connection.execute(
        select(
            status,
            func.count(),
            func.count().filter(is_due),
            func.count().filter(known.times_seen > 0),
            func.sum(known.attempts),
            func.coalesce(func.sum(known.attempts).filter(known.times_seen > 0), 0),
        )
        .group_by(status)
        .order_by(status)
    ).all()
    _, counts, dues, exposed, attempts, of_exposed = zip(*rows, strict=True) if rows else ((),) * 6
    return ExposureOverview(
        passwords=sum(counts),
        statuses={row[0]: row[1] for row in rows},
        due=sum(dues),
        exposed=sum(exposed),
        attempts=int(sum(attempts)),
        exposed_attempts=int(sum(of_exposed)),
    )


def top_passwords(connection: Connection, days: DayRange, *, limit: int) -> list[TriedPassword]:
    """Return the passwords tried most in `days`, the most attempts first."""
    counted = (
        select(_attempt.password, func.count().label("attempts"))
        .where(*_in(days), _attempt.password.is_not(None))
        .group_by(_attempt.password)
        .order_by(func.count().desc(), _attempt.password)
    )
    if not _has_both(connection, *_in(days)):
        counted = counted.limit(limit)
    attempts = Counter[str]()
    for password, count in connection.execute(counted, execution_options={"yield_per": 10_000}):
        attempts[sha1_of_stored(password)] += count
    chosen = [sha1 for sha1, _ in sorted(attempts.items(), key=lambda each: (-each[1], each[0]))[:limit]]
    found = _described(connection, days, chosen)
    return sorted(found, key=lambda each: (-each.attempts, each.sha1))


def new_passwords(connection: Connection, days: DayRange, *, limit: int) -> tuple[list[TriedPassword], int]:
    """Return passwords first tried in `days`, the most attempts first, and how many there are."""
    before = (_attempt.event_at < days.start, _attempt.password.is_not(None))
    first_tried = (
        select(_attempt.password)
        .where(_attempt.event_at < days.end, _attempt.password.is_not(None))
        .group_by(_attempt.password)
        .having(func.min(_attempt.event_at) >= days.start)
    )
    new = {sha1_of_stored(password) for password in connection.execute(first_tried).scalars()}
    if _has_both(connection, _attempt.event_at < days.end):
        # Tried before, but stored in the other way.
        earlier = select(_attempt.password).where(*before).distinct()
        for password in connection.execute(earlier, execution_options={"yield_per": 10_000}).scalars():
            new.discard(sha1_of_stored(password))
    found = sorted(_described(connection, days, new), key=lambda each: (-each.attempts, each.sha1))
    return found[:limit], len(found)


def _in(days: DayRange) -> tuple[ColumnElement[bool], ...]:
    return _attempt.event_at >= days.start, _attempt.event_at < days.end


def _has_both(connection: Connection, *conditions: ColumnElement[bool]) -> bool:
    """Whether some of the passwords are stored in clear, and some hashed."""
    kinds = (_is_hashed, not_(_is_hashed))
    return all(
        connection.execute(
            select(_attempt.login_attempt_id).where(_attempt.password.is_not(None), kind, *conditions).limit(1)
        ).first()
        for kind in kinds
    )


def _described(connection: Connection, days: DayRange, hashes: Iterable[str]) -> list[TriedPassword]:
    """Return who tried passwords in `days`, given by their SHA-1."""
    wanted = set(hashes)
    if not wanted:
        return []
    stored = (
        select(_attempt.password, func.min(_attempt.login_attempt_id))
        .where(*_in(days), _attempt.password.is_not(None))
        .group_by(_attempt.password)
    )
    # A password goes to the database as an attempt that has it, so that none can be in a statement or an error.
    pairs = [
        (attempt_id, sha1)
        for password, attempt_id in connection.execute(stored, execution_options={"yield_per": 10_000})
        if (sha1 := sha1_of_stored(password)) in wanted
    ]
    columns = {"login_attempt_id": BigInteger(), "sha1": password_exposure.c.sha1.type}
    one = login_attempts.alias()
    with staged(connection, "described_passwords", columns, pairs) as meant:
        rows = connection.execute(
            select(
                # in clear where it is known
                func.coalesce(func.min(_attempt.password).filter(not_(_is_hashed)), func.min(_attempt.password)),
                meant.c.sha1,
                func.count(),
                func.count(_attempt.session_key.distinct()),
                func.count(session_summaries.c.source.distinct()),
                func.min(_attempt.event_at),
                func.min(password_exposure.c.times_seen),
            )
            .select_from(meant)
            .join(one, one.c.login_attempt_id == meant.c.login_attempt_id)
            .join(login_attempts, _attempt.password == one.c.password)
            .join(session_summaries, session_summaries.c.session_key == _attempt.session_key)
            .outerjoin(password_exposure, password_exposure.c.sha1 == meant.c.sha1)
            .where(*_in(days))
            .group_by(meant.c.sha1)
        )
        return [TriedPassword(*row) for row in rows]
