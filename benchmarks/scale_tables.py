"""The tables of docs/scale.md, made of results: `python -m benchmarks.scale_tables RESULTS...`.

Belongs here: what of the figure `scale` is shown, and in which units. Does not belong here: measuring (scale.py).
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_TABLES_SHOWN = 12


def main(paths: Iterable[str]) -> None:
    """Print a section for each database that the results have."""
    for path in paths:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
        for figure in results["figures"]:
            if "runs" in figure["details"]:
                print("\n".join(_section(results, figure)))


def _section(results: Mapping[str, Any], figure: Mapping[str, Any]) -> list[str]:
    details, database = figure["details"], figure["database"]
    runs, events = details["runs"], details["events"]
    size = runs[-1]["bytes"]
    return [
        f"### {database} {results['versions'][database]}",
        "",
        _measured_on(results, details),
        "",
        *_table(
            ("stage", "seconds", "s of processors", "of the server", "us per event", "peak MB", "of the server"),
            [
                (
                    name,
                    f"{used['seconds']:,.1f}",
                    f"{used['cpu_seconds']:,.1f}",
                    f"{used['server_cpu_seconds']:,.1f}",
                    f"{(used['cpu_seconds'] + used['server_cpu_seconds']) / events * 1e6:,.1f}",
                    f"{used['peak_mb']:,.0f}",
                    f"{used['server_peak_mb']:,.0f}",
                )
                for name, used in details["stages"].items()
            ],
        ),
        "",
        *_table(
            (
                "days",
                "events before",
                "events",
                "us of processors per event",
                "MB after",
                "MB of log",
                *runs[0]["stages"],
            ),
            [
                (
                    f"{run['first_day']} to {run['last_day']}",
                    f"{sum(each['events'] for each in runs[:number]):,}",
                    f"{run['events']:,}",
                    f"{run['cpu_seconds'] / run['events'] * 1e6:,.0f}",
                    f"{run['bytes'] / 1e6:,.0f}",
                    f"{run['log_bytes'] / 1e6:,.0f}",
                    *(
                        f"{(used['cpu_seconds'] + used['server_cpu_seconds']) / run['events'] * 1e6:,.1f}"
                        for used in run["stages"].values()
                    ),
                )
                for number, run in enumerate(runs)
            ],
        ),
        "",
        *_table(
            ("table, with its indexes", "rows", "MB", "bytes per row", "bytes per session", "bytes per address"),
            [
                (
                    name,
                    f"{table['rows']:,}",
                    f"{table['bytes'] / 1e6:,.1f}",
                    f"{table['bytes'] / max(table['rows'], 1):,.0f}",
                    f"{table['bytes'] / details['sessions']:,.0f}",
                    f"{table['bytes'] / details['addresses']:,.0f}",
                )
                for name, table in sorted(details["tables"].items(), key=lambda each: -each[1]["bytes"])[:_TABLES_SHOWN]
            ]
            + [
                (
                    "all",
                    "",
                    f"{size / 1e6:,.1f}",
                    "",
                    f"{size / details['sessions']:,.0f}",
                    f"{size / details['addresses']:,.0f}",
                )
            ],
        ),
        "",
        _also_measured(details),
        "",
    ]


def _measured_on(results: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    machine = results["machine"]
    return (
        f"{results['date'][:10]}, {machine['cores']} cores, {machine['memory_gb']} GB, load before "
        f"{machine['load_before']}: {details['events']:,} events, {details['sessions']:,} sessions, "
        f"{details['addresses']:,} addresses on {details['days']} days, {details['logs_bytes'] / 1e6:,.0f} MB of logs; "
        f"{details['seconds']:,.0f} s, {details['cpu_seconds']:,.0f} s of processors."
    )


def _also_measured(details: Mapping[str, Any]) -> str:
    documents, due = details["documents"], details["due_of_last_day"]
    found = ", ".join(
        f"{number:,} found in {due['seconds'][name]:.2f} s when {name} had expired"
        for name, number in due["due"].items()
    )
    checks = ", ".join(
        f"`{name}` {seconds:.2f} s"
        for name, seconds in sorted(details["check_seconds_of_last_days"].items(), key=lambda each: -each[1])[:6]
    )
    backup = details["backup"]
    return (
        f"{documents['of_addresses']:,} addresses have {documents['of_addresses_distinct']:,} distinct documents of "
        f"{documents['of_addresses_bytes'] / 1e6:,.1f} MB together; {documents['kept']:,} are kept for snapshots, each "
        f"once, {documents['kept_bytes'] / 1e6:,.1f} MB. Due addresses of the last day: {found}. Checks that took "
        f"longest: {checks}."
        + (f" Backup: {backup['bytes'] / 1e6:,.0f} MB in {backup['seconds']:,.1f} s." if backup else "")
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
