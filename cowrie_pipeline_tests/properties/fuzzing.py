"""How true input is spoilt: octets changed, values exchanged for others, answers nested too deeply.

Belongs here: what a fuzzer sends, whatever it is sent to, and what every answer must be made of.
Does not belong here: the readers and parsers (test_fuzz_*.py and others beside them).

How many examples are tried is the profile's of conftest.py: a fixed number in CI, as many as `make fuzz` says there.
"""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

__all__ = ["anything", "deep", "edited", "edits", "leaves", "octets_of", "scalars", "spoilt"]

pieces = st.binary(max_size=6) | st.sampled_from(
    [
        *(b"\n", b"|", b'"', b"{", b"}", b"null", b"NaN", b"-Infinity", b"-1", b"1e999", b"\x00", b"\xff", b"\\ud800"),
        *(
            b"9" * 5000,
            b"[" * 2000,
            b'{"a":' * 2000,
            b"0" * 30,
            b"\xef\xbb\xbf",
            b"\xf0\x9f\x98",
            b"\\u0000",
            b"1" * 400,
        ),
    ]
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), pieces), min_size=1, max_size=4)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-5, 5)
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            *(
                "true",
                "2026-01-01",
                "2026-01-01 00:00:00 UTC",
                "US",
                "online",
                "12",
                "not listed",
                "203.0.113.7",
                "NaN",
            ),
            *("9" * 400, "\u0000", "\ud800", "0000-00-00", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00"),
        ]
    )
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Return octets with some taken out and others put in, at shares of the length."""
    for where, removed, piece in changes:
        at = int(where * len(content))
        content = content[:at] + piece + content[at + removed :]
    return content


def deep(levels: int) -> Any:
    """Return lists and objects in each other."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@st.composite
def spoilt(draw: st.DrawFn, answer: Any) -> Any:
    """Return a true answer in which any part may be something else, missing or more."""
    if draw(st.integers(0, 7)) == 0:
        return draw(anything | st.integers(0, 60).map(deep))
    if isinstance(answer, dict):
        kept = {key: draw(spoilt(value)) for key, value in answer.items() if draw(st.integers(0, 9))}
        return kept | (draw(st.dictionaries(st.text(max_size=5), scalars, max_size=1)))
    if isinstance(answer, list):
        return [draw(spoilt(value)) for value in answer] + draw(st.lists(anything, max_size=2))
    return answer


def octets_of(answer: Any) -> st.SearchStrategy[bytes]:
    """Return answers as they come over a wire, with octets changed or cut off."""
    true = json.dumps(answer).encode()
    return st.one_of(
        edits.map(lambda changes: edited(true, changes)),
        st.integers(0, len(true)).map(lambda length: true[:length]),
        st.sampled_from([true.decode().encode("utf-16"), b"\xef\xbb\xbf" + true, true + true, b"[" * 100_000]),
    )


def leaves(value: Any) -> Iterator[Any]:
    """Yield what an answer is made of; every key must be a text."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value
