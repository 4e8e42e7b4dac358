"""Passwords hashed in the lines that are kept: none is left in clear, and hashing again changes nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.passwords import (
    may_hold_password,
    piece_may_hold_password,
    sha1_of,
    sha1_of_stored,
    without_password,
)
from cowrie_pipeline.cowrie.text import escape_text

SECRET = "hunter2"
LOGIN = {
    "eventid": "cowrie.login.failed",
    "username": "root",
    "password": SECRET,
    "message": f"login attempt [root/{SECRET}] failed",
    "timestamp": "2026-03-01T10:00:00.000000Z",
}


def line(**fields: Any) -> bytes:
    return json.dumps(LOGIN | fields).encode()


def test_a_password_becomes_its_sha1_and_the_message_goes() -> None:
    kept = json.loads(without_password(line()))
    assert kept == {name: value for name, value in LOGIN.items() if name != "message"} | {
        "password": "sha1:F3BBBD66A63D4BF1747940578EC3D0103530E21D"
    }


@pytest.mark.parametrize(
    "said",
    [
        line(),
        line(password=""),
        line(password=None),
        line(password=None, message=["login attempt", SECRET]),
        line(password=1234567, message="login attempt [root/1234567] failed"),
        line(password=["hunter2"]),
        line(eventid="cowrie.of.another.version"),
        line().replace(b'"root"', b'"r\xff\xfet"'),
        json.dumps({name: value for name, value in LOGIN.items() if name != "password"}).encode(),
    ],
)
def test_no_password_is_left_and_hashing_again_changes_nothing(said: bytes) -> None:
    kept = without_password(said)
    assert b"hunter2" not in kept
    assert b"1234567" not in kept
    assert without_password(kept) == kept
    json.loads(kept)


@pytest.mark.parametrize(
    "said",
    [
        b'{"eventid":"cowrie.session.connect","src_ip":"203.0.113.7"}',
        b'{"eventid":"cowrie.command.input","input":"echo password"}',
        b'{"eventid":"cowrie.command.input","input":"ls /etc/passwd","message":"CMD: password"}',
        b"not json, password",
    ],
)
def test_a_line_without_a_tried_password_stays_as_it_is(said: bytes) -> None:
    assert without_password(said) == said


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
def test_a_password_has_one_digest_as_logged_as_stored_and_as_hashed(password: str) -> None:
    digest = sha1_of(password)
    assert sha1_of_stored(escape_text(password)) == digest
    assert sha1_of_stored(f"sha1:{digest}") == digest
    kept = json.loads(without_password(line(password=password, message="login attempt")))
    assert kept["password"] == f"sha1:{digest}"


@given(st.integers(0, len(line())), st.text("hunter2{}\"' ", min_size=1, max_size=6))
def test_a_piece_that_has_a_part_of_a_password_in_it_is_told(cut: int, password: str) -> None:
    whole = line(password=password, message=f"login attempt [root/{password}] failed")
    begins = whole.index(b'"password": ') + len(b'"password": "')
    ends = whole.rindex(b"] failed")
    first, second = whole[:cut], whole[cut:]
    if len(first) > begins:
        assert piece_may_hold_password(first)
    if second and cut < ends:
        assert piece_may_hold_password(second)


def test_the_beginning_of_a_line_before_any_password_is_no_secret() -> None:
    for piece in (b'{"eventid":"cowrie.login.failed","username":"ro', b"{", b' { "eventid"'):
        assert not piece_may_hold_password(piece)
        assert not may_hold_password(piece)
