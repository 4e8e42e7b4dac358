"""Incidents and messages as the database keeps them.

Belongs here: the tables `alert_incidents`, `alert_recoveries` and `alert_outbox`.
Does not belong here: what is decided (rules.py), how a message is sent (receivers.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cowrie_pipeline.observability.instruments import ALERTS_SENT
from cowrie_pipeline.settings import ReceiverSettings
from cowrie_pipeline.steps.alerts.message import Message, message_of
from cowrie_pipeline.steps.alerts.model import (
    Announcement,
    Failure,
    Incident,
    Kind,
    Moment,
    Part,
    Recovery,
    Trouble,
)
from cowrie_pipeline.steps.alerts.rules import settle
from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.tables import alert_incidents, alert_outbox, alert_recoveries

__all__ = [
    "Claimed",
    "Noted",
    "Waiting",
    "claim_message",
    "close_incident",
    "delivered",
    "failed",
    "note",
    "open_incidents",
    "waiting",
]

_LOCK = "alerts"
_ALL_DAYS = DayRange(date.min, date.max)
# A failure that becomes known later than this after a recovery that came after it would be told as a new one.
_RECOVERIES_KEPT = timedelta(days=7)
_INCIDENTS_KEPT = timedelta(days=90)
# Longer than the longest attempt to send: who claimed a message and did not say what became of it was killed.
_CLAIM = timedelta(minutes=10)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_SCOPES_AT_ONCE = 500
_NOT_NOW = timedelta.max


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of findings: the announcements, and how many messages wait because of them."""

    announcements: tuple[Announcement, ...]
    messages: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process is to send, and nobody else until `due_at`."""

    message_id: int
    incident_id: str
    receiver: str
    message: Message
    attempts: int


def note(
    warehouse: Warehouse,
    findings: Sequence[Failure | Recovery],
    receivers: Sequence[ReceiverSettings],
    *,
    now: datetime,
    repeat_after: timedelta,
    ui_url: str | None,
) -> Noted:
    """Take in findings, and write a message for every receiver that is to have it.

    One transaction, and one process at a time: what two processes tell at once is announced once. What was told
    before changes nothing. A message that an incident is over goes to those who were told of it.
    """
    if not findings and not _is_anything_to_repeat(warehouse, now, repeat_after):
        return Noted((), 0)
    with warehouse.begin(lock=_LOCK) as connection:
        settled = settle(
            open_incidents(connection),
            _recoveries(connection, findings),
            findings,
            now=now,
            repeat_after=repeat_after,
        )
        for incident in settled.incidents:
            _upsert(connection, alert_incidents, _row_of(incident))
        _keep_recoveries(connection, findings)
        messages = 0
        for announcement in settled.announcements:
            messages += _post(connection, announcement, receivers, now=now, ui_url=ui_url)
        if settled.announcements:
            _forget(connection, now)
    return Noted(settled.announcements, messages)


def close_incident(
    warehouse: Warehouse,
    fingerprint: str,
    receivers: Sequence[ReceiverSettings],
    *,
    now: datetime,
    ui_url: str | None,
) -> bool:
    """Take what fails in an incident for well; return whether there was such an incident."""
    with warehouse.read() as connection:
        scopes = {
            scope for each in open_incidents(connection) if each.fingerprint == fingerprint for scope in each.scopes
        }
    findings = [Recovery(scope, None, now) for scope in sorted(scopes)]
    if not findings:
        return False
    note(warehouse, findings, receivers, now=now, repeat_after=_NOT_NOW, ui_url=ui_url)
    return True


def open_incidents(connection: Connection) -> list[Incident]:
    """Return the incidents that are not over, the oldest first."""
    rows = connection.execute(
        select(alert_incidents)
        .where(alert_incidents.c.closed_at.is_(None))
        .order_by(alert_incidents.c.opened_at, alert_incidents.c.incident_id)
    )
    return [_incident(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages to one receiver that are not delivered; `error` is why the newest attempt of the oldest failed."""

    receiver: str
    messages: int
    oldest_at: datetime
    next_at: datetime
    attempts: int
    error: str | None


def waiting(connection: Connection) -> list[Waiting]:
    """Return what waits to be delivered, by receiver."""
    box = alert_outbox.c
    found: list[Waiting] = []
    for receiver, messages, oldest_at, next_at in connection.execute(
        select(box.receiver, func.count(), func.min(box.created_at), func.min(box.due_at))
        .where(box.delivered_at.is_(None))
        .group_by(box.receiver)
        .order_by(box.receiver)
    ):
        attempts, error = connection.execute(
            select(box.attempts, box.error)
            .where(box.receiver == receiver, box.delivered_at.is_(None))
            .order_by(box.attempts.desc(), box.message_id)
            .limit(1)
        ).one()
        found.append(Waiting(receiver, messages, oldest_at, next_at, attempts, error))
    return found


