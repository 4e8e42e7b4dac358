"""Team Cymru on the wire: what is asked, and what becomes of every kind of reply."""

import asyncio
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.cascade import CascadeResult, KnownAddress
from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.cymru import PROOF_NAME, CymruNetworkSource, CymruSource
from cowrie_pipeline.enrichment.sources.dns_client import DnsClient, Resolver, ResolverError, system_resolvers
from cowrie_pipeline.settings import Settings
from cowrie_pipeline_tests.contract.name_server import NOERROR, NXDOMAIN, REFUSED, SERVFAIL, NameServer, Zone
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance
from cowrie_pipeline_tests.enrichment.recording import MemoryCache

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESS = "216.90.108.31"
NAME = "31.108.90.216.origin.asn.cymru.com."
RECORD = "23028 | 216.90.108.0/24 | US | arin | 1998-09-25"
PROOF = "as23028.asn.cymru.com."
PROOF_RECORD = "23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US"


def client(
    server: NameServer, *, timeout: float = 5.0, in_flight: int = 50, circuit: Circuit | None = None
) -> DnsClient:
    return DnsClient(
        [Resolver.parse(server.address)], max_in_flight=in_flight, timeout=timeout, circuit=circuit or Circuit()
    )


def ask(zone: Zone, address: str = ADDRESS, *, timeout: float = 5.0) -> Outcome:
    with NameServer(zone) as server:
        return CymruSource(client(server, timeout=timeout)).look_up([address], now=NOW)[0]


def ask_network(zone: Zone, key: str = "AS23028") -> Outcome:
    with NameServer(zone) as server:
        return CymruNetworkSource(client(server)).look_up([key], now=NOW)[0]


def test_an_ipv4_address_is_asked_by_its_octets_in_reverse() -> None:
    with NameServer(Zone({NAME: [RECORD]})) as server:
        (outcome,) = CymruSource(client(server)).look_up([ADDRESS], now=NOW)
    assert server.questions == [NAME]
    assert outcome.status is Status.HIT
    assert outcome.payload == {
        "asn": 23028,
        "origins": [23028],
        "prefix": "216.90.108.0/24",
        "country": "US",
        "registry": "arin",
        "allocated": "1998-09-25",
    }
    assert outcome.expires_at == NOW + timedelta(days=90)
    assert outcome.latency_ms is not None


def test_an_ipv6_address_is_asked_by_its_nibbles_in_reverse_in_the_zone_of_ipv6() -> None:
    name = "8.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.8.0.6.8.4.1.0.0.2.origin6.asn.cymru.com."
    outcome = ask(Zone({name: ["15169 | 2001:4860::/32 | US | arin | 2005-03-14"]}), "2001:4860:8002::68")
    assert (outcome.payload["asn"], outcome.payload["prefix"]) == (15169, "2001:4860::/32")


def test_a_mapped_address_is_asked_in_the_zone_of_ipv4() -> None:
    assert ask(Zone({NAME: [RECORD]}), f"::ffff:{ADDRESS}").payload["asn"] == 23028


def test_a_resolver_with_an_ipv6_address_is_asked() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    with NameServer(Zone({NAME: [RECORD]}), host="::1") as server:
        (outcome,) = CymruSource(client(server)).look_up([ADDRESS], now=NOW)
    assert outcome.status is Status.HIT


def test_of_several_records_the_longest_prefix_counts() -> None:
    records: list[str | list[str]] = ["1 | 216.0.0.0/8 | US | arin | ", RECORD, "2 | 216.90.0.0/16 | US | arin | "]
    assert ask(Zone({NAME: records})).payload["asn"] == 23028


def test_of_several_origins_the_first_counts_and_all_are_kept() -> None:
    payload = ask(Zone({NAME: ["20738 20773 | 94.136.40.0/24 | DE | ripencc | 2008-07-17"]})).payload
    assert payload["asn"] == 20738
    assert payload["origins"] == [20738, 20773]


