"""What must be true of the data, and the rows at fault where it is not.

Most checks are queries in `sql/checks/` that return the rows at fault: no row, the check passes. Checks that need a
threshold of the settings are functions here.

Belongs here: what is checked and how a result is judged.
Does not belong here: running checks after a materialization, and alerting (orchestration/).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, literal, select

from cowrie_pipeline.enrichment.build import is_configured
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.check_model import ROWS_SHOWN, Check, CheckResult, CheckWords, Severity
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.watch_checks import WATCH_CHECKS
from cowrie_pipeline.warehouse.sql_files import read_sql, sql_files
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import log_files

__all__ = [
    "DRIFT",
    "FRESHNESS",
    "Check",
    "CheckResult",
    "CheckWords",
    "Coverage",
    "Severity",
    "all_checks",
    "asset_of",
    "coverage_by_day",
    "described_checks",
    "judge_coverage",
    "look_ups_by_day",
]

# Cowrie's first version is of 2014.
_EARLIEST = datetime(2014, 1, 1, tzinfo=UTC)
_DAYS_BEFORE = 7


# Not run here: the first is evaluated by the work itself, before it mends what it found, the other by Dagster.
DRIFT = CheckWords(
    name="inventories_had_not_drifted",
    asset="reconciled_inventories",
    title="Every stored count of addresses and networks is a recount of the sessions",
    why=(
        "Counts are never added to, only counted again, for the addresses and networks of the days at hand. One that "
        "is wrong of others stays wrong until somebody counts everything, which this does each night."
    ),
    remedy=(
        "The counts are mended by now. Find out what wrote them: a change by hand, a restored part of a backup, or a "
        "fault of ours, which the table and the time of the last reconciliation help to narrow down."
    ),
    severity=Severity.ERROR,
)
FRESHNESS = CheckWords(
    name="freshness_check",
    asset="each asset of days",
    title="The day before is materialized by COWRIE_ALERT_DAY_DUE_HOUR (UTC)",
    why=(
        "An asset that is not made for a day is missing in every report of that day, and a chain of runs that stopped "
        "goes on missing days until somebody looks."
    ),
    remedy=(
        "Open the asset in Dagster's UI: is its partition of yesterday failed, or missing? Failed: the run says why. "
        "Missing: see that the daemon runs, that the schedule `yesterday` and the sensor `log_files` are on, and that "
        "log files came. Then materialize the day. It is looked at each hour until it is there."
    ),
    severity=Severity.WARN,
)


def described_checks() -> tuple[CheckWords, ...]:
    """Return what every check says of itself, also those that are not run here."""
    return tuple(sorted((*all_checks(), DRIFT, FRESHNESS), key=lambda check: (check.asset, check.name)))


def all_checks() -> tuple[Check, ...]:
    """Return every check: one for each file in `sql/checks/`, and those that need a threshold."""
    of_files = (_sql_check(name) for name in sql_files("checks"))
    return tuple(
        sorted(
            (*of_files, *_COVERAGE_CHECKS, _DEAD_LETTERS, *WATCH_CHECKS), key=lambda check: (check.asset, check.name)
        )
    )


def _sql_check(name: str) -> Check:
    file = read_sql(name, "sqlite")
    header = file.header

    def run(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
        statement = read_sql(name, connection.dialect.name).statement
        parameters = {
            "first_day": days.first,
            "last_day": days.last,
            "start": days.start,
            "end": days.end,
            "earliest": _EARLIEST,
            "tomorrow": now + timedelta(days=1),
            "gateway_share": settings.gateway_share,
            "volume_least": settings.volume_least,
        }
        shown = connection.execute(with_parameters(f"{statement}\nLIMIT {ROWS_SHOWN}", **parameters))
        columns, rows = tuple(shown.keys()), tuple(tuple(row) for row in shown)
        at_fault = len(rows)
        if at_fault == ROWS_SHOWN:
            counted = with_parameters(f"SELECT COUNT(*) FROM ({statement}) AS at_fault", **parameters)  # noqa: S608
            at_fault = connection.execute(counted).scalar_one()
        return CheckResult(columns, rows, at_fault)

    return Check(
        name=name.rpartition("/")[2],
        asset=header["asset"],
        title=header["title"],
        why=header["why"],
        remedy=header["remedy"],
        severity=Severity(header["severity"]),
        blocks=header["blocks"] == "yes",
        run=run,
        of_days=any(f":{name}" in file.statement for name in ("first_day", "last_day", "start", "end")),
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of how many rows of a day a field is known."""

    day: date
    asset: str
    field: str
    total: int
    known: int

    @property
    def share(self) -> float:
        """From 0 to 1; a field of no rows is wholly known."""
        return self.known / self.total if self.total else 1.0


