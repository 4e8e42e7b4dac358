"""A database of the older, session-level layout, made from a seed, that holds every malformation and says how many.

The kinds of trouble are those that such databases have been seen with. What is written is counted while it is written,
so that a test can compare without reading anything by the code that it tests.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, create_engine, text

from cowrie_pipeline.warehouse.engine import database_url

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
OF_AN_EARLIER_AGE = timedelta(days=400)
_AT_ONCE = 5_000

_SCHEMA = {
    "session_summaries": """
        session_id {text}, first_event_at {time}, last_event_at {time}, event_count INTEGER, command_count INTEGER,
        login_attempts INTEGER, file_downloads INTEGER, vt_flagged {bool}, dshield_flagged {bool}, risk_score INTEGER,
        matcher {text}, source_files {json}, username {text}, enrichment {json}, updated_at {time},
        source_ip {text}, snapshot_asn BIGINT, snapshot_country {text}, snapshot_ip_type {text}, enrichment_at {time},
        operator_note {text}
    """,
    "ip_inventory": """
        ip_address {text}, current_asn BIGINT, asn_last_verified {time}, first_seen {time}, last_seen {time},
        session_count INTEGER, enrichment {json}, enrichment_updated_at {time}
    """,
    "asn_inventory": """
        asn_number BIGINT, organization_name {text}, organization_country {text}, rir_registry {text},
        unique_ip_count INTEGER, total_session_count INTEGER, first_seen {time}
    """,
    "files": """
        shasum {text}, filename {text}, size BIGINT, first_seen {time}, vt_malicious INTEGER, vt_description {text},
        vt_checked_at {time}
    """,
}
_TYPES = {
    "sqlite": {"text": "TEXT", "time": "TEXT", "json": "TEXT", "bool": "BOOLEAN"},
    "postgresql": {"text": "VARCHAR", "time": "TIMESTAMP", "json": "JSON", "bool": "BOOLEAN"},
}


@dataclass
class MadeLegacy:
    """What was written: rows by table, rows that cannot be read by reason, sessions by the basis of their snapshot."""

    rows: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _SCHEMA})
    bases: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sessions_of: Counter[str] = field(default_factory=Counter)
    events: int = 0


@dataclass
class _Maker:
    dialect: str
    random: Random
    addresses: int
    made: MadeLegacy

    def address(self, number: int) -> str:
        number %= self.addresses
        return f"45.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def asn(self, number: int) -> int:
        return 1000 + number % self.addresses % 700


Session = dict[str, Any]
_Kind = Callable[[_Maker, int, Session], None]


def good_document(maker: _Maker, number: int, **maxmind: Any) -> dict[str, Any]:
    """Return a document as the older layout has it; as many are alike as share an address."""
    asn = maker.asn(number)
    return {
        "maxmind": {"asn": asn, "asn_org": f"Network {asn}", "country": "FR", "city": "Paris"} | maxmind,
        "cymru": {"asn": asn, "country": "FR", "registry": "ripencc", "prefix": "45.0.0.0/16"},
        "greynoise": {"noise": True, "riot": False, "classification": "malicious", "last_seen": "2025-01-01"},
        "dshield": {"ip": {"count": "5", "attacks": None, "ascountry": "FR", "as": asn}},
        "validation": {"is_bogon": False},
    }


def _document(change: Callable[[dict[str, Any]], Any]) -> _Kind:
    def kind(maker: _Maker, number: int, session: Session) -> None:
        document = good_document(maker, number)
        changed = change(document)
        session["enrichment"] = json.dumps(document if changed is None else changed)

    return kind


def _column(**values: Any) -> _Kind:
    def kind(maker: _Maker, number: int, session: Session) -> None:
        session.update(values)

    return kind


def _unknown_address(maker: _Maker, number: int, session: Session) -> None:
    session["source_ip"] = f"46.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _mapped(maker: _Maker, number: int, session: Session) -> None:
    session["source_ip"] = f"::ffff:{maker.address(number)}"


def _snapshot(enriched_after: timedelta | None, **more: Any) -> _Kind:
    def kind(maker: _Maker, number: int, session: Session) -> None:
        session |= {
            "snapshot_asn": maker.asn(number),
            "snapshot_country": "DE",
            "snapshot_ip_type": "DATACENTER",
        } | more
        session["enrichment"] = None
        session["enrichment_at"] = (
            None if enriched_after is None else _time(session["began"] + enriched_after, maker.dialect)
        )

    return kind


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], Any]:
    def change(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return change


# name: what is done to the session, and the basis of the snapshot that must come of it
KINDS: dict[str, tuple[_Kind, str]] = {
    "good, and enriched on the same day": (_document(_set("validation", to={"is_bogon": False})), "observed"),
    "enrichment is JSON null": (_column(enrichment="null"), "late"),
    "enrichment is a string": (_column(enrichment='"x"'), "late"),
    "enrichment is a number": (_column(enrichment="42"), "late"),
    "enrichment is a list": (_column(enrichment="[]"), "late"),
    "enrichment is SQL NULL": (_column(enrichment=None), "late"),
    "maxmind is a string": (_column(enrichment='{"maxmind": "x"}'), "late"),
    "missing blocks": (_column(enrichment="{}"), "late"),
    "numeric asn_org": (_document(_set("maxmind", "asn_org", to=123)), "observed"),
    "country XX": (_document(_set("maxmind", "country", to="XX")), "observed"),
    "country ''": (_document(_set("maxmind", "country", to="")), "observed"),
    "country {}": (_document(_set("maxmind", "country", to={})), "observed"),
    "ASN of 32 bits": (_document(_set("maxmind", "asn", to=4_200_000_001)), "observed"),
    "ASN of 64 bits": (_document(_set("maxmind", "asn", to=2**40)), "observed"),
    "negative counts": (_column(command_count=-3, file_downloads=-1), "observed"),
    "NUL in user names": (_document(_set("username", to="\0root")), "observed"),
    "address types as a list": (_document(_set("spur", to={"ip_types": ["DATACENTER", "VPN"]})), "observed"),
    "malformed last_seen": (_document(_set("greynoise", "last_seen", to="last tuesday")), "observed"),
    "no address": (_column(source_ip=None), "none"),
    "an address that the inventory lacks": (_unknown_address, "observed"),
    "an IPv4-mapped address": (_mapped, "observed"),
    "a host name": (_column(source_ip="scanner.example.net"), "none"),
    "a risk score": (_column(risk_score=97, vt_flagged=True, matcher="mirai"), "observed"),
    "no time of enrichment": (_column(enrichment_at=None), "late"),
    "a snapshot, enriched at once": (_snapshot(timedelta(hours=1)), "observed"),
    "a snapshot, enriched a year later": (_snapshot(OF_AN_EARLIER_AGE), "late"),
    "a snapshot, and no time": (_snapshot(None), "late"),
    "a snapshot of XX": (
        _snapshot(timedelta(0), snapshot_country="XX", snapshot_ip_type='["MOBILE","PROXY"]'),
        "observed",
    ),
    "the times exchanged": (_column(), "observed"),
}
# what takes part in no session here
UNUSABLE = {"no session id": "no session id", "an empty session id": "no session id", "no time": "no time"}
TIMES_SQLITE_ONLY = ("malformed times",)


def write_legacy(url: str, *, sessions: int, seed: int = 1, leave_out: tuple[str, ...] = ()) -> MadeLegacy:
    """Write a database with about `sessions` sessions; `leave_out` names tables that it lacks."""
    parsed = database_url(url)
    engine = create_engine(parsed)
    dialect = parsed.get_backend_name()
    made = MadeLegacy()
    maker = _Maker(dialect, Random(seed), max(20, sessions // 5), made)
    writers = {
        "session_summaries": _sessions(maker, sessions),
        "ip_inventory": _addresses(maker),
        "asn_inventory": _networks(maker),
        "files": _files(maker, max(12, sessions // 100)),
    }
    with engine.begin() as connection:
        for table, columns in _SCHEMA.items():
            if table not in leave_out:
                connection.execute(text(f"CREATE TABLE {table} ({columns.format(**_TYPES[dialect])})"))
                _insert(connection, table, writers[table], made)
        if "session_summaries" not in leave_out:
            connection.execute(text("CREATE INDEX session_ids ON session_summaries (session_id)"))
    engine.dispose()
    return made


def _insert(connection: Connection, table: str, rows: Iterator[dict[str, Any]], made: MadeLegacy) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        made.rows[table] += 1
        if len(batch) == _AT_ONCE:
            _insert_batch(connection, table, batch)
            batch = []
    if batch:
        _insert_batch(connection, table, batch)


def _insert_batch(connection: Connection, table: str, batch: list[dict[str, Any]]) -> None:
    names = [name for name in batch[0] if name != "began"]
    marks = ", ".join(f":{name}" for name in names)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"), batch)


def _time(time: datetime, dialect: str) -> Any:
    """Return a time as the older layout has it: without its zone."""
    naive = time.replace(tzinfo=None)
    return naive if dialect == "postgresql" else naive.isoformat(" ")


def _sessions(maker: _Maker, number_of: int) -> Iterator[Session]:
    made, dialect = maker.made, maker.dialect
    names = [*KINDS, *UNUSABLE, "twice", *(TIMES_SQLITE_ONLY if dialect == "sqlite" else ())]
    for number in range(number_of):
        name = names[number % len(names)]
        made.kinds[name] += 1
        began = FIRST + timedelta(minutes=number)
        ended = began + timedelta(seconds=maker.random.randrange(1, 900))
        session: Session = {
            "session_id": f"{number:012x}",
            "first_event_at": _time(began, dialect),
            "last_event_at": _time(ended, dialect),
            "event_count": 3 + number % 20,
            "command_count": number % 5,
            "login_attempts": number % 4,
            "file_downloads": int(number % 10 == 0),
            "vt_flagged": False,
            "dshield_flagged": False,
            "risk_score": number % 50,
            "matcher": None,
            "source_files": '["cowrie.json.2025-01-01"]',
            "username": "root",
            "enrichment": json.dumps(good_document(maker, number)),
            "updated_at": _time(ended, dialect),
            "source_ip": maker.address(number),
            "snapshot_asn": None,
            "snapshot_country": None,
            "snapshot_ip_type": None,
            "enrichment_at": _time(began + timedelta(hours=3), dialect),
            "operator_note": "not for us",
            "began": began,
        }
        if name in KINDS:
            kind, basis = KINDS[name]
            kind(maker, number, session)
            if name == "the times exchanged":
                session["first_event_at"], session["last_event_at"] = (
                    session["last_event_at"],
                    session["first_event_at"],
                )
            if name == "NUL in user names" and dialect == "sqlite":
                session["username"] = "\0root"
            made.bases[basis] += 1
        elif name in UNUSABLE:
            made.skipped["session_summaries"][UNUSABLE[name]] += 1
            if name == "no time":
                session["first_event_at"] = session["last_event_at"] = None
            else:
                session["session_id"] = None if name == "no session id" else ""
        elif name == "twice":
            made.skipped["session_summaries"]["the same again"] += 1
            made.bases["observed"] += 1
            yield session | {"event_count": 1}
        else:
            session["last_event_at"] = "the day before yesterday"
            made.bases["observed"] += 1
        if name not in UNUSABLE:
            made.events += session["event_count"]
            if (address := session["source_ip"]) is not None and not address.startswith("scanner"):
                made.sessions_of[address.removeprefix("::ffff:")] += 1
        yield session


def _addresses(maker: _Maker) -> Iterator[dict[str, Any]]:
    dialect = maker.dialect
    documents: list[Any] = [None, "null", '"x"', "7", '{"maxmind": "x"}', "{}"]
    for number in range(maker.addresses):
        verified = FIRST + timedelta(hours=number % 1000)
        # every address has what sessions without any document need: a network that the column or the document names
        enrichment = (
            documents[number % 20] if number % 20 < len(documents) else json.dumps(good_document(maker, number))
        )
        yield {
            "ip_address": maker.address(number),
            "current_asn": maker.asn(number),
            "asn_last_verified": _time(verified, dialect),
            "first_seen": _time(FIRST, dialect),
            "last_seen": _time(verified, dialect),
            "session_count": 5,
            "enrichment": enrichment,
            "enrichment_updated_at": _time(verified, dialect),
        }
    never_seen = [("::ffff:45.0.0.1", 1001), ("2001:db8::5", 4_200_000_002), ("9.9.9.9", 2**33), ("8.8.8.8", None)]
    for address, asn in never_seen:
        yield {
            "ip_address": address,
            "current_asn": asn,
            "asn_last_verified": None,
            "first_seen": _time(FIRST, dialect),
            "last_seen": None,
            "session_count": -1,
            "enrichment": '{"greynoise": {"noise": false, "riot": false}}',
            "enrichment_updated_at": None,
        }
    for unusable in ("localhost.example.net", None):
        maker.made.skipped["ip_inventory"]["no IP address"] += 1
        yield {
            "ip_address": unusable,
            "current_asn": None,
            "asn_last_verified": None,
            "first_seen": None,
            "last_seen": None,
            "session_count": 0,
            "enrichment": None,
            "enrichment_updated_at": None,
        }


def _networks(maker: _Maker) -> Iterator[dict[str, Any]]:
    # not all: some are named by addresses and sessions alone
    for asn in (*range(1000, 1400), 4_200_000_001):
        yield {
            "asn_number": asn,
            "organization_name": f"Network {asn}",
            "organization_country": ("FR", "XX", "", None)[asn % 4],
            "rir_registry": ("RIPENCC", None)[asn % 2],
            "unique_ip_count": 0,
            "total_session_count": 0,
            "first_seen": _time(FIRST, maker.dialect),
        }
    for asn_number in (2**40, -1, 0):
        maker.made.skipped["asn_inventory"]["no AS number from 1 to 4294967295"] += 1
        yield {
            "asn_number": asn_number,
            "organization_name": "nobody",
            "organization_country": None,
            "rir_registry": None,
            "unique_ip_count": 0,
            "total_session_count": 0,
            "first_seen": None,
        }


def _files(maker: _Maker, number_of: int) -> Iterator[dict[str, Any]]:
    for number in range(number_of):
        kind = number % 6
        shasum: str | None = f"{number:064x}"
        if kind == 1:
            shasum = f"{number:x}".rjust(64, "a").upper()
        elif kind in (2, 3):
            maker.made.skipped["files"]["no SHA-256"] += 1
            shasum = ("not a hash", None)[kind - 2]
            if kind == 2:
                shasum = f"{shasum} {number}"
        yield {
            "shasum": shasum,
            "filename": "x\0.sh" if maker.dialect == "sqlite" and kind == 4 else "x.sh",
            "size": -1 if kind == 5 else number,
            "first_seen": _time(FIRST, maker.dialect),
            "vt_malicious": number if kind == 0 else None,
            "vt_description": "ELF",
            "vt_checked_at": _time(FIRST, maker.dialect) if kind == 0 else None,
        }
