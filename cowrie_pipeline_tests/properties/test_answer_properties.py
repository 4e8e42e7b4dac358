"""What holds for every answer that a service could give, sensible or not."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.http_client import HttpClient, Reply
from cowrie_pipeline.enrichment.sources.http_source import (
    HttpSource,
    NotApplicableError,
    RefusedError,
    UnreadableAnswerError,
)
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.services import CASES, Case
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN_ANSWERS: dict[str, Any] = {
    "greynoise": services.GREYNOISE_KNOWN,
    "dshield": {"ip": services.DSHIELD_KNOWN},
    "urlhaus": services.URLHAUS_KNOWN,
    "spur": services.SPUR_KNOWN,
    "abuseipdb": {"data": services.ABUSEIPDB_KNOWN},
    "internetdb": services.INTERNETDB_KNOWN,
    "virustotal": services.VIRUSTOTAL_KNOWN,
    "pwned_passwords": {},
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["true", "2026-01-01", "2026-01-01 00:00:00 UTC", "US", "online", "12", "not listed", "203.0.113.7"]
    )
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
every_service = pytest.mark.parametrize("case", CASES, ids=str)
statuses = st.sampled_from([200, 200, 200, 201, 204, 400, 404, 418, 422])


@st.composite
def spoilt(draw: st.DrawFn, answer: Any) -> Any:
    """Return a true answer in which any part may be something else, missing or more."""
    if draw(st.integers(0, 7)) == 0:
        return draw(anything)
    if isinstance(answer, dict):
        kept = {key: draw(spoilt(value)) for key, value in answer.items() if draw(st.integers(0, 9))}
        return kept | (draw(st.dictionaries(st.text(max_size=5), scalars, max_size=1)))
    if isinstance(answer, list):
        return [draw(spoilt(value)) for value in answer] + draw(st.lists(anything, max_size=2))
    return answer


@cache
def source_of(case: Case) -> HttpSource:
    return case.source(HttpClient(), MemoryAllowance(), Circuit(), api_key=services.KEY)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def check(case: Case, status: int, body: bytes) -> None:
    reply = Reply(status, {}, body, "application/json", 1.0, NOW)
    source = source_of(case)
    with suppress(UnreadableAnswerError, RefusedError, NotApplicableError):
        check_payload(source, source.parse(case.known, reply))


def check_payload(source: HttpSource, payload: Mapping[str, Any] | None) -> None:
    for leaf in leaves(dict(payload or {})):
        assert isinstance(leaf, str | int | float | bool)
        assert "\0" not in str(leaf)
        assert leaf != ""
    if payload:
        names = set(payload)
        assert all(f"`{name}`" in str(source.__doc__) for name in names)
        assert len(json.dumps(payload, allow_nan=False)) < 100_000


@every_service
@given(status=statuses, answer=anything)
def test_any_json_is_read_or_refused_and_never_gives_a_value_that_is_none(case: Case, status: int, answer: Any) -> None:
    check(case, status, json.dumps(answer).encode())


@every_service
@given(data=st.data(), status=statuses)
def test_a_true_answer_with_any_part_spoilt_is_read_or_refused(case: Case, data: st.DataObject, status: int) -> None:
    check(case, status, json.dumps(data.draw(spoilt(KNOWN_ANSWERS[str(case)]))).encode())


@every_service
@given(status=statuses, body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_octets_are_read_or_refused(case: Case, status: int, body: bytes) -> None:
    check(case, status, body)
