"""Steps of runs done by workers of Celery, which get them through Redis.

The process of a run puts each step that can be done into a queue and waits for what becomes of it; pools are kept
there, before a step is queued. A worker does a step, writes its events, and only then says that it is done. Redis lends
a step to a worker for some minutes, and the worker renews that as long as it lives: a step whose worker died is lent to
another when the time is over. So a step may be done twice, and a step that was killed is done again from its
beginning; steps are made for that (docs/decisions/0017-several-workers.md).

Belongs here: what Celery is told, on both sides; the worker.
Does not belong here: which steps there are (assets/), when Celery is used (executors.py).

`dagster_celery` is imported here and nowhere else.
"""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from multiprocessing import current_process
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from time import time
from typing import Any

import dagster as dg
from celery import Celery, Task, bootsteps, signals
from celery.worker.state import reserved_requests
from dagster._core.execution.retries import RetryMode
from dagster._grpc.types import ExecuteStepArgs
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor, _submit_task
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task
from dagster_shared.serdes import unpack_value

from cowrie_pipeline.orchestration.lost_steps import Watch, WatchedResult, look_in_redis
from cowrie_pipeline.orchestration.processes import OfThisProcess
from cowrie_pipeline.orchestration.queues import COWRIE, QUEUES
from cowrie_pipeline.settings import Settings

__all__ = ["EndedRunError", "build_app", "run_worker", "steps_on_workers"]

# A step that takes its process down with it, for want of memory perhaps, is tried so many times more.
_MORE_TRIES = 3
# How long SIGQUIT lets steps go on before they are given back; SIGTERM waits for them.
_SOFT_STOP_SECONDS = 10.0
# A Redis that is restarted and reads its file again is waited for.
_PATIENCE = {"max_retries": 60, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 5.0}

# How long outcomes are kept: each has the events of a step, and nobody takes it away. A step that is lent again within
# this time is not done again.
_RESULTS_SECONDS = 3600

# How often a worker renews what Redis has lent it while that holds: one time may fail.
_RENEWALS = 4

_CONFIG: dict[str, Any] = {
    "task_default_queue": COWRIE,
    # a step is done when it is done, not when it was taken
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    # whose outcome is known already is not done again
    "worker_deduplicate_successful_tasks": True,
    # A step under way goes on when Redis is away. To stop it is a race between its outcome and that of the stopping, in
    # which the step can end with none; at worst, it is done twice, which it is made for.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_soft_shutdown_timeout": _SOFT_STOP_SECONDS,
    "worker_send_task_events": False,
    # what Dagster writes to standard error has its level and time already
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "task_publish_retry_policy": _PATIENCE,
    "result_expires": _RESULTS_SECONDS,
    "result_backend_always_retry": True,
    "result_backend_transport_options": {"retry_policy": _PATIENCE},
}


class EndedRunError(RuntimeError):
    """A step was delivered whose run has ended meanwhile; it is not done."""


