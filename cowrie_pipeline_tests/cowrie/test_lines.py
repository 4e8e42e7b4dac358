"""Where lines begin and end, whatever the bytes are and however they arrive."""

import io
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.lines import CHUNK_BYTES, Block, line_fingerprint, read_blocks, strip_line
from cowrie_pipeline_tests.cowrie.log_lines import Dripping

MIB = 1024 * 1024


def blocks_of(content: bytes, *, limit: int = MIB, sizes: tuple[int, ...] = (CHUNK_BYTES,)) -> list[Block]:
    return list(read_blocks(Dripping(content, sizes), max_line_bytes=limit))


def lines_of(blocks: list[Block]) -> list[tuple[int, int, bytes]]:
    """Number, offset and text of every line; the beginning stands for an overlong one."""
    found = []
    for block in blocks:
        if block.overlong is not None:
            found.append((block.number, block.offset, block.overlong.beginning))
        found += [(block.number + at, block.offset_of(at), line) for at, line in enumerate(block.lines)]
    return found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(1, 0, b"")]),
        (b"a\nbc\n", [(1, 0, b"a"), (2, 2, b"bc")]),
        (b"a\nbc", [(1, 0, b"a"), (2, 2, b"bc")]),
        (b"a\n\n\nb\n", [(1, 0, b"a"), (2, 2, b""), (3, 3, b""), (4, 4, b"b")]),
        (b"a\r\nb\r\n", [(1, 0, b"a\r"), (2, 3, b"b\r")]),
        (b"\na", [(1, 0, b""), (2, 1, b"a")]),
    ],
)
@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 1), (100,)])
def test_lines_have_their_number_and_offset(
    content: bytes, expected: list[tuple[int, int, bytes]], sizes: tuple[int, ...]
) -> None:
    assert lines_of(blocks_of(content, sizes=sizes)) == expected


@pytest.mark.parametrize(("content", "terminated"), [(b"a\n", True), (b"a\nb", False), (b"a\n\x00\x00", False)])
def test_the_last_block_says_whether_its_last_line_has_a_newline(content: bytes, terminated: bool) -> None:
    assert blocks_of(content)[-1].terminated is terminated


def test_blanks_and_nuls_around_a_line_are_not_part_of_it() -> None:
    assert strip_line(b'\x00\x00 \t{"a":" b "}\r\x00') == b'{"a":" b "}'
    assert strip_line(b"\x00 \t\r") == b""


@given(st.binary(max_size=400) | st.text("ab\n\x00 \r", max_size=400).map(str.encode), st.data())
def test_any_bytes_in_any_pieces_give_the_same_lines(content: bytes, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=5))
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    found = lines_of(blocks_of(content, sizes=tuple(sizes)))
    assert [line.lstrip(b"\x00") for _, _, line in found] == [line.lstrip(b"\x00") for line in expected]
    assert [number for number, _, _ in found] == list(range(1, len(expected) + 1))
    offset = 0
    for (_, at, _), line in zip(found, expected, strict=True):
        assert at == offset
        offset += len(line) + 1


@given(st.lists(st.text("ab\x00 ", max_size=30).map(str.encode), max_size=30), st.booleans(), st.data())
def test_only_lines_over_the_bound_are_not_given_whole(
    lines: list[bytes], ends_with_newline: bool, data: st.DataObject
) -> None:
    limit = data.draw(st.integers(1, 30))
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=5))
    content = b"\n".join(lines) + b"\n" * ends_with_newline
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    blocks = blocks_of(content, limit=limit, sizes=tuple(sizes))
    found = lines_of(blocks)
    offset = 0
    for number, ((at_number, at, shown), line) in enumerate(zip(found, expected, strict=True), start=1):
        assert (at_number, at) == (number, offset)
        # of an overlong line its beginning
        given_text, whole = shown.lstrip(b"\x00"), line.lstrip(b"\x00")
        assert whole.startswith(given_text) if len(whole) > limit else whole == given_text
        offset += len(line) + 1
    overlong = {block.number: block.overlong for block in blocks if block.overlong is not None}
    too_long = {
        number: line.lstrip(b"\x00") for number, line in enumerate(expected, 1) if len(line.lstrip(b"\x00")) > limit
    }
    assert {number: each.length for number, each in overlong.items()} == {n: len(line) for n, line in too_long.items()}
    assert {n: each.fingerprint for n, each in overlong.items()} == {
        n: line_fingerprint(line) for n, line in too_long.items()
    }


@pytest.mark.parametrize("before", [0, 1, CHUNK_BYTES - 30, CHUNK_BYTES - 1, CHUNK_BYTES])
def test_an_overlong_line_is_the_same_line_wherever_chunks_end(before: int) -> None:
    content = b"x" * before + b"\n" + b"y" * (2 * MIB) + b"\nafter\n"
    blocks = blocks_of(content, limit=MIB + 10)
    overlong = next(block for block in blocks if block.overlong is not None)
    assert overlong.overlong is not None
    assert overlong.overlong.length == 2 * MIB
    assert overlong.overlong.fingerprint == line_fingerprint(b"y" * (2 * MIB))
    assert (overlong.number, overlong.offset) == (2, before + 1)
    assert lines_of(blocks)[-1] == (3, before + 1 + 2 * MIB + 1, b"after")


def test_an_object_behind_more_nuls_than_a_line_may_be_long_is_found() -> None:
    hole = b"\x00" * (3 * MIB + 17)
    blocks = blocks_of(b"first\n" + hole + b"object\nnext\nlast", limit=1000)
    assert [(number, offset, strip_line(line)) for number, offset, line in lines_of(blocks)] == [
        (1, 0, b"first"),
        (2, 6, b"object"),
        (3, 6 + len(hole) + 7, b"next"),
        (4, 6 + len(hole) + 12, b"last"),
    ]
    assert not any(block.overlong for block in blocks)


class Repeating(io.RawIOBase):
    """A stream of `total` bytes that no one holds."""

    def __init__(self, total: int, piece: Callable[[int], bytes]) -> None:
        super().__init__()
        self._left = total
        self._piece = piece

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return self._piece(size)


@pytest.mark.parametrize(
    "piece",
    [lambda size: b"x" * size, lambda size: b"\x00" * size, lambda size: (b"x" * 99 + b"\n") * (size // 100)],
    ids=["one line", "nothing but NULs", "many lines"],
)
def test_memory_does_not_grow_with_the_stream(piece: Callable[[int], bytes]) -> None:
    stream = Repeating(256 * MIB, piece)
    tracemalloc.start()
    try:
        for block in read_blocks(stream, max_line_bytes=MIB):
            del block
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


def test_reading_goes_on_in_the_middle_of_a_line() -> None:
    blocks = list(read_blocks(io.BytesIO(b"c\nd\n"), max_line_bytes=10, number=7, offset=100, beginning=b"ab"))
    assert lines_of(blocks) == [(7, 100, b"abc"), (8, 104, b"d")]


def test_a_beginning_with_nothing_behind_it_is_a_line_without_a_newline() -> None:
    (block,) = read_blocks(io.BytesIO(b""), max_line_bytes=10, number=7, offset=100, beginning=b"ab")
    assert (block.number, block.offset, block.lines, block.terminated) == (7, 100, [b"ab"], False)


def test_offsets_of_a_block_of_many_lines_take_linear_time() -> None:
    import time

    (block,) = blocks_of(b"x\n" * 200_000)
    began = time.perf_counter()
    assert [block.offset_of(at) for at in range(200_000)] == list(range(0, 400_000, 2))
    assert time.perf_counter() - began < 5  # adding up from the beginning each time takes minutes
