"""Downloaded lists: their formats, what they make of a key, and what is said of those that fail."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cowrie_pipeline.enrichment.downloads import InvalidFileError, PublishedFile
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.lists.delegated import DELEGATED, DelegatedSource
from cowrie_pipeline.enrichment.lists.geoip import DBIP_ASN, DBIP_CITY, GEOLITE2_ASN, GEOLITE2_CITY
from cowrie_pipeline.enrichment.lists.local import ListSource
from cowrie_pipeline.enrichment.lists.research_scanners import RESEARCH_SCANNERS, ResearchScannerSource
from cowrie_pipeline.enrichment.lists.spamhaus import (
    ASN_DROP,
    DROP_V4,
    DROP_V6,
    SpamhausAsnDropSource,
    SpamhausDropSource,
)
from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS, TorExitSource
from cowrie_pipeline.enrichment.outcomes import Outcome, Source, Status
from cowrie_pipeline_tests.enrichment.databases import PARIS, asn_record, write_database
from cowrie_pipeline_tests.enrichment.made_lists import (
    asn_drop_record,
    delegated,
    drop_record,
    research,
    spamhaus,
    tor_exits,
    write,
)

# Files that no download brought have the time of their file.
NOW = datetime.now(UTC)
TODAY = NOW.date().isoformat()
EXITS = [f"9.9.{n // 250}.{n % 250}" for n in range(1000)] + ["2a0b:f4c2::1"]
SCANNERS = {f"9.8.0.{n}": "shodan" for n in range(200)} | {"2604:a880::5": "censys"}
RUNS = [
    "ripencc|FR|asn|7|1|19930901|allocated|aaaa",
    "ripencc|EU|asn|1877|3|00000000|assigned|bbbb|e-stats",
    "ripencc||asn|4199999990|9||reserved|",
    "ripencc|ZZ|asn|5000|2||available||",
    "ripencc|DE|asn|3320|1||allocated|cccc",
]


def only(source: Source, key: str) -> Outcome:
    (outcome,) = source.look_up([key], now=NOW)
    return outcome


def put(folder: Path, published: Any, content: bytes) -> None:
    write(folder / published.file.file_name, content)


def test_an_address_on_tors_list_is_an_exit_in_any_spelling(tmp_path: Path) -> None:
    put(tmp_path, TOR_EXITS, tor_exits(EXITS))
    source = TorExitSource(tmp_path)
    for key in ("9.9.1.5", "::ffff:9.9.1.5", "2a0b:f4c2:0:0::1"):
        outcome = only(source, key)
        assert (outcome.status, outcome.key) == (Status.HIT, key)
        assert outcome.payload == {"is_exit": True, "list_date": TODAY}
    assert only(source, "9.7.7.7").status is Status.NOT_FOUND
    assert only(source, "nonsense").status is Status.NOT_APPLICABLE


def test_an_address_in_a_prefix_on_drop_is_found_by_the_longest(tmp_path: Path) -> None:
    put(tmp_path, DROP_V4, spamhaus([drop_record("9.0.0.0/8", "SBL1"), drop_record("9.1.0.0/16", "SBL2", "ripencc")]))
    put(tmp_path, DROP_V6, spamhaus([drop_record("2a0b:f4c2::/32", "SBL3")]))
    source = SpamhausDropSource(tmp_path)
    assert only(source, "9.1.2.3").payload == {
        "prefix": "9.1.0.0/16",
        "sblid": "SBL2",
        "rir": "ripencc",
        "list_date": TODAY,
    }
    assert only(source, "9.2.0.0").payload["sblid"] == "SBL1"
    assert only(source, "2a0b:f4c2:5::1").payload["sblid"] == "SBL3"
    assert only(source, "10.0.0.0").status is only(source, "2a0b:f4c3::").status is Status.NOT_FOUND


def test_where_one_family_is_missing_nothing_is_said_of_its_addresses(tmp_path: Path) -> None:
    put(tmp_path, DROP_V4, spamhaus([drop_record("9.0.0.0/8")]))
    source = SpamhausDropSource(tmp_path)
    assert only(source, "8.8.8.8").status is Status.NOT_FOUND
    outcome = only(source, "2a0b:f4c2::1")
    assert (outcome.status, outcome.expires_at) == (Status.ERROR, None)
    assert outcome.retry_at is not None
    assert outcome.error is not None
    assert "spamhaus_drop_v6" in outcome.error


def test_a_network_on_asn_drop_is_found(tmp_path: Path) -> None:
    put(tmp_path, ASN_DROP, spamhaus([asn_drop_record(213010), {"asn": 5, "rir": None, "asname": ""}]))
    source = SpamhausAsnDropSource(tmp_path)
    assert only(source, "AS213010").payload == {
        "asn": 213010,
        "name": "BADNET",
        "domain": "bad.example",
        "country": "SC",
        "rir": "ripencc",
        "list_date": TODAY,
    }
    assert only(source, "AS5").payload == {"asn": 5, "list_date": TODAY}
    assert only(source, "AS6").status is Status.NOT_FOUND


def test_a_research_scanner_is_found_with_its_name(tmp_path: Path) -> None:
    put(tmp_path, RESEARCH_SCANNERS, research(SCANNERS))
    source = ResearchScannerSource(tmp_path)
    assert only(source, "9.8.0.7").payload == {
        "name": "shodan",
        "added": "2024-05-01",
        "last_seen": "2026-02-28",
        "list_date": TODAY,
    }
    assert only(source, "2604:a880::5").payload["name"] == "censys"
    assert only(source, "9.8.1.7").status is Status.NOT_FOUND


def test_odd_records_of_the_research_list_are_read_or_left_out(tmp_path: Path) -> None:
    odd = (
        b'[{"ipv4":"009.008.000.010","type":"a","added":null,"lastseen":5},{"ip":"9.8.0.11","name":"b"},'
        b'{"ipv4":null,"type":"c"},{"ipv4":"9.8.0.12","type":null},[],null,{"ipv4":"9.8.0.10","type":"z"}'
        + b"".join(b',{"ipv4":"9.7.0.%d","type":"x"}' % n for n in range(100))
        + b"]"
    )
    put(tmp_path, RESEARCH_SCANNERS, odd)
    source = ResearchScannerSource(tmp_path)
    assert only(source, "9.8.0.10").payload == {"name": "a", "list_date": TODAY}
    assert only(source, "9.8.0.11").payload["name"] == "b"
    assert only(source, "9.8.0.12").status is Status.NOT_FOUND


def test_an_as_number_is_found_in_its_registrys_book(tmp_path: Path) -> None:
    for each in DELEGATED:
        put(tmp_path, each, delegated(["arin|US|asn|15169|1|20000330|assigned|x"], registry="arin"))
    put(tmp_path, DELEGATED[-1], delegated(RUNS))
    source = DelegatedSource(tmp_path)
    assert DELEGATED[-1].name == "rir_ripe"
    assert only(source, "AS7").payload == {
        "registry": "ripencc",
        "country": "FR",
        "allocated": "1993-09-01",
        "list_date": TODAY,
    }
    assert only(source, "AS1879").payload == {"registry": "ripencc", "country": "EU", "list_date": TODAY}
    assert only(source, "AS15169").payload["country"] == "US"
    for absent in ("AS1880", "AS1876", "AS5001", "AS4199999998"):
        assert only(source, absent).status is Status.NOT_FOUND
    for no_key in ("AS0", "AS64512", "AS4294967296", "", "ASx", "8.8.8.8"):
        assert only(source, no_key).status is Status.NOT_APPLICABLE


def test_an_as_number_in_no_book_is_unknown_while_a_book_is_missing(tmp_path: Path) -> None:
    put(tmp_path, DELEGATED[0], delegated(RUNS))
    source = DelegatedSource(tmp_path)
    assert source.availability().usable
    assert "rir_arin missing" in source.availability().reason
    assert only(source, "AS7").status is Status.HIT
    assert only(source, "AS15169").status is Status.ERROR
    assert len(source.findings(NOW)) == 4


SOURCES: list[tuple[type[ListSource[Any, Any]], str]] = [
    (TorExitSource, "9.9.1.5"),
    (SpamhausDropSource, "9.9.1.5"),
    (ResearchScannerSource, "9.9.1.5"),
    (SpamhausAsnDropSource, "AS7"),
    (DelegatedSource, "AS7"),
]


@pytest.mark.parametrize(("kind", "key"), SOURCES)
def test_without_its_list_a_source_is_not_usable_and_says_what_to_do(
    tmp_path: Path, kind: type[ListSource[Any, Any]], key: str
) -> None:
    source = kind(tmp_path / "missing")
    assert not source.availability().usable
    assert "downloaded_lists" in source.availability().reason
    assert only(source, key).status is Status.ERROR
    assert source.findings(NOW) == (), "nobody has downloaded one: it is not set up"


@pytest.mark.parametrize(("kind", "key"), SOURCES)
def test_a_broken_list_is_a_finding_and_gives_no_answer(
    tmp_path: Path, kind: type[ListSource[Any, Any]], key: str
) -> None:
    source = kind(tmp_path)
    for each in source.lists:
        put(tmp_path, each, b"<html>\n<body>Service unavailable</body>\n</html>\n")
    outcome = only(source, key)
    assert outcome.status is Status.ERROR
    assert outcome.retry_at is not None
    findings = source.findings(NOW)
    assert len(findings) == len(source.lists)
    assert "expected a readable list" in str(findings[0])


def test_a_list_is_due_when_its_next_one_is(tmp_path: Path) -> None:
    put(tmp_path, TOR_EXITS, tor_exits(EXITS))
    confirmed_at = NOW - timedelta(hours=10)
    os.utime(tmp_path / TOR_EXITS.file.file_name, (confirmed_at.timestamp(),) * 2)
    outcome = only(TorExitSource(tmp_path), "9.9.1.5")
    assert outcome.expires_at is not None
    assert abs(outcome.expires_at - (confirmed_at + timedelta(days=1))) < timedelta(seconds=1)


def test_a_list_that_was_not_refreshed_for_long_is_a_finding_and_still_used(tmp_path: Path) -> None:
    put(tmp_path, TOR_EXITS, tor_exits(EXITS))
    source = TorExitSource(tmp_path)
    assert source.findings(NOW + timedelta(days=2.9)) == ()
    (finding,) = source.findings(NOW + timedelta(days=3.1))
    assert "in the last 3 days" in finding.expected
    (outcome,) = source.look_up(["9.9.1.5"], now=NOW + timedelta(days=3.1))
    assert outcome.status is Status.HIT
    assert outcome.expires_at is not None
    assert outcome.expires_at > NOW + timedelta(days=3.1)


def test_a_new_list_is_read_after_the_old_one_was_closed(tmp_path: Path) -> None:
    put(tmp_path, TOR_EXITS, tor_exits(EXITS))
    source = TorExitSource(tmp_path)
    assert only(source, "9.1.1.1").status is Status.NOT_FOUND
    put(tmp_path, TOR_EXITS, tor_exits(["9.1.1.1"]))
    source.close()
    assert only(source, "9.1.1.1").status is Status.HIT


def test_a_hundred_thousand_addresses_have_outcomes_in_their_order(tmp_path: Path) -> None:
    put(tmp_path, DROP_V4, spamhaus([drop_record(f"9.{n}.0.0/17") for n in range(250)]))
    keys = [f"9.{n % 250}.{n // 250 % 250}.{n % 7}" for n in range(100_000)]
    outcomes = SpamhausDropSource(tmp_path).look_up(keys, now=NOW)
    assert [outcome.key for outcome in outcomes] == keys
    assert all((outcome.status is Status.HIT) == (n // 250 % 250 < 128) for n, outcome in enumerate(outcomes))


def validate(file: PublishedFile, path: Path, content: bytes) -> Any:
    return file.validate(write(path / "candidate", content))


HTML = b"<html>\n<body>\n<p>Just a moment...</p>\n</body>\n</html>\n"
DROP = [drop_record(f"9.{n}.0.0/16") for n in range(100)]
BAD_FILES: list[tuple[str, Any, bytes]] = [
    ("too few exits", TOR_EXITS, tor_exits(EXITS[:50])),
    ("exits and noise", TOR_EXITS, tor_exits(EXITS) + b"noise\n" * 200),
    ("DROP without metadata", DROP_V4, b"\n".join(spamhaus(DROP).splitlines()[:-1])),
    ("DROP with half of its records", DROP_V4, spamhaus(DROP[:50], stated=100)),
    ("DROP cut in a line", DROP_V4, spamhaus(DROP)[:500]),
    ("DROP with other records", DROP_V4, spamhaus([asn_drop_record(n) for n in range(1, 100)])),
    ("ASN-DROP with other records", ASN_DROP, spamhaus(DROP)),
    ("DROP without records", DROP_V4, spamhaus([])),
    ("DROP of another age", DROP_V4, spamhaus(DROP).replace(b'"timestamp": 17', b'"timestamp": 17' + b"9" * 30)),
    ("few scanners", RESEARCH_SCANNERS, b"[]"),
    ("an object of scanners", RESEARCH_SCANNERS, b'{"error":"bad request"}'),
    ("a book with half of its runs", DELEGATED[0], delegated(RUNS, stated=20)),
    ("a book without a summary", DELEGATED[0], delegated(RUNS).replace(b"summary", b"")),
    ("a book without a day", DELEGATED[0], delegated(RUNS).replace(b"20260228", b"").replace(b"1772236799", b"7")),
]


@pytest.mark.parametrize(
    ("published", "content"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES]
)
def test_a_file_that_is_not_the_whole_list_is_refused(tmp_path: Path, published: Any, content: bytes) -> None:
    with pytest.raises(InvalidFileError):
        validate(published.file, tmp_path, content)


@pytest.mark.parametrize("published", ALL_LISTS, ids=[each.name for each in ALL_LISTS])
@pytest.mark.parametrize("content", [HTML, b"", b"{}", b"\x00\xff" * 100], ids=["html", "empty", "object", "noise"])
def test_what_is_no_list_at_all_is_refused(tmp_path: Path, published: Any, content: bytes) -> None:
    with pytest.raises(InvalidFileError):
        validate(published.file, tmp_path, content)


def test_a_good_file_is_taken_with_its_count_and_date(tmp_path: Path) -> None:
    assert validate(TOR_EXITS.file, tmp_path, tor_exits(EXITS)).records == 1001
    drop = validate(DROP_V4.file, tmp_path, spamhaus(DROP))
    assert (drop.records, drop.published_at) == (100, datetime(2026, 2, 28, 6, tzinfo=UTC))
    assert validate(RESEARCH_SCANNERS.file, tmp_path, research(SCANNERS)).records == 201
    book = validate(DELEGATED[0].file, tmp_path, delegated(RUNS))
    assert (book.records, book.published_at) == (3, datetime(2026, 2, 28, tzinfo=UTC))


@pytest.mark.parametrize(
    ("published", "kind"),
    [
        (GEOLITE2_CITY, "GeoLite2-City"),
        (GEOLITE2_ASN, "GeoLite2-ASN"),
        (DBIP_CITY, "DBIP-City-Lite"),
        (DBIP_ASN, "DBIP-ASN-Lite (compat=GeoLite2-ASN)"),
    ],
)
def test_a_database_is_taken_with_the_day_of_its_build(tmp_path: Path, published: Any, kind: str) -> None:
    record = asn_record(5, "ORG") if "ASN" in kind else PARIS
    path = write_database(tmp_path / "candidate.mmdb", kind, {"9.8.0.0/16": record})
    assert published.file.validate(path).published_at.date() == datetime.now(UTC).date()
    other = write_database(tmp_path / "other.mmdb", "GeoIP2-Anonymous-IP", {"9.8.0.0/16": {"is_vpn": True}})
    whole = path.read_bytes()
    cut = write(tmp_path / "cut.mmdb", whole[: len(whole) // 2])
    for bad in (other, cut):
        with pytest.raises(InvalidFileError):
            published.file.validate(bad)


def test_every_list_has_a_name_and_a_file_of_its_own_and_says_what_it_may_be_used_for() -> None:
    assert len({each.name for each in ALL_LISTS}) == len({each.file.file_name for each in ALL_LISTS}) == len(ALL_LISTS)
    for each in ALL_LISTS:
        assert all(url.startswith("https://") for url in each.file.urls(NOW))
        assert each.terms.licence
        assert each.file.min_interval < each.refresh_every


@pytest.mark.parametrize(
    ("now", "months"),
    [
        (datetime(2026, 3, 31, tzinfo=UTC), ["2026-03", "2026-02"]),
        (datetime(2026, 1, 1, tzinfo=UTC), ["2026-01", "2025-12"]),
    ],
)
def test_db_ip_is_asked_for_this_month_and_then_for_the_one_before(now: datetime, months: list[str]) -> None:
    read: Callable[[datetime], tuple[str, ...]] = DBIP_CITY.file.urls
    assert list(read(now)) == [f"https://download.db-ip.com/free/dbip-city-lite-{month}.mmdb.gz" for month in months]
