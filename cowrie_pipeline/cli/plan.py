"""The command `plan`: what the next run would ask of whom."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cowrie_pipeline.cli.console import in_words, print_json, print_line, print_table, show_progress, time_shown
from cowrie_pipeline.cli.database import open_filled, span_of
from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.enrichment_plan import EnrichmentPlan, PlannedSource, plan_enrichment
from cowrie_pipeline.warehouse.allowances import WarehouseAllowance

__all__ = ["show_plan"]

_WORTHS = (
    "nothing much",
    "tried to log in",
    "logged in or entered commands",
    "logged in and entered commands",
    "moved files",
)


def show_plan(settings: Settings, first: date | None, last: date | None, *, quiet: bool, as_json: bool) -> int:
    """Print what a run over the days from `first` to `last` would ask; return the exit code."""
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        if days is None:
            if as_json:
                print_json({"database": warehouse.safe_url, "days": None, "sources": [], "first": []})
            else:
                print_line(f"There are no sessions on these days, so nothing is asked. Database: {warehouse.safe_url}")
            return 0
        with (
            build_enrichment(settings, {}, WarehouseAllowance(warehouse)) as enrichment,
            show_progress(quiet=quiet) as on_progress,
        ):
            plan = plan_enrichment(
                warehouse,
                enrichment,
                days,
                settings=settings,
                now=datetime.now(UTC),
                on_progress=lambda done, total: on_progress("looking at addresses", done, total),
            )
        if as_json:
            print_json({"database": warehouse.safe_url} | _as_object(plan))
        else:
            _print(plan, settings)
    return 0


def _as_object(plan: EnrichmentPlan) -> dict[str, Any]:
    return {
        "days": [plan.days.first.isoformat(), plan.days.last.isoformat()],
        "addresses_due": plan.addresses_due,
        "files": plan.files,
        "passwords": plan.passwords,
        "sources": [
            {name: value for name, value in asdict(each).items() if name != "backlog"}
            | {
                "backlog_seconds": None if each.backlog is None else each.backlog.total_seconds(),
                "backlog": _backlog_words(each),
            }
            for each in plan.sources
        ],
        "first": [asdict(each) for each in plan.first],
    }


def _print(plan: EnrichmentPlan, settings: Settings) -> None:
    print_line(
        f"{plan.days.first} to {plan.days.last}: {plan.addresses_due:,} addresses are due, "
        f"{plan.files:,} files and {plan.passwords:,} passwords were seen"
    )
    print_line(
        f"Services with limits are asked about addresses worth {settings.limited_min_worth} or more: "
        f"{_WORTHS[settings.limited_min_worth]} (COWRIE_LIMITED_MIN_WORTH)"
    )
    print_line("")
    print_table(
        "What the next run would ask",
        ("source", "about", "to ask", "remembered", "calls now", "calls per day", "all asked within"),
        [
            (
                each.service,
                each.asks_about,
                "on this machine" if each.is_local else each.to_ask,
                "-" if each.is_local else each.remembered,
                _calls_words(each),
                _per_day_words(each.calls_per_day),
                _backlog_words(each),
            )
            for each in plan.sources
            if each.not_asked is None
        ],
    )
    print_table(
        "Not asked",
        ("source", "why"),
        [(each.service, each.not_asked) for each in plan.sources if each.not_asked is not None],
    )
    print_table(
        "The first addresses",
        ("address", "worth", "it", "would be asked of"),
        [(each.address, each.worth, _WORTHS[each.worth], ", ".join(each.services) or "nobody") for each in plan.first],
    )


def _calls_words(planned: PlannedSource) -> str:
    if planned.calls_now is None:
        return "any number"
    if planned.calls_now or planned.next_at is None:
        return f"{planned.calls_now:,}"
    return f"0 until {time_shown(planned.next_at)}"


def _per_day_words(calls: float | None) -> str:
    if calls is None:
        return "any number"
    return f"{calls:,.0f}" if calls >= 10 else f"{calls:.1f}"


def _backlog_words(planned: PlannedSource) -> str:
    if planned.backlog is None:
        return "never: its limit is 0"
    if planned.not_asked is not None or not planned.to_ask:
        return "-"
    fits = planned.calls_now is None or planned.to_ask <= planned.calls_now
    return "the next run" if fits else in_words(max(planned.backlog, timedelta(minutes=1)))
