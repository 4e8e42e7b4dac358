"""All lists on the wire: what a refresh fetches, and that the sources find it."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cowrie_pipeline.enrichment.downloads import Change, Credentials, Downloader, DownloadReport
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS, ListsConfiguration, refresh_all
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.enrichment.lists.tor import TorExitSource
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.sources.maxmind import MaxMindSource
from cowrie_pipeline_tests.contract.file_server import FileServer, Page
from cowrie_pipeline_tests.enrichment.databases import PARIS, asn_record, write_database
from cowrie_pipeline_tests.enrichment.made_lists import (
    asn_drop_record,
    delegated,
    drop_record,
    research,
    spamhaus,
    tor_exits,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = Credentials("1234567", "s3cr3t-licence-key")
EXITS = [f"9.9.{n // 250}.{n % 250}" for n in range(500)]


def tar_gz(database: Path) -> bytes:
    """Pack a database as MaxMind does, in a dated folder beside its licence."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        folder = f"{database.stem}_20260228"
        for name, content in (("LICENSE.txt", b"EULA"), (database.name, database.read_bytes())):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """What the publishers have, by the name of the list."""
    folder = tmp_path_factory.mktemp("published")
    city = write_database(folder / "GeoLite2-City.mmdb", "GeoLite2-City", {"9.8.0.0/16": PARIS})
    asn = write_database(folder / "GeoLite2-ASN.mmdb", "GeoLite2-ASN", {"9.8.0.0/16": asn_record(5, "ORG")})
    packed = {"geolite2_city": tar_gz(city), "geolite2_asn": tar_gz(asn)}
    dbip_city = write_database(folder / "city.mmdb", "DBIP-City-Lite", {"9.8.0.0/16": PARIS})
    dbip_asn = write_database(folder / "asn.mmdb", "DBIP-ASN-Lite (compat=GeoLite2-ASN)", {"9.8.0.0/16": asn_record(6)})
    runs = ["ripencc|FR|asn|7|1|19930901|allocated|aaaa"]
    return {
        **{f"/{name}": Page(body, headers={"ETag": '"1"'}) for name, body in packed.items()},
        **{
            f"/{name}.sha256": Page(f"{hashlib.sha256(body).hexdigest()}  x.tar.gz\n".encode())
            for name, body in packed.items()
        },
        "/dbip_city": Page(gzip.compress(dbip_city.read_bytes())),
        "/dbip_asn": Page(gzip.compress(dbip_asn.read_bytes())),
        "/tor_exits": Page(tor_exits(EXITS)),
        "/spamhaus_drop_v4": Page(spamhaus([drop_record("9.0.0.0/8")])),
        "/spamhaus_drop_v6": Page(spamhaus([drop_record("2a0b:f4c2::/32")])),
        "/spamhaus_asndrop": Page(spamhaus([asn_drop_record(213010)])),
        "/dshield_research": Page(research({f"9.7.0.{n}": "shodan" for n in range(200)})),
        **{f"/rir_{name}": Page(delegated(runs)) for name in ("afrinic", "apnic", "arin", "lacnic", "ripe")},
    }


@pytest.fixture
def server(pages: dict[str, Page]) -> Iterator[FileServer]:
    with FileServer(pages) as running:
        yield running


def refresh(server: FileServer, configuration: ListsConfiguration, *, hours: float = 0) -> dict[str, DownloadReport]:
    """Refresh all lists, each from its path on the server."""

    def moved(each: PublishedList) -> PublishedList:
        return replace(each, file=replace(each.file, urls=lambda _now: (server.url(f"/{each.name}"),)))

    downloader = Downloader(user_agent="test (contact@example.net)")
    reports = refresh_all(
        configuration, downloader, now=NOW + timedelta(hours=hours), lists=[moved(each) for each in ALL_LISTS]
    )
    downloader.close()
    return {report.name: report for report in reports}


