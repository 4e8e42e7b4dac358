"""The command `report`: questions that the database answers, as a table or a file.

Belongs here: formats, and what is safe to show where.
Does not belong here: the questions (sql/reports/, steps/reports.py).
"""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cowrie_pipeline.cli.console import ERR, fail, harmless, print_json, print_line, print_table, time_shown
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.cli.options import ReportFormat
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.harmless import in_markdown, in_spreadsheet, visible
from cowrie_pipeline.steps.reports import (
    Kind,
    Report,
    ReportError,
    ReportSpec,
    all_reports,
    as_frame,
    choose_days,
    read_report,
    run_report,
)

__all__ = ["list_reports", "show_report"]

# A table is read by a person; files get every row.
_ROWS_OF_TABLE = 50
_NO_PARQUET = (
    "writing parquet needs pyarrow, which is not installed: `pip install 'cowrie_pipeline[parquet]'`, or choose "
    "--format csv or json"
)


def list_reports(*, as_json: bool) -> int:
    """Print every report with the question that it answers; return the exit code."""
    reports = all_reports()
    if as_json:
        print_json({"reports": [_described(spec) for spec in reports]})
        return 0
    print_table("Reports", ("name", "question"), [(spec.name, spec.question) for spec in reports])
    own = [(spec.name, each.name, each.meaning) for spec in reports for each in spec.parameters]
    print_table("What can be asked for by --with NAME=VALUE", ("report", "name", "meaning"), own)
    return 0


def _described(spec: ReportSpec) -> dict[str, Any]:
    return {
        "report": spec.name,
        "title": spec.title,
        "question": spec.question,
        "notes": spec.notes,
        "columns": {column.name: column.kind.value for column in spec.columns},
        "parameters": {each.name: each.meaning for each in spec.parameters},
        "default_days": spec.span.value,
    }


def show_report(
    settings: Settings,
    name: str,
    first: date | None,
    last: date | None,
    *,
    as_format: ReportFormat | None,
    limit: int | None,
    values: Sequence[str] = (),
    output: Path | None = None,
) -> int:
    """Run a report over the days from `first` to `last` and write it to standard output or a file.

    Args:
        settings: name the database.
        name: the report's.
        first: of the days; without it the first that the report means by itself.
        last: of the days; likewise.
        as_format: without it, that of the file's name, or else a table.
        limit: rows at most; without it 50 in a table and all in every other format.
        values: parameters of the report's own, such as `country=DE`.
        output: the file to write.
    """
    written = as_format or _format_of(output)
    if written is ReportFormat.PARQUET and output is None and sys.stdout.isatty():
        raise fail("parquet is no text that a terminal could show: give --output FILE, or send it through a pipe", 2)
    if limit is None and written is ReportFormat.TABLE:
        limit = _ROWS_OF_TABLE
    try:
        spec = read_report(name)
        with open_filled(settings) as warehouse, warehouse.read() as connection:
            days = choose_days(connection, spec, first, last)
            report = run_report(connection, name, days, limit=limit, values=_parsed(values))
    except ReportError as error:
        raise fail(str(error), 2) from None
    if output is None and written is ReportFormat.TABLE:
        _print(report)
    elif output is None and written is ReportFormat.JSON:
        print_json(_as_object(report))
    else:
        content = _WRITERS[written](report)
        if output is None:
            _write_to_stdout(content)
        else:
            _write_file(output, content)
    if report.is_cut:
        ERR.print(f"The first {len(report.rows):,} rows; there are more: --limit N", markup=False)
    return 0


def _format_of(output: Path | None) -> ReportFormat:
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    return ReportFormat(suffix) if suffix in {each.value for each in ReportFormat} else ReportFormat.TABLE


def _parsed(values: Sequence[str]) -> Mapping[str, str]:
    parsed = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals:
            raise fail(f"expected --with NAME=VALUE, such as --with country=DE, found {each!r}", 2)
        parsed[name] = value
    return parsed


def _print(report: Report) -> None:
    spec, days = report.spec, report.days
    print_line(f"{spec.title}, {days.first} to {days.last}", style="bold")
    if report.rows:
        print_table("", report.columns, [_shown(report, row) for row in report.rows])
    else:
        print_line("no rows")


def _shown(report: Report, row: Sequence[Any]) -> list[Any]:
    """Return a row as tables show it: numbers of networks are names, and have no commas."""
    return [
        time_shown(value)
        if isinstance(value, datetime)
        else str(value)
        if column.name.startswith("asn_number") and value is not None
        else f"{value:.1%}"
        if column.name.endswith("share") and value is not None
        else value
        for column, value in zip(report.spec.columns, row, strict=True)
    ]


def _as_object(report: Report) -> dict[str, Any]:
    return {
        "report": report.spec.name,
        "title": report.spec.title,
        "first_day": report.days.first.isoformat(),
        "last_day": report.days.last.isoformat(),
        "is_cut": report.is_cut,
        "rows": [dict(zip(report.columns, map(_json_value, row), strict=True)) for row in report.rows],
    }


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _csv(report: Report) -> bytes:
    """Return the rows as CSV with a header, UTF-8; a text that a spreadsheet would take for a formula gets a `'`.

    Numbers and times are as they are. Whoever needs texts to the letter has JSON and parquet.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(report.columns)
    kinds = [column.kind for column in report.spec.columns]
    writer.writerows([_cell(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in report.rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any, kind: Kind) -> Any:
    if value is None:
        return ""
    if kind is Kind.TEXT:
        return in_spreadsheet(value)
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    return _json_value(value)


def _json(report: Report) -> bytes:
    return (json.dumps(_as_object(report), indent=2) + "\n").encode("ascii")


def _parquet(report: Report) -> bytes:
    if find_spec("pyarrow") is None:
        raise fail(_NO_PARQUET, 1)
    buffer = io.BytesIO()
    as_frame(report).to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _table(report: Report) -> bytes:
    """Return the rows as Markdown, which is a table in any editor, and in no viewer a link or a picture."""
    lines = [" | ".join(report.columns), " | ".join("---" for _ in report.columns)]
    kinds = [column.kind for column in report.spec.columns]
    for row in report.rows:
        cells = zip(_shown(report, row), kinds, strict=True)
        lines.append(" | ".join("-" if value is None else _markdown_cell(str(value), kind) for value, kind in cells))
    return "".join(f"| {line} |\n" for line in lines).encode("utf-8", "backslashreplace")


def _markdown_cell(text: str, kind: Kind) -> str:
    return in_markdown(visible(text)) if kind is Kind.TEXT else text


_WRITERS: Mapping[ReportFormat, Callable[[Report], bytes]] = {
    ReportFormat.TABLE: _table,
    ReportFormat.CSV: _csv,
    ReportFormat.JSON: _json,
    ReportFormat.PARQUET: _parquet,
}


def _write_to_stdout(content: bytes) -> None:
    """Write bytes; on a terminal, texts with everything escaped that it would obey."""
    if sys.stdout.isatty():
        for line in content.decode("utf-8").splitlines():
            print_line(line)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: one that was there stays until the new one is complete."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    ERR.print(f"wrote {harmless(str(path))}", markup=False)
