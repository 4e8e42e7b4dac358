"""Reports as metadata of the assets that they are about.

Belongs here: which reports a materialization shows, and pictures in Markdown.
Does not belong here: what they say (steps/reports.py).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import Connection, select

from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.orchestration.metadata import table_of
from cowrie_pipeline.steps.charts import BarChart, ColumnChart, bar_chart, column_chart, image_of
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.harmless import in_markdown
from cowrie_pipeline.steps.reports import Report, ReportSpec, Span, all_reports, days_to, run_report
from cowrie_pipeline.warehouse.tables import loaded_days

__all__ = ["DAYS_SHOWN", "answers_metadata", "columns_image", "report_metadata", "sessions_by_day_image"]

_ROWS_SHOWN = 10
# Of a long backfill the newest days are described: each of thousands would be looked at by nobody, and take its time.
DAYS_SHOWN = 31
_MONTH = 30
# The columns of a report on how much is known.
_COVERAGE = {"field", "total", "known"}


def report_metadata(
    connection: Connection, asset: str, days: DayRange, *, today: date
) -> defaultdict[date, dict[str, Any]]:
    """Return for each of the newest days what the reports about an asset say, as tables and pictures.

    A report by day is run once. Others are run for each day, or the week to it; those of look-ups, which are made when
    the work is done, for `today`.
    """
    shown: defaultdict[date, dict[str, Any]] = defaultdict(dict)
    newest = DayRange(max(days.first, date.fromordinal(days.last.toordinal() - DAYS_SHOWN + 1)), days.last)
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
        found[f"{spec.name}_plot"] = _bars(spec, rows)
    if {column.name for column in spec.columns} >= _COVERAGE:
        found |= _coverage(spec, rows)
    return found


def _coverage(spec: ReportSpec, rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the share of each field as a picture, and as numbers, which the UI plots over all partitions."""
    names = [column.name for column in spec.columns]
    field, total, known = (names.index(name) for name in ("field", "total", "known"))
    shares = {row[field]: row[known] / row[total] for row in rows if row[total]}
    if not shares:
        return {}
    chart = bar_chart("Share of rows that know a field", list(shares.items()), as_share=True)
    return {f"{spec.name}_plot": _shown(chart)} | {
        f"coverage_of_{name}": round(share, 4) for name, share in shares.items()
    }


def _bars(spec: ReportSpec, rows: Iterable[tuple[Any, ...]]) -> dg.MarkdownMetadataValue:
    assert spec.plot is not None  # noqa: S101 - asked for only then
    names = [column.name for column in spec.columns]
    value_at, label_at = names.index(spec.plot.value), names.index(spec.plot.label)
    drawn = [(row[label_at], row[value_at] or 0) for row in rows]
    as_share = spec.plot.value == "share"
    return _shown(bar_chart(f"{spec.plot.value} by {spec.plot.label}", drawn, as_share=as_share))


def answers_metadata(statuses: Mapping[str, int]) -> dict[str, Any]:
    """Return how many things of a day one source was asked about, by what became of it: table, picture and share.

    Args:
        statuses: how many things, by the status of their look-up.
    """
    total = sum(statuses.values())
    shares = {status: number / total for status, number in sorted(statuses.items())}
    rows = [(status, statuses[status], round(share, 4)) for status, share in shares.items()]
    found: dict[str, Any] = {"coverage": table_of(("status", "number", "share"), rows)}
    if total:
        chart = bar_chart("What became of look-ups", list(shares.items()), as_share=True)
        answered = sum(shares.get(status, 0.0) for status in (Status.HIT, Status.NOT_FOUND))
        found |= {"coverage_plot": _shown(chart), "coverage_of_answers": round(answered, 4)}
    return found


def columns_image(title: str, rows: Sequence[tuple[object, int]]) -> dg.MarkdownMetadataValue:
    """Return columns over time as a picture that the UI shows."""
    return _shown(column_chart(title, rows))


def sessions_by_day_image(connection: Connection, last: date) -> dg.MarkdownMetadataValue:
    """Return the sessions of the 30 days to `last` as a picture; one that lasts past midnight counts on both days."""
    days = DayRange(last - timedelta(days=_MONTH - 1), last)
    loaded = loaded_days.c
    found = dict(
        connection.execute(
            select(loaded.day, loaded.session_days).where(loaded.day.between(days.first, days.last))
        ).all()
    )
    return columns_image("Sessions by day", [(day, found.get(day, 0)) for day in days])


def _shown(chart: BarChart | ColumnChart) -> dg.MarkdownMetadataValue:
    """Return a picture in Markdown: Dagster's UI shows one that is a `data:` URI, and takes none of it for markup."""
    return dg.MetadataValue.md(f"![{in_markdown(chart.title)}]({image_of(chart)})")
