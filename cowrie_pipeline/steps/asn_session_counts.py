"""Count sessions per network and day, and per country and day, as both were when they attacked.

A session counts on the day on which it began. Loading one day can change what began on another: a session that
crosses midnight belongs to its first day, whichever day came first, and a line that came late can take from sessions
of the days around it what seemed to be theirs. So the days of all sessions near the days asked for are counted again.

Belongs here: which days are counted. Does not belong here: whose session it was (session_snapshots.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import BigInteger, Connection, Date, delete, func, insert, select, update

from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    asn_addresses,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    session_days,
)

__all__ = ["CountsReport", "count_sessions"]

# A session may be silent for a day and go on, and events that name no address follow it at the same distance.
_REACH = timedelta(days=2)
# of a month's days
_ALL_BITS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class CountsReport:
    """Rows written, networks and sessions counted, by day.

    Network 0 stands for sessions whose network is not known: it is a row and no network.
    """

    rows: dict[date, int] = field(default_factory=dict)
    networks: dict[date, int] = field(default_factory=dict)
    sessions: dict[date, int] = field(default_factory=dict)


def count_sessions(connection: Connection, days: DayRange) -> CountsReport:
    """Count the sessions of `days`, and of days near them, or sharing a session, that were counted before."""
    dialect = connection.dialect.name
    counted = sorted(set(days) | _sharing_days(connection, days))
    with (
        staged(connection, "counted_days", {"day": Date()}, ((day,) for day in counted)),
        staged(connection, "touched_networks", {"asn_number": BigInteger()}) as networks,
    ):
        of_days = asn_session_counts.c.day.in_(counted)
        touched = insert(networks).from_select(
            ["asn_number"], select(asn_session_counts.c.asn_number).where(of_days).distinct()
        )
        connection.execute(touched)
        connection.execute(delete(asn_session_counts).where(of_days))
        connection.execute(delete(country_session_counts).where(country_session_counts.c.day.in_(counted)))
        _forget_addresses(connection, counted)
        span = DayRange(counted[0], counted[-1])
        for name in ("count_sessions_by_network", "count_sessions_by_country", "count_addresses_by_network"):
            statement = read_sql(f"transforms/{name}", dialect).statement
            connection.execute(with_parameters(statement, start=span.start, end=span.end))
        connection.execute(touched)
        of_networks = asn_session_totals.c.asn_number.in_(select(networks.c.asn_number))
        connection.execute(delete(asn_session_totals).where(of_networks))
        for name in ("total_counts_of_networks", "total_sessions_of_networks"):
            connection.exec_driver_sql(read_sql(f"transforms/{name}", dialect).statement)
    rows = connection.execute(
        select(
            asn_session_counts.c.day,
            func.count(),
            func.count().filter(asn_session_counts.c.asn_number > 0),
            func.sum(asn_session_counts.c.sessions),
        )
        .where(asn_session_counts.c.day.between(days.first, days.last))
        .group_by(asn_session_counts.c.day)
    ).all()
    return CountsReport(
        rows={day: written for day, written, _, _ in rows},
        networks={day: networks for day, _, networks, _ in rows},
        sessions={day: int(total) for day, _, _, total in rows},
    )


def _forget_addresses(connection: Connection, days: Sequence[date]) -> None:
    """Take days out of the months of each address; a month of which none is left goes."""
    gone = dict[int, int]()
    for day in days:
        month = day.year * 100 + day.month
        gone[month] = gone.get(month, 0) | 1 << day.day
    table = asn_addresses.c
    for month, bits in gone.items():
        others = table.days.bitwise_and(_ALL_BITS ^ bits)
        connection.execute(delete(asn_addresses).where(table.month == month, others == 0))
        of_month = table.month == month, table.days.bitwise_and(bits) != 0
        connection.execute(update(asn_addresses).where(*of_month).values(days=others))


def _sharing_days(connection: Connection, days: DayRange) -> set[date]:
    """Return the days, counted before, on which sessions near `days` were active too."""
    of_range = session_days.alias()
    active = connection.scalars(
        select(session_days.c.day)
        .join(of_range, of_range.c.session_key == session_days.c.session_key)
        .where(of_range.c.day.between(days.first - _REACH, days.last + _REACH))
        .distinct()
    )
    others = [day for day in active if not days.first <= day <= days.last]
    # asked apart: given both at once, SQLite goes through the sessions of all days that were counted
    counted = select(asn_session_counts.c.day).where(asn_session_counts.c.day.in_(others)).distinct()
    return set(connection.scalars(counted))
