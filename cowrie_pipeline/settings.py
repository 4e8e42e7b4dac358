"""Every setting, typed; the only module that reads the environment.

Belongs here: names, types, defaults and one line of help for each setting, and how a secret is read from a file.
Does not belong here: anything that acts on a setting.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args
from urllib.parse import urlsplit

__all__ = [
    "ReceiverSettings",
    "ServiceSettings",
    "Setting",
    "Settings",
    "SettingsError",
    "describe_settings",
    "export_settings",
    "read_receivers",
]

DEFAULT_START_DATE = date(2016, 1, 1)
# With local sources alone some seconds of work, so that starting a step for them is little beside it.
_CHUNK_ADDRESSES = 5_000
DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024


# Asked by HTTP, one call per key; whether they are asked where nothing is set.
_SERVICES = {
    "greynoise": True,
    "dshield": True,
    "urlhaus": True,
    "abuseipdb": True,
    "spur": True,
    "internetdb": False,  # for non-commercial use only: its user has to say that this is one
    "virustotal": True,
    "pwned_passwords": True,
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LIMIT = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*([smhd])")
# The longest time that a setting can name: longer ones leave the calendar when they are added to a day of ours.
_MOST_DAYS = 36_500
_MOST = {
    "_days": _MOST_DAYS,
    "_hours": _MOST_DAYS * 24,
    "_minutes": _MOST_DAYS * 24 * 60,
    "_seconds": _MOST_DAYS * _SECONDS["d"],
}

_SHARES = (
    "coverage_floor",
    "coverage_drop",
    "dead_letter_share",
    "volume_low",
    "gateway_share",
    "cache_hit_drop",
    "health_failure_share",
)
_EXECUTORS = ("in_process", "multiprocess", "celery")
_RECEIVER_KINDS = ("webhook", "slack", "ntfy", "email")
_SEVERITIES = ("warn", "error")
# how a connection to a mail server is kept secret, and the port that is usual for it
_MAIL_SECURITY = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_RANGES = {
    "celery_lease_seconds": (10, 86_400),
    "alert_day_due_hour": (0, 23),
    "daily_hour": (0, 23),
    "limited_min_worth": (0, 4),
    "metrics_port": (1, 65_535),
}


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it and says what is expected."""


