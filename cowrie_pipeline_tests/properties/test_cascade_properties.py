"""What holds for every cascade, whatever the sources say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.cascade import Cascade, KnownAddress, State
from cowrie_pipeline.enrichment.desk import Desk
from cowrie_pipeline.enrichment.documents import asked_again_at, read_document, renew
from cowrie_pipeline.enrichment.merge import merge
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline_tests.enrichment.recording import MemoryCache, RecordingSource, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
names = st.sampled_from(["maxmind", "cymru", "other"])
keys = st.sampled_from(
    [
        "asn",
        "country",
        "organization",
        "city",
        "latitude",
        "longitude",
        "status",
        "fetched_at",
        "expires_at",
        "retry_at",
    ]
)
entries = anything | st.dictionaries(
    keys, anything | st.sampled_from(["hit", "error", "US", "2026-01-01T00:00:00+00:00"])
)
documents = anything | st.dictionaries(names, entries)


def always(answer: Any) -> Script:
    return lambda _key: answer


facts = st.fixed_dictionaries(
    {},
    optional={
        "asn": st.integers(1, 2**32 - 1),
        "country": st.sampled_from(["US", "DE", "XX"]),
        "organization": st.sampled_from(["A", "B"]),
    },
)
failures = st.sampled_from([Status.ERROR, Status.RATE_LIMITED, Status.SKIPPED_BUDGET])
sayings = facts | st.just(Status.NOT_FOUND) | failures
addresses = st.lists(
    st.sampled_from(["8.8.8.8", "9.9.9.9", "1.1.1.1", "10.0.0.1", "2a00::1", "nonsense"]), max_size=6, unique=True
)


@given(documents)
def test_a_malformed_document_never_raises_and_never_gives_a_false_fact(document: Any) -> None:
    known = merge(document)
    assert known.asn is None or 1 <= known.asn <= 2**32 - 1
    assert known.geo_country is None or (len(known.geo_country) == 2 and known.geo_country.isupper())
    assert (known.latitude is None) == (known.longitude is None)
    json.dumps(read_document(document), allow_nan=False)
    for entry in read_document(document).values():
        asked_again_at(entry)


@given(st.permutations(["maxmind", "cymru", "dshield"]), facts, facts)
def test_the_order_in_which_answers_arrive_does_not_matter(order: list[str], first: Any, second: Any) -> None:
    said = {"maxmind": {"status": "hit"} | first, "cymru": {"status": "hit"} | second, "dshield": {"status": "hit"}}
    assert merge({name: said[name] for name in order}) == merge(said)


@given(facts, failures)
def test_a_failure_never_removes_a_fact(payload: dict[str, Any], failure: Status) -> None:
    def outcome(status: Status, at: datetime, payload: dict[str, Any]) -> Outcome:
        return Outcome(service="maxmind", key="8.8.8.8", status=status, fetched_at=at, payload=payload, retry_at=at)

    before = renew(None, outcome(Status.HIT, NOW, payload))
    after = renew(before, outcome(failure, NOW + timedelta(days=9), {}))
    assert merge({"maxmind": after}) == merge({"maxmind": before})
    assert payload.items() <= after.items()


@given(
    addresses,
    st.lists(st.tuples(sayings, sayings, sayings, st.integers(0, 30)), min_size=1, max_size=5),
    st.booleans(),
)
def test_nothing_is_asked_twice_before_its_outcome_expires(
    asked: list[str], rounds: list[tuple[Any, Any, Any, int]], keep_documents: bool
) -> None:
    cache = MemoryCache()
    stored: dict[str, Any] = {}
    next_allowed: dict[tuple[str, str], datetime] = {}
    now = NOW
    for *said, days in rounds:
        sources = [
            RecordingSource(name, always(answer))
            for name, answer in zip(("maxmind", "cymru", "cymru_asn"), said, strict=True)
        ]
        known = [KnownAddress(each, stored.get(each)) for each in asked]
        result = Cascade(sources).run(known, cache=cache, now=now)
        for source in sources:
            assert len(source.calls) <= 1
            for key in (key for call in source.calls for key in call):
                assert next_allowed.get((source.name, key), now) <= now
                answered = not isinstance(source.script(key), Status) or source.script(key) is Status.NOT_FOUND
                next_allowed[source.name, key] = now + (source.expires_after if answered else source.retry_after)
        for name in ("maxmind", "cymru"):
            total = sum(result.outcomes.get(name, {}).values()) + result.cache_hits.get(name, 0)
            assert total == len(asked)
        for each in result.addresses:
            json.dumps(each.enrichment, allow_nan=False)
            assert each.due_at is None or each.due_at > now
            assert each.state is not State.UNKNOWN or (each.facts.asn is None and each.facts.geo_country is None)
            if keep_documents:
                stored[each.address] = each.enrichment
        met = {each.facts.asn for each in result.addresses if each.facts.asn is not None}
        assert [each.asn for each in result.networks] == sorted(met)
        now += timedelta(days=days)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=5), st.lists(st.sampled_from(["a", "b", "z"]), max_size=5))
def test_every_key_gets_exactly_one_outcome_whatever_a_source_returns(wanted: list[str], given_keys: list[str]) -> None:
    class Careless(RecordingSource):
        def look_up(self, keys: Any, *, now: datetime) -> list[Outcome]:  # noqa: ARG002
            return list(super().look_up(given_keys, now=now))

    outcomes = Desk().look_up(Careless("careless"), sorted(set(wanted)), cache=MemoryCache(), now=NOW).asked
    assert set(outcomes) == set(wanted)
    assert all(outcome.key == key for key, outcome in outcomes.items())
