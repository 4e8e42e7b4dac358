"""What attackers wrote reaches a terminal as text: not obeyed, not taken for markup, and faking no line."""

import io
import json
from datetime import date

import pytest
from rich.console import Console

from cowrie_pipeline.cli import console, summary
from cowrie_pipeline.cli.summary import Overview
from cowrie_pipeline.steps.days import DayRange

HOSTILE = [
    "[red]not red[/red]",
    "[/]",
    "\x1b[2J\x1b]0;owned\x07gone",
    "\x9b31mred",
    "first\nsecond\r\nthird",
    "back\b\b\bspace",
    "\u202egnp.exe",
    "half a pair \ud83d",
]
OBEYED = "\x1b\x9b\x07\b\r\u202e\ud83d"


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, on a terminal without colours and elsewhere."""
    output = io.StringIO()
    made = Console(file=output, force_terminal=request.param, no_color=True, width=160, highlight=False)
    for module, name in ((console, "OUT"), (console, "ERR"), (summary, "OUT")):
        monkeypatch.setattr(module, name, made)
    return output


def without_styles(text: str) -> str:
    """Return `text` without the styles that rich itself writes, such as bold."""
    for style in ("\x1b[1m", "\x1b[0m", "\x1b[2m"):
        text = text.replace(style, "")
    return text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_table_is_shown_and_not_obeyed(text: str, shown: io.StringIO) -> None:
    console.print_table("Top networks", ("network", "organization"), [("AS1", text), ("AS2", "harmless")])
    found = without_styles(shown.getvalue())
    assert not set(OBEYED) & set(found)
    row = next(line for line in found.splitlines() if line.startswith("AS1"))
    assert console.harmless(text) in row


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_line_or_an_error_is_shown_as_one_line(text: str, shown: io.StringIO) -> None:
    console.print_line(f"no Cowrie log: {text}")
    console.print_error(f"{text} could not be read")
    found = without_styles(shown.getvalue())
    assert not set(OBEYED) & set(found)
    assert found.splitlines() == [
        f"no Cowrie log: {console.harmless(text)}",
        f"error: {console.harmless(text)} could not be read",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_json_is_plain_ascii_and_comes_back_as_it_was(text: str, shown: io.StringIO) -> None:
    console.print_json({"name": text})
    found = without_styles(shown.getvalue())
    assert found.isascii()
    assert not set(OBEYED) & set(found)
    assert json.loads(found) == {"name": text}


@pytest.mark.parametrize("text", HOSTILE)
def test_the_summary_shows_hostile_organizations(text: str, shown: io.StringIO) -> None:
    day = date(2026, 3, 1)
    summary.print_overview(
        Overview(DayRange(day, day), {"sessions": 1234}, [(64500, text, 1234, 5, 6), (64501, None, 1, 1, 0)], [])
    )
    found = without_styles(shown.getvalue())
    assert not set(OBEYED) & set(found)
    assert "1,234 sessions" in found
    assert any(line.startswith("AS64500") and console.harmless(text) in line for line in found.splitlines())


def test_a_long_error_stays_one_line(shown: io.StringIO) -> None:
    console.print_error("far " * 100)
    assert len(shown.getvalue().strip().splitlines()) == 1


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    assert console.harmless("Télécom 北京 \\x1b [b]") == "Télécom 北京 \\x1b [b]"


def test_truth_and_absence_are_shown_in_words(shown: io.StringIO) -> None:
    console.print_table("Checks", ("check", "blocks", "share", "rows"), [("a", True, 0.5, 1234), ("b", False, 0.25, 5)])
    console.print_table("Nothing", ("a",), [])
    found = without_styles(shown.getvalue())
    assert "yes" in found
    assert "no" in found
    assert "1,234" in found
    assert "Nothing" not in found


def test_what_looks_like_the_name_of_an_emoji_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_line("2001:db8:100::1")
    console.print_table("SHA256:x: none", ("address",), [("2001:db8:100::1",)])
    shown = capsys.readouterr().out
    assert shown.count("2001:db8:100::1") == 2
    assert "SHA256:x: none" in shown
