"""Lines packed to be kept, and unpacked."""

from collections.abc import Sequence

import zstandard

__all__ = ["lines_of", "packed_lines"]

_LEVEL = 1  # 15 times smaller already; higher levels cost more than they save


def packed_lines(lines: Sequence[bytes]) -> bytes:
    """Return lines, none of which holds a newline, as one zstd frame; frames in a row are packed lines again."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"\n".join((*lines, b"")))


def lines_of(segment: bytes) -> list[bytes]:
    """Undo `packed_lines`, of one frame or several."""
    lines = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(segment).split(b"\n")
    del lines[-1]  # what follows the last newline
    return lines
