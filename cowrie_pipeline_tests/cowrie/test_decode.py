"""One line becomes an event of any version, or a dead letter with its true reason."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cowrie_pipeline.cowrie import decode, events
from cowrie_pipeline.cowrie.decode import (
    DeadLetterError,
    Oddities,
    Reason,
    decode_event,
    duration_ms,
    parse_timestamp,
    parse_timestamps,
    utc_text,
    utc_texts,
)
from cowrie_pipeline.cowrie.events import EVENT_TYPES, CowrieEvent, UnknownEvent, event_id_of
from cowrie_pipeline.cowrie.lines import strip_line
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.cowrie.log_lines import event, event_line

TIME = '"timestamp":"2026-03-18T12:00:00.123456Z"'


def read_fields(event: CowrieEvent) -> dict[str, Any]:
    """An event's fields that are read; those of type Raw are known, and never looked at."""
    return {
        name: value for name in event.__struct_fields__ if not isinstance(value := getattr(event, name), msgspec.Raw)
    }


def decoded(line: bytes | str) -> tuple[CowrieEvent, Oddities]:
    oddities = Oddities()
    return decode_event(line.encode() if isinstance(line, str) else line, oddities), oddities


def reason_of(line: bytes) -> str | None:
    try:
        parse_timestamp(decode_event(line, Oddities()).timestamp)
    except DeadLetterError as error:
        return error.reason
    return None


# --- what each version writes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "milliseconds"),
    [
        ({"duration": 88.7}, 88_700),
        ({"duration": "88.7"}, 88_700),
        ({"duration": 88}, 88_000),
        ({"duration_ms": 88_700}, 88_700),
        ({"duration": 1.0, "duration_ms": 88_700}, 88_700),
        ({"duration": 0.0004}, 0),
        ({"duration": "0"}, 0),
        ({}, None),
        ({"duration": None}, None),
        ({"duration": ""}, None),
        ({"duration": "soon"}, None),
        ({"duration": "nan"}, None),
        ({"duration": "inf"}, None),
        ({"duration": -1.0}, None),
        ({"duration_ms": -1}, None),
        ({"duration": 1e12}, None),
        ({"duration": [1]}, None),
    ],
)
@pytest.mark.parametrize("event_id", ["cowrie.session.closed", "cowrie.log.closed"])
def test_a_duration_is_milliseconds_in_every_version(
    event_id: str, fields: dict[str, Any], milliseconds: int | None
) -> None:
    found, _ = decoded(event_line(event_id, **fields))
    assert isinstance(found, events.SessionClosed | events.LogClosed)
    assert duration_ms(found.duration, found.duration_ms) == milliseconds


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_a_duration_that_is_no_number_of_seconds_is_no_duration(number: str) -> None:
    found, _ = decoded(f'{{"eventid":"cowrie.session.closed",{TIME},"duration":{number}}}')
    assert isinstance(found, events.SessionClosed)
    assert duration_ms(found.duration, found.duration_ms) is None


