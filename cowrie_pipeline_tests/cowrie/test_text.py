"""Text of attackers, made storable and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.text import escape_text, sample_of, unescape_text

any_text = st.text(st.characters() | st.sampled_from("\x00\ud800\udfff\u241b0123abcdef\\"))


@given(any_text)
def test_escaping_loses_nothing_and_leaves_nothing_that_cannot_be_stored(text: str) -> None:
    escaped = escape_text(text)
    assert unescape_text(escaped) == text
    assert "\x00" not in escaped
    escaped.encode("utf-8")


@given(any_text, any_text)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (escape_text(one) == escape_text(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain \\u0000 \\x00 text\n\t\x1b", "plain \\u0000 \\x00 text\n\t\x1b"),
        ("é😀", "é😀"),
        ("a\x00b", "a\u241b0000b"),
        ("\ud800", "\u241bd800"),
        ("\u241b0000", "\u241b241b0000"),
    ],
)
def test_only_what_cannot_be_stored_is_changed(text: str, escaped: str) -> None:
    assert escape_text(text) == escaped


def test_a_sample_shows_every_byte_and_is_bounded() -> None:
    assert sample_of(b'{"a":\x00\xff\x1b[31m\xc3\xa9') == '{"a":\\x00\\xff\\x1b[31mé'
    assert sample_of(b"x" * 501) == "x" * 500 + "..."
    assert sample_of(b"x" * 500) == "x" * 500


@given(st.binary(max_size=700))
def test_a_sample_of_any_bytes_can_be_printed_and_stored(line: bytes) -> None:
    sample = sample_of(line)
    assert sample.isprintable()
    sample.encode("utf-8")
    assert len(sample) <= 10 * 500 + 3
