"""The executor of every job: in which processes the steps of a run are done, as COWRIE_EXECUTOR says.

Belongs here: which executor there is for a setting, and what a setting wants that is not there.
Does not belong here: how workers are reached and what they do (celery_app.py).
"""

from importlib.util import find_spec
from typing import Any

import dagster as dg

from cowrie_pipeline.orchestration.processes import OfThisProcess
from cowrie_pipeline.settings import Settings, SettingsError

__all__ = ["build_executor", "refuse_unusable"]


def build_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor that the settings name.

    Raises:
        SettingsError: it is `celery`, and something that it needs is not there.
    """
    if settings.executor == "celery":
        refuse_unusable(settings)
        from cowrie_pipeline.orchestration.celery_app import steps_on_workers

        return steps_on_workers
    if settings.executor == "multiprocess":
        return _on_this_machine(dg.multiprocess_executor)
    # a process for each step would cost two seconds a step
    return _on_this_machine(dg.in_process_executor)


def refuse_unusable(settings: Settings) -> None:
    """Refuse settings with which no worker can work.

    Raises:
        SettingsError: there is no broker, the extra is not installed, or the data are in SQLite.
    """
    if settings.celery_broker is None:
        raise SettingsError(
            "COWRIE_CELERY_BROKER is not set, and workers get their steps from there: set it to the URL of a Redis, "
            "such as redis://host:6379/0"
        )
    if find_spec("dagster_celery") is None or find_spec("redis") is None:
        raise SettingsError(
            "workers need packages that are not installed: pip install 'cowrie_pipeline[celery]', or set "
            "COWRIE_EXECUTOR to in_process or multiprocess"
        )
    if settings.database_url.startswith("sqlite"):
        raise SettingsError(
            "COWRIE_DB_URL is an SQLite database, which workers on several machines cannot share: move it to "
            "PostgreSQL (cowrie-pipeline db move), or set COWRIE_EXECUTOR to in_process or multiprocess"
        )


def _on_this_machine(made_by: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """Return an executor of Dagster's whose runs are told apart by their process."""

    def create(context: dg.InitExecutorContext) -> dg.Executor:
        made: Any = made_by.executor_creation_fn
        return OfThisProcess(made(context))

    return dg.ExecutorDefinition(
        name=made_by.name,
        config_schema=made_by.config_schema.as_field(),
        requirements=made_by.get_requirements,
        executor_creation_fn=create,
        description=made_by.description,
    )
