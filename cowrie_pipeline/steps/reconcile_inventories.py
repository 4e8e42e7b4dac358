"""Hold every stored count of addresses and networks to a recount of the sessions, and mend what has drifted.

Counts are recounts already: each step counts anew what it has touched. So a difference is somebody else's doing, or a
fault of ours, and is reported before it is mended. Everything is counted from session_summaries, the current networks
of addresses, and snapshots. `file_reputation.transfers` and `password_exposure.attempts` are not looked at here: checks
of their own hold those.

Both happen in one transaction under the lock `facts`, which all who write sessions, addresses, networks, snapshots and
counts take, and which each of them holds until what follows from its writing is counted. One thing follows later: days
are counted by network after their snapshots are taken, in a transaction of its own. So days whose sessions or snapshots
are younger than `SETTLED_AFTER` are left to the run that is about to count them.

Belongs here: what is compared with what. Does not belong here: how the counts are defined (docs/networks.md).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    FromClause,
    Subquery,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    union,
    union_all,
)

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import contiguous
from cowrie_pipeline.warehouse.bulk import analyze, staged
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import (
    INET,
    UtcDateTime,
    asn_inventory,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    ip_inventory,
    loaded_days,
    session_days,
    session_summaries,
)

__all__ = ["SETTLED_AFTER", "Drift", "DriftReport", "find_drift", "mend"]

# Longer than any run takes from loading a day to counting it, and shorter than a day and a night, so that the daily
# reconciliation finds what the day before left behind.
SETTLED_AFTER = timedelta(hours=20)

# A session may be silent for a day and go on, and a late line can take from sessions of the days around it.
_REACH = timedelta(days=2)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Drift:
    """One stored value that is not what a recount says; None where there is no row, or no time."""

    table: str
    key: str
    column: str
    stored: int | datetime | None
    counted: int | datetime | None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What has drifted: the first values of each table, how many of each column, and how many rows were looked at.

    `counts` has an entry for each column that has drifted, named with its table. `waiting` are the days that are not
    settled, whose counts by network were not looked at.
    """

    rows: tuple[Drift, ...]
    counts: dict[str, int]
    looked_at: dict[str, int]
    waiting: tuple[date, ...]

    @property
    def total(self) -> int:
        """How many values have drifted."""
        return sum(self.counts.values())

    def has(self, table: Table) -> bool:
        """Whether a value of a table has drifted."""
        return any(name.startswith(f"{table.name}.") for name in self.counts)


def find_drift(connection: Connection, *, now: datetime) -> DriftReport:
    """Compare every stored count with a recount; change nothing.

    Args:
        connection: a transaction that holds the lock `facts`.
        now: time of the work, UTC.
    """
    waiting = _waiting_days(connection, now)
    rows: list[Drift] = []
    counts: dict[str, int] = {}
    with _staged_days(connection, waiting) as unsettled:
        comparisons = (
            _compare_addresses(),
            _compare_networks(unsettled),
            _compare_days(unsettled),
            _compare_countries(unsettled),
            _compare_totals(unsettled),
        )
        for each in comparisons:
            _collect(connection, each, rows, counts)
    looked_at = {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (ip_inventory, asn_inventory, asn_session_counts, country_session_counts, asn_session_totals)
    }
    return DriftReport(tuple(rows), counts, looked_at, tuple(waiting))


def mend(connection: Connection, drift: DriftReport) -> None:
    """Store the recounts of all that has drifted, not only of the rows shown.

    Args:
        connection: the transaction in which `find_drift` found it.
        drift: what it found.
    """
    dialect = connection.dialect.name
    if drift.has(ip_inventory):
        with staged(connection, "touched_addresses", {"ip_address": INET}) as addresses:
            drifted = _compare_addresses().differing
            connection.execute(insert(addresses).from_select(["ip_address"], select(drifted.c.ip_address)))
            analyze(connection, addresses)
            connection.exec_driver_sql(read_sql("transforms/recount_addresses", dialect).statement)
    if drift.has(asn_session_counts) or drift.has(country_session_counts):
        with _staged_days(connection, drift.waiting) as unsettled:
            of_networks, of_countries = _compare_days(unsettled).differing, _compare_countries(unsettled).differing
            differing = union(select(of_networks.c.day), select(of_countries.c.day))
            days = connection.execute(differing).scalars().all()
        for span in contiguous(sorted(days)):
            count_sessions(connection, span)
    if drift.has(asn_session_totals):
        with (
            _staged_days(connection, drift.waiting) as unsettled,
            staged(connection, "touched_networks", {"asn_number": BigInteger()}) as networks,
        ):
            drifted = _compare_totals(unsettled).differing
            connection.execute(insert(networks).from_select(["asn_number"], select(drifted.c.asn_number)))
            of_drifted = asn_session_totals.c.asn_number.in_(select(networks.c.asn_number))
            connection.execute(delete(asn_session_totals).where(of_drifted))
            connection.exec_driver_sql(read_sql("transforms/total_counts_of_networks", dialect).statement)
    if drift.has(asn_inventory):
        with (
            _staged_days(connection, drift.waiting) as unsettled,
            staged(connection, "touched_networks", {"asn_number": BigInteger()}) as networks,
        ):
            drifted = _compare_networks(unsettled).differing
            connection.execute(insert(networks).from_select(["asn_number"], select(drifted.c.asn_number)))
            for name in ("recount_networks", "total_sessions_of_networks"):
                connection.exec_driver_sql(read_sql(f"transforms/{name}", dialect).statement)


