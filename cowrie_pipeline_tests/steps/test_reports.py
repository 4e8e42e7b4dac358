"""Reports: every number against a recount in plain Python, on both databases, and every header usable."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select, text, update

from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.days import DayRange, days_with_sessions
from cowrie_pipeline.steps.reports import (
    Interactive,
    Kind,
    ReportError,
    all_reports,
    as_frame,
    choose_days,
    read_report,
    run_report,
)
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.tables import (
    asn_inventory,
    commands,
    ip_asn_history,
    ip_inventory,
    login_attempts,
    session_summaries,
)
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    command,
    connect,
    download,
    load_events,
    login,
    rows,
    span,
)

FIRST, LAST = date(2026, 2, 10), date(2026, 3, 5)
ALL = DayRange(FIRST, LAST)
SPANS = [ALL, DayRange(LAST - timedelta(days=6), LAST), span("2026-02-20"), span("2026-02-12", "2026-03-01")]
# of the first addresses nothing is known, of the others which of nine networks they belong to
ADDRESSES = [f"8.8.{number // 200}.{number % 200 + 1}" for number in range(60)]
ASNS: dict[str, int | Status | None] = {a: 64_000 + number % 9 for number, a in enumerate(ADDRESSES) if number > 2}
WITH_VALUES = {"cached_addresses_of_country": {"country": "DE"}}
RANKINGS = {
    "sessions": "sessions",
    "logins": "logins",
    "successful_logins": "successful_logins",
    "downloads": "downloads",
}
Row = dict[str, Any]


def made_events() -> list[Event]:
    random = Random(7)
    events: list[Event] = []
    for number in range(260):
        # a network of the second half alone, and few addresses that come often
        address = ADDRESSES[min(int(random.expovariate(0.08)), len(ADDRESSES) - 1)]
        began = datetime.combine(FIRST, datetime.min.time()) + timedelta(
            minutes=random.randrange(len(ALL) * 1440 if ASNS.get(address) != 64_004 else 1440 * 5)
        )
        session = f"{number:012x}"

        def at(seconds: int, began: datetime = began) -> str:
            return f"{began + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"

        events.append(connect(at(0), session=session, src_ip=address))
        events += [
            login(at(1 + n), session=session, src_ip=address, username=random.choice(("root", "admin")))
            for n in range(random.randrange(3))
        ]
        if random.random() < 0.4:
            events.append(login(at(5), succeeded=True, session=session, src_ip=address, username="pi"))
            events.append(command(at(6), random.choice(("id", "wget http://x")), session=session, src_ip=address))
        if random.random() < 0.2:
            events.append(download(at(7), "a" * 64, session=session, src_ip=address))
    return events


@pytest.fixture(scope="module")
def filled(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A month with all assets made, after which five addresses moved to other networks."""
    url = databases.fresh()
    warehouse = Warehouse(url)
    load_events(warehouse, tmp_path_factory.mktemp("logs"), made_events())
    World(ASNS.get).enrich(warehouse, FIRST.isoformat(), LAST.isoformat())
    with warehouse.begin() as connection:
        take_snapshots(connection, ALL, now=NOW)
        count_sessions(connection, ALL)
        kinds = {64_003: ("HOSTING", True), 64_005: ("ISP", False), 64_006: ("HOSTING", True)}
        for asn, (kind, hosting) in kinds.items():
            of_asn = update(asn_inventory).where(asn_inventory.c.asn_number == asn)
            connection.execute(of_asn.values(asn_type=kind, is_known_hosting=hosting))
        for address in ADDRESSES[3:8]:
            of_address = update(ip_inventory).where(ip_inventory.c.ip_address == address)
            connection.execute(of_address.values(current_asn=64_008, geo_country="JP"))
            span_of = {"ip_address": address, "observed_from": NOW + timedelta(days=1), "asn_number": 64_008}
            connection.execute(ip_asn_history.insert(), span_of | {"last_confirmed": NOW, "source": "maxmind"})
    ledger = WarehouseCache(warehouse, day=NOW.date())
    outcomes = [
        Outcome(service=name, key=key, status=Status.HIT, fetched_at=NOW, payload=payload, latency_ms=8.0)
        for name, key, payload in (
            ("cymru", "8.8.0.9", {"country": "DE"}),
            ("virustotal", "a" * 64, {"malicious": 3, "label": "mirai"}),
        )
    ]
    ledger.put_many(outcomes)
    ledger.get_many("cymru", ["8.8.0.9", "8.8.0.10"])
    yield warehouse
    warehouse.dispose()
    databases.drop(url)