def test_a_text_in_several_chunks_is_one_text() -> None:
    assert (
        ask(Zone({NAME: [["23028 | 216.90.1", "08.0/24 | US | ar", "in | 1998-09-25"]]})).payload["registry"] == "arin"
    )


def test_a_32_bit_as_number_is_kept() -> None:
    assert ask(Zone({NAME: ["4199999999 | 216.90.108.0/24 | US | arin | "]})).payload["asn"] == 4199999999


def test_what_a_record_leaves_blank_is_absent() -> None:
    assert ask(Zone({NAME: ["23028 |  |  |  | "]})).payload == {"asn": 23028, "origins": [23028]}


@pytest.mark.parametrize("numbers", ["NA", "0", "64512", "23456", "4200000000", "4294967295"])
def test_what_cannot_be_an_origin_is_none(numbers: str) -> None:
    outcome = ask(Zone({NAME: [f"{numbers} | 216.90.108.0/24 | US | arin | "]}))
    assert outcome.status is Status.NOT_FOUND
    assert outcome.payload == {}


@pytest.mark.parametrize("text", ["", "hello", "a | b", "12x | 1.0.0.0/8 | US", "é | é"])
def test_a_text_in_another_format_is_an_error_and_asked_again(text: str) -> None:
    outcome = ask(Zone({NAME: [text]}))
    assert outcome.status is Status.ERROR
    assert outcome.payload == {}
    assert outcome.retry_at == NOW + timedelta(minutes=15)


def test_one_unreadable_record_does_not_hide_a_readable_one() -> None:
    assert ask(Zone({NAME: ["hello", RECORD]})).payload["asn"] == 23028


def test_a_name_that_does_not_exist_is_an_answer() -> None:
    outcome = ask(Zone())
    assert outcome.status is Status.NOT_FOUND
    assert outcome.expires_at == NOW + timedelta(days=7)


def test_a_name_without_records_is_the_same_answer() -> None:
    assert ask(Zone({NAME: []})).status is Status.NOT_FOUND


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
def test_a_server_that_fails_gives_no_answer_and_is_asked_three_times(rcode: int) -> None:
    with NameServer(Zone({NAME: [RECORD]}, rcode_for_all=rcode)) as server:
        (outcome,) = CymruSource(client(server)).look_up([ADDRESS], now=NOW)
    assert outcome.status is Status.ERROR
    assert outcome.retry_at == NOW + timedelta(minutes=15)
    assert outcome.response_code == rcode
    assert len(server.questions) == 3


def test_a_lost_packet_is_asked_again() -> None:
    assert ask(Zone({NAME: [RECORD]}, drop_first=2), timeout=0.4).status is Status.HIT


def test_three_lost_packets_are_an_error() -> None:
    outcome = ask(Zone({NAME: [RECORD]}, drop_all=True), timeout=0.05)
    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert "no reply in time" in outcome.error


def test_an_unreadable_reply_is_an_error() -> None:
    assert ask(Zone({NAME: [RECORD]}, garbage=True), timeout=0.1).status is Status.ERROR


def test_a_truncated_reply_is_asked_for_by_tcp() -> None:
    with NameServer(Zone({NAME: [RECORD] * 40}, truncate=True)) as server:
        (outcome,) = CymruSource(client(server)).look_up([ADDRESS], now=NOW)
    assert outcome.payload["asn"] == 23028
    assert server.tcp_questions == [NAME]


def test_a_reply_to_another_question_is_no_answer() -> None:
    assert ask(Zone({NAME: [RECORD]}, forged_before_answer=True)).payload["asn"] == 23028


def test_nobody_listening_is_an_error_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nobody = DnsClient([Resolver("127.0.0.1", port)], max_in_flight=10, timeout=60, circuit=Circuit())
    outcomes = CymruSource(nobody).look_up([f"9.9.9.{n}" for n in range(100)], now=NOW)
    assert {outcome.status for outcome in outcomes} == {Status.ERROR}


