"""The command `lists`: what is downloaded whole, of what day it is, and downloading what is due."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cowrie_pipeline.cli.console import ERR, fail, in_words, print_error, print_json, print_line, print_table
from cowrie_pipeline.enrichment.build import lists_configuration
from cowrie_pipeline.enrichment.downloads import Change, Downloader, DownloadReport, Provenance, read_provenance
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS, ListsConfiguration, not_configured, refresh_all
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.settings import Settings, SettingsError

__all__ = ["refresh_lists", "show_lists"]


def show_lists(settings: Settings, *, as_json: bool) -> int:
    """Print every list; return the exit code."""
    configuration = lists_configuration(settings)
    now = datetime.now(UTC)
    rows = [_describe(each, configuration, settings, now) for each in ALL_LISTS]
    if as_json:
        print_json({"lists": rows})
        return 0
    print_table(
        "Downloaded lists",
        ("list", "of", "fetched", "age", "records", "size", "fetching", "file"),
        [
            (
                row["name"],
                row["list_date"] or ("by hand" if row["is_there"] else None),
                row["fetched_at"] and f"{row['fetched_at']:%Y-%m-%d %H:%M}",
                row["age"],
                "-" if row["records"] is None else f"{row['records']:,}",
                "-" if row["size"] is None else _size(row["size"]),
                row["why_not"] or ("is due" if row["is_due"] else "yes"),
                row["file"],
            )
            for row in rows
        ],
    )
    print_table(
        "Terms",
        ("list", "what it tells", "terms", "to be shown with it"),
        [(row["name"], row["about"], row["licence"], row["attribution"] or "nothing") for row in rows],
    )
    for row in rows:
        if row["last_error"] and not row["why_not"]:
            print_error(f"{row['name']}: {row['last_error']}")
    return 0


def refresh_lists(settings: Settings, *, quiet: bool, as_json: bool) -> int:
    """Download what is due and configured, with a line for each list; return the exit code: 1 if one failed."""
    if settings.offline:
        raise fail("COWRIE_OFFLINE is set, so nothing is downloaded: unset it to refresh the lists", 2)
    configuration = lists_configuration(settings)
    now = datetime.now(UTC)
    downloader = Downloader(user_agent=_user_agent(settings))
    reports: list[DownloadReport] = []
    try:
        for number, each in enumerate(ALL_LISTS, 1):
            if not quiet and not_configured(each, configuration) is None and _is_due(each, configuration, now):
                ERR.print(f"{number} of {len(ALL_LISTS)}: {each.name} ...", markup=False)
            reports.append(_refresh(each, configuration, downloader, now))
            if not as_json:
                _print_report(reports[-1])
    finally:
        downloader.close()
    failed = [report for report in reports if report.change is Change.FAILED]
    if as_json:
        print_json({"ok": not failed, "lists": [asdict(report) for report in reports]})
        return 1 if failed else 0
    counts = Counter(report.change for report in reports)
    print_line(", ".join(f"{counts[change]} {change.replace('_', ' ')}" for change in Change))
    for report in failed:
        print_error(f"{report.name}: {report.reason}. The list that was there is kept; run this again later.")
    return 1 if failed else 0


def _refresh(
    published: PublishedList, configuration: ListsConfiguration, downloader: Downloader, now: datetime
) -> DownloadReport:
    if not_configured(published, configuration) is not None or _is_due(published, configuration, now):
        (report,) = refresh_all(configuration, downloader, now=now, lists=(published,))
        return report
    known = _provenance(published, configuration)
    assert known is not None  # noqa: S101 - what is not due was fetched
    assert known.confirmed_at is not None  # noqa: S101 - the same
    due_at = known.confirmed_at + published.refresh_every
    reason = f"due again {due_at:%Y-%m-%d %H:%M} UTC"
    return DownloadReport(published.name, Change.UNCHANGED, reason, known.list_date, known.records, known.size)


def _is_due(published: PublishedList, configuration: ListsConfiguration, now: datetime) -> bool:
    """Whether a list is missing, failed the last time, or was confirmed too long ago."""
    known = _provenance(published, configuration)
    is_there = (configuration.folder_of(published) / published.file.file_name).is_file()
    if known is None or known.confirmed_at is None or known.last_error is not None or not is_there:
        return True
    return known.confirmed_at + published.refresh_every <= now


def _provenance(published: PublishedList, configuration: ListsConfiguration) -> Provenance | None:
    return read_provenance(configuration.folder_of(published) / published.file.file_name)


def _describe(
    published: PublishedList, configuration: ListsConfiguration, settings: Settings, now: datetime
) -> dict[str, Any]:
    path = configuration.folder_of(published) / published.file.file_name
    known = _provenance(published, configuration)
    is_there = path.is_file()
    why_not = not_configured(published, configuration) or ("COWRIE_OFFLINE is set" if settings.offline else None)
    modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC) if is_there else None
    confirmed_at = (known and known.confirmed_at) or modified_at
    return {
        "name": published.name,
        "title": published.terms.title,
        "about": published.terms.about,
        "is_there": is_there,
        "file": path,
        "list_date": known.list_date if known and is_there else None,
        "fetched_at": (known and known.fetched_at) if is_there else None,
        "confirmed_at": confirmed_at if is_there else None,
        "age": in_words(now - confirmed_at) if is_there and confirmed_at else None,
        "records": known.records if known and is_there else None,
        "size": path.stat().st_size if is_there else None,
        "why_not": why_not,
        "is_due": why_not is None and _is_due(published, configuration, now),
        "last_error": known.last_error if known else None,
        "refresh_every_seconds": published.refresh_every.total_seconds(),
        "url": published.terms.url,
        "licence": published.terms.licence,
        "attribution": published.terms.attribution,
    }


def _print_report(report: DownloadReport) -> None:
    style = {Change.FAILED: "red", Change.UPDATED: "green"}.get(report.change, "")
    of = f", of {report.list_date}" if report.list_date else ""
    print_line(f"{report.name}: {report.change.replace('_', ' ')}{of} ({report.reason})", style=style)


def _size(octets: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if octets >= size:
            return f"{octets / size:.1f} {unit}"
    return f"{octets} B"


def _user_agent(settings: Settings) -> str:
    try:
        client = HttpClient(contact=settings.contact)
    except ValueError as error:
        raise SettingsError(f"COWRIE_CONTACT: {error}") from error
    client.close()
    return client.user_agent
