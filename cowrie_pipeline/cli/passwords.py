"""The commands `passwords`, `top-passwords` and `new-passwords`: what attackers try, and whether it is in leaks."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime

from cowrie_pipeline.cli.console import (
    print_error,
    print_json,
    print_line,
    print_table,
    show_progress,
    time_shown,
)
from cowrie_pipeline.cli.database import open_filled, span_of
from cowrie_pipeline.cowrie.text import unescape_text
from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.observability.status_files import StatusBoard, shown_on
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asking import AskingReport
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.ledger import open_ledger
from cowrie_pipeline.steps.stale_enrichment import refresh_stale_passwords
from cowrie_pipeline.steps.tried_passwords import (
    ExposureOverview,
    TriedPassword,
    exposure_overview,
    new_passwords,
    top_passwords,
)
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance

__all__ = ["check_passwords", "show_new_passwords", "show_top_passwords"]


def check_passwords(settings: Settings, limit: int, *, quiet: bool, as_json: bool) -> int:
    """Ask about `limit` of the passwords that are due, print what is known of all; return the exit code.

    1 where the service cannot be asked, or failed and gave not one answer.
    """
    now = datetime.now(UTC)
    with open_filled(settings) as warehouse:
        with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
            ledger = open_ledger(warehouse, settings, enrichment, now=now)
            with (
                shown_on(StatusBoard(settings.status_folder)),
                journaled(warehouse, "passwords", None) as entry,
                show_progress(quiet=quiet) as on_progress,
            ):
                report = refresh_stale_passwords(
                    warehouse,
                    enrichment,
                    ledger=ledger,
                    now=now,
                    at_most=limit,
                    on_progress=lambda done, total: on_progress("asking", done, total),
                )
                entry.report = report.counts if report.due and report.not_asked is None else {}
        with warehouse.read() as connection:
            overview = exposure_overview(connection, now=now)
        url = warehouse.safe_url
    has_failed = _has_failed(report)
    if as_json:
        asked = {"asked": report.outcomes, "remembered": report.remembered, "not_asked": report.not_asked}
        ok = not has_failed and report.not_asked is None
        print_json({"database": url, "ok": ok} | asked | {"passwords": asdict(overview)})
    else:
        _print_overview(report, overview)
    if report.not_asked is not None:
        print_error(f"Pwned Passwords cannot be asked: {report.not_asked}")
    elif has_failed:
        print_error(
            "Pwned Passwords gave no answer: `cowrie-enrich sources` shows its last error; run this again later"
        )
    return 1 if has_failed or report.not_asked is not None else 0


def _has_failed(report: AskingReport) -> bool:
    counts = report.outcomes
    answers = sum(counts[status.value] for status in Status if status.is_answer)
    return not answers and bool(counts[Status.ERROR.value] or counts[Status.RATE_LIMITED.value])


def _print_overview(report: AskingReport, overview: ExposureOverview) -> None:
    outcomes = ", ".join(f"{status} {count:,}" for status, count in sorted(report.outcomes.items()))
    print_line(
        f"Asked about {report.outcomes.total():,} beginnings of hashes"
        + (f" ({outcomes})" if outcomes else "")
        + f", {report.remembered:,} were remembered"
    )
    print_line(
        f"{overview.passwords:,} passwords were tried: {overview.exposed:,} are in leaks, which "
        f"{overview.exposed_attempts:,} of {overview.attempts:,} attempts used; {overview.due:,} are due"
    )
    print_table("Passwords by the last answer", ("answer", "passwords"), list(overview.statuses.items()))


def show_top_passwords(
    settings: Settings, first: date | None, last: date | None, limit: int, *, quiet: bool, as_json: bool
) -> int:
    """Print the passwords tried most; return the exit code."""
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        found: Sequence[TriedPassword] = ()
        if days is not None:
            with show_progress(quiet=quiet) as on_progress, warehouse.read() as connection:
                found = top_passwords(connection, days, limit=limit)
                on_progress("counting passwords", len(found), len(found))
        url = warehouse.safe_url
    if as_json:
        print_json({"database": url, "days": _as_list(days), "passwords": [_as_object(each) for each in found]})
        return 0
    _print_passwords(f"Passwords tried most, {_in_words(days)}", found)
    return 0


def show_new_passwords(
    settings: Settings, first: date | None, last: date | None, limit: int, *, quiet: bool, as_json: bool
) -> int:
    """Print the passwords that were not tried before; return the exit code."""
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        found: Sequence[TriedPassword] = ()
        total = 0
        if days is not None:
            days = days if first is not None else DayRange(days.last, days.last)
            with show_progress(quiet=quiet) as on_progress, warehouse.read() as connection:
                found, total = new_passwords(connection, days, limit=limit)
                on_progress("comparing passwords", total, total)
        url = warehouse.safe_url
    if as_json:
        passwords = [_as_object(each) for each in found]
        print_json({"database": url, "days": _as_list(days), "new": total, "passwords": passwords})
        return 0
    _print_passwords(f"Passwords never tried before, {_in_words(days)}", found)
    print_line(f"{total:,} passwords are new" + (f"; --limit shows more than {limit:,}" if total > limit else "") + ".")
    return 0


def _as_list(days: DayRange | None) -> list[date] | None:
    return None if days is None else [days.first, days.last]


def _in_words(days: DayRange | None) -> str:
    return "no days with sessions" if days is None else f"{days.first} to {days.last}"


def _as_object(password: TriedPassword) -> dict[str, object]:
    return asdict(password) | {"exposed": password.is_exposed}


def _print_passwords(title: str, found: Sequence[TriedPassword]) -> None:
    print_table(
        title,
        ("password", "attempts", "sessions", "addresses", "first", "in leaks"),
        [
            (
                unescape_text(each.password),
                each.attempts,
                each.sessions,
                each.addresses,
                time_shown(each.first_seen),
                "not known" if each.times_seen is None else f"{each.times_seen:,} times" if each.times_seen else "no",
            )
            for each in found
        ],
    )
    if not found:
        print_line(f"{title}: none.")
