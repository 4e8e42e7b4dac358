"""Every setting, typed; the only module that reads the environment.

Belongs here: names, types, defaults and one line of help for each setting, and how a secret is read from a file.
Does not belong here: anything that acts on a setting.
"""

import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, get_args

__all__ = ["Setting", "Settings", "SettingsError", "describe_settings", "export_settings"]

DEFAULT_START_DATE = date(2016, 1, 1)
DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it and says what is expected."""


def _setting(variable: str, default: Any, help_text: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"variable": variable, "help": help_text, "secret": secret})


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
    max_line_bytes: int = _setting(
        "COWRIE_MAX_LINE_BYTES",
        DEFAULT_MAX_LINE_BYTES,
        "A longer log line is a dead letter and never held whole in memory.",
    )
    coverage_floor: float = _setting(
        "COWRIE_COVERAGE_FLOOR",
        0.5,
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

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            SettingsError: a share is not between 0 and 1, or a size, time or number of days is not above 0.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("coverage_floor", "coverage_drop", "dead_letter_share"):
                if not 0 <= value <= 1:
                    raise SettingsError(f"{each.metadata['variable']} must be between 0 and 1, found {value}")
            elif isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise SettingsError(f"{each.metadata['variable']} must be above 0, found {value}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every setting from `environment`.

        Raises:
            SettingsError: a value does not fit its type, or a `_FILE` cannot be read.
        """
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = each.metadata["variable"]
            text = _text_of(variable, environment)
            if text is not None:
                values[each.name] = _parse(variable, text, each.type)
        return cls(**values)

    @property
    def database_url(self) -> str:
        """The database to use: the one that is set, or `cowrie.db` in the state folder."""
        return self.db_url or f"sqlite:///{self.state_dir.absolute() / 'cowrie.db'}"

    @property
    def geoip_folder(self) -> Path:
        """Where City and ASN databases are looked for."""
        return self.geoip_dir or self.state_dir / "geoip"

    @property
    def log_paths(self) -> tuple[str, ...]:
        """The files, folders and globs of `logs`, in the order given."""
        return tuple(part for part in self.logs.split(os.pathsep) if part)


def export_settings(
    *,
    db_url: str | None = None,
    logs: Sequence[str] = (),
    geoip_dir: Path | None = None,
    cymru_enabled: bool | None = None,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Put options of the command line into the environment, where the rest of this process and its children look.

    An option that is given is stronger than what was set, be it as a value or as a file.
    """
    options = {
        "COWRIE_DB_URL": db_url,
        "COWRIE_LOGS": os.pathsep.join(logs),
        "COWRIE_GEOIP_DIR": geoip_dir,
        "COWRIE_CYMRU_ENABLED": cymru_enabled,
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
    """Return every setting with its default, in the order of their definition."""
    rows = []
    for each in fields(Settings):
        default = "" if each.default in (None, "") else str(each.default)
        rows.append(Setting(each.metadata["variable"], default, each.metadata["help"]))
    return rows


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
    return text or None


def _parse(variable: str, text: str, wanted: Any) -> Any:
    """Turn the text of a setting into its type."""
    kinds = get_args(wanted) or (wanted,)
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
