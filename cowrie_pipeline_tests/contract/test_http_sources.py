"""What every service does that is asked by HTTP, one suite for all of them: answers, limits, refusals, failures."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cowrie_pipeline.enrichment.circuit import Circuit, CircuitState
from cowrie_pipeline.enrichment.findings import Reporter
from cowrie_pipeline.enrichment.http_client import HttpClient
from cowrie_pipeline.enrichment.outcomes import Outcome, Source, Status
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline_tests.contract.asking import desk
from cowrie_pipeline_tests.contract.http_server import Answer, Asked
from cowrie_pipeline_tests.contract.services import CASES, HTML_PAGE, KEY, Case
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
UNUSABLE = Answer(500, b"<h1>Internal Server Error</h1>", "text/html")

every_service = pytest.mark.parametrize("case", CASES, ids=str)


def statuses(outcomes: list[Outcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


def needing_keys() -> list[Case]:
    return [case for case in CASES if case.source.terms.needs_key]


@every_service
def test_a_hit_gives_the_facts_for_as_long_as_they_hold(case: Case) -> None:
    with desk(case) as at:
        (outcome,) = at.look_up(case.known)
        source: Source = at.source
        assert isinstance(source, Reporter)
        assert source.findings(at.clock.now) == []
        assert at.source.availability().usable
    assert (outcome.status, outcome.error) == (Status.HIT, None)
    assert outcome.payload == case.payload
    assert outcome.expires_at == at.clock.now + case.source.terms.hit_for
    assert outcome.response_code == 200
    assert outcome.latency_ms is not None


@pytest.mark.parametrize("case", [case for case in CASES if case.unknown is not None], ids=str)
def test_that_nothing_is_known_is_an_answer_for_as_long_as_negatives_hold(case: Case) -> None:
    assert case.unknown is not None
    with desk(case) as at:
        (outcome,) = at.look_up(case.unknown)
    assert (outcome.status, outcome.error) == (Status.NOT_FOUND, None)
    assert outcome.payload == {}
    assert outcome.expires_at == at.clock.now + case.source.terms.negative_for
    assert outcome.response_code in (200, 404)


@every_service
def test_a_key_is_asked_once_in_a_batch_and_answered_wherever_it_stands(case: Case) -> None:
    with desk(case) as at:
        outcomes = at.look_up(case.known, case.more_keys[0], case.known)
        assert len(at.server.asked) == 2
    assert [outcome.key for outcome in outcomes] == [case.known, case.more_keys[0], case.known]
    assert outcomes[0] == outcomes[2]


@every_service
def test_what_is_no_key_is_not_asked_about_and_not_repeated(case: Case) -> None:
    with desk(case) as at:
        outcomes = at.look_up("hunter2 my password", "", "10.0.0.1/8", "\x00", "é", "AAAA\n")
        assert at.server.asked == []
    assert set(statuses(outcomes)) == {Status.NOT_APPLICABLE}
    assert {outcome.latency_ms for outcome in outcomes} == {None}
    assert not any("hunter2" in str(outcome.error) for outcome in outcomes)


@every_service
def test_a_429_pauses_everybody_for_as_long_as_it_says(case: Case) -> None:
    with desk(case, Answer(429, headers={"Retry-After": "120"}), max_in_flight=1) as at:
        outcomes = at.look_up(case.known, *case.more_keys)
        until = at.clock.now + timedelta(minutes=2)
        assert len(at.server.asked) == 1
        assert at.allowance.pauses[case.source.terms.service][0] == until
        # What was granted and not used is there for others.
        assert at.allowance.given_back == len(case.more_keys)
        # Nobody asks before the pause is over, and nobody waits longer for it than a minute.
        again = at.look_up(case.known)
        assert len(at.server.asked) == 1
    assert statuses(outcomes) == [Status.RATE_LIMITED] + [Status.SKIPPED_BUDGET] * len(case.more_keys)
    assert statuses(again) == [Status.SKIPPED_BUDGET]
    assert {outcome.retry_at for outcome in outcomes + again} == {until}
    assert [outcome.latency_ms is None for outcome in outcomes[:2]] == [False, True]
    assert (outcomes[0].response_code, outcomes[1].response_code) == (429, None)
    assert at.circuit.state(at.clock.now) is CircuitState.CLOSED


@every_service
@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("30.5", timedelta(seconds=30.5)),
        ("0", timedelta(seconds=1)),
        (format_datetime(datetime(2026, 1, 1, 0, 3, tzinfo=UTC), usegmt=True), timedelta(minutes=3)),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), timedelta(seconds=1)),
        ("99999999999999", DAY),
        (format_datetime(datetime(2099, 1, 1, tzinfo=UTC), usegmt=True), DAY),
    ],
    ids=["seconds", "none", "date", "past date", "too long", "far date"],
)
def test_retry_after_is_obeyed_within_bounds(case: Case, said: str, wait: timedelta) -> None:
    with desk(case, Answer(429, headers={"Retry-After": said})) as at:
        assert at.look_up(case.known)[0].retry_at == at.clock.now + wait


@every_service
@pytest.mark.parametrize("said", [None, "soon", "", "-5", "Thu, 99 Foo 2026"])
def test_a_429_that_does_not_say_pauses_for_the_service_s_own_time(case: Case, said: str | None) -> None:
    with desk(case, Answer(429, headers={} if said is None else {"Retry-After": said})) as at:
        retry_at = at.look_up(case.known)[0].retry_at
        assert retry_at is not None
        assert at.clock.now + MINUTE <= retry_at <= at.clock.now + DAY


@every_service
@pytest.mark.parametrize("status", [401, 403])
def test_who_is_refused_asks_no_more_and_says_so_once(case: Case, status: int) -> None:
    with desk(case, Answer(status, b"go away " + KEY.encode(), "text/plain"), max_in_flight=1) as at:
        outcomes = at.look_up(case.known, *case.more_keys)
        at.clock.now += timedelta(hours=2)
        outcomes += at.look_up(*case.more_keys)
        assert len(at.server.asked) == 1
        (finding,) = at.source.findings(at.clock.now)
    assert set(statuses(outcomes)) == {Status.ERROR}
    assert outcomes[0].retry_at == outcomes[1].retry_at == at.clock.now - HOUR
    assert outcomes[1].error == f"not asked: refused with HTTP {status}"
    assert outcomes[1].latency_ms is None
    assert str(status) in finding.found
    assert (case.source.key_setting or "turns") in finding.advice
    assert KEY not in f"{finding} {outcomes}"


@every_service
def test_a_refusal_stops_others_who_share_the_circuit_too(case: Case) -> None:
    circuit = Circuit()
    with desk(case, Answer(401), circuit=circuit) as at:
        at.look_up(case.known)
    with desk(case, circuit=circuit) as at:
        (outcome,) = at.look_up(case.known)
        assert at.server.asked == []
        assert len(at.source.findings(at.clock.now)) == 1
        at.clock.now += HOUR
        assert statuses(at.look_up(case.known)) == [Status.HIT]
        assert at.source.findings(at.clock.now) == []
    assert outcome.error == "not asked: refused with HTTP 401"


@every_service
@pytest.mark.parametrize(
    "answer",
    [
        HTML_PAGE,
        replace(HTML_PAGE, content_type="application/json"),
        Answer(404, b"<html>nginx</html>", "text/html"),
        Answer(200, b""),
        Answer(204, b"", None),
        Answer(200, b"null"),
        Answer(200, b"{}"),
        Answer(200, b"[]"),
        Answer(200, b'"text"'),
        Answer(200, b"[" * 100_000),
        Answer(200, b'{"ip": NaN}'),
        Answer(200, b"\xff\xfe\x00"),
        Answer(200, b'{"data": null, "ip": null, "query_status": null, "noise": null}'),
        Answer(418, b"{}"),
    ],
    ids=lambda answer: f"{answer.status} {answer.content_type} {answer.body[:20]!r}",
)
def test_what_is_in_no_known_format_is_no_answer(case: Case, answer: Answer) -> None:
    with desk(case, answer) as at:
        (outcome,) = at.look_up(case.known)
    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert "expected" in outcome.error
    assert f"HTTP {answer.status}" in outcome.error
    assert (outcome.payload, outcome.expires_at, outcome.retry_at) == ({}, None, at.clock.now + timedelta(minutes=15))
    assert (outcome.response_code, outcome.latency_ms is None) == (answer.status, False)


@every_service
def test_a_right_answer_with_a_wrong_content_type_is_read(case: Case) -> None:
    def mislabelled(asked: Asked) -> Answer:
        return replace(case.answer(asked), content_type="application/octet-stream")

    with desk(case, mislabelled) as at:
        assert at.look_up(case.known)[0].payload == case.payload


@every_service
@pytest.mark.parametrize(
    "spoilt",
    [
        {"never": True},
        {"dropped": True},
        {"cut_to": 10},
        {"drip_seconds": 0.1},
        {"endless": True},
        {"status": 302, "headers": {"Location": "http://elsewhere.example/"}},
        {"status": 503},
    ],
    ids=["silence", "dropped", "cut body", "slow body", "gigantic body", "redirect to another host", "unavailable"],
)
def test_a_failure_is_an_error_that_is_asked_again(case: Case, spoilt: Mapping[str, Any]) -> None:
    with desk(case, lambda asked: replace(case.answer(asked), **spoilt), seconds=0.5) as at:
        (outcome,) = at.look_up(case.known)
    assert outcome.status is Status.ERROR
    assert outcome.error
    assert outcome.payload == {}
    assert outcome.retry_at == at.clock.now + timedelta(minutes=15)
    assert outcome.latency_ms is not None
    assert KEY not in outcome.error


@every_service
def test_a_503_says_when_to_come_back(case: Case) -> None:
    with desk(case, Answer(503, headers={"Retry-After": "7200"})) as at:
        assert at.look_up(case.known)[0].retry_at == at.clock.now + timedelta(hours=2)


@every_service
def test_repeated_failures_open_the_circuit_and_nothing_more_is_asked(case: Case) -> None:
    circuit = Circuit(max_failures=3)
    with desk(case, UNUSABLE, circuit=circuit, max_in_flight=1) as at:
        outcomes = at.look_up(case.known, *case.more_keys)
        assert len(at.server.asked) == 3
        assert at.allowance.given_back == len(outcomes) - 3
        (finding,) = at.source.findings(at.clock.now)
        assert "HTTP 500" in finding.found
        # After a while one question is tried alone; when it is answered, the others follow.
        at.clock.now += circuit.cool_down
        at.look_up(*case.more_keys)
        assert len(at.server.asked) == 4
        at.clock.now += circuit.cool_down
        at.server.answer = case.answer
        assert Status.ERROR not in statuses(at.look_up(*case.more_keys))
        assert len(at.server.asked) == 4 + len(case.more_keys)
        assert at.source.findings(at.clock.now) == []
    assert set(statuses(outcomes)) == {Status.ERROR}
    assert outcomes[-1].error == "not asked: circuit open"
    assert (outcomes[-1].response_code, outcomes[-1].latency_ms) == (None, None)


@every_service
def test_one_odd_answer_leaves_the_others_as_they_are(case: Case) -> None:
    with desk(case, lambda asked: HTML_PAGE if case.more_keys[0] in str(asked) else case.answer(asked)) as at:
        outcomes = at.look_up(case.more_keys[0], case.known)
    assert statuses(outcomes) == [Status.ERROR, Status.HIT]


@every_service
def test_past_the_budget_nobody_is_asked_and_the_rest_is_due_when_there_is_more(case: Case) -> None:
    with desk(case, limits=(Limit(5, DAY),)) as at:
        outcomes = at.look_up(case.known, *case.more_keys)
        assert len(at.server.asked) == 5
        at.clock.now += DAY
        assert Status.SKIPPED_BUDGET not in statuses(at.look_up(*case.more_keys[:5]))
        assert len(at.server.asked) == 10
    skipped = [outcome for outcome in outcomes if outcome.status is Status.SKIPPED_BUDGET]
    assert skipped == outcomes[5:]
    assert {outcome.retry_at for outcome in skipped} == {outcomes[0].fetched_at + DAY}
    assert {outcome.error for outcome in skipped} == {"not asked: the budget of 5 calls is used up"}
    assert {(outcome.response_code, outcome.latency_ms) for outcome in skipped} == {(None, None)}


@every_service
def test_a_pace_is_waited_for_and_no_longer_than_patience_allows(case: Case) -> None:
    with desk(case, limits=(Limit(1, timedelta(seconds=2)),), patience=timedelta(seconds=9)) as at:
        outcomes = at.look_up(*case.more_keys[:8])
        assert len(at.server.asked) == 5
    assert at.clock.slept == [2.0] * 4
    assert statuses(outcomes).count(Status.SKIPPED_BUDGET) == 3
    # It was granted within the minute, and is left to others.
    assert at.allowance.given_back == 3
    assert outcomes[-1].retry_at == outcomes[0].fetched_at + timedelta(seconds=10)


@every_service
def test_a_short_pause_is_waited_for(case: Case) -> None:
    with desk(case) as at:
        service = case.source.terms.service
        at.allowance.pause(service, until=at.clock.now + timedelta(seconds=20), reason="somebody was told to")
        assert statuses(at.look_up(case.known)) == [Status.HIT]
    assert at.clock.slept == [20.0]


@every_service
def test_as_many_calls_are_in_flight_as_were_set_and_no_more(case: Case) -> None:
    four_are_here = threading.Barrier(4)

    def answer(asked: Asked) -> Answer:
        four_are_here.wait(30)
        return case.answer(asked)

    with desk(case, answer, max_in_flight=4, seconds=60) as at:
        at.look_up(*case.more_keys[:28])
    assert at.server.max_in_flight == 4


@pytest.mark.parametrize("case", needing_keys(), ids=str)
@pytest.mark.parametrize("given", [None, ""])
def test_without_its_key_a_source_is_not_configured_and_asks_nobody(case: Case, given: str | None) -> None:
    with desk(case, api_key=given) as at:
        availability = at.source.availability()
        (outcome,) = at.look_up(case.known)
        assert at.server.asked == []
        assert at.source.findings(at.clock.now) == []
    assert (availability.usable, availability.reason) == (False, f"not configured: set {case.source.key_setting}")
    assert outcome.status is Status.ERROR


@pytest.mark.parametrize("case", needing_keys(), ids=str)
@pytest.mark.parametrize("given", ["a\r\nX-Other: b", "key\n", "clé"])
def test_a_key_that_no_header_can_hold_is_named_by_its_setting_and_never_shown(case: Case, given: str) -> None:
    with desk(case, api_key=given) as at:
        availability = at.source.availability()
        (finding,) = at.source.findings(at.clock.now)
    assert not availability.usable
    assert availability.reason.startswith(str(case.source.key_setting))
    assert given not in f"{availability} {finding}"


@every_service
@pytest.mark.parametrize("url", ["", "nowhere", "ftp://example.org", "http://["])
def test_a_base_url_that_is_none_is_said(case: Case, url: str) -> None:
    with HttpClient(contact="me@example.org") as client:
        source = case.source(client, MemoryAllowance(), Circuit(), api_key=KEY, base_url=url or "x")
        assert not source.availability().usable
        assert len(source.findings(datetime(2026, 1, 1, tzinfo=UTC))) == 1


@every_service
def test_a_source_never_shows_its_key(case: Case) -> None:
    with desk(case) as at:
        shown = f"{at.source} {at.source!r} {at.source.request(case.known)!r} {at.source.availability()} {at.allowance}"
        assert KEY not in shown + repr(at.look_up(case.known))


@every_service
def test_a_source_says_what_it_is_and_what_its_answers_may_be_used_for(case: Case) -> None:
    terms = case.source.terms
    assert terms.title
    assert terms.about
    assert terms.licence
    assert terms.url.startswith("https://")
    assert case.source.default_url.startswith("https://")
    assert terms.needs_key == (case.source.key_setting is not None)
    assert case.source.__doc__
    assert all(f"`{name}`" in case.source.__doc__ for name in case.payload)


@pytest.mark.parametrize(
    ("limits", "in_flight", "keys"),
    [
        ((), 8, 240),
        ((Limit(4, MINUTE), Limit(500, DAY)), 8, 4),
        ((Limit(1, timedelta(seconds=1)),), 8, 60),
        ((Limit(50, timedelta(days=7)),), 2, 60),
        ((Limit(100, timedelta(seconds=1)),), 1, 30),
    ],
)
def test_as_many_keys_are_looked_up_at_once_as_a_minute_holds(
    limits: tuple[Limit, ...], in_flight: int, keys: int
) -> None:
    with desk(CASES[0], limits=limits, max_in_flight=in_flight) as at:
        assert at.source.keys_at_once == keys


def test_a_mistake_of_one_source_is_the_end_of_one_key() -> None:
    class Broken(CASES[0].source):  # type: ignore[misc]
        def request(self, key: str) -> Any:
            if key == CASES[0].known:
                raise RuntimeError(KEY)
            return super().request(key)

    with desk(replace(CASES[0], source=Broken)) as at:
        outcomes = at.look_up(CASES[0].known, CASES[0].more_keys[0])
    assert statuses(outcomes) == [Status.ERROR, Status.NOT_FOUND]
    assert outcomes[0].error == "the source failed with RuntimeError"