def claim_message(warehouse: Warehouse, receivers: Iterable[str], *, now: datetime) -> Claimed | None:
    """Take the oldest message that is due to one of `receivers`, so that nobody else sends it; None if there is none.

    A message waits for those before it of the same incident to the same receiver: nobody is told of the end of what he
    was not told of.
    """
    box, earlier = alert_outbox.c, alert_outbox.alias("earlier").c
    statement = (
        select(box.message_id, box.incident_id, box.receiver, box.message, box.attempts)
        .where(
            box.delivered_at.is_(None),
            box.due_at <= now,
            box.receiver.in_(list(receivers)),
            ~exists().where(
                earlier.incident_id == box.incident_id,
                earlier.receiver == box.receiver,
                earlier.message_id < box.message_id,
                earlier.delivered_at.is_(None),
            ),
        )
        .order_by(box.message_id)
        .limit(1)
    )
    with warehouse.read() as connection:
        if connection.execute(statement).one_or_none() is None:
            return None
    with warehouse.begin(lock=_LOCK) as connection:
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        connection.execute(
            update(alert_outbox)
            .where(box.message_id == row.message_id)
            .values(due_at=now + _CLAIM, attempts=row.attempts + 1)
        )
    return Claimed(row.message_id, row.incident_id, row.receiver, row.message, row.attempts + 1)


def delivered(warehouse: Warehouse, claimed: Claimed, *, kind: str, now: datetime) -> None:
    """Write down that a message has arrived at a receiver of that kind."""
    with counting(warehouse, lock=_LOCK) as (connection, tally):
        tally.count(ALERTS_SENT, receiver=kind, severity=str(claimed.message["severity"]))
        connection.execute(
            update(alert_outbox)
            .where(alert_outbox.c.message_id == claimed.message_id)
            .values(delivered_at=now, error=None)
        )


def failed(
    warehouse: Warehouse,
    claimed: Claimed,
    *,
    error: str,
    not_before: timedelta | None,
    is_down: bool,
    now: datetime,
) -> datetime:
    """Write down that a message did not arrive; return when it is sent again.

    The pauses grow from a minute to an hour. Where the receiver `is_down`, which says nothing of the message, all
    messages to it wait as long. `not_before` is how long the receiver itself asks to wait.
    """
    pause = min(_FIRST_PAUSE * (1 << min(claimed.attempts - 1, 10)), _LONGEST_PAUSE)
    due_at: datetime = now + max(pause, not_before or pause)
    box = alert_outbox.c
    with warehouse.begin(lock=_LOCK) as connection:
        connection.execute(
            update(alert_outbox).where(box.message_id == claimed.message_id).values(due_at=due_at, error=error)
        )
        if is_down:
            connection.execute(
                update(alert_outbox)
                .where(box.receiver == claimed.receiver, box.delivered_at.is_(None), box.due_at < due_at)
                .values(due_at=due_at)
            )
    return due_at


def _is_anything_to_repeat(warehouse: Warehouse, now: datetime, repeat_after: timedelta) -> bool:
    table = alert_incidents.c
    with warehouse.read() as connection:
        statement = (
            select(table.incident_id)
            .where(table.closed_at.is_(None), table.announced_at <= now - repeat_after)
            .limit(1)
        )
        return connection.execute(statement).one_or_none() is not None


def _recoveries(connection: Connection, findings: Sequence[Failure | Recovery]) -> list[Recovery]:
    """Return what was found well lately of what fails in `findings`."""
    scopes = sorted({scope for each in findings if isinstance(each, Failure) for scope in each.scopes})
    table = alert_recoveries.c
    found: list[Recovery] = []
    for start in range(0, len(scopes), _SCOPES_AT_ONCE):
        some = scopes[start : start + _SCOPES_AT_ONCE]
        for scope, first, last, seen_at in connection.execute(
            select(table.scope, table.first_day, table.last_day, table.seen_at).where(table.scope.in_(some))
        ):
            days = DayRange(first, last)
            found.append(Recovery(scope, None if days == _ALL_DAYS else days, seen_at))
    return found


def _keep_recoveries(connection: Connection, findings: Sequence[Failure | Recovery]) -> None:
    newest: dict[tuple[str, DayRange], datetime] = {}
    for each in findings:
        if isinstance(each, Recovery):
            key = (each.scope, each.days or _ALL_DAYS)
            newest[key] = max(each.seen_at, newest.get(key, each.seen_at))
    # in the order of their key, as everywhere, so that two writers cannot wait for each other
    for (scope, days), seen_at in sorted(newest.items(), key=lambda each: (each[0][0], each[0][1].first)):
        row = {"scope": scope, "first_day": days.first, "last_day": days.last, "seen_at": seen_at}
        _upsert(connection, alert_recoveries, row, only_if_later="seen_at")


