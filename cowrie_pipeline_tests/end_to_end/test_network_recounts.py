"""The numbers of networks, over real logs, held to a recount by other means: the log files, `json` and `maxminddb`.

Nothing of the package is used to recount: a session is its sensor and id, which docker-ssh-2018 never uses twice, and
its network is what the GeoIP file says of its address.
"""

import json
from collections import defaultdict
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple

import maxminddb
import pytest
from sqlalchemy import text, update

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.network_types import read_network_rules
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_inventory_build import build_asn_inventory
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.raw_sessions import load_days
from cowrie_pipeline.steps.reconcile_inventories import find_drift
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, asn_session_counts, ip_inventory
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.databases import asn_record, write_database
from cowrie_pipeline_tests.steps.made_days import rows, run_cascade, scan, span

pytestmark = pytest.mark.shared_data

LOGS = SHARED_DATA / "logs" / "docker-ssh-2018"
DAYS = span("2018-05-06", "2018-07-02")
NOW = datetime(2018, 7, 3, 12, tzinfo=UTC)


class Session(NamedTuple):
    """A session as the log files have it."""

    address: str
    first: datetime
    last: datetime
    logins: int


@cache
def sessions_in_logs() -> tuple[Session, ...]:
    times: dict[tuple[str, str], list[str]] = defaultdict(list)
    addresses: dict[tuple[str, str], str] = {}
    logins: dict[tuple[str, str], int] = defaultdict(int)
    for path in sorted(LOGS.iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            key = event["sensor"], event["session"]
            times[key].append(event["timestamp"])
            addresses.setdefault(key, event["src_ip"])
            logins[key] += event["eventid"] in ("cowrie.login.success", "cowrie.login.failed")
    return tuple(
        Session(addresses[key], parsed(min(of_session)), parsed(max(of_session)), logins[key])
        for key, of_session in times.items()
    )


def parsed(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


@pytest.fixture(params=["maxmind's test databases", "a network for every /8"])
def geoip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "geoip"
    folder.mkdir()
    if request.param.startswith("maxmind"):
        for name in ("GeoLite2-ASN-Test.mmdb", "GeoLite2-City-Test.mmdb"):
            copyfile(SHARED_DATA / "mmdb" / name, folder / name)
    else:
        blocks = {f"{first}.0.0.0/8": asn_record(1000 + first % 40, f"Net {first % 40}") for first in range(1, 224)}
        write_database(folder / "GeoLite2-ASN.mmdb", "GeoLite2-ASN", blocks)
    return folder


def networks_of(folder: Path, addresses: set[str]) -> dict[str, int]:
    """Say which network each address is in, as the one file says that knows networks."""
    (path,) = (path for path in folder.iterdir() if "ASN" in path.name)
    with maxminddb.open_database(path) as reader:
        found: dict[str, Any] = {address: reader.get(address) for address in addresses}
    return {address: entry["autonomous_system_number"] for address, entry in found.items() if entry}


def materialize(warehouse: Warehouse, geoip: Path) -> None:
    scan(warehouse, LOGS)
    load_days(warehouse, DAYS, now=NOW)
    settings = Settings(geoip_dir=geoip, lists_dir=geoip / "none", offline=True)
    with build_enrichment(settings, {}, MemoryAllowance()) as enrichment:
        run_cascade(warehouse, enrichment.cascade, DAYS, now=NOW)
    with warehouse.begin() as connection:
        take_snapshots(connection, DAYS, now=NOW)
        count_sessions(connection, DAYS)


def assert_as_recounted(warehouse: Warehouse, geoip: Path) -> None:
    sessions = sessions_in_logs()
    network = networks_of(geoip, {each.address for each in sessions})
    by_network: dict[int, list[Session]] = defaultdict(list)
    by_day: dict[tuple[date, int], list[Session]] = defaultdict(list)
    for each in sessions:
        asn = network.get(each.address, 0)
        by_network[asn].append(each)
        by_day[each.first.date(), asn].append(each)
    counted = {
        (row["day"], row["asn_number"]): (row["sessions"], row["unique_ips"], row["logins"])
        for row in rows(warehouse, asn_session_counts)
    }
    assert counted == {
        key: (len(of_day), len({each.address for each in of_day}), sum(each.logins for each in of_day))
        for key, of_day in by_day.items()
    }
    stored = {
        row["asn_number"]: (row["unique_ip_count"], row["total_session_count"], row["first_seen"], row["last_seen"])
        for row in rows(warehouse, asn_inventory)
    }
    assert stored == {
        asn: (
            len({each.address for each in of_network}),
            len(of_network),
            min(each.first for each in of_network),
            max(each.last for each in of_network),
        )
        for asn, of_network in by_network.items()
        if asn
    }
    with warehouse.read() as connection:
        view = connection.execute(text("SELECT asn_number, sessions_at_attack, sessions_now FROM network_sessions"))
        assert {row.asn_number: (row.sessions_at_attack, row.sessions_now) for row in view} == {
            asn: (len(of_network), len(of_network)) for asn, of_network in by_network.items() if asn
        }


def test_the_numbers_of_networks_are_those_of_an_independent_recount(warehouse: Warehouse, geoip: Path) -> None:
    assert len(sessions_in_logs()) == 22_238
    materialize(warehouse, geoip)
    assert len(rows(warehouse, asn_inventory)) >= 3
    assert_as_recounted(warehouse, geoip)
    with warehouse.begin(lock="facts") as connection:
        drift = find_drift(connection, now=datetime.now(UTC))
    assert (drift.total, drift.looked_at["ip_inventory"]) == (0, 1_583)
    # as in a database that was filled by other means: the numbers of networks are nowhere, nor are their facts
    names = {row["asn_number"]: row["organization_name"] for row in rows(warehouse, asn_inventory)}
    nothing = dict.fromkeys(("organization_name", "organization_source", "first_seen", "last_seen"))
    with warehouse.begin() as connection:
        connection.execute(update(asn_inventory).values(unique_ip_count=0, total_session_count=0, **nothing))
    report = build_asn_inventory(warehouse, rules=read_network_rules(), now=NOW, batch_size=7)
    assert (report.networks, report.recounted, report.malformed) == (len(names), len(names), 0)
    assert_as_recounted(warehouse, geoip)
    assert {row["asn_number"]: row["organization_name"] for row in rows(warehouse, asn_inventory)} == names
    assert not build_asn_inventory(warehouse, rules=read_network_rules(), now=NOW).changed
    assert sum(row["current_asn"] is not None for row in rows(warehouse, ip_inventory)) == sum(
        row["unique_ip_count"] for row in rows(warehouse, asn_inventory)
    )