def _staged_days(connection: Connection, days: Sequence[date]) -> AbstractContextManager[Table]:
    return staged(connection, "waiting_days", {"day": Date()}, ((day,) for day in days))


def _waiting_days(connection: Connection, now: datetime) -> list[date]:
    """Return the days whose counts by network may still be on their way."""
    since = now - SETTLED_AFTER
    loaded = loaded_days.c.loaded_at > since
    lately = connection.execute(select(loaded_days.c.day).where(loaded)).scalars().all()
    waiting = {day + timedelta(days=off) for day in lately for off in range(-_REACH.days, _REACH.days + 1)}
    # a session counts on its first day, however long ago that was
    began = (
        select(_DAY)
        .join(session_days, session_days.c.session_key == session_summaries.c.session_key)
        .join(loaded_days, loaded_days.c.day == session_days.c.day)
        .where(loaded)
    )
    pictured = select(_DAY).where(session_summaries.c.snapshot_at > since)
    found = connection.execute(union(began, pictured)).scalars()
    return sorted(waiting | {day if isinstance(day, date) else date.fromisoformat(day) for day in found})


class _Comparison(NamedTuple):
    """The rows of a table of which a count differs: its keys, and `stored_` and `counted_` of each column."""

    table: Table
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    differing: Subquery


_DAY: ColumnElement[date] = func.date(session_summaries.c.first_event_at, type_=Date())


def _compare(
    table: Table,
    columns: tuple[str, ...],
    *,
    counted: FromClause,
    stored: FromClause | None = None,
) -> _Comparison:
    """Compare rows by their keys.

    Those `stored` are all of the table unless some are given; then rows of which there is only one side differ, too.
    Otherwise a number that nobody counted is 0.
    """
    full = stored is not None
    stored = table if stored is None else stored
    keys = tuple(column.name for column in table.primary_key)
    together = stored.join(counted, and_(*(stored.c[key] == counted.c[key] for key in keys)), isouter=True, full=full)

    def counted_of(name: str) -> ColumnElement[Any]:
        is_time = isinstance(table.c[name].type, UtcDateTime)
        return counted.c[name] if is_time or full else func.coalesce(counted.c[name], 0)

    differing = (
        select(
            *(func.coalesce(stored.c[key], counted.c[key], type_=table.c[key].type).label(key) for key in keys),
            *(type_coerce(stored.c[name], table.c[name].type).label(f"stored_{name}") for name in columns),
            *(type_coerce(counted_of(name), table.c[name].type).label(f"counted_{name}") for name in columns),
        )
        .select_from(together)
        .where(or_(*(stored.c[name].is_distinct_from(counted_of(name)) for name in columns)))
    )
    return _Comparison(table, keys, columns, differing.subquery())


def _sessions_by_address() -> Subquery:
    sessions = session_summaries.c
    return (
        select(
            sessions.source_ip.label("ip_address"),
            func.count().label("session_count"),
            func.min(sessions.first_event_at).label("first_seen"),
            func.max(sessions.last_event_at).label("last_seen"),
        )
        .where(sessions.source_ip.is_not(None))
        .group_by(sessions.source_ip)
        .subquery()
    )


def _compare_addresses() -> _Comparison:
    columns = ("session_count", "first_seen", "last_seen")
    return _compare(ip_inventory, columns, counted=_sessions_by_address())


def _compare_networks(unsettled: Table) -> _Comparison:
    """Compare networks with what the sessions say of their addresses, and with sessions by snapshot.

    Of days that are not settled the totals are held to what is stored: that is what they are sums of.
    """
    by_address = _sessions_by_address()
    addresses = (
        select(
            ip_inventory.c.current_asn.label("asn_number"),
            func.count().label("unique_ip_count"),
            func.min(by_address.c.first_seen).label("first_seen"),
            func.max(by_address.c.last_seen).label("last_seen"),
        )
        .join_from(ip_inventory, by_address, by_address.c.ip_address == ip_inventory.c.ip_address, isouter=True)
        .where(ip_inventory.c.current_asn.is_not(None))
        .group_by(ip_inventory.c.current_asn)
        .subquery()
    )
    waiting = select(unsettled.c.day)
    by_day = union_all(
        select(session_summaries.c.snapshot_asn.label("asn_number"), func.count().label("sessions"))
        .where(session_summaries.c.snapshot_asn.is_not(None), _DAY.not_in(waiting))
        .group_by(session_summaries.c.snapshot_asn),
        select(asn_session_counts.c.asn_number, func.sum(asn_session_counts.c.sessions))
        .where(asn_session_counts.c.day.in_(waiting))
        .group_by(asn_session_counts.c.asn_number),
    ).subquery()
    totals = (
        select(by_day.c.asn_number, func.sum(by_day.c.sessions).label("total_session_count"))
        .group_by(by_day.c.asn_number)
        .subquery()
    )
    counted = (
        select(
            asn_inventory.c.asn_number,
            addresses.c.unique_ip_count,
            addresses.c.first_seen,
            addresses.c.last_seen,
            totals.c.total_session_count,
        )
        .join_from(asn_inventory, addresses, addresses.c.asn_number == asn_inventory.c.asn_number, isouter=True)
        .join(totals, totals.c.asn_number == asn_inventory.c.asn_number, isouter=True)
        .subquery()
    )
    columns = ("unique_ip_count", "first_seen", "last_seen", "total_session_count")
    return _compare(asn_inventory, columns, counted=counted)