@pytest.mark.parametrize("message", ["login attempt", [], [1, {"a": "b"}], None, {}, 7])
def test_a_message_of_any_type_is_no_oddity(message: Any) -> None:
    found, oddities = decoded(event_line("cowrie.session.params", message=message, arch="linux-x64-lsb"))
    assert isinstance(found, events.SessionParams)
    assert found.arch == "linux-x64-lsb"
    assert oddities == Oddities()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2018-05-06T17:44:05.866769Z", datetime(2018, 5, 6, 17, 44, 5, 866769, UTC)),
        ("2018-05-06T17:44:05Z", datetime(2018, 5, 6, 17, 44, 5, 0, UTC)),
        ("2026-07-01T01:44:05.866769+0200", datetime(2026, 6, 30, 23, 44, 5, 866769, UTC)),
        ("2026-07-01T01:44:05.866769+02:00", datetime(2026, 6, 30, 23, 44, 5, 866769, UTC)),
        ("2026-06-30T20:44:05.866769-0330", datetime(2026, 7, 1, 0, 14, 5, 866769, UTC)),
        ("2026-07-01T01:44:05+0200", datetime(2026, 6, 30, 23, 44, 5, 0, UTC)),
        ("2018-05-06T17:44:05.866Z", datetime(2018, 5, 6, 17, 44, 5, 866000, UTC)),
        ("2018-05-06T17:44:05.866769", datetime(2018, 5, 6, 17, 44, 5, 866769, UTC)),
        ("2018-05-06 17:44:05", datetime(2018, 5, 6, 17, 44, 5, 0, UTC)),
        ("0001-01-01T00:00:00.000000Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_a_timestamp_of_any_version_is_a_time_in_utc(text: str, time: datetime) -> None:
    assert parse_timestamp(text) == time
    assert parse_timestamp(text).tzinfo is UTC
    assert utc_text(text) == time.isoformat(" ", "microseconds")[:26]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2018-05-06",
        "20180506",
        "2018-W18-7",
        "1525628645.866",
        "2018-13-06T17:44:05Z",
        "2018-02-30T17:44:05Z",
        "2018-05-06T25:44:05Z",
        "2018-05-06T17:44:05.866769Q",
        "0001-01-01T00:00:00+0200",
        "\ud800" * 27,
        "\x00",
        "x" * 100_000,
    ],
)
def test_what_is_no_time_is_a_bad_timestamp(text: str) -> None:
    with pytest.raises(DeadLetterError) as caught:
        parse_timestamp(text)
    assert caught.value.reason == Reason.BAD_TIMESTAMP
    assert len(caught.value.detail) < 1500
    caught.value.detail.encode()


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(),
    st.none() | offsets,
    st.sampled_from(["%z", "Z"]),
)
def test_any_time_in_any_zone_is_read_as_it_was_written(time: datetime, zone: timezone | None, suffix: str) -> None:
    assume(2 < time.toordinal() < date.max.toordinal() - 2)
    if suffix == "Z" or zone is None:
        text, expected = time.isoformat() + "Z", time.replace(tzinfo=UTC)
    else:
        text, expected = time.isoformat() + time.replace(tzinfo=zone).strftime("%z"), time.replace(tzinfo=zone)
    assert parse_timestamp(text) == expected
    assert utc_text(text) == expected.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@given(st.text("0123456789-:TZ.+W, ", min_size=15, max_size=32))
@example("2018-05-06T17:44:05,866769Z")
@example("20180506T174405.8667690000Z")
@example("2018-W18-7T17:44:05.866769Z")
def test_the_text_of_a_time_is_that_of_the_time(text: str) -> None:
    try:
        time = parse_timestamp(text)
    except DeadLetterError:
        return
    assert utc_text(text) == time.isoformat(" ", "microseconds")[:26]


@given(st.data())
def test_times_read_together_are_those_read_one_by_one(data: st.DataObject) -> None:
    plain = st.datetimes().map(lambda time: f"{time.isoformat(timespec='microseconds')}Z")
    # of the plain form's length, or with a newline where it has one of its own
    odd = st.sampled_from(
        [
            "2018-W18-7T17:44:05.866769Z",
            "2018-05-06 17:44:05,866769Z",
            "2018-05-06\n17:44:05.866769Z",
            "20180506T174405.8667690000Z",
            "2018-05-06T17:44:05Z",
            "2018-05-06T17:44:05.866769+0200",
            "2018-05-06T17:44:05",
        ]
    )
    texts = data.draw(st.lists(plain, min_size=1) | st.lists(plain | odd, min_size=1))
    assert parse_timestamps(texts) == [parse_timestamp(text) for text in texts]
    assert utc_texts(texts) == [utc_text(text) for text in texts]


@pytest.mark.parametrize("text", ["2018-05-06", "2018-05-06T25:44:05Z", "0001-01-01T00:00:00+0200"])
def test_one_that_is_no_time_is_found_among_others(text: str) -> None:
    with pytest.raises(DeadLetterError):
        parse_timestamps(["2018-05-06T17:44:05.866769Z", text])


