"""Synthetic logs: repeatable, readable, and counted right."""

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, SyntheticReport, networks, write_logs

PLAN = SyntheticPlan(seed=7, first_day=date(2025, 12, 30), days=4, sessions_per_day=600, addresses=800)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def events_of(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("ascii").splitlines():
        event = json.loads(line)
        assert isinstance(event, dict)
        yield event


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SyntheticReport]:
    folder = tmp_path_factory.mktemp("logs")
    return folder, write_logs(PLAN, folder)


def every_event(folder: Path) -> list[dict[str, Any]]:
    return [event for path in sorted(folder.rglob("cowrie.json*")) for event in events_of(path)]


def test_the_same_plan_gives_the_same_bytes(logs: tuple[Path, SyntheticReport], tmp_path: Path) -> None:
    folder, report = logs
    assert write_logs(PLAN, tmp_path) == report
    assert contents(tmp_path) == contents(folder)


def test_another_seed_gives_other_bytes_and_other_networks(logs: tuple[Path, SyntheticReport], tmp_path: Path) -> None:
    other = replace(PLAN, seed=8)
    write_logs(other, tmp_path)
    assert contents(tmp_path) != contents(logs[0])
    assert networks(other) != networks(PLAN)


def test_a_shorter_plan_has_the_same_first_days(logs: tuple[Path, SyntheticReport], tmp_path: Path) -> None:
    write_logs(replace(PLAN, days=3), tmp_path)
    shorter, longer = contents(tmp_path), contents(logs[0])
    third_day = ".2026-01-01"
    assert {name if ".2" in name else name + third_day: text for name, text in shorter.items()} == {
        name: text for name, text in longer.items() if ".2" in name
    }


def test_compressed_logs_hold_the_same_lines_and_are_repeatable(
    logs: tuple[Path, SyntheticReport], tmp_path: Path
) -> None:
    report = write_logs(PLAN, tmp_path / "one", compress=True)
    write_logs(PLAN, tmp_path / "two", compress=True)
    packed = contents(tmp_path / "one")
    assert packed == contents(tmp_path / "two")
    assert {name.removesuffix(".gz"): gzip.decompress(data) for name, data in packed.items()} == contents(logs[0])
    assert all(name.endswith(".gz") for name in packed)
    assert report.size_bytes == sum(map(len, packed.values()))


def test_each_sensor_has_a_file_for_each_day_and_the_last_is_the_live_one(logs: tuple[Path, SyntheticReport]) -> None:
    folder, report = logs
    names = {"cowrie.json", "cowrie.json.2025-12-30", "cowrie.json.2025-12-31", "cowrie.json.2026-01-01"}
    found = {(path.parent.name, path.name) for path in folder.rglob("cowrie.json*")}
    assert found == {(sensor, name) for sensor in ("honeypot-01", "honeypot-02") for name in names}
    assert report.files == len(found)


def test_each_line_is_an_event_with_the_fields_that_all_have(logs: tuple[Path, SyntheticReport]) -> None:
    for event in every_event(logs[0]):
        assert event["eventid"].startswith("cowrie.")
        assert event.keys() >= {"timestamp", "session", "sensor", "uuid", "protocol", "src_ip", "message"}


def test_the_report_equals_a_recount(logs: tuple[Path, SyntheticReport]) -> None:
    folder, report = logs
    events = every_event(folder)
    assert report.lines == len(events)
    assert report.events == Counter(event["eventid"] for event in events)
    assert report.sessions == len({(event["sensor"], event["session"]) for event in events})
    assert report.sessions == PLAN.days * PLAN.sessions_per_day
    assert report.addresses == len({event["src_ip"] for event in events})
    assert report.size_bytes == sum(map(len, contents(folder).values()))


def test_events_are_in_time_order_in_the_file_of_their_day(logs: tuple[Path, SyntheticReport]) -> None:
    folder, _ = logs
    last_day = (PLAN.first_day + timedelta(days=PLAN.days - 1)).isoformat()
    for path in folder.rglob("cowrie.json*"):
        times = [event["timestamp"] for event in events_of(path)]
        assert times == sorted(times)
        assert {time[:10] for time in times} == {path.name.removeprefix("cowrie.json").lstrip(".") or last_day}


def test_each_session_begins_with_its_connection_and_ends_with_its_close(logs: tuple[Path, SyntheticReport]) -> None:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in sorted(every_event(logs[0]), key=lambda event: str(event["timestamp"])):
        sessions[event["session"]].append(event)
    still_open = [events for events in sessions.values() if events[-1]["eventid"] != "cowrie.session.closed"]
    for events in sessions.values():
        assert events[0]["eventid"] == "cowrie.session.connect"
        assert len({event["src_ip"] for event in events}) == 1
        assert len({event["protocol"] for event in events}) == 1
    # The logs end while somebody is still connected, as any log that is being written does.
    assert 1 <= len(still_open) < 20
    closed = next(events for events in sessions.values() if events[-1]["eventid"] == "cowrie.session.closed")
    assert isinstance(closed[-1]["duration"], str)