# Known of few addresses or networks even when all is well, or only with sources that need a key: shown, and not judged.
_NOT_JUDGED = frozenset({"asn_type", "geo_city", "ip_type", "is_scanner", "organization_country", "rir_registry"})
_ANSWERED = frozenset({Status.HIT, Status.NOT_FOUND})
# That a budget ends is no failure of the source, and what it could not be asked about is none of anybody.
_NOT_TRIED = frozenset({Status.SKIPPED_BUDGET, Status.NOT_APPLICABLE})
# Asked about something else than an address.
_ASSETS_OF_SOURCES = {
    "cymru_asn": "asn_inventory",
    "rir": "asn_inventory",
    "spamhaus_asndrop": "asn_inventory",
    "virustotal": "file_reputation",
    "pwned_passwords": "password_exposure",
}
_ASSETS_ASKED_ABOUT = frozenset({"ip_inventory", *_ASSETS_OF_SOURCES.values()})
_ASSETS_WITH_FIELDS = frozenset({"ip_inventory", "asn_inventory", "session_snapshots"})
# Whether these could be asked is not written in the rows, as it is for addresses, so their settings are looked at.
_TERMS = {source.terms.service: source.terms for source in (VirusTotalSource, PwnedPasswordsSource)}


# What says of an asset alone what became of its look-ups; the report says it of all, and reads the documents of all
# addresses for that.
_LOOK_UPS_OF = {"file_reputation": "parts/look_ups_of_files", "password_exposure": "parts/look_ups_of_passwords"}


def look_ups_by_day(
    connection: Connection, days: DayRange, *, asset: str | None = None
) -> list[tuple[date, str, str, int]]:
    """Return day, source, outcome and how many addresses, networks, files or passwords, of every source.

    With `asset` those of other assets may be left out.
    """
    name = _LOOK_UPS_OF.get(asset or "", "reports/coverage_by_source")
    statement = read_sql(name, connection.dialect.name).statement
    rows = connection.execute(
        with_parameters(statement, first_day=days.first, last_day=days.last, start=days.start, end=days.end)
    )
    return [
        (day if isinstance(day, date) else date.fromisoformat(day), source, status or "unknown", looked_up)
        for day, source, status, looked_up in rows
    ]


def answers_by_day(connection: Connection, days: DayRange, settings: Settings, *, asset: str) -> list[Coverage]:
    """Return, for each source of an asset and day, of how many of the things that it was asked about it said something.

    What was not asked, since it was not needed or there was no budget, is not counted, nor is a source that is off or
    not configured.
    """
    asked, answered = Counter[tuple[date, str]](), Counter[tuple[date, str]]()
    for day, source, status, looked_up in look_ups_by_day(connection, days, asset=asset):
        key = (day, source)
        if status in _NOT_TRIED or (source in _TERMS and not is_configured(_TERMS[source], settings)):
            continue
        asked[key] += looked_up
        if status in _ANSWERED:
            answered[key] += looked_up
    return [
        Coverage(day, asset, f"answers of {source}", total, answered[day, source])
        for (day, source), total in sorted(asked.items())
        if asset_of(source) == asset
    ]


def asset_of(source: str) -> str:
    """Return the asset whose rows a source is asked about."""
    return _ASSETS_OF_SOURCES.get(source, "ip_inventory")


def coverage_by_day(connection: Connection, days: DayRange, *, asset: str | None = None) -> list[Coverage]:
    """Return the coverage of every field, or of those of one asset, on every day of the range that has sessions."""
    statement = read_sql("reports/coverage_by_day", connection.dialect.name).statement
    if asset is not None:
        # PostgreSQL sees that the parts on other assets have no such rows, and does not run them
        statement = f"SELECT * FROM ({statement}) AS of_all WHERE asset = :asset"  # noqa: S608
    rows = connection.execute(
        with_parameters(
            statement, first_day=days.first, last_day=days.last, start=days.start, end=days.end, asset=asset
        )
    )
    return [
        Coverage(day if isinstance(day, date) else date.fromisoformat(day), asset, name, total, known)
        for day, asset, name, total, known in rows
    ]


