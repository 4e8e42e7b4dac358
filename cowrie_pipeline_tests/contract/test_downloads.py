"""A published file on the wire: what is asked, and that only a good file ever replaces a good file."""

import gzip
import hashlib
import io
import multiprocessing
import os
import resource
import stat
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.enrichment.downloads import (
    Change,
    Contents,
    Credentials,
    Downloader,
    DownloadReport,
    InvalidFileError,
    Packing,
    PublishedFile,
    read_provenance,
)
from cowrie_pipeline_tests.contract.file_server import FileServer, Page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = b"good 1\ngood 2\n"
NEWER = b"good 1\ngood 2\ngood 3\n"
SECRET = Credentials("1234567", "s3cr3t-licence-key")
HTML = b"<html><body>Service unavailable</body></html>"


def validate(path: Path) -> Contents:
    """Accept lines that begin with "good"; `date YYYY-MM-DD` is the date of the file."""
    lines = path.read_bytes().splitlines()
    dates = [datetime.fromisoformat(line[5:].decode()).replace(tzinfo=UTC) for line in lines if line[:5] == b"date "]
    if not all(line.startswith((b"good", b"date ")) for line in lines):
        raise InvalidFileError("expected good lines, found others")
    return Contents(len(lines) - len(dates), dates[0] if dates else None)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/list": Page(GOOD)}) as running:
        yield running


@pytest.fixture
def downloader() -> Iterator[Downloader]:
    made = Downloader(user_agent="test (contact@example.net)", read_seconds=5, download_seconds=30)
    yield made
    made.close()


def published(server: FileServer, *paths: str, **changes: Any) -> PublishedFile:
    urls = tuple(server.url(path) for path in paths or ("/list",))
    file = PublishedFile(
        name="the_list",
        file_name="list.txt",
        urls=lambda _now: urls,
        validate=validate,
        min_interval=timedelta(hours=1),
        max_bytes=10_000,
        max_unpacked_bytes=50_000,
    )
    return replace(file, **changes)


def fetch(
    downloader: Downloader,
    file: PublishedFile,
    folder: Path,
    *,
    hours: float = 0,
    credentials: Credentials | None = None,
) -> DownloadReport:
    return downloader.fetch(file, folder, now=NOW + timedelta(hours=hours), credentials=credentials)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_is_fetched_and_what_is_known_of_it_is_kept_beside_it(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.pages["/list"].headers = {"Last-Modified": "Sat, 28 Feb 2026 10:00:00 GMT", "ETag": '"1"'}
    report = fetch(downloader, published(server), tmp_path)
    assert (report.change, report.list_date, report.records, report.size) == (
        Change.UPDATED,
        date(2026, 2, 28),
        2,
        len(GOOD),
    )
    assert (tmp_path / "list.txt").read_bytes() == GOOD
    known = read_provenance(tmp_path / "list.txt")
    assert known is not None
    assert known.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert (known.etag, known.fetched_at, known.source_url) == ('"1"', NOW, server.url("/list"))
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}
    assert server.requests[0].headers["User-Agent"] == "test (contact@example.net)"


