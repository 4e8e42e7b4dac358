"""Fetch one published file into a folder, so that a good file is only ever replaced by a good file.

Belongs here: asking only for what changed, limits on size and time, checksums, unpacking, the swap, what is remembered.
Does not belong here: which files there are and what is in them (lists/), services that are asked by key (sources/).

What is known of a file stands beside it, in `<file>.json`. Whoever asks holds a lock meanwhile, so of two processes the
second finds what the first has fetched. A download is written to a temporary file in the same folder, checked there,
and renamed over the old one: the old content is gone for good, as some licences demand of superseded versions.
"""

import contextlib
import gzip
import hashlib
import io
import os
import secrets
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from filelock import FileLock

__all__ = [
    "Change",
    "Contents",
    "Credentials",
    "DownloadReport",
    "Downloader",
    "InvalidFileError",
    "Packing",
    "Provenance",
    "PublishedFile",
    "read_provenance",
]

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# A server that sends one octet now and then keeps every read within its time.
DOWNLOAD_SECONDS = 15 * 60.0
# How long to stay away after "too many requests" that does not say so, and at most if it does.
PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=7)
MAX_REDIRECTS = 5

_CHUNK = 1 << 16
_MAX_CHECKSUM_BYTES = 4096
_SHA256_DIGITS = 64
# Of a garbled archive tarfile also raises what int() and decode() do.
_UNPACKING_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, ValueError, OverflowError)


class InvalidFileError(ValueError):
    """A file is not what it should be; the message says what was expected and what was found."""


class _DownloadError(Exception):
    """A download came to nothing; nobody may ask again before `not_before`, where the server said so."""

    def __init__(self, reason: str, *, not_before: datetime | None = None) -> None:
        super().__init__(reason)
        self.not_before = not_before


class Packing(StrEnum):
    """How a file is packed where it is published."""

    PLAIN = "plain"
    GZIP = "gz"
    TAR_GZIP = "tar.gz"


class Change(StrEnum):
    """What a refresh came to. `unchanged` is what is known to be current, and what was asked for a moment ago."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a validator found in a file: how many records, and when it was published if it says so itself."""

    records: int
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and a secret for HTTP Basic."""

    name: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file on the Internet, and what it must be like.

    `urls` gives the addresses at a time; each is only asked if the one before has no such file (404). `validate`
    raises InvalidFileError for a file that must not be used. `member` is the name, without folders, of the one file
    that is taken from a tar. `checksum_suffix`, added to the URL, names the publisher's SHA-256 of the published form.
    The publisher is asked at most every `min_interval`, whatever comes of it. Sizes are in octets.
    """

    name: str
    file_name: str
    urls: Callable[[datetime], tuple[str, ...]]
    validate: Callable[[Path], Contents]
    min_interval: timedelta
    max_bytes: int
    packing: Packing = Packing.PLAIN
    max_unpacked_bytes: int = 0
    member: str | None = None
    checksum_suffix: str | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a file and remembered beside it. Times are UTC.

    `asked_at` is the last request, `confirmed_at` the last at which the publisher gave this file or said that it has
    not changed, `fetched_at` when it came. `published_at` is the date in the file, or else that of the server.
    """

    source_url: str
    asked_at: datetime
    confirmed_at: datetime | None = None
    fetched_at: datetime | None = None
    published_at: datetime | None = None
    etag: str | None = None
    last_modified: str | None = None
    sha256: str | None = None
    size: int | None = None
    records: int | None = None
    not_before: datetime | None = None
    last_error: str | None = None

    @property
    def list_date(self) -> date | None:
        """The day of the file's content, as far as it is known."""
        at = self.published_at or self.fetched_at
        return at.date() if at else None


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """What became of one file, and of what day the one is that is there now."""

    name: str
    change: Change
    reason: str
    list_date: date | None = None
    records: int | None = None
    size: int | None = None


def read_provenance(path: Path) -> Provenance | None:
    """Return what is remembered of the file at `path`, None where nothing is or it cannot be read."""
    try:
        return msgspec.json.decode(_provenance_path(path).read_bytes(), type=Provenance)
    except (OSError, msgspec.DecodeError):
        return None