# Lines of versions and plugins that no real log at hand has: event id, other fields, and what must be read of them.
HAND_MADE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "cowrie.session.connect",
        {"src_port": 51234, "dst_ip": "10.0.0.2", "dst_port": 22, "protocol": "ssh"},
        {"src_port": 51234, "dst_port": 22},
    ),
    ("cowrie.session.connect", {"src_ip": "2001:db8::1"}, {"src_ip": "2001:db8::1"}),
    (
        "cowrie.session.closed",
        {"duration_ms": 12, "late": True, "src_port": 1, "dst_ip": "10.0.0.2", "dst_port": 22, "uuid": "u"},
        {"duration_ms": 12},
    ),
    ("cowrie.login.failed", {"epoch": 1525628645866, "username": "root"}, {"username": "root"}),
    (
        "cowrie.login.success",
        {"username": "root", "key": "AAAA", "fingerprint": "aa:bb", "type": "ssh-rsa"},
        {"password": None, "fingerprint": "aa:bb"},
    ),
    (
        "cowrie.client.version",
        {
            "version": "b'SSH-2.0-x'",
            "macCS": ["a"],
            "kexAlgs": ["b"],
            "keyAlgs": [],
            "encCS": [],
            "compCS": [],
            "langCS": [""],
        },
        {"version": "b'SSH-2.0-x'"},
    ),
    (
        "cowrie.client.kex",
        {"hassh": "ec7378c1a92f5a8dde7e8b7a1ddf33d1", "hasshAlgorithms": "a;b", "kexAlgs": ["a"], "langCS": [""]},
        {"hassh": "ec7378c1a92f5a8dde7e8b7a1ddf33d1"},
    ),
    ("cowrie.client.malformed_packet", {"messagenum": 30, "datalen": 4, "data": "00"}, {}),
    ("cowrie.client.size", {"width": 80, "height": "24"}, {}),
    ("cowrie.client.var", {"name": "LANG", "value": "C"}, {}),
    ("cowrie.command.chpasswd", {"realm": "x", "username": "root"}, {"username": "root"}),
    (
        "cowrie.session.file_download",
        {"url": "tftp://198.51.100.9/a", "outfile": "dl/x", "shasum": "ab", "unique": True},
        {"url": "tftp://198.51.100.9/a"},
    ),
    (
        "cowrie.session.file_download",
        {"outfile": "dl/x", "shasum": "ab", "destfile": "/tmp/x", "duplicate": False},
        {"destfile": "/tmp/x"},
    ),
    ("cowrie.session.file_download.failed", {"url": "http://x/", "error": "404"}, {"url": "http://x/"}),
    (
        "cowrie.direct-tcpip.request",
        {"dst_ip": "www.example.com", "dst_port": 443, "orig_ip": "::1", "orig_port": 4294967295},
        {"dst_ip": "www.example.com", "orig_port": 4294967295},
    ),
    ("cowrie.direct-tcpip.ja4", {"ja4": "t13d", "dst_ip": "x", "dst_port": 443}, {"ja4": "t13d"}),
    ("cowrie.direct-tcpip.ja4h", {"ja4h": "ge11", "dst_ip": "x", "dst_port": 80}, {"ja4h": "ge11"}),
    (
        "cowrie.direct-tcpip.redirect",
        {"new_ip": "127.0.0.1", "new_port": 1, "dst_ip": "x", "dst_port": 25, "orig_ip": "y", "orig_port": 2},
        {"dst_port": 25},
    ),
    (
        "cowrie.direct-tcpip.tunnel",
        {"new_ip": "127.0.0.1", "new_port": 1, "dst_ip": "x", "dst_port": 25},
        {"dst_port": 25},
    ),
    ("cowrie.tunnelproxy-tcpip.data", {"data": "b'x'"}, {}),
    ("cowrie.log.open", {"ttylog": "log/tty/x"}, {"ttylog": "log/tty/x"}),
    (
        "cowrie.log.closed",
        {"ttylog": "x", "size": 7, "duration": "0.1", "shasum": "ab", "duplicate": True},
        {"duration": "0.1"},
    ),
    ("cowrie.telnet.option", {"command": "WILL", "option_name": "NAWS", "option_byte": 31}, {}),
    ("cowrie.telnet.exploit_attempt", {"cve": "CVE-2026-24061", "name": "USER", "value": "-f root"}, {}),
    (
        "cowrie.telnet.exploit_success",
        {"cve": "CVE-2026-24061", "username": "root", "original_username": "x", "attempted_command": "y"},
        {},
    ),
    ("cowrie.telnet.error", {"error": "x"}, {}),
    ("cowrie.proxy.ssh", {"direction": "f->b", "packet": "SERVICE_REQUEST", "payload": "b''"}, {}),
    ("cowrie.proxy.client_disconnect", {"honey_ip": "192.0.2.1", "honey_port": 22}, {}),
    ("cowrie.proxy.client_disconnect", {"vm_id": 7}, {}),
    (
        "cowrie.proxy.backend_connected",
        {"backend_ip": "192.0.2.1", "backend_port": 22, "local_ip": "x", "local_port": 1},
        {},
    ),
    ("cowrie.proxy.backend_connect_error", {"backend_ip": "192.0.2.1", "backend_port": 22, "error": "refused"}, {}),
    ("cowrie.proxy.backend_disconnected", {"backend_ip": "192.0.2.1", "backend_port": 22}, {}),
    ("cowrie.reversedns.connect", {"ptr": "host.example.com", "ttl": 3600}, {}),
    (
        "cowrie.reversedns.forward",
        {"ptr": "host.example.com", "ttl": 3600, "dst_ip": "192.0.2.1"},
        {"dst_ip": "192.0.2.1"},
    ),
    (
        "cowrie.virustotal.scanfile",
        {
            "sha256": "ab",
            "is_new": "false",
            "positives": 7,
            "total": 60,
            "scan_date": "x",
            "scans": {"avast": {"detected": "true", "result": "y"}},
        },
        {"sha256": "ab"},
    ),
    ("cowrie.virustotal.scanurl", {"url": "http://x/", "is_new": "true"}, {"url": "http://x/"}),
    ("cowrie.urlhaus.submitted", {"url": "http://x/", "result": "ok", "http_status": 200}, {}),
    ("cowrie.session.input", {"realm": "x", "input": "y"}, {"input": "y"}),
    (
        "cowrie.session.file_upload",
        {"filename": "a", "outfile": "b", "shasum": "c", "destfile": "", "duplicate": True},
        {"filename": "a"},
    ),
]


