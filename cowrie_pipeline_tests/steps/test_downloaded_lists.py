"""The refresh of lists by settings: what is asked, and what is said of each list."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cowrie_pipeline.enrichment.downloads import Change
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.lists.published import PublishedList, always
from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS
from cowrie_pipeline.settings import Settings, SettingsError
from cowrie_pipeline.steps.downloaded_lists import refresh_lists
from cowrie_pipeline_tests.contract.file_server import FileServer, Page
from cowrie_pipeline_tests.enrichment.made_lists import tor_exits

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[FileServer]:
    exits = [f"9.9.{n // 250}.{n % 250}" for n in range(500)]
    with FileServer({"/tor_exits": Page(tor_exits(exits))}) as running:
        yield running


def at(server: FileServer) -> list[PublishedList]:
    """Return the lists as if `server` published them; it has the Tor exits alone."""
    return [replace(each, file=replace(each.file, urls=always(server.url(f"/{each.name}")))) for each in ALL_LISTS]


def test_every_list_has_a_report_and_only_what_is_configured_and_fails_is_a_finding(
    server: FileServer, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path, contact="me@example.org", lists_off=("dbip_city", "dbip_asn"))
    report = refresh_lists(settings, now=NOW, lists=at(server))
    assert report.not_asked is None
    of = {each.name: each for each in report.lists}
    assert list(of) == [each.name for each in ALL_LISTS]
    assert (of["tor_exits"].change, of["tor_exits"].records) == (Change.UPDATED, 500)
    assert of["geolite2_city"].change is Change.NOT_CONFIGURED
    assert of["dbip_city"].reason == "switched off"
    failed = {each.name for each in report.lists if each.change is Change.FAILED}
    assert {finding.partition(":")[0] for finding in report.findings} == failed
    assert not failed & {"tor_exits", "geolite2_city", "geolite2_asn", "dbip_city", "dbip_asn"}
    assert {request.headers["User-Agent"] for request in server.requests} == {
        next(request.headers["User-Agent"] for request in server.requests)
    }
    assert "(+me@example.org)" in server.requests[0].headers["User-Agent"]


def test_offline_nobody_is_asked_and_what_is_there_has_its_date(server: FileServer, tmp_path: Path) -> None:
    only = [each for each in at(server) if each.name == TOR_EXITS.name]
    refresh_lists(Settings(state_dir=tmp_path), now=NOW, lists=only)
    asked = len(server.requests)
    report = refresh_lists(Settings(state_dir=tmp_path, offline=True), now=NOW, lists=at(server))
    assert len(server.requests) == asked
    assert (report.not_asked, report.findings) == ("COWRIE_OFFLINE is set", ())
    of = {each.name: each for each in report.lists}
    assert (of["tor_exits"].list_date, of["tor_exits"].records) == (date(2026, 3, 1), 500)
    assert of["spamhaus_drop_v4"].list_date is None
    assert {each.change for each in report.lists} == {Change.NOT_CONFIGURED}


def test_a_contact_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="COWRIE_CONTACT"):
        refresh_lists(Settings(state_dir=tmp_path, contact="m\u00fc@example.org"), now=NOW, lists=())
