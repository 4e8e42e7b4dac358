"""Text as attackers send it, made storable without losing a character.

PostgreSQL's text cannot hold NUL, and no UTF-8 text can hold half of a surrogate pair; attackers send both. Such a
character is written as U+241B (SYMBOL FOR ESCAPE) and four hex digits, and U+241B itself likewise, so that
`unescape_text` gives back exactly what was logged. All other text, backslashes included, stays as it is.
"""

import re

__all__ = ["escape_text", "sample_of", "unescape_text"]

_INTRODUCER = "\u241b"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff\u241b]")
_ESCAPED = re.compile("\u241b([0-9a-f]{4})")
_SAMPLE_BYTES = 500


def escape_text(text: str) -> str:
    """Return `text` with each character that a database cannot hold escaped."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub(lambda match: f"{_INTRODUCER}{ord(match[0]):04x}", text)


def unescape_text(text: str) -> str:
    """Undo `escape_text`."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def sample_of(line: bytes) -> str:
    """Return the first 500 bytes of a line that could not be read, printable on any terminal."""
    shown = line[:_SAMPLE_BYTES].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return text + "..." if len(line) > _SAMPLE_BYTES else text