def test_the_next_resolver_is_asked_when_the_first_fails() -> None:
    with NameServer(Zone(rcode_for_all=SERVFAIL)) as broken, NameServer(Zone({NAME: [RECORD]})) as good:
        both = [Resolver.parse(broken.address), Resolver.parse(good.address)]
        two = DnsClient(both, max_in_flight=10, timeout=5, circuit=Circuit())
        assert CymruSource(two).look_up([ADDRESS], now=NOW)[0].status is Status.HIT


def test_never_more_questions_are_open_than_were_allowed() -> None:
    keys = [f"9.8.{n // 250}.{n % 250}" for n in range(1000)]
    with NameServer(Zone(default=lambda _name: [RECORD], delay_seconds=0.02)) as server:
        outcomes = CymruSource(client(server, in_flight=40)).look_up(keys, now=NOW)
    assert [outcome.key for outcome in outcomes] == keys
    assert {outcome.status for outcome in outcomes} == {Status.HIT}
    assert server.max_in_flight <= 40
    assert set(Counter(server.questions).values()) == {1}


def test_a_key_that_comes_twice_is_asked_once() -> None:
    with NameServer(Zone({NAME: [RECORD]})) as server:
        outcomes = CymruSource(client(server)).look_up([ADDRESS, ADDRESS], now=NOW)
    assert [outcome.status for outcome in outcomes] == [Status.HIT, Status.HIT]
    assert len(server.questions) == 1


def test_without_a_network_a_large_batch_ends_after_the_first_questions() -> None:
    keys = [f"9.8.{n // 250}.{n % 250}" for n in range(10_000)]
    with NameServer(Zone(drop_all=True)) as server:
        source = CymruSource(client(server, timeout=0.1))
        outcomes = source.look_up(keys, now=NOW)
    assert {outcome.status for outcome in outcomes} == {Status.ERROR}
    assert "not asked" in str(outcomes[-1].error)
    assert len(server.questions) == 16 * 3


def test_an_open_circuit_lets_one_question_try_after_its_cool_down() -> None:
    circuit = Circuit(max_failures=1, cool_down=timedelta(minutes=1))
    circuit.record_failure(NOW - timedelta(minutes=2))
    keys = [f"9.8.7.{n}" for n in range(100)]
    with NameServer(Zone(drop_all=True)) as server:
        source = CymruSource(client(server, timeout=0.05, circuit=circuit))
        source.look_up(keys, now=NOW)
        assert len(set(server.questions)) == 1
        server.zone = Zone(default=lambda _name: [RECORD])
        later = NOW + timedelta(minutes=3)
        assert {outcome.status for outcome in source.look_up(keys, now=later)} == {Status.HIT}


def suspicious(*servers: NameServer, circuit: Circuit, timeout: float = 5.0) -> CymruSource:
    """Return a source whose resolvers must prove themselves."""
    resolvers = [Resolver.parse(server.address) for server in servers]
    return CymruSource(DnsClient(resolvers, max_in_flight=50, timeout=timeout, circuit=circuit, proof=PROOF_NAME))


KEYS = [f"9.8.7.{n}" for n in range(100)]


def test_a_resolver_that_says_of_everything_that_it_does_not_exist_is_not_believed() -> None:
    """On a machine without a network, 408 addresses were stored as not routed, for a week."""
    circuit = Circuit()
    with NameServer(Zone(rcode_for_all=NXDOMAIN)) as server:
        outcomes = suspicious(server, circuit=circuit).look_up(KEYS, now=NOW)
        assert {outcome.status for outcome in outcomes} == {Status.ERROR}
        (words,) = {outcome.error for outcome in outcomes}
        assert words == (
            "not asked: no resolver can see AS23028.asn.cymru.com, which is always there: "
            f"{server.address} says that it does not exist"
        )
        assert {outcome.latency_ms for outcome in outcomes} == {None}
        assert server.questions == [PROOF]
        # What follows is answered at once, in the same words, until the circuit lets a question pass.
        assert suspicious(server, circuit=circuit).look_up(["9.9.9.9"], now=NOW)[0].error == words
        assert server.questions == [PROOF]
        suspicious(server, circuit=circuit).look_up(KEYS, now=NOW + timedelta(minutes=6))
        assert server.questions == [PROOF] * 2


