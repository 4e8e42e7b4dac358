"""Tried passwords by their SHA-1, for those who do not want to keep them in clear.

Belongs here: the digest of a password, as stored and as logged, and lines without passwords.
Does not belong here: whether passwords are kept (a setting), who knows them (enrichment/).

SHA-1 is what Have I Been Pwned indexes by. It hides a guessable password from a reader, not from somebody who guesses.
"""

import hashlib
import json
import re

from cowrie_pipeline.cowrie.decode import DeadLetterError, Oddities, parse_object
from cowrie_pipeline.cowrie.text import unescape_text

__all__ = ["may_hold_password", "piece_may_hold_password", "sha1_of", "sha1_of_stored", "without_password"]

_HASHED = re.compile(r"sha1:([0-9A-F]{40})")
# Cowrie repeats the password in the message: `login attempt [root/123456] failed`.
_MARKS = (b"password", b"login attempt")
# How an object begins. Inside a text the quote would have a backslash before it.
_BEGINNING = re.compile(rb"\s*\{\s*(\"|\Z)")


def sha1_of(password: str) -> str:
    """Return the SHA-1 of a password as it was tried: 40 upper-case hexadecimal digits."""
    # half a surrogate pair, which a log can hold, has no octets of its own
    return hashlib.sha1(password.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest().upper()


def sha1_of_stored(password: str) -> str:
    """Return the SHA-1 of a password as it is stored in `login_attempts`: in clear or hashed already."""
    match = _HASHED.fullmatch(password)
    return match[1] if match is not None else sha1_of(unescape_text(password))


def may_hold_password(line: bytes) -> bool:
    """Whether a line could have a password in it."""
    return any(mark in line for mark in _MARKS)


def piece_may_hold_password(piece: bytes) -> bool:
    """Whether what is no whole line could have a password in it, or a part of one.

    What comes before the first mark is no password, so the beginning of a line is told by its marks. The end of one may
    begin inside a password, and nothing tells.
    """
    return may_hold_password(piece) or _BEGINNING.match(piece) is None


def without_password(line: bytes) -> bytes:
    """Return the line of an event with the password hashed and without the message that repeats it.

    A password that is no text, and so is not stored in any case, is left out. Hashing again changes nothing.
    """
    if not may_hold_password(line):
        return line
    try:
        content = parse_object(line, Oddities())
    except DeadLetterError:
        return line
    password = content.get("password")
    if isinstance(password, str) and _HASHED.fullmatch(password):
        return line
    if isinstance(password, str):
        content["password"] = f"sha1:{sha1_of(password)}"
    elif password is not None:
        content["password"] = None
    elif "login attempt" not in str(content.get("message")):
        return line
    content.pop("message", None)
    return json.dumps(content, separators=(",", ":")).encode()