def judge_coverage(
    coverages: Sequence[Coverage], days: DayRange, *, floor: float, drop: float
) -> list[tuple[Coverage, str]]:
    """Return the coverages of `days` that are too low, with the reason.

    Args:
        coverages: of `days` and of the seven days before.
        days: the days that are judged.
        floor: the lowest share that is good.
        drop: how far a share may fall below the mean of the seven days before.
    """
    by_field: dict[tuple[str, str], dict[date, Coverage]] = defaultdict(dict)
    for each in coverages:
        by_field[each.asset, each.field][each.day] = each
    too_low = []
    for of_days in by_field.values():
        for day, each in sorted(of_days.items()):
            if not days.first <= day <= days.last:
                continue
            before = [of_days[d].share for d in of_days if timedelta(0) < day - d <= timedelta(days=_DAYS_BEFORE)]
            mean = sum(before) / len(before) if before else None
            if each.share < floor:
                too_low.append((each, f"below the floor of {floor:.0%}"))
            elif mean is not None and each.share < mean - drop:
                too_low.append((each, f"{mean:.0%} in the days before"))
    return too_low


def _coverage_check(asset: str, subject: str) -> Check:
    def run(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
        del now
        with_before = DayRange(days.first - timedelta(days=_DAYS_BEFORE), days.last)
        # both take long over many days, and neither says something of every asset
        fields = coverage_by_day(connection, with_before, asset=asset) if asset in _ASSETS_WITH_FIELDS else []
        answers = answers_by_day(connection, with_before, settings, asset=asset) if asset in _ASSETS_ASKED_ABOUT else []
        coverages = [each for each in (*fields, *answers) if each.field not in _NOT_JUDGED]
        too_low = judge_coverage(coverages, days, floor=settings.coverage_floor, drop=settings.coverage_drop)
        rows = tuple((each.day, each.field, each.total, each.known, reason) for each, reason in too_low)
        return CheckResult.of(("day", "field", "total", "known", "reason"), rows)

    return Check(
        name=f"coverage_of_{asset}",
        asset=asset,
        title=f"Enough is known of {subject}",
        why=(
            "A field that is empty is no error anywhere: reports go on and say less and less. A source that stopped "
            "answering, or a file that is gone, shows here first."
        ),
        remedy=(
            "See which source fails: the metadata of the asset counts look-ups by source and outcome, and "
            "`cowrie-pipeline status` shows coverage. Without GeoIP files (COWRIE_GEOIP_DIR) and without network, "
            "nothing can be known. A source that is off or not configured is not judged, nor is what a budget did not "
            "reach. Thresholds: COWRIE_COVERAGE_FLOOR, COWRIE_COVERAGE_DROP."
        ),
        severity=Severity.WARN,
        blocks=False,
        run=run,
    )


_COVERAGE_CHECKS = (
    _coverage_check("ip_inventory", "the addresses that attacked"),
    _coverage_check("asn_inventory", "the networks that attacked"),
    _coverage_check("session_snapshots", "the sessions' addresses at attack time"),
    _coverage_check("file_reputation", "the files that were transferred"),
    _coverage_check("password_exposure", "the passwords that were tried"),
)


def _dead_letters(connection: Connection, days: DayRange, settings: Settings, now: datetime) -> CheckResult:
    del days, now
    files = log_files.c
    rows = connection.execute(
        select(files.path, files.lines, files.dead_letters)
        .where(
            ~files.is_foreign,  # those have a check of their own
            files.dead_letters > 0,
            files.dead_letters > files.lines * literal(settings.dead_letter_share),
        )
        .order_by(files.dead_letters.desc(), files.path)
    ).all()
    return CheckResult.of(("path", "lines", "dead_letters"), (tuple(row) for row in rows))


_DEAD_LETTERS = Check(
    name="dead_letter_share",
    asset="raw_sessions",
    title="Few lines of each file are dead letters",
    why=(
        "What a dead letter said is in no session. Many of them are a format that the reader does not know, or files "
        "that are cut while they are copied."
    ),
    remedy=(
        "Look at the table dead_letters: `reason`, `detail` and `sample` say what is wrong with each line. Threshold: "
        "COWRIE_DEAD_LETTER_SHARE."
    ),
    severity=Severity.WARN,
    blocks=False,
    run=_dead_letters,
    of_days=False,
)
