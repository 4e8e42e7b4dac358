"""Which SSH keys were planted into authorized_keys, by whom, and where else they were seen.

The commands of sessions are read one session at a time, and what is found goes into a temporary table, so that neither
many sessions nor many keys fill the memory. The database then counts.

Belongs here: which sessions are read, counting, and log-ins by the same keys.
Does not belong here: how a key is found in a command (cowrie/ssh_keys.py), showing it (cli/).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Connection, String, Table, Text, case, func, insert, literal, or_, select, union

from cowrie_pipeline.cowrie.ssh_keys import MAX_TEXT, keys_in
from cowrie_pipeline.cowrie.text import unescape_text
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import client_keys, commands, login_attempts, session_summaries

__all__ = ["KeyReport", "KeySession", "PlantedKeysReport", "planted_keys"]

_log = logging.getLogger(__name__)
# A key is only looked for in sessions that name the file, or encode something.
_SIGNS = ("authorized_keys", "base64", "\\x")
_FOUND_COLUMNS = {
    "session_key": BigInteger(),
    "fingerprint": String(),
    "md5": String(),
    "key_type": Text(),
    "bits": BigInteger(),
    "comment": Text(),
}
_SESSIONS_SHOWN = 20
_SESSIONS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class KeySession:
    """A session in which a key was seen; `how` is `planted`, `offered`, `log-in` or `failed log-in`."""

    how: str
    began_at: datetime
    source: str
    network: int | None
    sensor: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """A key that was planted, and by how many.

    `sessions`, `addresses` and `networks` (at attack time) planted it within the days asked for, the first of these
    sessions began at `first_seen`, the last at `last_seen`. `planted_elsewhere` are sessions of other days. Over all
    days, `offered_in` are sessions whose client offered it, and `log_ins` attempts to log in by it, of which
    `successful_log_ins` succeeded. `shown` are the newest sessions of each of these kinds, where they were asked for.
    """

    key_type: str
    bits: int
    fingerprint: str
    md5: str
    comment: str
    first_seen: datetime
    last_seen: datetime
    sessions: int
    addresses: int
    networks: int
    planted_elsewhere: int = 0
    offered_in: int = 0
    log_ins: int = 0
    successful_log_ins: int = 0
    shown: tuple[KeySession, ...] = ()


@dataclass(frozen=True, slots=True)
class PlantedKeysReport:
    """The keys planted by most sessions first; `distinct` counts all of them.

    `sessions_read` are the sessions that were looked through, of all days.
    """

    keys: tuple[KeyReport, ...] = ()
    distinct: int = 0
    sessions_read: int = 0


def planted_keys(
    warehouse: Warehouse,
    days: DayRange | None = None,
    *,
    limit: int | None = None,
    key: str | None = None,
    on_progress: OnProgress = unheard,
) -> PlantedKeysReport:
    """Return the keys that sessions planted.

    Args:
        warehouse: the database.
        days: count sessions that began on these days; None for all. Where else a key was seen is of all days.
        limit: how many keys; None for all.
        key: only this key, by either fingerprint, and the newest sessions that had to do with it.
        on_progress: called with the sessions looked through and to look through.
    """
    read: Counter[str] = Counter()
    with warehouse.read() as reader, warehouse.read() as connection:
        rows = _found(reader, read, on_progress)
        with staged(connection, "found_keys", _FOUND_COLUMNS, rows) as found:
            in_span = [] if days is None else [_began >= days.start, _began < days.end]
            meant = [] if key is None else [or_(found.c.fingerprint == key, found.c.md5 == key.lower())]
            keys = _counted(connection, found, in_span, meant, limit)
            distinct = connection.execute(
                select(func.count(found.c.fingerprint.distinct()))
                .join(session_summaries, session_summaries.c.session_key == found.c.session_key)
                .where(*in_span, *meant)
            ).scalar_one()
            keys = _with_other_sightings(connection, found, keys, with_sessions=key is not None)
    return PlantedKeysReport(keys, distinct, read["sessions"])


_began = session_summaries.c.first_event_at


def _found(connection: Connection, read: Counter[str], on_progress: OnProgress) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each key of each session, of all days: where else a key was planted is asked, too."""
    sign = or_(*(commands.c.input.contains(each, autoescape=True) for each in _SIGNS))
    with staged(connection, "sessions_with_signs", {"session_key": BigInteger()}) as chosen:
        connection.execute(
            insert(chosen).from_select(["session_key"], select(commands.c.session_key).where(sign).distinct())
        )
        total = connection.execute(select(func.count()).select_from(chosen)).scalar_one()
        _log.info("%d sessions may have planted a key", total)
        rows = connection.execute(
            select(commands.c.session_key, commands.c.input)
            .join(chosen, chosen.c.session_key == commands.c.session_key)
            .where(commands.c.input.is_not(None))
            .order_by(commands.c.session_key, commands.c.event_at, commands.c.command_id),
            execution_options={"yield_per": _SESSIONS_AT_ONCE},
        )
        for session_key, of_session in groupby(rows, key=itemgetter(0)):
            for each in keys_in(_bounded(of_session)):
                yield session_key, each.fingerprint, each.md5, each.key_type, each.bits, each.comment
            read["sessions"] += 1
            if read["sessions"] % _SESSIONS_AT_ONCE == 0 or read["sessions"] == total:
                on_progress(read["sessions"], total)


