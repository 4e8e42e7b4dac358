"""The cascade: who is asked, what is kept, and what an address and a network are afterwards."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.cascade import (
    Cascade,
    CascadeResult,
    EnrichedAddress,
    KnownAddress,
    NetworkFacts,
    State,
)
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.documents import renew
from cowrie_pipeline.enrichment.merge import CountryBasis
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.recording import MemoryCache, RecordingSource, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOGLE = {"asn": 15169, "organization": "GOOGLE", "country": "US"}
CLOUDFLARE = {"asn": 13335, "origins": [13335], "country": "AU", "registry": "apnic"}
CLOUDFLARE_AS = {"asn": 13335, "country": "US", "registry": "arin", "organization": "CLOUDFLARENET"}


class World:
    """Three recorded sources and their cascade."""

    def __init__(self, maxmind: Script | Mapping[str, Any] | Status, cymru: Any = None, network: Any = None) -> None:
        self.maxmind = RecordingSource("maxmind", _script(maxmind), cached=False)
        self.cymru = RecordingSource("cymru", _script(cymru or Status.NOT_FOUND))
        self.network = RecordingSource("cymru_asn", _script(network or Status.NOT_FOUND))
        self.cache = MemoryCache()

    def run(self, *addresses: str | KnownAddress, now: datetime = NOW) -> CascadeResult:
        known = [each if isinstance(each, KnownAddress) else KnownAddress(each) for each in addresses]
        with Cascade([self.network, self.cymru, self.maxmind]) as cascade:
            return cascade.run(known, cache=self.cache, now=now)


def _script(said: Any) -> Script:
    return said if callable(said) else lambda _key: said


def known(address: EnrichedAddress) -> KnownAddress:
    return KnownAddress(address.address, json.loads(json.dumps(address.enrichment, allow_nan=False)))


def test_cymru_is_not_asked_where_maxmind_knows_the_asn() -> None:
    world = World(GOOGLE)
    result = world.run("8.8.8.8")
    (address,) = result.addresses
    assert (address.facts.asn, address.facts.asn_source, address.facts.geo_country) == (15169, "maxmind", "US")
    assert address.facts.country_basis is CountryBasis.GEOLOCATION
    assert address.facts.asn_verified_at == NOW
    assert address.state is State.COMPLETE
    told = {"maxmind": {"status": "hit", "organization": "GOOGLE"}}
    assert result.networks == (NetworkFacts(15169, "GOOGLE", "maxmind", enrichment=told),)
    assert world.cymru.calls == world.network.calls == []


def test_cymru_gives_the_asn_that_maxmind_lacks_and_both_entries_are_kept() -> None:
    world = World({"country": "DE"}, CLOUDFLARE, CLOUDFLARE_AS)
    result = world.run("1.1.1.1", "1.0.0.1")
    address = result.addresses[0]
    assert (address.facts.asn, address.facts.asn_source, address.facts.geo_country) == (13335, "cymru", "DE")
    assert set(address.enrichment) == {"maxmind", "cymru"}
    (network,) = result.networks
    assert replace(network, enrichment={}) == NetworkFacts(
        13335, "CLOUDFLARENET", "cymru_asn", "US", "cymru_asn", "arin", "cymru_asn"
    )
    assert network.enrichment["cymru_asn"]["organization"] == "CLOUDFLARENET"
    assert world.network.calls == [("AS13335",)]


def test_the_registrys_country_says_that_it_is_one() -> None:
    (address,) = World(Status.NOT_FOUND, CLOUDFLARE).run("1.1.1.1").addresses
    assert (address.facts.geo_country, address.facts.country_basis) == ("AU", CountryBasis.REGISTRY)


def test_an_address_that_nobody_knows_is_complete_and_has_no_network() -> None:
    result = World(Status.NOT_FOUND).run("8.8.8.8")
    (address,) = result.addresses
    assert address.facts.asn is None
    assert address.state is State.COMPLETE
    assert address.due_at == NOW + timedelta(days=7)
    assert result.networks == ()


@pytest.mark.parametrize("bogon", ["10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "fc00::1"])
def test_nobody_is_asked_about_a_bogon(bogon: str) -> None:
    world = World(GOOGLE)
    result = world.run(bogon)
    (address,) = result.addresses
    assert address.is_bogon
    assert (address.facts.asn, address.due_at, address.state) == (None, None, State.COMPLETE)
    assert world.maxmind.calls == []
    assert result.outcomes["maxmind"] == {Status.NOT_APPLICABLE: 1}


def test_old_facts_of_a_bogon_are_kept_and_not_believed() -> None:
    document = {"maxmind": {"status": "hit", "fetched_at": NOW.isoformat(), "asn": 5, "country": "US"}}
    result = World(GOOGLE).run(KnownAddress("10.0.0.1", document))
    assert result.addresses[0].enrichment == document
    assert (result.addresses[0].facts.asn, result.addresses[0].facts.geo_country, result.networks) == (None, None, ())


def test_an_incomplete_hit_adds_to_the_hit_before_and_is_partial() -> None:
    before = World(GOOGLE).run("8.8.8.8").addresses[0].enrichment
    incomplete = Outcome(
        service="maxmind",
        key="8.8.8.8",
        status=Status.HIT,
        fetched_at=NOW,
        payload={"asn": 5},
        expires_at=NOW + timedelta(days=1),
        error="the City file cannot be read",
    )
    document = {"maxmind": renew(before["maxmind"], incomplete)}
    (address,) = World(GOOGLE).run(KnownAddress("8.8.8.8", document)).addresses
    assert (address.facts.asn, address.facts.geo_country, address.state) == (5, "US", State.PARTIAL)


def test_what_is_no_address_is_a_finding_and_loses_nothing_else() -> None:
    result = World(GOOGLE).run("nonsense", "8.8.8.8")
    assert [each.state for each in result.addresses] == [State.UNKNOWN, State.COMPLETE]
    assert "nonsense" in str(result.findings[0])


def test_a_fresh_document_is_not_asked_about() -> None:
    world = World(Status.NOT_FOUND, CLOUDFLARE, CLOUDFLARE_AS)
    first = world.run("1.1.1.1")
    second = world.run(known(first.addresses[0]), now=NOW + timedelta(days=6))
    assert len(world.maxmind.calls) == len(world.cymru.calls) == len(world.network.calls) == 1
    assert second.addresses == first.addresses
    assert second.networks == first.networks
    assert second.cache_hits == {"maxmind": 1, "cymru": 1, "cymru_asn": 1}


def test_the_cache_answers_for_an_address_without_a_document() -> None:
    world = World(Status.NOT_FOUND, CLOUDFLARE)
    first = world.run("1.1.1.1")
    second = world.run("1.1.1.1", now=NOW + timedelta(days=1))
    assert len(world.cymru.calls) == 1
    assert second.addresses[0].enrichment["cymru"] == first.addresses[0].enrichment["cymru"]
    assert second.addresses[0].facts.asn_verified_at == NOW


def test_a_stale_document_is_replaced_in_columns_and_json() -> None:
    world = World(GOOGLE)
    first = world.run("8.8.8.8").addresses[0]
    world.maxmind.script = lambda _key: {"asn": 5}
    later = NOW + timedelta(days=8)
    (second,) = world.run(known(first), now=later).addresses
    assert (second.facts.asn, second.facts.asn_verified_at, second.facts.geo_country) == (5, later, None)
    assert second.enrichment["maxmind"]["asn"] == 5


@pytest.mark.parametrize("failure", [Status.ERROR, Status.RATE_LIMITED, Status.SKIPPED_BUDGET])
def test_a_failure_keeps_the_answer_and_its_age(failure: Status) -> None:
    world = World(GOOGLE)
    first = world.run("8.8.8.8").addresses[0]
    world.maxmind.script = lambda _key: failure
    later = NOW + timedelta(days=8)
    (second,) = world.run(known(first), now=later).addresses
    assert (second.facts.asn, second.facts.asn_verified_at, second.state) == (15169, NOW, State.PARTIAL)
    assert second.due_at == later + timedelta(minutes=15)
    assert second.enrichment["maxmind"]["fetched_at"] == first.enrichment["maxmind"]["fetched_at"]
    assert second.enrichment["maxmind"]["last_error"] == "as the test says"
    world.run(known(second), now=later + timedelta(minutes=14))
    assert len(world.maxmind.calls) == 2


def test_a_renewed_answer_forgets_the_failure_before() -> None:
    world = World(Status.ERROR)
    first = world.run("8.8.8.8").addresses[0]
    assert first.state is State.UNKNOWN
    world.maxmind.script = lambda _key: GOOGLE
    (second,) = world.run(known(first), now=NOW + timedelta(hours=1)).addresses
    assert second.state is State.COMPLETE
    assert "last_error" not in second.enrichment["maxmind"]
    assert "retry_at" not in second.enrichment["maxmind"]


def test_an_expired_answer_in_the_cache_survives_a_failure() -> None:
    world = World(Status.NOT_FOUND, CLOUDFLARE)
    world.run("1.1.1.1")
    world.cymru.script = lambda _key: Status.ERROR
    later = NOW + timedelta(days=8)
    (address,) = world.run("1.1.1.1", now=later).addresses
    assert (address.facts.asn, address.facts.asn_verified_at, address.state) == (13335, NOW, State.PARTIAL)
    world.run("1.1.1.1", now=later + timedelta(minutes=1))
    assert len(world.cymru.calls) == 2


def test_refreshing_one_source_leaves_the_others_entry_and_age() -> None:
    world = World(Status.NOT_FOUND, CLOUDFLARE)
    world.cymru.expires_after = timedelta(days=90)
    first = world.run("1.1.1.1").addresses[0]
    (second,) = world.run(known(first), now=NOW + timedelta(days=8)).addresses
    assert second.enrichment["cymru"] == first.enrichment["cymru"]
    assert second.enrichment["maxmind"]["fetched_at"] != first.enrichment["maxmind"]["fetched_at"]
    assert len(world.cymru.calls) == 1


def test_an_entry_of_a_source_that_is_not_in_the_cascade_is_kept() -> None:
    document = {"greynoise": {"status": "hit", "noise": True, "name": None}}
    (address,) = World(GOOGLE).run(KnownAddress("8.8.8.8", document)).addresses
    assert address.enrichment["greynoise"] == {"status": "hit", "noise": True}


def test_a_source_that_raises_costs_nothing_but_its_own_facts() -> None:
    def explode(_key: str) -> Status:
        raise RuntimeError("token=secret")

    result = World({"country": "US"}, explode).run("8.8.8.8")
    (address,) = result.addresses
    assert (address.facts.geo_country, address.state) == ("US", State.PARTIAL)
    assert result.outcomes["cymru"] == {Status.ERROR: 1}
    assert "secret" not in json.dumps(address.enrichment)


def test_all_sources_failing_leaves_a_row_that_is_due_soon() -> None:
    (address,) = World(Status.ERROR, Status.ERROR).run("8.8.8.8").addresses
    assert (address.state, address.due_at) == (State.UNKNOWN, NOW + timedelta(minutes=15))


def test_an_as_number_that_could_not_be_asked_makes_its_addresses_due() -> None:
    (address,) = World(Status.NOT_FOUND, CLOUDFLARE, Status.ERROR).run("1.1.1.1").addresses
    assert (address.state, address.due_at) == (State.PARTIAL, NOW + timedelta(minutes=15))


def test_without_any_usable_source_an_address_is_looked_at_again_tomorrow() -> None:
    world = World(GOOGLE)
    for source in (world.maxmind, world.cymru, world.network):
        source.usable = False
    result = world.run("8.8.8.8")
    assert result.addresses[0].state is State.UNKNOWN
    assert result.addresses[0].due_at == NOW + timedelta(days=1)
    assert len(result.findings) == 3


def test_the_cache_is_read_and_written_once_for_each_batch() -> None:
    world = World(Status.NOT_FOUND, CLOUDFLARE, CLOUDFLARE_AS)
    world.run(*(f"1.1.1.{n}" for n in range(50)))
    assert world.cache.reads == ["cymru", "cymru_asn"]
    assert world.cache.writes == [50, 1]


def test_the_organization_of_a_network_is_the_most_frequent_one() -> None:
    names = {"8.8.8.1": "B", "8.8.8.2": "A", "8.8.8.3": "B"}
    result = World(lambda key: {"asn": 1, "organization": names[key]}).run(*names)
    assert result.networks[0].organization == "B"


def test_an_organization_without_an_asn_is_not_given_to_cymrus_asn() -> None:
    result = World({"organization": "WRONG"}, CLOUDFLARE, CLOUDFLARE_AS).run("1.1.1.1")
    assert result.networks[0].organization == "CLOUDFLARENET"


def test_the_signature_names_the_usable_sources_in_the_order_of_the_policy(tmp_path: Path) -> None:
    world = World(GOOGLE)
    assert Cascade([world.network, world.cymru, world.maxmind]).signature == "maxmind+cymru+cymru_asn"
    world.maxmind.usable = False
    assert Cascade([world.network, world.cymru, world.maxmind]).signature == "cymru+cymru_asn"
    circuits: dict[str, Circuit] = {}
    settings = Settings(state_dir=tmp_path, cymru_resolver="127.0.0.1:1")
    with build_enrichment(settings, circuits, MemoryAllowance()) as enrichment:
        assert enrichment.cascade.signature == "cymru+cymru_asn"
    with build_enrichment(Settings(state_dir=tmp_path, offline=True), circuits, MemoryAllowance()) as enrichment:
        assert enrichment.cascade.signature == ""
    assert {"cymru", "greynoise", "virustotal"} <= set(circuits)


@pytest.mark.parametrize(
    "document", ["x", 5, [], {"maxmind": "x"}, {"maxmind": None}, {"maxmind": {"asn": 7}}, {"maxmind": {"status": "?"}}]
)
def test_a_malformed_document_is_asked_about_anew(document: Any) -> None:
    (address,) = World(GOOGLE).run(KnownAddress("8.8.8.8", document)).addresses
    assert address.facts.asn == 15169
