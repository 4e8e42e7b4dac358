"""Answers of services in files, in the folders that earlier installations have.

Belongs here: where the file of a key is, what is in it, reading and writing it.
Does not belong here: what a service's raw answer means (its converter, given by the caller), the database.

`virustotal/<hash[:2]>/<hash>.json`, `dshield/<address>.json`, `hibp/<prefix[:2]>/<prefix>.json` (of pwned_passwords),
and for all else, also for a key that is not what its service's layout expects,
`<service>/<sha256(key)[:2]>/<sha256(key)>.json`.

A file that is written here holds one answer and names its format. Any other JSON is taken for the raw answer of a
service, as earlier installations kept it: it is as old as the file, and its service's converter says what is in it.
What is no answer is not written: when to ask again is in the database.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec

from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["Converter", "DiskCache", "StoredFile"]

Converter = Callable[[str, Any], Mapping[str, Any] | None]
"""Makes a payload of a key and a raw answer: empty if it says that nothing is known, None if it is no answer."""

_FORMAT = "cowrie_pipeline answer 1"
# What has another name as a service than it had as a folder.
_FOLDERS = {"pwned_passwords": "hibp"}
_SERVICES = {folder: service for service, folder in _FOLDERS.items()}
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FILE_HASH = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_HASH_PREFIX = re.compile(r"[0-9A-F]{5}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 16 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Answer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a file holds that is written here."""

    format: str
    service: str
    key: str
    status: Status
    fetched_at: datetime
    expires_at: datetime | None = None
    payload: dict[str, Any] = {}
    response_code: int | None = None
    latency_ms: float | None = None


class _UnusableError(Exception):
    """A file gives no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the cache: the answer in it, or the reason why there is none."""

    path: Path
    service: str
    outcome: Outcome | None
    reason: str | None = None


class DiskCache:
    """The files below `folder`.

    `converters` and `terms` are by service: what a raw answer says, and how long it holds; without the terms it is due
    at once, and without a converter it is not used. Reading and writing never fail: a file that cannot be read is a
    miss, and `findings` names it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        converters: Mapping[str, Converter] | None = None,
        terms: Mapping[str, Terms] | None = None,
    ) -> None:
        self.folder = folder
        self._converters = converters or {}
        self._terms = terms or {}
        self._unusable: dict[str, Counter[str]] = {}
        self._example: dict[tuple[str, str], Path] = {}

    def get_many(self, service: str, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the answer of each key that has one, due or not."""
        found: dict[str, Outcome] = {}
        for key in keys:
            path = self.path_of(service, key)
            try:
                found[key] = self._read(path, service, key)
            except FileNotFoundError:
                continue
            except (OSError, _UnusableError) as error:
                self._note(service, path, error)
        return found

    def put_many(self, outcomes: Sequence[Outcome]) -> None:
        """Write each answer to its file, at once and whole; what is no answer is left out."""
        for outcome in outcomes:
            if outcome.status.is_answer:
                path = self.path_of(outcome.service, outcome.key)
                try:
                    _write(path, outcome)
                except OSError as error:
                    self._note(outcome.service, path, error)

    def path_of(self, service: str, key: str) -> Path:
        """Return where the answer about `key` is, or would be.

        Raises:
            ValueError: `service` cannot be the name of a folder.
        """
        if not _SERVICE.fullmatch(service):
            raise ValueError(f"expected a service's name of a-z, 0-9, _ and -, found {service!r}")
        name = _FOLDERS.get(service, service)
        folder = self.folder / name
        if name == "virustotal" and _FILE_HASH.fullmatch(key):
            return folder / key[:2] / f"{key}.json"
        if name == "dshield" and _is_address(key):
            return folder / f"{key}.json"
        if name == "hibp" and _HASH_PREFIX.fullmatch(key):
            return folder / key[:2] / f"{key}.json"
        digest = _hashed(key)
        return folder / digest[:2] / f"{digest}.json"

    def paths(self) -> Iterator[Path]:
        """Yield every file of the cache, in a fixed order."""
        for service in _entries(self.folder):
            if not _SERVICE.fullmatch(service.name):
                continue
            for entry in _entries(service):
                if _is_file(entry):
                    yield entry
                else:
                    yield from filter(_is_file, _entries(entry))

    def read_file(self, path: Path, *, known_keys: Mapping[str, str] | None = None) -> StoredFile:
        """Read a file that `paths` gave, and whose key is to be found out.

        A raw answer whose name is a hash says it nowhere else: its key is the text in it, or of `known_keys` (by their
        SHA-256), that has this hash.
        """
        folder = path.relative_to(self.folder).parts[0]
        service = _SERVICES.get(folder, folder)
        try:
            raw, fetched_at = _load(path)
            key = _key_of(path, raw, known_keys or {})
            if self.path_of(service, key) != path:
                raise _UnusableError("about a key that belongs into another file")  # noqa: TRY301
            return StoredFile(path, service, self._outcome(service, key, raw, fetched_at))
        except OSError as error:
            return StoredFile(path, service, None, _reason(error))
        except _UnusableError as error:
            return StoredFile(path, service, None, str(error))

    def findings(self, now: datetime) -> Sequence[Finding]:
        """Return which files could not be read or written, one finding for each service and reason."""
        del now
        return [
            Finding(
                service=service,
                where=str(self._example[service, reason]),
                expected="a file with an answer",
                found=f"{count} that gave none: {reason}" if count > 1 else f"one that gave none: {reason}",
                advice="What was in it is asked again. Remove it, or restore it from a backup.",
            )
            for service, reasons in sorted(self._unusable.items())
            for reason, count in sorted(reasons.items())
        ]

    def _read(self, path: Path, service: str, key: str) -> Outcome:
        raw, fetched_at = _load(path)
        return self._outcome(service, key, raw, fetched_at)

    def _outcome(self, service: str, key: str, raw: Any, file_time: datetime) -> Outcome:
        if _is_ours(raw):
            return _as_outcome(service, key, raw)
        convert = self._converters.get(service)
        if convert is None:
            raise _UnusableError("a raw answer, and nothing here can read those of this service")
        try:
            payload = convert(key, raw)
        except Exception as error:
            # The type alone: a message can hold the answer.
            raise _UnusableError(f"reading the raw answer failed with {type(error).__name__}") from error
        if payload is None:
            raise _UnusableError("not an answer of this service")
        terms = self._terms.get(service)
        holds = timedelta(0) if terms is None else terms.hit_for if payload else terms.negative_for
        return Outcome(
            service=service,
            key=key,
            status=Status.HIT if payload else Status.NOT_FOUND,
            fetched_at=file_time,
            payload=payload,
            expires_at=file_time + holds,
        )

    def _note(self, service: str, path: Path, error: Exception) -> None:
        reason = _reason(error)
        self._unusable.setdefault(service, Counter())[reason] += 1
        self._example.setdefault((service, reason), path)