def test_a_resolver_without_records_for_anything_is_not_believed() -> None:
    with NameServer(Zone(rcode_for_all=NOERROR)) as server:
        (outcome,) = suspicious(server, circuit=Circuit()).look_up([ADDRESS], now=NOW)
    assert outcome.status is Status.ERROR
    assert "has no TXT record" in str(outcome.error)
    assert server.questions == [PROOF]


@pytest.mark.parametrize(
    ("zone", "words"), [(Zone(drop_all=True), "no reply in time"), (Zone(rcode_for_all=SERVFAIL), "SERVFAIL")]
)
def test_without_an_answer_to_the_proof_a_batch_ends_after_two_questions(zone: Zone, words: str) -> None:
    with NameServer(zone) as server:
        outcomes = suspicious(server, circuit=Circuit(), timeout=0.1).look_up(KEYS, now=NOW)
    assert {outcome.status for outcome in outcomes} == {Status.ERROR}
    assert words in str(outcomes[0].error)
    assert server.questions == [PROOF] * 2


def test_a_resolver_is_believed_after_one_proof_for_all_clients_of_a_circuit() -> None:
    circuit = Circuit()
    with NameServer(Zone({PROOF: [PROOF_RECORD], NAME: [RECORD]})) as server:
        for _ in range(3):
            (known, unknown) = suspicious(server, circuit=circuit).look_up([ADDRESS, "9.9.9.9"], now=NOW)
            assert (known.status, unknown.status) == (Status.HIT, Status.NOT_FOUND)
    assert server.questions[0] == PROOF
    assert server.questions.count(PROOF) == 1


def test_a_lost_packet_is_no_lost_proof() -> None:
    with NameServer(Zone({PROOF: [PROOF_RECORD], NAME: [RECORD]}, drop_first=1)) as server:
        (outcome,) = suspicious(server, circuit=Circuit(), timeout=0.4).look_up([ADDRESS], now=NOW)
    assert outcome.status is Status.HIT


def test_of_two_resolvers_only_the_one_with_the_proof_is_asked_further() -> None:
    good_zone = Zone({PROOF: [PROOF_RECORD], NAME: [RECORD]})
    with NameServer(Zone(rcode_for_all=NXDOMAIN)) as liar, NameServer(good_zone) as good:
        outcomes = suspicious(liar, good, circuit=Circuit()).look_up([ADDRESS, *KEYS], now=NOW)
    assert outcomes[0].status is Status.HIT
    assert liar.questions == [PROOF]


def test_a_network_that_comes_back_is_used_after_the_cool_down() -> None:
    circuit = Circuit()
    with NameServer(Zone(rcode_for_all=NXDOMAIN)) as server:
        suspicious(server, circuit=circuit).look_up([ADDRESS], now=NOW)
        server.zone = Zone({PROOF: [PROOF_RECORD], NAME: [RECORD]})
        (outcome,) = suspicious(server, circuit=circuit).look_up([ADDRESS], now=NOW + timedelta(minutes=6))
    assert outcome.status is Status.HIT


def test_no_proof_is_asked_for_where_there_is_nothing_to_ask() -> None:
    with NameServer() as server:
        suspicious(server, circuit=Circuit()).look_up(["nonsense"], now=NOW)
    assert server.questions == []