def _days_by_network(unsettled: Table) -> Subquery:
    """Count the sessions of settled days anew."""
    sessions = session_summaries.c
    network = func.coalesce(sessions.snapshot_asn, 0)
    return (
        select(
            _DAY.label("day"),
            network.label("asn_number"),
            func.count().label("sessions"),
            func.count(sessions.source_ip.distinct()).label("unique_ips"),
            func.sum(sessions.login_success_count + sessions.login_failed_count).label("logins"),
            func.sum(sessions.login_success_count).label("successful_logins"),
            func.sum(sessions.command_count).label("commands"),
            func.sum(sessions.file_download_count).label("downloads"),
        )
        .where(_DAY.not_in(select(unsettled.c.day)))
        .group_by(_DAY, network)
        .subquery()
    )


def _compare_days(unsettled: Table) -> _Comparison:
    waiting = select(unsettled.c.day)
    stored = select(asn_session_counts).where(asn_session_counts.c.day.not_in(waiting)).subquery()
    columns = ("sessions", "unique_ips", "logins", "successful_logins", "commands", "downloads")
    return _compare(asn_session_counts, columns, counted=_days_by_network(unsettled), stored=stored)


def _compare_countries(unsettled: Table) -> _Comparison:
    waiting = select(unsettled.c.day)
    sessions = session_summaries.c
    country = func.coalesce(sessions.snapshot_country, "")
    counted = (
        select(
            _DAY.label("day"),
            country.label("country"),
            func.count().label("sessions"),
            func.sum(sessions.login_success_count + sessions.login_failed_count).label("logins"),
            func.sum(sessions.login_success_count).label("successful_logins"),
            func.sum(sessions.command_count).label("commands"),
            func.sum(sessions.file_download_count).label("downloads"),
        )
        .where(_DAY.not_in(waiting))
        .group_by(_DAY, country)
        .subquery()
    )
    stored = select(country_session_counts).where(country_session_counts.c.day.not_in(waiting)).subquery()
    columns = ("sessions", "logins", "successful_logins", "commands", "downloads")
    return _compare(country_session_counts, columns, counted=counted, stored=stored)


def _compare_totals(unsettled: Table) -> _Comparison:
    """Compare totals with recounts of the sessions; of days that are not settled, with what is stored."""
    counted_days = _days_by_network(unsettled)
    names = ("sessions", "unique_ips", "logins", "successful_logins", "commands", "downloads")
    waiting = asn_session_counts.c.day.in_(select(unsettled.c.day))
    by_day = union_all(
        select(counted_days.c.asn_number, *(counted_days.c[name] for name in names)),
        select(asn_session_counts.c.asn_number, *(asn_session_counts.c[name] for name in names)).where(waiting),
    ).subquery()
    columns = {name: "address_days" if name == "unique_ips" else name for name in names}
    counted = (
        select(by_day.c.asn_number, *(func.sum(by_day.c[name]).label(column) for name, column in columns.items()))
        .group_by(by_day.c.asn_number)
        .subquery()
    )
    stored = select(asn_session_totals).subquery()
    return _compare(asn_session_totals, tuple(columns.values()), counted=counted, stored=stored)


def _collect(connection: Connection, compared: _Comparison, rows: list[Drift], counts: dict[str, int]) -> None:
    """Add the first values that differ, and how many there are of each column."""
    table, keys, columns, differing = compared
    kinds = {column.name: column.type for column in differing.c}
    with staged(connection, f"drifted_{table.name}", kinds) as drifted:
        connection.execute(insert(drifted).from_select(list(kinds), select(differing)))
        differs = {name: drifted.c[f"stored_{name}"].is_distinct_from(drifted.c[f"counted_{name}"]) for name in columns}
        found = connection.execute(
            select(*(func.coalesce(func.sum(case((differs[name], 1), else_=0)), 0) for name in columns))
        ).one()
        counts |= {f"{table.name}.{name}": int(count) for name, count in zip(columns, found, strict=True) if count}
        shown = connection.execute(select(drifted).order_by(*(drifted.c[key] for key in keys)).limit(_SHOWN)).mappings()
        of_table = [
            Drift(table.name, " ".join(str(row[key]) for key in keys), name, stored, counted)
            for row in shown
            for name in columns
            if (stored := row[f"stored_{name}"]) != (counted := row[f"counted_{name}"])
        ]
        rows += of_table[:_SHOWN]
