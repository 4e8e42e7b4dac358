"""Made-up geolocation databases are read by the real reader, with the types of the real ones."""

import sys
from dataclasses import asdict, replace
from datetime import date
from ipaddress import ip_network
from pathlib import Path

import geoip2.database
import geoip2.errors
import maxminddb
import pytest

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import ASN_FILE, CITY_FILE, GeoRow, MmdbWriterMissingError, write_geoip

ROW = GeoRow("20.30.0.0/16", 64_000, "Wobblefen Hosting Ltd", "DE", "Nürnberg", 49.5, 11.0)
EPOCH = 1_760_000_000


def test_each_address_of_synthetic_logs_is_found_with_its_planned_asn_and_country(tmp_path: Path) -> None:
    plan = SyntheticPlan(seed=3, first_day=date(2026, 1, 1), days=2, sessions_per_day=500, addresses=2_000)
    planned = networks(plan)
    write_logs(plan, tmp_path / "logs")
    write_geoip(tmp_path, [GeoRow(**asdict(network)) for network in planned])
    addresses = {
        line.split('"src_ip":"')[1].split('"')[0]
        for path in (tmp_path / "logs").rglob("cowrie.json*")
        for line in path.read_text("ascii").splitlines()
    }
    by_prefix = {ip_network(network.prefix): network for network in planned}
    with (
        geoip2.database.Reader(tmp_path / CITY_FILE) as cities,
        geoip2.database.Reader(tmp_path / ASN_FILE) as asns,
    ):
        for address in addresses:
            asn, city = asns.asn(address), cities.city(address)
            assert asn.network is not None
            network = by_prefix[asn.network]
            assert asn.autonomous_system_number == network.asn
            assert asn.autonomous_system_organization == network.organization
            assert city.country.iso_code == network.country
            assert (city.city.name or "") == network.city
            assert (city.location.latitude, city.location.longitude) == (network.latitude, network.longitude)
    assert any(":" in address for address in addresses)


def test_a_record_has_the_fields_and_types_of_geolite2(tmp_path: Path) -> None:
    # A latitude equal to the radius: the writer would store the two once, and the radius as a double.
    write_geoip(tmp_path, [replace(ROW, latitude=20.0)])
    with maxminddb.open_database(tmp_path / CITY_FILE) as cities:
        germany = {"iso_code": "DE", "names": {"en": "Germany"}}
        record = cities.get("20.30.1.2")
        assert record == {
            "city": {"names": {"en": "Nürnberg"}},
            "country": germany,
            "location": {
                "accuracy_radius": 20,
                "latitude": 20.0,
                "longitude": 11.0,
                "time_zone": "Europe/Berlin",
            },
            "registered_country": germany,
        }
        assert isinstance(record, dict)
        location = record["location"]
        assert isinstance(location, dict)
        assert [type(location[name]) for name in ("accuracy_radius", "latitude")] == [int, float]


@pytest.mark.parametrize("asn", [1, 65_535, 65_536, 2**31 - 1, 2**31, 4_199_999_999, 2**32 - 1])
def test_asns_of_every_size_survive(tmp_path: Path, asn: int) -> None:
    write_geoip(tmp_path, [replace(ROW, asn=asn), replace(ROW, prefix="2a0e:1::/32", asn=asn)])
    with geoip2.database.Reader(tmp_path / ASN_FILE) as asns:
        assert asns.asn("20.30.255.255").autonomous_system_number == asn
        assert asns.asn("2a0e:1::5").autonomous_system_number == asn


@pytest.mark.parametrize("asn", [-1, 0, 2**32])
def test_an_asn_that_is_none_is_refused_and_leaves_no_file(tmp_path: Path, asn: int) -> None:
    with pytest.raises(ValueError, match=r"ASN of 20\.30\.0\.0/16"):
        write_geoip(tmp_path, [replace(ROW, asn=asn)])
    assert not (tmp_path / ASN_FILE).exists()


def test_an_address_outside_all_rows_is_not_found(tmp_path: Path) -> None:
    write_geoip(tmp_path, [ROW])
    with (
        geoip2.database.Reader(tmp_path / CITY_FILE) as cities,
        pytest.raises(geoip2.errors.AddressNotFoundError),
    ):
        cities.city("20.31.0.1")


def test_a_narrower_prefix_counts_whatever_the_order(tmp_path: Path) -> None:
    narrow = replace(ROW, prefix="20.30.64.0/24", asn=2, country="FR")
    for rows in ([ROW, narrow], [narrow, ROW]):
        write_geoip(tmp_path, rows)
        with geoip2.database.Reader(tmp_path / ASN_FILE) as asns:
            assert asns.asn("20.30.64.9").autonomous_system_number == 2
            assert asns.asn("20.30.65.9").autonomous_system_number == ROW.asn


def test_a_row_without_a_city_and_of_an_unlisted_country_says_only_what_is_known(tmp_path: Path) -> None:
    write_geoip(tmp_path, [replace(ROW, country="AQ", city="")])
    with geoip2.database.Reader(tmp_path / CITY_FILE) as cities:
        found = cities.city("20.30.1.2")
    assert found.country.iso_code == "AQ"
    assert found.country.name is None
    assert found.city.name is None
    assert found.location.accuracy_radius == 1000


def test_every_country_of_the_synthetic_networks_has_a_name(tmp_path: Path) -> None:
    plan = SyntheticPlan(seed=1, first_day=date(2026, 1, 1), days=1, sessions_per_day=1, addresses=100_000)
    write_geoip(tmp_path, [GeoRow(**asdict(network)) for network in networks(plan)])
    with geoip2.database.Reader(tmp_path / CITY_FILE) as cities:
        for network in networks(plan):
            found = cities.city(network.prefix.split("/")[0])
            assert found.country.name
            assert found.location.time_zone


def test_the_files_say_what_they_are_and_when_they_were_built(tmp_path: Path) -> None:
    write_geoip(tmp_path, [ROW], build_epoch=EPOCH)
    for name, database_type in ((CITY_FILE, "GeoLite2-City"), (ASN_FILE, "GeoLite2-ASN")):
        with maxminddb.open_database(tmp_path / name) as database:
            metadata = database.metadata()
        assert metadata.database_type == database_type
        assert metadata.ip_version == 6
        assert metadata.build_epoch == EPOCH
        assert "Made-up" in metadata.description["en"]


def test_the_same_rows_give_the_same_bytes_and_replace_an_older_file(tmp_path: Path) -> None:
    write_geoip(tmp_path, [ROW], build_epoch=EPOCH)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_geoip(tmp_path, [replace(ROW, asn=5)], build_epoch=EPOCH)
    assert (tmp_path / ASN_FILE).read_bytes() != first[ASN_FILE]
    write_geoip(tmp_path, [ROW], build_epoch=EPOCH)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert first.keys() == {CITY_FILE, ASN_FILE}


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmdb_writer", None)
    with pytest.raises(MmdbWriterMissingError, match=r"pip install 'cowrie_pipeline\[demo\]'"):
        write_geoip(tmp_path, [ROW])