def _post(
    connection: Connection,
    announcement: Announcement,
    receivers: Sequence[ReceiverSettings],
    *,
    now: datetime,
    ui_url: str | None,
) -> int:
    incident = announcement.incident
    if announcement.moment is Moment.OVER:
        box = alert_outbox.c
        told = connection.scalars(
            select(box.receiver).distinct().where(box.incident_id == incident.incident_id).order_by(box.receiver)
        )
        names = list(told)
    else:
        names = [receiver.name for receiver in receivers if _wants(receiver, incident.trouble)]
    message = message_of(announcement, ui_url)
    for name in names:
        row = {"incident_id": incident.incident_id, "receiver": name, "message": message}
        connection.execute(insert(alert_outbox).values(**row, created_at=now, due_at=now))
    return len(names)


def _wants(receiver: ReceiverSettings, trouble: Trouble) -> bool:
    is_bad_enough = receiver.severity == Severity.WARN or trouble.severity is Severity.ERROR
    return is_bad_enough and (not receiver.assets or bool(set(receiver.assets) & set(trouble.assets)))


def _forget(connection: Connection, now: datetime) -> None:
    """Remove what no rule needs any more; incidents and their messages stay as long as one waits to be delivered."""
    incidents, box = alert_incidents.c, alert_outbox.c
    old = (
        select(incidents.incident_id)
        .where(
            incidents.closed_at < now - _INCIDENTS_KEPT,
            ~exists().where(box.incident_id == incidents.incident_id, box.delivered_at.is_(None)),
        )
        .scalar_subquery()
    )
    connection.execute(delete(alert_outbox).where(box.incident_id.in_(old)))
    nothing_left = ~exists().where(box.incident_id == incidents.incident_id)
    connection.execute(delete(alert_incidents).where(incidents.closed_at < now - _INCIDENTS_KEPT, nothing_left))
    connection.execute(delete(alert_recoveries).where(alert_recoveries.c.seen_at < now - _RECOVERIES_KEPT))


def _row_of(incident: Incident) -> dict[str, Any]:
    trouble = incident.trouble
    return {
        "incident_id": incident.incident_id,
        "fingerprint": incident.fingerprint,
        "kind": trouble.kind.value,
        "severity": trouble.severity.value,
        "opened_at": incident.opened_at,
        "announced_at": incident.announced_at,
        "closed_at": incident.closed_at,
        "content": {
            "title": trouble.title,
            "remedy": trouble.remedy,
            "assets": list(trouble.assets),
            "facts": [list(fact) for fact in trouble.facts],
            "columns": list(trouble.columns),
            "rows": [list(row) for row in trouble.rows],
            "run_id": trouble.run_id,
            "seen_at": incident.seen_at.isoformat(),
            "all_days": [_days_as_json(days) for days in incident.all_days],
            "parts": [[part.scope, _days_as_json(part.days), part.seen_at.isoformat()] for part in incident.parts],
        },
    }


def _incident(row: Any) -> Incident:
    content = row.content
    return Incident(
        incident_id=row.incident_id,
        fingerprint=row.fingerprint,
        trouble=Trouble(
            kind=Kind(row.kind),
            severity=Severity(row.severity),
            title=content["title"],
            remedy=content["remedy"],
            assets=tuple(content["assets"]),
            facts=tuple((name, value) for name, value in content["facts"]),
            columns=tuple(content["columns"]),
            rows=tuple(tuple(each) for each in content["rows"]),
            run_id=content["run_id"],
        ),
        parts=tuple(
            Part(scope, _days_of_json(days), datetime.fromisoformat(seen_at))
            for scope, days, seen_at in content["parts"]
        ),
        all_days=tuple(days for each in content["all_days"] if (days := _days_of_json(each)) is not None),
        opened_at=row.opened_at,
        seen_at=datetime.fromisoformat(content["seen_at"]),
        announced_at=row.announced_at,
        closed_at=row.closed_at,
    )


def _days_as_json(days: DayRange | None) -> list[str] | None:
    return None if days is None else [days.first.isoformat(), days.last.isoformat()]


def _days_of_json(days: Sequence[str] | None) -> DayRange | None:
    return None if days is None else DayRange(date.fromisoformat(days[0]), date.fromisoformat(days[1]))


def _upsert(connection: Connection, table: Table, row: Mapping[str, Any], *, only_if_later: str | None = None) -> None:
    """Insert a row or change the one with its key."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row)
    key = [column.name for column in table.primary_key]
    changes = {name: statement.excluded[name] for name in row if name not in key}
    condition = None if only_if_later is None else table.c[only_if_later] < statement.excluded[only_if_later]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes, where=condition))
