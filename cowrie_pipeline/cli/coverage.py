"""The command `coverage`: of how much a field is known and a source answered, day by day."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from cowrie_pipeline.cli.console import print_json, print_line, print_table
from cowrie_pipeline.cli.database import open_filled, span_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.checks import Coverage, coverage_by_day, look_ups_by_day
from cowrie_pipeline.steps.days import DayRange

__all__ = ["show_coverage"]

# Of all time it takes long, and says little of today.
_DAYS_SHOWN = 14


def show_coverage(
    settings: Settings, first: date | None, last: date | None, *, source: str | None, as_json: bool
) -> int:
    """Print the completeness of the days from `first` to `last`, by default the newest; return the exit code."""
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        if days is not None and first is None:
            days = DayRange(max(days.first, days.last - timedelta(days=_DAYS_SHOWN - 1)), days.last)
        fields: Sequence[Coverage] = ()
        look_ups: Sequence[tuple[date, str, str, int]] = ()
        if days is not None:
            with warehouse.read() as connection:
                fields = coverage_by_day(connection, days) if source is None else ()
                look_ups = [each for each in look_ups_by_day(connection, days) if source in (None, each[1])]
        url = warehouse.safe_url
    if as_json:
        print_json(
            {
                "database": url,
                "days": None if days is None else [days.first, days.last],
                "fields": [
                    {
                        "day": each.day,
                        "table": each.asset,
                        "field": each.field,
                        "total": each.total,
                        "known": each.known,
                        "share": each.share,
                    }
                    for each in fields
                ],
                "sources": [
                    {"day": day, "source": name, "outcome": outcome, "count": count}
                    for day, name, outcome, count in look_ups
                ],
            }
        )
        return 0
    if days is None:
        print_line(f"There are no sessions on these days. Database: {url}")
        return 0
    _print_fields(fields, days)
    _print_sources(look_ups, days)
    return 0


def _print_fields(fields: Sequence[Coverage], days: DayRange) -> None:
    totals: dict[str, Counter[str]] = {}
    for each in fields:
        of_field = totals.setdefault(f"{each.asset}.{each.field}", Counter())
        of_field.update({"total": each.total, "known": each.known})
    print_table(
        f"Known, {days.first} to {days.last}",
        ("field", "known", "of", "share", "least on a day"),
        [
            (name, counts["known"], counts["total"], f"{counts['known'] / counts['total']:.1%}", _least(fields, name))
            for name, counts in sorted(totals.items())
            if counts["total"]
        ],
    )
    print_table(
        "By day",
        ("day", "field", "known", "of", "share"),
        [
            (each.day.isoformat(), f"{each.asset}.{each.field}", each.known, each.total, f"{each.share:.1%}")
            for each in fields
        ],
    )


def _least(fields: Sequence[Coverage], name: str) -> str:
    least = min(
        (each for each in fields if f"{each.asset}.{each.field}" == name), key=lambda each: (each.share, each.day)
    )
    return f"{least.share:.1%} on {least.day}"


def _print_sources(look_ups: Sequence[tuple[date, str, str, int]], days: DayRange) -> None:
    totals = Counter[tuple[str, str]]()
    for _, name, outcome, count in look_ups:
        totals[name, outcome] += count
    print_table(
        f"What became of look-ups, {days.first} to {days.last}",
        ("source", "outcome", "counted by day"),
        [(*key, count) for key, count in sorted(totals.items())],
    )
    print_table(
        "By day",
        ("day", "source", "outcome", "count"),
        [(day.isoformat(), name, outcome, count) for day, name, outcome, count in look_ups],
    )
    if not look_ups:
        print_line("No source was asked about these days.")
