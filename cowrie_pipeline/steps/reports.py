"""Answers to operators' questions: the statements of `sql/reports/`, run over days, with typed columns.

A file's header says everything about its report: `title`, `question`, `parameters`, `columns` with their types (SQLite
knows neither days nor truth values, and PostgreSQL sums to decimals), `span` (the days meant where none are named),
`interactive` (which mark of speed it is held to), `asset` (those in whose metadata it is shown) and `plot`.

Belongs here: the catalogue, running a report, and its rows as a data frame.
Does not belong here: how a report is shown (cli/, orchestration/).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.steps.days import DayRange, days_with_sessions
from cowrie_pipeline.warehouse.sql_files import SqlFile, read_sql, sql_files
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import enrichment_cache_stats

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Interactive",
    "Kind",
    "Parameter",
    "Plot",
    "Report",
    "ReportColumn",
    "ReportError",
    "ReportSpec",
    "Span",
    "all_reports",
    "as_frame",
    "choose_days",
    "days_to",
    "read_report",
    "run_report",
]

_FOLDER = "reports"
_WEEK = timedelta(days=7)
_NO_LIMIT = 2**62
_ANY_DAY = date(2014, 1, 1)
_OPTIONAL = "(optional)"
# What follows from the days and the limit; every other parameter is the asker's.
_OF_SPAN = frozenset({"first_day", "last_day", "start", "end", "earlier_first_day", "limit"})


class ReportError(Exception):
    """A report cannot be run as asked for; the message says what was found and what to do."""


class Interactive(StrEnum):
    """Which mark of speed a report is held to, at full size: 50 ms by snapshots, 250 ms by joins, or none."""

    SNAPSHOT = "snapshot"
    JOIN = "join"
    NO = "no"


class Span(StrEnum):
    """Which days are meant where none are named: all with sessions, the last or the last seven; days of look-ups."""

    ALL = "all"
    WEEK = "week"
    DAY = "day"
    LOOK_UPS = "look_ups"


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DAY = "day"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A column of a report."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a report wants to know beside days and limit."""

    name: str
    meaning: str
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars: how long they are, and what stands beside them."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec:
    """What a file of `sql/reports/` says of itself; `notes` define its numbers."""

    name: str
    title: str
    question: str
    notes: str
    parameters: tuple[Parameter, ...]
    columns: tuple[ReportColumn, ...]
    span: Span
    interactive: Interactive
    assets: tuple[str, ...]
    plot: Plot | None

    @property
    def is_by_day(self) -> bool:
        """Whether each row is of one day, which the first column names."""
        return self.columns[0] == ReportColumn("day", Kind.DAY)


@dataclass(frozen=True, slots=True)
class Report:
    """Rows of a report over days: integers, floats, texts, truth values, days and times in UTC, or None.

    `is_cut` says that there are more rows than were asked for.
    """

    spec: ReportSpec
    days: DayRange
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.spec.columns)


def all_reports() -> tuple[ReportSpec, ...]:
    """Return every report, by name."""
    return tuple(read_report(name.removeprefix(f"{_FOLDER}/")) for name in sql_files(_FOLDER))


@cache
def read_report(name: str) -> ReportSpec:
    """Return what a report says of itself.

    Raises:
        ReportError: there is none of this name, or its header cannot be used.
    """
    names = [each.removeprefix(f"{_FOLDER}/") for each in sql_files(_FOLDER)]
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.4) or [each for each in names if name in each][:3]
        meant = f"did you mean {' or '.join(near)}?" if near else "`cowrie-pipeline report --list` names all"
        raise ReportError(f"there is no report {name!r}: {meant}")
    file = read_sql(f"{_FOLDER}/{name}", "sqlite")
    try:
        return _spec(name, file)
    except (KeyError, ValueError) as error:
        raise ReportError(f"the header of sql/{_FOLDER}/{name}.sql cannot be used: {error}") from error


def _spec(name: str, file: SqlFile) -> ReportSpec:
    header = file.header
    columns = tuple(_column(each) for each in header["columns"].split(","))
    return ReportSpec(
        name=name,
        title=header["title"],
        question=header["question"],
        notes=file.notes,
        parameters=tuple(_parameters(header["parameters"])),
        columns=columns,
        span=Span(header.get("span", Span.ALL)),
        interactive=Interactive(header["interactive"]),
        assets=tuple(name.strip() for name in header.get("asset", "").split(",") if name.strip()),
        plot=_plot(header["plot"], {column.name for column in columns}) if "plot" in header else None,
    )


def _column(text: str) -> ReportColumn:
    name, _, kind = text.strip().partition(" ")
    return ReportColumn(name, Kind(kind.strip()))


