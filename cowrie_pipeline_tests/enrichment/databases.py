"""GeoIP databases made for a test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

PARIS: Mapping[str, Any] = {
    "country": {"iso_code": "FR", "names": {"en": "France"}},
    "city": {"names": {"en": "Paris", "de": "Paris (de)"}},
    "location": {"latitude": 48.85, "longitude": 2.35, "time_zone": "Europe/Paris"},
}


def write_database(path: Path, kind: str, records: Mapping[str, Mapping[str, Any]], *, version: int = 4) -> Path:
    """Write records by prefix as a database of type `kind`."""
    writer = MMDBWriter(version, kind, languages=["en"], description="made for a test", ipv4_compatible=version == 6)
    for prefix, record in records.items():
        writer.insert_network(IPSet([prefix]), dict(record))
    writer.to_db_file(str(path))
    return path


def asn_record(asn: Any, organization: Any = None) -> dict[str, Any]:
    record = {"autonomous_system_number": asn}
    return record if organization is None else record | {"autonomous_system_organization": organization}
