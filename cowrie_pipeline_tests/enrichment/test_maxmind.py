"""Files in MaxMind's format: which are used, what they give, and what is said of those that fail."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

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
