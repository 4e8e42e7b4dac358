"""What a run that has ended says: which checks and steps failed, and which were found well.

Belongs here: findings of a run, whatever its retries. Does not belong here: Dagster's event log (orchestration/).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

from cowrie_pipeline.steps.alerts.model import Failure, Kind, Recovery, Trouble
from cowrie_pipeline.steps.alerts.redaction import one_line
from cowrie_pipeline.steps.checks import FRESHNESS, Check, CheckWords, Severity, described_checks
from cowrie_pipeline.steps.days import DayRange

__all__ = ["Evaluation", "FailedStep", "RunEnd", "findings_of_run"]

_LOOK_AT_RUN = (
    "Open the run: its log has the error. When its cause is gone, materialize the days shown again; what was committed "
    "is kept."
)
_NOT_FRESH = "the day before is not materialized"
_LOOK_AT_CHECK = "Open the run and the check's page in Dagster's UI: its metadata says what was found."


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a check came to. `columns` and `rows` hold only what may be shown to anybody (redaction.py)."""

    asset: str
    check: str
    passed: bool
    severity: Severity
    at: datetime
    rows_at_fault: int | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step that failed after all its retries. `error` is the class of the error: its text can hold anything."""

    step: str
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run that succeeded or failed.

    `days` are those of its partitions, None for none. `failed_steps` are in the order of their failures, without those
    that failed because a check did. `unfinished` are steps that were to make assets and did not, in their order.
    `assets_of` are the assets that a step makes.
    """

    run_id: str
    job: str
    days: DayRange | None
    succeeded: bool
    ended_at: datetime
    evaluations: tuple[Evaluation, ...] = ()
    failed_steps: tuple[FailedStep, ...] = ()
    unfinished: tuple[str, ...] = ()
    succeeded_steps: tuple[str, ...] = ()
    assets_of: Mapping[str, Sequence[str]] | None = None
    a_check_stopped_it: bool = False


def findings_of_run(run: RunEnd, *, where: Callable[[str], str] = str) -> list[Failure | Recovery]:
    """Return what a run says of its checks and of itself, the same however often it is asked.

    Args:
        run: the run.
        where: returns where a page of `docs/` is read, by its path.
    """
    findings = _with_one_of_freshness([_of_evaluation(run, each, where) for each in _last_of_each(run.evaluations)])
    if run.succeeded:
        steps = sorted({_scope_of(step) for step in run.succeeded_steps})
        findings += [Recovery(scope, run.days, run.ended_at) for scope in (*steps, f"job:{run.job}")]
    elif not (run.a_check_stopped_it and not run.failed_steps):
        # where a check stopped the run, the check is what somebody is told of
        findings.append(_of_failed_run(run))
    return findings


def _with_one_of_freshness(findings: Sequence[Failure | Recovery]) -> list[Failure | Recovery]:
    """Make one failure of those of freshness: a day that is not there is missing of many assets, and is one trouble."""
    stale = [each for each in findings if isinstance(each, Failure) and each.trouble.title == _NOT_FRESH]
    if not stale:
        return list(findings)
    assets = tuple(sorted(asset for each in stale for asset in each.trouble.assets))
    first = stale[0]
    trouble = replace(first.trouble, assets=assets, facts=(*first.trouble.facts, ("missing of", ", ".join(assets))))
    scopes = tuple(sorted(scope for each in stale for scope in each.scopes))
    rest = [each for each in findings if each not in stale]
    return [*rest, replace(first, fingerprint=f"check:{FRESHNESS.name}", trouble=trouble, scopes=scopes)]


def _last_of_each(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the last evaluation of each check: a step that was tried again has several."""
    last: dict[tuple[str, str], Evaluation] = {}
    for each in sorted(evaluations, key=lambda each: each.at):
        last[each.asset, each.check] = each
    return list(last.values())


def _of_evaluation(run: RunEnd, found: Evaluation, where: Callable[[str], str]) -> Failure | Recovery:
    check = FRESHNESS if found.check == FRESHNESS.name else _checks().get((found.asset, found.check))
    scope = f"check:{found.asset}:{found.check}"
    days = run.days if not isinstance(check, Check) or check.of_days else None
    if found.passed:
        return Recovery(scope, days, found.at)
    if check is FRESHNESS:
        # its run has no days: it looks at the one before it
        day_before = found.at.date() - timedelta(days=1)
        days = DayRange(day_before, day_before)
    # said also where the check is not of days, for whoever looks for the trouble in these
    of_days = () if days is not None or run.days is None else (("found with days", _words(run.days)),)
    counted = () if found.rows_at_fault is None else (("rows_at_fault", f"{found.rows_at_fault:,}"),)
    should_be = () if check is None else (("should be so", check.title),)
    page = () if check is None else (("more", where(check.page)),)
    return Failure(
        fingerprint=scope,
        trouble=Trouble(
            kind=Kind.CHECK,
            severity=found.severity,
            title=(
                _NOT_FRESH if check is FRESHNESS else f"check {one_line(found.check)} of {one_line(found.asset)} failed"
            ),
            remedy=_LOOK_AT_CHECK if check is None else check.remedy,
            assets=(found.asset,),
            facts=(*should_be, *counted, *of_days, *page),
            columns=found.columns,
            rows=found.rows,
            run_id=run.run_id,
        ),
        scopes=(scope,),
        days=days,
        seen_at=found.at,
    )


def _of_failed_run(run: RunEnd) -> Failure:
    """Return the failure of a run: of its first step that failed, so that any job that repeats it is the same trouble.

    A run whose process was killed has no step that failed: then it is that of its first unfinished step, and of the
    job where even that is not known.
    """
    failed = list(dict.fromkeys(each.step for each in run.failed_steps))
    steps = failed or list(dict.fromkeys(run.unfinished))
    scopes = tuple(dict.fromkeys(_scope_of(step) for step in steps)) or (f"job:{run.job}",)
    first = _root_of(steps[0]) if steps else run.job
    errors = dict.fromkeys(one_line(each.error) for each in run.failed_steps)
    assets = {asset for step in steps for asset in (run.assets_of or {}).get(_root_of(step), ())}
    title = f"{one_line(first)} failed" if failed else f"run of {one_line(run.job)} ended before {one_line(first)} did"
    if not steps:
        title = f"run of {one_line(run.job)} failed"
    return Failure(
        fingerprint=f"run:{first}",
        trouble=Trouble(
            kind=Kind.RUN,
            severity=Severity.ERROR,
            title=title,
            remedy=_LOOK_AT_RUN,
            assets=tuple(sorted(assets)),
            facts=(
                ("job", one_line(run.job)),
                ("steps", ", ".join(dict.fromkeys(one_line(_root_of(step)) for step in steps)) or "none began"),
                *((("error", ", ".join(errors)),) if errors else ()),
            ),
            run_id=run.run_id,
        ),
        scopes=scopes,
        days=run.days,
        seen_at=run.ended_at,
    )


def _root_of(step: str) -> str:
    """Return the step that people know: of `resolve.part[3]`, one of many within a graph, `resolve`."""
    return step.partition(".")[0].partition("[")[0]


def _scope_of(step: str) -> str:
    return f"step:{_root_of(step)}"


def _words(days: DayRange) -> str:
    return str(days.first) if len(days) == 1 else f"{days.first} to {days.last}"


@cache
def _checks() -> dict[tuple[str, str], CheckWords]:
    return {(check.asset, check.name): check for check in described_checks()}