def _parameters(text: str) -> list[Parameter]:
    """Read `first_day, last_day, limit; command: part of a line (optional)`; only the asker's are returned."""
    found = []
    for group in text.split(";"):
        names, _, meaning = (part.strip() for part in group.partition(":"))
        found += [
            Parameter(name.strip(), meaning.removesuffix(_OPTIONAL).strip(), meaning.endswith(_OPTIONAL))
            for name in names.split(",")
            if name.strip() and name.strip() not in _OF_SPAN
        ]
    return found


def _plot(text: str, columns: set[str]) -> Plot:
    value, by, label = text.partition(" by ")
    if not by or not {value, label} <= columns:
        raise ValueError(f"expected a plot such as `sessions by country`, of columns, found {text!r}")
    return Plot(value, label)


def choose_days(connection: Connection, spec: ReportSpec, first: date | None, last: date | None) -> DayRange:
    """Return the days from `first` to `last`; where one is not named, those that the report means by itself.

    A report of a week without a first day is of the seven days to the last. In an empty database any day will do.
    """
    known = _days_of_look_ups(connection) if spec.span is Span.LOOK_UPS else days_with_sessions(connection)
    if known is None:
        any_day = last or first or _ANY_DAY
        known = DayRange(any_day, any_day)
    end = last or max(known.last, first or known.last)
    if first is not None:
        return DayRange(first, end)
    return days_to(spec, end) if spec.span in {Span.DAY, Span.WEEK} else DayRange(min(known.first, end), end)


def _days_of_look_ups(connection: Connection) -> DayRange | None:
    day = enrichment_cache_stats.c.day
    first, last = connection.execute(select(func.min(day), func.max(day))).one()
    return None if first is None else DayRange(first, last)


def days_to(spec: ReportSpec, last: date) -> DayRange:
    """Return the days that a report of a day or a week means if `last` is the last of them; of others that day."""
    return DayRange(last - _WEEK + timedelta(days=1) if spec.span is Span.WEEK else last, last)


def run_report(
    connection: Connection,
    name: str,
    days: DayRange,
    *,
    limit: int | None = None,
    values: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Run a report over days.

    Args:
        connection: reads one state of the database.
        name: the report's, such as `top_networks_by_sessions`.
        days: the span, both included.
        limit: how many rows at most, None for all.
        values: of the report's own parameters, by name.

    Raises:
        ReportError: there is no such report, a parameter that it does not have was given, or one that it needs not.
    """
    spec = read_report(name)
    known = {each.name for each in spec.parameters}
    if unknown := sorted(values.keys() - known):
        has = f"it has {', '.join(sorted(known))}" if known else "it has none of its own"
        raise ReportError(f"the report {name} has no parameter {', '.join(unknown)}: {has}")
    if missing := [each.name for each in spec.parameters if not each.is_optional and each.name not in values]:
        raise ReportError(f"the report {name} needs {', '.join(missing)}: give --with {missing[0]}=VALUE")
    statement = read_sql(f"{_FOLDER}/{name}", connection.dialect.name).statement
    at_most = _NO_LIMIT if limit is None else limit
    result = connection.execute(
        with_parameters(
            statement,
            first_day=days.first,
            last_day=days.last,
            start=days.start,
            end=days.end,
            earlier_first_day=days.first - timedelta(days=len(days)),
            limit=at_most + 1,
            **{each: values.get(each) for each in known},
        )
    )
    if tuple(result.keys()) != tuple(column.name for column in spec.columns):
        raise ReportError(f"the columns of sql/{_FOLDER}/{name}.sql are {', '.join(result.keys())}: mend its header")
    found = result.fetchmany(at_most + 1) if limit is not None else result.all()
    readers = [_READERS[column.kind] for column in spec.columns]
    rows = tuple(
        tuple(None if value is None else read(value) for read, value in zip(readers, row, strict=True))
        for row in found[:at_most]
    )
    return Report(spec, days, rows, is_cut=len(found) > at_most)


def _read_day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _read_time(value: Any) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool,
    Kind.DAY: _read_day,
    Kind.TIME: _read_time,
}


def as_frame(report: Report) -> "pd.DataFrame":
    """Return a report's rows as a data frame whose types do not depend on the rows: none turns to float for a gap.

    Integers are `Int64`, numbers `Float64`, truth values `boolean`, texts `string`, days `datetime64[us]` at midnight
    without a zone, times `datetime64[us, UTC]`.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            column.name: pd.Series([row[index] for row in report.rows], dtype=_DTYPES[column.kind])
            for index, column in enumerate(report.spec.columns)
        }
    )


_DTYPES: Mapping[Kind, str] = {
    Kind.TEXT: "string",
    Kind.INTEGER: "Int64",
    Kind.NUMBER: "Float64",
    Kind.BOOLEAN: "boolean",
    Kind.DAY: "datetime64[us]",
    Kind.TIME: "datetime64[us, UTC]",
}
