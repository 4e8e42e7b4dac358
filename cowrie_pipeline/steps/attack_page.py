"""Write an attack report as one HTML file that needs nothing else: no script, no font, no network.

Attackers write much of what is on it. Every value goes through `harmless` and then through Jinja's autoescaping, which
no template switches off (the library's escaping rather than our own), and the page's Content-Security-Policy forbids
whatever could come of a mistake: scripts, frames, forms, and anything loaded from elsewhere.

Belongs here: which parts a page has, their pictures and tables, and the file. Does not belong here: what is so
(attack_report.py), how pictures are drawn (charts.py).
"""

import hashlib
import os
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from markupsafe import Markup
from sqlalchemy import select

from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.attack_report import (
    ROLLING_DAYS,
    AttackReport,
    FileRow,
    Moment,
    NetworkRow,
    Quality,
    gather_attack_report,
    last_30_days,
)
from cowrie_pipeline.steps.charts import BarChart, ColumnChart, bar_chart, column_chart, templates, trend
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.harmless import harmless
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import retired_days

__all__ = ["ROLLING_PAGE", "PageError", "page_of_day", "render_page", "renew_retired_pages", "write_page"]

ROLLING_PAGE = "attack_report_30_days.html"
_OF_DAY = "attack_report_"
_NOT_KNOWN = "not known"


class PageError(Exception):
    """A page could not be written; the message says where and why."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A picture and the table under it; columns have a name and how they are shown."""

    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: Sequence[tuple[Any, ...]]
    columns_chart: ColumnChart | None = None
    bars_chart: BarChart | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    heading: str
    explanation: str
    figures: tuple[_Figure, ...]
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class _Verdict:
    text: str
    is_bad: bool


@dataclass(frozen=True, slots=True)
class _Page:
    title: str
    subtitle: str
    notes: tuple[str, ...]
    totals: tuple[tuple[str, int], ...]
    parts: tuple[_Part, ...]
    footer: str


def page_of_day(folder: Path, day: date) -> Path:
    """Return where the page of a day is."""
    return folder / f"{_OF_DAY}{day.isoformat()}.html"


def write_page(report: AttackReport, path: Path) -> Path:
    """Write a report's page in the place of an earlier one; nobody ever reads half a page.

    Raises:
        PageError: the folder or the file cannot be written, as on a full disk; an earlier page stays as it is.
    """
    page = render_page(report).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
                # the owner's and the group's: it shows what attackers typed, perhaps somebody's password
                part.chmod(0o640)
                part.replace(path)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                raise
    except OSError as error:
        raise PageError(
            f"the page {path} ({len(page):,} bytes) could not be written: {error.strerror or error}; free some room or "
            "mend the folder's permissions, and materialize it again"
        ) from error
    return path


def renew_retired_pages(warehouse: Warehouse, settings: Settings, *, now: datetime) -> tuple[Path, ...]:
    """Write the pages anew that may show details of days which have lost them since; return where they are.

    A page is older than its day's retirement for as long as it has not been written anew, whatever came between. That
    of 30 days is older than the newest retirement.
    """
    folder = settings.reports_folder
    renewed = []
    with warehouse.read() as connection:
        retired = connection.execute(select(retired_days.c.day, retired_days.c.retired_at)).all()
        meant = [(page_of_day(folder, day), DayRange(day, day), retired_at) for day, retired_at in sorted(retired)]
        if retired:
            rolling = last_30_days(connection, today=now.date())
            meant.append((folder / ROLLING_PAGE, rolling, max(retired_at for _, retired_at in retired)))
        for path, days, retired_at in meant:
            if path.exists() and path.stat().st_mtime < retired_at.timestamp():
                hash_passwords = settings.hash_passwords
                report = gather_attack_report(connection, days, now=now, hash_passwords=hash_passwords)
                renewed.append(write_page(report, path))
    return tuple(renewed)


def render_page(report: AttackReport) -> str:
    """Return the page of a report."""
    style, style_hash = _style()
    page = templates().get_template("attack_page.html")
    return page.render(page=_page(report), style=style, style_hash=style_hash, nothing="Nothing to show.")


@cache
def _style() -> tuple[Markup, Markup]:
    """Return the style sheet, which is ours, and what the policy knows it by."""
    text = (files("cowrie_pipeline.steps") / "pages" / "attack_page.css").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(text), Markup("sha256-{}").format(digest)  # noqa: S704 - a file of ours, not data