def _bounded(rows: Iterator[Any]) -> list[str]:
    """Return the lines that a session entered, as far as they are looked through."""
    lines: list[str] = []
    size = 0
    for _, line in rows:
        if size <= MAX_TEXT:
            lines.append(unescape_text(line[:MAX_TEXT]))
            size += len(lines[-1])
    return lines


def _counted(
    connection: Connection, found: Table, in_span: Sequence[Any], meant: Sequence[Any], limit: int | None
) -> tuple[KeyReport, ...]:
    session = session_summaries.c
    rows = connection.execute(
        select(
            found.c.fingerprint,
            func.min(found.c.md5).label("md5"),
            func.min(found.c.key_type).label("key_type"),
            func.min(found.c.bits).label("bits"),
            # most keys come with one comment; an empty one tells nothing
            func.coalesce(func.min(func.nullif(found.c.comment, "")), "").label("comment"),
            func.min(_began).label("first_seen"),
            func.max(_began).label("last_seen"),
            func.count().label("sessions"),
            func.count(session.source.distinct()).label("addresses"),
            func.count(session.snapshot_asn.distinct()).label("networks"),
        )
        .join(session_summaries, session.session_key == found.c.session_key)
        .where(*in_span, *meant)
        .group_by(found.c.fingerprint)
        .order_by(func.count().desc(), found.c.fingerprint)
        .limit(limit)
    ).mappings()
    return tuple(KeyReport(**row) for row in rows)


def _with_other_sightings(
    connection: Connection, found: Table, keys: Sequence[KeyReport], *, with_sessions: bool
) -> tuple[KeyReport, ...]:
    """Add where else keys were seen, over all days."""
    # Cowrie logs the MD5 of a key that a client offers; one that logs SHA-256 is understood, too.
    names = ((name, each.fingerprint) for each in keys for name in (each.fingerprint, each.md5, f"MD5:{each.md5}"))
    with staged(connection, "names_of_keys", {"name": String(), "fingerprint": String()}, names) as named:
        planted: dict[str, int] = dict(
            connection.execute(select(found.c.fingerprint, func.count()).group_by(found.c.fingerprint)).all()
        )
        offered: dict[str, int] = dict(
            connection.execute(
                select(named.c.fingerprint, func.count(client_keys.c.session_key.distinct()))
                .join(client_keys, client_keys.c.fingerprint == named.c.name)
                .group_by(named.c.fingerprint)
            ).all()
        )
        tried = {
            fingerprint: (attempts, successes)
            for fingerprint, attempts, successes in connection.execute(
                select(named.c.fingerprint, func.count(), func.count().filter(login_attempts.c.succeeded))
                .join(login_attempts, login_attempts.c.key_fingerprint == named.c.name)
                .group_by(named.c.fingerprint)
            )
        }
        shown = _sessions_of(connection, found, named, keys[0].fingerprint) if with_sessions and keys else ()
    return tuple(
        replace(
            each,
            planted_elsewhere=planted[each.fingerprint] - each.sessions,
            offered_in=offered.get(each.fingerprint, 0),
            log_ins=tried.get(each.fingerprint, (0, 0))[0],
            successful_log_ins=tried.get(each.fingerprint, (0, 0))[1],
            shown=shown,
        )
        for each in keys
    )


def _sessions_of(connection: Connection, found: Table, named: Table, fingerprint: str) -> tuple[KeySession, ...]:
    """Return the newest sessions that planted a key, offered it, or logged in by it: some of each kind."""
    session = session_summaries.c
    kind = case((login_attempts.c.succeeded, "log-in"), else_="failed log-in")
    kinds = (
        select(literal("planted").label("how"), found.c.session_key).where(found.c.fingerprint == fingerprint),
        select(literal("offered"), client_keys.c.session_key)
        .join(named, named.c.name == client_keys.c.fingerprint)
        .where(named.c.fingerprint == fingerprint),
        select(kind, login_attempts.c.session_key)
        .join(named, named.c.name == login_attempts.c.key_fingerprint)
        .where(named.c.fingerprint == fingerprint),
    )
    # each once, however often a session offers a key
    seen = union(*kinds).subquery()
    place = (
        func.row_number().over(partition_by=seen.c.how, order_by=(_began.desc(), session.session_key)).label("place")
    )
    ranked = (
        select(seen.c.how, _began, session.source, session.snapshot_asn, session.sensor, session.session_id, place)
        .join(session_summaries, session.session_key == seen.c.session_key)
        .subquery()
    )
    *columns, place_of = ranked.c
    rows = connection.execute(select(*columns).where(place_of <= _SESSIONS_SHOWN).order_by(ranked.c.how, place_of))
    return tuple(KeySession(*row) for row in rows)
