"""The policy: in which order sources are asked, when the cascade ends early, and for whom a budget is spent."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.cascade import (
    ADDRESS_POLICY,
    NETWORK_LISTS,
    Cascade,
    CascadeResult,
    KnownAddress,
    State,
    stages_of,
)
from cowrie_pipeline.enrichment.desk import Desk
from cowrie_pipeline.enrichment.merge import IpType, merge
from cowrie_pipeline.enrichment.outcomes import LookupCache, Status
from cowrie_pipeline.enrichment.terms import Limit
from cowrie_pipeline_tests.enrichment.recording import MemoryCache, RecordingSource, Script

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITED = (Limit(50, 7 * DAY),)
# What each source says of an address when it knows it.
KNOWS: Mapping[str, Mapping[str, Any]] = {
    "maxmind": {"asn": 15169, "organization": "GOOGLE", "country": "US"},
    "cymru": {"asn": 13335, "origins": [13335], "country": "AU", "registry": "apnic"},
    "tor": {"is_exit": True},
    "spamhaus_drop": {"prefix": "8.8.8.0/24", "sblid": "SBL1"},
    "dshield_research": {"project": "shodan"},
    "greynoise": {"noise": True, "classification": "malicious"},
    "dshield": {"reports": 5, "country": "US"},
    "urlhaus": {"url_count": 2},
    "abuseipdb": {"score": 100, "usage_type": "Fixed Line ISP"},
    "spur": {"infrastructure": "DATACENTER"},
    "internetdb": {"ports": [22]},
}
LOCAL = ("maxmind", "tor", "spamhaus_drop", "dshield_research")
ORDER = [stage.service for stage in ADDRESS_POLICY]


def always(said: Mapping[str, Any] | Status) -> Script:
    return lambda _key: said


class World:
    """Every source of facts on addresses, none of which knows anything but those of `knows`."""

    def __init__(self, *knows: str, policy: Sequence[str] = (), worth: int = 0, **scripts: Any) -> None:
        self.asked: list[str] = []
        self.sources = {name: self._source(name, name in knows, scripts.get(name)) for name in ORDER}
        self.cache = MemoryCache()
        self.cascade = Cascade(list(self.sources.values()), policy=stages_of(policy), limited_min_worth=worth)

    def _source(self, name: str, knows: bool, script: Any) -> RecordingSource:
        said = script or (KNOWS[name] if knows else Status.NOT_FOUND)

        def answer(_key: str) -> Mapping[str, Any] | Status:
            self.asked.append(name)
            return said

        limits = () if name in LOCAL or name == "cymru" else LIMITED
        return RecordingSource(name, answer, cached=name not in LOCAL, limits=limits)

    def run(self, *addresses: str | KnownAddress, now: datetime = NOW) -> CascadeResult:
        known = [each if isinstance(each, KnownAddress) else KnownAddress(each) for each in addresses]
        return self.cascade.run(known, cache=self.cache, now=now)


def test_what_costs_nothing_is_asked_before_what_is_limited() -> None:
    assert ORDER[:5] == ["maxmind", "cymru", "tor", "spamhaus_drop", "dshield_research"]
    world = World()
    world.run("8.8.8.8")
    assert world.asked == ORDER


def test_a_source_is_asked_in_the_order_that_the_operator_writes() -> None:
    world = World(policy=["spur", "dshield", "maxmind"])
    world.run("8.8.8.8")
    assert world.asked == ["spur", "dshield", "maxmind"]
    assert world.cascade.signature == "spur+dshield+maxmind"


def test_an_empty_policy_is_the_default_one() -> None:
    assert stages_of(()) == ADDRESS_POLICY
    assert stages_of(ORDER) == ADDRESS_POLICY


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["maxmind", "virustotal"], "found virustotal"),
        (["cymru_asn"], "found cymru_asn"),
        (["tor", "maxmind", "tor"], "expected each source once"),
    ],
)
def test_a_policy_that_names_no_source_of_addresses_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stages_of(names)


@pytest.mark.parametrize(
    ("knows", "not_asked"),
    [
        (["maxmind"], {"cymru"}),
        (["dshield_research"], {"greynoise"}),
        (["tor"], {"spur"}),
        (["abuseipdb"], {"spur"}),
        (["maxmind", "dshield_research", "abuseipdb"], {"cymru", "greynoise", "spur"}),
        # a fact that a later source does not give is no reason to leave it out
        (["cymru", "dshield", "urlhaus", "spamhaus_drop"], set()),
    ],
)
def test_a_source_is_left_out_where_nothing_that_it_gives_is_missing(knows: list[str], not_asked: set[str]) -> None:
    world = World(*knows)
    result = world.run("8.8.8.8")
    assert set(ORDER) - set(world.asked) == not_asked
    for service in not_asked:
        assert result.outcomes[service] == {Status.NOT_APPLICABLE: 1}
        assert service not in result.addresses[0].enrichment
    assert result.addresses[0].state is State.COMPLETE


def test_what_a_later_source_knows_does_not_keep_an_earlier_one_from_being_asked() -> None:
    world = World("abuseipdb", policy=["spur", "abuseipdb"])
    world.run("8.8.8.8")
    assert world.asked == ["spur", "abuseipdb"]
    # nor does it in the next run, when its entry is in the document already
    document = world.run("8.8.8.8").addresses[0].enrichment
    world.asked.clear()
    world.run(KnownAddress("8.8.8.8", document), now=NOW + 10 * DAY)
    assert world.asked == ["spur", "abuseipdb"]


@pytest.mark.parametrize(("worth", "minimum", "is_asked"), [(0, 1, False), (1, 1, True), (4, 3, True), (2, 3, False)])
def test_a_limited_source_is_asked_about_addresses_that_are_worth_it(worth: int, minimum: int, is_asked: bool) -> None:
    world = World(worth=minimum)
    result = world.run(KnownAddress("8.8.8.8", worth=worth))
    limited = {name for name, source in world.sources.items() if source.limits}
    assert limited == set(ORDER[5:])
    assert limited & set(world.asked) == (limited if is_asked else set())
    assert set(world.asked) >= {"maxmind", "cymru", "tor", "spamhaus_drop", "dshield_research"}
    # it is as complete as it is meant to be, so its session gets a snapshot
    assert result.addresses[0].state is State.COMPLETE


def test_keys_are_asked_in_the_order_of_their_worth_as_they_were_given() -> None:
    world = World()
    world.run("9.9.9.9", "8.8.8.8", "1.1.1.1")
    assert world.sources["greynoise"].calls == [("9.9.9.9", "8.8.8.8", "1.1.1.1")]


def test_a_budget_that_does_not_reach_is_no_fault_of_the_address_and_makes_it_due() -> None:
    world = World("maxmind", greynoise=Status.SKIPPED_BUDGET)
    world.sources["greynoise"].retry_after = timedelta(hours=5)
    (address,) = world.run("8.8.8.8").addresses
    assert address.state is State.COMPLETE
    assert address.due_at == NOW + timedelta(hours=5)
    assert address.enrichment["greynoise"]["status"] == "skipped_budget"
    assert address.facts.is_scanner is None


@pytest.mark.parametrize("failure", [Status.ERROR, Status.RATE_LIMITED])
def test_a_failure_is_a_fault_and_makes_the_address_due(failure: Status) -> None:
    (address,) = World("maxmind", greynoise=failure).run("8.8.8.8").addresses
    assert (address.state, address.due_at) == (State.PARTIAL, NOW + timedelta(minutes=15))


def test_when_there_is_budget_again_only_the_skipped_source_is_asked() -> None:
    world = World("maxmind", greynoise=Status.SKIPPED_BUDGET)
    document = world.run("8.8.8.8").addresses[0].enrichment
    world.asked.clear()
    world.sources["greynoise"].script = lambda _key: KNOWS["greynoise"]
    cascade = Cascade(list(world.sources.values()))  # of another run, with a desk of its own
    (address,) = cascade.run([KnownAddress("8.8.8.8", document)], cache=world.cache, now=NOW + DAY / 2).addresses
    assert world.sources["greynoise"].calls == [("8.8.8.8",), ("8.8.8.8",)]
    assert world.asked == []
    assert address.facts.is_scanner is True
    others = {name: entry for name, entry in document.items() if name != "greynoise"}
    assert {name: entry for name, entry in address.enrichment.items() if name != "greynoise"} == others


def network_lists() -> list[RecordingSource]:
    said: dict[str, Any] = {
        "rir": {"registry": "arin", "country": "US"},
        "spamhaus_asndrop": Status.NOT_FOUND,
    }
    return [RecordingSource(name, always(said[name]), cached=False) for name in NETWORK_LISTS]


def test_lists_of_networks_are_asked_about_every_as_number_once() -> None:
    asns = {"8.8.8.8": 15169, "8.8.4.4": 15169, "1.1.1.1": 13335}
    maxmind = RecordingSource("maxmind", lambda key: {"asn": asns[key], "organization": f"ORG{asns[key]}"})
    cymru_asn = RecordingSource("cymru_asn")
    rir, drop = network_lists()
    drop.script = lambda key: {"name": "BADNET"} if key == "AS13335" else Status.NOT_FOUND
    cascade = Cascade([maxmind, cymru_asn, rir, drop])
    result = cascade.run([KnownAddress(each) for each in asns], cache=MemoryCache(), now=NOW)
    assert cascade.signature == "maxmind+cymru_asn+rir+spamhaus_asndrop"
    assert rir.calls == drop.calls == [("AS13335", "AS15169")]
    # the registry's own name of a network is asked for only where MaxMind has none
    assert cymru_asn.calls == []
    cloudflare, google = result.networks
    assert (google.asn, google.organization, google.rir, google.country) == (15169, "ORG15169", "arin", "US")
    assert (google.organization_source, cloudflare.organization) == ("maxmind", "ORG13335")
    assert google.enrichment["spamhaus_asndrop"]["status"] == "not_found"
    assert cloudflare.enrichment["spamhaus_asndrop"]["name"] == "BADNET"
    assert set(google.enrichment) == {"maxmind", "rir", "spamhaus_asndrop"}


def test_the_registries_books_are_believed_of_a_network_before_team_cymru() -> None:
    rir, drop = network_lists()
    cymru = RecordingSource("cymru", lambda _key: KNOWS["cymru"])
    said = {"asn": 13335, "country": "AU", "registry": "apnic", "organization": "CLOUDFLARENET"}
    cymru_asn = RecordingSource("cymru_asn", lambda _key: said)
    (network,) = (
        Cascade([cymru, cymru_asn, rir, drop]).run([KnownAddress("1.1.1.1")], cache=MemoryCache(), now=NOW).networks
    )
    assert (network.country, network.rir, network.organization) == ("US", "arin", "CLOUDFLARENET")
    assert (network.country_source, network.rir_source, network.organization_source) == ("rir", "rir", "cymru_asn")
    assert set(network.enrichment) == {"cymru_asn", "rir", "spamhaus_asndrop"}


def test_an_address_without_a_network_asks_no_list_of_networks() -> None:
    rir, drop = network_lists()
    result = Cascade([RecordingSource("maxmind"), rir, drop]).run(
        [KnownAddress("8.8.8.8")], cache=MemoryCache(), now=NOW
    )
    assert (result.networks, rir.calls, drop.calls) == ((), [], [])


def test_every_fact_says_who_told_it_and_when() -> None:
    (address,) = World(*ORDER).run("8.8.8.8").addresses
    for service in ("maxmind", "tor", "spamhaus_drop", "dshield_research", "dshield", "urlhaus", "abuseipdb"):
        entry = address.enrichment[service]
        assert (entry["status"], entry["fetched_at"]) == ("hit", NOW.isoformat())
        assert KNOWS[service].items() <= entry.items()
    assert address.facts.ip_type is IpType.TOR


# --- what holds whatever the sources say, and in whatever order

sayings = st.sampled_from(["knows", "not_found", "error", "rate_limited", "skipped_budget"])
worlds = st.fixed_dictionaries(dict.fromkeys(ORDER, sayings))


def said_by(name: str, saying: str) -> Mapping[str, Any] | Status:
    return KNOWS[name] if saying == "knows" else Status(saying)


def run_world(
    world: Mapping[str, str], document: Any, *, cache: LookupCache, now: datetime, ttl: Mapping[str, int]
) -> tuple[Any, dict[str, int]]:
    sources = []
    for name, saying in world.items():
        said = said_by(name, saying)
        sources.append(RecordingSource(name, always(said), expires_after=timedelta(days=ttl.get(name, 7))))
    known = [KnownAddress("8.8.8.8", document)]
    (address,) = Cascade(sources, desk=Desk()).run(known, cache=cache, now=now).addresses
    return address, {source.name: len(source.calls) for source in sources}


@given(worlds, st.permutations(ORDER))
def test_the_order_in_which_answers_arrive_does_not_change_what_is_known(
    world: dict[str, str], order: list[str]
) -> None:
    """Each source answers in a run of its own, in any order, and the policy has no early end for one source alone."""
    together: dict[str, Any] = {}
    for name in ORDER:
        together = run_world({name: world[name]}, together, cache=MemoryCache(), now=NOW, ttl={})[0].enrichment
    one_by_one: dict[str, Any] = {}
    for name in order:
        one_by_one = run_world({name: world[name]}, one_by_one, cache=MemoryCache(), now=NOW, ttl={})[0].enrichment
    assert one_by_one.keys() <= set(ORDER)
    for name in together.keys() & one_by_one.keys():
        assert together[name] == one_by_one[name]
    # what stands in both is the same; what an earlier answer made needless may be missing
    shared = together.keys() & one_by_one.keys()
    assert merge({name: together[name] for name in shared}) == merge({name: one_by_one[name] for name in shared})


@given(worlds, st.sampled_from(["error", "rate_limited", "skipped_budget"]))
def test_an_error_never_removes_a_fact(first: dict[str, str], failure: str) -> None:
    cache = MemoryCache()
    before, _ = run_world(first, None, cache=cache, now=NOW, ttl={})
    after, _ = run_world(dict.fromkeys(ORDER, failure), before.enrichment, cache=cache, now=NOW + 8 * DAY, ttl={})
    assert after.facts == before.facts
    for name, entry in before.enrichment.items():
        if entry["status"] in ("hit", "not_found"):
            kept = {
                key: value for key, value in after.enrichment[name].items() if key not in ("retry_at", "last_error")
            }
            assert kept == {key: value for key, value in entry.items() if key not in ("retry_at", "last_error")}


@given(worlds, worlds, st.sampled_from(ORDER))
def test_refreshing_one_source_touches_no_others_facts_or_age(
    first: dict[str, str], second: dict[str, str], expired: str
) -> None:
    cache = MemoryCache()
    answering = {name: saying if saying in ("knows", "not_found") else "not_found" for name, saying in first.items()}
    ttl = {name: 1 if name == expired else 90 for name in ORDER}
    before, _ = run_world(answering, None, cache=cache, now=NOW, ttl=ttl)
    document = json.loads(json.dumps(before.enrichment))
    after, calls = run_world(second, document, cache=cache, now=NOW + 2 * DAY, ttl=ttl)
    for name, entry in before.enrichment.items():
        if name != expired:
            assert after.enrichment[name] == entry
            assert calls[name] == 0
