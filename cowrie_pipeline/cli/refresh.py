"""The command `refresh`: what has expired is asked again, a portion at a time."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from cowrie_pipeline.cli.console import fail, print_error, print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.cli.options import STOPPED
from cowrie_pipeline.enrichment.build import Enrichment, build_enrichment
from cowrie_pipeline.observability.status_files import StatusBoard, shown_on
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.enrichment_plan import Subject, subject_of, why_not_asked
from cowrie_pipeline.steps.journal import journaled
from cowrie_pipeline.steps.ledger import open_ledger
from cowrie_pipeline.steps.refresh import Portion, RefreshReport, StillStale, refresh, still_stale
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance

__all__ = ["refresh_facts"]


def refresh_facts(
    settings: Settings,
    *,
    addresses: int | None,
    sessions: int | None,
    files: int | None,
    source: str | None,
    older_than_days: float | None,
    commit_interval: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Ask again about so many of each, None for all; print what came of it; return the exit code.

    1 where a source failed and gave not one answer, 130 where it was stopped.
    """
    _refuse_senseless(addresses, sessions, files, source, older_than_days)
    now = datetime.now(UTC)
    portion = Portion(
        addresses=addresses,
        sessions=sessions,
        files=files,
        source=source,
        older_than=None if older_than_days is None else now - timedelta(days=older_than_days),
        at_once=commit_interval,
    )
    report = RefreshReport()
    is_stopped = False
    with open_filled(settings) as warehouse:
        with build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment:
            not_asked = _not_asked(enrichment, settings, files)
            if source is not None and source in not_asked:
                raise fail(f"{source} cannot be asked: {not_asked[source]}", 1)
            ledger = open_ledger(warehouse, settings, enrichment, now=now)
            with (
                shown_on(StatusBoard(settings.status_folder)),
                journaled(warehouse, "refresh", None) as entry,
                show_progress(quiet=quiet) as on_progress,
            ):
                try:
                    refresh(
                        warehouse,
                        enrichment,
                        portion,
                        ledger=ledger,
                        now=now,
                        report=report,
                        on_progress=on_progress,
                    )
                except KeyboardInterrupt:
                    is_stopped = True
                entry.report = report.counts
        still = still_stale(warehouse, now=now)
        if as_json:
            print_json(_as_object(report, still, not_asked, is_stopped=is_stopped) | {"database": warehouse.safe_url})
        else:
            _print(report, still, not_asked)
    for name in report.failed:
        print_error(f"{name} was asked and gave no answer: `cowrie-enrich sources` shows its last error")
    if is_stopped:
        print_error("stopped; what was committed is kept, and the same command goes on from there")
        return STOPPED
    return 1 if report.failed else 0


def _refuse_senseless(
    addresses: int | None, sessions: int | None, files: int | None, source: str | None, older_than_days: float | None
) -> None:
    """End with 2 where the options name nothing to do, or what does not go together."""
    if (addresses, sessions, files) == (0, 0, 0):
        raise fail("nothing to do: give --ips, --sessions or --files, each with a number or all", 2)
    if older_than_days is not None and addresses == 0 and files == 0:
        raise fail("--older-than is of addresses and files: give --ips or --files with it", 2)
    if source is None:
        return
    subject = subject_of(source)
    if subject is Subject.PASSWORDS:
        raise fail(f"--source {source} is asked about passwords: use `cowrie-enrich passwords`", 2)
    if subject is Subject.FILES and (files == 0 or addresses != 0):
        raise fail(f"--source {source} is asked about files: give --files with it, and not --ips", 2)
    if subject is not Subject.FILES and (addresses == 0 or files != 0):
        raise fail(f"--source {source} is asked about {subject}: give --ips with it, and not --files", 2)


def _not_asked(enrichment: Enrichment, settings: Settings, files: int | None) -> dict[str, str]:
    """Return why sources of what is refreshed are not asked."""
    meant = {Subject.ADDRESSES, Subject.NETWORKS} | ({Subject.FILES} if files != 0 else set())
    reasons = ((state.source.name, why_not_asked(state, settings)) for state in enrichment.sources)
    return {name: reason for name, reason in reasons if reason is not None and subject_of(name) in meant}


def _as_object(
    report: RefreshReport, still: StillStale, not_asked: dict[str, str], *, is_stopped: bool
) -> dict[str, object]:
    return {
        "ok": not report.failed and not is_stopped,
        "stopped": is_stopped,
        "addresses": report.addresses,
        "snapshots": report.snapshots,
        "files": report.files,
        "networks_created": report.networks_created,
        "look_ups": report.outcomes,
        "remembered": report.remembered,
        "failed": report.failed,
        "findings": list(report.findings),
        "not_asked": not_asked,
        "still_stale": asdict(still),
    }


def _print(report: RefreshReport, still: StillStale, not_asked: dict[str, str]) -> None:
    snapshots = ", ".join(f"{basis} {count:,}" for basis, count in sorted(report.snapshots.items()))
    print_line(
        f"{report.addresses:,} addresses and {report.files:,} files looked up; {report.networks_created:,} networks "
        f"are new; {report.snapshots.total():,} snapshots taken" + (f" ({snapshots})" if snapshots else "")
    )
    print_table(
        "Look-ups",
        ("source", "remembered", "by outcome"),
        [
            (
                service,
                report.remembered[service],
                ", ".join(
                    f"{status} {count:,}" for status, count in sorted(report.outcomes.get(service, {}).items()) if count
                ),
            )
            for service in sorted({*report.outcomes, *report.remembered})
        ],
    )
    print_table("Not asked", ("source", "why"), list(not_asked.items()))
    for finding in report.findings:
        print_line(finding, style="yellow")
    print_line(
        f"Still stale: {still.addresses:,} addresses and {still.files:,} files; {still.sessions:,} sessions have no "
        "snapshot yet."
    )
