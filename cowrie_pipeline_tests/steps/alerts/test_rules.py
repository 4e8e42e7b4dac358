"""What is announced: one message an incident, few while it lasts, one when it is over."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.steps.alerts.model import Announcement, Failure, Incident, Moment, Recovery
from cowrie_pipeline.steps.alerts.rules import joined_days, settle
from cowrie_pipeline.steps.checks import Severity
from cowrie_pipeline_tests.steps.alerts.made import at, days, failure, recovery

DAY = timedelta(days=1)


class Memory:
    """What the database keeps between rounds."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.recoveries: list[Recovery] = []
        self.announced: list[Announcement] = []

    def tell(self, *findings: Failure | Recovery, now: datetime | None = None) -> list[Moment]:
        settled = settle(
            self.incidents.values(),
            self.recoveries,
            findings,
            now=now or max((each.seen_at for each in findings), default=at(0)),
            repeat_after=DAY,
        )
        for incident in settled.incidents:
            if incident.closed_at is None:
                self.incidents[incident.fingerprint] = incident
            elif self.incidents.get(incident.fingerprint, incident).incident_id == incident.incident_id:
                self.incidents.pop(incident.fingerprint, None)
        self.recoveries += [each for each in findings if isinstance(each, Recovery)]
        self.announced += settled.announcements
        return [each.moment for each in settled.announcements]


def test_an_incident_is_announced_when_it_begins_and_when_it_is_over() -> None:
    memory = Memory()
    assert memory.tell(failure(1, days(0))) == [Moment.OPENED]
    assert memory.tell(failure(2, days(0))) == []
    assert memory.tell(recovery(3, days(0))) == [Moment.OVER]
    assert memory.tell(recovery(4, days(0))) == []
    assert not memory.incidents


def test_a_range_is_one_message_with_its_days_in_it() -> None:
    memory = Memory()
    assert memory.tell(*(failure(n, days(n)) for n in range(5))) == [Moment.OPENED]
    assert memory.announced[0].incident.all_days == (days(0, 4),)


def test_the_days_of_a_backfill_that_fail_one_after_another_are_one_incident() -> None:
    memory = Memory()
    said = [moment for n in range(9) for moment in memory.tell(failure(n, days(n)))]
    assert said == [Moment.OPENED]
    assert memory.incidents["check:a"].all_days == (days(0, 8),)


def test_it_is_over_only_when_every_day_is_well_again() -> None:
    memory = Memory()
    memory.tell(failure(1, days(0, 9)))
    assert memory.tell(recovery(2, days(3, 5))) == []
    assert memory.tell(recovery(3, days(0, 3))) == []
    assert joined_days(part.days for part in memory.incidents["check:a"].parts) == (days(6, 9),)
    assert memory.tell(recovery(4, days(5, 20))) == [Moment.OVER]
    assert memory.announced[-1].incident.all_days == (days(0, 9),)


def test_that_other_days_are_well_says_nothing_of_these() -> None:
    memory = Memory()
    memory.tell(failure(1, days(0)))
    assert memory.tell(recovery(2, days(1, 30))) == []


def test_a_failure_of_no_days_is_over_when_its_scope_is_well_without_regard_to_days() -> None:
    memory = Memory()
    memory.tell(failure(1))
    assert memory.tell(recovery(2, days(0, 30))) == []
    assert memory.tell(recovery(3)) == [Moment.OVER]


def test_what_lasts_is_repeated_only_after_the_set_time() -> None:
    memory = Memory()
    memory.tell(failure(0, days(0)))
    assert memory.tell(now=at(0) + DAY - timedelta(seconds=1)) == []
    assert memory.tell(now=at(0) + DAY) == [Moment.REPEATED]
    assert memory.tell(failure(1441, days(0))) == []
    assert memory.tell(now=at(0) + 2 * DAY) == [Moment.REPEATED]


