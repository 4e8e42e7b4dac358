"""Files in MaxMind's format: which are used, what they give, and what is said of those that fail."""

import random
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import geoip2.database
import geoip2.errors
import geoip2.models
import maxminddb
import pytest

from cowrie_pipeline.enrichment.made_geoip import ASN_FILE, CITY_FILE, GeoRow, write_geoip
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline_tests.enrichment.databases import PARIS, asn_record, write_database
from cowrie_pipeline_tests.enrichment.shared_data import shared_folder

NOW = datetime.now(UTC)


def look_up(folder: Path, address: str) -> Outcome:
    with MaxMindSource(folder) as source:
        return source.look_up([address], now=NOW)[0]


def facts(outcome: Outcome) -> dict[str, Any]:
    return {key: value for key, value in outcome.payload.items() if not key.endswith("_build")}


def test_both_files_give_their_facts(tmp_path: Path) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/16": PARIS})
    write_database(tmp_path / "b.mmdb", "GeoLite2-ASN", {"9.8.7.0/24": asn_record(4199999999, "ORG")})
    outcome = look_up(tmp_path, "9.8.7.6")
    assert outcome.status is Status.HIT
    assert outcome.expires_at == NOW + timedelta(days=7)
    assert facts(outcome) == {
        "asn": 4199999999,
        "organization": "ORG",
        "network": "9.8.7.0/24",
        "country": "FR",
        "city": "Paris",
        "latitude": 48.85,
        "longitude": 2.35,
        "time_zone": "Europe/Paris",
    }
    assert outcome.payload["geo_build"] == outcome.payload["asn_build"] == datetime.now(UTC).date().isoformat()


def test_a_city_file_alone_gives_a_place_and_no_asn(tmp_path: Path) -> None:
    write_database(tmp_path / "a.mmdb", "DBIP-City-Lite", {"9.8.0.0/16": PARIS})
    payload = look_up(tmp_path, "9.8.7.6").payload
    assert payload["country"] == "FR"
    assert "asn" not in payload


@pytest.mark.parametrize("kind", ["GeoLite2-ASN", "DBIP-ASN-Lite (compat=GeoLite2-ASN)", "GeoIP2-ISP"])
def test_an_asn_file_alone_gives_an_asn_and_no_place(tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "a.mmdb", kind, {"9.8.0.0/16": asn_record(5, "ORG")})
    assert facts(look_up(tmp_path, "9.8.7.6")) == {"asn": 5, "organization": "ORG", "network": "9.8.0.0/16"}


def test_a_country_file_stands_in_for_a_missing_city_file(tmp_path: Path) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-Country", {"9.8.0.0/16": {"country": {"iso_code": "DE"}}})
    assert facts(look_up(tmp_path, "9.8.7.6")) == {"country": "DE"}


def test_an_address_in_no_file_is_not_found(tmp_path: Path) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/16": PARIS})
    for address in ("8.8.8.8", "2a00::1"):
        assert look_up(tmp_path, address).status is Status.NOT_FOUND
    assert look_up(tmp_path, "nonsense").status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (asn_record(5, 123), {"asn": 5, "organization": "123", "network": "9.8.0.0/16"}),
        (asn_record("5"), {"asn": 5, "network": "9.8.0.0/16"}),
        (asn_record(0, "ORG"), {}),
        (asn_record("x", "ORG"), {}),
        ({}, {}),
    ],
)
def test_values_of_another_type_are_coerced_or_dropped(
    tmp_path: Path, record: dict[str, Any], expected: dict[str, Any]
) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-ASN", {"9.8.0.0/16": record})
    outcome = look_up(tmp_path, "9.8.7.6")
    assert facts(outcome) == expected
    assert outcome.status is (Status.HIT if expected else Status.NOT_FOUND)


@pytest.mark.parametrize("code", ["XX", "", "FRA", "1"])
def test_what_is_no_country_is_absent(tmp_path: Path, code: str) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/16": {"country": {"iso_code": code}}})
    assert look_up(tmp_path, "9.8.7.6").status is Status.NOT_FOUND


def test_no_folder_and_no_files_make_the_source_unusable_and_are_findings(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with MaxMindSource(folder) as source:
            assert not source.availability().usable
            assert source.look_up(["9.8.7.6"], now=NOW)[0].status is Status.ERROR
            assert all(str(folder) in str(finding) for finding in source.findings(NOW))
            assert len(source.findings(NOW)) == 2


def test_an_old_build_is_a_finding_and_still_used(tmp_path: Path) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/16": PARIS})
    write_database(tmp_path / "b.mmdb", "GeoLite2-ASN", {"9.8.0.0/16": asn_record(5)})
    with MaxMindSource(tmp_path) as source:
        assert source.findings(NOW + timedelta(days=13)) == ()
        assert len(source.findings(NOW + timedelta(days=15))) == 2
        assert source.availability().usable


def test_a_file_that_is_no_database_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"not a database")
    write_database(tmp_path / "other.mmdb", "Something-Else", {"9.8.0.0/16": PARIS})
    with MaxMindSource(tmp_path) as source:
        assert not source.availability().usable
        text = "\n".join(map(str, source.findings(NOW)))
    assert "x.mmdb" in text
    assert "Something-Else" in text


