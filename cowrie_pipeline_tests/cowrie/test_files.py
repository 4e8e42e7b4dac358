"""Log files found, and opened whatever they are compressed with, damaged or hostile."""

import bz2
import gzip
import io
import lzma
import os
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.files import ContentReader, find_logs, open_content, read_head
from cowrie_pipeline_tests.cowrie.log_lines import COMPRESSIONS, event_line, log, numbered

MIB = 1024 * 1024
CONTENT = log(numbered(2000))
formats = pytest.mark.parametrize("name", COMPRESSIONS)


def read_all(reader: ContentReader) -> bytes:
    return b"".join(iter(lambda: reader.read(MIB), b""))


def content_of(path: Path) -> tuple[bytes, str | None, list[str]]:
    with open_content(path) as reader:
        return read_all(reader), reader.damage, reader.formats


def content_of_bytes(packed: bytes) -> tuple[bytes, str | None]:
    reader = ContentReader(io.BytesIO(packed))
    return read_all(reader), reader.damage


@formats
@pytest.mark.parametrize("path", ["cowrie.json", "cowrie.json.1.gz", "cowrie.json.1.bz2", "a.xz", "a.zst"])
def test_a_file_is_what_its_content_says_not_what_its_name_says(name: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.write_bytes(COMPRESSIONS[name](CONTENT))
    assert content_of(file) == (CONTENT, None, [name])


@pytest.mark.parametrize("path", ["cowrie.json", "cowrie.json.1.gz", "cowrie.json.bz2", "a.xz", "a.zst"])
def test_plain_text_is_read_whatever_its_name(path: str, tmp_path: Path) -> None:
    (tmp_path / path).write_bytes(CONTENT)
    assert content_of(tmp_path / path) == (CONTENT, None, [])


@pytest.mark.parametrize("content", [b"", b"\x1f", b"\x1f\x8b", b"B", b"\xfd7z", b"x"])
def test_a_file_too_short_to_be_compressed_is_what_it_is(content: bytes) -> None:
    assert content_of_bytes(content) == (content, None)


@pytest.mark.parametrize("outer", COMPRESSIONS)
@pytest.mark.parametrize("inner", COMPRESSIONS)
def test_compression_within_compression_is_undone(outer: str, inner: str, tmp_path: Path) -> None:
    # 200 KB that do not compress: an outer format gives its first byte late
    content = os.urandom(200_000).hex().encode() + b"\n"
    path = tmp_path / "cowrie.json.1.gz.1.gz"
    path.write_bytes(COMPRESSIONS[outer](COMPRESSIONS[inner](content)))
    assert content_of(path) == (content, None, [outer, inner])


def test_compression_is_undone_three_times_and_no_more() -> None:
    packed = CONTENT
    for _ in range(4):
        packed = gzip.compress(packed, mtime=0)
    found, damage = content_of_bytes(packed)
    assert found == gzip.compress(CONTENT, mtime=0)
    assert damage is None


@formats
def test_a_file_of_several_members_is_read_to_its_end(name: str) -> None:
    compress = COMPRESSIONS[name]
    assert content_of_bytes(compress(b"one\n") + compress(b"") + compress(b"two\n")) == (b"one\ntwo\n", None)


@formats
def test_nuls_behind_the_content_are_padding(name: str) -> None:
    packed = COMPRESSIONS[name](CONTENT)
    assert content_of_bytes(packed + b"\x00" * 10_000) == (CONTENT, None)
    assert content_of_bytes(packed + b"\x00" * 10_000 + COMPRESSIONS[name](b"more\n")) == (CONTENT + b"more\n", None)


@formats
@pytest.mark.parametrize("padding", [0, 1, 5000])
def test_something_else_behind_the_content_is_damage(name: str, padding: int) -> None:
    found, damage = content_of_bytes(COMPRESSIONS[name](CONTENT) + b"\x00" * padding + b"garbage")
    assert found == CONTENT
    assert damage is not None
    assert "follows" in damage


@formats
@pytest.mark.parametrize("missing", [1, 4, 9, 100])
def test_a_truncated_file_gives_what_it_has_and_says_so(name: str, missing: int) -> None:
    packed = COMPRESSIONS[name](CONTENT)
    found, damage = content_of_bytes(packed[:-missing])
    assert CONTENT.startswith(found)
    assert damage is not None
    assert "cut off" in damage
    assert name in damage
    if name == "gzip":  # the only one of them that gives all it was fed
        assert len(found) > len(CONTENT) - 100 * missing


def flushed_gzip() -> tuple[bytes, bytes]:
    """A gzip file as a process leaves it that died after flushing, and its content."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(CONTENT)
        file.flush()
        size = buffer.tell()
    return buffer.getvalue()[:size], CONTENT


def test_all_that_was_flushed_into_a_truncated_file_is_read() -> None:
    packed, content = flushed_gzip()
    found, damage = content_of_bytes(packed)
    assert found == content
    assert damage is not None


def spoiled(packed: bytes, at: int) -> bytes:
    return packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]


@pytest.mark.parametrize("lines", [3, 2000])
def test_a_gzip_file_with_a_wrong_checksum_gives_everything_and_says_so(lines: int) -> None:
    content = log(numbered(lines))
    found, damage = content_of_bytes(spoiled(gzip.compress(content), -6))
    assert found == content
    assert damage is not None
    assert "damaged" in damage


def blocks_of(name: str, content: bytes) -> bytes:
    """Content compressed in a way that has several blocks."""
    if name == "bzip2":
        return bz2.compress(content, 1)
    if name == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(content)
    return COMPRESSIONS[name](content)


@formats
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_corrupt_file_gives_what_comes_before_the_damage_and_says_so(name: str, share: float) -> None:
    content = log(numbered(20_000))
    packed = blocks_of(name, content)
    found, damage = content_of_bytes(spoiled(packed, int(len(packed) * share)))
    assert damage is not None
    # all of what was compressed before it, but for the block or the few hundred bytes in which it is
    length = next((at for at, (one, other) in enumerate(zip(found, content, strict=False)) if one != other), len(found))
    assert length > len(content) * (share - 0.15)


@given(st.sampled_from(sorted(COMPRESSIONS)), st.data())
def test_no_damage_raises(name: str, data: st.DataObject) -> None:
    packed = bytearray(COMPRESSIONS[name](log(numbered(20))))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(4, len(packed) - 1))] = data.draw(st.integers(0, 255))
    del packed[data.draw(st.integers(4, len(packed))) :]
    content_of_bytes(bytes(packed))


def write_bomb(name: str, path: Path, piece: bytes, pieces: int) -> None:
    compressors: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(wbits=31),
        "bzip2": bz2.BZ2Compressor,
        "xz": lambda: lzma.LZMACompressor(preset=0),
        "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
    }
    compressor = compressors[name]()
    with path.open("wb") as file:
        for _ in range(pieces):
            file.write(compressor.compress(piece))
        file.write(compressor.flush())


@formats
def test_a_bomb_does_not_take_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    write_bomb(name, path, bytes(MIB), 200)
    assert path.stat().st_size < 2 * MIB
    tracemalloc.start()
    try:
        with open_content(path) as reader:
            total = sum(map(len, iter(lambda: reader.read(MIB), b"")))
            assert reader.damage is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 200 * MIB
    assert peak < 16 * MIB


def test_a_bomb_in_a_bomb_does_not_take_memory(tmp_path: Path) -> None:
    inner, path = tmp_path / "inner", tmp_path / "bomb"
    write_bomb("zstd", inner, bytes(MIB), 100)
    path.write_bytes(gzip.compress(zstandard.compress(inner.read_bytes())))
    assert path.stat().st_size < 10_000
    tracemalloc.start()
    try:
        with open_content(path) as reader:
            assert sum(map(len, iter(lambda: reader.read(MIB), b""))) == 100 * MIB
            assert reader.formats == ["gzip", "zstd", "zstd"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB


@pytest.mark.parametrize("name", [*COMPRESSIONS, "plain"])
@pytest.mark.parametrize("skipped", [0, 1, 100, 70_000, 200_000, len(CONTENT), len(CONTENT) + 1])
def test_skipping_goes_to_that_byte_of_the_content(name: str, skipped: int, tmp_path: Path) -> None:
    path = tmp_path / "cowrie.json"
    path.write_bytes(COMPRESSIONS.get(name, bytes)(CONTENT))
    with open_content(path) as reader:
        reader.skip(skipped)
        assert read_all(reader) == CONTENT[skipped:]


def test_the_head_is_the_same_whatever_the_compression_and_the_nuls_before_it(tmp_path: Path) -> None:
    path = tmp_path / "cowrie.json"
    heads = []
    for compress in (bytes, *COMPRESSIONS.values()):
        for nuls in (0, 1, 540_597):
            path.write_bytes(compress(b"\x00" * nuls + CONTENT))
            heads.append(read_head(path))
    assert {head.content for head in heads} == {CONTENT[:4096]}
    assert heads[0].begins_like(100, heads[1].fingerprint(100))
    assert not heads[0].begins_like(5000, heads[1].fingerprint())


NAMES = [
    "cowrie.json",
    "cowrie.json.2026-11-01",
    "cowrie.json.2017_11_4",
    "cowrie.json.1",
    "cowrie.json.1.gz",
    "cowrie.json.1.gz.1.gz",
    "cowrie_2026-11-01.json",
    "cowrie.json.2026-11-01.zst",
    "xaa",
    "with space & 日本.json",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, "below/deeper/cowrie.json", ".hidden", ".git/cowrie.json", "below/.cowrie.json.swp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * len(name))
    return tmp_path


def found_names(folder: Path, *paths: str) -> list[str]:
    discovery = find_logs(paths)
    assert discovery.problems == ()
    return [str(file.path.relative_to(folder)) for file in discovery.files]


def test_a_folder_gives_every_file_in_and_below_it_but_hidden_ones(folder: Path) -> None:
    assert found_names(folder, str(folder)) == sorted([*NAMES, "below/deeper/cowrie.json"])


def test_a_hidden_file_is_read_when_it_is_named(folder: Path) -> None:
    assert found_names(folder, str(folder / ".hidden"), str(folder / ".git")) == [".git/cowrie.json", ".hidden"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("cowrie.json*", sorted(name for name in NAMES if name.startswith("cowrie.json"))),
        ("*.2017_*", ["cowrie.json.2017_11_4"]),
        ("**/deeper/*", ["below/deeper/cowrie.json"]),
        ("bel*", ["below/deeper/cowrie.json"]),
        ("cowrie.json.[0-9]", ["cowrie.json.1"]),
    ],
)
def test_a_glob_gives_what_fits_it(pattern: str, names: list[str], folder: Path) -> None:
    assert found_names(folder, str(folder / pattern)) == names


def test_a_name_that_is_also_a_pattern_is_taken_as_a_name(tmp_path: Path) -> None:
    (tmp_path / "cowrie[1].json").write_bytes(b"x")
    (tmp_path / "cowrie1.json").write_bytes(b"x")
    assert found_names(tmp_path, str(tmp_path / "cowrie[1].json")) == ["cowrie[1].json"]


def test_a_file_named_in_several_ways_is_found_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    discovery = find_logs(["cowrie.json", "./cowrie.json", "below/../cowrie.json", str(folder / "cowrie.j*n")])
    assert [file.path for file in discovery.files] == [folder / "cowrie.json"]


def test_links_to_a_file_are_that_file(tmp_path: Path) -> None:
    (tmp_path / "cowrie.json").write_bytes(b"x")
    (tmp_path / "latest").symlink_to("cowrie.json")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/again").symlink_to("../latest")
    assert len(find_logs([str(tmp_path)]).files) == 1
    assert len(find_logs([str(tmp_path / "latest"), str(tmp_path / "below")]).files) == 1


def test_a_link_to_a_folder_is_followed_when_it_is_named(folder: Path) -> None:
    (folder / "logs").symlink_to("below")
    assert found_names(folder, str(folder / "logs")) == ["logs/deeper/cowrie.json"]


def test_size_and_time_are_those_of_the_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "cowrie.json").write_bytes(b"12345")
    os.utime(tmp_path / "cowrie.json", ns=(1, 1_700_000_000_123_456_789))
    (tmp_path / "link").symlink_to("cowrie.json")
    (file,) = find_logs([str(tmp_path / "link")]).files
    assert (file.size, file.modified_ns) == (5, (tmp_path / "cowrie.json").stat().st_mtime_ns)


@pytest.mark.parametrize("name", ["nothing", "nothing*", "nothing/at/all.json", "nothing\x00"])
def test_a_path_at_which_nothing_is_is_a_problem(name: str, tmp_path: Path) -> None:
    discovery = find_logs([str(tmp_path / name)])
    assert discovery.files == ()
    (problem,) = discovery.problems
    assert problem.path == str(tmp_path / name)
    assert problem.is_missing


def test_a_link_that_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "cowrie.json").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for paths in ([str(tmp_path)], [str(tmp_path / name) for name in ("cowrie.json", "dangling", "loop")]):
        discovery = find_logs(paths)
        assert [file.path.name for file in discovery.files] == ["cowrie.json"]
        assert {Path(problem.path).name: problem.is_missing for problem in discovery.problems} == {
            "dangling": False,
            "loop": False,
        }
        assert all(problem.reason for problem in discovery.problems)


def test_a_folder_that_contains_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "cowrie.json").write_bytes(b"x")
    (tmp_path / "self").symlink_to(".")
    assert found_names(tmp_path, str(tmp_path)) == ["cowrie.json"]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


def test_a_pipe_in_a_folder_is_passed_over_without_waiting_for_it(pipe: Path) -> None:
    (pipe.parent / "cowrie.json").write_bytes(b"x")
    assert found_names(pipe.parent, str(pipe.parent)) == ["cowrie.json"]


@pytest.mark.parametrize("folder", ["", "./"])
def test_a_pipe_that_is_named_is_a_problem(folder: str, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pipe.parent)
    discovery = find_logs([f"{folder}{pipe.name}"])
    assert discovery.files == ()
    (problem,) = discovery.problems
    assert "pipe" in problem.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (problem,) = find_logs([str(tmp_path)]).problems
    assert problem.path.endswith("closed")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read")
def test_a_file_that_opens_and_cannot_be_read_leaves_nothing_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Input/output error"):
        open_content(Path("/proc/self/mem"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_event_line_is_not_taken_for_a_compressed_file() -> None:
    assert content_of_bytes(event_line()) == (event_line(), None)
