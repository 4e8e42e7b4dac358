"""The command `ssh-keys`: the keys that attackers planted, and where else they were seen."""

import csv
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import IO, Any

from cowrie_pipeline.cli.console import fail, harmless, print_json, print_line, print_table, show_progress, time_shown
from cowrie_pipeline.cli.database import open_filled, span_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.harmless import in_spreadsheet
from cowrie_pipeline.steps.planted_keys import KeyReport, PlantedKeysReport, planted_keys

__all__ = ["show_ssh_keys"]

_CSV_COLUMNS = (
    "key_type",
    "bits",
    "fingerprint",
    "md5",
    "comment",
    "first_seen",
    "last_seen",
    "sessions",
    "addresses",
    "networks",
    "planted_elsewhere",
    "offered_in",
    "log_ins",
    "successful_log_ins",
)


def show_ssh_keys(
    settings: Settings,
    first: date | None,
    last: date | None,
    *,
    limit: int | None,
    key: str | None,
    csv_file: Path | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Print the keys planted from day `first` to `last`, or write them as CSV; return the exit code.

    A key that is asked for by `key` and was not planted ends with 1.
    """
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        with show_progress(quiet=quiet) as on_progress:
            report = PlantedKeysReport()
            if days is not None:
                report = planted_keys(
                    warehouse,
                    days,
                    limit=limit,
                    key=key,
                    on_progress=lambda done, total: on_progress("reading sessions", done, total),
                )
        url = warehouse.safe_url
    if key is not None and not report.keys:
        raise fail(f"no session planted the key {key}: `cowrie-enrich ssh-keys` lists those that were planted", 1)
    if csv_file is not None:
        _export(report, csv_file)
    if as_json:
        print_json({"database": url, "days": days and [days.first, days.last]} | asdict(report))
    elif csv_file is None:
        _print(report)
    elif str(csv_file) != "-":
        print_line(f"{csv_file}: {len(report.keys):,} keys")
    return 0


def _export(report: PlantedKeysReport, path: Path) -> None:
    if str(path) == "-":
        _write_csv(report, sys.stdout)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        _write_csv(report, file)


def _write_csv(report: PlantedKeysReport, file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    writer.writerows([_cell(getattr(each, name)) for name in _CSV_COLUMNS] for each in report.keys)


def _cell(value: Any) -> Any:
    """Return a value that neither a terminal nor a spreadsheet obeys: attackers choose comments."""
    if not isinstance(value, str):
        return value.isoformat() if hasattr(value, "isoformat") else value
    return in_spreadsheet(harmless(value))


def _print(report: PlantedKeysReport) -> None:
    print_table(
        "SSH keys planted into authorized_keys",
        ("fingerprint", "type", "bits", "comment", "first", "last", "sessions", "addresses", "networks"),
        [
            (
                each.fingerprint,
                each.key_type,
                each.bits,
                each.comment or None,
                time_shown(each.first_seen),
                time_shown(each.last_seen),
                each.sessions,
                each.addresses,
                each.networks,
            )
            for each in report.keys
        ],
    )
    print_table(
        "Seen elsewhere, over all days",
        ("fingerprint", "planted on other days", "offered in sessions", "log-ins by it", "of these successful"),
        [
            (each.fingerprint, each.planted_elsewhere, each.offered_in, each.log_ins, each.successful_log_ins)
            for each in report.keys
            if each.planted_elsewhere or each.offered_in or each.log_ins
        ],
    )
    for each in report.keys:
        _print_sessions(each)
    left_out = report.distinct - len(report.keys)
    print_line(
        f"{report.distinct:,} keys were planted; {report.sessions_read:,} sessions were looked through"
        + (f"; {left_out:,} more keys are shown with a higher --limit" if left_out else "")
        + "."
    )


def _print_sessions(key: KeyReport) -> None:
    print_table(
        f"Newest sessions with {key.fingerprint}",
        ("how", "began", "address", "network", "sensor", "session"),
        [
            (
                each.how,
                time_shown(each.began_at),
                each.source,
                f"AS{each.network}" if each.network else None,
                each.sensor,
                each.session_id,
            )
            for each in key.shown
        ],
    )
