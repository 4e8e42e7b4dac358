"""What counts as a value, and what does not."""

from typing import Any

import pytest

from cowrie_pipeline.enrichment.values import (
    count_value,
    flag,
    hex_digest,
    iso_time,
    network_prefix,
    short_text,
    short_texts,
    web_address,
)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        ("0", 0),
        ("0012", 12),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        ("9" * 5000, None),
        (-1, None),
        ("-1", None),
        ("٣", None),
        (True, None),
        (1.0, None),
        ("", None),
        (None, None),
    ],
)
def test_a_count_is_a_number_that_is_not_negative(value: Any, count: int | None) -> None:
    assert count_value(value) == count


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), ("true", True), ("False", False), (0, None), (1, None), ("yes", None), (None, None), ([], None)],
)
def test_a_flag_is_a_bool_or_its_name(value: Any, truth: bool | None) -> None:
    assert flag(value) is truth


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (1767225600, "2026-01-01T00:00:00+00:00"),
        ("2026-01-01 00:00:00 UTC", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00"),
        (0, None),
        (-1, None),
        (10**20, None),
        (True, None),
        ("1970-01-01 00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("UTC", None),
        ("", None),
        (None, None),
        (1.5, None),
    ],
)
def test_a_time_is_in_utc_and_after_1970(value: Any, time: str | None) -> None:
    assert iso_time(value) == time


def test_texts_are_bounded_distinct_and_never_empty() -> None:
    assert short_text("  " + "x" * 300) == "x" * 200
    assert short_text("x" * 199 + "  y") == "x" * 199
    assert short_texts(["a", "", " a ", None, 7, {}, "b"]) == ["a", "7", "b"]
    assert len(short_texts([str(number) for number in range(99)]) or []) == 50
    nothing: list[Any] = ["a", None, {}, [], [None]]
    assert [short_texts(each) for each in nothing] == [None] * 5


def test_a_digest_has_its_number_of_digits() -> None:
    assert hex_digest("AB" * 16, 32) == "ab" * 16
    assert [hex_digest(each, 4) for each in ("abc", "abcg", "abcd\n", None, 1234)] == [None] * 5


def test_a_network_has_no_host_bits() -> None:
    assert network_prefix("2001:db8::/32") == "2001:db8::/32"
    assert [network_prefix(each) for each in ("203.0.113.7/24", "x", None, 7)] == [None] * 4


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("203.0.113.7/32", "203.0.113.7/32"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.0/024", "203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "203.0.113.0/24"),
        ("203.0.113.0/33", None),
        ("203.0.113.0/+24", None),
        ("203.0.113.0/24/", None),
        ("203.0.0113.0/24", None),
        ("203.0/16", None),
        ("203.0.113.0\0/24", None),
        ("203.0.113.٣/24", None),
    ],
)
def test_a_network_is_written_in_one_way(value: str, network: str | None) -> None:
    assert network_prefix(value) == network


def test_a_link_leads_to_the_web_alone() -> None:
    assert web_address("https://example.org/") == "https://example.org/"
    too_long = "https://" + "x" * 300
    assert [web_address(each) for each in ("javascript:x", "http://example.org", too_long, None)] == [None] * 4