def test_what_becomes_worse_is_announced_again_and_never_becomes_better() -> None:
    memory = Memory()
    memory.tell(failure(1, severity=Severity.WARN))
    assert memory.tell(failure(2)) == [Moment.WORSE]
    assert memory.tell(failure(3, severity=Severity.WARN)) == []
    assert memory.incidents["check:a"].trouble.severity is Severity.ERROR


def test_a_failure_that_becomes_known_after_its_recovery_is_not_told() -> None:
    memory = Memory()
    assert memory.tell(recovery(2, days(0, 9))) == []
    assert memory.tell(failure(1, days(4))) == []
    assert not memory.incidents
    assert memory.tell(failure(3, days(4))) == [Moment.OPENED]


def test_a_retry_that_succeeded_before_anybody_looked_is_told_as_begun_and_over() -> None:
    memory = Memory()
    assert memory.tell(recovery(2, days(0)), failure(1, days(0))) == [Moment.OPENED, Moment.OVER]


def test_what_was_well_for_a_moment_between_two_looks_is_the_same_incident() -> None:
    memory = Memory()
    assert memory.tell(failure(1), recovery(2), failure(3)) == [Moment.OPENED]
    assert memory.tell(recovery(4), failure(5)) == []
    assert memory.tell(recovery(6)) == [Moment.OVER]


def test_an_incident_that_begins_anew_is_another_one() -> None:
    memory = Memory()
    memory.tell(failure(1), recovery(2))
    memory.tell(failure(3))
    assert [each.moment for each in memory.announced] == [Moment.OPENED, Moment.OVER, Moment.OPENED]
    assert memory.announced[0].incident.incident_id != memory.announced[2].incident.incident_id


spans = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 8), st.integers(0, 4)).map(lambda each: days(each[0], each[0] + each[1])),
)
findings = st.lists(st.tuples(st.booleans(), spans, st.sampled_from("ab")), min_size=1, max_size=12).map(
    lambda rows: [
        (failure if fails else recovery)(minute, span, name=name) for minute, (fails, span, name) in enumerate(rows)
    ]
)


def failing_days(of: Sequence[Failure | Recovery], scope: str) -> set[object]:
    """Return the days of which the newest finding is a failure: what rules.py has to come to."""
    failing: set[object] = set()
    for each in sorted(of, key=lambda each: each.seen_at):
        scopes = each.scopes if isinstance(each, Failure) else (each.scope,)
        if scope not in scopes:
            continue
        named: set[object] = set(each.days) if each.days else {None}
        if isinstance(each, Failure):
            failing |= named
        elif each.days is None:
            failing.clear()
        else:
            failing -= named
    return failing


@given(told=findings, data=st.data())
def test_what_is_wrong_at_the_end_does_not_depend_on_the_order_of_the_news(
    told: list[Failure | Recovery], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)))]))
    memory = Memory()
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        memory.tell(*shuffled[:size], now=at(60))
        shuffled = shuffled[size:]
    for scope in ("check:a", "check:b"):
        incident = memory.incidents.get(scope)
        found: set[object] = set()
        for part in incident.parts if incident else ():
            found |= set(part.days) if part.days else {None}
        assert found == failing_days(told, scope)
        moments = [each.moment for each in memory.announced if each.incident.fingerprint == scope]
        # begun, over, begun, over: never one without the other, and never twice
        assert moments == [Moment.OPENED, Moment.OVER] * (len(moments) // 2) + [Moment.OPENED] * (len(moments) % 2)
        assert (len(moments) % 2 == 1) == bool(incident)


@given(told=findings)
def test_told_in_order_each_spell_of_failing_is_one_message(told: list[Failure | Recovery]) -> None:
    memory, spells, was = Memory(), 0, False
    for number, each in enumerate(told):
        memory.tell(each)
        memory.tell(*told[: number + 1])  # by another process too
        failing = bool(failing_days(told[: number + 1], "check:a"))
        spells += failing and not was
        was = failing
    opened = [
        each for each in memory.announced if each.moment is Moment.OPENED and each.incident.fingerprint == "check:a"
    ]
    assert len(opened) == spells