@pytest.mark.parametrize(
    ("event_id", "fields", "expected"), HAND_MADE, ids=[f"{n}-{c[0]}" for n, c in enumerate(HAND_MADE)]
)
@pytest.mark.parametrize(
    "common", [{}, {"message": [], "system": "SSHService", "isError": 0, "format": "%(x)s", "late": True, "uuid": "u"}]
)
def test_events_of_every_version_are_known_with_all_their_fields(
    event_id: str, fields: dict[str, Any], expected: dict[str, Any], common: dict[str, Any]
) -> None:
    found, oddities = decoded(event_line(event_id, **(common | fields)))
    assert event_id_of(found) == event_id
    assert type(found) is EVENT_TYPES[event_id]
    assert {name: getattr(found, name) for name in expected} == expected
    assert oddities == Oddities()


def test_a_greynoise_event_is_known_and_its_own_fields_counted() -> None:
    found, oddities = decoded(event_line("cowrie.greynoise.result", classification="malicious"))
    assert isinstance(found, events.GreyNoiseResult)
    assert oddities.unknown_fields == {"classification": 1}


def test_every_event_id_of_the_format_has_a_type_or_is_a_known_stranger() -> None:
    assert {case[0] for case in HAND_MADE} | {
        "cowrie.client.fingerprint", "cowrie.command.failed", "cowrie.command.input", "cowrie.command.success",
        "cowrie.direct-tcpip.data", "cowrie.session.params", "cowrie.greynoise.result",
    } == set(EVENT_TYPES)  # fmt: skip


def test_session_and_address_may_be_missing() -> None:
    found, oddities = decoded(f'{{"eventid":"cowrie.virustotal.scanfile","sha256":"ab",{TIME}}}')
    assert (found.session, found.src_ip, found.sensor) == (None, None, None)
    assert oddities == Oddities()


