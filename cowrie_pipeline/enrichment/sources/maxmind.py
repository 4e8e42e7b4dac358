"""MaxMind's format on local disk: where an address is, and whose network it is in.

Belongs here: which files are used, how their records become facts, what an operator should know about the files.
Does not belong here: downloading files, or any other source.

GeoLite2, GeoIP2 and DB-IP Lite files are told apart by the type in their metadata, never by their names.

Records are read by maxminddb and not by geoip2 (docs/decisions/0003-maxminddb-for-look-ups.md), so nothing has checked
them: a field counts only if it has the type that it must have, and else it is absent.
"""

import ipaddress
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import maxminddb
from maxminddb import InvalidDatabaseError

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.terms import Terms
from cowrie_pipeline.enrichment.values import asn_number, coordinate, country_code, text_value

__all__ = ["GeoIpBuild", "MaxMindSource"]

EXPIRES_AFTER = timedelta(days=7)
RETRY_AFTER = timedelta(days=1)
# MaxMind publishes twice a week, DB-IP once a month.
STALE_AFTER = timedelta(days=14)
STALE_AFTER_MONTHLY = timedelta(days=45)

_EXPECTED = "City and ASN databases in MaxMind's format"
_ADVICE = "Put GeoLite2 or DB-IP Lite files (*.mmdb) there, or set COWRIE_GEOIP_DIR to the folder that has them."
_RECORD_ERRORS = (InvalidDatabaseError, TypeError, ValueError, LookupError, OSError)
# Facts of so many prefixes are kept: a busy network is parsed once, and the whole of a large file is never held.
_MAX_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class GeoIpBuild:
    """A file that is used: its type, when it was built, and whether its publisher makes one a month."""

    path: Path
    kind: str
    built_at: datetime
    is_monthly: bool


# The facts in a record of one kind of file; `network` and the build are added to them.
_Parser = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Database:
    """An open file and how its records are read."""

    path: Path
    kind: str
    built_at: datetime
    has_ipv6: bool
    reader: maxminddb.Reader
    parse: _Parser

    @property
    def is_monthly(self) -> bool:
        return self.kind.startswith("DBIP")

    def stale_after(self) -> timedelta:
        return STALE_AFTER_MONTHLY if self.is_monthly else STALE_AFTER


# A file's record of an address, and the length of the prefix that it is for.
_Record = tuple[_Database, Mapping[str, Any], int]


