"""The catalog of metrics: each instrument declared once, with the values that its labels can have.

Belongs here: name, kind, unit, labels and their bounds, buckets, meaning.
Does not belong here: counting (metrics.py), keeping counts (the warehouse), asking for gauges and serving (the steps).

No label has values that the world chooses: an address, a password, a session or a text out of a log is never one. What
is not among a label's values is counted as `other`, and what is not known as `unknown`, so that the number of series
has a bound whatever attackers, services and files say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CATALOG", "OTHER", "UNKNOWN", "Instrument", "Kind", "Label"]

OTHER = "other"
UNKNOWN = "unknown"


class Kind(StrEnum):
    """What an instrument is: a sum that only grows, a value that is asked for, or a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A label, and the values that it has beside `other` and `unknown`."""

    name: str
    values: frozenset[str]

    def bounded(self, value: str | None) -> str:
        """Return a value that is among the label's own, whatever is given."""
        if value is None or value == UNKNOWN:
            return UNKNOWN
        return value if value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric. `name` is that of OpenTelemetry; `unit` is UCUM's; `buckets` are upper bounds, ascending."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[Label, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def family(self) -> str:
        """The name in Prometheus, to which a counter's samples add `_total`."""
        return self.name.replace(".", "_")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in their order."""
        return tuple(label.name for label in self.labels)

    @property
    def most_series(self) -> int:
        """The bound on the combinations of values of the labels."""
        series = 1
        for label in self.labels:
            series *= len(label.values) + 2
        return series

    def bounded(self, labels: Mapping[str, str | None]) -> tuple[str, ...]:
        """Return a value for each label, in their order, none of which is out of bounds.

        Raises:
            KeyError: a label is missing; `labels` must have each, and no other.
        """
        if len(labels) != len(self.labels):
            raise KeyError(f"expected the labels {', '.join(self.label_names)} of {self.name}, found {list(labels)}")
        return tuple([label.bounded(labels[label.name]) for label in self.labels])


def _label(name: str, values: Iterable[str]) -> Label:
    return Label(name, frozenset(values))


# ISO 3166-1 alpha-2, the 249 codes that are assigned, by their first letter.
_COUNTRIES = tuple(
    first + second
    for first, rest in {
        "A": "DEFGILMOQRSTUWXZ",
        "B": "ABDEFGHIJLMNOQRSTVWYZ",
        "C": "ACDFGHIKLMNORUVWXYZ",
        "D": "EJKMOZ",
        "E": "CEGHRST",
        "F": "IJKMOR",
        "G": "ABDEFGHILMNPQRSTUWY",
        "H": "KMNRTU",
        "I": "DELMNOQRST",
        "J": "EMOP",
        "K": "EGHIMNPRWYZ",
        "L": "ABCIKRSTUVY",
        "M": "ACDEFGHKLMNOPQRSTUVWXYZ",
        "N": "ACEFGILOPRUZ",
        "O": "M",
        "P": "AEFGHKLMNRSTWY",
        "Q": "A",
        "R": "EOSUW",
        "S": "ABCDEGHIJKLMNORSTVXYZ",
        "T": "CDFGHJKLMNORTVWZ",
        "U": "AGMSYZ",
        "V": "ACEGINU",
        "W": "FS",
        "Y": "ET",
        "Z": "AMW",
    }.items()
    for second in rest
)
_SERVICES = (
    *("maxmind", "cymru", "tor", "spamhaus_drop", "dshield_research", "greynoise", "dshield", "urlhaus", "abuseipdb"),
    *("spur", "internetdb", "cymru_asn", "rir", "spamhaus_asndrop", "virustotal", "pwned_passwords"),
)
_WINDOWS = ("1s", "10s", "1m", "5m", "10m", "15m", "1h", "6h", "12h", "1d", "7d", "30d", "31d")
_ASSETS = (
    *("raw_sessions", "ip_inventory", "asn_inventory", "session_snapshots", "asn_session_counts", "file_reputation"),
    *("password_exposure", "stale_enrichment", "reconciled_inventories", "downloaded_lists", "attack_report"),
    "attack_report_30_days",
)
# Pieces of work that are journaled: most are named after their asset.
_STEPS = (
    *(asset for asset in _ASSETS if asset != "asn_inventory"),
    *("scan_logs", "clean_up_cache", "retention", "retention_of_runs", "refresh", "passwords"),
)

COUNTRY = _label("country", _COUNTRIES)
RIR = _label("rir", ("afrinic", "apnic", "arin", "lacnic", "ripencc"))
# `imported` is an earlier database, of which nobody knows who told it.
SOURCE = _label("source", (*_SERVICES, "imported"))
SERVICE = _label("service", _SERVICES)
UPDATE_TYPE = _label("update_type", ("metadata_enrichment", "timestamp_refresh"))
OPERATION = _label("operation", ("create", "update"))
OUTCOME = _label("outcome", ("hit", "not_found", "error", "rate_limited", "skipped_budget", "not_applicable"))
REASON = _label(
    "reason",
    (
        *("not_json", "cut", "not_an_object", "no_event_id", "no_timestamp", "bad_timestamp", "bad_encoding"),
        *("too_long", "not_a_cowrie_log"),
    ),
)
PROTOCOL = _label("protocol", ("ssh", "telnet"))
LAYER = _label("layer", ("document", "database", "disk"))
RESULT = _label("result", ("hit", "miss"))
WINDOW = _label("window", _WINDOWS)
TABLE = _label("table", ("ip_inventory", "asn_inventory", "session_summaries"))
FIELD = _label(
    "field",
    (
        *("current_asn", "geo_country", "geo_city", "ip_type", "is_scanner", "organization_name"),
        *("organization_country", "rir_registry", "asn_type", "snapshot_basis", "snapshot_asn", "snapshot_country"),
    ),
)
ADDRESS_STATE = _label("state", ("total", "stale", "bogon"))
BASIS = _label("basis", ("observed", "historical", "late"))
STEP = _label("step", _STEPS)
FILE = _label("file", ("city", "country", "asn"))
LIST = _label(
    "list",
    (
        *("geolite2_city", "geolite2_asn", "dbip_city", "dbip_asn", "tor_exits", "spamhaus_drop_v4"),
        *("spamhaus_drop_v6", "spamhaus_asndrop", "dshield_research", "rir_afrinic", "rir_apnic", "rir_arin"),
        *("rir_lacnic", "rir_ripe"),
    ),
)
ASSET = _label("asset", _ASSETS)
RECEIVER = _label("receiver", ("webhook", "slack", "ntfy", "email"))
SEVERITY = _label("severity", ("warn", "error"))

_OPERATION_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
_LOOKUP_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)
_STEP_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

RECORDS_CREATED = Instrument(
    "asn_inventory.records_created",
    Kind.COUNTER,
    "{network}",
    (SOURCE, COUNTRY, RIR),
    "Networks that got a row, by the source of their name (else of their country or registry), country and registry.",
)
RECORDS_UPDATED = Instrument(
    "asn_inventory.records_updated",
    Kind.COUNTER,
    "{network}",
    (SOURCE, UPDATE_TYPE),
    "Networks met that had a row: metadata_enrichment if a fact of theirs was filled in or replaced, else "
    "timestamp_refresh.",
)
TOTAL_COUNT = Instrument("asn_inventory.total_count", Kind.GAUGE, "{network}", (), "Networks in the inventory.")
OPERATION_DURATION = Instrument(
    "asn_inventory.operation_duration_ms",
    Kind.HISTOGRAM,
    "ms",
    (OPERATION,),
    "What writing one network took: networks are written many at once, so each counts with its share of the batch.",
    _OPERATION_MS,
)
WITH_METADATA = Instrument(
    "asn_inventory.with_metadata_count",
    Kind.GAUGE,
    "{network}",
    (),
    "Networks of which name, country and registry are known.",
)
BY_RIR = Instrument("asn_inventory.by_rir_count", Kind.GAUGE, "{network}", (RIR,), "Networks by registry.")

LINES_READ = Instrument("cowrie.lines_read", Kind.COUNTER, "{line}", (), "Lines read from log files.")
EVENTS_READ = Instrument("cowrie.events_read", Kind.COUNTER, "{event}", (), "Lines read that were new events.")
DUPLICATES_READ = Instrument(
    "cowrie.duplicates_read", Kind.COUNTER, "{line}", (), "Lines read that were known from this or another file."
)
DEAD_LETTERS = Instrument(
    "cowrie.dead_letters",
    Kind.COUNTER,
    "{line}",
    (REASON,),
    "Lines read that could not be understood. Half a line whose other half came later stays counted.",
)
SESSIONS = Instrument("cowrie.sessions", Kind.GAUGE, "{session}", (PROTOCOL,), "Sessions by protocol.")
SNAPSHOTS = Instrument(
    "cowrie.snapshots",
    Kind.GAUGE,
    "{session}",
    (BASIS,),
    "Sessions by what the snapshot of their address is worth; unknown: none taken yet.",
)
LOOKUPS = Instrument(
    "cowrie.lookups", Kind.COUNTER, "{lookup}", (SERVICE, OUTCOME), "Look-ups that were made or decided, by outcome."
)
LOOKUP_DURATION = Instrument(
    "cowrie.lookup_duration_ms",
    Kind.HISTOGRAM,
    "ms",
    (SERVICE,),
    "How long a service on the network took to answer one question.",
    _LOOKUP_MS,
)
CACHE_REQUESTS = Instrument(
    "cowrie.cache_requests",
    Kind.COUNTER,
    "{request}",
    (LAYER, RESULT),
    "Facts wanted of a layer of memory: the address's own document, the look-ups in the database, files on disk.",
)
BUDGET_USED = Instrument(
    "cowrie.budget_used",
    Kind.GAUGE,
    "{call}",
    (SERVICE, WINDOW),
    "Calls of a service's quota that are used in the window that ends now.",
)
BUDGET_LIMIT = Instrument(
    "cowrie.budget_limit",
    Kind.GAUGE,
    "{call}",
    (SERVICE, WINDOW),
    "Calls that a service's quota allows in a window.",
)
COVERAGE = Instrument(
    "cowrie.coverage_ratio",
    Kind.GAUGE,
    "1",
    (TABLE, FIELD),
    "Share, 0 to 1, of the rows of the newest 14 days with sessions that know a field.",
)
ADDRESSES = Instrument(
    "cowrie.addresses",
    Kind.GAUGE,
    "{address}",
    (ADDRESS_STATE,),
    "Addresses: all of them, those of which a fact must be asked again, and bogons.",
)
STEP_DURATION = Instrument(
    "cowrie.step_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    (STEP,),
    "How long a piece of work took that came to its end.",
    _STEP_SECONDS,
)
GEOIP_AGE = Instrument(
    "cowrie.geoip_age_seconds",
    Kind.GAUGE,
    "s",
    (FILE,),
    "Age of the GeoIP files in use by their build dates; of several of a kind the oldest.",
)
LIST_AGE = Instrument(
    "cowrie.list_age_seconds",
    Kind.GAUGE,
    "s",
    (LIST,),
    "Time since a list that is there was last confirmed by its publisher.",
)
LAST_SUCCESS = Instrument(
    "cowrie.asset_last_success_timestamp_seconds",
    Kind.GAUGE,
    "s",
    (ASSET,),
    "When the work of an asset last came to its end, as a Unix time.",
)
RUNS_IN_PROGRESS = Instrument(
    "cowrie.runs_in_progress", Kind.GAUGE, "{run}", (), "Dagster's runs that have begun and not ended."
)
ALERTS_SENT = Instrument(
    "cowrie.alerts_sent",
    Kind.COUNTER,
    "{message}",
    (RECEIVER, SEVERITY),
    "Alerts that a receiver has taken, by the kind of receiver.",
)

CATALOG: tuple[Instrument, ...] = (
    RECORDS_CREATED,
    RECORDS_UPDATED,
    TOTAL_COUNT,
    OPERATION_DURATION,
    WITH_METADATA,
    BY_RIR,
    LINES_READ,
    EVENTS_READ,
    DUPLICATES_READ,
    DEAD_LETTERS,
    SESSIONS,
    SNAPSHOTS,
    LOOKUPS,
    LOOKUP_DURATION,
    CACHE_REQUESTS,
    BUDGET_USED,
    BUDGET_LIMIT,
    COVERAGE,
    ADDRESSES,
    STEP_DURATION,
    GEOIP_AGE,
    LIST_AGE,
    LAST_SUCCESS,
    RUNS_IN_PROGRESS,
    ALERTS_SENT,
)