def reported(warehouse: Warehouse, name: str, days: DayRange, limit: int | None = None, **values: str) -> list[Row]:
    with warehouse.read() as connection:
        found = run_report(connection, name, days, limit=limit, values=values or WITH_VALUES.get(name, {}))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def sessions_of(warehouse: Warehouse, days: DayRange) -> list[Row]:
    return [
        row for row in rows(warehouse, session_summaries) if days.first <= row["first_event_at"].date() <= days.last
    ]


def networks(warehouse: Warehouse) -> dict[int, Row]:
    return {row["asn_number"]: row for row in rows(warehouse, asn_inventory)}


def numbers_of(sessions: Sequence[Row]) -> Row:
    return {
        "sessions": len(sessions),
        "logins": sum(each["login_success_count"] + each["login_failed_count"] for each in sessions),
        "successful_logins": sum(each["login_success_count"] for each in sessions),
        "commands": sum(each["command_count"] for each in sessions),
        "downloads": sum(each["file_download_count"] for each in sessions),
    }


def grouped(sessions: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for each in sessions:
        groups[key(each)].append(each)
    return dict(groups)


def days_in(sessions: Sequence[Row]) -> int:
    return len({each["first_event_at"].date() for each in sessions})


# ---- networks


@pytest.mark.parametrize("limit", [None, 1, 3])
@pytest.mark.parametrize("days", SPANS, ids=str)
@pytest.mark.parametrize("metric", RANKINGS)
def test_the_first_networks_are_those_of_a_recount(
    filled: Warehouse, metric: str, days: DayRange, limit: int | None
) -> None:
    sessions = sessions_of(filled, days)
    of_all = numbers_of(sessions)[metric]
    expected = []
    for asn, some in grouped(sessions, lambda each: each["snapshot_asn"]).items():
        numbers = numbers_of(some)
        if asn is not None and numbers[metric]:
            expected.append({"asn_number": asn, **numbers, "share": numbers[metric] / of_all, "days": days_in(some)})
    expected.sort(key=lambda row: (-row[metric], row["asn_number"]))
    found = reported(filled, f"top_networks_by_{metric}", days, limit)
    assert [{name: row[name] for name in expected[0]} for row in found] == expected[:limit]
    of_network = networks(filled)
    assert all(row["organization_name"] == of_network[row["asn_number"]]["organization_name"] for row in found)


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_an_address_that_came_on_several_days_is_one(filled: Warehouse, days: DayRange) -> None:
    expected = [
        {"asn_number": asn, "addresses": len({each["source_ip"] for each in some}), "sessions": len(some)}
        for asn, some in grouped(sessions_of(filled, days), lambda each: each["snapshot_asn"]).items()
        if asn is not None
    ]
    expected.sort(key=lambda row: (-row["addresses"], row["asn_number"]))
    for limit in (None, 1, 4):
        found = reported(filled, "top_networks_by_addresses", days, limit)
        assert [{name: row[name] for name in ("asn_number", "addresses", "sessions")} for row in found] == expected[
            :limit
        ]


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_new_networks_came_on_no_earlier_day(filled: Warehouse, days: DayRange) -> None:
    before = {row["snapshot_asn"] for row in sessions_of(filled, DayRange(date(2000, 1, 1), LAST))
              if row["first_event_at"].date() < days.first}  # fmt: skip
    groups = grouped(sessions_of(filled, days), lambda each: each["snapshot_asn"])
    expected = {
        asn: (min(each["first_event_at"].date() for each in some), len(some))
        for asn, some in groups.items()
        if asn is not None and asn not in before
    }
    found = reported(filled, "new_networks", days)
    assert {row["asn_number"]: (row["first_day"], row["sessions"]) for row in found} == expected
    assert [row["sessions"] for row in found] == sorted((row["sessions"] for row in found), reverse=True)


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_growth_is_against_as_many_days_before(filled: Warehouse, days: DayRange) -> None:
    earlier = DayRange(days.first - timedelta(days=len(days)), days.first - timedelta(days=1))
    now, before = (
        Counter(row["snapshot_asn"] for row in sessions_of(filled, each) if row["snapshot_asn"])
        for each in (days, earlier)
    )
    expected = {asn: (now[asn], before[asn], now[asn] - before[asn]) for asn in {*now, *before}}
    found = reported(filled, "network_growth", days)
    assert {r["asn_number"]: (r["sessions"], r["sessions_before"], r["growth"]) for r in found} == expected
    for row in found:
        assert row["ratio"] == (row["sessions"] / row["sessions_before"] if row["sessions_before"] else None)


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_countries_add_up_with_those_that_are_not_known(filled: Warehouse, days: DayRange) -> None:
    sessions = sessions_of(filled, days)
    expected = {
        country: {**numbers_of(some), "days": days_in(some), "share": len(some) / len(sessions)}
        for country, some in grouped(sessions, lambda each: each["snapshot_country"]).items()
    }
    found = {row.pop("country"): row for row in reported(filled, "countries", days)}
    assert found == expected


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_the_share_of_hosting_is_of_all_sessions(filled: Warehouse, days: DayRange) -> None:
    of_network = networks(filled)
    sessions = sessions_of(filled, days)

    def kind(each: Row) -> tuple[Any, Any]:
        network = of_network.get(each["snapshot_asn"], {})
        return network.get("asn_type"), network.get("is_known_hosting")

    expected = {}
    for key, some in grouped(sessions, kind).items():
        numbers = numbers_of(some)
        expected[key] = {
            "networks": len({each["snapshot_asn"] for each in some} - {None}),
            "share": len(some) / len(sessions),
            **{name: numbers[name] for name in ("sessions", "logins", "successful_logins", "downloads")},
        }
    found = {(row.pop("asn_type"), row.pop("is_known_hosting")): row for row in reported(filled, "hosting_share", days)}
    assert found == expected


# ---- sets of sessions


SETS: dict[str, Callable[[Warehouse], set[int]]] = {
    "": lambda warehouse: {row["session_key"] for row in rows(warehouse, session_summaries)},
    "command=wget": lambda warehouse: {
        row["session_key"] for row in rows(warehouse, commands) if "wget" in (row["input"] or "")
    },
    "username=pi": lambda warehouse: {
        row["session_key"] for row in rows(warehouse, login_attempts) if row["username"] == "pi"
    },
    f"sha256={'a' * 64}": lambda warehouse: {
        row["session_key"] for row in rows(warehouse, session_summaries) if row["file_download_count"]
    },
    "session_id=00000000002a": lambda warehouse: {
        row["session_key"] for row in rows(warehouse, session_summaries) if row["session_id"] == "00000000002a"
    },
    "hassh=none": lambda _: set(),
}


@pytest.mark.parametrize("asked", SETS)
def test_a_set_of_sessions_is_grouped_by_its_snapshots(filled: Warehouse, asked: str) -> None:
    values = dict([asked.split("=")]) if asked else {}
    keys = SETS[asked](filled)
    sessions = [row for row in sessions_of(filled, ALL) if row["session_key"] in keys]
    expected = {
        key: {
            "sessions": len(some),
            "share": len(some) / len(sessions),
            "addresses": len({each["source_ip"] for each in some}),
            "logged_in": sum(each["login_success_count"] > 0 for each in some),
            "first_event_at": min(each["first_event_at"] for each in some),
            "last_event_at": max(each["first_event_at"] for each in some),
        }
        for key, some in grouped(sessions, lambda each: (each["snapshot_asn"], each["snapshot_country"])).items()
    }
    found = {
        (r.pop("asn_number"), r.pop("country")): r
        for r in reported(filled, "networks_of_sessions", ALL, None, **values)
    }
    assert found == expected


@pytest.mark.parametrize("asked", SETS)
def test_where_the_addresses_of_a_set_are_now(filled: Warehouse, asked: str) -> None:
    values = dict([asked.split("=")]) if asked else {}
    keys = SETS[asked](filled)
    inventory = {row["ip_address"]: row for row in rows(filled, ip_inventory)}
    sessions = [row for row in sessions_of(filled, ALL) if row["session_key"] in keys]
    expected = {}
    for (asn, country), some in grouped(
        sessions, lambda each: tuple(inventory[each["source_ip"]][name] for name in ("current_asn", "geo_country"))
    ).items():
        expected[asn, country] = (
            len({each["source_ip"] for each in some}),
            len(some),
            sum(asn is not None and each["snapshot_asn"] not in (None, asn) for each in some),
        )
    found = reported(filled, "addresses_of_sessions_now", ALL, None, **values)
    assert {
        (r["asn_number"], r["country"]): (r["addresses"], r["sessions"], r["sessions_from_elsewhere"]) for r in found
    } == expected


@pytest.mark.parametrize("days", SPANS, ids=str)
def test_sessions_that_moved_are_those_of_another_network_now(filled: Warehouse, days: DayRange) -> None:
    current = {row["ip_address"]: row["current_asn"] for row in rows(filled, ip_inventory)}
    expected = [
        (row["first_event_at"], row["session_id"], row["source_ip"], row["snapshot_asn"], current[row["source_ip"]])
        for row in sessions_of(filled, days)
        if None not in (row["snapshot_asn"], current[row["source_ip"]])
        and row["snapshot_asn"] != current[row["source_ip"]]
    ]
    found = reported(filled, "sessions_that_moved", days)
    names = ("first_event_at", "session_id", "source_ip", "asn_number", "asn_number_now")
    assert sorted(tuple(row[name] for name in names) for row in found) == sorted(expected)
    assert len(expected) > 0 or days != ALL
    times = [row["first_event_at"] for row in found]
    assert times == sorted(times, reverse=True)


# ---- what is known, and of whom


def test_coverage_counts_the_addresses_of_each_day(filled: Warehouse) -> None:
    inventory = {row["ip_address"]: row for row in rows(filled, ip_inventory)}
    by_day: dict[date, set[str]] = defaultdict(set)
    for row in sessions_of(filled, ALL):
        by_day[row["first_event_at"].date()].add(row["source_ip"])
    found = {
        row["day"]: (row["total"], row["known"])
        for row in reported(filled, "coverage_by_day", ALL)
        if (row["asset"], row["field"]) == ("ip_inventory", "current_asn")
    }
    assert found == {
        day: (len(some), sum(inventory[each]["current_asn"] is not None for each in some))
        for day, some in by_day.items()
    }


def test_the_outcomes_of_a_source_add_up_to_the_addresses_of_each_day(filled: Warehouse) -> None:
    found = Counter[date]()
    for row in reported(filled, "coverage_by_source", ALL):
        if row["source"] == "maxmind":
            found[row["day"]] += row["looked_up"]
    by_day = grouped(sessions_of(filled, ALL), lambda each: each["first_event_at"].date())
    assert found == {day: len({each["source_ip"] for each in some}) for day, some in by_day.items()}


def test_the_memory_of_look_ups_is_summed_by_service(filled: Warehouse) -> None:
    with filled.begin() as connection:
        connection.execute(text("DELETE FROM enrichment_cache_stats"))
        connection.execute(
            text(
                "INSERT INTO enrichment_cache_stats (service, day, hits, misses, stores, calls, failures, latency_ms) "
                "VALUES ('a', '2026-03-01', 3, 1, 1, 4, 1, 80.0), ('a', '2026-03-02', 6, 0, 0, 0, 0, 0.0),"
                "('b', '2026-03-02', 0, 0, 0, 0, 0, 0.0), ('a', '2026-03-09', 9, 9, 9, 9, 9, 9.0)"
            )
        )
    found = reported(filled, "cache_statistics", span("2026-03-01", "2026-03-02"))
    assert [tuple(row.values()) for row in found] == [
        ("a", 9, 1, 0.9, 1, 4, 1, 0.25, 20.0),
        ("b", 0, 0, None, 0, 0, 0, None, None),
    ]


def test_what_services_said_is_found_by_country_and_since_a_day(filled: Warehouse) -> None:
    (address,) = reported(filled, "cached_addresses_of_country", ALL)
    assert (address["ip_address"], address["service"], address["fetched_at"]) == ("8.8.0.9", "cymru", NOW)
    (file,) = reported(filled, "flagged_files", ALL)
    assert (file["sha256"], file["malicious"], file["label"]) == ("a" * 64, 3, "mirai")


def test_the_counts_behind_reports_are_recounts(filled: Warehouse) -> None:
    with filled.read() as connection:
        for check in all_checks():
            if check.asset == "asn_session_counts":
                assert check.run(connection, ALL, Settings(), NOW).passed, check.name


# ---- every report


@pytest.mark.parametrize("name", [spec.name for spec in all_reports()])
def test_a_header_says_what_a_report_is(name: str) -> None:
    for dialect in ("sqlite", "postgresql"):
        header = read_sql(f"reports/{name}", dialect).header
        assert {"title", "question", "parameters", "columns", "interactive"} <= set(header)
        assert set(header) <= {"title", "question", "parameters", "columns", "interactive", "span", "asset", "plot"}
        assert header == read_sql(f"reports/{name}", "sqlite").header
    spec = read_report(name)
    assert spec.question.endswith("?")
    assert all(each.meaning for each in spec.parameters)
    assert not spec.assets or spec.interactive is not Interactive.NO or spec.is_by_day


@pytest.mark.parametrize("name", [spec.name for spec in all_reports()])
def test_a_report_of_an_empty_database_is_an_empty_table_with_types(warehouse: Warehouse, name: str) -> None:
    with warehouse.read() as connection:
        days = choose_days(connection, read_report(name), None, None)
        found = run_report(connection, name, days, values=WITH_VALUES.get(name, {}))
    assert (found.rows, found.is_cut) == ((), False)
    assert [str(kind) for kind in as_frame(found).dtypes] == [_dtype(column.kind) for column in found.spec.columns]


@pytest.mark.parametrize("name", [spec.name for spec in all_reports()])
def test_a_frame_has_the_types_of_the_header_and_the_values_of_the_rows(filled: Warehouse, name: str) -> None:
    with filled.read() as connection:
        found = run_report(connection, name, ALL, values=WITH_VALUES.get(name, {}))
    frame = as_frame(found)
    assert list(frame.columns) == list(found.columns)
    assert [str(kind) for kind in frame.dtypes] == [_dtype(column.kind) for column in found.spec.columns]
    for row, values in zip(found.rows, frame.itertuples(index=False, name=None), strict=True):
        for column, expected, value in zip(found.spec.columns, row, values, strict=True):
            if expected is None:
                assert pd.isna(value)
            elif column.kind is Kind.DAY:
                assert value.date() == expected
            else:
                assert value == expected, column.name
                assert column.kind is not Kind.TIME or value.utcoffset() == timedelta(0)


def _dtype(kind: Kind) -> str:
    return {
        Kind.TEXT: "string",
        Kind.INTEGER: "Int64",
        Kind.NUMBER: "Float64",
        Kind.BOOLEAN: "boolean",
        Kind.DAY: "datetime64[us]",
        Kind.TIME: "datetime64[us, UTC]",
    }[kind]


def test_rows_that_were_cut_off_are_told(filled: Warehouse) -> None:
    with filled.read() as connection:
        all_rows = run_report(connection, "countries", ALL)
        exactly = run_report(connection, "countries", ALL, limit=len(all_rows.rows))
        fewer = run_report(connection, "countries", ALL, limit=1)
        by_day = run_report(connection, "coverage_by_day", ALL, limit=3)
    assert (all_rows.is_cut, exactly.is_cut, fewer.is_cut, by_day.is_cut) == (False, False, True, True)
    assert exactly.rows == all_rows.rows
    assert (fewer.rows, len(by_day.rows)) == (all_rows.rows[:1], 3)


def test_days_that_are_not_named_are_those_that_the_report_means(filled: Warehouse) -> None:
    with filled.read() as connection:
        assert days_with_sessions(connection) is not None

        def chosen(name: str, first: date | None = None, last: date | None = None) -> DayRange:
            return choose_days(connection, read_report(name), first, last)

        newest = connection.execute(select(session_summaries.c.first_event_at)).scalars()
        end = max(newest).date()
        assert chosen("countries").last == chosen("new_networks").last == chosen("networks_of_sessions").last == end
        assert len(chosen("new_networks")) == 7
        assert len(chosen("networks_of_sessions")) == 1
        assert chosen("new_networks", None, date(2026, 2, 20)) == span("2026-02-14", "2026-02-20")
        assert chosen("countries", date(2026, 2, 20)) == DayRange(date(2026, 2, 20), end)
        assert chosen("countries", date(2027, 1, 1)) == span("2027-01-01")
        assert chosen("countries", None, date(2000, 1, 1)) == span("2000-01-01")


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("top_network_by_session", {}, "did you mean top_networks_by_sessions"),
        ("zzz", {}, "`cowrie-pipeline report --list` names all"),
        ("countries", {"x": "1"}, "has no parameter x: it has none of its own"),
        ("networks_of_sessions", {"x": "1"}, "it has command, hassh, session_id, sha256, username"),
        ("cached_addresses_of_country", {}, "needs country: give --with country=VALUE"),
        ("../checks/kept_lines", {}, "there is no report"),
    ],
)
def test_a_report_that_cannot_be_run_says_why(
    warehouse: Warehouse, name: str, values: dict[str, str], told: str
) -> None:
    with warehouse.read() as connection, pytest.raises(ReportError, match=r".") as caught:
        run_report(connection, name, ALL, values=values)
    assert told in str(caught.value)


def test_times_are_in_utc(filled: Warehouse) -> None:
    found = reported(filled, "networks_of_sessions", ALL)
    assert all(row["first_event_at"].tzinfo is UTC for row in found)