class _StepsOnWorkers(OfThisProcess):
    """The executor of a run whose steps are done by workers."""

    def app_args(self) -> Any:
        """Return what Celery's app is made with; the loop that waits for the workers asks for it."""
        return self.executor.app_args()

    def steps(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Have the steps of a run done, and look for those that are not back."""
        watch: Watch | None = None

        def give_away(app: Celery, context: Any, step: Any, *how: Any) -> WatchedResult:
            nonlocal watch
            watch = watch or Watch(look_in_redis(app, QUEUES))
            return WatchedResult(_submit_task(app, context, step, *how), watch, step.key)

        events: Iterator[Any] = core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=give_away)
        return events


def _executor(settings: Settings) -> _StepsOnWorkers:
    made: Any = CeleryExecutor
    return _StepsOnWorkers(
        made(
            retries=RetryMode.ENABLED,
            broker=settings.celery_broker,
            backend=settings.celery_backend or settings.celery_broker,
            config_source=_CONFIG
            | {
                "broker_transport_options": {
                    "visibility_timeout": settings.celery_lease_seconds,
                    # every 10 seconds each worker looks whose time is over, and not at each tenth of these looks
                    "unacked_restore_throttle": 1,
                    "socket_keepalive": True,
                    "health_check_interval": 25,
                }
            },
        )
    )


@dg.executor(
    name="celery",
    config_schema={},
    requirements=dg.multiple_process_executor_requirements(),
)
def steps_on_workers(_context: dg.InitExecutorContext) -> dg.Executor:
    """Each step by a worker, on whichever machine it is."""
    # not of Dagster's configuration, which is stored with the run: the URL may hold a password
    return _executor(Settings.from_environment())


class _Step(Task):  # type: ignore[misc]
    """What a worker does: one step of a run."""

    # the events of a step are in Dagster's log, not in the worker's
    resultrepr_maxsize = 40

    def before_start(self, task_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Refuse a step of a run that has ended: a later run may be doing the same.

        Raises:
            EndedRunError: the run has ended, or is gone.
        """
        del task_id, args
        step: ExecuteStepArgs = unpack_value(kwargs["execute_step_args_packed"], as_type=ExecuteStepArgs)
        assert step.instance_ref is not None  # noqa: S101 - whoever queued the step had an instance
        with dg.DagsterInstance.from_ref(step.instance_ref) as instance:
            run = instance.get_run_by_id(step.run_id)
        if run is None or run.is_finished:
            raise EndedRunError(f"run {step.run_id} has ended: its step is not done any more")


def build_app(settings: Settings) -> Celery:
    """Return Celery's app as workers have it."""
    app: Celery = make_app(_executor(settings).app_args())
    # not shared: of this app alone, not of each that is made in this process
    options = {"shared": False, "base": _Step}
    create_task(app, retry_on_worker_lost=True, max_retries=_MORE_TRIES, default_retry_delay=1, **options)
    app.steps["consumer"].add(_Lease)
    return app


class _Lease(bootsteps.StartStopStep):  # type: ignore[misc]
    """Renews what Redis has lent to this worker, so that no other gets it while this one lives."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(parent, **options)

    def start(self, parent: Any) -> None:
        """Begin to renew."""
        lease = parent.app.conf.broker_transport_options["visibility_timeout"]
        self._timer = parent.timer.call_repeatedly(lease / _RENEWALS, _renew, (parent,))

    def stop(self, parent: Any) -> None:
        """Renew no more, unless the worker ends: then it still has steps under way, and waits for them."""
        if self._timer is not None and parent.blueprint.state != bootsteps.CLOSE:
            self._timer.cancel()


def _renew(consumer: Any) -> None:
    channel = consumer.task_consumer.channel
    tags = {request.message.delivery_tag: time() for request in tuple(reserved_requests)}
    if tags:
        with channel.conn_or_acquire() as client:
            # what is done meanwhile is not put back
            client.zadd(channel.unacked_index_key, tags, xx=True)


def run_worker(settings: Settings, queues: Sequence[str], concurrency: int | None) -> int:
    """Do steps of the queues until a signal; return the exit code.

    SIGTERM and Ctrl-C end it when the steps under way are done; a second Ctrl-C, or SIGQUIT, gives them back to the
    queue after some seconds.

    Args:
        settings: where Redis is.
        queues: names of queues.
        concurrency: how many steps are done at once; None for one on each core.
    """
    signals.worker_process_init.connect(_allow_children, weak=False)
    # notes each migration that it knows of, for every step
    logging.getLogger("alembic").setLevel(logging.WARNING)
    worker = build_app(settings).Worker(
        # several may be on one machine, and Celery takes those of one name for one
        hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
        queues=list(queues),
        concurrency=concurrency,
        pool="prefork",
        loglevel="INFO",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _allow_children(**_: object) -> None:
    """Let steps have processes beside them (cowrie/workers.py), which the processes of a worker may not by default."""
    # Celery's are of a library like multiprocessing that puts them in its place
    config = current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way in
    config["daemon"] = False
    config["authkey"] = AuthenticationString(config["authkey"])