@pytest.mark.parametrize("sessions_per_day", [1, 2, 30])
def test_each_midnight_is_crossed_by_a_session_however_few_there_are(tmp_path: Path, sessions_per_day: int) -> None:
    write_logs(replace(PLAN, sessions_per_day=sessions_per_day, sensors=1), tmp_path)
    days: dict[str, set[str]] = defaultdict(set)
    for event in every_event(tmp_path):
        days[event["session"]].add(event["timestamp"][:10])
    crossed = {max(seen) for seen in days.values() if len(seen) > 1}
    assert crossed == {"2025-12-31", "2026-01-01", "2026-01-02"}


def test_the_mix_is_that_of_real_logs(tmp_path: Path) -> None:
    report = write_logs(replace(PLAN, days=1, sessions_per_day=6_000, addresses=2_000), tmp_path)
    # The benchmarks count on 150,000 sessions being about 1,000,000 events.
    assert report.lines / report.sessions == pytest.approx(6.67, rel=0.05)
    telnet = sum(event["protocol"] == "telnet" for event in every_event(tmp_path)) / report.lines
    assert 0.02 < telnet < 0.08
    per_address = Counter(
        event["src_ip"] for event in every_event(tmp_path) if event["eventid"] == "cowrie.session.connect"
    )
    busiest_tenth = per_address.most_common(len(per_address) // 10)
    assert sum(count for _, count in busiest_tenth) > report.sessions / 3
    for kind in ("command.failed", "session.file_download", "session.file_upload", "direct-tcpip.data", "client.size"):
        assert report.events[f"cowrie.{kind}"] > 0


def test_what_parsers_and_databases_stumble_over_is_in_the_logs(tmp_path: Path) -> None:
    write_logs(replace(PLAN, days=1, sessions_per_day=6_000), tmp_path)
    events = every_event(tmp_path)
    usernames = {event["username"] for event in events if "username" in event}
    passwords = {event["password"] for event in events if "password" in event}
    inputs = {event["input"] for event in events if "input" in event}
    assert "" in usernames
    assert "" in passwords
    assert any("\x00" in username for username in usernames)
    assert any(not username.isascii() for username in usernames)
    assert any("\n" in text and '"' in text for text in inputs)
    assert any(not event["dst_ip"][-1].isdigit() for event in events if event["eventid"].startswith("cowrie.direct"))
    assert "cowrie.synthetic.note" in {event["eventid"] for event in events}


def test_each_address_is_in_exactly_one_network_and_none_is_a_bogon(logs: tuple[Path, SyntheticReport]) -> None:
    prefixes = [ip_network(network.prefix) for network in networks(PLAN)]
    addresses = {ip_address(event["src_ip"]) for event in every_event(logs[0])}
    assert {address.version for address in addresses} == {4, 6}
    for address in addresses:
        assert address.is_global
        assert sum(address in prefix for prefix in prefixes) == 1


def test_networks_grow_with_the_addresses_and_have_asns_of_all_sizes() -> None:
    assert len(networks(PLAN)) == 40
    many = networks(replace(PLAN, addresses=100_000))
    assert len(many) == 5_000
    assert len(networks(replace(PLAN, networks=28_000))) == 28_000
    asns = {network.asn for network in many}
    assert min(asns) < 2**16
    assert max(asns) > 2**31
    assert any(2**16 < asn < 2**31 for asn in asns)
    assert len(asns) < len(many)
    assert len({network.country for network in many}) >= 20
    assert len({network.prefix for network in many}) == len(many)


def test_a_plan_without_ipv6_has_none(tmp_path: Path) -> None:
    plan = replace(PLAN, ipv6_share=0.0, days=1)
    write_logs(plan, tmp_path)
    assert not any(":" in network.prefix for network in networks(plan))
    assert not any(":" in event["src_ip"] for event in every_event(tmp_path))


@pytest.mark.parametrize(
    "change",
    [{"days": 0}, {"sessions_per_day": 0}, {"addresses": 0}, {"sensors": 0}, {"ipv6_share": 1.5}],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(PLAN, **change)


def test_networks_that_cannot_be_made_or_are_too_small_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="number of networks"):
        networks(replace(PLAN, networks=0))
    with pytest.raises(ValueError, match="have room for"):
        write_logs(replace(PLAN, networks=2, addresses=1_000_000), tmp_path)
