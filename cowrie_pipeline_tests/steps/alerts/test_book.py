"""Incidents and messages in the database: announced once by any number of processes, delivered once in the end."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from cowrie_pipeline.settings import ReceiverSettings
from cowrie_pipeline.steps.alerts.book import Noted, claim_message, close_incident, note, open_incidents, waiting
from cowrie_pipeline.steps.alerts.delivery import deliver
from cowrie_pipeline.steps.alerts.model import Failure, Moment, Recovery
from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import alert_incidents, alert_outbox, alert_recoveries
from cowrie_pipeline_tests.contract.http_server import Answer, Asked, HttpServer
from cowrie_pipeline_tests.steps.alerts.made import at, days, failure, recovery

DAY = timedelta(days=1)


def hook(server: HttpServer | None = None, name: str = "hook", **changes: object) -> ReceiverSettings:
    url = f"{server.url}/{name}" if server else "http://127.0.0.1:9/"
    return ReceiverSettings(name=name, kind="webhook", url=url, **changes)  # type: ignore[arg-type]


def tell(
    warehouse: Warehouse,
    *findings: Failure | Recovery,
    receivers: Sequence[ReceiverSettings] = (hook(),),
    minutes: float = 60,
) -> Noted:
    return note(warehouse, findings, receivers, now=at(minutes), repeat_after=DAY, ui_url=None)


def moments(noted: Noted) -> list[Moment]:
    return [each.moment for each in noted.announcements]


def messages(warehouse: Warehouse) -> list[tuple[str, str]]:
    """Return receiver and event of every message."""
    with warehouse.read() as connection:
        rows = connection.execute(select(alert_outbox).order_by(alert_outbox.c.message_id)).all()
    return [(row.receiver, row.message["event"]) for row in rows]


def events(server: HttpServer) -> list[str]:
    return [json.loads(asked.body)["event"] for asked in server.asked]


def test_an_incident_is_kept_as_it_is(warehouse: Warehouse) -> None:
    noted = tell(warehouse, failure(1, days(0, 4)), failure(2))
    (announcement,) = noted.announcements
    with warehouse.read() as connection:
        assert open_incidents(connection) == [announcement.incident]


def test_what_is_told_again_changes_nothing(warehouse: Warehouse) -> None:
    told: list[Failure | Recovery] = [failure(1, days(0)), recovery(2, days(0)), failure(3, days(1))]
    assert moments(tell(warehouse, *told)) == [Moment.OPENED]
    for _ in range(2):
        assert moments(tell(warehouse, *told)) == []
        assert moments(tell(warehouse, *reversed(told))) == []
    assert moments(tell(warehouse, recovery(4, days(0, 9)))) == [Moment.OVER]
    assert moments(tell(warehouse, *told)) == []


def test_two_processes_that_tell_the_same_announce_it_once(warehouse: Warehouse) -> None:
    with ThreadPoolExecutor(6) as pool:
        noted = list(pool.map(lambda n: tell(warehouse, failure(1, days(n % 3)), failure(2)), range(12)))
    assert [moment for each in noted for moment in moments(each)] == [Moment.OPENED]
    assert messages(warehouse) == [("hook", "opened")]


def test_receivers_get_what_they_want_and_the_end_of_what_they_got(warehouse: Warehouse) -> None:
    receivers = (
        hook(name="all"),
        hook(name="bad", severity="error"),
        hook(name="networks", assets=("asn_inventory",)),
    )
    told = failure(1, severity=Severity.WARN, assets=("ip_inventory", "asn_inventory"))
    tell(warehouse, told, receivers=receivers)
    tell(warehouse, failure(2, name="b"), receivers=receivers)
    tell(warehouse, recovery(3), recovery(3, name="b"), receivers=receivers)
    assert Counter(messages(warehouse)) == {
        ("all", "opened"): 2,
        ("networks", "opened"): 1,
        ("bad", "opened"): 1,
        ("all", "over"): 2,
        ("networks", "over"): 1,
        ("bad", "over"): 1,
    }


def test_what_becomes_worse_reaches_those_who_want_only_the_worst(warehouse: Warehouse) -> None:
    receivers = (hook(name="bad", severity="error"),)
    tell(warehouse, failure(1, severity=Severity.WARN), receivers=receivers)
    assert messages(warehouse) == []
    tell(warehouse, failure(2), receivers=receivers)
    assert messages(warehouse) == [("bad", "worse")]


def test_what_lasts_is_repeated_by_the_next_round_whatever_it_found(warehouse: Warehouse) -> None:
    tell(warehouse, failure(1))
    assert moments(tell(warehouse, minutes=24 * 60)) == []
    assert moments(tell(warehouse, minutes=25 * 60)) == [Moment.REPEATED]


def test_an_incident_can_be_closed_by_hand_and_old_news_do_not_open_it(warehouse: Warehouse) -> None:
    tell(warehouse, failure(1, days(0)), failure(2))
    assert close_incident(warehouse, "check:a", [hook()], now=at(61), ui_url=None)
    assert not close_incident(warehouse, "check:a", [hook()], now=at(62), ui_url=None)
    assert moments(tell(warehouse, failure(1, days(0)), failure(2))) == []
    assert messages(warehouse) == [("hook", "opened"), ("hook", "over")]


def test_long_ago_is_forgotten_unless_a_message_still_waits(warehouse: Warehouse) -> None:
    for name in "ab":
        tell(warehouse, failure(1, name=name), recovery(2, name=name))
    with warehouse.begin() as connection:
        of_a = select(alert_incidents.c.incident_id).where(alert_incidents.c.fingerprint == "check:a").scalar_subquery()
        connection.execute(
            update(alert_outbox).where(alert_outbox.c.incident_id == of_a).values(delivered_at=at(5), due_at=at(5))
        )
    tell(warehouse, failure(200 * 24 * 60, name="c"), minutes=200 * 24 * 60)
    with warehouse.read() as connection:
        known = set(connection.scalars(select(alert_incidents.c.fingerprint)))
        recoveries = connection.execute(select(func.count()).select_from(alert_recoveries)).scalar()
    assert known == {"check:b", "check:c"}
    assert recoveries == 0


def test_a_receiver_that_is_down_gets_everything_later_after_growing_pauses(warehouse: Warehouse) -> None:
    up = False

    def answer(_: Asked) -> Answer:
        return Answer(200 if up else 503)

    with HttpServer(answer) as server:
        receivers = (hook(server),)
        tell(warehouse, failure(1), failure(1, name="b"), receivers=receivers)
        attempts = []
        for minute in range(61, 60 + 8 * 60):
            before = len(server.asked)
            deliver(warehouse, receivers, clock=lambda minute=minute: at(minute), seconds=60)  # type: ignore[misc]
            if len(server.asked) > before:
                assert len(server.asked) == before + 1  # and not once for each message
                attempts.append(minute)
        pauses = [b - a for a, b in pairwise(attempts)]
        assert pauses[:6] == [1, 2, 4, 8, 16, 32]
        assert set(pauses[6:]) == {60}
        with warehouse.read() as connection:
            (state,) = waiting(connection)
        assert (state.receiver, state.messages) == ("hook", 2)
        assert "503" in (state.error or "")
        up, server.asked = True, []
        report = deliver(warehouse, receivers, clock=lambda: at(24 * 60), seconds=60)
        assert (report.delivered, report.errors) == (2, {})
        assert events(server) == ["opened", "opened"]
        with warehouse.read() as connection:
            assert waiting(connection) == []


def test_a_message_that_is_refused_holds_up_only_its_own_incident(warehouse: Warehouse) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(400 if json.loads(asked.body)["fingerprint"] == "check:a" else 200)

    with HttpServer(answer) as server:
        receivers = (hook(server),)
        tell(warehouse, failure(1), failure(2, name="b"), recovery(3), recovery(4, name="b"), receivers=receivers)
        for minute in (60, 60.5):
            deliver(warehouse, receivers, clock=lambda minute=minute: at(minute), seconds=60)  # type: ignore[misc]
        found = [(json.loads(each.body)["fingerprint"], json.loads(each.body)["event"]) for each in server.asked]
    assert found == [("check:a", "opened"), ("check:b", "opened"), ("check:b", "over")]


def test_a_receiver_that_is_down_does_not_hold_up_another(warehouse: Warehouse) -> None:
    with HttpServer(lambda asked: Answer(503 if asked.path == "/one" else 200)) as server:
        receivers = (hook(server, "one"), hook(server, "two"))
        tell(warehouse, failure(1), failure(1, name="b"), receivers=receivers)
        report = deliver(warehouse, receivers, clock=lambda: at(61), seconds=60)
    assert report.delivered == 2
    assert set(report.errors) == {"one"}


def test_a_message_that_is_being_sent_is_nobody_elses_until_its_sender_is_long_dead(warehouse: Warehouse) -> None:
    tell(warehouse, failure(1))
    first = claim_message(warehouse, ["hook"], now=at(60))
    assert first is not None
    assert claim_message(warehouse, ["hook"], now=at(69)) is None
    again = claim_message(warehouse, ["hook"], now=at(70))
    assert again is not None
    assert (again.message_id, again.attempts) == (first.message_id, 2)


def test_processes_that_deliver_at_once_send_nothing_twice(warehouse: Warehouse) -> None:
    with HttpServer(lambda _: Answer(200), delay_seconds=0.01) as server:
        receivers = (hook(server),)
        tell(warehouse, *(failure(1, name=str(n)) for n in range(12)), receivers=receivers)
        with ThreadPoolExecutor(4) as pool:
            reports = list(
                pool.map(lambda _: deliver(warehouse, receivers, clock=lambda: at(61), seconds=60), range(4))
            )
        assert sum(each.delivered for each in reports) == 12
        assert Counter(json.loads(each.body)["fingerprint"] for each in server.asked).most_common(1)[0][1] == 1


@pytest.fixture(scope="module")
def flaky() -> "Flaky":
    return Flaky()


class Flaky:
    """Fails as a test says, and keeps what it took."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.failing = 0.0
        self.taken: list[str] = []

    def answer(self, asked: Asked) -> Answer:
        if self.random.random() < self.failing:
            kinds = [Answer(500), Answer(429), Answer(400), Answer(404), Answer(dropped=True)]
            return self.random.choice(kinds)
        self.taken.append(json.loads(asked.body)["delivery_id"])
        return Answer(200)


