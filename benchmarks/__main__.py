"""`python -m benchmarks`: measure the figures, print one table, write `benchmarks/results.json`.

Belongs here: options, the table, the file of results. Does not belong here: what is measured (figures.py).
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.databases import DIALECTS, Databases
from benchmarks.figures import FIGURES, Bench, Row, Skipped
from benchmarks.inputs import Inputs
from benchmarks.scale import LONG_FIGURES

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results.json"
_PACKAGES = ("dagster", "geoip2", "maxminddb", "msgspec", "numpy", "orjson", "psycopg", "sqlalchemy")
_MEASURABLE = {**FIGURES, **LONG_FIGURES}
_HEADINGS = ("figure", "database", "value", "reference", "ratio", "to reach", "met", "peak memory")


def main() -> int:
    """Measure what the options name; the exit code is 0 even where a figure misses its mark."""
    options = _parse_options()
    load_before = os.getloadavg()[0]  # of the last minute: what others did on the machine
    work = _HERE / "work"
    work.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=work))
    rows: list[Row] = []
    skipped: list[Skipped] = []
    try:
        with Databases(folder) as databases:
            bench = Bench(folder, Inputs(folder, options.scale), databases, options.full)
            for name in options.only or FIGURES:
                for dialect in options.database or DIALECTS:
                    print(f"measuring {name} on {dialect} ...", file=sys.stderr, flush=True)
                    for each in _MEASURABLE[name](bench, dialect):
                        (rows if isinstance(each, Row) else skipped).append(each)  # type: ignore[arg-type]
            versions = {dialect: databases.version(dialect) for dialect in options.database or DIALECTS}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(_table(rows))
    for each in skipped:
        print(f"skipped: {each.figure}: {each.reason}")
    results = {**_circumstances(options, versions, load_before), "figures": [_as_object(row) for row in rows]}
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(_MEASURABLE), help="measure this figure; may be given again for others"
    )
    parser.add_argument("--database", action="append", choices=DIALECTS, help="measure on this database only")
    parser.add_argument("--scale", type=float, default=1.0, help="make all made input so many times as large, as 0.1")
    parser.add_argument("--full", action="store_true", help="measure memory with 1,000,000 and 10,000,000 events")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="where results are written")
    return parser.parse_args()


def _table(rows: Sequence[Row]) -> str:
    """Lay out rows as a Markdown table whose columns also line up as plain text."""
    cells = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    reference = "-" if row.reference is None else f"{_number(row.reference)} {row.reference_unit}"
    ratio = "-" if row.ratio is None else _number(row.ratio)
    return (
        row.figure,
        row.database,
        f"{_number(row.value)} {row.unit}",
        reference,
        ratio,
        ", ".join(target.text for target in row.targets),
        "yes" if row.met else "no: " + ", ".join(target.text for target in row.targets if not target.met),
        f"{row.peak_mb:.0f} MB",
    )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _as_object(row: Row) -> dict[str, Any]:
    return _rounded(asdict(row)) | {"met": row.met}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, dict) else round(value, 4) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _circumstances(options: argparse.Namespace, versions: dict[str, str], load_before: float) -> dict[str, Any]:
    """Say on what, of what and when the figures were measured; nothing names the machine or a path on it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "scale": options.scale,
        "full": options.full,
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "architecture": platform.machine(),
            "system": platform.system(),
            "load_before": round(load_before, 2),
        },
        "versions": {
            "python": platform.python_version(),
            **versions,
            **{package: version(package) for package in _PACKAGES},
        },
    }


def _commit() -> str:
    """Name the commit, with a mark if the checkout has changes; empty outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