def test_a_file_is_readable_for_whom_the_umask_lets(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        fetch(downloader, published(server), tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "list.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "headers", [{"ETag": 'W/"abc"'}, {"Last-Modified": "Sat, 28 Feb 2026 10:00:00 GMT"}], ids=["etag", "date"]
)
def test_what_has_not_changed_is_not_sent_again(
    server: FileServer, downloader: Downloader, tmp_path: Path, headers: dict[str, str]
) -> None:
    server.pages["/list"].headers = headers
    fetch(downloader, published(server), tmp_path)
    report = fetch(downloader, published(server), tmp_path, hours=2)
    assert (report.change, report.reason) == (Change.UNCHANGED, "the publisher has nothing newer")
    known = read_provenance(tmp_path / "list.txt")
    assert known is not None
    assert (known.fetched_at, known.confirmed_at) == (NOW, NOW + timedelta(hours=2))


def test_the_same_content_sent_again_is_no_change(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    fetch(downloader, published(server), tmp_path)
    assert fetch(downloader, published(server), tmp_path, hours=2).change is Change.UNCHANGED


def test_a_newer_file_takes_the_place_of_the_old_one(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(downloader, published(server), tmp_path)
    server.pages["/list"] = Page(NEWER)
    report = fetch(downloader, published(server), tmp_path, hours=2)
    assert (report.change, report.records) == (Change.UPDATED, 3)
    assert (tmp_path / "list.txt").read_bytes() == NEWER
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"good?"), lambda path: path.unlink()])
def test_a_file_that_is_not_what_was_fetched_is_fetched_anew(
    server: FileServer, downloader: Downloader, tmp_path: Path, damage: Any
) -> None:
    server.pages["/list"].headers = {"ETag": '"1"'}
    fetch(downloader, published(server), tmp_path)
    damage(tmp_path / "list.txt")
    assert fetch(downloader, published(server), tmp_path, hours=2).change is Change.UPDATED
    assert (tmp_path / "list.txt").read_bytes() == GOOD


