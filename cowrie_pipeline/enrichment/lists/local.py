"""Downloaded lists as sources of the cascade: looked up in memory, asking nobody.

Belongs here: loading at first use, outcomes, what an operator should know about a list.
Does not belong here: any one list's format, fetching it.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.downloads import InvalidFileError, read_provenance
from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import origin_asn

__all__ = ["AddressListSource", "ListSource", "NetworkListSource"]

# A list is stale when so many refreshes of it came to nothing.
STALE_AFTER_REFRESHES = 3
# When to look again by a list that is overdue, or that cannot be read.
RECHECK_AFTER = timedelta(hours=6)

_ADVICE = "Refresh the lists (asset `downloaded_lists`)."

Key = TypeVar("Key")
Table = TypeVar("Table")


@dataclass(frozen=True, slots=True)
class _Opened(Generic[Table]):
    """A list that was read; `confirmed_at` is when its publisher last said that it is current."""

    published: PublishedList
    table: Table
    list_date: date
    confirmed_at: datetime


class ListSource(ABC, Generic[Key, Table]):
    """Asks the files of `lists` in `folder`, of which those that are there are read at the first use.

    A key that no list names is `not_found`, unless a list that could name it is missing or broken: then nothing is
    known of it, and that is an error. Payloads are shared between keys, and nobody changes them.
    """

    cached = False
    keys_at_once = sys.maxsize
    terms: Terms
    lists: tuple[PublishedList, ...]

    def __init__(self, folder: Path) -> None:
        self.name = self.terms.service
        self._folder = folder
        self._opened: dict[str, _Opened[Table]] | None = None
        self._broken: dict[str, str] = {}

    @abstractmethod
    def _load(self, path: Path) -> Table:
        """Read a list into memory; raise InvalidFileError for a file in another format."""

    @abstractmethod
    def _read_key(self, key: str) -> Key:
        """Return what is looked up; raise ValueError where there is nothing to look up."""

    @abstractmethod
    def _find(self, table: Table, key: Key) -> dict[str, Any] | None:
        """Return the facts that one list has of `key`, None where it does not name it."""

    def _can_name(self, published: PublishedList, key: Key) -> bool:  # noqa: ARG002 - most lists name keys of any kind
        """Whether a list is one in which `key` could be."""
        return True

    def close(self) -> None:
        """Forget what was read; the next use reads what is there then."""
        self._opened = None
        self._broken.clear()

    def availability(self) -> Availability:
        """Say of what day the lists are, or that there are none; reads no list."""
        days = []
        missing = []
        for each in self.lists:
            path = self._folder / each.file.file_name
            if path.is_file():
                days.append(f"{each.name} of {_date_of(path).isoformat()}")
            else:
                missing.append(each.name)
        if not days:
            return Availability(usable=False, reason=f"not downloaded yet: {', '.join(missing)}. {_ADVICE}")
        return Availability(usable=True, reason=", ".join(days + [f"{each} missing" for each in missing]))

    def findings(self, now: datetime) -> tuple[Finding, ...]:
        """Return which lists are missing or stale at `now`, and which of those that were read are broken.

        That none was ever downloaded is no finding: the source is not set up, and says so by its availability.
        """
        if not any((self._folder / each.file.file_name).is_file() for each in self.lists):
            return ()
        findings = [self._finding(each, now) for each in self.lists]
        return tuple(finding for finding in findings if finding is not None)

    def _finding(self, published: PublishedList, now: datetime) -> Finding | None:
        path = self._folder / published.file.file_name
        if published.name in self._broken:
            return Finding(self.name, str(path), "a readable list", self._broken[published.name], _ADVICE)
        if not path.is_file():
            return Finding(self.name, str(path), "a downloaded list", "none", _ADVICE)
        confirmed_at = _confirmed_at(path)
        longest = published.refresh_every * STALE_AFTER_REFRESHES
        if now - confirmed_at <= longest:
            return None
        expected = f"a list confirmed in the last {longest / timedelta(days=1):g} days"
        found = f"one of {_date_of(path).isoformat()}, last confirmed {confirmed_at:%Y-%m-%d}"
        return Finding(self.name, str(path), expected, found, _ADVICE)

    def look_up(self, keys: Sequence[str], *, now: datetime) -> list[Outcome]:
        """Look up every key; give one outcome per key, in their order."""
        opened = self._open()
        # One time for all keys: that of the list that is due first.
        expires_at = min((_due_at(each, now) for each in opened.values()), default=now + RECHECK_AFTER)
        return [self._look_up(key, opened, now, expires_at) for key in keys]

    def _look_up(self, key: str, opened: Mapping[str, _Opened[Table]], now: datetime, expires_at: datetime) -> Outcome:
        try:
            wanted = self._read_key(key)
        except ValueError as problem:
            return self._outcome(key, Status.NOT_APPLICABLE, now, error=str(problem))
        for each in opened.values():
            facts = self._find(each.table, wanted)
            if facts is not None:
                payload = facts | {"list_date": each.list_date.isoformat()}
                return self._outcome(key, Status.HIT, now, payload=payload, expires_at=expires_at)
        if len(opened) < len(self.lists):
            unread = [each.name for each in self.lists if each.name not in opened and self._can_name(each, wanted)]
            if unread:
                error = f"in none of the lists here, and {', '.join(unread)} is missing or broken"
                return self._outcome(key, Status.ERROR, now, retry_at=now + RECHECK_AFTER, error=error)
        return self._outcome(key, Status.NOT_FOUND, now, expires_at=expires_at)

    def _outcome(
        self,
        key: str,
        status: Status,
        now: datetime,
        *,
        payload: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
        retry_at: datetime | None = None,
        error: str | None = None,
    ) -> Outcome:
        return Outcome(
            service=self.name,
            key=key,
            status=status,
            fetched_at=now,
            payload=payload or {},
            expires_at=expires_at,
            retry_at=retry_at,
            error=error,
        )

    def _open(self) -> Mapping[str, _Opened[Table]]:
        if self._opened is None:
            self._opened = {}
            for each in self.lists:
                path = self._folder / each.file.file_name
                if not path.is_file():
                    continue
                try:
                    table = self._load(path)
                    self._opened[each.name] = _Opened(each, table, _date_of(path), _confirmed_at(path))
                except (InvalidFileError, OSError) as error:
                    self._broken[each.name] = str(error)
        return self._opened


class AddressListSource(ListSource[bytes, Table]):
    """A list of addresses or prefixes, asked by the text of an address as key."""

    def _read_key(self, key: str) -> bytes:
        return packed_address(key)


class NetworkListSource(ListSource[int, Table]):
    """A list of AS numbers, asked by `AS23028` as key (see `sources.cymru.network_key`)."""

    def _read_key(self, key: str) -> int:
        number = origin_asn(key.removeprefix("AS"))
        if number is None:
            raise ValueError(f"expected a public AS number as AS23028, found {key!r}")
        return number


def _due_at(opened: _Opened[Any], now: datetime) -> datetime:
    """Return when a list is due to be refreshed; of one that is overdue, when to see whether it was."""
    due_at = opened.confirmed_at + opened.published.refresh_every
    return due_at if due_at > now else now + RECHECK_AFTER


def _date_of(path: Path) -> date:
    """Return the day of a list; of one that somebody put there by hand, that of the file."""
    known = read_provenance(path)
    return (known.list_date if known else None) or _modified_at(path).date()


def _confirmed_at(path: Path) -> datetime:
    known = read_provenance(path)
    return (known.confirmed_at if known else None) or _modified_at(path)


def _modified_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
