"""The commands `cache`: what is remembered of services, having it asked again, removing what is long expired."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from cowrie_pipeline.cli.console import print_json, print_line, print_table, show_progress, time_shown
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.invalidate_answers import invalidate_answers
from cowrie_pipeline.warehouse.cache_care import (
    Selection,
    cached_addresses,
    clean_up,
    contents,
    flagged_files,
    usage_by_day,
)

__all__ = ["invalidate_service", "remove_expired", "show_addresses", "show_flagged", "show_stats"]


def show_stats(settings: Settings, days: int, *, as_json: bool) -> int:
    """Print what the cache holds, and its use on the last `days` days; return the exit code."""
    now = datetime.now(UTC)
    today = now.date()
    with open_filled(settings) as warehouse:
        url = warehouse.safe_url
        with warehouse.read() as connection:
            held = contents(connection, now=now)
            used = usage_by_day(connection, today - timedelta(days=days - 1), today)
    if as_json:
        print_json(
            {"database": url, "contents": [asdict(each) for each in held], "usage": [asdict(each) for each in used]}
        )
        return 0
    print_table(
        "What is remembered",
        ("service", "entries", "due", "oldest", "newest", "by outcome"),
        [
            (
                each.service,
                each.entries,
                each.due,
                time_shown(each.oldest),
                time_shown(each.newest),
                ", ".join(f"{status} {count:,}" for status, count in each.by_status.items()),
            )
            for each in held
        ],
    )
    print_table(
        f"Use on the last {days} days",
        ("service", "day", "found", "not found", "stored", "calls", "no answer", "ms a call"),
        [
            (
                each.service,
                each.day.isoformat(),
                each.hits,
                each.misses,
                each.stores,
                each.calls,
                each.failures,
                "-" if each.latency_ms is None else f"{each.latency_ms:,.0f}",
            )
            for each in used
        ],
    )
    if not held and not used:
        print_line(f"Nothing is remembered yet. Database: {url}")
    return 0


def invalidate_service(
    settings: Settings,
    service: str,
    *,
    status: Status | None,
    older_than_days: float | None,
    key: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make the answers of a service due, and all that has them; return the exit code."""
    now = datetime.now(UTC)
    older_than = None if older_than_days is None else now - timedelta(days=older_than_days)
    with open_filled(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        report = invalidate_answers(
            warehouse,
            Selection(service=service, status=status, older_than=older_than, key=key),
            now=now,
            on_progress=on_progress,
        )
    if as_json:
        print_json({"service": service} | asdict(report))
        return 0
    kinds = (("addresses", report.addresses), ("files", report.files), ("passwords", report.passwords))
    elsewhere = [f"{count:,} {name}" for name, count in kinds if count]
    print_line(
        f"{service}: {report.answers:,} answers are due now"
        + (f", and so are {' and '.join(elsewhere)}" if elsewhere else "")
        + ". The next run over their days asks again; what is known is kept until then."
    )
    if settings.cache_mode == "hybrid":
        print_line(
            "Answers that only the disk has are as they were: bring them into the database first "
            f"(cowrie-enrich migrate-cache --from-disk {settings.cache_folder} --to-database).",
            style="yellow",
        )
    return 0


def remove_expired(settings: Settings, *, quiet: bool, as_json: bool) -> int:
    """Remove what expired longer ago than the settings say; return the exit code."""
    with open_filled(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        report = clean_up(
            warehouse,
            expired_for=timedelta(days=settings.cache_keep_days),
            now=datetime.now(UTC),
            on_progress=lambda done, total: on_progress("removing", done, total),
        )
    if as_json:
        print_json(asdict(report))
        return 0
    by_service = ", ".join(f"{service} {count:,}" for service, count in report.removed.items())
    print_line(
        f"{sum(report.removed.values()):,} entries removed that expired more than {settings.cache_keep_days:g} days ago"
        + (f" ({by_service})" if by_service else "")
        + f"; {report.claims:,} claims had run out."
    )
    return 0


def show_addresses(settings: Settings, country: str, *, as_json: bool) -> int:
    """Print the addresses that services place in a country; return the exit code."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        found = cached_addresses(connection, country)
    if as_json:
        print_json({"country": country, "addresses": [asdict(each) for each in found]})
        return 0
    print_table(
        f"Addresses in {country}, as services say",
        ("address", "service", "fetched", "holds until"),
        [(each.ip_address, each.service, time_shown(each.fetched_at), time_shown(each.expires_at)) for each in found],
    )
    if not found:
        print_line(f"No service is remembered to place an address in {country}.")
    return 0


def show_flagged(settings: Settings, days: float, *, as_json: bool) -> int:
    """Print the files that scanners called malicious in the last days; return the exit code."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        found = flagged_files(connection, since=datetime.now(UTC) - timedelta(days=days))
    if as_json:
        print_json({"days": days, "files": [asdict(each) for each in found]})
        return 0
    print_table(
        f"Files called malicious, as VirusTotal said in the last {days:g} days",
        ("sha256", "scanners", "label", "fetched"),
        [(each.sha256, each.malicious, each.label, time_shown(each.fetched_at)) for each in found],
    )
    if not found:
        print_line(f"VirusTotal said of no file in the last {days:g} days that scanners call it malicious.")
    return 0
