"""Rows written at once come back as they were, of every type, on both databases."""

from datetime import UTC, date, datetime, timedelta, timezone
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest
from sqlalchemy import BigInteger, Connection, Date, Table, Text, func, insert, inspect, select
from sqlalchemy.exc import IntegrityError, StatementError

from cowrie_pipeline.warehouse import bulk
from cowrie_pipeline.warehouse.bulk import analyze, insert_rows, staged, written_together
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import (
    INET,
    UtcDateTime,
    asn_inventory,
    ip_inventory,
    log_files,
    log_segments,
    login_attempts,
    session_summaries,
)
from cowrie_pipeline.warehouse.times import count_by_day

NOON = datetime(2026, 3, 5, 12, 0, 0, 123456, UTC)
ADDRESS_COLUMNS = (
    "ip_address",
    "current_asn",
    "first_seen",
    "session_count",
    "geo_country",
    "geo_city",
    "latitude",
    "is_bogon",
    "enrichment",
    "created_at",
)
ADDRESSES: list[tuple[Any, ...]] = [
    ("8.8.8.8", 4294967295, NOON, 2**62, "US", 'Zürich\t\\N "x"\n\u2028\U0001f600', 48.85, True, '{"a": [1]}', NOON),
    ("2001:db8::1", None, None, 0, None, "", -0.0, False, None, datetime(2026, 3, 5, tzinfo=UTC)),
    ("255.255.255.255", None, NOON, 0, None, "\\.", 1e-300, None, "{}", datetime(1970, 1, 1, tzinfo=UTC)),
]


def add_network(connection: Connection) -> None:
    connection.execute(insert(asn_inventory).values(asn_number=4294967295, created_at=NOON, updated_at=NOON))


