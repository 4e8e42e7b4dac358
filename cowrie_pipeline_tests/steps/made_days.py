"""Logs made by hand, the steps run over them, and all facts that came of it, to compare."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from cowrie_pipeline.enrichment.build import Enrichment, SourceState
from cowrie_pipeline.enrichment.cascade import Cascade
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.inventories import InventoryReport, enrich_addresses
from cowrie_pipeline.steps.raw_sessions import SessionsReport, load_days
from cowrie_pipeline.steps.scan_logs import scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.lookup_cache import WarehouseCache
from cowrie_pipeline.warehouse.tables import (
    DETAIL_TABLES,
    asn_inventory,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    enrichment_documents,
    ip_asn_history,
    ip_inventory,
    loaded_days,
    log_files,
    log_segments,
    session_days,
    session_summaries,
)
from cowrie_pipeline_tests.enrichment.recording import RecordingSource

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SENSOR = "honeypot-1"
ADDRESS = "203.0.113.7"

SESSION_TABLES = (session_days, session_summaries, *DETAIL_TABLES, loaded_days)
FACT_TABLES = (
    *SESSION_TABLES,
    ip_inventory,
    asn_inventory,
    ip_asn_history,
    asn_session_counts,
    asn_session_totals,
    country_session_counts,
    enrichment_documents,
)
# what says when or in which order the work was done, and not what is so
NOT_FACTS = {
    "created_at",
    "updated_at",
    "loaded_at",
    "segments",
    "enrichment_version",
    *(column.name for table in DETAIL_TABLES for column in table.primary_key),
}

Event = dict[str, Any]


def event(
    at: str,
    event_id: str,
    session: str | None = "0a1b2c3d4e5f",
    src_ip: str | None = ADDRESS,
    sensor: str = SENSOR,
    **fields: Any,
) -> Event:
    """Make an event; `at` is such as `2026-03-01 23:59:58.5`, in UTC."""
    time = datetime.fromisoformat(at).replace(tzinfo=UTC)
    made = {
        "eventid": f"cowrie.{event_id}",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "sensor": sensor,
        "session": session,
        "src_ip": src_ip,
        **fields,
    }
    return {name: value for name, value in made.items() if value is not None}


def connect(at: str, **fields: Any) -> Event:
    return event(at, "session.connect", **fields)


def login(at: str, *, succeeded: bool = False, username: str = "root", password: str = "1234", **fields: Any) -> Event:
    return event(at, f"login.{'success' if succeeded else 'failed'}", username=username, password=password, **fields)


def command(at: str, line: str, kind: str = "input", **fields: Any) -> Event:
    return event(at, f"command.{kind}", input=line, **fields)


def download(at: str, sha256: str | None, **fields: Any) -> Event:
    return event(at, "session.file_download", url="http://198.51.100.1/x", shasum=sha256, **fields)


def upload(at: str, sha256: str, **fields: Any) -> Event:
    return event(at, "session.file_upload", filename="x", shasum=sha256, **fields)


def closed(at: str, **fields: Any) -> Event:
    return event(at, "session.closed", **fields)


def write_log(path: Path, events: Iterable[Event]) -> Path:
    """Write events as Cowrie does, a line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


def scan(warehouse: Warehouse, *paths: Path) -> None:
    """Read log files."""
    report = scan_logs(warehouse, [str(path) for path in paths], settings=Settings(), now=NOW)
    assert not report.problems


def add_day(warehouse: Warehouse, day: date, *, at: datetime, loaded: bool = True) -> None:
    """Have a day of which something was read at `at`, and made into nothing or, if `loaded`, into sessions."""
    with warehouse.begin() as connection:
        made = connection.execute(
            insert(log_files).values(
                path="cowrie.json",
                fingerprint="0" * 32,
                head_length=0,
                size=0,
                modified_ns=0,
                read_offset=0,
                tail_fingerprint="0" * 32,
                tail_length=0,
                ends_with_newline=True,
                is_foreign=False,
                head_is_joined=False,
                tail_is_joined=False,
                days={},
                oddities={},
                read_at=at,
            )
        ).inserted_primary_key
        assert made is not None
        connection.execute(insert(log_segments).values(file_id=made[0], day=day, events=1, lines=b"", fingerprints=b""))
        if loaded:
            connection.execute(
                insert(loaded_days).values(
                    day=day,
                    segments=1,
                    derivation=1,
                    events=1,
                    events_without_session=0,
                    session_days=1,
                    loaded_at=at,
                )
            )


def span(first: str, last: str | None = None) -> DayRange:
    return DayRange(date.fromisoformat(first), date.fromisoformat(last or first))


