"""What holds for every archive that a publisher could send: one file comes out of it within limits, or none."""

import gzip
import io
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.downloads import Contents, InvalidFileError, Packing, PublishedFile, _unpack

LIMIT = 40_000
FILE = PublishedFile(
    name="the_list",
    file_name="list.txt",
    urls=lambda _now: (),
    validate=lambda _path: Contents(0),
    min_interval=timedelta(0),
    max_bytes=LIMIT,
    packing=Packing.TAR_GZIP,
    max_unpacked_bytes=LIMIT,
    member="list.txt",
)


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a" * 120, "folder/list.txt"):
            info = tarfile.TarInfo(name)
            info.size = 30
            info.pax_headers = {"comment": "made for a test"}
            tar.addfile(info, io.BytesIO(b"good\n" * 6))
    return buffer.getvalue()


WHOLE = archive()
# Headers are where the harm is: the first of each member and of its extended header.
places = st.integers(0, 4000) | st.sampled_from([124, 156, 512, 516, 1024, 1148, 2048])
pieces = st.binary(max_size=8) | st.sampled_from(
    [b"9" * 12, b"\x80" + b"\xff" * 11, b"-1", b"x", b"g", b"L", b"1", b"2", b"S"]
)


def unpack(body: bytes) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        packed, unpacked = Path(folder, "packed"), Path(folder, "unpacked")
        packed.write_bytes(body)
        try:
            _unpack(FILE, packed, unpacked)
        except InvalidFileError:
            return None
        return unpacked.read_bytes()


@given(changes=st.lists(st.tuples(places, pieces), max_size=3), mend=st.booleans())
def test_a_damaged_archive_gives_a_file_within_limits_or_none(changes: list[tuple[int, bytes]], *, mend: bool) -> None:
    body = bytearray(WHOLE)
    for at, piece in changes:
        body[at : at + len(piece)] = piece
        if mend:
            # With a header's checksum made good, what is in it counts.
            start = at // 512 * 512
            header = body[start : start + 512]
            header[148:156] = b" " * 8
            body[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    found = unpack(gzip.compress(bytes(body), 1))
    assert found is None or len(found) <= LIMIT


@given(st.binary(max_size=200))
def test_noise_gives_no_file(body: bytes) -> None:
    assert unpack(body) is None
    assert unpack(gzip.compress(body)) is None
