"""MaxMind's format on local disk: where an address is, and whose network it is in.

Belongs here: which files are used, how their records become facts, what an operator should know about the files.
Does not belong here: downloading files, or any other source.

GeoLite2, GeoIP2 and DB-IP Lite files are told apart by the type in their metadata, never by their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import geoip2.database
import geoip2.errors
import geoip2.models
from maxminddb import InvalidDatabaseError

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.findings import Finding
from cowrie_pipeline.enrichment.outcomes import Availability, Outcome, Status
from cowrie_pipeline.enrichment.values import asn_number, coordinate, country_code, text_value

__all__ = ["MaxMindSource"]

EXPIRES_AFTER = timedelta(days=7)
RETRY_AFTER = timedelta(days=1)
# MaxMind publishes twice a week, DB-IP once a month.
STALE_AFTER = timedelta(days=14)
STALE_AFTER_MONTHLY = timedelta(days=45)

_EXPECTED = "City and ASN databases in MaxMind's format"
_ADVICE = "Put GeoLite2 or DB-IP Lite files (*.mmdb) there, or set COWRIE_GEOIP_DIR to the folder that has them."
_RECORD_ERRORS = (InvalidDatabaseError, TypeError, AttributeError, KeyError, UnicodeDecodeError, OSError)


@dataclass(frozen=True, slots=True)
class _Database:
    """An open file; `read` gives an address's facts from it, and raises AddressNotFoundError where it has none."""

    path: Path
    kind: str
    built_at: datetime
    reader: geoip2.database.Reader
    read: Callable[[str], dict[str, Any]]

    def stale_after(self) -> timedelta:
        return STALE_AFTER_MONTHLY if self.kind.startswith("DBIP") else STALE_AFTER


class MaxMindSource:
    """Asks the newest City and the newest ASN file below `folder`; a Country file stands in for a missing City.

    Payload: `asn`, `organization`, `network` (the ASN record's prefix), `asn_build`; `country`, `city`, `latitude`,
    `longitude` (degrees), `time_zone`, `geo_build`. Builds are days (`YYYY-MM-DD`) of the file that gave the facts
    before them. What a file does not know is absent. Files are opened at the first use and held until `close`.
    """

    name = "maxmind"
    cached = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases: tuple[_Database, ...] | None = None
        self._opening_findings: list[Finding] = []
        self._failures: dict[Path, tuple[int, str]] = {}

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

    def availability(self) -> Availability:
        """Say which files are used, or that there are none."""
        databases = self._open()
        if not databases:
            return Availability(usable=False, reason=f"no usable City, Country or ASN database in {self._folder}")
        return Availability(usable=True, reason=", ".join(f"{each.kind} of {_day(each)}" for each in databases))

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
        return [self._look_up(key, databases, now) for key in keys]

    def _look_up(self, key: str, databases: tuple[_Database, ...], now: datetime) -> Outcome:
        facts: dict[str, Any] = {}
        error = None if databases else f"no usable database in {self._folder}"
        for database in databases:
            try:
                facts |= database.read(key)
            except geoip2.errors.AddressNotFoundError:
                continue
            except _RECORD_ERRORS as problem:
                error = f"{database.path.name} cannot be read for this address ({type(problem).__name__})"
                count, _ = self._failures.get(database.path, (0, ""))
                self._failures[database.path] = (count + 1, type(problem).__name__)
            except ValueError:
                # An IPv6 address in a file of IPv4 alone is not found there; what is no address is found nowhere.
                if not _is_address(key):
                    return Outcome(
                        service=self.name,
                        key=key,
                        status=Status.NOT_APPLICABLE,
                        fetched_at=now,
                        payload={},
                        error=f"expected an IP address, found {key!r}",
                    )
        if error is not None:
            status = Status.HIT if facts else Status.ERROR
            again = now + RETRY_AFTER
            return Outcome(
                service=self.name,
                key=key,
                status=status,
                fetched_at=now,
                payload=facts,
                expires_at=again if facts else None,
                retry_at=None if facts else again,
                error=error,
            )
        status = Status.HIT if facts else Status.NOT_FOUND
        return Outcome(
            service=self.name, key=key, status=status, fetched_at=now, payload=facts, expires_at=now + EXPIRES_AFTER
        )

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
            reader = geoip2.database.Reader(path)
        except (InvalidDatabaseError, OSError, ValueError) as error:
            self._opening_findings.append(
                self._finding(path, "a database in MaxMind's format", f"{type(error).__name__} on opening it", _ADVICE)
            )
            return None
        metadata = reader.metadata()
        built_at = datetime.fromtimestamp(metadata.build_epoch, UTC)
        read = _READERS.get(_use(metadata.database_type))
        if read is None:
            reader.close()
            self._opening_findings.append(
                self._finding(path, _EXPECTED, f"the type {metadata.database_type!r}", "It is not used.")
            )
            return None
        day = built_at.date().isoformat()
        return _Database(path, metadata.database_type, built_at, reader, lambda address: read(reader, address, day))

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


def _is_address(text: str) -> bool:
    try:
        packed_address(text)
    except ValueError:
        return False
    return True


def _read_city(reader: geoip2.database.Reader, address: str, build: str) -> dict[str, Any]:
    record = reader.city(address)
    facts: dict[str, Any] = {}
    if country := country_code(record.country.iso_code):
        facts["country"] = country
    if city := text_value(record.city.name):
        facts["city"] = city
    place = record.location
    latitude, longitude = coordinate(place.latitude, 90), coordinate(place.longitude, 180)
    if latitude is not None and longitude is not None:
        facts["latitude"], facts["longitude"] = latitude, longitude
    if time_zone := text_value(place.time_zone):
        facts["time_zone"] = time_zone
    if facts:
        facts["geo_build"] = build
    return facts


def _read_country(reader: geoip2.database.Reader, address: str, build: str) -> dict[str, Any]:
    country = country_code(reader.country(address).country.iso_code)
    return {"country": country, "geo_build": build} if country else {}


def _read_asn(reader: geoip2.database.Reader, address: str, build: str) -> dict[str, Any]:
    return _network_facts(reader.asn(address), build)


def _read_isp(reader: geoip2.database.Reader, address: str, build: str) -> dict[str, Any]:
    return _network_facts(reader.isp(address), build)


def _network_facts(record: geoip2.models.ASN, build: str) -> dict[str, Any]:
    asn = asn_number(record.autonomous_system_number)
    if asn is None:
        return {}
    facts: dict[str, Any] = {"asn": asn, "network": str(record.network), "asn_build": build}
    if organization := text_value(record.autonomous_system_organization):
        facts["organization"] = organization
    return facts


_READERS: dict[str, Callable[[geoip2.database.Reader, str, str], dict[str, Any]]] = {
    "city": _read_city,
    "country": _read_country,
    "asn": _read_asn,
    "isp": _read_isp,
}
