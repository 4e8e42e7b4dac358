"""Text of attackers made harmless for where it is shown: a page, a table, Markdown, a spreadsheet.

`harmless` is what everything on a page goes through. It is not what keeps text from becoming markup: that is the
templates' autoescaping (attack_page.py), which comes after it. It keeps what is shown from deceiving: characters that
cannot be seen, that turn the direction of writing or that are stacked over other lines are shown by their number, URLs
cannot be clicked or fetched by mistake, and nothing is longer than a table can hold.

Belongs here: what text must not be where it is shown, one function for each place.
Does not belong here: what is shown, and what only a terminal obeys (cli/console.py).
"""

import re
import unicodedata
from datetime import date, datetime

from cowrie_pipeline.cowrie.text import unescape_text

__all__ = ["LONGEST", "defanged_urls", "harmless", "in_markdown", "in_spreadsheet", "visible"]

LONGEST = 160
_NOTHING = "–"  # noqa: RUF001 - the dash that tables show for nothing
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,14})://([^\s/?#'\"<>|;&]*)")
# what chats and viewers of Markdown make a link of, too
_NAMED_WWW = re.compile(r"(?i)\b(www)\.(?=[a-z0-9])")
_DEFANGED_SCHEMES = {"http": "hxxp", "https": "hxxps", "ftp": "fxp", "ftps": "fxps"}
# not one that is defanged already
_DOT = re.compile(r"(?<!\[)\.(?!\])")
_ADDRESS = re.compile(r"\b(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\b")
# controls, directions and other formats, halves of surrogate pairs, private use, not assigned, line separators
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_STACKED = frozenset({"Mn", "Me"})
_MOST_STACKED = 2
# an underscore within a word is none of Markdown's
_MARKDOWN = re.compile(r"([\\`*{}\[\]<>()#+!|~&-]|_(?![0-9A-Za-z])|(?<![0-9A-Za-z])_)")
# What spreadsheets take for a formula at the beginning of a cell, as OWASP lists it; the last four are wide.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(value: object, *, longest: int = LONGEST) -> str:
    """Return what a person reads of a value: numbers with separators, times in UTC, text that deceives nobody.

    Args:
        value: of a database's row; attackers may have written it.
        longest: characters of a text that are shown at most.
    """
    if not isinstance(value, str):
        return _plain(value, longest)
    # a little more is taken than is shown, so that what is cut is not cut inside an escape
    text = unescape_text(value[: longest * 6 + 1])
    seen = _visible(_defanged(text[:longest]))
    return f"{seen[:longest]}…" if len(text) > longest or len(seen) > 2 * longest else seen


def visible(text: str) -> str:
    """Return a text of any length with what cannot be seen shown by its number, and URLs that nobody can follow.

    Unlike `harmless` it leaves addresses as they are, for tables out of which people copy them.
    """
    return _visible(defanged_urls(unescape_text(text)))


def defanged_urls(text: str) -> str:
    """Return text in which no program finds a URL to open: `hxxp://evil[.]example/x`."""
    return _NAMED_WWW.sub(r"\1[.]", _URL.sub(_defang_url, text))


def in_markdown(text: str) -> str:
    """Return text that Markdown takes for nothing but text."""
    return _MARKDOWN.sub(r"\\\1", text)


def in_spreadsheet(text: str) -> str:
    """Return text that a spreadsheet takes for no formula: one that begins like one gets a `'` before it."""
    return f"'{text}" if text.startswith(_BEGINS_FORMULA) else text


def _plain(value: object, longest: int) -> str:
    match value:
        case None:
            shown = _NOTHING
        case bool():
            shown = "yes" if value else "no"
        case int():
            shown = f"{value:,}"
        case float():
            shown = f"{value:,.3g}"
        case datetime():
            shown = f"{value:%Y-%m-%d %H:%M} UTC"
        case date():
            shown = value.isoformat()
        case _:
            shown = harmless(str(value), longest=longest)
    return shown


def _defanged(text: str) -> str:
    return _ADDRESS.sub(r"\1[.]\2[.]\3[.]\4", defanged_urls(text))


def _defang_url(match: re.Match[str]) -> str:
    scheme = match[1].lower()
    return f"{_DEFANGED_SCHEMES.get(scheme, scheme)}://{_DOT.sub('[.]', match[2])}"


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    stacked = 0
    for character in text:
        category = unicodedata.category(character)
        stacked = stacked + 1 if category in _STACKED else 0
        if category in _UNSEEN or stacked > _MOST_STACKED:
            shown.append(character.encode("unicode_escape", "surrogatepass").decode("ascii"))
        else:
            shown.append(character)
    return "".join(shown)
