"""Whom the merge believes: a table of cases for each field, and what sources contradict."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.merge import (
    PRECEDENCE,
    WITNESSES,
    CountryBasis,
    IpType,
    ScannerKind,
    is_known,
    merge,
)

FETCHED = "2026-01-01T00:00:00+00:00"


def hit(**facts: Any) -> dict[str, Any]:
    return {"status": "hit", "fetched_at": FETCHED, **facts}


NOT_FOUND = {"status": "not_found", "fetched_at": FETCHED}
ERROR = {"status": "error", "fetched_at": FETCHED, "retry_at": FETCHED}
TOR = {"tor": hit(is_exit=True)}


def spur(**facts: Any) -> dict[str, Any]:
    return {"spur": hit(**facts)}


def tunnels(*kinds: Any) -> dict[str, Any]:
    return spur(tunnels=[{"type": kind} for kind in kinds])


def abuseipdb(usage: Any = None, **facts: Any) -> dict[str, Any]:
    return {"abuseipdb": hit(usage_type=usage, **facts)}


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({}, None),
        (tunnels("VPN"), IpType.VPN),
        (tunnels("vpn"), IpType.VPN),
        (tunnels("PROXY", "TOR", "VPN"), IpType.VPN),
        (tunnels("PROXY", "TOR"), IpType.TOR),
        (TOR, IpType.TOR),
        (abuseipdb(is_tor=True), IpType.TOR),
        (abuseipdb(is_tor="true"), None),
        (TOR | tunnels("VPN"), IpType.VPN),
        (TOR | tunnels("PROXY") | abuseipdb("Mobile ISP"), IpType.TOR),
        (tunnels("PROXY"), IpType.PROXY),
        (spur(proxies=["LUMINATI_PROXY"], infrastructure="RESIDENTIAL"), IpType.PROXY),
        (spur(proxies=[], infrastructure="RESIDENTIAL"), IpType.RESIDENTIAL),
        (spur(infrastructure="DATACENTER"), IpType.DATACENTER),
        (spur(infrastructure="MOBILE"), IpType.MOBILE),
        (spur(infrastructure="MOBILE") | abuseipdb("Fixed Line ISP"), IpType.RESIDENTIAL),
        (spur(infrastructure="MOBILE") | abuseipdb("Data Center/Web Hosting/Transit"), IpType.DATACENTER),
        (abuseipdb("Content Delivery Network"), IpType.DATACENTER),
        (abuseipdb("Mobile ISP"), IpType.MOBILE),
        (abuseipdb("University/College/School"), None),
        (spur(infrastructure="SATELLITE", tunnels=[{"type": "ROT13"}]), None),
        # what is odd is no fact, and hides none
        (spur(tunnels="VPN", infrastructure=["DATACENTER"]), None),
        (spur(tunnels=["VPN", None, {"type": None}, {"type": "PROXY"}]), IpType.PROXY),
        # who found nothing, or failed, says nothing
        ({"tor": NOT_FOUND}, None),
        ({"tor": ERROR, "spur": {"status": "not_found", "infrastructure": "MOBILE"}}, None),
    ],
)
def test_of_all_that_sources_call_an_address_the_first_kind_counts(document: Any, kind: IpType | None) -> None:
    assert merge(document).ip_type is kind
    assert is_known("ip_type", document) is (kind is not None)


def test_the_kinds_stand_in_the_order_of_their_precedence() -> None:
    assert list(IpType) == ["VPN", "TOR", "PROXY", "DATACENTER", "RESIDENTIAL", "MOBILE"]
    for index, first in enumerate(IpType):
        for second in list(IpType)[index:]:
            assert merge(tunnels(second, first)).ip_type is first


RESEARCH = {"dshield_research": hit(project="shodan")}


@pytest.mark.parametrize(
    ("document", "is_scanner", "kind"),
    [
        ({}, None, None),
        (RESEARCH, True, ScannerKind.RESEARCH),
        (RESEARCH | {"greynoise": NOT_FOUND}, True, ScannerKind.RESEARCH),
        (RESEARCH | {"greynoise": hit(noise=True, classification="malicious")}, True, ScannerKind.RESEARCH),
        ({"greynoise": hit(noise=True, classification="malicious")}, True, ScannerKind.NOISE),
        ({"greynoise": hit(noise=True, classification="unknown")}, True, ScannerKind.NOISE),
        ({"greynoise": hit(noise=True)}, True, ScannerKind.NOISE),
        ({"greynoise": hit(noise=True, classification="benign")}, True, ScannerKind.BENIGN),
        ({"greynoise": hit(noise=False, riot=True, classification="benign")}, False, None),
        ({"greynoise": NOT_FOUND}, False, None),
        # not on the list of research scanners is no statement on other scanners
        ({"dshield_research": NOT_FOUND}, None, None),
        ({"greynoise": ERROR}, None, None),
        ({"greynoise": hit(noise="true")}, None, None),
        ({"greynoise": hit()}, None, None),
    ],
)
def test_who_scans_and_who_does_not(document: Any, is_scanner: bool | None, kind: ScannerKind | None) -> None:
    facts = merge(document)
    assert (facts.is_scanner, facts.scanner_kind) == (is_scanner, kind)
    assert is_known("is_scanner", document) is (is_scanner is not None)


MAXMIND, CYMRU, DSHIELD = (
    {"maxmind": hit(country="FR")},
    {"cymru": hit(country="DE")},
    {"dshield": hit(country="NL")},
)


@pytest.mark.parametrize(
    ("document", "country", "basis"),
    [
        (MAXMIND | CYMRU | DSHIELD, "FR", CountryBasis.GEOLOCATION),
        (CYMRU | DSHIELD, "DE", CountryBasis.REGISTRY),
        (DSHIELD, "NL", CountryBasis.REGISTRY),
        ({"maxmind": hit(asn=1)} | CYMRU, "DE", CountryBasis.REGISTRY),
        ({"maxmind": hit(country="XX")} | DSHIELD, "NL", CountryBasis.REGISTRY),
        ({"maxmind": ERROR, "cymru": NOT_FOUND} | DSHIELD, "NL", CountryBasis.REGISTRY),
        ({"maxmind": hit(country="France")}, None, None),
        # others have a country too, and are not believed
        (spur(country="BR") | {"abuseipdb": hit(country="BR")}, None, None),
        ({}, None, None),
    ],
)
def test_a_place_is_believed_before_a_registry(document: Any, country: str | None, basis: CountryBasis | None) -> None:
    facts = merge(document)
    assert (facts.geo_country, facts.country_basis) == (country, basis)


@pytest.mark.parametrize(
    ("document", "asn", "source"),
    [
        ({"maxmind": hit(asn=1), "cymru": hit(asn=2)}, 1, "maxmind"),
        ({"maxmind": hit(country="FR"), "cymru": hit(asn=2)}, 2, "cymru"),
        ({"maxmind": hit(asn=0), "cymru": hit(asn=2)}, 2, "cymru"),
        ({"maxmind": hit(asn=True), "cymru": hit(asn=4_294_967_295)}, 4_294_967_295, "cymru"),
        # DShield and SPUR are witnesses, and not believed
        ({"dshield": hit(asn=3), "spur": hit(asn=3)}, None, None),
    ],
)
def test_the_asn_is_that_of_maxmind_and_then_of_team_cymru(document: Any, asn: int | None, source: str | None) -> None:
    facts = merge(document)
    assert (facts.asn, facts.asn_source) == (asn, source)
    assert (facts.asn_verified_at is None) == (asn is None)


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"maxmind": hit(asn=1), "cymru": hit(asn=1)}, ()),
        ({"maxmind": hit(asn=1), "cymru": hit(asn="1")}, ()),
        ({"maxmind": hit(asn=1), "cymru": hit(asn=2)}, ("asn",)),
        ({"maxmind": hit(asn=1), "spur": hit(asn=3)}, ("asn",)),
        ({"maxmind": hit(asn=1), "cymru": hit(country="DE")}, ()),
        ({"maxmind": hit(asn=1), "cymru": {"status": "error", "asn": 2}}, ()),
        ({"maxmind": hit(country="FR"), "spur": hit(country="NL")}, ("place",)),
        ({"abuseipdb": hit(country="FR"), "spur": hit(country="NL")}, ("place",)),
        # where an address is and where its block is registered differ by right
        (MAXMIND | CYMRU, ()),
        (CYMRU | DSHIELD, ("registration",)),
        (
            {"maxmind": hit(asn=1, country="FR"), "spur": hit(asn=2, country="NL")} | CYMRU | DSHIELD,
            ("asn", "place", "registration"),
        ),
    ],
)
def test_what_sources_contradict_is_kept_and_can_be_counted(document: Any, fields: tuple[str, ...]) -> None:
    assert merge(document).disagreements == fields


def test_an_address_with_several_origins_keeps_them_all_and_has_the_first() -> None:
    document = {"cymru": hit(asn=20738, origins=[20738, 20773], country="DE")}
    assert merge(document).asn == 20738
    assert document["cymru"]["origins"] == [20738, 20773]
    assert merge(document).disagreements == ()


def test_everybody_who_is_believed_of_an_asn_is_also_a_witness() -> None:
    assert set(PRECEDENCE["asn"]) <= set(WITNESSES["asn"])


# --- what holds for every document

countries = st.sampled_from(["FR", "DE", "XX", "France", None])
statuses = st.sampled_from(["hit", "not_found", "error", "rate_limited", "skipped_budget"])
kinds = st.sampled_from(["VPN", "TOR", "PROXY", "DATACENTER", "RESIDENTIAL", "MOBILE", "?", None])
ENTRIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "maxmind": {"asn": st.integers(0, 5), "country": countries, "latitude": st.floats(-100, 100)},
    "cymru": {"asn": st.integers(0, 5), "country": countries},
    "dshield": {"asn": st.integers(0, 5), "country": countries, "reports": st.integers(0, 9)},
    "spur": {
        "asn": st.integers(0, 5),
        "country": countries,
        "infrastructure": kinds,
        "tunnels": st.lists(st.fixed_dictionaries({"type": kinds}), max_size=2),
        "proxies": st.lists(st.just("X"), max_size=1),
    },
    "abuseipdb": {"usage_type": st.sampled_from(["Mobile ISP", "Fixed Line ISP", "?"]), "is_tor": st.booleans()},
    "greynoise": {"noise": st.booleans(), "classification": st.sampled_from(["benign", "malicious"])},
    "tor": {"is_exit": st.just(True)},
    "dshield_research": {"project": st.just("shodan")},
}


def entry_of(service: str) -> st.SearchStrategy[dict[str, Any]]:
    fixed: dict[str, st.SearchStrategy[Any]] = {"status": statuses, "fetched_at": st.just(FETCHED)}
    return st.fixed_dictionaries(fixed, optional=ENTRIES[service])


documents = st.fixed_dictionaries({}, optional={service: entry_of(service) for service in ENTRIES})


@given(documents, st.randoms(use_true_random=False))
def test_the_order_in_which_answers_arrived_does_not_change_what_is_believed(document: Any, random: Any) -> None:
    services = list(document)
    random.shuffle(services)
    assert merge({service: document[service] for service in services}) == merge(document)


@given(documents, st.sampled_from(sorted(ENTRIES)), statuses.filter(lambda status: status not in ("hit", "not_found")))
def test_a_source_that_failed_says_nothing_at_all(document: Any, service: str, failure: str) -> None:
    without = {name: entry for name, entry in document.items() if name != service}
    failed = {service: {"status": failure, "fetched_at": FETCHED, "last_error": "as the test says"}}
    assert merge(without | failed) == merge(without)


@given(documents)
def test_merging_changes_no_document(document: Any) -> None:
    before = json.dumps(document)
    merge(document)
    assert json.dumps(document) == before
