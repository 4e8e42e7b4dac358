"""What holds for every answer that a service could give, sensible or not."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.http_client import HttpClient, Reply
from cowrie_pipeline.enrichment.sources.http_source import (
    MAX_PAUSE,
    HttpSource,
    NotApplicableError,
    RefusedError,
    UnreadableAnswerError,
    retry_after,
)
from cowrie_pipeline_tests.contract import services
from cowrie_pipeline_tests.contract.services import CASES, Case
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.properties.fuzzing import anything, leaves, octets_of, spoilt

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

every_service = pytest.mark.parametrize("case", CASES, ids=str)
statuses = st.sampled_from([200, 200, 200, 201, 204, 400, 404, 418, 422])


@cache
def source_of(case: Case) -> HttpSource:
    return case.source(HttpClient(), MemoryAllowance(), Circuit(), api_key=services.KEY)


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


@every_service
@given(data=st.data(), status=statuses)
def test_a_true_answer_with_octets_changed_or_cut_off_is_read_or_refused(
    case: Case, data: st.DataObject, status: int
) -> None:
    check(case, status, data.draw(octets_of(KNOWN_ANSWERS[str(case)])))


hashes = st.text("0123456789ABCDEFabcdef", min_size=30, max_size=40)
counts = st.integers().map(str) | st.text(max_size=5) | st.sampled_from(["0", "9" * 5000, "1e9", "\u0661"])
rows = st.lists(st.one_of(st.tuples(hashes, counts).map(":".join), st.text(max_size=50)), max_size=5)


@given(lines=rows, ending=st.sampled_from(["\r\n", "\n", "\r"]))
def test_any_lines_of_hashes_are_read_or_refused(lines: list[str], ending: str) -> None:
    (passwords,) = (case for case in CASES if str(case) == "pwned_passwords")
    check(passwords, 200, ending.join(lines).encode("utf-8", "replace"))


said = st.one_of(
    st.integers().map(str),
    st.text(max_size=30),
    st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    st.sampled_from(
        [
            "9" * 5000,
            "-1",
            "1e9",
            "nan",
            "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
        ]
    ),
)


@every_service
@given(value=said, name=st.sampled_from(["Retry-After", "X-RateLimit-Reset", "X-RateLimit-Remaining", "X-Result-Dt"]))
def test_no_header_makes_a_pause_that_is_none(case: Case, value: str, name: str) -> None:
    reply = Reply(429, {name: value}, b"", "application/json", 1.0, NOW)
    assert isinstance(source_of(case).pause_for(reply), timedelta)
    waits = retry_after(reply, NOW)
    assert waits is None or timedelta(0) <= waits <= MAX_PAUSE
