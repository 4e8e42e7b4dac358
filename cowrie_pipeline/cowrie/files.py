"""Log files found, and opened whatever they are compressed with.

Belongs here: which files a folder or glob names, what a file is by its content, what to say when it cannot be read.
Does not belong here: lines (lines.py), and any trust in names: a name's date says when the file was rotated, not which
days it holds, and its ending was given by whatever tool came last.
"""

import bz2
import glob
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import xxhash
import zstandard

__all__ = ["ContentReader", "Discovery", "LogFile", "Problem", "find_logs", "open_content", "read_head"]

_INPUT_BYTES = 1024 * 1024
_OUTPUT_BYTES = 1024 * 1024
# A decompressor that finds damage gives nothing of what it was fed last, so it is fed little at once. (zstd's has no
# bound on its output besides, and 128 KiB can come of 4 bytes.)
_CAREFUL_INPUT_BYTES = 64
_MAX_WINDOW_BYTES = 256 * 1024 * 1024
_MAX_LAYERS = 3
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that may be a log: where it is, its size in bytes and when it was changed (ns since 1970)."""

    path: Path
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that gave nothing, and why; `is_missing` where nothing is there at all."""

    path: str
    reason: str
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found at the paths given."""

    files: tuple[LogFile, ...]
    problems: tuple[Problem, ...]


def find_logs(paths: Iterable[str]) -> Discovery:
    """Find the files that `paths` (files, folders, globs) name, each once, in the order of their paths.

    A folder gives every regular file in and below it, told by content later, but for hidden ones.
    """
    found: dict[Path, LogFile] = {}
    problems: list[Problem] = []
    for path in paths:
        named = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - keeps `**`
        if not named:
            problems.append(Problem(path, "no such file or folder, and no file fits it as a pattern", is_missing=True))
        for each in named:
            for file in _files_at(Path(each), problems):
                try:
                    status = file.stat()
                except OSError as error:
                    problems.append(Problem(str(file), error.strerror or str(error)))
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.setdefault(file.resolve(), LogFile(file.absolute(), status.st_size, status.st_mtime_ns))
                elif file == Path(each):
                    problems.append(Problem(each, "it is neither a file nor a folder, but a pipe or a device"))
    return Discovery(tuple(sorted(found.values(), key=lambda file: str(file.path))), tuple(problems))


def _files_at(path: Path, problems: list[Problem]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return

    def note(error: OSError) -> None:
        problems.append(Problem(str(error.filename), error.strerror or str(error)))

    for folder, folders, names in os.walk(path, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Format:
    """How one compressed format is recognized and undone."""

    name: str
    magic: bytes
    input_bytes: int
    make: Callable[[], _Decompressor]
    feed: Callable[[_Decompressor, bytes], Iterator[bytes]]


def _feed_zlib(decompressor: _Decompressor, data: bytes) -> Iterator[bytes]:
    while data:
        before = decompressor.copy()  # type: ignore[attr-defined]
        try:
            yield decompressor.decompress(data, _OUTPUT_BYTES)  # type: ignore[attr-defined]
        except zlib.error:
            # again a byte at a time, which gives all there is before the damage and ends with the same error
            for at in range(len(data)):
                yield before.decompress(data[at : at + 1])
        data = decompressor.unconsumed_tail  # type: ignore[attr-defined]


def _feed_bounded(decompressor: _Decompressor, data: bytes) -> Iterator[bytes]:
    yield decompressor.decompress(data, _OUTPUT_BYTES)  # type: ignore[attr-defined]
    while not decompressor.eof and not decompressor.needs_input:  # type: ignore[attr-defined]
        yield decompressor.decompress(b"", _OUTPUT_BYTES)  # type: ignore[attr-defined]


def _feed_zstd(decompressor: _Decompressor, data: bytes) -> Iterator[bytes]:
    yield decompressor.decompress(data)  # type: ignore[attr-defined]


_FORMATS = (
    _Format("gzip", b"\x1f\x8b\x08", _INPUT_BYTES, lambda: zlib.decompressobj(wbits=31), _feed_zlib),
    _Format("bzip2", b"BZh", _CAREFUL_INPUT_BYTES, bz2.BZ2Decompressor, _feed_bounded),
    _Format(
        "xz",
        b"\xfd7zXZ\x00",
        _CAREFUL_INPUT_BYTES,
        lambda: lzma.LZMADecompressor(memlimit=_MAX_WINDOW_BYTES),
        _feed_bounded,
    ),
    _Format(
        "zstd",
        b"\x28\xb5\x2f\xfd",
        _CAREFUL_INPUT_BYTES,
        lambda: zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj(),
        _feed_zstd,
    ),
)
_LONGEST_MAGIC = max(len(form.magic) for form in _FORMATS)
_DAMAGE = (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, MemoryError)


class ContentReader:
    """The content of a log file, decompressed as it is read.

    `damage` is None, or says at the end of reading why the content stops early: a truncated or corrupt file gives
    what it has. `formats` names the layers of compression that were found, outermost first.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self.damage: str | None = None
        self.formats: list[str] = []
        self._raw = raw
        self._chunks = self._layers(self._raw_chunks())
        self._buffer = b""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end of what can be had."""
        if not self._buffer:
            self._buffer = next(self._chunks, b"")
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def skip(self, size: int) -> None:
        """Go `size` bytes on from the beginning; without reading them where the file is plain."""
        if not self.formats and self._raw.seekable():
            self._raw.seek(size)
            self._chunks, self._buffer = self._raw_chunks(), b""
            return
        while size and (data := self.read(min(size, _OUTPUT_BYTES))):
            size -= len(data)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _raw_chunks(self) -> Iterator[bytes]:
        return iter(lambda: self._raw.read(_INPUT_BYTES), b"")

    def _layers(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Undo compression, and compression within it, up to three layers."""
        for _ in range(_MAX_LAYERS):
            first = b""
            while len(first) < _LONGEST_MAGIC and (chunk := next(chunks, None)) is not None:
                first += chunk
            form = next((form for form in _FORMATS if first.startswith(form.magic)), None)
            chunks = _chain(first, chunks)
            if form is None:
                break
            self.formats.append(form.name)
            chunks = _gathered(self._decompressed(form, chunks))
        return _without_empty(chunks)

    def _decompressed(self, form: _Format, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decompressor = form.make()
        started = False
        try:
            for chunk in _in_pieces(chunks, form.input_bytes):
                data = chunk
                while data:
                    if not started:
                        data = data.lstrip(b"\x00")  # padding
                        if not data.startswith(form.magic[: len(data)]):
                            self.damage = f"something that is no {form.name} follows the compressed content"
                            return
                        if not data:
                            break
                    started = True
                    yield from form.feed(decompressor, data)
                    data = b""
                    if decompressor.eof:
                        data, decompressor, started = decompressor.unused_data, form.make(), False
            if started:
                self.damage = f"the {form.name} content is cut off: its end is missing"
        except _DAMAGE as error:
            self.damage = f"the {form.name} content is damaged: {error}"


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _in_pieces(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Put small chunks together: what reads them works on a chunk at a time."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _INPUT_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _without_empty(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return (chunk for chunk in chunks if chunk)


def open_content(path: Path) -> ContentReader:
    """Open the content of a log file.

    Raises:
        OSError: the file cannot be opened or read.
    """
    raw = path.open("rb")
    try:
        return ContentReader(raw)
    except OSError:
        raw.close()
        raise


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file's content, by which it is known again under another name or compression."""

    content: bytes

    def fingerprint(self, length: int | None = None) -> str:
        """Return the digest of the first `length` bytes (of all of the head by default), in hex."""
        return xxhash.xxh3_128_hexdigest(self.content[:length])

    def begins_like(self, length: int, fingerprint: str) -> bool:
        """Say whether the first `length` bytes have this digest."""
        return len(self.content) >= length and self.fingerprint(length) == fingerprint


def read_head(path: Path) -> Head:
    """Read the first 4 KiB of a file's content, not counting NULs before it (of which log rotation leaves long runs).

    Raises:
        OSError: the file cannot be read.
    """
    with open_content(path) as reader:
        content = b""
        while len(content) < HEAD_BYTES and (chunk := reader.read(HEAD_BYTES)):
            content = (content + chunk).lstrip(b"\x00")
        return Head(content[:HEAD_BYTES])
