"""Reports as metadata of the assets that they are about.

Belongs here: which reports a materialization shows, and bars. Does not belong here: what they say (steps/reports.py).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from cowrie_pipeline.orchestration.metadata import table_of
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.reports import Kind, Report, ReportSpec, Span, all_reports, days_to, run_report

__all__ = ["report_metadata"]

_ROWS_SHOWN = 10
_BAR_LENGTH = 30
# Of a long backfill the newest days are described: each of thousands would be looked at by nobody, and take its time.
_DAYS_SHOWN = 31
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def report_metadata(
    connection: Connection, asset: str, days: DayRange, *, today: date
) -> defaultdict[date, dict[str, Any]]:
    """Return for each of the newest days what the reports about an asset say, as tables and bars.

    A report by day is run once. Others are run for each day, or the week to it; those of look-ups, which are made when
    the work is done, for `today`.
    """
    shown: defaultdict[date, dict[str, Any]] = defaultdict(dict)
    newest = DayRange(max(days.first, date.fromordinal(days.last.toordinal() - _DAYS_SHOWN + 1)), days.last)
    for spec in all_reports():
        if asset not in spec.assets:
            continue
        if spec.is_by_day:
            report = run_report(connection, spec.name, newest)
            for day in newest:
                shown[day] |= _described(spec, _rows_of(report, asset, day))
        elif spec.span is Span.LOOK_UPS:
            described = _described(spec, run_report(connection, spec.name, DayRange(today, today)).rows)
            for day in newest:
                shown[day] |= described
        else:
            for day in newest:
                report = run_report(connection, spec.name, days_to(spec, day), limit=_ROWS_SHOWN)
                shown[day] |= _described(spec, report.rows)
    return shown


def _rows_of(report: Report, asset: str, day: date) -> list[tuple[Any, ...]]:
    """Return the rows of a day, and of the asset where they name one."""
    index = report.columns.index("asset") if "asset" in report.columns else None
    return [row for row in report.rows if row[0] == day and (index is None or row[index] == asset)]


def _described(spec: ReportSpec, rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    rows = list(rows)
    found: dict[str, Any] = {spec.name: table_of([column.name for column in spec.columns], rows)}
    if spec.plot is not None:
        found[f"{spec.name}_plot"] = dg.MetadataValue.md(_bars(spec, rows))
    return found


def _bars(spec: ReportSpec, rows: Iterable[tuple[Any, ...]]) -> str:
    """Draw bars of text, which need no image and no script, and can be copied."""
    assert spec.plot is not None  # noqa: S101 - asked for only then
    names = [column.name for column in spec.columns]
    kinds = {column.name: column.kind for column in spec.columns}
    value_at, label_at = names.index(spec.plot.value), names.index(spec.plot.label)
    drawn = [(str(row[label_at]) if row[label_at] is not None else "not known", row[value_at] or 0) for row in rows]
    longest = max((abs(value) for _, value in drawn), default=0) or 1
    lines = [f"| {spec.plot.label} | {spec.plot.value} | |", "|---|---:|---|"]
    for label, value in drawn:
        number = f"{value:.3f}" if kinds[spec.plot.value] is Kind.NUMBER else f"{value:,}"
        bar = ("█" if value > 0 else "░") * max(1 if value else 0, round(_BAR_LENGTH * abs(value) / longest))
        lines.append(f"| {_plain(label)} | {number} | {bar} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text that Markdown takes for nothing but text."""
    one_line = "".join(c if c.isprintable() else " " for c in text)
    return _MARKDOWN.sub(r"\\\1", one_line)