def configured(folder: Path, **changes: object) -> ListsConfiguration:
    made = ListsConfiguration(
        folder=folder / "lists", geoip_folder=folder / "geoip", contact="contact@example.net", maxmind=ACCOUNT
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_every_list_is_fetched_once_and_then_known_to_be_current(server: FileServer, tmp_path: Path) -> None:
    first = refresh(server, configured(tmp_path))
    assert list(first) == [each.name for each in ALL_LISTS]
    assert {name for name, report in first.items() if report.change is not Change.UPDATED} == {"dbip_city", "dbip_asn"}
    assert first["dbip_city"].reason == "GeoLite2 is fetched instead"
    assert first["spamhaus_drop_v4"].list_date == date(2026, 2, 28)
    again = refresh(server, configured(tmp_path), hours=24)
    assert {report.change for report in again.values()} == {Change.UNCHANGED, Change.NOT_CONFIGURED}
    source = TorExitSource(tmp_path / "lists")
    (outcome,) = source.look_up([EXITS[7]], now=NOW + timedelta(hours=25))
    assert outcome.payload == {"is_exit": True, "list_date": "2026-03-01"}
    assert outcome.expires_at == NOW + timedelta(hours=48)
    assert source.availability().reason == "tor_exits of 2026-03-01"


def test_only_maxmind_is_told_the_licence_key(server: FileServer, tmp_path: Path) -> None:
    refresh(server, configured(tmp_path))
    told = {request.path for request in server.requests if "Authorization" in request.headers}
    assert told == {"/geolite2_city", "/geolite2_city.sha256", "/geolite2_asn", "/geolite2_asn.sha256"}
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "s3cr3t" not in kept


def test_fetched_databases_are_those_that_are_read_and_no_older_one_is_left(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "geoip").mkdir()
    old = tmp_path / "geoip" / "GeoLite2-City.mmdb"
    old.write_bytes(b"a superseded version")
    refresh(server, configured(tmp_path))
    with MaxMindSource(tmp_path / "geoip") as source:
        (outcome,) = source.look_up(["9.8.7.6"], now=NOW)
        assert (outcome.payload["city"], outcome.payload["asn"]) == ("Paris", 5)
    assert {path.name for path in (tmp_path / "geoip").iterdir() if not path.name.startswith(".")} == {
        "GeoLite2-City.mmdb",
        "GeoLite2-City.mmdb.json",
        "GeoLite2-ASN.mmdb",
        "GeoLite2-ASN.mmdb.json",
    }
    assert b"superseded" not in old.read_bytes()


def test_without_an_account_db_ip_is_fetched(server: FileServer, tmp_path: Path) -> None:
    reports = refresh(server, configured(tmp_path, maxmind=None))
    assert reports["geolite2_city"].change is reports["geolite2_asn"].change is Change.NOT_CONFIGURED
    assert "licence key" in reports["geolite2_asn"].reason
    with MaxMindSource(tmp_path / "geoip") as source:
        assert source.look_up(["9.8.7.6"], now=NOW)[0].payload["asn"] == 6


def test_what_is_not_configured_is_not_asked_and_says_why(server: FileServer, tmp_path: Path) -> None:
    off = {each.name for each in ALL_LISTS if each.name.startswith(("geolite2", "dbip", "rir", "tor"))}
    reports = refresh(server, configured(tmp_path, contact=None, switched_off=off))
    assert {name for name in off if reports[name].reason == "switched off"} == off
    assert "contact address" in reports["dshield_research"].reason
    assert sorted(server.asked()) == ["/spamhaus_asndrop", "/spamhaus_drop_v4", "/spamhaus_drop_v6"]


def test_one_publisher_that_fails_keeps_no_other_from_being_asked(server: FileServer, tmp_path: Path) -> None:
    server.pages["/geolite2_city"] = Page(b"", 401)
    server.pages["/tor_exits"] = Page(b"<html>Just a moment...</html>")
    reports = refresh(server, configured(tmp_path))
    failed = {name: report.reason for name, report in reports.items() if report.change is Change.FAILED}
    assert set(failed) == {"geolite2_city", "tor_exits"}
    assert "does not accept the credentials" in failed["geolite2_city"]
    assert not TorExitSource(tmp_path / "lists").availability().usable
    assert TorExitSource(tmp_path / "lists").look_up(["9.9.9.9"], now=NOW)[0].status is Status.ERROR