# --- what was not expected -------------------------------------------------------------------------


def test_an_unknown_event_is_kept_with_its_fields_and_counted() -> None:
    found, oddities = decoded(event_line("cowrie.server.kex", hassh="x", nested={"a": [1]}, src_port="bad"))
    assert isinstance(found, UnknownEvent)
    assert event_id_of(found) == "cowrie.server.kex"
    assert found.fields == {"hassh": "x", "nested": {"a": [1]}}
    assert (found.session, found.src_port) == ("a1b2c3d4e5f6", None)
    assert oddities.unknown_events == {"cowrie.server.kex": 1}
    assert oddities.unknown_fields == {}
    assert oddities.odd_types == {"src_port": 1}


@pytest.mark.parametrize("event_id", ["KIPP0001", "COW0001", "zzz", "cowrie.", "x" * 10_000, "a\x00b", "\ud800"])
def test_an_unknown_event_id_can_be_stored(event_id: str) -> None:
    found, oddities = decoded(json.dumps({"eventid": event_id, "timestamp": "2026-03-18T12:00:00Z"}))
    (counted,) = oddities.unknown_events
    for name in (event_id_of(found), counted):
        assert "\x00" not in name
        assert name.encode()
        assert len(name) <= 1000


def test_unknown_fields_of_a_known_event_are_counted_and_the_rest_is_read() -> None:
    unstorable: dict[str, Any] = {"a\x00\ud800": 1}
    found, oddities = decoded(event_line("cowrie.login.failed", username="root", colour="red", **unstorable))
    assert isinstance(found, events.LoginFailed)
    assert (found.username, found.src_ip) == ("root", "203.0.113.7")
    assert oddities.unknown_fields == {"colour": 1, "a\u241b0000\u241bd800": 1}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("src_port", "22", 22),
        ("src_port", 22.0, 22),
        ("src_port", "port", None),
        ("src_port", 22.5, None),
        ("src_port", True, None),
        ("src_port", [22], None),
        ("src_port", -1, None),
        ("src_port", 2**32, None),
        ("src_port", 10**400, None),
        ("src_port", "\ud800", None),
        ("session", 12, None),
        ("session", ["a"], None),
        ("session", {"a": "b"}, None),
        ("username", False, None),
        ("username", {"eventid": "x"}, None),
        ("password", 123456, None),
        ("sensor", [], None),
        ("src_ip", 7, None),
        ("protocol", 7, None),
    ],
)
def test_a_value_of_an_odd_type_is_left_out_and_counted_and_the_rest_is_read(name: str, value: Any, read: Any) -> None:
    found, oddities = decoded(json.dumps(event() | {"dst_ip": "10.0.0.2", name: value}))
    assert isinstance(found, events.LoginFailed)
    assert getattr(found, name) == read
    assert found.dst_ip == "10.0.0.2"
    assert oddities.odd_types == ({} if read is not None else {name: 1})


@pytest.mark.parametrize("text", ["null", "true", "12", "1.5", "", "NaN"])
@pytest.mark.parametrize("extra", [{}, {"makes_it": "take the tolerant way"}])
def test_text_is_never_taken_for_something_else(text: str, extra: dict[str, Any]) -> None:
    found, _ = decoded(event_line(username=text, password=text, session=text, **extra))
    assert isinstance(found, events.LoginFailed)
    assert (found.username, found.password, found.session) == (text, text, text)


