"""Keys planted into authorized_keys: counted over sessions, addresses and networks, and seen elsewhere again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cowrie_pipeline.cowrie.ssh_keys import parse_key
from cowrie_pipeline.steps.planted_keys import KeyReport, planted_keys
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import log_segments
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.cowrie.made_keys import WRAPPINGS, ed25519, rsa
from cowrie_pipeline_tests.steps.made_days import (
    NOW,
    Event,
    World,
    command,
    connect,
    event,
    load,
    load_events,
    scan,
    span,
)

ONE, TWO = ed25519(bytes(range(32))), rsa((1 << 2047) + 5)


def fingerprints_of(line: str) -> tuple[str, str]:
    key = parse_key(*line.split())
    assert key is not None
    return key.fingerprint, key.md5


def planting(
    number: int, lines: str, day: str = "2026-03-01", wrapping: str = "appended", src_ip: str | None = None
) -> list[Event]:
    of_session: dict[str, Any] = {"session": f"{number:012x}", "src_ip": src_ip or f"12.0.0.{number}"}
    entered = WRAPPINGS[wrapping](lines)
    return [
        connect(f"{day} 10:00", **of_session),
        *(command(f"{day} 10:00:{second:02}", line, **of_session) for second, line in enumerate(entered, 1)),
    ]


def by_key(warehouse: Warehouse, *days: str, **options: Any) -> dict[str, KeyReport]:
    report = planted_keys(warehouse, span(*days) if days else None, **options)
    return {each.fingerprint: each for each in report.keys}


def test_a_key_is_counted_by_sessions_addresses_and_networks(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [
        *planting(1, f"{ONE} one"),
        *planting(2, f"{ONE}\n{TWO} two", wrapping="by base64 in a heredoc"),
        *planting(3, ONE, day="2026-03-02", wrapping="by a heredoc", src_ip="12.0.0.1"),
        connect("2026-03-01 11:00", session="0000000000ff", src_ip="12.0.0.9"),
        command("2026-03-01 11:00:01", f"echo {TWO} > /tmp/key", session="0000000000ff", src_ip="12.0.0.9"),
    ]
    load_events(warehouse, tmp_path, events)
    World({"12.0.0.1": 4100, "12.0.0.2": 4200}.get).enrich(warehouse, "2026-03-01", "2026-03-02")
    take(warehouse)
    found = by_key(warehouse)
    one, two = found[fingerprints_of(ONE)[0]], found[fingerprints_of(TWO)[0]]
    assert (one.sessions, one.addresses, one.networks, one.comment, one.bits) == (3, 2, 2, "one", 256)
    assert (one.first_seen, one.last_seen) == (
        datetime(2026, 3, 1, 10, tzinfo=UTC),
        datetime(2026, 3, 2, 10, tzinfo=UTC),
    )
    assert (two.sessions, two.addresses, two.key_type, two.bits, two.comment) == (1, 1, "ssh-rsa", 2048, "two")


def take(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        take_snapshots(connection, span("2026-03-01", "2026-03-02"), now=NOW)


def test_a_span_counts_its_sessions_and_says_that_others_planted_it_too(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [*planting(1, ONE), *planting(2, ONE), *planting(3, ONE, day="2026-03-02")])
    (one,) = by_key(warehouse, "2026-03-02").values()
    assert (one.sessions, one.planted_elsewhere) == (1, 2)
    assert by_key(warehouse, "2026-03-03") == {}


def test_a_key_that_is_offered_or_used_to_log_in_is_recognized_by_either_fingerprint(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    sha256, md5 = fingerprints_of(ONE)
    later: dict[str, Any] = {"session": "0000000000aa", "src_ip": "12.0.0.5"}
    again: dict[str, Any] = {"session": "0000000000bb", "src_ip": "12.0.0.6"}
    offered = {"username": "root", "key": ONE, "type": "ssh-ed25519"}
    events = [
        *planting(1, ONE),
        connect("2026-03-01 11:00", **later),
        event("2026-03-01 11:00:01", "client.fingerprint", fingerprint=md5, **offered, **later),
        event("2026-03-01 11:00:02", "login.failed", fingerprint=md5, **offered, **later),
        connect("2026-03-02 11:00", **again),
        event("2026-03-02 11:00:01", "client.fingerprint", fingerprint=sha256, **offered, **again),
        event("2026-03-02 11:00:02", "login.success", fingerprint=sha256, **offered, **again),
    ]
    load_events(warehouse, tmp_path, events)
    (one,) = by_key(warehouse).values()
    assert (one.sessions, one.offered_in, one.log_ins, one.successful_log_ins) == (1, 2, 2, 1)
    assert one.shown == ()
    for name in (sha256, md5, md5.upper()):
        (one,) = by_key(warehouse, key=name).values()
        assert [(each.how, each.session_id) for each in one.shown] == [
            ("failed log-in", "0000000000aa"),
            ("log-in", "0000000000bb"),
            ("offered", "0000000000bb"),
            ("offered", "0000000000aa"),
            ("planted", "000000000001"),
        ]
    assert by_key(warehouse, key="SHA256:none") == {}


def test_the_keys_of_most_sessions_come_first_and_all_are_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    load_events(warehouse, tmp_path, [*planting(1, TWO), *planting(2, ONE), *planting(3, ONE)])
    report = planted_keys(warehouse, limit=1)
    assert [each.fingerprint for each in report.keys] == [fingerprints_of(ONE)[0]]
    assert (report.distinct, report.sessions_read) == (2, 3)


def test_without_sessions_there_are_no_keys(warehouse: Warehouse) -> None:
    report = planted_keys(warehouse)
    assert (report.keys, report.distinct, report.sessions_read) == ((), 0, 0)


@pytest.mark.shared_data
def test_the_keys_of_the_real_logs_are_found(warehouse: Warehouse) -> None:
    logs = SHARED_DATA / "logs"
    for folder in ("docker-2025", "duplicated-2024"):
        scan(warehouse, *sorted(path for path in (logs / folder).iterdir() if path.name.startswith("cowrie.json")))

    with warehouse.read() as connection:
        first, last = connection.execute(select(func.min(log_segments.c.day), func.max(log_segments.c.day))).one()
    load(warehouse, first.isoformat(), last.isoformat())
    found = {each.comment: each for each in planted_keys(warehouse).keys}
    assert set(found) == {"mdrfckr", "rsa-key-20230629"}
    assert (found["mdrfckr"].bits, found["mdrfckr"].fingerprint) == (
        2048,
        "SHA256:MkYY9qiVsFGBC5WkjoClCkwEFW5iSjcGQF7m4n4H7Cw",
    )
    assert found["mdrfckr"].sessions == 60
