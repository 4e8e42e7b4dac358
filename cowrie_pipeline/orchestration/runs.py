"""Materializations started from this process, as Dagster runs that the UI shows.

Belongs here: which instance is used, one run for each span of days, and what came out of the runs.
Does not belong here: options and output of commands (cli/).
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from cowrie_pipeline.orchestration.build import DAILY_JOB, build_definitions
from cowrie_pipeline.orchestration.processes import PROCESS_TAG, end_runs_of_dead_processes, this_process
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange

__all__ = ["AssetOutcome", "CheckOutcome", "RunsOutcome", "count_runs_in_progress", "materialize", "open_instance"]

_IN_PROGRESS = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_MINIMAL_INSTANCE = "telemetry: {enabled: false}\n"


@dataclass(slots=True)
class CheckOutcome:
    """What became of one check over all runs; `title` says what should be so."""

    passed: bool = True
    blocking: bool = False
    severity: str = "WARN"
    rows_at_fault: int = 0
    title: str = ""


@dataclass(slots=True)
class AssetOutcome:
    """What became of one asset over all runs."""

    rows: int = 0
    seconds: float = 0.0
    days: int = 0
    checks: dict[str, CheckOutcome] = field(default_factory=dict)


@dataclass(slots=True)
class RunsOutcome:
    """What became of all runs. `errors` are the steps that failed, in words; `notes` what the sources had to say."""

    assets: dict[str, AssetOutcome] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether no step and no blocking check failed."""
        blocked = any(
            check.blocking and not check.passed and check.severity == "ERROR"
            for asset in self.assets.values()
            for check in asset.checks.values()
        )
        return not self.errors and not blocked


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the Dagster instance of this project.

    It is the one that DAGSTER_HOME names; else that of `dagster.yaml` in the present folder, as in a checkout; else
    one in the state folder.
    """
    state = settings.state_dir.absolute()
    os.environ.setdefault("COWRIE_STATE_DIR", str(state))
    if not os.environ.get("DAGSTER_HOME"):
        home = _home(settings)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(_MINIMAL_INSTANCE, encoding="utf-8")
        os.environ["DAGSTER_HOME"] = str(home)
    state.mkdir(parents=True, exist_ok=True)
    return dg.DagsterInstance.get()


def count_runs_in_progress(settings: Settings) -> int | None:
    """Return how many runs have begun and not ended; None where no run was ever started, and nothing is made."""
    if not (_home(settings) / "dagster.yaml").exists():
        return None
    with open_instance(settings) as instance:
        return instance.get_runs_count(dg.RunsFilter(statuses=list(_IN_PROGRESS)))


def _home(settings: Settings) -> Path:
    named = os.environ.get("DAGSTER_HOME")
    if named:
        return Path(named)
    return Path.cwd() if Path("dagster.yaml").exists() else settings.state_dir.absolute() / "dagster"


def materialize(instance: dg.DagsterInstance, spans: Iterable[DayRange], settings: Settings) -> RunsOutcome:
    """Materialize every asset, with its checks, for each span of days; one run a span, in this process.

    A run that fails does not keep the others from running.
    """
    # nobody else does when no daemon runs, and these runs would wait for places in pools for ever
    end_runs_of_dead_processes(instance)
    job = build_definitions(settings).resolve_job_def(DAILY_JOB)
    outcome = RunsOutcome()
    for span in spans:
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": span.first.isoformat(),
                "dagster/asset_partition_range_end": span.last.isoformat(),
                PROCESS_TAG: this_process(),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        outcome.run_ids.append(result.run_id)
        _add(outcome, result)
    return outcome


def _add(outcome: RunsOutcome, result: dg.ExecuteInProcessResult) -> None:
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            asset = outcome.assets.setdefault(made.asset_key.to_user_string(), AssetOutcome())
            asset.rows += int(_number(made.metadata, "dagster/row_count"))
            asset.seconds += _number(made.metadata, "seconds")
            asset.days += 1
            findings = made.metadata.get("findings")
            if isinstance(findings, dg.JsonMetadataValue) and isinstance(findings.value, list):
                outcome.notes |= dict.fromkeys(str(each) for each in findings.value)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            _add_check(outcome, event.asset_check_evaluation_data)
        elif event.is_step_failure:
            error = event.step_failure_data.error
            if error is not None and error.cls_name != "DagsterAssetCheckFailedError":
                cause = error.cause or error
                outcome.errors.append(f"{event.step_key}: {cause.cls_name}: {cause.message.strip().splitlines()[0]}")


def _add_check(outcome: RunsOutcome, evaluation: Any) -> None:
    asset = outcome.assets.setdefault(evaluation.asset_key.to_user_string(), AssetOutcome())
    check = asset.checks.setdefault(evaluation.check_name, CheckOutcome())
    check.blocking = bool(evaluation.blocking)
    check.severity = evaluation.severity.value
    check.title = evaluation.metadata["should_be_so"].value
    if not evaluation.passed:
        check.passed = False
        check.rows_at_fault += int(_number(evaluation.metadata, "rows_at_fault"))


def _number(metadata: Mapping[str, Any], name: str) -> float:
    value = metadata.get(name)
    return 0.0 if value is None or value.value is None else float(value.value)