def test_how_many_different_names_are_kept_is_bounded() -> None:
    oddities = Oddities()
    for number in range(3000):
        decode_event(event_line(f"made.up.{number}"), oddities)
        decode_event(json.dumps(event() | {f"field{number}": 1}).encode(), oddities)
    decode_event(event_line("made.up.7"), oddities)
    for counter in (oddities.unknown_events, oddities.unknown_fields):
        assert len(counter) == 1001
        assert counter["(others)"] == 2000
    assert oddities.unknown_events["made.up.7"] == 2
    assert oddities.unknown_events.total() == 3001


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"\\u0000root\\u001b[0m", "\x00root\x1b[0m"),
        (b"\\ud83d\\ude00", "😀"),
        (b"\\ud83d", "\ud83d"),
        (b"\\ude00\\ud83d", "\ude00\ud83d"),
        ("é😀".encode(), "é😀"),
        (b"a\x01\x1f\tb", "a\x01\x1f\tb"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"\xc3", "\\xc3"),
        (b"\\\\x16\\\\x03", "\\x16\\x03"),
    ],
)
def test_text_is_read_as_it_was_sent(written: bytes, read: str) -> None:
    found, oddities = decoded(
        b'{"eventid":"cowrie.login.failed","timestamp":"2026-03-18T12:00:00Z","username":"' + written + b'"}'
    )
    assert isinstance(found, events.LoginFailed)
    assert found.username == read
    assert oddities.replaced_encodings == ("\\xff" in read or "\\xed" in read or "\\xc3" in read)


def test_invalid_text_in_a_field_that_is_not_read_is_counted_too() -> None:
    _, oddities = decoded(b'{"eventid":"cowrie.login.failed","timestamp":"2026-03-18T12:00:00Z","message":"\xff"}')
    assert oddities.replaced_encodings == 1


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    found, _ = decoded(f'{{"eventid":"cowrie.login.failed",{TIME},"session":"one","session":"two"}}')
    assert found.session == "two"
    found, _ = decoded(f'{{"eventid":"cowrie.login.failed",{TIME},"session":"one","session":"two","new":1}}')
    assert found.session == "two"


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" ,\t", " :\r")])
@pytest.mark.parametrize("reverse", [False, True])
def test_separators_and_the_order_of_keys_do_not_matter(separators: tuple[str, str], reverse: bool) -> None:
    fields = event(username="root", src_port=22)
    text = json.dumps(dict(sorted(fields.items(), reverse=reverse)), separators=separators)
    assert read_fields(decoded(text)[0]) == read_fields(decoded(event_line(username="root", src_port=22))[0])


# --- dead letters ----------------------------------------------------------------------------------

DEAD_LETTERS: list[tuple[bytes, Reason]] = [
    (b"x", Reason.NOT_JSON),
    (b"2018-05-06T17:44:05+0000 [SSHService] login attempt [root/root] failed", Reason.NOT_JSON),
    (b"{'eventid': 'x'}", Reason.NOT_JSON),
    (b'{"eventid":"x",}', Reason.NOT_JSON),
    (b'{"eventid":"x"}}', Reason.NOT_JSON),
    (b'{"eventid":"x"}{"eventid":"y"}', Reason.NOT_JSON),
    (b'{"eventid": "cowrie.login.failed", "username": {"eventid": "x"}', Reason.CUT),
    (b'{"a":"\\x"}', Reason.NOT_JSON),
    (b'"username":"root","timestamp":"2026-03-18T12:00:00Z"}', Reason.NOT_JSON),
    (b"[" * 100_000, Reason.NOT_JSON),
    (b'{"a":' * 100_000, Reason.NOT_JSON),
    (b'{"eventid":"x","a":1' + b"0" * 5000 + b"}", Reason.NOT_JSON),
    (b"{", Reason.CUT),
    (b'{"', Reason.CUT),
    (b'{"eventid"', Reason.CUT),
    (b'{"eventid":"cowrie.lo', Reason.CUT),
    (b"null", Reason.NOT_AN_OBJECT),
    (b"[]", Reason.NOT_AN_OBJECT),
    (b'[{"eventid":"x","timestamp":"2026-03-18T12:00:00Z"}]', Reason.NOT_AN_OBJECT),
    (b'"text"', Reason.NOT_AN_OBJECT),
    (b"12", Reason.NOT_AN_OBJECT),
    (b"{}", Reason.NO_EVENT_ID),
    (b'{"timestamp":"2026-03-18T12:00:00Z"}', Reason.NO_EVENT_ID),
    (b'{"eventid":"","timestamp":"2026-03-18T12:00:00Z"}', Reason.NO_EVENT_ID),
    (b'{"eventid":null,"timestamp":"2026-03-18T12:00:00Z"}', Reason.NO_EVENT_ID),
    (b'{"eventid":7,"timestamp":"2026-03-18T12:00:00Z"}', Reason.NO_EVENT_ID),
    (b'{"eventid":["x"],"timestamp":"2026-03-18T12:00:00Z"}', Reason.NO_EVENT_ID),
    (b'{"eventid":"cowrie.login.failed"}', Reason.NO_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed","timestamp":null}', Reason.NO_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed","timestamp":1525628645.8}', Reason.NO_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed","timestamp":""}', Reason.BAD_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed","timestamp":"2018-05-06"}', Reason.BAD_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed","timestamp":"\xff"}', Reason.BAD_TIMESTAMP),
    (b'{"eventid":"cowrie.login.failed",\xff"timestamp":"2026-03-18T12:00:00Z"}', Reason.BAD_ENCODING),
    (b"\xff\xfe{\x00}\x00", Reason.BAD_ENCODING),
    (b"\x80\x81\x82", Reason.BAD_ENCODING),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), DEAD_LETTERS, ids=[str(line[:40]) for line, _ in DEAD_LETTERS])
