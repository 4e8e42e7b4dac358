"""What all assets have in common: owner, retry, backfill, and how a materialization is described."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar, cast

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from cowrie_pipeline.orchestration.pools import WAREHOUSE
from cowrie_pipeline.steps.asking import AskingReport
from cowrie_pipeline.steps.failures import in_one_line, may_pass

__all__ = [
    "BACKFILL",
    "OWNERS",
    "RETRY",
    "asking_metadata",
    "cause_of",
    "daily_asset",
    "describe_days",
    "typed_failures",
]

_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")

OWNERS = ["team:honeypot"]

# A range of days is one run: one process, one import of Dagster.
BACKFILL = dg.BackfillPolicy.single_run()

# For what may pass, as a database that was locked or restarted; `typed_failures` keeps all else from being retried. It
# is after 2, 6, 14 and 30 seconds: a server that died may need most of a minute to recover before it takes calls.
RETRY = dg.RetryPolicy(max_retries=4, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

_TOLD_AS = frozenset({"DagsterExecutionStepExecutionError", "Failure", "RetryRequested"})


def typed_failures(body: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Keep Dagster from trying again what cannot pass, by the one rule of steps/failures.py."""
    if isgeneratorfunction(body):

        @wraps(body)
        def run_through(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> Iterator[Any]:
            # what such a body does, it does while it is gone through
            with _typed():
                yield from body(*arguments, **named)

        return cast("Callable[_Parameters, _Returned]", run_through)

    @wraps(body)
    def run(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Returned:
        with _typed():
            return body(*arguments, **named)

    return run


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        # one line, and the error itself as its cause
        raise dg.Failure(in_one_line(error), allow_retries=may_pass(error)) from error


def cause_of(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """Return the error of which Dagster tells as the failure of a step, or as the last of its retries."""
    while error.cause is not None and error.cls_name in _TOLD_AS:
        error = error.cause
    return error


def daily_asset(
    partitions: dg.DailyPartitionsDefinition, *, pool: str = WAREHOUSE, **options: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of an asset of whole days; `options` are those of `dg.asset`."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        partitions_def=partitions,
        backfill_policy=BACKFILL,
        retry_policy=RETRY,
        pool=pool,
        owners=OWNERS,
        **options,
    )
    return lambda body: decorator(typed_failures(body))


def asking_metadata(context: dg.AssetExecutionContext, report: AskingReport) -> dict[str, Any]:
    """Return what is true of a run that asked one source, and warn of what kept the source from answering."""
    for finding in report.findings:
        context.log.warning(finding)
    return {
        "due": report.due,
        "look_ups": dict(report.outcomes),
        "cache_hits": report.remembered,
        "not_asked": report.not_asked or "",
        "findings": list(report.findings),
    }


def describe_days(
    context: dg.AssetExecutionContext,
    asset: str,
    of_days: Mapping[date, Mapping[str, Any]],
    *,
    seconds: float,
    common: Mapping[str, Any],
) -> None:
    """Put on each day's materialization what is true of that day, and on all what is true of the run.

    Args:
        context: the run's.
        asset: the asset.
        of_days: metadata by day; every day of the run has an entry.
        seconds: what the work took for all days together.
        common: metadata of the run.
    """
    each = seconds / max(len(of_days), 1)
    for day, metadata in of_days.items():
        context.add_asset_metadata(
            {**common, **metadata, "seconds": round(each, 4)}, asset_key=asset, partition_key=day.isoformat()
        )
