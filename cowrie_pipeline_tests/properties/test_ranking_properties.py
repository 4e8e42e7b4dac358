"""What holds for every ranking of networks: leaving networks out early never changes which are first."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.reports import run_report
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory, session_summaries
from cowrie_pipeline_tests.conftest import Databases

# over the ends of two months, one of which is short
FIRST = date(2026, 1, 30)
DAYS = DayRange(FIRST, date(2026, 3, 2))
NOW = datetime(2026, 4, 1, tzinfo=UTC)
ASNS = [None, *range(64_500, 64_506)]
ADDRESSES = [f"198.51.100.{number}" for number in range(8)]
# Every network, every day, no bound, no index: what a ranking is by definition.
BY_COUNT = """
    SELECT asn_number, SUM({count}) AS {count}, SUM(sessions) AS sessions, COUNT(*) AS days
    FROM asn_session_counts
    WHERE day BETWEEN :first_day AND :last_day AND asn_number <> 0
    GROUP BY asn_number HAVING SUM({count}) > 0 ORDER BY 2 DESC, 1
"""
BY_ADDRESSES = """
    SELECT snapshot_asn AS asn_number, COUNT(DISTINCT source_ip) AS addresses, COUNT(*) AS sessions
    FROM session_summaries
    WHERE first_event_at >= :start AND first_event_at < :end AND snapshot_asn IS NOT NULL
    GROUP BY snapshot_asn ORDER BY 2 DESC, 1
"""


class Attack(NamedTuple):
    """Sessions that are alike, of one address, on one day."""

    asn: int | None
    address: str
    day: int
    sessions: int
    logins: int
    downloads: int


# few values, so that networks tie, and come on few days, so that spans miss them
attacks = st.lists(
    st.builds(
        Attack,
        st.sampled_from(ASNS),
        st.sampled_from(ADDRESSES),
        st.integers(0, len(DAYS) - 1),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=25,
)
limits = st.one_of(st.none(), st.integers(1, 8))
spans = st.tuples(st.integers(0, len(DAYS) - 1), st.integers(0, len(DAYS) - 1)).map(
    lambda ends: DayRange(FIRST + timedelta(days=min(ends)), FIRST + timedelta(days=max(ends)))
)


@pytest.fixture(scope="module")
def known(databases: Databases) -> Iterator[Warehouse]:
    """A database of networks and addresses, where no session is yet."""
    url = databases.fresh()
    warehouse = Warehouse(url)
    with warehouse.begin() as connection:
        times = {"created_at": NOW, "updated_at": NOW}
        connection.execute(insert(asn_inventory), [{"asn_number": asn, **times} for asn in ASNS if asn])
        connection.execute(insert(ip_inventory), [{"ip_address": each, "created_at": NOW} for each in ADDRESSES])
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


def write_sessions(connection: Connection, made: list[Attack]) -> None:
    rows: list[dict[str, Any]] = []
    for each in made:
        began = datetime.combine(FIRST + timedelta(days=each.day), time(12), UTC)
        for _ in range(each.sessions):
            key = len(rows) + 1
            rows.append(
                {
                    "session_key": key,
                    "session_id": f"{key:012x}",
                    "sensor": "honeypot",
                    "source": each.address,
                    "source_ip": each.address,
                    "first_event_at": began,
                    "last_event_at": began,
                    "is_closed": True,
                    "login_success_count": each.logins // 2,
                    "login_failed_count": each.logins - each.logins // 2,
                    "file_download_count": each.downloads,
                    "event_counts": {},
                    "snapshot_asn": each.asn,
                    "snapshot_at": NOW,
                    "snapshot_basis": "observed",
                }
            )
    if rows:
        connection.execute(insert(session_summaries), rows)
    count_sessions(connection, DAYS)


@settings(max_examples=60)
@given(attacks, spans, limits)
def test_the_first_networks_are_those_of_all_networks_ordered(
    known: Warehouse, made: list[Attack], days: DayRange, limit: int | None
) -> None:
    with known.engine.connect() as connection, connection.begin() as transaction:
        write_sessions(connection, made)
        span = {"first_day": days.first, "last_day": days.last, "start": days.start, "end": days.end}
        for count in ("sessions", "logins", "successful_logins", "downloads", "addresses"):
            statement = BY_ADDRESSES if count == "addresses" else BY_COUNT.format(count=count)
            all_networks = connection.execute(with_parameters(statement, **span)).mappings().all()
            found = run_report(connection, f"top_networks_by_{count}", days, limit=limit)
            named = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
            expected = [dict(row) for row in all_networks[:limit]]
            assert [{name: row[name] for name in all_networks[0]} for row in named] == expected, count
            assert found.is_cut == (limit is not None and len(all_networks) > limit), count
        transaction.rollback()