def test_a_dead_letter_has_its_true_reason(line: bytes, reason: Reason) -> None:
    assert reason_of(line) == reason


def test_a_dead_letter_can_be_stored_and_is_bounded() -> None:
    for line in (b'{"eventid":"\\u0000\\ud800"}', b'{"eventid":{"a":"' + b"x" * 100_000 + b'\\u0000"}}'):
        with pytest.raises(DeadLetterError) as caught:
            decode_event(line, Oddities())
        assert len(caught.value.detail) < 1000
        assert caught.value.detail.isprintable()


@given(st.data())
def test_every_beginning_of_an_event_is_cut(data: st.DataObject) -> None:
    fields = event(username=data.draw(st.text(max_size=5)), extra=data.draw(json_values))
    separators = data.draw(st.sampled_from([(", ", ": "), (",", ":")]))
    line = json.dumps(fields, separators=separators, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "replace")
    beginning = strip_line(line[: data.draw(st.integers(1, len(line) - 1))])
    assert reason_of(beginning) == Reason.CUT


def test_no_depth_of_nesting_raises_anything_else() -> None:
    for depth in (*range(300, 1100, 7), 5000, 50_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            nested = opening * depth + ("" if opening == "[" else "1") + closing * depth
            for line in (
                nested,
                f'{{"eventid":{nested}}}',
                f'{{"eventid":"x",{TIME},"a":{nested}}}',
                f'{{"eventid":"cowrie.login.failed",{TIME},"message":{nested},"username":{nested}}}',
            ):
                reason_of(line.encode())


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters() | st.sampled_from("\x00\ud800"), max_size=8)
    | st.sampled_from(["22", "null", "true", "1.5", "NaN", "\ud800", "-0", "1e5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(sorted({name for kind in EVENT_TYPES.values() for name in kind.__struct_fields__}))
event_ids = st.sampled_from(sorted(EVENT_TYPES))


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=300)
def test_no_bytes_raise_anything_but_a_dead_letter(line: bytes) -> None:
    reason_of(line)


@given(event_ids, st.dictionaries(field_names | st.text(max_size=6), json_values, max_size=5), st.data())
@settings(max_examples=300)
def test_no_spoiled_event_raises_anything_but_a_dead_letter(
    event_id: str, fields: dict[str, Any], data: st.DataObject
) -> None:
    line = bytearray(json.dumps(event() | fields | {"eventid": event_id}).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(line) - 1))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    reason_of(bytes(line))


@given(event_ids, st.dictionaries(field_names | st.text(max_size=6), json_values, max_size=5))
@settings(max_examples=300)
def test_every_object_with_an_id_and_a_time_is_an_event(event_id: str, fields: dict[str, Any]) -> None:
    line = json.dumps(event() | fields | {"eventid": event_id, "timestamp": "2026-03-18T12:00:00Z"}).encode()
    found, _ = decoded(line)
    assert event_id_of(found) == event_id
    assert found.timestamp == "2026-03-18T12:00:00Z"