def test_the_newest_build_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, asn, moment in (("z.mmdb", 1, 1_600_000_000), ("a.mmdb", 2, 1_700_000_000)):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        write_database(tmp_path / name, "GeoLite2-ASN", {"9.8.0.0/16": asn_record(asn)})
        monkeypatch.undo()
    assert look_up(tmp_path, "9.8.7.6").payload["asn"] == 2


@pytest.mark.shared_data
def test_maxminds_own_test_databases_give_what_their_sources_say(tmp_path: Path) -> None:
    for name in ("GeoLite2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"):
        shutil.copy(shared_folder("mmdb") / name, tmp_path)
    payload = look_up(tmp_path, "2.125.160.217").payload
    assert (payload["country"], payload["city"], payload["geo_build"]) == ("GB", "Boxford", "2026-02-04")
    payload = look_up(tmp_path, "1.128.0.9").payload
    assert (payload["asn"], payload["organization"], payload["network"]) == (1221, "Telstra Pty Ltd", "1.128.0.0/11")
    assert look_up(tmp_path, "2001:1700::5").payload["asn"] == 6730


@pytest.mark.shared_data
def test_a_file_that_opens_and_cannot_be_read_gives_errors_and_a_finding(tmp_path: Path) -> None:
    shutil.copy(shared_folder("mmdb") / "GeoIP2-City-Test-Broken-Double-Format.mmdb", tmp_path)
    with MaxMindSource(tmp_path) as source:
        (outcome,) = source.look_up(["2.125.160.217"], now=NOW)
        assert outcome.status is Status.ERROR
        assert outcome.retry_at == NOW + timedelta(days=1)
        assert any("cannot be read" in finding.found for finding in source.findings(NOW))


@pytest.mark.shared_data
def test_a_broken_file_of_another_type_is_never_used(tmp_path: Path) -> None:
    shutil.copy(shared_folder("mmdb") / "MaxMind-DB-test-broken-pointers-24.mmdb", tmp_path)
    assert look_up(tmp_path, "1.1.1.32").status is Status.ERROR


@pytest.mark.shared_data
def test_facts_of_a_good_file_survive_a_broken_one(tmp_path: Path) -> None:
    shutil.copy(shared_folder("mmdb") / "GeoIP2-City-Test-Broken-Double-Format.mmdb", tmp_path)
    write_database(tmp_path / "asn.mmdb", "GeoLite2-ASN", {"2.125.0.0/16": asn_record(5)})
    outcome = look_up(tmp_path, "2.125.160.217")
    assert (outcome.status, facts(outcome)["asn"]) == (Status.HIT, 5)
    assert outcome.error is not None
    assert outcome.expires_at == NOW + timedelta(days=1)