def test_rows_come_back_as_they_were(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        add_network(connection)
        assert insert_rows(connection, ip_inventory, ADDRESS_COLUMNS, ADDRESSES) == 3
    with warehouse.read() as connection:
        found = connection.execute(select(*(ip_inventory.c[name] for name in ADDRESS_COLUMNS))).all()
    given = {row[0]: row for row in ADDRESSES}
    assert len(found) == 3
    for row in found:
        address, *rest = row
        expected = list(given[address][1:])
        expected[7] = {None: None, "{}": {}, '{"a": [1]}': {"a": [1]}}[expected[7]]
        assert rest == expected
        assert all(value.tzinfo is UTC for value in rest if isinstance(value, datetime))


def test_bytes_and_days_come_back_as_they_were(warehouse: Warehouse) -> None:
    raw = bytes(range(256))
    with warehouse.begin() as connection:
        columns: tuple[str, ...] = (
            "path",
            "fingerprint",
            "head_length",
            "size",
            "modified_ns",
            "read_offset",
            "tail_fingerprint",
        )
        columns += ("tail_length", "ends_with_newline", "is_foreign", "head_is_joined", "tail_is_joined")
        columns += ("days", "oddities", "read_at", "head_fragment")
        row = ("/x", "f", 0, 1, 2, 3, "t", 0, True, False, False, False, '{"2026-03-05": 1}', "{}", NOON, raw)
        insert_rows(connection, log_files, columns, [row])
        file_id = connection.execute(select(log_files.c.file_id)).scalar_one()
        insert_rows(
            connection,
            log_segments,
            ("file_id", "day", "events", "lines", "fingerprints"),
            [(file_id, date(2026, 3, 5), 1, raw, b"")],
        )
    with warehouse.read() as connection:
        file = connection.execute(select(log_files)).one()
        segment = connection.execute(select(log_segments)).one()
    assert (file.head_fragment, file.days, file.ends_with_newline, file.is_foreign) == (
        raw,
        {"2026-03-05": 1},
        True,
        False,
    )
    assert (segment.day, segment.lines, segment.fingerprints) == (date(2026, 3, 5), raw, b"")


def test_a_time_may_be_given_as_text(warehouse: Warehouse) -> None:
    rows = [("8.8.8.8", "2026-03-05 12:00:00.123456"), ("9.9.9.9", NOON)]
    with warehouse.begin() as connection:
        insert_rows(connection, ip_inventory, ("ip_address", "created_at"), rows)
        assert connection.execute(select(ip_inventory.c.created_at)).scalars().all() == [NOON, NOON]


def test_times_compare_and_sort_in_the_database_as_they_do_here(warehouse: Warehouse) -> None:
    """On SQLite times are text: one with its fraction left out would sort wrongly."""
    times = [datetime(2026, 3, 5, 12, tzinfo=UTC) + timedelta(microseconds=n) for n in (0, 1, 999_999, 1_000_000)]
    with warehouse.begin() as connection:
        rows = ((f"10.0.0.{n}", time) for n, time in enumerate(times))
        insert_rows(connection, ip_inventory, ("ip_address", "created_at"), rows)
        connection.execute(insert(ip_inventory).values(ip_address="10.0.0.9", created_at=times[0]))
        column = ip_inventory.c.created_at
        assert connection.execute(select(column).order_by(column)).scalars().all() == [times[0], *times]
        assert connection.execute(select(func.count()).where(column <= times[0])).scalar_one() == 2
        assert connection.execute(select(func.count()).where(column < times[3])).scalar_one() == 4


def test_more_rows_than_are_written_at_once_are_all_written(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_ROWS_AT_ONCE", 7)
    with warehouse.begin() as connection:
        rows = ((f"10.0.0.{n}", NOON) for n in range(22))
        assert insert_rows(connection, ip_inventory, ("ip_address", "created_at"), rows) == 22
        assert connection.execute(select(func.count()).select_from(ip_inventory)).scalar_one() == 22


def test_no_rows_are_no_trouble(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        assert insert_rows(connection, ip_inventory, ("ip_address", "created_at"), []) == 0


KINDS = {"address": INET, "number": BigInteger(), "day": Date(), "at": UtcDateTime(), "note": Text()}


def test_staged_rows_are_there_for_as_long_as_they_are_needed(warehouse: Warehouse) -> None:
    rows = [("8.8.8.8", 2**63 - 1, date(2026, 3, 5), NOON, "a"), ("::1", -(2**63), None, None, None)]
    with warehouse.begin() as connection:
        with staged(connection, "some_rows", KINDS, rows) as table:
            insert_rows(connection, table, ("address",), [("1.1.1.1",)])
            analyze(connection, table)
            whole = select(table).where(table.c.number.is_not(None)).order_by(table.c.number)
            assert connection.execute(whole).all() == rows[::-1]
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 3
        assert _tables(connection, table) == []
        with staged(connection, "some_rows", KINDS):  # the name is free again
            pass


def test_staged_rows_are_gone_after_an_error(warehouse: Warehouse) -> None:
    def fail() -> None:
        with warehouse.begin() as connection, staged(connection, "some_rows", KINDS):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with warehouse.begin() as connection, staged(connection, "some_rows", KINDS) as table:
        assert connection.execute(select(table)).all() == []


def _tables(connection: Connection, table: Table) -> list[str]:
    return [name for name in inspect(connection).get_temp_table_names() if name == table.name]


# ---- times


def test_a_time_without_a_zone_is_refused(warehouse: Warehouse) -> None:
    statement = insert(ip_inventory).values(ip_address="8.8.8.8", created_at=NOON.replace(tzinfo=None))
    with pytest.raises(StatementError, match="expected a time with a zone"), warehouse.begin() as connection:
        connection.execute(statement)


def test_a_time_in_another_zone_is_kept_as_the_same_moment(warehouse: Warehouse) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    with warehouse.begin() as connection:
        connection.execute(insert(ip_inventory).values(ip_address="8.8.8.8", created_at=local))
        insert_rows(connection, ip_inventory, ("ip_address", "created_at"), [("9.9.9.9", local)])
        found = connection.execute(select(ip_inventory.c.created_at)).scalars().all()
    assert found == [NOON, NOON]
    assert [time.utcoffset() for time in found] == [timedelta(0)] * 2


class Span:
    def __init__(self, start: datetime, end: datetime) -> None:
        self.start, self.end = start, end


def test_rows_are_counted_by_the_utc_day_of_their_time(warehouse: Warehouse) -> None:
    midnight = datetime(2026, 3, 6, tzinfo=UTC)
    times = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=23), midnight + timedelta(1)]
    with warehouse.begin() as connection:
        rows = ((f"10.0.0.{n}", time) for n, time in enumerate(times))
        insert_rows(connection, ip_inventory, ("ip_address", "created_at"), rows)
        column = ip_inventory.c.created_at
        span = Span(midnight - timedelta(days=3), midnight + timedelta(days=1))
        assert count_by_day(connection, column, span) == {date(2026, 3, 5): 1, date(2026, 3, 6): 2}
        assert count_by_day(connection, column, span, ip_inventory.c.ip_address == "10.0.0.1") == {date(2026, 3, 6): 1}


def test_parameters_of_a_statement_are_bound_with_their_types(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        insert_rows(connection, ip_inventory, ("ip_address", "created_at"), [("8.8.8.8", NOON)])
        statement = with_parameters(
            "SELECT COUNT(*) FROM ip_inventory WHERE created_at >= :start AND date(created_at) = :day",
            start=NOON,
            day=NOON.date(),
            unused="not bound",
        )
        assert connection.execute(statement).scalar_one() == 1


def test_two_colons_are_no_parameter(warehouse: Warehouse) -> None:
    if warehouse.dialect == "sqlite":
        assert with_parameters("SELECT 1::day", day=1).compile().params == {}
        return
    with warehouse.read() as connection:
        assert connection.execute(with_parameters("SELECT '5'::bigint + :n", n=2, bigint=9)).scalar_one() == 7


def test_a_writer_waits_for_another_that_does_the_same_work(warehouse: Warehouse) -> None:
    happened: list[str] = []
    started = Event()

    def second() -> None:
        started.set()
        with warehouse.begin(lock="work"):
            happened.append("second began")

    thread = Thread(target=second)
    with warehouse.begin(lock="work"):
        thread.start()
        started.wait()
        sleep(0.1)
        happened.append("first ended")
    thread.join(timeout=30)
    assert happened == ["first ended", "second began"]


REFERENCES = (session_summaries.c.source_ip, login_attempts.c.session_key)


def write_session(connection: Connection, key: int, address: str | None, *, attempt_of: int) -> None:
    if address is not None:
        insert_rows(connection, ip_inventory, ["ip_address", "created_at"], [(address, NOON)])
    names = ("session_key", "session_id", "sensor", "source", "source_ip", "first_event_at", "last_event_at")
    row = (key, f"{key}", "pot", "", address, NOON, NOON, True, "{}")
    insert_rows(connection, session_summaries, [*names, "is_closed", "event_counts"], [row])
    insert_rows(connection, login_attempts, ["session_key", "event_at", "succeeded"], [(attempt_of, NOON, False)])


def keys_and_indexes(warehouse: Warehouse) -> list[Any]:
    """Every foreign key and index as the database has it; on PostgreSQL with whether all rows meet the key."""
    if warehouse.dialect == "postgresql":
        statement = (
            "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE contype = 'f' "
            "UNION ALL SELECT indexname, indexdef, true FROM pg_indexes WHERE schemaname = 'public'"
        )
    else:
        statement = "SELECT name, COALESCE(sql, '') FROM sqlite_master"
    with warehouse.read() as connection:
        return sorted(map(tuple, connection.exec_driver_sql(statement)))


def test_keys_and_indexes_are_there_afterwards_as_before(warehouse: Warehouse) -> None:
    before = keys_and_indexes(warehouse)
    with warehouse.begin() as connection, written_together(connection, REFERENCES):
        write_session(connection, 1, "8.8.8.8", attempt_of=1)
    assert keys_and_indexes(warehouse) == before
    # beside what waits to be checked, too
    with warehouse.begin() as connection:
        write_session(connection, 2, None, attempt_of=2)
        with written_together(connection, REFERENCES):
            write_session(connection, 3, "9.9.9.9", attempt_of=2)
    assert keys_and_indexes(warehouse) == before


def test_an_orphan_among_rows_written_together_undoes_them_all(warehouse: Warehouse) -> None:
    before = keys_and_indexes(warehouse)
    with pytest.raises(IntegrityError), warehouse.begin() as connection, written_together(connection, REFERENCES):
        write_session(connection, 1, "8.8.8.8", attempt_of=2)
    assert keys_and_indexes(warehouse) == before
    with warehouse.read() as connection:
        assert not connection.execute(select(session_summaries)).all()


def test_tables_that_somebody_reads_are_not_waited_for(warehouse: Warehouse) -> None:
    before = keys_and_indexes(warehouse)
    with warehouse.read() as reader:
        assert not reader.execute(select(login_attempts)).all()
        with warehouse.begin() as connection, written_together(connection, REFERENCES):
            write_session(connection, 1, "8.8.8.8", attempt_of=1)
        assert keys_and_indexes(warehouse) == before
        with pytest.raises(IntegrityError), warehouse.begin() as connection, written_together(connection, REFERENCES):
            write_session(connection, 2, None, attempt_of=3)
