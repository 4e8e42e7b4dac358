"""SSH keys that a session planted into `authorized_keys`, found in the commands it entered.

Belongs here: how a key is found in a command, however it was wrapped, and what a key is (type, bits, fingerprints).
Does not belong here: which sessions planted which key (steps/planted_keys.py).

A key counts as planted if the session names `authorized_keys` anywhere, also inside of what it encoded. A key is a
line of authorized_keys(5): options, a type, the key in base64, a comment; the base64 holds the wire format of RFC 4253,
RFC 5656 and RFC 8709, whose first field repeats the type. What cannot be read as that is no key.

Work is bounded, whatever an attacker writes: see the constants.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["MAX_TEXT", "PlantedKey", "keys_in", "parse_key"]

# Characters of one session's commands that are looked through, and of what is decoded from them.
MAX_TEXT = 1024 * 1024
_MAX_KEYS = 1_000
# RSA of 16,384 bits, the longest that OpenSSH takes, is some 2,800 characters.
_MAX_KEY_TEXT = 16 * 1024
_MAX_COMMENT = 200
# base64 of a script that has base64 of a script that has the key.
_MAX_DEPTH = 3

_TARGET = "authorized_keys"
_CURVES = {"nistp256": 256, "nistp384": 384, "nistp521": 521}
_KEY = re.compile(
    r"(?<![\w.@-])"
    r"(?P<type>ssh-rsa|ssh-dss|ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)"
    r"|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)"
    r"[ \t]+(?P<key>[A-Za-z0-9+/]{16,}={0,2})(?![A-Za-z0-9+/=])"
)
# Lines of base64 without anything between them, as `base64` breaks them; a heredoc's lines are commands of their own.
_ENCODED = re.compile(r"[A-Za-z0-9+/]{16,}(?:[\r\0]?\n[A-Za-z0-9+/]+)*={0,2}")
# Between commands: an apostrophe in one does not quote the next. In what is decoded there is no NUL.
_BETWEEN = "\0\n"
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|0?([0-7]{1,3})|([ntr\\\"']))")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
# What ends a comment: on a line of its own, as in a file or heredoc; as words of a command; in quotes.
_END_OF_LINE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]|\\[nr]")
_END_OF_WORDS = re.compile(r"[\0\r\n;|&<>\\\"'`]")
_END_IN_QUOTES = {'"': re.compile(r'["\0\r\n]|\\[nr"]'), "'": re.compile(r"['\0\r\n]|\\[nr]")}


@dataclass(frozen=True, slots=True)
class PlantedKey:
    """A public key.

    `fingerprint` is as OpenSSH prints it, `SHA256:` and base64 without padding; `md5` is the older form, 16 pairs of
    hexadecimal digits with colons, by which Cowrie logs the keys that clients offer. `bits` is the length of RSA's
    modulus and of DSA's prime, of the curve for the others. `comment` is empty where there is none.
    """

    key_type: str
    fingerprint: str
    md5: str
    bits: int
    comment: str


def keys_in(commands: Sequence[str]) -> list[PlantedKey]:
    """Return the distinct keys that a session's commands planted, in the order in which they were written.

    Args:
        commands: the lines of one session in their order, as they were entered.
    """
    texts = list(_layers(_BETWEEN.join(commands)[:MAX_TEXT]))
    if not any(_TARGET in text for text in texts):
        return []
    found: dict[str, PlantedKey] = {}
    for text in texts:
        for key in _keys_of(text):
            known = found.get(key.fingerprint)
            if known is None and len(found) == _MAX_KEYS:
                return list(found.values())
            # the same key with a comment tells more
            if known is None or (key.comment and not known.comment):
                found[key.fingerprint] = key
    return list(found.values())


def _layers(text: str) -> Iterator[str]:
    """Yield the text, and what is written in it with escapes or in base64, some layers deep."""
    left = MAX_TEXT
    layers = [text]
    for _ in range(_MAX_DEPTH):
        yield from layers
        deeper: list[str] = []
        for inner in (inner for layer in layers for inner in _unwrapped(layer)):
            if left <= 0:
                break
            deeper.append(inner[:left])
            left -= len(inner)
        layers = deeper
    yield from layers


def _unwrapped(text: str) -> Iterator[str]:
    r"""Yield what is encoded in a text: the whole with its escapes, such as `\x73`, and each run of base64."""
    if "\\" in text:
        plain = _ESCAPE.sub(_unescape, text)
        if plain != text:
            yield plain
    for match in _ENCODED.finditer(text):
        for run in _runs(match[0]):
            decoded = _decoded(run)
            # A key's own base64 is binary. What is a script or lines of authorized_keys has no NUL.
            if decoded is not None and "\0" not in decoded:
                yield decoded


def _runs(text: str) -> Iterator[str]:
    """Yield what belongs together of lines that look like base64: lines of one length, and a shorter one at their end.

    So the word that ends a heredoc, or a command of letters alone, is not taken for more of it.
    """
    run: list[str] = []
    is_whole = False
    for line in re.split(r"[\0\r]?\n", text):
        fits = (
            bool(run) and not is_whole and len(line) <= len(run[0]) and (len(line) == len(run[0]) or not len(line) % 4)
        )
        if not fits:
            yield "".join(run)
            run = []
        run.append(line)
        is_whole = len(line) < len(run[0])
    yield "".join(run)


def _unescape(match: re.Match[str]) -> str:
    in_hex, octal, letter = match.groups()
    if in_hex:
        return chr(int(in_hex, 16))
    return chr(int(octal, 8) & 0xFF) if octal else _LETTERS[letter]


def _decoded(text: str) -> str | None:
    """Return what a run of base64 says, as far as it is text; None where it is something else."""
    packed = text.rstrip("=")
    packed = packed[: len(packed) - (len(packed) % 4 == 1)]
    try:
        octets = binascii.a2b_base64(packed + "=" * (-len(packed) % 4))
    except binascii.Error:
        return None
    return octets.decode("latin-1")


def _keys_of(text: str) -> Iterator[PlantedKey]:
    quotes = _Quotes(text)
    for match in _KEY.finditer(text):
        if len(match["key"]) <= _MAX_KEY_TEXT:
            quote = quotes.open_at(match.start())
            rest = text[match.end() : match.end() + _MAX_COMMENT]
            if quote is not None:
                end = _END_IN_QUOTES[quote].search(rest)
            elif text[max(0, match.start() - 1) : match.start()] in ("", "\n"):
                end = _END_OF_LINE.search(rest)
            else:
                end = _END_OF_WORDS.search(rest)
            comment = rest[: end.start()] if end else rest
            key = parse_key(match["type"], match["key"], comment.strip() if comment[:1] in (" ", "\t") else "")
            if key is not None:
                yield key


class _Quotes:
    """Which quote is open at a place of a shell's text, asked from the beginning on: each character is read once."""

    def __init__(self, text: str) -> None:
        self._marks = re.finditer(r"\\.|[\"'\0]", text, re.DOTALL)
        self._next: re.Match[str] | None = next(self._marks, None)
        self._open: str | None = None

    def open_at(self, position: int) -> str | None:
        """Return the quote that is open at `position`, which is no lower than the time before."""
        while self._next is not None and self._next.start() < position:
            mark = self._next[0]
            if mark in ("\0", self._open):
                self._open = None
            elif self._open is None and mark in ('"', "'"):
                self._open = mark
            self._next = next(self._marks, None)
        return self._open


