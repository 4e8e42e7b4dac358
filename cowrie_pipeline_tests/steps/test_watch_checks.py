"""What tells of trouble around the data: each check fails on a made case of it, and passes when all is well."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cowrie_pipeline.enrichment.made_geoip import ASN_FILE, CITY_FILE, GeoRow, write_geoip
from cowrie_pipeline.enrichment.sources.maxmind import GeoIpBuild
from cowrie_pipeline.settings import Settings, SettingsError
from cowrie_pipeline.steps.check_model import CheckResult
from cowrie_pipeline.steps.checks import all_checks
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.raw_sessions import load_days
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.steps.watch_checks import ALL_SENSORS, bursts_of_networks, judge_ages, judge_volume
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, enrichment_cache_stats
from cowrie_pipeline_tests.enrichment.shared_data import shared_folder
from cowrie_pipeline_tests.steps.made_days import Event, World, connect, load, login, scan, span, write_log

CHECKS = {check.name: check for check in all_checks()}
NOW = datetime(2026, 3, 20, 6, tzinfo=UTC)
TODAY = NOW.date()
MINUTE = timedelta(minutes=1)


def run(
    warehouse: Warehouse, name: str, days: DayRange, *, now: datetime = NOW, settings: Settings | None = None
) -> CheckResult:
    with warehouse.read() as connection:
        return CHECKS[name].run(connection, days, settings or Settings(), now)


def sessions(day: str, number: int, *, sensor: str = "a", src_ip: str = "198.51.100.7") -> list[Event]:
    """Make sessions of one event each, some seconds apart."""
    start = datetime.fromisoformat(day)
    return [
        connect((start + timedelta(seconds=600 * n)).isoformat(), session=f"{n:012x}", sensor=sensor, src_ip=src_ip)
        for n in range(number)
    ]


# ---- volume

FEW = Settings(volume_least=5)


def counted(**of_sensors: Iterable[int]) -> dict[tuple[str, date], int]:
    """Return sessions by sensor and day, of days that end yesterday; 0 is a day without any."""
    counts = {}
    for sensor, numbers in of_sensors.items():
        listed = list(numbers)
        for n, number in enumerate(listed):
            if number:
                counts[sensor, TODAY - timedelta(days=len(listed) - n)] = number
    return counts


def judged(counts: dict[tuple[str, date], int], days_ago: int = 1, **settings: Any) -> list[tuple[str, int, float]]:
    day = TODAY - timedelta(days=days_ago)
    found = judge_volume(counts, DayRange(day, day), settings=Settings(**settings), now=NOW)
    return [(each.sensor, each.sessions, each.usual) for each in found]


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([100] * 15, []),
        ([100] * 14 + [20], []),
        ([100] * 14 + [19], [("a", 19, 100)]),
        ([100] * 14 + [0], [("a", 0, 100)]),
        ([100] * 14 + [1000], []),
        ([100] * 14 + [1001], [("a", 1001, 100)]),
        # six days say nothing of what is usual, seven do
        ([100] * 6 + [0], []),
        ([100] * 7 + [0], [("a", 0, 100)]),
        # one odd day among them does not move the median
        ([100] * 7 + [9000] + [100] * 6 + [150], []),
        # of very little nothing can be said
        ([49] * 14 + [0], []),
        ([50] * 14 + [0], [("a", 0, 50)]),
        # it has been off for longer than half of the days: by now it is usual
        ([100] * 6 + [0] * 9, []),
        ([100] * 8 + [0] * 7, [("a", 0, 100)]),
        # what came back is no flood
        ([0] * 12 + [100] * 1 + [0, 3000], []),
    ],
)
def test_silence_and_floods_are_told_by_the_median_of_the_days_before(
    numbers: list[int], found: list[tuple[str, int, float]]
) -> None:
    assert judged(counted(a=numbers)) == found


def test_one_of_two_sensors_that_falls_silent_is_seen_though_the_other_goes_on() -> None:
    assert judged(counted(a=[100] * 14 + [0], b=[400] * 15)) == [("a", 0, 100)]


def test_all_sensors_together_are_judged_too() -> None:
    assert judged(counted(a=[40] * 14 + [0], b=[40] * 14 + [0])) == [(ALL_SENSORS, 0, 80)]


def test_a_sensor_that_was_renamed_is_not_silent() -> None:
    assert judged(counted(a=[100] * 14 + [0], b=[100])) == []
    assert judged(counted(a=[100] * 13 + [0, 0], b=[100, 100])) == []
    # one that came before says nothing of it
    assert judged(counted(a=[100] * 14 + [0], b=[100] * 4)) == [("a", 0, 100)]


def test_a_day_that_is_not_over_is_not_quiet_but_may_be_a_flood() -> None:
    today = {("a", TODAY): 3}
    assert judged(counted(a=[100] * 14) | today, 0) == []
    assert judged(counted(a=[100] * 14) | {("a", TODAY): 1001}, 0) == [("a", 1001, 100)]


def test_thresholds_of_volume_are_settings() -> None:
    counts = counted(a=[100] * 14 + [60])
    assert judged(counts, volume_low=0.7) == [("a", 60, 100)]
    assert judged(counted(a=[100] * 14 + [0]), volume_low=0) == []
    assert judged(counted(a=[100] * 14 + [301]), volume_high=3) == [("a", 301, 100)]
    assert judged(counted(a=[100] * 3 + [0]), volume_days=3) == [("a", 0, 100)]
    assert judged(counted(a=[9] * 14 + [0]), volume_least=9) == [("a", 0, 9)]


def test_a_honeypot_that_fell_silent_is_found_in_the_database(warehouse: Warehouse, tmp_path: Path) -> None:
    days = [f"2026-03-{day:02}" for day in range(1, 11)]
    of_a = [each for day in days[:9] for each in sessions(day, 6)]
    of_b = [each for day in days for each in sessions(day, 7, sensor="b", src_ip="198.51.100.8")]
    scan(warehouse, write_log(tmp_path / "cowrie.json", [*of_a, *of_b]))
    load(warehouse, days[0], days[-1])
    assert run(warehouse, "session_volume", span(days[0], days[8]), settings=FEW).passed
    found = run(warehouse, "session_volume", span(days[0], days[-1]), settings=FEW)
    assert found.columns == ("day", "sensor", "sessions", "usual_sessions", "reason")
    assert found.rows == ((date(2026, 3, 10), "a", 0, 6, "below 20% of the usual"),)
    # the eleventh day has no line at all
    assert run(warehouse, "session_volume", span("2026-03-11"), settings=FEW).at_fault == 3


def test_a_flood_is_found_in_the_database(warehouse: Warehouse, tmp_path: Path) -> None:
    days = [f"2026-03-{day:02}" for day in range(1, 9)]
    events = [each for day in days[:7] for each in sessions(day, 5)] + sessions(days[7], 51)
    scan(warehouse, write_log(tmp_path / "cowrie.json", events))
    load(warehouse, days[0], days[-1])
    found = run(warehouse, "session_volume", span(days[0], days[-1]), settings=FEW)
    assert found.rows == ((date(2026, 3, 8), "a", 51, 5, "above 10 times the usual"),)


# ---- gateways


def of_gateway(warehouse: Warehouse, folder: Path, private: int, others: int, address: str) -> CheckResult:
    day = "2026-03-01"
    events = sessions(day, private, src_ip=address)
    for n in range(others):
        events += sessions(day, 1, src_ip=f"8.8.{n}.8")
    # another sensor, of which all is well, does not hide it
    events += [each for n in range(60) for each in sessions(day, 1, sensor="b", src_ip=f"9.9.{n}.9")]
    scan(warehouse, write_log(folder / "cowrie.json", events))
    load(warehouse, day)
    World(lambda _: None).enrich(warehouse, day, day, now=NOW)
    return run(warehouse, "gateway_addresses", span(day))


def test_a_private_address_with_nearly_all_sessions_of_a_sensor_is_a_gateway(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    found = of_gateway(warehouse, tmp_path, 54, 6, "172.17.0.1")
    assert found.columns == ("day", "sensor", "source_ip", "sessions", "sessions_of_sensor")
    ((_, sensor, source_ip, with_gateway, of_sensor),) = found.rows
    assert (sensor, str(source_ip), with_gateway, of_sensor) == ("a", "172.17.0.1", 54, 60)
    assert run(warehouse, "gateway_addresses", span("2026-03-02")).passed
    assert run(warehouse, "gateway_addresses", span("2026-03-01"), settings=Settings(gateway_share=0.91)).passed
    assert run(warehouse, "gateway_addresses", span("2026-03-01"), settings=Settings(volume_least=61)).passed


@pytest.mark.parametrize(
    ("private", "others", "address"),
    [(53, 7, "172.17.0.1"), (49, 0, "172.17.0.1"), (60, 0, "8.8.4.4")],
    ids=["others too", "few sessions", "a public address"],
)
def test_what_is_no_gateway(warehouse: Warehouse, tmp_path: Path, private: int, others: int, address: str) -> None:
    assert of_gateway(warehouse, tmp_path, private, others, address).passed


def test_the_remedy_of_a_gateway_is_in_the_check() -> None:
    remedy = CHECKS["gateway_addresses"].remedy
    assert all(words in remedy for words in ("userland-proxy", "network_mode: host", "PROXY protocol"))


@pytest.mark.parametrize("behind_proxy", [False, True])
def test_a_real_log_of_docker_has_a_gateway_once_its_proxy_hides_who_connects(
    warehouse: Warehouse, tmp_path: Path, behind_proxy: bool
) -> None:
    real = shared_folder("logs") / "docker-2025" / "cowrie.json"
    log = tmp_path / "cowrie.json"
    text = real.read_text()
    # what Docker's proxy makes of each address: that of the bridge
    log.write_text(re.sub(r'"src_ip":"[^"]*"', '"src_ip":"172.17.0.1"', text) if behind_proxy else text)
    scan(warehouse, log)
    days = sorted({found[:10] for found in re.findall(r'"timestamp":"([^"]*)"', text)})
    load(warehouse, days[0], days[-1])
    World(lambda _: None).enrich(warehouse, days[0], days[-1], now=NOW)
    found = run(warehouse, "gateway_addresses", span(days[0], days[-1]))
    assert found.passed != behind_proxy
    assert {str(row[2]) for row in found.rows} == ({"172.17.0.1"} if behind_proxy else set())


# ---- clocks


def read_at(warehouse: Warehouse, folder: Path, events: list[Event], now: datetime) -> None:
    scan_logs(warehouse, [str(write_log(folder / "cowrie.json", events))], settings=Settings(), now=now)


def test_an_event_that_was_read_before_it_happened_is_of_a_wrong_clock(warehouse: Warehouse, tmp_path: Path) -> None:
    at = datetime(2026, 3, 20, 5, 0, tzinfo=UTC)
    read_at(warehouse, tmp_path, [login("2026-03-20 05:00", sensor="a")], at - 6 * MINUTE)
    load_days(warehouse, span("2026-03-20"), now=at - 6 * MINUTE)
    found = run(warehouse, "sensor_clocks", span("2026-03-20"))
    assert found.columns == ("sensor", "path", "event_at", "read_at", "minutes_ahead")
    path = str(tmp_path / "cowrie.json")
    assert found.rows == ((None, path, at, at - 6 * MINUTE, 6.0), ("a", None, at, at - 6 * MINUTE, 6.0))
    assert run(warehouse, "sensor_clocks", span("2026-03-20"), settings=Settings(clock_skew_minutes=6)).passed
    assert run(warehouse, "sensor_clocks", span("2026-03-20"), now=NOW + timedelta(days=8)).passed, "it is long ago"


@pytest.mark.parametrize("minutes", [-5, 0, 60 * 24 * 300])
def test_what_is_read_late_or_a_little_early_says_nothing_of_a_clock(
    warehouse: Warehouse, tmp_path: Path, minutes: int
) -> None:
    read = datetime(2026, 3, 20, 5, 0, tzinfo=UTC) + minutes * MINUTE
    read_at(warehouse, tmp_path, [login("2026-03-20 05:00")], read)
    load_days(warehouse, span("2026-03-20"), now=read)
    assert run(warehouse, "sensor_clocks", span("2026-03-20"), now=read).passed


# ---- GeoIP files


def build(days_old: float, *, is_monthly: bool = False) -> GeoIpBuild:
    return GeoIpBuild(Path("x.mmdb"), "GeoLite2-City", NOW - timedelta(days=days_old), is_monthly)


@pytest.mark.parametrize(
    ("days_old", "is_monthly", "noted", "too_old"),
    [
        (7, False, False, False),
        (7.1, False, True, False),
        (14, False, True, False),
        (14.1, False, False, True),
        (38, True, False, False),
        (38.1, True, True, False),
        (45.1, True, False, True),
    ],
)
def test_a_geoip_file_is_noted_after_a_week_and_too_old_after_two(
    days_old: float, is_monthly: bool, noted: bool, too_old: bool
) -> None:
    judged = judge_ages(
        [build(days_old, is_monthly=is_monthly)],
        note_after=timedelta(days=7),
        warn_after=timedelta(days=14),
        now=NOW,
    )
    assert [bool(each) for each in judged] == [noted, too_old]


def test_the_age_of_geoip_files_is_that_of_their_build(warehouse: Warehouse, tmp_path: Path) -> None:
    settings = Settings(geoip_dir=tmp_path)
    none = run(warehouse, "geoip_age", span("2026-03-01"), settings=settings)
    assert none.passed
    assert none.notes == ("there are no GeoIP files",)
    write_geoip(
        tmp_path, [GeoRow("8.8.8.0/24", 15169, "Google", "US", "", 37.8, -97.8)], build_epoch=int(NOW.timestamp())
    )
    for days, notes, at_fault in ((6, 0, 0), (8, 2, 0), (15, 0, 2)):
        found = run(warehouse, "geoip_age", span("2026-03-01"), settings=settings, now=NOW + timedelta(days=days))
        assert (len(found.notes), found.at_fault) == (notes, at_fault), days
    assert {row[0] for row in found.rows} == {str(tmp_path / ASN_FILE), str(tmp_path / CITY_FILE)}
    assert {row[3] for row in found.rows} == {15.0}
    patient = Settings(geoip_dir=tmp_path, geoip_note_days=20, geoip_warn_days=30)
    assert run(warehouse, "geoip_age", span("2026-03-01"), settings=patient, now=NOW + timedelta(days=15)).passed


# ---- networks


@pytest.mark.parametrize(
    ("created", "bursts"),
    [
        ([], []),
        ([(0, 1000)], []),
        ([(0, 1001)], [(0, 0, 1001)]),
        ([(n, 100) for n in range(10)], []),
        ([(n, 101) for n in range(10)], [(0, 9, 1010)]),
        ([(n, 101) for n in range(9)], []),
        # not within ten minutes
        ([(0, 600), (10, 600)], []),
        ([(0, 600), (9.9, 600)], [(0, 9.9, 1200)]),
        ([(0, 1), (8, 600), (15, 600)], [(8, 15, 1200)]),
        ([(0, 2000), (5, 1), (30, 2000)], [(0, 5, 2001), (30, 30, 2000)]),
    ],
)
def test_bursts_are_more_than_a_rate_allows_within_a_time(
    created: list[tuple[float, int]], bursts: list[tuple[float, float, int]]
) -> None:
    times = [(NOW + at * MINUTE, number) for at, number in created]
    found = bursts_of_networks(times, most=1000, within=10 * MINUTE)
    assert [((a - NOW) / MINUTE, (b - NOW) / MINUTE, number) for a, b, number in found] == bursts


def test_networks_created_by_the_thousand_are_found_after_the_first_day(warehouse: Warehouse) -> None:
    def create(first: int, number: int, at: datetime) -> None:
        rows = [{"asn_number": first + n, "created_at": at, "updated_at": at} for n in range(number)]
        with warehouse.begin() as connection:
            connection.execute(insert(asn_inventory), rows)

    day = span("2026-03-20")
    create(1, 1500, NOW - timedelta(days=2))
    assert run(warehouse, "asn_creation_rate", day, now=NOW - timedelta(days=2) + MINUTE).passed, "it begins"
    create(2001, 1000, NOW - timedelta(hours=1))
    assert run(warehouse, "asn_creation_rate", day).passed
    create(4001, 1, NOW - timedelta(minutes=51))
    assert run(warehouse, "asn_creation_rate", day).rows == (
        (NOW - timedelta(hours=1), NOW - timedelta(minutes=51), 1001),
    )
    assert run(warehouse, "asn_creation_rate", day, settings=Settings(asn_rate=101)).passed
    assert run(warehouse, "asn_creation_rate", day, settings=Settings(asn_rate_minutes=9)).at_fault == 1
    assert run(warehouse, "asn_creation_rate", day, now=NOW + timedelta(days=1)).passed, "it is over"


# ---- the cache


def test_a_share_of_hits_that_falls_is_found(warehouse: Warehouse) -> None:
    def stats(service: str, days_ago: int, hits: int, misses: int) -> dict[str, Any]:
        return {"service": service, "day": TODAY - timedelta(days=days_ago), "hits": hits, "misses": misses}

    with warehouse.begin() as connection:
        connection.execute(
            insert(enrichment_cache_stats),
            [
                stats("falls", 20, 800, 200),
                stats("falls", 7, 800, 200),
                stats("falls", 6, 490, 510),
                stats("holds", 20, 800, 200),
                stats("holds", 0, 500, 500),
                stats("new", 0, 0, 5000),
                stats("rare", 20, 900, 100),
                stats("rare", 0, 0, 999),
                stats("never", 20, 0, 5000),
                stats("never", 0, 0, 5000),
                stats("long ago", 35, 5000, 0),
                stats("long ago", 0, 0, 5000),
            ],
        )
    day = span("2026-03-20")
    found = run(warehouse, "cache_hit_rate", day)
    assert found.columns == ("service", "look_ups", "hit_share", "hit_share_before")
    assert found.rows == (("falls", 1000, 0.49, 0.8),)
    assert run(warehouse, "cache_hit_rate", day, settings=Settings(cache_hit_drop=0.29)).at_fault == 2


# ---- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"volume_low": 1.1},
        {"gateway_share": -0.1},
        {"cache_hit_drop": 2.0},
        {"volume_high": 0.0},
        {"volume_days": 0},
        {"clock_skew_minutes": 0.0},
        {"geoip_warn_days": -1.0},
        {"asn_rate": 0.0},
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"COWRIE_{next(iter(wrong)).upper()}"):
        Settings(**wrong)