def _page(report: AttackReport) -> _Page:
    days = report.days
    when = str(days.first) if len(days) == 1 else f"{days.first} to {days.last}"
    return _Page(
        title=f"Attacks of {when}",
        subtitle=f"{'One day' if len(days) == 1 else f'{len(days)} days'} of UTC, written {harmless(report.made_at)}",
        notes=_notes(report),
        totals=tuple(
            (each.name.replace("_", " ").replace("log ins", "log-ins"), getattr(report.totals, each.name))
            for each in fields(report.totals)
        ),
        parts=(
            *((_hours(report),) if report.hours else ()),
            _days(report),
            _countries(report),
            _networks(report),
            _new_networks(report),
            _credentials(report),
            _commands(report),
            _files(report),
            _coverage(report),
            _quality(report),
        ),
        footer=(
            "Countries and networks are those at the time of the attack; a network's type is what is known of it now. "
            "URLs and addresses are written so that they cannot be followed by mistake, and characters that cannot be "
            "seen by their number."
        ),
    )


def _notes(report: AttackReport) -> tuple[str, ...]:
    quality, notes = report.quality, []
    if quality.retired:
        notes.append(
            f"The details of {_spoken(quality.retired)} were removed (COWRIE_KEEP_DETAIL_DAYS): user names, "
            "passwords and commands are those of the other days."
        )
    if quality.not_loaded:
        notes.append(f"Nothing was loaded for {_spoken(quality.not_loaded)}.")
    if report.made_at.date() - report.days.last > timedelta(days=2) and len(report.days) > 1:
        notes.append(f"No session is newer than {report.days.last}.")
    return tuple(notes)


