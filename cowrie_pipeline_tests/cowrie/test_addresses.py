"""One canonical form for each source address."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.addresses import source_address

HASHED = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("logged", "ip"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\n", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("0:0:0:0:0:ffff:203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7%eth0", "203.0.113.7"),
        ("::1", "::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_an_address_has_one_form(logged: str, ip: str) -> None:
    assert (source_address(logged).source, source_address(logged).ip) == (ip, ip)


@pytest.mark.parametrize("logged", [None, ""])
def test_nothing_is_no_source(logged: str | None) -> None:
    assert (source_address(logged).source, source_address(logged).ip) == ("", None)


@pytest.mark.parametrize("logged", [HASHED, "localhost", "203.0.113.256", "203.0.113.07", "1.2.3", "1.2.3.4/24", "%"])
def test_what_is_no_address_still_tells_sessions_apart(logged: str) -> None:
    assert (source_address(logged).source, source_address(logged).ip) == (logged, None)


def test_what_is_no_address_can_be_stored() -> None:
    found = source_address("\x00\ud800" + "x" * 1000)
    assert found.ip is None
    assert found.source.startswith("\u241b0000\u241bd800xxx")
    assert len(found.source) < 300


@given(st.ip_addresses())
def test_the_canonical_form_is_its_own_and_the_same_for_every_spelling(address: object) -> None:
    plain = source_address(str(address)).ip
    assert plain is not None
    assert source_address(plain).ip == plain
    assert source_address(ip_address(str(address)).exploded.upper()).ip == plain
