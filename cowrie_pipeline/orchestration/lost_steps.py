"""Steps that were given away and are nowhere any more: their run ends, and does not wait for ever.

A step whose worker dies is still lent to it, and Redis gives it to another (celery_app.py). But a Redis that comes back
without its data gives nothing to anybody, and whoever waits for a step is not told. So the process of a run looks for
each step that it has given away and not got back: one that is in no queue and lent to nobody is lost. Its run
fails, is started once more, as runs are that were interrupted, and does what is left.

Belongs here: when a step is lost, and where it is looked for.
Does not belong here: giving steps away (celery_app.py), runs whose own process was killed (processes.py).
"""

from collections.abc import Callable, Collection
from time import monotonic, sleep
from typing import Any, Protocol

from celery import Celery

__all__ = ["StepLostError", "Watch", "WatchedResult", "look_in_redis"]

# How often it is looked for steps, and how often in a row one is nowhere before it is lost: for a moment, on its way
# from a queue to a worker, any is.
LOOK_EVERY_SECONDS = 5.0
LOOKS_IN_VAIN = 4
# Whoever asks more often than Dagster's loop does, once a second, waits so long between: after an error, or when it is
# to end, that loop goes round without a pause until the last step is back.
PAUSE_SECONDS = 0.2


class StepLostError(Exception):
    """A step that was given away is nowhere."""

    def __init__(self, step: str) -> None:
        """Say which, and what becomes of it."""
        super().__init__(
            f"step {step} is in no queue, lent to no worker, and has no outcome: Redis has lost its data. Its run is "
            "tried once more"
        )


class Result(Protocol):
    """What Celery gives for a step that was given away."""

    @property
    def id(self) -> str:
        """The name of the message."""
        ...

    def ready(self) -> bool:
        """Whether there is an outcome."""
        ...

    def get(self) -> Any:
        """Return the outcome, or raise it."""
        ...

    def revoke(self) -> None:
        """Have it not done, if nobody has begun."""
        ...


class Watch:
    """Looks for the steps of one run.

    Args:
        find: returns those of some messages that are in a queue or lent; raises where that cannot be told.
        clock: of seconds.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        find: Callable[[Collection[str]], Collection[str]],
        *,
        clock: Callable[[], float] = monotonic,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._find = find
        self._clock = clock
        self._pause = pause
        self._next_look = clock() + LOOK_EVERY_SECONDS
        self._in_vain: dict[str, int] = {}
        self._asked_at: dict[str, float] = {}

    def begin(self, message: str) -> None:
        """Look for a message from now on."""
        self._in_vain[message] = 0

    def end(self, message: str) -> None:
        """Look for it no longer."""
        self._in_vain.pop(message, None)
        self._asked_at.pop(message, None)

    def is_lost(self, message: str) -> bool:
        """Say whether a message was nowhere in some looks; look, if it is time to, and wait, if it is too early."""
        if self._clock() < self._asked_at.get(message, -PAUSE_SECONDS) + PAUSE_SECONDS:
            self._pause(PAUSE_SECONDS)
        self._asked_at[message] = self._clock()
        if self._clock() >= self._next_look:
            self._look()
            self._next_look = self._clock() + LOOK_EVERY_SECONDS
        return self._in_vain.get(message, 0) >= LOOKS_IN_VAIN

    def _look(self) -> None:
        try:
            found = self._find(self._in_vain)
        except Exception:  # noqa: BLE001 - of a Redis that is not there, in the words of whatever library
            found = self._in_vain
        self._in_vain = {message: 0 if message in found else looks + 1 for message, looks in self._in_vain.items()}


class WatchedResult:
    """What became of a step, or that it is lost."""

    def __init__(self, result: Result, watch: Watch, step: str) -> None:
        self._result = result
        self._watch = watch
        self._step = step
        watch.begin(result.id)

    def ready(self) -> bool:
        """Whether there is an outcome, or will never be one."""
        return self._result.ready() or self._watch.is_lost(self._result.id)

    def get(self) -> Any:
        """Return the outcome, or raise it.

        Raises:
            StepLostError: there will never be one.
        """
        self._watch.end(self._result.id)
        # it may have come since
        if not self._result.ready():
            raise StepLostError(self._step)
        return self._result.get()

    def revoke(self) -> None:
        """Have it not done, if nobody has begun."""
        self._result.revoke()


def look_in_redis(app: Celery, queues: Collection[str]) -> Callable[[Collection[str]], Collection[str]]:
    """Return how to find messages in these queues of an app's broker, and among those that are lent to workers."""

    def find(messages: Collection[str]) -> set[str]:
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            with channel.conn_or_acquire() as client:
                there: list[bytes] = client.hvals(channel.unacked_key)
                for queue in queues:
                    # Redis has no order of importance: kombu has a list for each step of it
                    for priority in channel.priority_steps:
                        there += client.lrange(channel._q_for_pri(queue, priority), 0, -1)  # noqa: SLF001 - nobody else tells
        return {message for message in messages if any(message.encode() in text for text in there)}

    return find
