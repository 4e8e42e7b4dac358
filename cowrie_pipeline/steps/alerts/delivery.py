"""Deliver what waits in the outbox: each message once in the end, however often a receiver is down.

Belongs here: which message is sent next, and what becomes of one that was not taken.
Does not belong here: how a receiver wants it (receivers.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.settings import ReceiverSettings
from cowrie_pipeline.steps.alerts.book import claim_message, delivered, failed
from cowrie_pipeline.steps.alerts.receivers import DeliveryError, http_client, send
from cowrie_pipeline.warehouse.engine import Warehouse

__all__ = ["DeliveryReport", "deliver"]


@dataclass(slots=True)
class DeliveryReport:
    """How many messages arrived, and why others did not, by receiver."""

    delivered: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a line."""
        failures = "".join(f"; {name}: {error}" for name, error in self.errors.items())
        return f"{self.delivered} messages delivered{failures}"


def deliver(
    warehouse: Warehouse,
    receivers: Sequence[ReceiverSettings],
    *,
    clock: Callable[[], datetime],
    seconds: float,
    client: Callable[[], HttpClient] = http_client,
) -> DeliveryReport:
    """Send every message that is due, the oldest first, and begin none after `seconds`.

    Each is claimed before it is sent, so that two processes do not send it both. Only one that was sent by a process
    that was killed before it could say so is sent again; its `delivery_id` is the same then.
    """
    report, by_name = DeliveryReport(), {receiver.name: receiver for receiver in receivers}
    deadline = monotonic() + seconds
    with client() as http:
        # a receiver that failed rests until the next time
        while (left := by_name.keys() - report.errors.keys()) and monotonic() < deadline:
            claimed = claim_message(warehouse, sorted(left), now=clock())
            if claimed is None:
                break
            delivery_id = f"{claimed.incident_id}-{claimed.message_id}"
            try:
                send(by_name[claimed.receiver], claimed.message, http, delivery_id=delivery_id)
            except DeliveryError as error:
                failed(
                    warehouse,
                    claimed,
                    error=str(error),
                    not_before=error.not_before,
                    is_down=error.is_down,
                    now=clock(),
                )
                report.errors[claimed.receiver] = str(error)
            else:
                delivered(warehouse, claimed, kind=by_name[claimed.receiver].kind, now=clock())
                report.delivered += 1
    return report
