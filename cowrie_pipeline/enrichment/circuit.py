"""A circuit breaker: stop asking a service that does not answer, and try again later.

Belongs here: counting failures in a row, deciding whether the next question may be sent, and who proved to be good.
Does not belong here: clocks (times come in), sharing one breaker in a process (the caller holds it), sending.
"""

from datetime import datetime, timedelta
from enum import StrEnum

__all__ = ["Circuit", "CircuitState"]

DEFAULT_MAX_FAILURES = 16
DEFAULT_COOL_DOWN = timedelta(minutes=5)


class CircuitState(StrEnum):
    """Whether questions may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Circuit:
    """Opens after `max_failures` failures in a row, lets a trial pass after `cool_down`, closes on a success.

    While half open, the first failure opens it again; whoever asks should send one question and wait for its end.

    `proven` names the servers that have shown that they can be believed; who needs such a proof notes it here, so that
    it holds as long as the circuit does. `reason` says why the circuit was tripped, and is None where it was not.
    """

    def __init__(self, *, max_failures: int = DEFAULT_MAX_FAILURES, cool_down: timedelta = DEFAULT_COOL_DOWN) -> None:
        self.max_failures = max_failures
        self.cool_down = cool_down
        self.proven: set[str] = set()
        self.reason: str | None = None
        self._failures = 0
        self._open_until: datetime | None = None

    def state(self, now: datetime) -> CircuitState:
        """Return the state at `now`."""
        if self._open_until is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self._open_until else CircuitState.HALF_OPEN

    def allows(self, now: datetime) -> bool:
        """Whether a question may be sent at `now`."""
        return self.state(now) is not CircuitState.OPEN

    def record_success(self) -> None:
        """Note an answer: the service works."""
        self._failures = 0
        self._open_until = None
        self.reason = None

    def trip(self, now: datetime, reason: str, *, cool_down: timedelta | None = None) -> None:
        """Open at once: one thing that was learned at `now` makes every further question vain.

        `cool_down` is for what does not pass as soon as a failure does, such as a key that is refused.
        """
        self._open_until = now + (self.cool_down if cool_down is None else cool_down)
        self.reason = reason

    def record_failure(self, now: datetime) -> None:
        """Note a question that got no answer, at `now`."""
        self._failures += 1
        was_trial = self.state(now) is CircuitState.HALF_OPEN
        # A failure that arrives while open was sent before: it does not prolong the pause.
        if was_trial or (self._open_until is None and self._failures >= self.max_failures):
            self._open_until = now + self.cool_down