class MaxMindSource:
    """Asks the newest City and the newest ASN file below `folder`; a Country file stands in for a missing City.

    Payload: `asn`, `organization`, `network` (the ASN record's prefix), `asn_build`; `country`, `city`, `latitude`,
    `longitude` (degrees), `time_zone`, `geo_build`. Builds are days (`YYYY-MM-DD`) of the file that gave the facts
    before them. What a file does not know is absent. Files are opened at the first use and held until `close`.
    """

    terms = Terms(
        service="maxmind",
        title="City and ASN databases in MaxMind's format",
        about="where an address is, and in which network",
        url="https://www.maxmind.com/",
        hit_for=EXPIRES_AFTER,
        negative_for=EXPIRES_AFTER,
        licence="of the files in use: GeoLite2's agreement (old files are destroyed within 30 days), or CC BY 4.0",
        attribution="GeoLite2 data created by MaxMind, www.maxmind.com; or IP Geolocation by DB-IP, db-ip.com",
    )
    name = terms.service
    cached = False
    keys_at_once = sys.maxsize

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases: tuple[_Database, ...] | None = None
        self._opening_findings: list[Finding] = []
        self._failures: dict[Path, tuple[int, str]] = {}
        self._facts: dict[tuple[int, int, int], Mapping[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the next use opens what is there then."""
        for database in self._databases or ():
            database.reader.close()
        self._databases = None
        self._opening_findings.clear()
        self._failures.clear()
        self._facts.clear()

    def availability(self) -> Availability:
        """Say which files are used, or that there are none."""
        databases = self._open()
        if not databases:
            return Availability(usable=False, reason=f"no usable City, Country or ASN database in {self._folder}")
        return Availability(usable=True, reason=", ".join(f"{each.kind} of {_day(each)}" for each in databases))

    def builds(self) -> tuple[GeoIpBuild, ...]:
        """Return the files that are used."""
        return tuple(GeoIpBuild(each.path, each.kind, each.built_at, each.is_monthly) for each in self._open())

    def findings(self, now: datetime) -> tuple[Finding, ...]:
        """Return what is missing, old or broken at `now`."""
        databases = self._open()
        findings = list(self._opening_findings)
        for missing, words in (
            (not any(_is_asn(each.kind) for each in databases), "an ASN database"),
            (all(_is_asn(each.kind) for each in databases), "a City database"),
        ):
            if missing:
                findings.append(self._finding(self._folder, words, "none", _ADVICE))
        findings += [
            self._finding(
                each.path,
                f"a build of the last {each.stale_after().days} days",
                f"{each.kind} of {_day(each)}",
                "Fetch a new one: what it says of moved networks is wrong by now.",
            )
            for each in databases
            if now - each.built_at > each.stale_after()
        ]
        findings += [
            self._finding(path, "a record for each address", f"{count} that cannot be read ({error})", "Fetch it anew.")
            for path, (count, error) in sorted(self._failures.items())
        ]
        return tuple(findings)

    def look_up(self, keys: Sequence[str], *, now: datetime) -> list[Outcome]:
        """Read each address from the files; give one outcome per key, in their order.

        Where one file cannot be read and another has facts, the outcome is a hit with `error` set: incomplete, and
        asked again as soon as an error.
        """
        databases = self._open()
        expires_at = now + EXPIRES_AFTER
        return [self._look_up(key, databases, now, expires_at) for key in keys]

    def _look_up(self, key: str, databases: tuple[_Database, ...], now: datetime, expires_at: datetime) -> Outcome:
        try:
            packed = packed_address(key)
        except ValueError as problem:
            return Outcome(
                service=self.name,
                key=key,
                status=Status.NOT_APPLICABLE,
                fetched_at=now,
                payload={},
                error=str(problem),
            )
        # Written anew only where it can differ: IPv6 can have a zone, or be an IPv4 address in disguise.
        text = _text_of(packed) if ":" in key else key
        records: list[_Record] = []
        longest = 0
        error = None if databases else f"no usable database in {self._folder}"
        for database in databases:
            if len(packed) == 16 and not database.has_ipv6:
                continue
            try:
                record, length = database.reader.get_with_prefix_len(text)
                if isinstance(record, dict):
                    records.append((database, record, length))
                elif record is not None:
                    raise InvalidDatabaseError(f"expected a map as record, found {type(record).__name__}")
                longest = max(longest, length)
            except _RECORD_ERRORS as problem:
                error = f"{database.path.name} cannot be read for this address ({type(problem).__name__})"
                count, _ = self._failures.get(database.path, (0, ""))
                self._failures[database.path] = (count + 1, type(problem).__name__)
        if error is not None:
            facts: Mapping[str, Any] = _facts_of(packed, records)
            again = now + RETRY_AFTER
            return Outcome(
                service=self.name,
                key=key,
                status=Status.HIT if facts else Status.ERROR,
                fetched_at=now,
                payload=facts,
                expires_at=again if facts else None,
                retry_at=None if facts else again,
                error=error,
            )
        facts = self._remembered_facts(packed, longest, records)
        return Outcome(
            service=self.name,
            key=key,
            status=Status.HIT if facts else Status.NOT_FOUND,
            fetched_at=now,
            payload=facts,
            expires_at=expires_at,
        )

    def _remembered_facts(self, packed: bytes, length: int, records: Sequence[_Record]) -> Mapping[str, Any]:
        """Return the facts in the records of all files; `length` is that of the longest prefix they are for.

        All addresses in that prefix have the same records. So they are parsed once, and share one mapping, which nobody
        changes.
        """
        bits = len(packed) * 8
        prefix = (bits, length, int.from_bytes(packed) >> bits - length)
        facts = self._facts.get(prefix)
        if facts is None:
            if len(self._facts) >= _MAX_REMEMBERED:
                self._facts.clear()
            facts = self._facts[prefix] = _facts_of(packed, records)
        return facts

    def _open(self) -> tuple[_Database, ...]:
        """Open the newest file of each use, and close the others."""
        if self._databases is None:
            opened = [each for path in sorted(self._folder.rglob("*.mmdb")) if (each := self._open_file(path))]
            newest: dict[str, _Database] = {}
            for database in sorted(opened, key=lambda each: (each.built_at, str(each.path))):
                newest[_use(database.kind)] = database
            if "city" in newest:
                newest.pop("country", None)
            for database in opened:
                if database not in newest.values():
                    database.reader.close()
            self._databases = tuple(newest[use] for use in sorted(newest))
        return self._databases

    def _open_file(self, path: Path) -> _Database | None:
        try:
            reader = maxminddb.open_database(path)
            metadata = reader.metadata()
            built_at = datetime.fromtimestamp(metadata.build_epoch, UTC)
        except (InvalidDatabaseError, OSError, ValueError, OverflowError) as error:
            self._opening_findings.append(
                self._finding(path, "a database in MaxMind's format", f"{type(error).__name__} on opening it", _ADVICE)
            )
            return None
        parse = _PARSERS.get(_use(metadata.database_type))
        if parse is None:
            reader.close()
            self._opening_findings.append(
                self._finding(path, _EXPECTED, f"the type {metadata.database_type!r}", "It is not used.")
            )
            return None
        return _Database(path, metadata.database_type, built_at, metadata.ip_version == 6, reader, parse)

    def _finding(self, path: Path, expected: str, found: str, advice: str) -> Finding:
        return Finding(self.name, str(path), expected, found, advice)


def _use(kind: str) -> str:
    """Say what a database type is used for; "" for those that are not."""
    for mark, use in (("City", "city"), ("Country", "country"), ("GeoLite2-ASN", "asn"), ("GeoIP2-ISP", "isp")):
        if mark in kind:
            return use
    return ""


def _is_asn(kind: str) -> bool:
    return _use(kind) in ("asn", "isp")


def _day(database: _Database) -> str:
    return database.built_at.date().isoformat()


def _text_of(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _prefix_of(packed: bytes, length: int) -> str:
    """Write the prefix of an address that is `length` bits long."""
    host_bits = len(packed) * 8 - length
    first = int.from_bytes(packed) >> host_bits << host_bits
    return f"{ipaddress.ip_address(first.to_bytes(len(packed)))}/{length}"


def _facts_of(packed: bytes, records: Sequence[_Record]) -> dict[str, Any]:
    """Return the facts that the records of one address give together."""
    facts: dict[str, Any] = {}
    for database, record, length in records:
        if not (found := database.parse(record)):
            continue
        facts |= found
        if _is_asn(database.kind):
            facts["network"], facts["asn_build"] = _prefix_of(packed, length), _day(database)
        else:
            facts["geo_build"] = _day(database)
    return facts


def _city_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    facts = _country_facts(record)
    if city := text_value(_map(_map(record, "city"), "names").get("en")):
        facts["city"] = city
    place = _map(record, "location")
    latitude, longitude = coordinate(place.get("latitude"), 90), coordinate(place.get("longitude"), 180)
    if latitude is not None and longitude is not None:
        facts["latitude"], facts["longitude"] = latitude, longitude
    if time_zone := text_value(place.get("time_zone")):
        facts["time_zone"] = time_zone
    return facts


def _country_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    country = country_code(_map(record, "country").get("iso_code"))
    return {"country": country} if country else {}


def _network_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts in a record of an ASN file or an ISP file: both name them alike."""
    asn = asn_number(record.get("autonomous_system_number"))
    if asn is None:
        return {}
    organization = text_value(record.get("autonomous_system_organization"))
    return {"asn": asn, "organization": organization} if organization else {"asn": asn}


def _map(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the map at `key`, an empty one where there is something else."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


_PARSERS: Mapping[str, _Parser] = {
    "city": _city_facts,
    "country": _country_facts,
    "asn": _network_facts,
    "isp": _network_facts,
}