class Downloader:
    """Fetches files over one pooled session. `user_agent` names the program and whom to write to."""

    def __init__(
        self,
        *,
        user_agent: str,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        download_seconds: float = DOWNLOAD_SECONDS,
    ) -> None:
        self._timeout = (connect_seconds, read_seconds)
        self._download_seconds = download_seconds
        self._session = requests.Session()
        self._session.max_redirects = MAX_REDIRECTS
        # What is packed is unpacked here, within limits; compression on the way would only blur sizes and checksums.
        self._session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def fetch(
        self, file: PublishedFile, folder: Path, *, now: datetime, credentials: Credentials | None = None
    ) -> DownloadReport:
        """Bring `file` in `folder` up to date; never raises for what a server, a file or the disk does."""
        path = folder / file.file_name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f".{file.file_name}.lock", timeout=self._download_seconds):
                return _Refresh(self, file, path, now, credentials).run()
        except OSError as error:
            reason = f"cannot write {path} ({error.strerror or type(error).__name__})"
            return _report(file, Change.FAILED, reason, read_provenance(path))

    @contextlib.contextmanager
    def open(self, url: str, credentials: Credentials | None, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Ask for `url`. Where it redirects to another host, requests sends no credentials along.

        Raises:
            _DownloadError: no answer, or one that would come in the clear where it should not.
        """
        auth = (credentials.name, credentials.secret) if credentials else None
        try:
            with self._session.get(url, headers=headers, auth=auth, timeout=self._timeout, stream=True) as response:
                if url.startswith("https:") and not response.url.startswith("https:"):
                    raise _DownloadError(f"{_host(url)} redirects to a server without TLS, which cannot be believed")
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The message of such an error can hold the URL it was redirected to, and that URL a signature.
            raise _DownloadError(f"{_host(url)} did not answer as it should ({_innermost(error)})") from None

    def body(self, response: requests.Response, max_bytes: int, *, decode: bool) -> Iterator[bytes]:
        """Yield the body in pieces, as long as it keeps its limits of size and time."""
        host = _host(response.request.url or "")
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and int(stated) > max_bytes:
            raise _DownloadError(f"expected at most {max_bytes:,} octets from {host}, found {int(stated):,} announced")
        ends_at = time.monotonic() + self._download_seconds
        count = 0
        while piece := response.raw.read1(_CHUNK, decode_content=decode):
            count += len(piece)
            if count > max_bytes:
                raise _DownloadError(f"expected at most {max_bytes:,} octets from {host}, found more")
            if time.monotonic() > ends_at:
                raise _DownloadError(f"expected all of it from {host} in {self._download_seconds:g} s, found a part")
            yield piece


class _Refresh:
    """One refresh of one file, while its lock is held."""

    def __init__(
        self, downloader: Downloader, file: PublishedFile, path: Path, now: datetime, credentials: Credentials | None
    ) -> None:
        self._downloader = downloader
        self._file = file
        self._path = path
        self._now = now
        self._credentials = credentials
        self._known = read_provenance(path)
        self._is_intact = self._known is not None and _is_intact(path, self._known)

    def run(self) -> DownloadReport:
        for leftover in self._path.parent.glob(f".{self._file.file_name}.*.part"):
            leftover.unlink(missing_ok=True)
        known = self._known
        if known is not None and (again := self._may_ask_at(known)) > self._now:
            when = f"not asked again before {again:%Y-%m-%d %H:%M} UTC"
            if known.last_error or not self._is_intact:
                return self._report(Change.FAILED, f"{when}; the last time: {known.last_error or 'no usable file'}")
            return self._report(Change.UNCHANGED, when)
        try:
            return self._ask()
        except (_DownloadError, InvalidFileError) as error:
            before = known or Provenance(source_url=_public(self._file.urls(self._now)[0]), asked_at=self._now)
            not_before = error.not_before if isinstance(error, _DownloadError) else None
            self._remember(
                msgspec.structs.replace(before, asked_at=self._now, last_error=str(error), not_before=not_before)
            )
            return self._report(Change.FAILED, str(error))

    def _may_ask_at(self, known: Provenance) -> datetime:
        if known.asked_at > self._now:
            # The clock was set back since, and that must not keep anyone waiting for years.
            return self._now
        return max(known.asked_at + self._file.min_interval, known.not_before or known.asked_at)

    def _ask(self) -> DownloadReport:
        urls = self._file.urls(self._now)
        for url in urls:
            headers = self._conditions(url)
            with self._downloader.open(url, self._credentials, headers) as response:
                if response.status_code == requests.codes.not_found and url != urls[-1]:
                    continue
                if response.status_code == requests.codes.not_modified and headers and self._known is not None:
                    return self._confirm(self._known)
                if response.status_code != requests.codes.ok:
                    raise self._refusal(url, response)
                return self._take(url, response)
        raise AssertionError("a published file has at least one URL")

    def _conditions(self, url: str) -> dict[str, str]:
        """Return the headers that ask for `url` only if it changed since; none if the file here is not what it was."""
        known = self._known
        if known is None or not self._is_intact or known.source_url != _public(url):
            return {}
        conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        return {name: value for name, value in conditions.items() if value}

    def _refusal(self, url: str, response: requests.Response) -> _DownloadError:
        code = response.status_code
        found = f"{_host(url)} answers HTTP {code}"
        if code in (requests.codes.too_many_requests, requests.codes.service_unavailable):
            return _DownloadError(
                f"{found}: too many requests, or out of service",
                not_before=_retry_at(response.headers.get("Retry-After"), self._now),
            )
        if code == requests.codes.unauthorized:
            return _DownloadError(f"{found}: it does not accept the credentials; check the account and its key")
        if code == requests.codes.forbidden:
            return _DownloadError(f"{found}: it does not serve this program; check the key, or the contact address")
        return _DownloadError(found)

    def _take(self, url: str, response: requests.Response) -> DownloadReport:
        with self._part() as body_path:
            body_digest = hashlib.sha256()
            with body_path.open("wb") as body:
                plain = self._file.packing is Packing.PLAIN
                for piece in self._downloader.body(response, self._file.max_bytes, decode=plain):
                    body_digest.update(piece)
                    body.write(piece)
                size = body.tell()
                _flush(body)
            if size == 0:
                raise _DownloadError(f"expected a file from {_host(url)}, found an empty one")
            if self._file.checksum_suffix is not None:
                self._compare(url + self._file.checksum_suffix, body_digest.hexdigest())
            if self._file.packing is Packing.PLAIN:
                return self._accept(url, response, body_path)
            with self._part() as unpacked_path:
                _unpack(self._file, body_path, unpacked_path)
                return self._accept(url, response, unpacked_path)

    @contextlib.contextmanager
    def _part(self) -> Iterator[Path]:
        """Give a temporary path beside the file, and leave nothing there."""
        path = self._path.with_name(f".{self._file.file_name}.{secrets.token_hex(4)}.part")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _compare(self, url: str, found: str) -> None:
        """Hold the SHA-256 of what came against the one that the publisher states."""
        with self._downloader.open(url, self._credentials, {}) as response:
            if response.status_code != requests.codes.ok:
                raise self._refusal(url, response)
            text = b"".join(self._downloader.body(response, _MAX_CHECKSUM_BYTES, decode=True)).decode(errors="replace")
        stated = text.split(maxsplit=1)[0].lower() if text.strip() else ""
        if len(stated) != _SHA256_DIGITS or not all(digit in "0123456789abcdef" for digit in stated):
            raise _DownloadError(f"expected a SHA-256 from {_host(url)}, found something else")
        if stated != found:
            raise _DownloadError(f"expected the SHA-256 {stated} that {_host(url)} states, found {found}")

    def _accept(self, url: str, response: requests.Response, part: Path) -> DownloadReport:
        """Put a new file in its place, if it is good and not older than the one there."""
        contents = self._file.validate(part)
        known = self._known if self._is_intact else None
        if (
            known is not None
            and known.published_at is not None
            and contents.published_at is not None
            and contents.published_at < known.published_at
        ):
            raise _DownloadError(
                f"expected nothing older than {known.published_at:%Y-%m-%d}, found {contents.published_at:%Y-%m-%d}"
            )
        digest, size = _sha256_of(part)
        is_same = known is not None and known.sha256 == digest
        if not is_same:
            part.replace(self._path)
        last_modified = response.headers.get("Last-Modified")
        self._remember(
            Provenance(
                source_url=_public(url),
                asked_at=self._now,
                confirmed_at=self._now,
                fetched_at=known.fetched_at if known is not None and is_same else self._now,
                published_at=contents.published_at or _http_date(last_modified),
                etag=response.headers.get("ETag"),
                last_modified=last_modified,
                sha256=digest,
                size=size,
                records=contents.records,
            )
        )
        if is_same:
            return self._report(Change.UNCHANGED, "what the publisher has is what is here")
        return self._report(Change.UPDATED, f"{contents.records:,} records")

    def _confirm(self, known: Provenance) -> DownloadReport:
        self._remember(
            msgspec.structs.replace(known, asked_at=self._now, confirmed_at=self._now, not_before=None, last_error=None)
        )
        return self._report(Change.UNCHANGED, "the publisher has nothing newer")

    def _remember(self, provenance: Provenance) -> None:
        with self._part() as part:
            with part.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(provenance), indent=1))
                _flush(file)
            part.replace(_provenance_path(self._path))
        self._known = provenance

    def _report(self, change: Change, reason: str) -> DownloadReport:
        return _report(self._file, change, reason, self._known)


class _Limited(io.RawIOBase):
    """Reads `source` up to a limit: a few octets of a bomb unpack to more than any disk holds."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # One more than is left, to see whether there is more.
        data = self._source.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise InvalidFileError(f"expected at most {self._limit:,} octets unpacked, found more")
        return data


def _unpack(file: PublishedFile, packed: Path, unpacked: Path) -> None:
    """Write what is packed in `packed` to `unpacked`.

    Raises:
        InvalidFileError: it is not packed as it should be, cut, too large, or lacks the member.
    """
    try:
        with gzip.open(packed) as stream, unpacked.open("wb") as target:
            limited = _Limited(stream, file.max_unpacked_bytes)
            if file.packing is Packing.GZIP:
                _copy(limited, target)
            else:
                _copy_member(limited, file.member or file.file_name, file.max_unpacked_bytes, target)
                # To the end, for the checksum that stands there.
                while limited.read(_CHUNK):
                    pass
            _flush(target)
    except InvalidFileError:
        raise
    except _UNPACKING_ERRORS as error:
        raise InvalidFileError(
            f"expected a whole {file.packing} file, found {error or type(error).__name__}"
        ) from error


def _copy_member(stream: _Limited, wanted: str, limit: int, target: IO[bytes]) -> None:
    """Write the one member that is wanted. Nothing is ever written under a name out of the archive."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            # Where the next member begins. A header can say so of any place, and tarfile would read on for ever to get
            # there, long after the stream has ended.
            if archive.offset > limit:
                raise InvalidFileError(f"expected an archive of at most {limit:,} octets, found a larger one")
            path = PurePosixPath(member.name)
            if path.name != wanted:
                continue
            source = archive.extractfile(member) if member.isreg() else None
            if source is None or path.is_absolute() or ".." in path.parts:
                raise InvalidFileError(f"expected {wanted} as a plain file in the archive, found {member.name[:80]!r}")
            _copy(source, target)
            return
    raise InvalidFileError(f"expected {wanted} in the archive, found none")


def _copy(source: IO[bytes] | _Limited, target: IO[bytes]) -> None:
    while piece := source.read(_CHUNK):
        target.write(piece)


def _flush(file: IO[bytes]) -> None:
    """Have it on the disk before anything points to it."""
    file.flush()
    os.fsync(file.fileno())


def _provenance_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _is_intact(path: Path, known: Provenance) -> bool:
    """Whether the file is the one that was fetched."""
    try:
        return path.stat().st_size == known.size and _sha256_of(path) == (known.sha256, known.size)
    except OSError:
        return False


def _sha256_of(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _report(file: PublishedFile, change: Change, reason: str, known: Provenance | None) -> DownloadReport:
    if known is None:
        return DownloadReport(file.name, change, reason)
    return DownloadReport(file.name, change, reason, known.list_date, known.records, known.size)


def _retry_at(header: str | None, now: datetime) -> datetime:
    """Return when a server may be asked again: a number of seconds or a date, and an hour where it says neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        # More digits than these are beyond the longest pause, and beyond what a timedelta takes.
        return now + min(timedelta(seconds=int(text[:9])), LONGEST_PAUSE)
    at = _http_date(text)
    return now + PAUSE if at is None else min(max(at, now), now + LONGEST_PAUSE)


def _http_date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _public(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(url)}{parts.path}"


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _innermost(error: BaseException) -> str:
    """Say in words what lies at the bottom of an error of requests: it wraps urllib3's, which wraps the system's."""
    seen = error
    while seen.__context__ is not None:
        seen = seen.__context__
    if isinstance(error, requests.TooManyRedirects):
        return f"more than {MAX_REDIRECTS} redirects"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError) or isinstance(seen, TimeoutError):
        return "no reply in time"
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return type(seen).__name__