# --- the two ways give the same --------------------------------------------------------------------


def both_ways(line: bytes) -> tuple[CowrieEvent, CowrieEvent] | None:
    """The event as read in one go, and as read the tolerant way; None where either does not take the line."""
    try:
        fast: CowrieEvent = decode._decode_known(line)
        return fast, decode._decode_tolerantly(line, Oddities())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DeadLetterError):
        return None


@given(event_ids, st.data())
@settings(max_examples=400)
def test_the_fast_way_and_the_tolerant_way_read_the_same(event_id: str, data: st.DataObject) -> None:
    own = st.sampled_from(EVENT_TYPES[event_id].__struct_fields__)
    fitting = st.text(max_size=6) | st.integers(0, 70_000) | st.none() | st.floats(0, 9) | json_values
    fields = data.draw(st.dictionaries(own, fitting, max_size=5))
    items = list((event() | fields | {"eventid": event_id, "timestamp": "2026-03-18T12:00:00Z"}).items())
    items = data.draw(st.permutations(items))
    line = json.dumps(dict(items)).encode()
    pair = both_ways(line)
    assume(pair is not None)
    assert pair is not None
    assert type(pair[0]) is type(pair[1])
    assert read_fields(pair[0]) == read_fields(pair[1])


def real_files() -> Iterator[Path]:
    yield from (path for path in sorted((SHARED_DATA / "logs").rglob("*")) if path.is_file())


@pytest.mark.shared_data
def test_the_fast_way_and_the_tolerant_way_read_real_logs_the_same() -> None:
    compared = 0
    for path in real_files():
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        # every line of the small logs, and each 5th of the others
        lines = content.split(b"\n")
        for line in lines[:: 5 if len(lines) > 2000 else 1]:
            pair = both_ways(strip_line(line))
            if pair is not None:
                assert type(pair[0]) is type(pair[1])
                assert read_fields(pair[0]) == read_fields(pair[1])
                compared += 1
    assert compared > 40_000


@pytest.mark.shared_data
def test_real_events_take_the_fast_way() -> None:
    # the tolerant way is right, and ten times slower
    content = (SHARED_DATA / "logs/docker-ssh-2018/cowrie.json.2018-06-13").read_bytes()
    lines = content.splitlines()
    assert sum(both_ways(line) is not None for line in lines) == len(lines)


# --- JSONTestSuite ---------------------------------------------------------------------------------


def vectors() -> list[Path]:
    return sorted((SHARED_DATA / "json").glob("*.json"))


@pytest.mark.shared_data
@pytest.mark.parametrize("path", vectors(), ids=lambda path: path.stem)
def test_a_parsing_vector_is_an_event_or_a_dead_letter(path: Path) -> None:
    vector = path.read_bytes().replace(b"\n", b" ")
    reason_of(vector)
    as_value = b'{"eventid":"cowrie.login.failed",' + TIME.encode() + b',"vector":' + vector + b"}"
    if path.name.startswith("y_"):
        assert reason_of(as_value) is None
    as_known_value = as_value.replace(b'"vector"', b'"username"')
    assert (reason_of(as_known_value) is None) == (reason_of(as_value) is None)


# What the tolerant way takes although JSON does not (a control character in a text, infinity), and nothing at all,
# which makes `[]` of a list around it.
TOLERATED = {
    "n_number_infinity",
    "n_number_minus_infinity",
    "n_string_unescaped_ctrl_char",
    "n_string_unescaped_tab",
    "n_structure_no_data",
}


@pytest.mark.shared_data
@pytest.mark.parametrize("path", [path for path in vectors() if path.name.startswith("n_")], ids=lambda path: path.stem)
def test_what_is_no_json_is_a_dead_letter(path: Path) -> None:
    vector = path.read_bytes().replace(b"\n", b" ")
    assert reason_of(strip_line(vector)) is not None
    within = b'{"eventid":"cowrie.login.failed",' + TIME.encode() + b',"vector":[' + vector + b"]}"
    assert (reason_of(within) is None) == (path.stem in TOLERATED)