def _spoken(days: Sequence[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{len(days)} days ({days[0]} to {days[-1]})"


def _hours(report: AttackReport) -> _Part:
    rows = [(f"{each.hour:02}:00", each) for each in report.hours]
    return _over_time("Sessions by hour", "By the hour, in UTC, in which they began.", "hour", rows)


def _days(report: AttackReport) -> _Part:
    rows = [(each.day.isoformat(), each) for each in report.by_day]
    return _over_time("Sessions by day", f"The {len(rows)} days to {report.days.last}.", "day", rows)


def _over_time(heading: str, explanation: str, unit: str, rows: Sequence[tuple[str, Moment]]) -> _Part:
    figure = _Figure(
        heading,
        ((unit, "plain"), ("sessions", "number"), ("successful log-ins", "number")),
        [(label, each.sessions, each.with_log_in) for label, each in rows if each.sessions],
        columns_chart=column_chart(heading, [(label, each.sessions) for label, each in rows]),
    )
    return _Part(heading, explanation, (figure,))


def _countries(report: AttackReport) -> _Part:
    rows = report.countries
    figure = _Figure(
        "Countries by sessions",
        (
            ("country", "plain"),
            ("sessions", "number"),
            ("share", "number"),
            ("log-ins", "number"),
            ("downloads", "number"),
        ),
        [
            (each.country or _NOT_KNOWN, each.sessions, f"{each.share:.1%}", each.log_ins, each.downloads)
            for each in rows
        ],
        bars_chart=bar_chart("Countries by sessions", [(each.country, each.sessions) for each in rows]),
    )
    return _Part("Countries", "", (figure,))


def _networks(report: AttackReport) -> _Part:
    rows = report.networks
    figure = _Figure(
        "Networks by sessions",
        (
            ("network", "plain"),
            ("organization", "plain"),
            ("country", "plain"),
            ("type", "plain"),
            ("sessions", "number"),
            ("share", "number"),
            ("before", "number"),
            ("change", "plain"),
            (f"{ROLLING_DAYS} days", "trend"),
        ),
        [
            (
                f"AS{each.asn}",
                each.organization,
                each.country,
                each.kind,
                each.sessions,
                f"{each.share:.1%}",
                each.before,
                _change(each),
                trend(each.trend),
            )
            for each in rows
        ],
        bars_chart=bar_chart(
            "Networks by sessions", [(each.organization or f"AS{each.asn}", each.sessions) for each in rows]
        ),
    )
    before = "the day before" if len(report.days) == 1 else f"the {len(report.days)} days before"
    return _Part("Networks", f"“Before” are the sessions of {before}.", (figure,), is_wide=True)


def _change(network: NetworkRow) -> str:
    if not network.before:
        return "came"
    ratio = network.sessions / network.before
    if ratio >= 1.1:
        return f"↑ {ratio:,.1f} times" if ratio >= 2 else f"↑ {ratio - 1:.0%}"
    return f"↓ {1 - ratio:.0%}" if ratio <= 0.9 else "→ about the same"


def _new_networks(report: AttackReport) -> _Part:
    figure = _Figure(
        "New networks",
        (
            ("network", "plain"),
            ("organization", "plain"),
            ("country", "plain"),
            ("type", "plain"),
            ("first day", "number"),
            ("sessions", "number"),
        ),
        [
            (f"AS{each.asn}", each.organization, each.country, each.kind, each.first_day, each.sessions)
            for each in report.new_networks
        ],
        bars_chart=bar_chart(
            "New networks by sessions",
            [(each.organization or f"AS{each.asn}", each.sessions) for each in report.new_networks],
        ),
    )
    cut = " Those with most sessions are shown." if report.new_networks_are_cut else ""
    return _Part("New networks", f"Never seen before, in all that was read.{cut}", (figure,))


def _credentials(report: AttackReport) -> _Part:
    rows = report.credentials
    figure = _Figure(
        "User names and passwords by attempts",
        (
            ("user name", "text"),
            ("password", "text"),
            ("attempts", "number"),
            ("successful", "number"),
            ("in leaks", "number"),
        ),
        [(each.username, each.password, each.attempts, each.successes, each.times_seen) for each in rows],
        bars_chart=bar_chart(
            "User names and passwords by attempts",
            [(f"{each.username or ''} / {each.password or ''}", each.attempts) for each in rows],
        ),
    )
    hashed = "Passwords are shown by their SHA-1 (COWRIE_HASH_PASSWORDS)." if report.passwords_are_hashed else ""
    return _Part("User names and passwords", hashed, (figure,))


def _commands(report: AttackReport) -> _Part:
    figure = _Figure(
        "Commands by how often they were entered",
        (("line", "text"), ("times", "number"), ("sessions", "number")),
        [(each.line, each.times, each.sessions) for each in report.commands],
        bars_chart=bar_chart(
            "Commands by how often they were entered", [(each.line, each.times) for each in report.commands]
        ),
    )
    return _Part("Commands", "", (figure,))


def _files(report: AttackReport) -> _Part:
    rows = report.files
    figure = _Figure(
        "Files by transfers",
        (
            ("SHA-256", "text"),
            ("transfers", "number"),
            ("verdict", "verdict"),
            ("label", "plain"),
            ("type", "plain"),
            ("from", "text"),
        ),
        [(each.sha256, each.transfers, _verdict(each), each.label, each.file_type, each.url) for each in rows],
        bars_chart=bar_chart("Files by transfers", [(each.label or each.sha256, each.transfers) for each in rows]),
    )
    return _Part("Files", "Moved onto the honeypot, and what VirusTotal says of them.", (figure,), is_wide=True)


def _verdict(file: FileRow) -> _Verdict:
    """Say what is known of a file; that nobody flags it is not said of one that nobody looked at."""
    if file.malicious:
        return _Verdict(f"malicious ({file.malicious} scanners)", is_bad=True)
    if file.suspicious:
        return _Verdict(f"suspicious ({file.suspicious} scanners)", is_bad=True)
    if file.status is None:
        return _Verdict("never asked", is_bad=False)
    if file.status == Status.HIT:
        return _Verdict("not flagged", is_bad=False)
    if file.status == Status.NOT_FOUND:
        return _Verdict("not known to VirusTotal", is_bad=False)
    return _Verdict(f"no answer ({file.status})", is_bad=False)


def _coverage(report: AttackReport) -> _Part:
    rows = report.coverage
    figure = _Figure(
        "Share of rows that know a field",
        (
            ("asset", "plain"),
            ("field", "plain"),
            ("known", "number"),
            ("of", "number"),
            ("share", "number"),
            ("by day", "trend"),
        ),
        [
            (
                each.asset,
                each.field,
                each.known,
                each.total,
                f"{each.share:.1%}",
                trend([None if share is None else round(share, 4) for share in each.by_day], highest=1.0),
            )
            for each in rows
        ],
        bars_chart=bar_chart(
            "Share of rows that know a field", [(each.field, each.share) for each in rows], as_share=True
        ),
    )
    return _Part("Coverage", "How much of what should be known of addresses, networks and sessions is.", (figure,))


def _quality(report: AttackReport) -> _Part:
    counts = _Figure("Data of these days", (("what", "plain"), ("count", "number")), _quality_rows(report.quality))
    sensors = _Figure(
        "Sensors",
        (("sensor", "text"), ("sessions", "number"), ("last event", "plain")),
        [(each.sensor, each.sessions, each.last_event_at) for each in report.sensors],
        bars_chart=bar_chart("Sessions by sensor", [(each.sensor, each.sessions) for each in report.sensors]),
    )
    reasons = _Figure(
        "Lines that could not be read",
        (("reason", "plain"), ("lines", "number")),
        report.quality.dead_letters_by_reason,
    )
    shown = (counts, sensors, reasons) if reasons.rows else (counts, sensors)
    return _Part("Data quality", "Lines are those of whole files that have events of these days.", shown)


def _quality_rows(quality: Quality) -> list[tuple[str, int]]:
    return [
        ("events loaded", quality.events),
        ("events without a session", quality.events_without_session),
        ("sessions without an address", quality.sessions_without_address),
        ("days without data", len(quality.not_loaded)),
        ("days whose details were removed", len(quality.retired)),
        ("log files", quality.files),
        ("damaged log files", quality.damaged_files),
        ("lines", quality.lines),
        ("lines that are duplicates", quality.duplicates),
        ("lines that could not be read", quality.dead_letters),
        ("blank lines", quality.blank_lines),
    ]
