"""Databases in MaxMind's format: GeoLite2 for those who have an account, DB-IP Lite for everyone.

Belongs here: where they are, when there are new ones, what makes a file a database.
Does not belong here: reading addresses from them (sources/maxmind.py).

GeoLite2 comes as tar.gz with a SHA-256, from an address that redirects to another host, which gets no credentials. Its
licence demands that superseded versions are destroyed: a new one takes the place of the old one at once, and no archive
is kept. DB-IP Lite comes once a month, as gz; for the first days of a month there is only that of the month before.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import maxminddb

from cowrie_pipeline.enrichment.downloads import Contents, InvalidFileError, Packing, PublishedFile
from cowrie_pipeline.enrichment.lists.mmdb_check import check_database
from cowrie_pipeline.enrichment.lists.published import PublishedList, always
from cowrie_pipeline.enrichment.terms import Terms

__all__ = ["DBIP_ASN", "DBIP_CITY", "GEOLITE2_ASN", "GEOLITE2_CITY"]

_DAY = timedelta(days=1)
# How long maxmind's answers hold (sources/maxmind.py).
_WEEK = timedelta(days=7)
# What reading a damaged database can raise.
_DAMAGE = (maxminddb.InvalidDatabaseError, OSError, ValueError, OverflowError, LookupError, TypeError, RecursionError)


def _validator(kind: str) -> Callable[[Path], Contents]:
    """Make the check for a database whose type holds the word `kind`."""

    def validate(path: Path) -> Contents:
        try:
            # By the reader in Python: with a damaged tree the one in C writes outside of its memory when it iterates.
            with maxminddb.open_database(path, maxminddb.MODE_MMAP) as reader:
                metadata = reader.metadata()
                built_at = datetime.fromtimestamp(metadata.build_epoch, UTC)
                # The metadata, at the end, can be whole in a broken file.
                check_database(path.read_bytes(), metadata)
                is_empty = next(iter(reader), None) is None
        except _DAMAGE as error:
            raise InvalidFileError(f"expected a database in MaxMind's format, found {error}") from error
        if kind not in str(metadata.database_type):
            raise InvalidFileError(f"expected a database of type {kind}, found {metadata.database_type!r}")
        if is_empty:
            raise InvalidFileError("expected records in the database, found none")
        return Contents(metadata.node_count, built_at)

    return validate


def _dbip_urls(edition: str) -> Callable[[datetime], tuple[str, ...]]:
    """Give the URL of this month's edition, and of the month before."""

    def urls(now: datetime) -> tuple[str, ...]:
        months = (now, now.replace(day=1) - _DAY)
        return tuple(f"https://download.db-ip.com/free/dbip-{edition}-lite-{each:%Y-%m}.mmdb.gz" for each in months)

    return urls


def _geolite2(edition: str) -> PublishedList:
    return PublishedList(
        file=PublishedFile(
            name=f"geolite2_{edition.lower()}",
            file_name=f"GeoLite2-{edition}.mmdb",
            urls=always(
                f"https://download.maxmind.com/geoip/databases/GeoLite2-{edition}/download?suffix=tar.gz",
            ),
            validate=_validator(f"GeoLite2-{edition}"),
            # 30 downloads a day: two editions, each with its checksum, every six hours are 16.
            min_interval=timedelta(hours=6),
            max_bytes=256 << 20,
            packing=Packing.TAR_GZIP,
            max_unpacked_bytes=1 << 30,
            member=f"GeoLite2-{edition}.mmdb",
            checksum_suffix=".sha256",
        ),
        terms=Terms(
            service="maxmind",
            title=f"MaxMind GeoLite2 {edition}",
            about="where an address is" if edition == "City" else "whose network an address is in",
            url="https://dev.maxmind.com/geoip/geolite2-free-geolocation-data",
            hit_for=_WEEK,
            negative_for=_WEEK,
            licence="GeoLite2 EULA: superseded versions are destroyed; nobody is identified by it",
            attribution="This product includes GeoLite2 data created by MaxMind, https://www.maxmind.com",
            needs_key=True,
        ),
        refresh_every=_DAY,
        in_geoip_folder=True,
    )


def _dbip(edition: str) -> PublishedList:
    return PublishedList(
        file=PublishedFile(
            name=f"dbip_{edition}",
            file_name=f"dbip-{edition}-lite.mmdb",
            urls=_dbip_urls(edition),
            # The ASN file's type says "(compat=GeoLite2-ASN)" besides, the City file's nothing of the kind.
            validate=_validator("DBIP-ASN-Lite" if edition == "asn" else "DBIP-City-Lite"),
            min_interval=timedelta(hours=6),
            max_bytes=512 << 20,
            packing=Packing.GZIP,
            max_unpacked_bytes=1 << 30,
        ),
        terms=Terms(
            service="maxmind",
            title=f"DB-IP {edition.upper() if edition == 'asn' else 'City'} Lite",
            about="where an address is" if edition == "city" else "whose network an address is in",
            url="https://db-ip.com/db/lite.php",
            hit_for=_WEEK,
            negative_for=_WEEK,
            licence="CC BY 4.0",
            attribution="IP Geolocation by DB-IP, https://db-ip.com",
        ),
        refresh_every=_DAY,
        in_geoip_folder=True,
    )


GEOLITE2_CITY, GEOLITE2_ASN = map(_geolite2, ("City", "ASN"))
DBIP_CITY, DBIP_ASN = map(_dbip, ("city", "asn"))
