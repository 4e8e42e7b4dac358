"""The functions that make text harmless for one place each, for any text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.steps.harmless import defanged_urls, in_markdown, in_spreadsheet, visible
from cowrie_pipeline_tests.security.hostile import HOSTILE

urls = st.tuples(
    st.sampled_from(["http", "https", "HTTP", "ftp", "ftps", "tftp", "ldap", "ssh"]),
    st.sampled_from(["evil.example", "user:pw@evil.example:80", "203.0.113.9", "[2001:db8::1]", "a.b.c.d.e"]),
    st.sampled_from(["", "/x.sh", "/a?b=c.d", "#x", " and more"]),
).map(lambda parts: f"{parts[0]}://{parts[1]}{parts[2]}")
texts = st.lists(st.one_of(st.sampled_from(sorted(HOSTILE.values())), urls, st.text(max_size=9)), max_size=4).map(
    "".join
)


@given(st.lists(st.one_of(urls, st.text(" ;'\"<>|&\n", max_size=3)), max_size=6).map(" ".join))
def test_no_url_is_left_that_a_program_would_open(text: str) -> None:
    shown = defanged_urls(text)
    assert not re.search(r"(?i)\b(https?|ftps?)://", shown)
    assert not re.search(r"(?i)[a-z]+://[^\s/]*[a-z0-9]\.[a-z0-9]", shown)
    assert defanged_urls(shown) == shown


@given(texts)
def test_a_cell_of_a_spreadsheet_begins_no_formula_and_loses_nothing(text: str) -> None:
    cell = in_spreadsheet(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert cell.removeprefix("'" if cell != text else "") == text


@given(texts)
def test_visible_text_has_nothing_that_cannot_be_seen(text: str) -> None:
    assert all(
        character.isprintable() or character in "\u3000\xa0" or character.isspace() for character in visible(text)
    )
    assert not {"\n", "\r", "\t", "\x1b", "\u202e"} & set(visible(text))


@given(texts)
def test_what_markdown_would_obey_is_escaped(text: str) -> None:
    left = re.sub(r"\\[^0-9A-Za-z\s]", "", in_markdown(text))
    assert not set("`*[]<>|~") & set(left)