def load(warehouse: Warehouse, first: str, last: str | None = None, *, now: datetime = NOW) -> SessionsReport:
    """Make the sessions of days."""
    return load_days(warehouse, span(first, last), now=now)


def load_events(warehouse: Warehouse, folder: Path, events: Sequence[Event]) -> SessionsReport:
    """Write, read and load events, all days of them together."""
    scan(warehouse, write_log(folder / "cowrie.json", events))
    days = sorted(each["timestamp"][:10] for each in events)
    return load(warehouse, days[0], days[-1])


def attack(warehouse: Warehouse, folder: Path, *addresses: str, at: str = "2026-03-09 10:00") -> None:
    """Let each address connect once, at the same time."""
    load_events(
        warehouse,
        folder,
        [connect(at, session=f"{number:012x}", src_ip=address) for number, address in enumerate(addresses)],
    )


def rows(warehouse: Warehouse, table: Table, *conditions: Any) -> list[dict[str, Any]]:
    """Return rows of a table in the order of its key."""
    with warehouse.read() as connection:
        statement = select(table).where(*conditions).order_by(*table.primary_key)
        return [dict(row) for row in connection.execute(statement).mappings()]


def one(warehouse: Warehouse, table: Table, *conditions: Any) -> dict[str, Any]:
    (row,) = rows(warehouse, table, *conditions)
    return row


def facts(
    warehouse: Warehouse, tables: Iterable[Table] = FACT_TABLES, *, without: Iterable[str] = ()
) -> dict[str, list[Mapping[str, Any]]]:
    """Return every row of `tables` without surrogate ids and times of work, in an order of its own."""
    with warehouse.read() as connection:
        return {table.name: _facts_of(connection, table, {*NOT_FACTS, *without}) for table in tables}


def _facts_of(connection: Connection, table: Table, without: set[str]) -> list[Mapping[str, Any]]:
    columns = [column for column in table.c if column.name not in without]
    found = [dict(row) for row in connection.execute(select(*columns)).mappings()]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True, default=str))


class World:
    """What the sources of a cascade say of each address and network; a test may change it as time goes by.

    `asn_of` gives an AS number, None for an address that no source knows, or a `Status` for a failure.
    """

    def __init__(self, asn_of: Callable[[str], int | Status | None], *, by_cymru: bool = False) -> None:
        self.asn_of = asn_of
        self.maxmind = RecordingSource("maxmind", self._maxmind, cached=False)
        self.cymru = RecordingSource("cymru", self._cymru, expires_after=timedelta(days=30))
        self.network = RecordingSource("cymru_asn", self._network, expires_after=timedelta(days=30))
        self._by_cymru = by_cymru

    def _maxmind(self, address: str) -> Mapping[str, Any] | Status:
        asn = self.asn_of(address)
        if isinstance(asn, Status):
            return asn
        if asn is None or self._by_cymru:
            return Status.NOT_FOUND
        return {"asn": asn, "organization": f"Network {asn}", "country": "FR"}

    def _cymru(self, address: str) -> Mapping[str, Any] | Status:
        asn = self.asn_of(address)
        if isinstance(asn, Status):
            return asn
        if asn is None:
            return Status.NOT_FOUND
        return {"asn": asn, "origins": [asn], "country": "DE", "registry": "ripencc"}

    def _network(self, key: str) -> Mapping[str, Any] | Status:
        asn = int(key.removeprefix("AS"))
        return {"asn": asn, "country": "NL", "registry": "ripencc", "organization": f"AS {asn}"}

    def cascade(self) -> Cascade:
        return Cascade([self.maxmind, self.cymru, self.network])

    def enrich(
        self, warehouse: Warehouse, first: str, last: str | None = None, *, now: datetime = NOW
    ) -> InventoryReport:
        """Run the step over days."""
        with self.cascade() as cascade:
            return run_cascade(warehouse, cascade, span(first, last), now=now)


def enrichment_of(*sources: RecordingSource, off: str | None = None) -> Enrichment:
    """Return what can be asked: `sources`, all switched off if `off` says why."""
    return Enrichment([SourceState(source, off) for source in sources], HttpClient(), Settings(offline=True))


def run_cascade(
    warehouse: Warehouse,
    cascade: Cascade,
    days: DayRange,
    *,
    now: datetime = NOW,
    on_progress: OnProgress = unheard,
) -> InventoryReport:
    """Run the step over days, with the database as ledger."""
    ledger = WarehouseCache(warehouse, day=now.date())
    return enrich_addresses(warehouse, cascade, days, ledger=ledger, now=now, on_progress=on_progress)
