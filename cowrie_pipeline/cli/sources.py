"""The command `sources`: every place that can be asked, and how things stand with it. No key is ever shown."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cowrie_pipeline.cli.console import in_words, print_json, print_line, print_table, time_shown
from cowrie_pipeline.cli.database import is_filled, open_warehouse
from cowrie_pipeline.enrichment.build import SourceState, build_enrichment
from cowrie_pipeline.enrichment.outcomes import Source
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.enrichment_plan import why_not_asked
from cowrie_pipeline.warehouse.allowances import AllowanceState, LimitState, WarehouseAllowance
from cowrie_pipeline.warehouse.cache_care import LastLookUps, last_look_ups
from cowrie_pipeline.warehouse.engine import Warehouse

__all__ = ["show_sources"]

# Of what a licence says; --terms shows all.
_SHORT_TERMS = 48


@dataclass(frozen=True, slots=True)
class _Row:
    """A source, and how things stand with it; without a database nothing is known of budget and look-ups."""

    source: Source
    not_asked: str | None
    has_key: bool | None
    budget: AllowanceState | None
    last: LastLookUps | None

    @property
    def why(self) -> str:
        """Why it is off; for one that is on, where it is asked or of when its lists are."""
        return self.not_asked or self.source.availability().reason


def show_sources(settings: Settings, *, with_terms: bool, as_json: bool) -> int:
    """Print every source in the order of the policy; return the exit code."""
    now = datetime.now(UTC)
    with open_warehouse(settings) as warehouse:
        filled = is_filled(warehouse)
        allowance = WarehouseAllowance(warehouse)
        with build_enrichment(settings, {}, allowance) as enrichment:
            rows = [_row(state, settings, warehouse if filled else None, now) for state in enrichment.sources]
            url = warehouse.safe_url
            if as_json:
                print_json(
                    {
                        "database": url,
                        "database_is_there": filled,
                        "contact": settings.contact,
                        "sources": [_as_object(row) for row in rows],
                    }
                )
            else:
                _print(rows, with_terms=with_terms)
                if not filled:
                    print_line(f"There is no database yet, so no budget and no look-ups: {url}", style="yellow")
    return 0


def _row(state: SourceState, settings: Settings, warehouse: Warehouse | None, now: datetime) -> _Row:
    source = state.source
    budget = last = None
    if warehouse is not None and source.cached:
        budget = WarehouseAllowance(warehouse).state(source.name, source.terms.limits, now)
        with warehouse.read() as connection:
            last = last_look_ups(connection, source.name)
    has_key = settings.services[source.name].key is not None if source.terms.needs_key else None
    return _Row(source, why_not_asked(state, settings), has_key, budget, last)


def _as_object(row: _Row) -> dict[str, Any]:
    terms = row.source.terms
    return {
        "service": terms.service,
        "title": terms.title,
        "about": terms.about,
        "on": row.not_asked is None,
        "why": row.why,
        "is_local": not row.source.cached,
        "needs_key": terms.needs_key,
        "has_key": row.has_key,
        "needs_contact": terms.needs_contact,
        "limits": [{"calls": each.calls, "window_seconds": each.window.total_seconds()} for each in terms.limits],
        "budget": None if row.budget is None else _budget_object(row.budget),
        "last_success": row.last and row.last.answered_at,
        "last_error": row.last and row.last.error,
        "last_error_at": row.last and row.last.failed_at,
        "hit_seconds": terms.hit_for.total_seconds(),
        "negative_seconds": terms.negative_for.total_seconds(),
        "licence": terms.licence,
        "attribution": terms.attribution,
        "url": terms.url,
    }


def _budget_object(budget: AllowanceState) -> dict[str, Any]:
    return {
        "left": budget.left,
        "limits": [
            {
                "calls": each.limit.calls,
                "window_seconds": each.limit.window.total_seconds(),
                "used": each.used,
                "left": each.left,
                "next_at": each.next_at,
            }
            for each in budget.limits
        ],
        "paused_until": budget.paused_until,
        "pause_reason": budget.pause_reason,
    }


def _print(rows: list[_Row], *, with_terms: bool) -> None:
    print_table(
        "Sources, in the order in which they are asked",
        ("source", "on", "why", "key", "answers hold", "terms"),
        [
            (
                row.source.name,
                row.not_asked is None,
                row.why,
                {True: "yes", False: "no", None: "not needed"}[row.has_key],
                _holds(row.source),
                _shortened(row.source.terms.licence),
            )
            for row in rows
        ],
    )
    print_table(
        "Budget and last look-ups",
        ("source", "budget", "last success", "last error", "error"),
        [
            (
                row.source.name,
                "-" if row.budget is None else _budget_words(row.budget),
                time_shown(row.last.answered_at),
                time_shown(row.last.failed_at) or ("when renewing" if row.last.error else None),
                row.last.error,
            )
            for row in rows
            if row.last is not None
        ],
    )
    if with_terms:
        for row in rows:
            terms = row.source.terms
            print_line(f"{terms.service}: {terms.title}, {terms.url}", style="bold")
            print_line(f"  tells {terms.about}")
            print_line(f"  terms: {terms.licence}")
            print_line(f"  to be shown with what it tells: {terms.attribution or 'nothing'}")


def _holds(source: Source) -> str:
    terms = source.terms
    hit, negative = in_words(terms.hit_for), in_words(terms.negative_for)
    return hit if hit == negative else f"{hit}; unknown {negative}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT_TERMS else f"{text[: _SHORT_TERMS - 3].rstrip()}..."


def _budget_words(budget: AllowanceState) -> str:
    words = [_limit_words(each) for each in budget.limits] or ["no limit"]
    if budget.paused_until is not None:
        words.insert(0, f"paused until {time_shown(budget.paused_until)} ({budget.pause_reason})")
    return "; ".join(words)


def _limit_words(state: LimitState) -> str:
    limit = state.limit
    window = "1 second" if limit.window == timedelta(seconds=1) else in_words(limit.window)
    words = f"{state.used:,} used, {state.left:,} left of {limit.calls:,} in {window}"
    return words if state.next_at is None or state.left else f"{words}, next {time_shown(state.next_at)}"
