"""The commands `alerts`: is everybody reached, what is wrong now, and a round of alerting without Dagster's daemon."""

from datetime import UTC, datetime
from typing import Any

from cowrie_pipeline.cli.console import print_error, print_json, print_line, print_table, time_shown
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.settings import ReceiverSettings, Settings, SettingsError, read_receivers
from cowrie_pipeline.steps.alerts.book import close_incident, open_incidents, waiting
from cowrie_pipeline.steps.alerts.delivery import deliver
from cowrie_pipeline.steps.alerts.message import TEST_MESSAGE
from cowrie_pipeline.steps.alerts.receivers import DeliveryError, http_client, send
from cowrie_pipeline.steps.alerts.watch import note_conditions, note_runs

__all__ = ["close_alert", "list_alerts", "send_alerts", "test_receivers"]

_DELIVERY_SECONDS = 300.0


def test_receivers(settings: Settings, *, as_json: bool) -> int:
    """Send every receiver a message and show what each said; return 1 if one was not reached."""
    now = datetime.now(UTC)
    rows = []
    with http_client() as client:
        for receiver in _receivers(settings):
            try:
                said, arrived = send(receiver, TEST_MESSAGE, client, delivery_id=f"test-{now:%Y%m%d%H%M%S%f}"), True
            except DeliveryError as error:
                said, arrived = str(error), False
            rows.append((receiver.name, receiver.kind, arrived, said))
    if as_json:
        print_json({"receivers": [dict(zip(("name", "kind", "arrived", "said"), row, strict=True)) for row in rows]})
    else:
        print_table("Receivers", ("receiver", "kind", "arrived", "what it said"), rows)
    return 0 if all(arrived for _, _, arrived, _ in rows) else 1


def list_alerts(settings: Settings, *, as_json: bool) -> int:
    """Show what is wrong now, and the messages that wait to be delivered; return the exit code."""
    known = {receiver.name for receiver in read_receivers(settings)}
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        incidents = open_incidents(connection)
        messages = waiting(connection)
    if as_json:
        print_json(
            {
                "open": [
                    {
                        "fingerprint": each.fingerprint,
                        "severity": each.trouble.severity.value,
                        "title": each.trouble.title,
                        "days": [[days.first, days.last] for days in each.all_days],
                        "since": each.opened_at,
                        "announced_at": each.announced_at,
                        "run_id": each.trouble.run_id,
                    }
                    for each in incidents
                ],
                "waiting": [
                    {
                        "receiver": each.receiver,
                        "is_known": each.receiver in known,
                        "messages": each.messages,
                        "oldest_at": each.oldest_at,
                        "next_at": each.next_at,
                        "attempts": each.attempts,
                        "error": each.error,
                    }
                    for each in messages
                ],
            }
        )
        return 0
    if not known:
        print_line("No receiver is named: nobody is told (COWRIE_ALERTS_FILE)", style="yellow")
    if not incidents:
        print_line("Nothing is wrong that is known of")
    print_table(
        "Open incidents",
        ("incident", "severity", "since", "told", "what"),
        [
            (
                each.fingerprint,
                each.trouble.severity.value,
                time_shown(each.opened_at),
                time_shown(each.announced_at),
                each.trouble.title,
            )
            for each in incidents
        ],
    )
    print_table(
        "Messages not delivered yet",
        ("receiver", "messages", "oldest", "next attempt", "attempts", "error"),
        [
            (
                each.receiver if each.receiver in known else f"{each.receiver} (no receiver any more)",
                each.messages,
                time_shown(each.oldest_at),
                time_shown(each.next_at),
                each.attempts,
                each.error,
            )
            for each in messages
        ],
    )
    return 0


def send_alerts(settings: Settings, *, as_json: bool) -> int:
    """Do what the sensors do, once: for cron, or to be told when Dagster's daemon is what failed."""
    # Dagster takes a second to import, which the other commands need not wait for
    from cowrie_pipeline.orchestration.alerts import RunsCursor, ended_runs
    from cowrie_pipeline.orchestration.runs import open_instance

    receivers = _receivers(settings)
    now = datetime.now(UTC)
    with open_filled(settings) as warehouse:
        written = 0
        with open_instance(settings) as instance:
            cursor = RunsCursor.read(None, now=now)
            # the runs of a day, some at a time; those that the sensors told of change nothing
            while True:
                runs, cursor = ended_runs(instance, cursor)
                if not runs:
                    break
                written += note_runs(warehouse, runs, settings, receivers, now=now).messages
        # whether a sensor is silent is for another sensor to say: here nobody knows since when they are watched
        written += note_conditions(warehouse, settings, receivers, sensors=None, now=now).messages
        report = deliver(warehouse, receivers, clock=lambda: datetime.now(UTC), seconds=_DELIVERY_SECONDS)
    found: dict[str, Any] = {"written": written, "delivered": report.delivered, "errors": report.errors}
    if as_json:
        print_json(found)
    else:
        print_line(f"{written} messages written, {report.delivered} delivered")
        for name, error in report.errors.items():
            print_error(f"{name}: {error}")
    return 1 if report.errors else 0


def close_alert(settings: Settings, fingerprint: str) -> int:
    """End an incident of which nothing else will say that it is over; return the exit code."""
    receivers = read_receivers(settings)
    with open_filled(settings) as warehouse:
        closed = close_incident(warehouse, fingerprint, receivers, now=datetime.now(UTC), ui_url=settings.ui_url)
    if not closed:
        print_error(f"there is no open incident {fingerprint}: `cowrie-pipeline alerts list` shows those that are")
        return 1
    print_line(f"{fingerprint}: closed")
    return 0


def _receivers(settings: Settings) -> tuple[ReceiverSettings, ...]:
    receivers = read_receivers(settings)
    if not receivers:
        raise SettingsError("nobody is to be told: set COWRIE_ALERTS_FILE to a file with a [[receiver]]")
    return receivers
