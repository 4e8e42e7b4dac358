"""Team Cymru's bulk whois on the wire: what is asked, and what becomes of every kind of reply."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cowrie_pipeline.enrichment.circuit import Circuit
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.cymru import CymruSource
from cowrie_pipeline.enrichment.sources.cymru_whois import CymruBulkSource, WhoisClient, WhoisError
from cowrie_pipeline.enrichment.sources.dns_client import DnsClient, Resolver, ResolverError
from cowrie_pipeline_tests.contract.name_server import NameServer, Zone
from cowrie_pipeline_tests.contract.whois_server import Behaviour, WhoisServer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LINES = {
    "8.8.8.8": ["15169   | 8.8.8.8          | 8.8.8.0/24          | US | arin     | 2023-12-28 | GOOGLE, US"],
    "216.90.108.31": [
        "23028   | 216.90.108.31    | 216.90.108.0/24   | US | arin   | 1998-09-25 | TEAM-CYMRU - Team Cymru Inc., US"
    ],
    "10.0.0.1": ["NA      | 10.0.0.1         | NA                  |    | other    |            | NA"],
    "94.136.40.9": [
        "20738   | 94.136.40.9      | 94.136.40.0/24      | DE | ripencc  | 2008-07-17 | HOST-A, GB",
        "20773   | 94.136.40.9      | 94.136.40.0/24      | DE | ripencc  | 2008-07-17 | HOST-B, DE",
        "1       | 94.136.40.9      | 94.0.0.0/8          | DE | ripencc  | 2008-07-17 | WIDE, DE",
    ],
    "2001:4860:8002::68": [
        "15169   | 2001:4860:8002::68                   | 2001:4860::/32    | US | arin     | 2005-03-14 | GOOGLE, US"
    ],
    "9.9.9.9": ["hello   | 9.9.9.9          | 9.9.9.0/24          | US | arin     |            | X, US"],
    "9.9.9.10": ["Error: no ASN or IP match on line 7."],
}
NOBODY = DnsClient([Resolver("127.0.0.1", 1)], max_in_flight=1, timeout=0.1, circuit=Circuit())


def lines_of(address: str) -> list[str]:
    return LINES.get(address, [])


def routed(address: str) -> list[str]:
    """Say of any IPv4 address that its /24 belongs to one network."""
    return [f"15169   | {address:<16} | {address.rpartition('.')[0]}.0/24 | US | arin     | 2023-12-28 | GOOGLE, US"]


def source(
    server: WhoisServer, *, threshold: int = 1, dns: DnsClient | ResolverError = NOBODY, **times: float
) -> CymruBulkSource:
    whois = WhoisClient("127.0.0.1", server.port, **times)
    return CymruBulkSource(dns, whois=whois, circuit=Circuit(max_failures=1), threshold=threshold)


def ask(behaviour: Behaviour, keys: Sequence[str], **options: Any) -> dict[str, Outcome]:
    with WhoisServer(behaviour) as server:
        return {outcome.key: outcome for outcome in source(server, **options).look_up(keys, now=NOW)}


def test_all_addresses_are_asked_over_one_connection_and_each_has_its_outcome() -> None:
    keys = ["8.8.8.8", "10.0.0.1", "2001:4860:8002:0::68", "::ffff:216.90.108.31", "nonsense", "8.8.8.8"]
    with WhoisServer(Behaviour(lines_of)) as server:
        outcomes = source(server).look_up(keys, now=NOW)
    assert server.asked == [["8.8.8.8", "10.0.0.1", "216.90.108.31", "2001:4860:8002::68"]]
    assert [outcome.key for outcome in outcomes] == keys
    hit, unrouted, six, mapped, nonsense, _ = outcomes
    assert hit.payload == {
        "asn": 15169,
        "origins": [15169],
        "prefix": "8.8.8.0/24",
        "country": "US",
        "registry": "arin",
        "allocated": "2023-12-28",
        "organization": "GOOGLE",
    }
    assert (hit.service, hit.expires_at, hit.response_code) == ("cymru", NOW + timedelta(days=90), None)
    assert hit.latency_ms is not None
    assert (unrouted.status, unrouted.expires_at) == (Status.NOT_FOUND, NOW + timedelta(days=7))
    assert six.payload["prefix"] == "2001:4860::/32"
    assert mapped.payload["organization"] == "TEAM-CYMRU - Team Cymru Inc."
    assert nonsense.status is Status.NOT_APPLICABLE


def test_by_whois_and_by_dns_an_address_has_the_same_facts() -> None:
    name = "9.40.136.94.origin.asn.cymru.com."
    records: list[str | list[str]] = [
        "20738 20773 | 94.136.40.0/24 | DE | ripencc | 2008-07-17",
        "1 | 94.0.0.0/8 | DE | ripencc | 2008-07-17",
    ]
    with NameServer(Zone({name: records})) as server:
        dns = DnsClient([Resolver.parse(server.address)], max_in_flight=1, timeout=5, circuit=Circuit())
        by_dns = CymruSource(dns).look_up(["94.136.40.9"], now=NOW)[0]
    by_whois = ask(Behaviour(lines_of), ["94.136.40.9"])["94.136.40.9"]
    assert by_whois.payload == {**by_dns.payload, "organization": "HOST-A"}


def test_an_origin_that_nobody_can_have_gives_no_name() -> None:
    lines = [
        "64512 | 8.8.8.8 | 8.8.8.0/24 | US | arin | | PRIVATE",
        "15169 | 8.8.8.8 | 8.8.8.0/24 | US | arin | | GOOGLE",
    ]
    payload = ask(Behaviour(lambda _address: lines), ["8.8.8.8"])["8.8.8.8"].payload
    assert payload["origins"] == [15169]
    assert "organization" not in payload


def test_what_is_unreadable_or_left_out_is_an_error_and_asked_again() -> None:
    outcomes = ask(Behaviour(lines_of), ["8.8.8.8", "9.9.9.9", "9.9.9.10", "9.9.9.11"])
    assert outcomes["8.8.8.8"].status is Status.HIT
    for key in ("9.9.9.9", "9.9.9.10", "9.9.9.11"):
        assert (outcomes[key].status, outcomes[key].payload) == (Status.ERROR, {})
        assert outcomes[key].retry_at == NOW + timedelta(minutes=15)
    assert "no ASN or IP match" in str(outcomes["9.9.9.10"].error)


def test_records_that_nobody_asked_for_are_left_out() -> None:
    header = "AS      | IP               | BGP Prefix          | CC | Registry | Allocated  | AS Name"
    stray = [header, *routed("7.7.7.7"), "| | |", "", "15169 | 8.8.8.8"]
    outcomes = ask(Behaviour(lambda address: [*stray, *routed(address)]), ["8.8.8.8", "8.8.4.4"])
    assert {key: outcome.payload["prefix"] for key, outcome in outcomes.items()} == {
        "8.8.8.8": "8.8.8.0/24",
        "8.8.4.4": "8.8.4.0/24",
    }


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_of_a_cut_reply_what_came_is_kept(*, reset: bool) -> None:
    keys = [f"9.8.7.{n}" for n in range(50)]
    whole = len("\n".join(line for key in keys for line in routed(key)))
    outcomes = ask(Behaviour(routed, cut_after=whole // 2, reset=reset), keys)
    kept = [key for key in keys if outcomes[key].status is Status.HIT]
    lost = [key for key in keys if outcomes[key].status is Status.ERROR]
    assert 15 < len(kept) < 30
    assert sorted(kept + lost) == sorted(keys)
    assert all(outcomes[key].retry_at == NOW + timedelta(minutes=15) for key in lost)


def test_the_last_address_of_a_cut_reply_could_have_had_more_origins_and_is_asked_again() -> None:
    def lines(address: str) -> list[str]:
        return LINES["94.136.40.9"] if address == "94.136.40.9" else routed(address)

    size = len("\n".join(["Bulk mode; whois.cymru.com [2026-03-01 12:00:00 +0000]", *routed("8.8.8.8")])) + 1
    first = len(LINES["94.136.40.9"][0]) + 1
    outcomes = ask(Behaviour(lines, cut_after=size + first + 20), ["8.8.8.8", "94.136.40.9"])
    assert [outcome.status for outcome in outcomes.values()] == [Status.HIT, Status.ERROR]


def test_a_server_that_answers_while_it_is_asked_is_read_meanwhile() -> None:
    keys = [f"9.{n // 250}.{n % 250}.1" for n in range(10_000)]

    def long(address: str) -> list[str]:
        return [routed(address)[0] + " " * 600]

    with WhoisServer(Behaviour(long, answers_while_reading=True)) as server:
        outcomes = source(server).look_up(keys, now=NOW)
    assert {outcome.status for outcome in outcomes} == {Status.HIT}
    assert len(server.asked) == 1


def test_no_connection_carries_more_than_ten_thousand_addresses() -> None:
    keys = [f"9.{n // 250}.{n % 250}.1" for n in range(12_001)]
    with WhoisServer(Behaviour(routed)) as server:
        outcomes = source(server).look_up(keys, now=NOW)
    assert [len(asked) for asked in server.asked] == [6001, 6000]
    assert [outcome.key for outcome in outcomes] == keys
    assert {outcome.status for outcome in outcomes} == {Status.HIT}
    with pytest.raises(ValueError, match="at most 10,000"):
        WhoisClient().ask(keys)


FAILURES = {
    "it closes at once": Behaviour(closes_at_once=True),
    "it is silent": Behaviour(is_silent=True),
    "it floods": Behaviour(floods=True),
    "it speaks something else": Behaviour(greeting="HTTP/1.1 400 Bad Request"),
    "it refuses": Behaviour(greeting="Error: too many requests"),
}


@pytest.mark.parametrize("behaviour", FAILURES.values(), ids=FAILURES.keys())
def test_where_whois_gives_nothing_the_addresses_are_asked_by_dns(behaviour: Behaviour) -> None:
    name = "31.108.90.216.origin.asn.cymru.com."
    zone = Zone({name: ["23028 | 216.90.108.0/24 | US | arin | 1998-09-25"]})
    with NameServer(zone) as names, WhoisServer(behaviour) as server:
        dns = DnsClient([Resolver.parse(names.address)], max_in_flight=1, timeout=5, circuit=Circuit())
        both = source(server, dns=dns, read_seconds=0.3)
        for _ in range(2):
            (outcome,) = both.look_up(["216.90.108.31"], now=NOW)
            assert outcome.payload["asn"] == 23028
            assert outcome.response_code == 0
    # What failed is not tried again at once.
    assert len(server.asked) == 1


def test_nobody_listening_is_a_failure_in_words() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = WhoisClient("127.0.0.1", probe.getsockname()[1])
        with pytest.raises(WhoisError, match="Connection refused"):
            client.ask(["8.8.8.8"])


def test_few_addresses_are_asked_by_dns() -> None:
    zone = Zone(default=lambda _name: ["23028 | 216.90.108.0/24 | US | arin | 1998-09-25"])
    with NameServer(zone) as names, WhoisServer(Behaviour(routed)) as server:
        dns = DnsClient([Resolver.parse(names.address)], max_in_flight=9, timeout=5, circuit=Circuit())
        both = source(server, dns=dns, threshold=3)
        both.look_up(["8.8.8.8", "8.8.4.4", "nonsense"], now=NOW)
        assert server.asked == []
        both.look_up(["8.8.8.8", "8.8.4.4", "9.9.9.9"], now=NOW)
        assert len(server.asked) == 1
        assert f"3 addresses or more by whois through 127.0.0.1:{server.port}" in both.availability().reason
    assert len(names.questions) == 2


def test_without_a_resolver_the_source_is_not_usable() -> None:
    with WhoisServer(Behaviour(routed)) as server:
        assert not source(server, dns=ResolverError("none")).availability().usable
