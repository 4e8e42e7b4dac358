"""Lines packed to be kept, and unpacked."""

from collections.abc import Iterator, Sequence

import zstandard

__all__ = ["lines_of", "packed_lines", "pieces_of_lines"]

_LEVEL = 1  # 15 times smaller already; higher levels cost more than they save
_PIECE_BYTES = 128 * 1024  # what stays in a processor's cache between being unpacked and being read


def packed_lines(lines: Sequence[bytes]) -> bytes:
    """Return lines, none of which holds a newline, as one zstd frame; frames in a row are packed lines again."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"\n".join((*lines, b"")))


def lines_of(segment: bytes) -> list[bytes]:
    """Undo `packed_lines`, of one frame or several."""
    lines = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(segment).split(b"\n")
    del lines[-1]  # what follows the last newline
    return lines


def pieces_of_lines(segment: bytes) -> Iterator[bytes]:
    """Yield packed lines in pieces of about 128 KiB, each of whole lines with their newlines."""
    begun = b""
    with zstandard.ZstdDecompressor().stream_reader(segment, read_across_frames=True) as reader:
        while content := reader.read(_PIECE_BYTES):
            ended = content.rfind(b"\n") + 1
            if ended:
                yield begun + content[:ended]
                begun = content[ended:]
            else:
                begun += content