def parse_key(key_type: str, text: str, comment: str = "") -> PlantedKey | None:
    """Return the key that stands behind its type in base64; None if it is none of that type."""
    try:
        octets = base64.b64decode(text, validate=True)
        fields = _fields(octets)
        bits = _bits(key_type, fields)
    except (binascii.Error, ValueError, IndexError):
        return None
    digest = hashlib.md5(octets, usedforsecurity=False).hexdigest()
    sha256 = base64.b64encode(hashlib.sha256(octets).digest()).decode().rstrip("=")
    md5 = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
    return PlantedKey(key_type, f"SHA256:{sha256}", md5, bits, comment)


def _fields(octets: bytes) -> list[bytes]:
    """Return the fields of a key: each is its length in four octets, big-endian, and that many octets.

    Raises:
        ValueError: the lengths do not add up.
    """
    fields = []
    at = 0
    while at < len(octets):
        end = at + 4 + int.from_bytes(octets[at : at + 4])
        if at + 4 > len(octets) or end > len(octets):
            raise ValueError("a field is longer than the key")
        fields.append(octets[at + 4 : end])
        at = end
    return fields


def _bits(key_type: str, fields: Sequence[bytes]) -> int:
    """Return the length of a key.

    Raises:
        ValueError: the fields are not those of a key of this type.
    """
    if fields[0] != key_type.encode():
        raise ValueError("the key is of another type than is written before it")
    if key_type == "ssh-rsa":
        _, exponent, modulus = _exactly(fields, 3)
        return min(_positive(exponent), 1) * _positive(modulus)
    if key_type == "ssh-dss":
        prime, *others = _exactly(fields, 5)[1:]
        return min(1, *map(_positive, others)) * _positive(prime)
    if key_type in ("ssh-ed25519", "sk-ssh-ed25519@openssh.com"):
        if len(_exactly(fields, 3 if key_type.startswith("sk-") else 2)[1]) != 32:
            raise ValueError("an ed25519 key has 32 octets")
        return 256
    curve, point = _exactly(fields, 4 if key_type.startswith("sk-") else 3)[1:3]
    name = curve.decode("ascii")
    bits = _CURVES[name] if name in key_type and name in _CURVES else 0
    if not bits or point[:1] != b"\x04" or len(point) != 1 + 2 * -(-bits // 8):
        raise ValueError("the point is not on the curve that is named")
    return bits


def _exactly(fields: Sequence[bytes], count: int) -> Sequence[bytes]:
    if len(fields) != count:
        raise ValueError(f"expected {count} fields, found {len(fields)}")
    return fields


def _positive(field: bytes) -> int:
    """Return how many bits a number has.

    Raises:
        ValueError: it is zero or negative.
    """
    number = int.from_bytes(field, signed=True)
    if number <= 0:
        raise ValueError("expected a number above zero")
    return number.bit_length()