@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    seed=st.integers(0, 1000),
    told=st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), min_size=1, max_size=10),
)
def test_nothing_is_lost_and_each_is_delivered_once_when_receivers_fail_at_random(
    warehouse: Warehouse, flaky: Flaky, seed: int, told: list[tuple[bool, str]]
) -> None:
    with warehouse.begin() as connection:
        for table in (alert_outbox, alert_incidents, alert_recoveries):
            connection.execute(delete(table))
    flaky.random, flaky.failing, flaky.taken = random.Random(seed), 0.6, []
    with HttpServer(flaky.answer) as server:
        receivers = (hook(server, "one"), hook(server, "two", severity="error"))
        for minute, (fails, name) in enumerate(told):
            finding = (failure if fails else recovery)(minute, name=name)
            tell(warehouse, finding, receivers=receivers, minutes=minute)
            deliver(warehouse, receivers, clock=lambda minute=minute: at(minute), seconds=60)  # type: ignore[misc]
        hour = 1
        while True:
            flaky.failing = 0.6 if hour < 12 else 0.0
            deliver(warehouse, receivers, clock=lambda hour=hour: at(60 * hour), seconds=60)  # type: ignore[misc]
            with warehouse.read() as connection:
                if not waiting(connection):
                    break
            hour += 1
            assert hour < 60
    with warehouse.read() as connection:
        written = connection.execute(
            select(alert_outbox.c.incident_id, alert_outbox.c.message_id).order_by(alert_outbox.c.message_id)
        ).all()
    assert Counter(flaky.taken) == Counter(f"{incident}-{message}" for incident, message in written)
    # of one incident in the order in which they were written
    for incident in {row.incident_id for row in written}:
        numbers = [int(each.rpartition("-")[2]) for each in flaky.taken if each.startswith(incident)]
        of_receiver = {row.message_id: row for row in written}
        assert sorted(numbers) == sorted(n for n in of_receiver if of_receiver[n].incident_id == incident)