def _load(path: Path) -> tuple[Any, datetime]:
    """Return the JSON of a file, and when it was written."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError("not a file")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _UnusableError(f"larger than {_LARGEST // 1024 // 1024} MiB")
    if not content.strip(b"\0 \t\r\n"):
        raise _UnusableError("empty, or nothing but NUL bytes")
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _UnusableError("not JSON, or cut") from error
    return raw, _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)


def _is_ours(raw: Any) -> bool:
    return isinstance(raw, dict) and raw.get("format") == _FORMAT


def _as_outcome(service: str, key: str, raw: Any) -> Outcome:
    try:
        answer = msgspec.convert(raw, _Answer)
    except msgspec.ValidationError as error:
        raise _UnusableError("names our format and is not in it") from error
    if (answer.service, answer.key) != (service, key) or not answer.status.is_answer:
        raise _UnusableError("about another key than its name says")
    if answer.fetched_at.tzinfo is None or (answer.expires_at is not None and answer.expires_at.tzinfo is None):
        raise _UnusableError("a time without its zone")
    return Outcome(
        service=service,
        key=key,
        status=answer.status,
        fetched_at=answer.fetched_at.astimezone(UTC),
        payload=answer.payload,
        expires_at=answer.expires_at and answer.expires_at.astimezone(UTC),
        response_code=answer.response_code,
        latency_ms=answer.latency_ms,
    )


def _write(path: Path, outcome: Outcome) -> None:
    """Replace a file by a new one, so that who reads it finds the old or the new and never a part."""
    answer = _Answer(
        format=_FORMAT,
        service=outcome.service,
        key=outcome.key,
        status=outcome.status,
        fetched_at=outcome.fetched_at.astimezone(UTC),
        expires_at=outcome.expires_at and outcome.expires_at.astimezone(UTC),
        payload=dict(outcome.payload),
        response_code=outcome.response_code,
        latency_ms=outcome.latency_ms,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its name does not end with .json: what a killed process leaves is not taken for an answer.
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        try:
            file.write(msgspec.json.encode(answer))
            file.close()
            # Whoever goes by the file's time, as earlier installations do, finds the age of the answer.
            age_ns = (answer.fetched_at - _EPOCH) // timedelta(microseconds=1) * 1000
            os.utime(file.name, ns=(age_ns, age_ns))
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(file.name).unlink()
            raise


def _key_of(path: Path, raw: Any, known_keys: Mapping[str, str]) -> str:
    """Find out what a file is about."""
    if _is_ours(raw):
        key = raw.get("key")
        if isinstance(key, str):
            return key
        raise _UnusableError("names our format and is not in it")
    name = path.stem
    parts = path.parts
    if parts[-2] != name[:2] or not _SHA256.fullmatch(name) or parts[-3] == "virustotal":
        return name
    for key in _texts(raw):
        if _hashed(key) == name:
            return key
    if name in known_keys:
        return known_keys[name]
    raise _UnusableError("its name is the hash of a key that is neither in it nor known")


def _texts(raw: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, those of the outer levels first."""
    level = [raw]
    while level:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner


def _hashed(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _is_address(key: str) -> bool:
    try:
        # A scope is any text, also one with slashes.
        return "%" not in key and str(ip_address(key)) == key
    except ValueError:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_file(path: Path) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".") and path.is_file()


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
