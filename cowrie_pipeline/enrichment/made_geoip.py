"""Made-up geolocation databases in the shape of GeoLite2 City and ASN, for the demo, tests and benchmarks.

Belongs here: which fields GeoLite2 has, in which types, and how such a file is written.
Does not belong here: which networks there are (rows are handed in), reading such databases (sources/).

Needs the extra `demo`; everything else in the pipeline works without it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["ASN_FILE", "CITY_FILE", "GeoRow", "MmdbWriterMissingError", "write_geoip"]

CITY_FILE = "GeoLite2-City.mmdb"
ASN_FILE = "GeoLite2-ASN.mmdb"

_DESCRIPTION = "Made-up data in the shape of {database_type}, written by cowrie_pipeline. It describes no real network."
_ACCURACY_RADIUS_KM = {True: 20, False: 1000}

# English name and one time zone of each country, as GeoLite2 spells them.
_COUNTRIES: Mapping[str, tuple[str, str]] = {
    "AR": ("Argentina", "America/Argentina/Buenos_Aires"),
    "AU": ("Australia", "Australia/Sydney"),
    "BR": ("Brazil", "America/Sao_Paulo"),
    "CA": ("Canada", "America/Toronto"),
    "CN": ("China", "Asia/Shanghai"),
    "DE": ("Germany", "Europe/Berlin"),
    "EG": ("Egypt", "Africa/Cairo"),
    "ES": ("Spain", "Europe/Madrid"),
    "FR": ("France", "Europe/Paris"),
    "GB": ("United Kingdom", "Europe/London"),
    "HK": ("Hong Kong", "Asia/Hong_Kong"),
    "ID": ("Indonesia", "Asia/Jakarta"),
    "IN": ("India", "Asia/Kolkata"),
    "IR": ("Iran", "Asia/Tehran"),
    "IT": ("Italy", "Europe/Rome"),
    "JP": ("Japan", "Asia/Tokyo"),
    "KR": ("South Korea", "Asia/Seoul"),
    "MX": ("Mexico", "America/Mexico_City"),
    "NG": ("Nigeria", "Africa/Lagos"),
    "NL": ("The Netherlands", "Europe/Amsterdam"),
    "PL": ("Poland", "Europe/Warsaw"),
    "RO": ("Romania", "Europe/Bucharest"),
    "RU": ("Russia", "Europe/Moscow"),
    "SE": ("Sweden", "Europe/Stockholm"),
    "SG": ("Singapore", "Asia/Singapore"),
    "TH": ("Thailand", "Asia/Bangkok"),
    "TR": ("Türkiye", "Europe/Istanbul"),
    "TW": ("Taiwan", "Asia/Taipei"),
    "UA": ("Ukraine", "Europe/Kyiv"),
    "US": ("United States", "America/Chicago"),
    "VN": ("Vietnam", "Asia/Ho_Chi_Minh"),
    "ZA": ("South Africa", "Africa/Johannesburg"),
}


class MmdbWriterMissingError(ImportError):
    """The package that writes MaxMind databases is not installed; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class GeoRow:
    """What the databases shall say of one prefix.

    `country` is an ISO 3166-1 alpha-2 code; a code unknown here is written without name and time zone. `city` may be
    empty: then only the country is known. `latitude` and `longitude` are degrees.
    """

    prefix: str
    asn: int
    organization: str
    country: str
    city: str
    latitude: float
    longitude: float


def write_geoip(folder: Path, rows: Iterable[GeoRow], *, build_epoch: int | None = None) -> None:
    """Write `GeoLite2-City.mmdb` and `GeoLite2-ASN.mmdb` into `folder`, each replacing an older one at once.

    Where prefixes overlap the narrower one counts, as in a routing table. `build_epoch` is the time of building that
    the files state, in Unix seconds, and now by default; with one given, the same rows give the same bytes.

    Raises:
        MmdbWriterMissingError: the extra `demo` is not installed.
        ValueError: a prefix is no network, or an ASN does not fit into 32 bits.
    """
    # The writer lets the last insertion win, so the widest prefixes go first.
    ordered = sorted(rows, key=lambda row: ip_network(row.prefix).prefixlen)
    epoch = int(time.time()) if build_epoch is None else build_epoch
    folder.mkdir(parents=True, exist_ok=True)
    records = _RecordMaker()
    _write_database(folder / CITY_FILE, "GeoLite2-City", ordered, records.city, epoch)
    _write_database(folder / ASN_FILE, "GeoLite2-ASN", ordered, records.asn, epoch)


class _RecordMaker:
    """Makes the records, with every number in the type GeoLite2 has it in.

    Numbers are wrapped, and equal ones share a wrapper, because the writer stores equal values once: of a bare latitude
    20.0 and a radius 20 it would store whichever came first, and in that one's type.
    """

    def __init__(self) -> None:
        try:
            from mmdb_writer import MmdbF64, MmdbU16, MmdbU32
        except ImportError as error:
            raise MmdbWriterMissingError(
                "making geolocation databases needs the package mmdb-writer, which is not installed: "
                "pip install 'cowrie_pipeline[demo]'"
            ) from error
        self._double = cache(MmdbF64)
        self._uint16 = cache(MmdbU16)
        self._uint32 = cache(MmdbU32)

    def city(self, row: GeoRow) -> dict[str, Any]:
        country: dict[str, Any] = {"iso_code": row.country}
        location: dict[str, Any] = {
            "accuracy_radius": self._uint16(_ACCURACY_RADIUS_KM[bool(row.city)]),
            "latitude": self._double(row.latitude),
            "longitude": self._double(row.longitude),
        }
        if row.country in _COUNTRIES:
            name, location["time_zone"] = _COUNTRIES[row.country]
            country["names"] = {"en": name}
        city = {"city": {"names": {"en": row.city}}} if row.city else {}
        return {**city, "country": country, "location": location, "registered_country": country}

    def asn(self, row: GeoRow) -> dict[str, Any]:
        if not 0 < row.asn < 2**32:
            raise ValueError(f"the ASN of {row.prefix} must be 1 to {2**32 - 1}, not {row.asn}")
        return {
            "autonomous_system_number": self._uint32(row.asn),
            "autonomous_system_organization": row.organization,
        }


def _write_database(
    path: Path, database_type: str, rows: Iterable[GeoRow], record: Callable[[GeoRow], dict[str, Any]], epoch: int
) -> None:
    from mmdb_writer import MMDBWriter, TreeWriter
    from netaddr import IPSet

    writer = MMDBWriter(ip_version=6, ipv4_compatible=True)
    for row in rows:
        writer.insert_network(IPSet([row.prefix]), record(row))
    # MMDBWriter.to_db_file would state the current time as the time of building.
    metadata = {
        "ip_version": 6,
        "database_type": database_type,
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "description": {"en": _DESCRIPTION.format(database_type=database_type)},
        "build_epoch": epoch,
    }
    # A folder, not a temporary file: its file gets the ordinary permissions, and nothing is left behind on failure.
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as unfinished:
        file = Path(unfinished, path.name)
        TreeWriter(writer.tree, metadata).write(str(file))
        file.replace(path)