def test_unreadable_notes_are_as_good_as_none(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    fetch(downloader, published(server), tmp_path)
    (tmp_path / "list.txt.json").write_text('{"source_url": 5}')
    assert fetch(downloader, published(server), tmp_path, hours=2).change is Change.UPDATED


BAD_PAGES = {
    "an error page with 200": Page(HTML),
    "an empty body": Page(b""),
    "a cut body": Page(NEWER, cut_at=10),
    "a cut body in chunks": Page(NEWER, cut_at=10, is_chunked=True),
    "more than allowed": Page(b"good\n" * 3000),
    "more than allowed, in chunks": Page(b"good\n" * 3000, is_chunked=True),
    "compressed without being asked, as a bomb": Page(
        gzip.compress(b"good\n" * 1_000_000), headers={"Content-Encoding": "gzip"}
    ),
    "compressed without being asked, and noise": Page(b"\x1f\x8bnoise", headers={"Content-Encoding": "gzip"}),
    "not found": Page(HTML, 404),
    "unauthorized": Page(HTML, 401),
    "forbidden": Page(b"blocked: default user agent", 403),
    "too many requests": Page(b"", 429),
    "out of order": Page(HTML, 500),
    "out of service": Page(HTML, 503),
    "no content": Page(b"", 204),
    "not modified, though nobody asked": Page(b"", 304),
    "a redirect in a circle": Page(b"", 302, {"Location": "/list"}),
    "a redirect to nowhere": Page(b"", 302, {"Location": "http://127.0.0.1:1/?signature=s3cr3t-licence-key"}),
    "an older file": Page(b"date 2026-01-31\ngood\n"),
}


@pytest.mark.parametrize("page", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_bad_download_leaves_the_good_file_and_says_why(
    server: FileServer, downloader: Downloader, tmp_path: Path, page: Page
) -> None:
    good = b"date 2026-02-01\n" + GOOD
    server.pages["/list"] = Page(good)
    fetch(downloader, published(server), tmp_path)
    server.pages["/list"] = page
    report = fetch(downloader, published(server), tmp_path, hours=2, credentials=SECRET)
    assert report.change is Change.FAILED
    assert report.reason
    assert "s3cr3t" not in report.reason
    assert report.list_date == date(2026, 2, 1)
    assert (tmp_path / "list.txt").read_bytes() == good
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}
    assert "s3cr3t" not in (tmp_path / "list.txt.json").read_text()
    server.pages["/list"] = Page(good)
    again = fetch(downloader, published(server), tmp_path, hours=4)
    assert again.change is Change.UNCHANGED


@pytest.mark.parametrize("page", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_a_bad_download_where_there_is_no_file_leaves_none(
    server: FileServer, downloader: Downloader, tmp_path: Path, page: Page
) -> None:
    if page is BAD_PAGES["an older file"]:
        return
    server.pages["/list"] = page
    assert fetch(downloader, published(server), tmp_path).change is Change.FAILED
    assert files_in(tmp_path) == {"list.txt.json"}


def test_an_empty_list_is_good_where_the_validator_says_so(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.pages["/list"] = Page(b"[]")
    report = fetch(downloader, published(server, validate=lambda _path: Contents(0)), tmp_path)
    assert (report.change, report.records) == (Change.UPDATED, 0)


def test_a_body_that_drips_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.pages["/list"] = Page(GOOD * 500, pause_seconds=0.05)
    impatient = Downloader(user_agent="test", read_seconds=5, download_seconds=0.3)
    report = fetch(impatient, published(server), tmp_path)
    impatient.close()
    assert report.change is Change.FAILED
    assert "in 0.3 s" in report.reason


def test_a_body_that_stops_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.pages["/list"] = Page(GOOD, pause_seconds=30)
    impatient = Downloader(user_agent="test", read_seconds=0.2)
    report = fetch(impatient, published(server), tmp_path)
    impatient.close()
    assert "no reply in time" in report.reason


def test_nobody_listening_is_a_failure_in_words(downloader: Downloader, tmp_path: Path, server: FileServer) -> None:
    file = published(server, urls=lambda _now: ("http://user:s3cr3t@127.0.0.1:1/x?key=s3cr3t",))
    report = fetch(downloader, file, tmp_path)
    assert report.reason == "127.0.0.1:1 did not answer as it should (Connection refused)"
    assert "s3cr3t" not in (tmp_path / "list.txt.json").read_text()


def test_the_publisher_is_not_asked_more_often_than_it_wants(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(downloader, published(server), tmp_path)
    report = fetch(downloader, published(server), tmp_path, hours=0.9)
    assert report.change is Change.UNCHANGED
    assert "not asked again before 2026-03-01 13:00" in report.reason
    server.pages["/list"] = Page(HTML, 500)
    fetch(downloader, published(server), tmp_path, hours=1)
    again = fetch(downloader, published(server), tmp_path, hours=1.9)
    assert again.change is Change.FAILED
    assert "HTTP 500" in again.reason
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "hours"),
    [
        ("7200", 2),
        ("Sun, 01 Mar 2026 15:00:00 GMT", 3),
        ("Sun, 01 Mar 2020 15:00:00 GMT", 0),
        (None, 1),
        ("soon", 1),
        ("-5", 1),
        ("9" * 40, 168),
    ],
)
def test_too_many_requests_is_remembered_until_the_server_wants_to_be_asked(
    server: FileServer, downloader: Downloader, tmp_path: Path, header: str | None, hours: float
) -> None:
    file = published(server, min_interval=timedelta(0))
    server.pages["/list"] = Page(b"", 429, {"Retry-After": header} if header else {})
    fetch(downloader, file, tmp_path)
    server.pages["/list"] = Page(GOOD)
    if hours:
        assert fetch(downloader, file, tmp_path, hours=hours - 0.01).change is Change.FAILED
        assert len(server.requests) == 1
    assert fetch(downloader, file, tmp_path, hours=hours).change is Change.UPDATED


def test_a_clock_that_was_set_back_keeps_nobody_waiting(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(downloader, published(server), tmp_path, hours=100_000)
    fetch(downloader, published(server), tmp_path)
    assert fetch(downloader, published(server), tmp_path, hours=2).change is Change.UNCHANGED
    assert len(server.requests) == 3


def test_credentials_are_sent_to_the_host_that_they_are_for_and_to_no_other(
    downloader: Downloader, tmp_path: Path
) -> None:
    with FileServer({"/r2": Page(GOOD, headers={"ETag": '"1"'})}) as storage, FileServer() as publisher:
        location = storage.url("/r2?signature=xyz", host="localhost")
        storage.pages["/r2?signature=xyz"] = storage.pages["/r2"]
        publisher.pages["/list"] = Page(b"", 302, {"Location": location})
        report = fetch(downloader, published(publisher), tmp_path, credentials=SECRET)
        again = fetch(downloader, published(publisher), tmp_path, hours=2, credentials=SECRET)
    assert (report.change, again.change) == (Change.UPDATED, Change.UNCHANGED)
    assert all("Authorization" in request.headers for request in publisher.requests)
    assert len(storage.requests) == 2
    assert not any("Authorization" in request.headers for request in storage.requests)
    assert "signature" not in (tmp_path / "list.txt.json").read_text()
    assert "s3cr3t" not in repr(SECRET)


def test_the_next_address_is_asked_only_where_the_first_has_no_such_file(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    file = published(server, "/2026-03", "/2026-02")
    server.pages["/2026-02"] = Page(GOOD, headers={"ETag": '"1"'})
    assert fetch(downloader, file, tmp_path).change is Change.UPDATED
    assert fetch(downloader, file, tmp_path, hours=2).reason == "the publisher has nothing newer"
    server.pages["/2026-03"] = Page(NEWER)
    assert fetch(downloader, file, tmp_path, hours=4).records == 3
    server.pages["/2026-03"] = Page(HTML, 500)
    assert fetch(downloader, file, tmp_path, hours=6).change is Change.FAILED
    assert server.asked().count("/2026-02") == 2


@pytest.mark.parametrize(
    ("sums", "is_good"),
    [
        (f"{hashlib.sha256(GOOD).hexdigest()}  list.txt\n".encode(), True),
        (hashlib.sha256(GOOD).hexdigest().upper().encode(), True),
        (f"{hashlib.sha256(NEWER).hexdigest()}  list.txt\n".encode(), False),
        (HTML, False),
        (b"", False),
        (b"0" * 5000, False),
    ],
)
def test_the_publishers_checksum_must_be_that_of_what_came(
    server: FileServer, downloader: Downloader, tmp_path: Path, sums: bytes, *, is_good: bool
) -> None:
    server.pages["/list.sha256"] = Page(sums)
    report = fetch(downloader, published(server, checksum_suffix=".sha256"), tmp_path, credentials=SECRET)
    assert report.change is (Change.UPDATED if is_good else Change.FAILED)
    assert (tmp_path / "list.txt").exists() is is_good


def test_a_checksum_that_is_not_there_is_a_failure(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    report = fetch(downloader, published(server, checksum_suffix=".sha256"), tmp_path)
    assert "HTTP 404" in report.reason


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def test_a_packed_file_is_unpacked(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    server.pages["/list"] = Page(gzip.compress(GOOD), headers={"Content-Encoding": "gzip"})
    assert fetch(downloader, published(server, packing=Packing.GZIP), tmp_path).change is Change.UPDATED
    assert (tmp_path / "list.txt").read_bytes() == GOOD


def test_of_a_tar_only_the_member_that_is_wanted_is_taken(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    archive = tar_of(
        (member("../../escaped.txt"), b"bad"), (member("Lists_20260301/list.txt"), GOOD), (member("LICENSE.txt"), b"no")
    )
    server.pages["/list"] = Page(archive)
    file = published(server, packing=Packing.TAR_GZIP, member="list.txt")
    assert fetch(downloader, file, tmp_path / "a" / "b").change is Change.UPDATED
    assert (tmp_path / "a" / "b" / "list.txt").read_bytes() == GOOD
    assert files_in(tmp_path / "a" / "b") == {"list.txt", "list.txt.json"}
    assert files_in(tmp_path) == {"a"}


def endless_tar() -> bytes:
    """Begin an archive with a member that ends beyond everything: tarfile reads on for ever to get behind it."""
    info = member("other.txt")
    info.size = 1 << 60
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


WHOLE = tar_of((member("Lists/list.txt"), GOOD * 100))
BAD_ARCHIVES = {
    "a traversal": tar_of((member("../list.txt"), GOOD)),
    "an absolute path": tar_of((member("/tmp/list.txt"), GOOD)),
    "a symbolic link": tar_of((member("list.txt", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "a hard link": tar_of((member("list.txt", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "a folder": tar_of((member("list.txt", tarfile.DIRTYPE), b"")),
    "without the member": tar_of((member("other.txt"), GOOD)),
    "empty": tar_of(),
    "a bomb": tar_of((member("list.txt"), b"good\n" * 200_000)),
    "a bomb beside the member": tar_of((member("list.txt"), GOOD), (member("other"), bytes(1_000_000))),
    "a member without end": endless_tar(),
    "cut": WHOLE[: len(WHOLE) // 2],
    "cut in its checksum": WHOLE[:-4],
    "with a wrong checksum": WHOLE[:-8] + bytes(8),
    "no archive": HTML,
    "gzip of no archive": gzip.compress(HTML),
}


@pytest.mark.parametrize("body", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES.keys())
def test_a_bad_archive_leaves_the_good_file(
    server: FileServer, downloader: Downloader, tmp_path: Path, body: bytes
) -> None:
    file = published(server, packing=Packing.TAR_GZIP, member="list.txt")
    server.pages["/list"] = Page(tar_of((member("list.txt"), GOOD)))
    fetch(downloader, file, tmp_path)
    server.pages["/list"] = Page(body)
    assert fetch(downloader, file, tmp_path, hours=2).change is Change.FAILED
    assert (tmp_path / "list.txt").read_bytes() == GOOD
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"good\n" * 1_000_000), gzip.compress(GOOD)[:-9], GOOD, gzip.compress(GOOD) + b"more"],
    ids=["bomb", "cut", "plain", "garbage after it"],
)
def test_a_bad_gzip_is_no_file(server: FileServer, downloader: Downloader, tmp_path: Path, body: bytes) -> None:
    server.pages["/list"] = Page(body)
    assert fetch(downloader, published(server, packing=Packing.GZIP), tmp_path).change is Change.FAILED
    assert files_in(tmp_path) == {"list.txt.json"}


def test_a_full_disk_is_a_failure_in_words_and_the_good_file_stays(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    fetch(downloader, published(server), tmp_path)
    server.pages["/list"] = Page(b"good\n" * 1900)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this: as near to a full disk as a test comes without a disk of its own.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        report = fetch(downloader, published(server), tmp_path, hours=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert report.change is Change.FAILED
    assert "cannot write" in report.reason
    assert (tmp_path / "list.txt").read_bytes() == GOOD
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}
    assert fetch(downloader, published(server), tmp_path, hours=4).change is Change.UPDATED


def test_a_folder_that_cannot_be_made_is_a_failure_in_words(
    server: FileServer, downloader: Downloader, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    report = fetch(downloader, published(server), tmp_path / "taken" / "lists")
    assert report.change is Change.FAILED
    assert "cannot write" in report.reason


def test_what_a_killed_download_left_is_removed(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    (tmp_path / ".list.txt.0badcafe.part").write_bytes(b"half")
    fetch(downloader, published(server), tmp_path)
    assert files_in(tmp_path) == {"list.txt", "list.txt.json"}


def fetch_in_a_process(url: str, folder: Path) -> Change:
    downloader = Downloader(user_agent="test")
    file = PublishedFile(
        name="the_list",
        file_name="list.txt",
        urls=lambda _now: (url,),
        validate=validate,
        min_interval=timedelta(hours=1),
        max_bytes=10_000,
    )
    try:
        return downloader.fetch(file, folder, now=NOW).change
    finally:
        downloader.close()


def test_of_several_processes_that_fetch_at_once_one_asks_and_all_have_the_file(
    server: FileServer, tmp_path: Path
) -> None:
    server.pages["/list"].pause_seconds = 0.02
    processes = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=processes) as pool:
        changes = list(pool.map(fetch_in_a_process, [server.url("/list")] * 3, [tmp_path] * 3))
    assert sorted(changes) == [Change.UNCHANGED] * 2 + [Change.UPDATED]
    assert len(server.requests) == 1
    assert (tmp_path / "list.txt").read_bytes() == GOOD