def _setting(variable: str, default: Any, help_text: str, *, secret: bool = False) -> Any:
    # A secret is not in what the class prints, so that no log or error that shows its settings can show it.
    metadata = {"variable": variable, "help": help_text, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What an operator can set for one service that is asked by HTTP; None leaves what the service's module says.

    `limits` are pairs of calls and seconds.
    """

    enabled: bool = _setting(
        "ENABLED", True, "Ask the service. Off by default for InternetDB alone, which is for non-commercial use."
    )
    key: str | None = _setting(
        "KEY", None, "Key for the service's API. A service that needs one is not asked without it.", secret=True
    )
    url: str | None = _setting("URL", None, "Where the service is asked, for a proxy or a server of your own.")
    limits: tuple[tuple[int, float], ...] | None = _setting(
        "LIMITS",
        None,
        "How often it may be asked by all processes together, such as `4/1m, 500/1d` (s, m, h, d). Default: what its "
        "free plan allows.",
    )
    hit_days: float | None = _setting("HIT_DAYS", None, "How long what it knows of something is good, in days.")
    negative_days: float | None = _setting(
        "NEGATIVE_DAYS", None, "How long the answer that it knows nothing is good, in days."
    )
    max_in_flight: int = _setting("MAX_IN_FLIGHT", 8, "How many calls may be open at once.")

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            SettingsError: a time or number is not above 0, or too large; the variable is named without its service.
        """
        _refuse_what_is_not_positive(self)


@dataclass(frozen=True, kw_only=True)
class ReceiverSettings:
    """One receiver of alerts, as its `[[receiver]]` in the file of COWRIE_ALERTS_FILE says.

    `severity` is the least that it gets; `assets` are those that it gets alerts of, none for all. What can hold a
    secret is not in what the class prints: the URL of a chat's webhook is one.
    """

    name: str
    kind: str
    severity: str = "warn"
    assets: tuple[str, ...] = ()
    url: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    host: str = ""
    port: int = 0
    security: str = "starttls"
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sender: str = ""
    to: tuple[str, ...] = ()
    ca_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator can set, each by one environment variable.

    Every variable can also be given as a file that holds its value, by adding `_FILE` to the name: the usual way to
    hand a password to a container.
    """

    db_url: str | None = _setting(
        "COWRIE_DB_URL",
        None,
        "Database, as an SQLAlchemy URL with the driver named: `sqlite:////srv/cowrie.db` or "
        "`postgresql+psycopg://user:password@host/name`. Default: `cowrie.db` in the state folder.",
        secret=True,
    )
    db_pool_size: int = _setting(
        "COWRIE_DB_POOL_SIZE",
        5,
        "Connections to PostgreSQL that a process keeps open for the next transaction.",
    )
    db_pool_overflow: int = _setting(
        "COWRIE_DB_POOL_OVERFLOW",
        10,
        "Connections to PostgreSQL that a process opens beyond those while it needs more at once; 0 for none.",
    )
    db_statement_timeout_seconds: float | None = _setting(
        "COWRIE_DB_STATEMENT_TIMEOUT_SECONDS",
        None,
        "How long one statement may take on PostgreSQL, in seconds, the wait for another process's turn left out. "
        "Default: as long as it takes, or what the server says.",
    )
    logs: str = _setting(
        "COWRIE_LOGS",
        "",
        "Log files, folders and globs that the assets read, separated by `:`.",
    )
    start_date: date = _setting(
        "COWRIE_START_DATE",
        DEFAULT_START_DATE,
        "First day that is a partition (UTC). Earlier events are counted and reported, not loaded.",
    )
    daily_hour: int = _setting(
        "COWRIE_DAILY_HOUR",
        2,
        "Hour of the day, 0 to 23 UTC, at which yesterday is materialized.",
    )
    watch_seconds: int = _setting(
        "COWRIE_WATCH_SECONDS",
        300,
        "How often, in seconds, the log sensor looks for new, grown and late files.",
    )
    today_minutes: int | None = _setting(
        "COWRIE_TODAY_MINUTES",
        None,
        "Materialize the running day again when lines came and this many minutes have passed. Default: not before it "
        "is over.",
    )
    keep_detail_days: int | None = _setting(
        "COWRIE_KEEP_DETAIL_DAYS",
        None,
        "Log-ins, commands, files, tunnels, client keys and the samples of dead letters older than this many days are "
        "removed; sessions, counts and the kept lines stay. Default: everything is kept.",
    )
    keep_run_days: int | None = _setting(
        "COWRIE_KEEP_RUN_DAYS",
        None,
        "Dagster's runs that ended longer ago than this many days are removed with their events. Default: all are "
        "kept.",
    )
    executor: str = _setting(
        "COWRIE_EXECUTOR",
        "in_process",
        "Who does the steps of Dagster's runs: `in_process`, the run's process; `multiprocess`, a process for each; "
        "`celery`, workers on this and other machines (docs/workers.md).",
    )
    celery_broker: str | None = _setting(
        "COWRIE_CELERY_BROKER",
        None,
        "Redis that brings steps to the workers, such as `redis://:password@host:6379/0`. Needed for `celery`.",
        secret=True,
    )
    celery_backend: str | None = _setting(
        "COWRIE_CELERY_BACKEND",
        None,
        "Redis that keeps what became of steps, for an hour, such as `redis://:password@host:6379/1`. "
        "Default: that of COWRIE_CELERY_BROKER.",
        secret=True,
    )
    celery_lease_seconds: float = _setting(
        "COWRIE_CELERY_LEASE_SECONDS",
        120.0,
        "After how many seconds without a sign of life of a worker its steps are given to another.",
    )
    chunk_addresses: int | None = _setting(
        "COWRIE_CHUNK_ADDRESSES",
        None,
        "How many addresses one step looks up; a day with more has several such steps, and several workers do them. "
        "Default: 5000, and all together where COWRIE_EXECUTOR is `in_process`.",
    )
    geoip_dir: Path | None = _setting(
        "COWRIE_GEOIP_DIR",
        None,
        "Folder with City and ASN databases in MaxMind's format (GeoLite2 or DB-IP Lite). Default: `geoip` in the "
        "state folder.",
    )
    state_dir: Path = _setting(
        "COWRIE_STATE_DIR",
        Path("var"),
        "Folder for everything that the pipeline writes: the SQLite database, Dagster's storage, GeoIP files.",
    )
    status_dir: Path | None = _setting(
        "COWRIE_STATUS_DIR",
        None,
        "Folder of the files that show what is done now (docs/status.md). Default: `status` in the state folder.",
    )
    cymru_enabled: bool = _setting(
        "COWRIE_CYMRU_ENABLED",
        True,
        "Ask Team Cymru by DNS for the origin ASN of addresses that MaxMind does not know.",
    )
    cymru_resolver: str | None = _setting(
        "COWRIE_CYMRU_RESOLVER",
        None,
        "DNS resolver to ask, as `address` or `address:port` (`[address]:port` for IPv6). Default: the system's.",
    )
    cymru_max_in_flight: int = _setting(
        "COWRIE_CYMRU_MAX_IN_FLIGHT",
        200,
        "How many DNS questions may be open at once.",
    )
    cymru_timeout_seconds: float = _setting(
        "COWRIE_CYMRU_TIMEOUT_SECONDS",
        2.0,
        "How long one DNS question waits for its answer; it is asked three times at most.",
    )
    cymru_hit_days: float = _setting(
        "COWRIE_CYMRU_HIT_DAYS",
        90.0,
        "How long an answer of Team Cymru is good, in days.",
    )
    cymru_negative_days: float = _setting(
        "COWRIE_CYMRU_NEGATIVE_DAYS",
        7.0,
        "How long the answer `not routed` of Team Cymru is good, in days.",
    )
    cymru_whois: str = _setting(
        "COWRIE_CYMRU_WHOIS", "whois.cymru.com:43", "Whois server of Team Cymru, as `host:port`, for large batches."
    )
    cymru_whois_threshold: int = _setting(
        "COWRIE_CYMRU_WHOIS_THRESHOLD",
        1000,
        "From how many addresses on Team Cymru is asked by whois instead of DNS, as it wants; 0 for never.",
    )
    services: Mapping[str, ServiceSettings] = field(
        default_factory=lambda: MappingProxyType(
            {name: ServiceSettings(enabled=enabled) for name, enabled in _SERVICES.items()}
        ),
        metadata={"variable": None},
    )
    offline: bool = _setting(
        "COWRIE_OFFLINE",
        False,
        "Ask nobody outside this machine, whatever else is set: only files on disk are looked at.",
    )
    contact: str | None = _setting(
        "COWRIE_CONTACT",
        None,
        "E-mail address or URL that services are told in the User-Agent. DShield is not asked without it.",
    )
    enrichment_policy: tuple[str, ...] = _setting(
        "COWRIE_ENRICHMENT_POLICY",
        (),
        "Sources of facts on addresses in the order in which they are asked, separated by commas; one that is left out "
        "is not asked. Default: the order in `cowrie-enrich sources`.",
    )
    limited_min_worth: int = _setting(
        "COWRIE_LIMITED_MIN_WORTH",
        1,
        "Services with limits or prices are asked about addresses worth at least this: 0 any, 1 tried to log in, "
        "2 logged in or entered commands, 3 both, 4 moved files.",
    )
    patience_seconds: float = _setting(
        "COWRIE_PATIENCE_SECONDS",
        60.0,
        "How long a batch waits for a service's pace; what is left then is skipped and asked in a later run.",
    )
    source_seconds: float = _setting(
        "COWRIE_SOURCE_SECONDS",
        600.0,
        "How long a run may be busy with one service on the network; what is left then is asked in a later run.",
    )
    cache_mode: str = _setting(
        "COWRIE_CACHE_MODE",
        "database",
        "Where answers are kept: `database`, or `hybrid`: the database first, then files below COWRIE_CACHE_DIR, in "
        "the layout of earlier installations.",
    )
    cache_dir: Path | None = _setting(
        "COWRIE_CACHE_DIR", None, "Folder of the files of a hybrid cache. Default: `cache` in the state folder."
    )
    cache_keep_days: float = _setting(
        "COWRIE_CACHE_KEEP_DAYS",
        180.0,
        "Answers that expired longer ago than this, in days, are removed by the clean-up job.",
    )
    lists_dir: Path | None = _setting(
        "COWRIE_LISTS_DIR", None, "Folder of downloaded lists. Default: `lists` in the state folder."
    )
    lists_off: tuple[str, ...] = _setting(
        "COWRIE_LISTS_OFF", (), "Names of lists that are not downloaded, separated by commas (`cowrie-enrich lists`)."
    )
    asn_types_dir: Path | None = _setting(
        "COWRIE_ASN_TYPES_DIR",
        None,
        "Folder of CSV files that say what kind of network an AS number is: columns `asn` and `type`, `info_type` or "
        "`class`, or a file named after its type, such as `vpn.csv`. Default: none.",
    )
    maxmind_account_id: str | None = _setting(
        "COWRIE_MAXMIND_ACCOUNT_ID", None, "Account id at MaxMind, to download GeoLite2."
    )
    maxmind_license_key: str | None = _setting(
        "COWRIE_MAXMIND_LICENSE_KEY", None, "Licence key at MaxMind, to download GeoLite2.", secret=True
    )
    hash_passwords: bool = _setting(
        "COWRIE_HASH_PASSWORDS",
        False,
        "Keep tried passwords as SHA-1 only, in sessions and in the lines that are kept. Set it before the first run: "
        "what was kept before stays as it is. Half a line at a file's end or beginning is not joined with its other "
        "half then, since a part of a password cannot be hashed.",
    )
    max_line_bytes: int = _setting(
        "COWRIE_MAX_LINE_BYTES",
        DEFAULT_MAX_LINE_BYTES,
        "A longer log line is a dead letter and never held whole in memory.",
    )
    coverage_floor: float = _setting(
        "COWRIE_COVERAGE_FLOOR",
        0.95,
        "Share of rows, 0 to 1, below which the coverage of a field fails its check.",
    )
    coverage_drop: float = _setting(
        "COWRIE_COVERAGE_DROP",
        0.2,
        "How far, 0 to 1, a field's coverage on a day may fall below the mean of the seven days before.",
    )
    dead_letter_share: float = _setting(
        "COWRIE_DEAD_LETTER_SHARE",
        0.01,
        "Share of a file's lines, 0 to 1, that may be dead letters before the check fails.",
    )
    volume_days: int = _setting(
        "COWRIE_VOLUME_DAYS",
        14,
        "Of how many days before a day the median of sessions is taken, to tell silence and floods.",
    )
    volume_low: float = _setting(
        "COWRIE_VOLUME_LOW", 0.2, "Share of that median, 0 to 1, below which a day's sessions are too few; 0 for never."
    )
    volume_high: float = _setting(
        "COWRIE_VOLUME_HIGH", 10.0, "How many times that median a day's sessions may be before they are too many."
    )
    volume_least: int = _setting(
        "COWRIE_VOLUME_LEAST",
        50,
        "Volume and gateways are not judged of sensors that usually have fewer sessions a day than this.",
    )
    gateway_share: float = _setting(
        "COWRIE_GATEWAY_SHARE",
        0.9,
        "Share of a sensor's sessions of a day, 0 to 1, that one private address may have before it is taken for a "
        "gateway.",
    )
    clock_skew_minutes: float = _setting(
        "COWRIE_CLOCK_SKEW_MINUTES",
        5.0,
        "How far ahead of this machine's clock, in minutes, the times of events may be when they are read.",
    )
    geoip_note_days: float = _setting(
        "COWRIE_GEOIP_NOTE_DAYS",
        7.0,
        "From which age on, in days, a GeoIP file is noted as old; one that is published monthly (DB-IP) 31 later.",
    )
    geoip_warn_days: float = _setting(
        "COWRIE_GEOIP_WARN_DAYS",
        14.0,
        "From which age on, in days, an old GeoIP file fails its check; one that is published monthly 31 later.",
    )
    asn_rate: float = _setting(
        "COWRIE_ASN_RATE", 100.0, "How many networks a minute may be created for COWRIE_ASN_RATE_MINUTES."
    )
    asn_rate_minutes: float = _setting(
        "COWRIE_ASN_RATE_MINUTES", 10.0, "Over how many minutes the creation of networks is averaged."
    )
    cache_hit_drop: float = _setting(
        "COWRIE_CACHE_HIT_DROP",
        0.3,
        "How far, 0 to 1, the share of look-ups that the cache answers may fall in a week below that of the four "
        "weeks before.",
    )
    metrics: bool = _setting(
        "COWRIE_METRICS",
        True,
        "Count what the work does, for `cowrie-pipeline metrics` and OpenTelemetry.",
    )
    metrics_port: int = _setting(
        "COWRIE_METRICS_PORT", 9464, "Port on which `cowrie-pipeline metrics` serves Prometheus."
    )
    metrics_seconds: float = _setting(
        "COWRIE_METRICS_SECONDS",
        15.0,
        "For how long `cowrie-pipeline metrics` keeps what it asked of the tables, in seconds; what took long to ask "
        "is kept for twenty times as long.",
    )
    alerts_file: Path | None = _setting(
        "COWRIE_ALERTS_FILE",
        None,
        "TOML file that names who is told of trouble, a `[[receiver]]` each (docs/alerts.md). Without it nobody is.",
    )
    ui_url: str | None = _setting(
        "COWRIE_UI_URL",
        None,
        "Where people open Dagster's UI, such as `https://dagster.example.org`: alerts link to the run there.",
    )
    docs_url: str | None = _setting(
        "COWRIE_DOCS_URL",
        None,
        "Where people read the folder `docs` of this project, such as `https://git.example.org/cowrie/blob/main/docs`: "
        "Dagster's UI and alerts link to its pages there. Default: they name the files.",
    )
    alert_repeat_hours: float = _setting(
        "COWRIE_ALERT_REPEAT_HOURS", 24.0, "How long after an alert it is repeated while the trouble lasts, in hours."
    )
    alert_day_due_hour: int = _setting(
        "COWRIE_ALERT_DAY_DUE_HOUR", 6, "Hour, 0 to 23 UTC, from which on the day before is late if it is not there."
    )
    alert_stale_hours: float = _setting(
        "COWRIE_ALERT_STALE_HOURS", 48.0, "How long nothing new may be written to the database, in hours."
    )
    alert_budget_share: float = _setting(
        "COWRIE_ALERT_BUDGET_SHARE", 0.9, "Share of a service's quota, above 0 to 1, from which on it is nearly spent."
    )
    alert_silent_minutes: float = _setting(
        "COWRIE_ALERT_SILENT_MINUTES",
        30.0,
        "How long a sensor of Dagster may go without a tick that ends well, in minutes; never less than three of its "
        "own intervals.",
    )
    otlp_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "Collector of OpenTelemetry that spans and metrics are sent to by OTLP/HTTP, such as `http://localhost:4318`; "
        "it needs the extra `otel`. The other variables of the OpenTelemetry SDK (`OTEL_*`) hold as well. Default: "
        "nothing is sent.",
    )
    otlp_traces_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        None,
        "The whole URL that spans are sent to. Default: `/v1/traces` at the collector.",
    )
    otlp_metrics_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        None,
        "The whole URL that metrics are sent to. Default: `/v1/metrics` at the collector.",
    )
    otlp_headers: str | None = _setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        None,
        "Headers for the collector, such as `authorization=Bearer%20abc`, separated by commas.",
        secret=True,
    )
    otlp_protocol: str = _setting(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        "The protocol of the collector. Nothing is sent where it is another: no other is spoken here.",
    )
    otel_disabled: bool = _setting("OTEL_SDK_DISABLED", False, "Send nothing, whatever else is set.")

    health_disk_warn_mb: float = _setting(
        "COWRIE_HEALTH_DISK_WARN_MB",
        5_000.0,
        "`health` warns when less room, in megabytes, is left on a disk that the pipeline writes to.",
    )
    health_disk_critical_mb: float = _setting(
        "COWRIE_HEALTH_DISK_CRITICAL_MB", 1_000.0, "Below this much room, in megabytes, `health` is critical."
    )
    health_failure_share: float = _setting(
        "COWRIE_HEALTH_FAILURE_SHARE",
        0.1,
        "Share of a service's calls since yesterday, 0 to 1, above which `health` warns if they failed.",
    )
    health_stuck_minutes: float = _setting(
        "COWRIE_HEALTH_STUCK_MINUTES",
        180.0,
        "How long work may go without a sign of progress before `health` takes it for stuck, in minutes.",
    )
    health_queue_minutes: float = _setting(
        "COWRIE_HEALTH_QUEUE_MINUTES",
        60.0,
        "How long a run may wait in Dagster's queue before `health` warns, in minutes.",
    )
    health_seconds: float = _setting(
        "COWRIE_HEALTH_SECONDS",
        10.0,
        "How long each check of `health` may take, in seconds; one that takes longer is told as such.",
    )

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            SettingsError: a share is not between 0 and 1, a size, time or number of days is not above 0 or too large,
                or a text is none of those that are known.
        """
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{_variable(self, name)} must be between 0 and 1, found {getattr(self, name)}")
        if not self.alert_budget_share <= 1:
            raise SettingsError(f"COWRIE_ALERT_BUDGET_SHARE must be at most 1, found {self.alert_budget_share}")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                found = getattr(self, name)
                raise SettingsError(f"{_variable(self, name)} must be from {least} to {most}, found {found}")
        if self.health_disk_critical_mb > self.health_disk_warn_mb:
            raise SettingsError(
                f"COWRIE_HEALTH_DISK_CRITICAL_MB must not be above COWRIE_HEALTH_DISK_WARN_MB, found "
                f"{self.health_disk_critical_mb:g} and {self.health_disk_warn_mb:g}"
            )
        for name in ("ui_url", "docs_url"):
            url = getattr(self, name)
            if url is not None and not _is_plain_web_url(url):
                # not shown: it may hold a password
                raise SettingsError(f"{_variable(self, name)} must be http(s)://host/..., without user or password")
        if self.db_pool_overflow < 0:
            raise SettingsError(f"COWRIE_DB_POOL_OVERFLOW must not be below 0, found {self.db_pool_overflow}")
        if self.cymru_whois_threshold < 0:
            raise SettingsError(f"COWRIE_CYMRU_WHOIS_THRESHOLD must not be below 0, found {self.cymru_whois_threshold}")
        _refuse_bad_executor(self)
        if self.cache_mode not in ("database", "hybrid"):
            raise SettingsError(f"COWRIE_CACHE_MODE must be database or hybrid, found {self.cache_mode!r}")
        host, _, port = self.cymru_whois.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise SettingsError(f"COWRIE_CYMRU_WHOIS must be host:port, found {self.cymru_whois!r}")
        zeroes = (
            *_SHARES,
            "limited_min_worth",
            "db_pool_overflow",
            "cymru_whois_threshold",
            "daily_hour",
            "alert_day_due_hour",
        )
        _refuse_what_is_not_positive(self, but=zeroes)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every setting from `environment`.

        Raises:
            SettingsError: a value does not fit its type, or a `_FILE` cannot be read.
        """
        values = _values_of(cls, "", environment)
        values["services"] = MappingProxyType(
            {name: _service_settings(name, enabled, environment) for name, enabled in _SERVICES.items()}
        )
        return cls(**values)

    @property
    def database_url(self) -> str:
        """The database to use: the one that is set, or `cowrie.db` in the state folder."""
        return self.db_url or f"sqlite:///{self.state_dir.absolute() / 'cowrie.db'}"

    @property
    def has_several_workers(self) -> bool:
        """Whether steps of one run can be done at the same time."""
        return self.executor != "in_process"

    @property
    def addresses_together(self) -> int | None:
        """How many addresses one step looks up; None for all."""
        default = _CHUNK_ADDRESSES if self.has_several_workers else None
        return self.chunk_addresses or default

    @property
    def geoip_folder(self) -> Path:
        """Where City and ASN databases are looked for."""
        return self.geoip_dir or self.state_dir / "geoip"

    @property
    def cache_folder(self) -> Path:
        """Where the files of a hybrid cache are."""
        return self.cache_dir or self.state_dir / "cache"

    @property
    def lists_folder(self) -> Path:
        """Where downloaded lists are."""
        return self.lists_dir or self.state_dir / "lists"

    @property
    def reports_folder(self) -> Path:
        """Where pages for people are written."""
        return self.state_dir / "reports"

    def docs_page(self, path: str) -> str:
        """Return where a page of `docs/` is read, given its path from the project's root: its address, or that path."""
        return f"{self.docs_url.rstrip('/')}/{path.removeprefix('docs/')}" if self.docs_url else path

    @property
    def status_folder(self) -> Path:
        """Where the status files are."""
        return self.status_dir or self.state_dir / "status"

    @property
    def log_paths(self) -> tuple[str, ...]:
        """The files, folders and globs of `logs`, in the order given."""
        return tuple(part for part in self.logs.split(os.pathsep) if part)


def export_settings(
    *,
    db_url: str | None = None,
    logs: Sequence[str] = (),
    geoip_dir: Path | None = None,
    offline: bool | None = None,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Put options of the command line into the environment, where the rest of this process and its children look.

    An option that is given is stronger than what was set, be it as a value or as a file.
    """
    options = {
        "COWRIE_DB_URL": db_url,
        "COWRIE_LOGS": os.pathsep.join(logs),
        "COWRIE_GEOIP_DIR": geoip_dir,
        "COWRIE_OFFLINE": offline,
    }
    for variable, value in options.items():
        if value is not None and value != "":
            environment[variable] = str(value)
            environment.pop(f"{variable}_FILE", None)


@dataclass(frozen=True)
class Setting:
    """One row of the README's table of settings."""

    variable: str
    default: str
    help: str


def describe_settings() -> list[Setting]:
    """Return every setting with its default, in the order of their definition.

    Those of services stand once for all, as `COWRIE_<SERVICE>_KEY`.
    """
    rows = [_row(each, "") for each in fields(Settings) if each.metadata["variable"]]
    names = ", ".join(name.upper() for name in _SERVICES)
    of_services = [_row(each, "COWRIE_<SERVICE>_") for each in fields(ServiceSettings)]
    first = of_services[0]
    of_services[0] = Setting(first.variable, first.default, f"{first.help} `<SERVICE>` is one of {names}.")
    return rows + of_services


def read_receivers(settings: Settings, environment: Mapping[str, str] = os.environ) -> tuple[ReceiverSettings, ...]:
    """Read who is told of trouble from the file of COWRIE_ALERTS_FILE; nobody where it is not set.

    Every text of a receiver can also come from elsewhere: `url_env` names a variable and `url_file` a file that holds
    it, and the same for the others.

    Raises:
        SettingsError: the file cannot be read, or says what makes no sense; no value is shown that may be a secret.
    """
    path = settings.alerts_file
    if path is None:
        return ()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"COWRIE_ALERTS_FILE names {path}, which cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # without its cause, whose message shows what is in the file
        raise SettingsError(f"COWRIE_ALERTS_FILE names {path}, which is no TOML: check quotes and brackets") from None
    tables = document.pop("receiver", [])
    if document or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{path}: expected nothing but [[receiver]] tables")
    receivers = tuple(_receiver(f"{path}, receiver {n}", table, environment) for n, table in enumerate(tables, 1))
    names = [receiver.name for receiver in receivers]
    if len(set(names)) < len(names):
        raise SettingsError(f"{path}: expected a name of its own for each receiver, found {', '.join(sorted(names))}")
    return receivers


def _receiver(where: str, table: Mapping[str, Any], environment: Mapping[str, str]) -> ReceiverSettings:
    """Turn one `[[receiver]]` into its settings; `where` names it in errors."""
    values: dict[str, Any] = {}
    known = {each.name: each.type for each in fields(ReceiverSettings)}
    for key, given in table.items():
        name, value = _value_of(where, key, given, environment)
        name = "sender" if name == "from" else name
        wanted = known.get(name)
        if wanted is None or name in values:
            raise SettingsError(f"{where}: {key} is {'given twice' if name in values else 'no setting of a receiver'}")
        if wanted == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise SettingsError(f"{where}: {key} must be a list of texts")
            value = tuple(value)
        elif not isinstance(value, int if wanted is int else str):
            raise SettingsError(f"{where}: {key} must be {'a whole number' if wanted is int else 'a text'}")
        values[name] = value
    if "ca_file" in values:
        values["ca_file"] = Path(values["ca_file"])
    for needed in ("name", "kind"):
        if not values.get(needed):
            raise SettingsError(f"{where}: {needed} is missing")
    receiver = ReceiverSettings(**values)
    _refuse_bad_receiver(f"{where} ({receiver.name})", receiver)
    if receiver.kind == "email" and not receiver.port:
        receiver = replace(receiver, port=_MAIL_SECURITY[receiver.security])
    return receiver


def _value_of(where: str, key: str, given: Any, environment: Mapping[str, str]) -> tuple[str, Any]:
    """Return the setting that a key of a receiver is about, and its value, wherever that is."""
    name, _, place = key.rpartition("_")
    if place == "env" and name:
        value = environment.get(str(given))
        if not value:
            raise SettingsError(f"{where}: {key} names the variable {given}, which is not set")
        return name, value
    if place == "file" and name != "ca":
        try:
            return name, Path(str(given)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{where}: {key} names {given}, which cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SettingsError(f"{where}: {key} names {given}, which is no text in UTF-8") from None
    return key, given


def _refuse_bad_receiver(where: str, receiver: ReceiverSettings) -> None:
    for name, allowed in (("kind", _RECEIVER_KINDS), ("severity", _SEVERITIES), ("security", tuple(_MAIL_SECURITY))):
        if getattr(receiver, name) not in allowed:
            raise SettingsError(f"{where}: {name} must be one of {', '.join(allowed)}")
    if receiver.kind == "email":
        if not (receiver.host and receiver.sender and receiver.to):
            raise SettingsError(f"{where}: an e-mail needs host, from and to")
        if not 0 <= receiver.port < 65_536:
            raise SettingsError(f"{where}: port must be from 1 to 65535")
        for text in (receiver.host, receiver.sender, *receiver.to):
            if not text.isprintable():
                raise SettingsError(f"{where}: host, from and to must be one line each")
        if (receiver.username is None) != (receiver.password is None):
            raise SettingsError(f"{where}: username and password go together")
        if receiver.username is not None and receiver.security == "none" and receiver.host not in _LOOPBACK:
            raise SettingsError(f"{where}: a password is not sent without TLS: set security to starttls or tls")
        return
    if not _is_web_url(receiver.url):
        raise SettingsError(f"{where}: url must be http(s)://host/...")
    if receiver.token is not None and not (receiver.token.isascii() and receiver.token.isprintable()):
        raise SettingsError(f"{where}: token must be printable ASCII")
    if receiver.kind == "ntfy" and not urlsplit(receiver.url).path.strip("/"):
        raise SettingsError(f"{where}: url must end with the topic, such as https://ntfy.example.org/honeypot")


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url


def _refuse_bad_executor(settings: Settings) -> None:
    if settings.executor not in _EXECUTORS:
        raise SettingsError(f"COWRIE_EXECUTOR must be one of {', '.join(_EXECUTORS)}, found {settings.executor!r}")
    for name in ("celery_broker", "celery_backend"):
        url = getattr(settings, name)
        if url is not None and not _is_redis_url(url):
            # not shown: it may hold a password
            raise SettingsError(f"{_variable(settings, name)} must be redis://host:port/number, or rediss:// for TLS")


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and url.isprintable() and " " not in url


def _is_plain_web_url(url: str) -> bool:
    return _is_web_url(url) and urlsplit(url).username is None and not set(url) & set("<>\"'|`")


def _row(each: Any, prefix: str) -> Setting:
    default = "" if each.default in (None, "", ()) else str(each.default)
    return Setting(prefix + each.metadata["variable"], default, each.metadata["help"])


def _variable(settings: Any, name: str) -> str:
    return str(next(each.metadata["variable"] for each in fields(settings) if each.name == name))


def _service_settings(name: str, enabled: bool, environment: Mapping[str, str]) -> ServiceSettings:
    prefix = f"COWRIE_{name.upper()}_"
    values = {"enabled": enabled} | _values_of(ServiceSettings, prefix, environment)
    try:
        return ServiceSettings(**values)
    except SettingsError as error:
        # what is wrong with a value is said without its service, which it does not know
        raise SettingsError(f"{prefix}{error}") from error


def _refuse_what_is_not_positive(settings: Any, but: Sequence[str] = ()) -> None:
    for each in fields(settings):
        value = getattr(settings, each.name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or each.name in but:
            continue
        # The comparison is false for NaN, too.
        if not 0 < value < math.inf:
            raise SettingsError(f"{each.metadata['variable']} must be above 0, found {value}")
        for ending, most in _MOST.items():
            if each.name.endswith(ending) and value > most:
                raise SettingsError(f"{each.metadata['variable']} must be at most {most}, found {value:g}")


def _values_of(kind: Any, prefix: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that are set for the fields of `kind`, whose variables begin with `prefix`."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.metadata["variable"] is None:
            continue
        variable = prefix + each.metadata["variable"]
        text = _text_of(variable, environment)
        if text is not None:
            values[each.name] = _parse(variable, text, each.type)
    return values


def _text_of(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return the text of a variable or of the file that `<variable>_FILE` names; an empty text counts as not set."""
    text = environment.get(variable)
    path = environment.get(f"{variable}_FILE")
    if text and path:
        raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one of them")
    if path:
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{variable}_FILE names {path}, which cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            # without its cause, whose message shows what is in the file
            raise SettingsError(f"{variable}_FILE names {path}, which is no text in UTF-8") from None
    return text or None


def _parse(variable: str, text: str, wanted: Any) -> Any:
    """Turn the text of a setting into its type."""
    if wanted == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    kinds = get_args(wanted) or (wanted,)
    if tuple[tuple[int, float], ...] in kinds:
        return _parse_limits(variable, text)
    if bool in kinds:
        known = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }
        if text.lower() not in known:
            raise SettingsError(f"{variable} must be true or false, found {text!r}")
        return known[text.lower()]
    for kind, parser, expected in (
        (date, date.fromisoformat, "a day such as 2016-01-01"),
        (int, int, "a whole number"),
        (float, float, "a number"),
        (Path, Path, "a path"),
    ):
        if kind in kinds:
            try:
                return parser(text)
            except ValueError as error:
                raise SettingsError(f"{variable} must be {expected}, found {text!r}") from error
    return text


def _parse_limits(variable: str, text: str) -> tuple[tuple[int, float], ...]:
    """Turn `4/1m, 500/1d` into pairs of calls and seconds."""
    limits = []
    for part in text.split(","):
        match = _LIMIT.fullmatch(part.strip())
        calls, seconds = (int(match[1]), int(match[2]) * _SECONDS[match[3]]) if match else (0, 0)
        if not calls or not 0 < seconds <= _MOST["_seconds"]:
            raise SettingsError(f"{variable} must be calls/time such as 4/1m, 500/1d, found {part.strip()!r}")
        limits.append((calls, float(seconds)))
    return tuple(limits)
