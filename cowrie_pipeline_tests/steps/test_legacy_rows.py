"""What rows and values of the older layout are taken for: each kind of trouble, and the value that comes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.merge import merge
from cowrie_pipeline.steps.legacy.documents import converted
from cowrie_pipeline.steps.legacy.rows import (
    SESSIONS,
    UnusableRowError,
    decide_basis,
    distinct_sessions,
    read_address,
    read_file,
    read_network,
    read_session,
)
from cowrie_pipeline.steps.legacy.values import (
    Oddities,
    read_asn,
    read_count,
    read_country,
    read_document,
    read_ip_type,
    read_text,
    read_time,
)

AT = datetime(2025, 3, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2025-03-01T10:00:00Z", AT),
        ("2025-03-01 10:00:00", AT),
        ("2025-03-01 12:00:00+02", AT),
        ("2025-03-01 10:00:00.000000 UTC", AT),
        (1740823200, AT),
        (1740823200.0, AT),
        ("1740823200", AT),
        (1740823200000, AT),
        ("2025-03-01", AT - 10 * HOUR),
        ("infinity", None),
        ("the day before yesterday", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("9999-12-31T23:59:59", None),
        (10**30, None),
        (float("nan"), None),
        (True, None),
        ("", None),
        (None, None),
        (b"\xff", None),
    ],
)
def test_a_time_is_read_or_is_none(value: Any, time: datetime | None) -> None:
    assert read_time(value, "at", Oddities()) == time


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), ("3", 3), (3.0, 3), ("3.0", 3), (-1, None), ("-1", None), ("x", None), (2**63, None), (0.5, None)],
)
def test_a_count_is_read_or_is_none(value: Any, number: int | None) -> None:
    oddities = Oddities()
    assert read_count(value, "n", oddities) == number
    assert bool(oddities) == (number is None)


@pytest.mark.parametrize(
    ("value", "asn", "is_odd"),
    [
        (15169, 15169, False),
        ("AS15169", 15169, False),
        (2**32 - 1, 2**32 - 1, False),
        (2**32, None, True),
        (-5, None, True),
        ("Google", None, True),
        (True, None, True),
        ({}, None, True),
        (0, None, False),
        (None, None, False),
    ],
)
def test_an_as_number_has_up_to_32_bits(value: Any, asn: int | None, is_odd: bool) -> None:
    oddities = Oddities()
    assert read_asn(value, "asn", oddities) == asn
    assert bool(oddities) == is_odd


@pytest.mark.parametrize("value", ["XX", "ZZ", "", {}, [], 5, "FRA", "f1"])
def test_what_is_no_country_is_counted(value: Any) -> None:
    oddities = Oddities()
    assert read_country(value, "country", oddities) is None
    assert oddities.total() == 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["DATACENTER", "VPN"], "VPN"),
        ('["MOBILE", "PROXY"]', "PROXY"),
        ("{RESIDENTIAL,DATACENTER}", "DATACENTER"),
        ("tor", "TOR"),
        ("[]", None),
        ("[broken", None),
        (7, None),
    ],
)
def test_of_several_address_types_the_first_by_precedence_counts(value: Any, kind: str | None) -> None:
    assert read_ip_type(value, "type", Oddities()) == kind


@pytest.mark.parametrize("value", ["null", '"x"', "42", "[1]", "true", "{", "", "{}", 42, [], b"\xff\x00", '"\\"x\\""'])
def test_what_is_no_document_is_none_and_is_counted(value: Any) -> None:
    oddities = Oddities()
    assert read_document(value, "enrichment", oddities) is None
    assert oddities.total() == 1


def test_a_document_is_made_storable_without_losing_anything() -> None:
    found = read_document('{"a": "\\u0000root\\ud800", "n": NaN, "b": [99999999999999999999, 1]}', "e", Oddities())
    assert found == {"a": "\u241b0000root\u241bd800", "n": "nan", "b": ["99999999999999999999", 1]}


def test_text_that_is_not_utf_8_is_kept() -> None:
    assert read_text(b"caf\xe9", "name", Oddities()) == "caf\u241bdce9"


_NAMES = (
    "maxmind",
    "cymru",
    "spur",
    "greynoise",
    "dshield",
    "urlhaus",
    "asn",
    "country",
    "ip",
    "last_seen",
    "ip_types",
    "fetched_at",
    "noise",
    "organization",
    "latitude",
)
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(
    st.recursive(
        _VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_NAMES), inner), max_leaves=20
    )
)
def test_any_document_can_be_read_and_merged(document: Any) -> None:
    oddities = Oddities()
    merge(converted(read_document(document, "enrichment", oddities), oddities))


@pytest.mark.parametrize(
    ("known_at", "basis"),
    [
        ((), "late"),
        ((AT + 48 * HOUR,), "observed"),
        ((AT - 48 * HOUR,), "observed"),
        ((AT + 49 * HOUR,), "late"),
        ((AT + HOUR, AT + 500 * HOUR), "late"),
        ((AT + HOUR, AT - HOUR), "observed"),
    ],
)
def test_a_snapshot_is_observed_if_all_its_times_are_near(known_at: tuple[datetime, ...], basis: str) -> None:
    assert decide_basis(AT, known_at) == basis


def session(**values: Any) -> Any:
    row = {"session_id": "abc", "first_event_at": AT.isoformat(), "source_ip": "198.51.100.7", **values}
    return read_session(row, Oddities())


@pytest.mark.parametrize(
    ("said", "source", "ip"),
    [
        ("198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("198.51.100.7/32", "198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7", "198.51.100.7"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::1"),
        ("scanner.example.net", "scanner.example.net", None),
        (None, "", None),
        (7, "", None),
    ],
)
def test_where_a_session_came_from_is_never_lost(said: Any, source: str, ip: str | None) -> None:
    found = session(source_ip=said)
    assert (found.source, found.source_ip) == (source, ip)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"first_event_at": "2025-01-01"}, "no session id"),
        ({"session_id": "  ", "first_event_at": "2025-01-01"}, "no session id"),
        ({"session_id": "a"}, "no time"),
        ({"session_id": "a", "first_event_at": "soon"}, "no time"),
    ],
)
def test_a_session_needs_an_id_and_a_time(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        read_session(row, Oddities())


def test_one_time_is_enough() -> None:
    found = session(first_event_at=None, last_event_at=AT.isoformat())
    assert (found.first_event_at, found.last_event_at) == (AT, AT)


def test_attempts_without_an_outcome_count_as_failed() -> None:
    assert session(login_attempts=5).counts["login_failed_count"] == 5
    told = session(login_attempts=5, successful_logins=2).counts
    assert (told["login_success_count"], told["login_failed_count"]) == (2, 3)


def test_columns_are_worth_more_than_the_document() -> None:
    found = session(snapshot_asn=1, snapshot_country="XX", enrichment={"maxmind": {"asn": 2, "country": "FR"}})
    assert (found.snapshot_asn, found.snapshot_country, found.basis) == (1, None, "late")


def test_a_block_that_tells_its_own_time_proves_it() -> None:
    block = {"asn": 2, "fetched_at": (AT + HOUR).isoformat()}
    assert session(enrichment={"maxmind": block}).basis == "observed"
    assert session(enrichment={"maxmind": block}, enrichment_at=(AT + 900 * HOUR).isoformat()).basis == "late"


def test_rows_of_one_id_are_one_session_where_they_share_a_day_and_an_address() -> None:
    few, many = session(event_count=2), session(event_count=9)
    elsewhere = session(source_ip="198.51.100.8")
    later = session(first_event_at=(AT + 72 * HOUR).isoformat())
    across = session(first_event_at=(AT - 12 * HOUR).isoformat(), last_event_at=(AT + HOUR).isoformat())
    assert distinct_sessions([few, many]) == [many]
    assert len(distinct_sessions([few, elsewhere, later])) == 3
    assert len(distinct_sessions([many, across])) == 1


def test_an_address_goes_by_its_column_and_keeps_what_its_document_says() -> None:
    row = {
        "ip_address": "198.51.100.7",
        "current_asn": "64500",
        "enrichment_updated_at": AT.isoformat(),
        "enrichment": {"maxmind": {"asn": 3, "country": "DE"}},
    }
    found = read_address(row, Oddities())
    assert (found.believed.asn, found.asn_source, found.believed.geo_country) == (64500, "imported", "DE")
    assert found.document["maxmind"]["expires_at"] == AT.isoformat()


@pytest.mark.parametrize("value", [None, "example.net", "", 5])
def test_an_address_must_be_one(value: Any) -> None:
    with pytest.raises(UnusableRowError, match="no IP address"):
        read_address({"ip_address": value}, Oddities())


@pytest.mark.parametrize("value", [0, -1, 2**32, "x", None])
def test_a_network_must_have_a_number(value: Any) -> None:
    with pytest.raises(UnusableRowError, match="no AS number"):
        read_network({"asn_number": value}, Oddities())


def test_a_file_is_known_by_its_hash_in_lower_case() -> None:
    found = read_file({"shasum": "AB" * 32, "size": -4, "vt_malicious": 3, "filename": "x\0"}, Oddities())
    assert (found.sha256, found.reputation, found.facts) == ("ab" * 32, {"malicious": 3}, {"filename": "x\u241b0000"})
    with pytest.raises(UnusableRowError, match="no SHA-256"):
        read_file({"shasum": "ab" * 20}, Oddities())


def test_the_spellings_of_a_column_are_told_where_all_are_missing() -> None:
    assert SESSIONS.missing(["session", "started_at"]) == []
    (lacks,) = SESSIONS.missing(["session"])
    assert lacks.startswith("first_event_at or first_event or started_at")
