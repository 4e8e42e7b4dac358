"""Published lists made for a test, in the formats of their publishers."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PUBLISHED = datetime(2026, 2, 28, 6, tzinfo=UTC)


def tor_exits(addresses: Iterable[str]) -> bytes:
    return "".join(f"{address}\n" for address in addresses).encode()


def spamhaus(records: Iterable[Mapping[str, Any]], *, stated: int | None = None) -> bytes:
    """Write JSON Lines as Spamhaus does; `stated` is the count in the metadata where it is not the true one."""
    lines = [json.dumps(record, separators=(",", ":")) for record in records]
    metadata = {
        "type": "metadata",
        "timestamp": int(PUBLISHED.timestamp()),
        "size": sum(map(len, lines)),
        "records": len(lines) if stated is None else stated,
        "copyright": "(c) 2026 The Spamhaus Project SLU",
        "terms": "https://www.spamhaus.org/drop/terms/",
    }
    return "".join(f"{line}\n" for line in [*lines, json.dumps(metadata)]).encode()


def drop_record(cidr: str, sblid: str = "SBL256894", rir: str = "apnic") -> dict[str, Any]:
    return {"cidr": cidr, "sblid": sblid, "rir": rir}


def asn_drop_record(asn: int, name: str = "BADNET") -> dict[str, Any]:
    return {"asn": asn, "rir": "ripencc", "domain": "bad.example", "cc": "SC", "asname": name}


def research(scanners: Mapping[str, str]) -> bytes:
    """Write DShield's list from types by address."""
    rows = [
        {"ipv6" if ":" in address else "ipv4": address, "added": "2024-05-01", "lastseen": "2026-02-28", "type": kind}
        for address, kind in scanners.items()
    ]
    return json.dumps(rows).encode()


def delegated(rows: Iterable[str], *, registry: str = "ripencc", stated: int | None = None) -> bytes:
    """Write a registry's book around rows of AS numbers, with a block of each family beside them."""
    runs = list(rows)
    count = len(runs) if stated is None else stated
    lines = [
        f"2|{registry}|1772236799|{count + 2}|19830705|20260228|+0100",
        f"{registry}|*|ipv4|*|1|summary",
        f"{registry}|*|asn|*|{count}|summary",
        f"{registry}|*|ipv6|*|1|summary",
        *runs,
        f"{registry}|FR|ipv4|2.0.0.0|1048576|20100712|allocated|c0a8",
        f"{registry}|DE|ipv6|2001:600::|32|19990826|allocated|c0a9",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
