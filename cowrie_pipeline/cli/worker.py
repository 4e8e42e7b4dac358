"""The command `worker`: do steps of runs that were started elsewhere."""

from collections.abc import Sequence

from cowrie_pipeline.orchestration.executors import refuse_unusable
from cowrie_pipeline.orchestration.queues import QUEUES
from cowrie_pipeline.settings import Settings, SettingsError

__all__ = ["work"]


def work(settings: Settings, queues: Sequence[str], concurrency: int | None) -> int:
    """Do steps until a signal ends it; return the exit code.

    Raises:
        SettingsError: a queue is none of ours, the settings are such that no worker can work, or they say that somebody
            else does the steps.
    """
    if unknown := [name for name in queues if name not in QUEUES]:
        raise SettingsError(f"--queue must be one of {', '.join(QUEUES)}, found {unknown[0]!r}")
    refuse_unusable(settings)
    if settings.executor != "celery":
        raise SettingsError(
            f"COWRIE_EXECUTOR is {settings.executor}, and a worker has the settings of those runs: set it to "
            "celery here, too"
        )
    from cowrie_pipeline.orchestration.celery_app import run_worker

    return run_worker(settings, queues or QUEUES, concurrency)
