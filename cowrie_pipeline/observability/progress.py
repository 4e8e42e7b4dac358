"""How far the work is: steps tell, whoever runs them shows it.

A step takes `on_progress`, a function of what is done and to do. Dagster's ops cannot be handed one, so the command
line puts its own here for the time of a run in the same process. The status files are told as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cowrie_pipeline.observability.status_files import note_progress

__all__ = ["OnProgress", "ProgressListener", "listening", "progress_of", "unheard"]

OnProgress = Callable[[int, int], None]
ProgressListener = Callable[[str, int, int], None]

_listener: ContextVar[ProgressListener | None] = ContextVar("progress_listener", default=None)


def unheard(done: int, total: int) -> None:
    """Take note of nothing: for work that nobody watches."""
    del done, total


@contextmanager
def listening(listener: ProgressListener) -> Iterator[None]:
    """Have `listener` told of every step's progress: its name, what is done, and what is to do."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def progress_of(step: str) -> OnProgress:
    """Return the function that tells the present listener, if there is one, and the status files how far `step` is."""
    listener = _listener.get()

    def tell(done: int, total: int) -> None:
        if listener is not None:
            listener(step, done, total)
        note_progress(done, total)

    return tell
