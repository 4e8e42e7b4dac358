"""Where spans and metrics go: a collector of OpenTelemetry, if one is set and the SDK is installed.

Without an endpoint nothing is imported, and spans and instruments record nothing. A collector that is down or slow
costs spans, not runs: it is spoken to by threads beside the work, its failure is said once, and the end of a process
waits for it `PATIENCE_SECONDS` at most, and hardly at all if it failed just before.

Belongs here: whether anything is sent, and the end of a process.
Does not belong here: how the SDK is used (otlp.py), spans (tracing.py), instruments.
"""

import atexit
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cowrie_pipeline.settings import Settings

if TYPE_CHECKING:
    from cowrie_pipeline.observability.otlp import Sending

__all__ = ["PATIENCE_SECONDS", "Destination", "flush_telemetry", "set_up_telemetry"]

_log = logging.getLogger(__name__)
PATIENCE_SECONDS = 2.0
_PROTOCOL = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans and metrics are sent, None for one that is not. Each may hold a secret, so that none is shown."""

    traces_url: str | None = field(repr=False)
    metrics_url: str | None = field(repr=False)
    headers: str | None = field(repr=False)


@dataclass(slots=True)
class _State:
    """What was set up in this process."""

    was_asked: bool = False
    sending: "Sending | None" = None


_state = _State()


def set_up_telemetry(settings: Settings) -> None:
    """Send the spans and metrics of this process where `settings` say; the first call in a process decides.

    Never raises: whatever keeps telemetry from being sent is said, and the work goes on without it.
    """
    if _state.was_asked:
        return
    _state.was_asked = True
    destination = _destination_of(settings)
    if destination is not None:
        _begin(destination)


def flush_telemetry() -> None:
    """Send what waits, within `PATIENCE_SECONDS`: for a process that may not end as processes do."""
    if _state.sending is not None:
        _state.sending.flush(PATIENCE_SECONDS)


def _destination_of(settings: Settings) -> Destination | None:
    """Return where to send to; None for nowhere, which is said if it is not what was wanted."""
    base = settings.otlp_endpoint
    traces = settings.otlp_traces_endpoint or (base and f"{base.removesuffix('/')}/v1/traces")
    metrics = settings.otlp_metrics_endpoint or (base and f"{base.removesuffix('/')}/v1/metrics")
    if settings.otel_disabled or not (traces or metrics):
        return None
    for url in (traces, metrics):
        if url is not None and not url.startswith(("http://", "https://")):
            _log.warning("spans and metrics are not sent: expected an endpoint http(s)://host:4318, found another")
            return None
    if settings.otlp_protocol != _PROTOCOL:
        _log.warning(
            "spans and metrics are not sent: only %s is spoken, and OTEL_EXPORTER_OTLP_PROTOCOL is another", _PROTOCOL
        )
        return None
    return Destination(traces, metrics, settings.otlp_headers)


def _begin(destination: Destination) -> None:
    try:
        from cowrie_pipeline.observability.otlp import Sending

        sending = Sending(destination)
    except ImportError:
        _log.warning("spans and metrics are not sent, although an endpoint is set: pip install 'cowrie_pipeline[otel]'")
        return
    except Exception as error:  # noqa: BLE001 - whatever a variable of the SDK's holds, the work goes on
        _log.warning(
            "spans and metrics are not sent: the OpenTelemetry SDK refused its settings (%s)", type(error).__name__
        )
        return
    _state.sending = sending
    atexit.register(sending.end, PATIENCE_SECONDS)
