"""Lines of Cowrie logs for tests, and files of them, made by hand."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard

START = datetime(2026, 3, 18, 12, 0, 0, 123456, tzinfo=UTC)

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


def timestamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def event(event_id: str = "cowrie.login.failed", time: datetime | str = START, **fields: Any) -> dict[str, Any]:
    """An event's fields, with those that every event has."""
    common = {"eventid": event_id, "session": "a1b2c3d4e5f6", "src_ip": "203.0.113.7", "sensor": "pot"}
    return common | {"timestamp": time if isinstance(time, str) else timestamp(time)} | fields


def event_line(event_id: str = "cowrie.login.failed", time: datetime | str = START, **fields: Any) -> bytes:
    """An event's line as Cowrie writes it, without the newline."""
    return json.dumps(event(event_id, time, **fields), separators=(",", ":")).encode("ascii")


def numbered(count: int, *, first: int = 0, start: datetime = START) -> list[bytes]:
    """As many different events, one second apart."""
    return [
        event_line(time=start + timedelta(seconds=number), username=f"user{number}", password="x")
        for number in range(first, first + count)
    ]


def log(lines: Iterable[bytes]) -> bytes:
    """Lines with their newlines."""
    return b"".join(line + b"\n" for line in lines)


class Dripping(io.BytesIO):
    """A stream that gives no more at a time than the sizes say, over and over."""

    def __init__(self, content: bytes, sizes: Iterable[int]) -> None:
        super().__init__(content)
        self._sizes = list(sizes)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        limit = self._sizes[self._reads % len(self._sizes)]
        self._reads += 1
        return super().read(limit if size is None or size < 0 else min(size, limit))