def test_an_ipv4_address_in_the_clothes_of_ipv6_is_looked_up_as_what_it_is(tmp_path: Path) -> None:
    for version in (4, 6):
        folder = tmp_path / str(version)
        folder.mkdir()
        write_database(folder / "a.mmdb", "GeoLite2-ASN", {"9.8.0.0/16": asn_record(5)}, version=version)
        plain, mapped = look_up(folder, "9.8.7.6"), look_up(folder, "::ffff:9.8.7.6")
        assert facts(mapped) == facts(plain) == {"asn": 5, "network": "9.8.0.0/16"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": "FR", "city": 5, "location": []}, {}),
        ({"country": {"iso_code": 5}, "city": {"names": "Paris"}, "location": {"latitude": "48"}}, {}),
        ({"country": {"iso_code": "FR"}, "city": {"names": {"de": "Paris"}}}, {"country": "FR"}),
        ({"location": {"latitude": 48.85}}, {}),
        ({"location": {"latitude": 91.0, "longitude": 2.0, "time_zone": True}}, {}),
        ({"location": {"latitude": float("nan"), "longitude": 2.0}}, {}),
        ({"location": {"latitude": 48.85, "longitude": 2.35}}, {"latitude": 48.85, "longitude": 2.35}),
    ],
)
def test_a_field_that_is_odd_or_missing_is_absent_and_hides_no_other(
    tmp_path: Path, record: dict[str, Any], expected: dict[str, Any]
) -> None:
    write_database(tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/16": record})
    outcome = look_up(tmp_path, "9.8.7.6")
    assert facts(outcome) == expected
    assert outcome.status is (Status.HIT if expected else Status.NOT_FOUND)


def test_neighbours_have_the_facts_of_their_own_prefix_in_each_file(tmp_path: Path) -> None:
    berlin = {"country": {"iso_code": "DE"}}
    write_database(
        tmp_path / "a.mmdb", "GeoLite2-City", {"9.8.0.0/17": {"country": PARIS["country"]}, "9.8.128.0/17": berlin}
    )
    write_database(tmp_path / "b.mmdb", "GeoLite2-ASN", {"9.8.7.0/24": asn_record(1), "9.8.200.0/24": asn_record(2)})
    addresses = ["9.8.7.1", "9.8.7.2", "9.8.6.1", "9.8.200.1", "9.8.201.1", "9.9.0.1", "9.8.7.3"]
    with MaxMindSource(tmp_path) as source:
        found = [facts(outcome) for outcome in source.look_up(addresses, now=NOW)]
    assert [(each.get("country"), each.get("asn"), each.get("network")) for each in found] == [
        ("FR", 1, "9.8.7.0/24"),
        ("FR", 1, "9.8.7.0/24"),
        ("FR", None, None),
        ("DE", 2, "9.8.200.0/24"),
        ("DE", None, None),
        (None, None, None),
        ("FR", 1, "9.8.7.0/24"),
    ]


def test_facts_are_those_that_geoip2_reads_in_a_made_database(tmp_path: Path) -> None:
    rows = [
        GeoRow("9.8.0.0/16", 64_000, "Wide", "FR", "Paris", 48.85, 2.35),
        GeoRow("9.8.7.0/25", 4_199_999_999, "Narrow", "DE", "", -49.5, -11.0),
        GeoRow("20.30.0.0/19", 5, "Ärger", "AQ", "Zürich", 0.0, 0.0),
        GeoRow("2a0e:1::/32", 6, "Six", "US", "Town", 90.0, 180.0),
    ]
    write_geoip(tmp_path, rows)
    assert_geoip2_agrees(tmp_path, tmp_path / CITY_FILE, tmp_path / ASN_FILE)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("place", "network"),
    [
        ("GeoLite2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"),
        ("GeoIP2-City-Test.mmdb", "GeoIP2-ISP-Test.mmdb"),
        ("GeoLite2-Country-Test.mmdb", "GeoLite2-ASN-Test.mmdb"),
    ],
)
def test_facts_are_those_that_geoip2_reads_in_maxminds_test_databases(tmp_path: Path, place: str, network: str) -> None:
    paths = [Path(shutil.copy(shared_folder("mmdb") / name, tmp_path)) for name in (place, network)]
    assert_geoip2_agrees(tmp_path, *paths)


def assert_geoip2_agrees(folder: Path, place: Path, network: Path) -> None:
    """Compare our facts with geoip2's for the ends and some of the middle of every prefix, and just outside of it."""
    addresses = sorted({address for path in (place, network) for address in _addresses_in(path)})
    with (
        MaxMindSource(folder) as source,
        geoip2.database.Reader(place) as places,
        geoip2.database.Reader(network) as networks,
    ):
        outcomes = source.look_up(addresses, now=NOW)
        assert [facts(outcome) for outcome in outcomes] == [_by_geoip2(each, places, networks) for each in addresses]
    statuses = {outcome.status for outcome in outcomes}
    assert statuses == {Status.HIT, Status.NOT_FOUND}


def _addresses_in(path: Path) -> Iterable[str]:
    chance = random.Random(1)
    with maxminddb.open_database(path) as database:
        for prefix, _ in database:
            # What a file of both families has below ::/96 is IPv4.
            is_ipv4 = isinstance(prefix, IPv6Network) and prefix.prefixlen >= 96 and int(prefix.network_address) < 2**32
            block: IPv4Network | IPv6Network = prefix
            if is_ipv4:
                block = ip_network((int(prefix.network_address), prefix.prefixlen - 96))
            for index in {0, block.num_addresses - 1, *(chance.randrange(block.num_addresses) for _ in range(3))}:
                yield str(block[index])
            if int(block[-1]) + 1 < 2**block.max_prefixlen:
                yield str(block[-1] + 1)


def _by_geoip2(address: str, places: geoip2.database.Reader, networks: geoip2.database.Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        if "Country" in places.metadata().database_type:
            found["country"] = places.country(address).country.iso_code
        else:
            city = places.city(address)
            found["country"], found["city"] = city.country.iso_code, city.city.name
            if city.location.latitude is not None and city.location.longitude is not None:
                found["latitude"], found["longitude"] = city.location.latitude, city.location.longitude
            found["time_zone"] = city.location.time_zone
    except geoip2.errors.AddressNotFoundError:
        pass
    try:
        asn: geoip2.models.ASN = (
            networks.isp(address) if "ISP" in networks.metadata().database_type else networks.asn(address)
        )
        if asn.autonomous_system_number is not None:
            found["asn"], found["network"] = asn.autonomous_system_number, str(asn.network)
            found["organization"] = asn.autonomous_system_organization
    except geoip2.errors.AddressNotFoundError:
        pass
    return {name: value for name, value in found.items() if value is not None}
