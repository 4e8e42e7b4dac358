"""Any answer of Team Cymru's, any GeoIP file and any kept answer: facts of known types, or a typed refusal."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.downloads import InvalidFileError
from cowrie_pipeline.enrichment.lists.geoip import GEOLITE2_ASN, GEOLITE2_CITY
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.sources.cymru import (
    CymruNetworkSource,
    CymruSource,
    UnreadableAnswerError,
    network_key,
)
from cowrie_pipeline.enrichment.sources.cymru_whois import _Reply
from cowrie_pipeline.enrichment.sources.dns_client import ResolverError
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline_tests.enrichment.databases import asn_record, write_database
from cowrie_pipeline_tests.properties.fuzzing import anything, edited, edits, leaves, octets_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = ResolverError("nobody is asked")
LARGEST_ASN = 2**32 - 1

numbers = st.integers(-1, 2**33).map(str) | st.sampled_from(["NA", "", "9" * 5000, "\u0661", "1 2 3", "15169"])
fields = st.one_of(
    numbers,
    st.text(max_size=12),
    st.sampled_from(
        ["8.8.8.0/24", "2001:db8::/32", "0.0.0.0/0", "US", "arin", "2023-12-28", "0000-00-00", "X - Y, US"]
    ),
)
records = st.lists(fields, max_size=8).map(" | ".join) | st.text(max_size=60)


def check(facts: Mapping[str, Any]) -> None:
    for leaf in leaves(dict(facts)):
        assert isinstance(leaf, str | int | float | bool)
        assert leaf != ""
        assert "\0" not in str(leaf)
        str(leaf).encode("utf-8")
    asn = facts.get("asn")
    assert asn is None or (isinstance(asn, int) and 0 < asn <= LARGEST_ASN)


@given(st.lists(records, max_size=4), st.integers(1, LARGEST_ASN))
def test_any_records_of_team_cymru_give_facts_or_are_refused(texts: list[str], asn: int) -> None:
    with suppress(UnreadableAnswerError):
        check(CymruSource(NOBODY)._read("8.8.8.8", texts))
    with suppress(UnreadableAnswerError):
        check(CymruNetworkSource(NOBODY)._read(network_key(asn), texts))


@given(st.lists(st.one_of(records, records.map(lambda record: f"15169 | 8.8.8.8 | {record}")), max_size=6))
def test_any_reply_by_whois_answers_for_what_was_asked_alone(texts: list[str]) -> None:
    reply = _Reply({b"\x08\x08\x08\x08"})
    for text in texts:
        reply.take(text, 1.0)
    assert set(reply.answers) <= {b"\x08\x08\x08\x08"}
    for answer in reply.answers.values():
        with suppress(UnreadableAnswerError):
            check(CymruSource(NOBODY)._read("8.8.8.8", answer.texts))


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    folder = tmp_path_factory.mktemp("mmdb")
    asn = {"9.8.0.0/16": asn_record(5, "ORG"), "9.9.0.0/16": asn_record(6)}
    place: dict[str, Any] = {
        "country": {"iso_code": "NL"},
        "city": {"names": {"en": "X"}},
        "location": {"latitude": 1.5},
    }
    city = {"9.8.0.0/16": place, "9.9.0.0/16": {"country": {"iso_code": "DE"}}}
    return {
        "GeoLite2-ASN": write_database(folder / "a.mmdb", "GeoLite2-ASN", asn).read_bytes(),
        "GeoLite2-City": write_database(folder / "c.mmdb", "GeoLite2-City", city).read_bytes(),
    }


PUBLISHED = {"GeoLite2-ASN": GEOLITE2_ASN, "GeoLite2-City": GEOLITE2_CITY}


@pytest.mark.parametrize("kind", PUBLISHED)
@given(changes=edits | st.just([]))
def test_a_geoip_file_that_is_taken_ends_no_process(databases: Mapping[str, bytes], kind: str, changes: Any) -> None:
    """The reader in C ended one process of ten that looked up addresses in files like these."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{kind}.mmdb")
        path.write_bytes(edited(databases[kind], changes))
        try:
            PUBLISHED[kind].file.validate(path)
        except InvalidFileError:
            assert changes
            return
        with MaxMindSource(Path(folder)) as source:
            for outcome in source.look_up(["9.8.1.1", "9.9.1.1", "10.1.1.1", "2001:db8::1"], now=NOW):
                assert outcome.status in {Status.HIT, Status.NOT_FOUND, Status.ERROR}
                check(outcome.payload)


KEPT = {
    "service": "greynoise",
    "key": "203.0.113.7",
    "status": "hit",
    "fetched_at": "2025-12-30T00:00:00+00:00",
    "expires_at": "2026-03-30T00:00:00+00:00",
    "payload": {"classification": "malicious", "noise": True},
    "response_code": 200,
    "latency_ms": 12.5,
}


@given(content=octets_of(KEPT) | anything.flatmap(octets_of) | st.binary(max_size=80))
def test_any_file_of_the_cache_is_an_answer_or_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = DiskCache(Path(folder))
        path = cache.path_of("greynoise", "203.0.113.7")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for outcome in cache.get_many("greynoise", ["203.0.113.7"]).values():
            assert isinstance(outcome.status, Status)
            assert outcome.fetched_at.tzinfo is not None
            for leaf in leaves(dict(outcome.payload)):
                assert leaf is None or isinstance(leaf, str | int | float | bool)
        cache.findings(NOW)