def test_the_cascade_keeps_no_answer_of_a_resolver_that_proved_nothing(tmp_path: Path) -> None:
    circuits: dict[str, Circuit] = {}
    cache = MemoryCache()

    def run(server: NameServer, now: datetime) -> CascadeResult:
        settings = Settings(state_dir=tmp_path, cymru_resolver=server.address)
        with build_enrichment(settings, circuits, MemoryAllowance()) as enrichment:
            return enrichment.cascade.run([KnownAddress(ADDRESS), KnownAddress("9.9.9.9")], cache=cache, now=now)

    with NameServer(Zone(rcode_for_all=NXDOMAIN)) as server:
        assert run(server, NOW).outcomes == {"cymru": {Status.ERROR: 2}}
        assert {outcome.status for outcome in cache.outcomes.values()} == {Status.ERROR}
        server.zone = Zone({PROOF: [PROOF_RECORD], NAME: [RECORD]})
        later = NOW + timedelta(minutes=16)
        assert run(server, later).outcomes["cymru"] == {Status.HIT: 1, Status.NOT_FOUND: 1}
        assert run(server, later).cache_hits["cymru"] == 2


def test_it_works_where_an_event_loop_is_running() -> None:
    async def inside(server: NameServer) -> list[Outcome]:
        return CymruSource(client(server)).look_up([ADDRESS], now=NOW)

    with NameServer(Zone({NAME: [RECORD]})) as server:
        assert asyncio.run(inside(server))[0].status is Status.HIT


def test_what_is_no_address_is_not_asked() -> None:
    assert ask(Zone(), "not-an-address").status is Status.NOT_APPLICABLE


def test_an_as_number_gives_its_registry_facts() -> None:
    zone = Zone({"as23028.asn.cymru.com.": ["23028 | US | arin | 2002-01-04 | TEAM-CYMRU - Team Cymru Inc., US"]})
    assert ask_network(zone).payload == {
        "asn": 23028,
        "country": "US",
        "registry": "arin",
        "allocated": "2002-01-04",
        "description": "TEAM-CYMRU - Team Cymru Inc., US",
        "organization": "TEAM-CYMRU - Team Cymru Inc.",
    }


def test_the_answer_for_another_as_number_is_no_hit() -> None:
    assert ask_network(Zone({"as23028.asn.cymru.com.": ["1 | US | arin | | X, US"]})).status is not Status.HIT


@pytest.mark.parametrize("key", ["AS0", "AS64512", "AS4294967296", "ASx", "", "AS23456"])
def test_what_is_no_public_as_number_is_not_asked(key: str) -> None:
    assert ask_network(Zone(), key).status is Status.NOT_APPLICABLE


def test_without_a_resolver_the_source_is_not_usable_and_says_why(tmp_path: Path) -> None:
    empty = tmp_path / "resolv.conf"
    for prepare in (lambda: None, lambda: empty.write_text("# nothing\n")):
        prepare()
        with pytest.raises(ResolverError) as caught:
            system_resolvers(empty)
        availability = CymruSource(caught.value).availability()
        assert not availability.usable
        assert "COWRIE_CYMRU_RESOLVER" in availability.reason


def test_the_systems_resolvers_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nnameserver 2001:db8::1\n")
    assert system_resolvers(path) == (Resolver("192.0.2.1"), Resolver("2001:db8::1"))


@pytest.mark.parametrize(
    ("text", "resolver"),
    [
        ("9.9.9.9", Resolver("9.9.9.9", 53)),
        ("9.9.9.9:5353", Resolver("9.9.9.9", 5353)),
        ("2620:fe::fe", Resolver("2620:fe::fe", 53)),
        ("[2620:fe::fe]:5353", Resolver("2620:fe::fe", 5353)),
    ],
)
def test_a_resolver_is_read_in_each_of_its_forms(text: str, resolver: Resolver) -> None:
    assert Resolver.parse(text) == resolver


@pytest.mark.parametrize("text", ["", "dns.example", "9.9.9.9:", "9.9.9.9:0", "9.9.9.9:x", "[::1"])
def test_another_form_of_a_resolver_is_refused(text: str) -> None:
    with pytest.raises(ResolverError):
        Resolver.parse(text)
