"""Answers in files: the layout of earlier installations, what they wrote, and files that are broken."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.disk_cache import DiskCache
from cowrie_pipeline.enrichment.outcomes import Outcome, Status
from cowrie_pipeline.enrichment.terms import Terms

NOW = datetime(2026, 3, 10, 12, 0, 0, 1, UTC)
FILE_HASH = "ab" * 32
TERMS = {
    name: Terms(
        service=name,
        title=name,
        about="a service of the tests",
        url="https://example.org",
        hit_for=timedelta(days=7),
        negative_for=timedelta(hours=12),
        licence="free",
    )
    for name in ("virustotal", "dshield", "greynoise", "pwned_passwords")
}


def convert(key: str, raw: Any) -> Mapping[str, Any] | None:
    """Read raw answers such as `{"ip": KEY, "facts": {...}}`."""
    if not isinstance(raw, dict) or raw.get("ip", key) != key:
        return None
    facts: Mapping[str, Any] = raw["facts"]
    return facts


CONVERTERS = dict.fromkeys(TERMS, convert)


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", converters=CONVERTERS, terms=TERMS)


def outcome(status: Status = Status.HIT, service: str = "dshield", key: str = "8.8.8.8", **fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"fetched_at": NOW, "payload": {"count": 3}, "expires_at": NOW + timedelta(days=7)}
    return Outcome(service=service, key=key, status=status, **(defaults | fields))


def write_raw(disk: DiskCache, service: str, key: str, raw: Any, age: datetime = NOW) -> Path:
    path = disk.path_of(service, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(raw if isinstance(raw, str) else json.dumps(raw), encoding="utf-8")
    seconds = age.timestamp()
    os.utime(path, (seconds, seconds))
    return path


@pytest.mark.parametrize(
    ("service", "key", "place"),
    [
        ("virustotal", FILE_HASH, f"virustotal/ab/{FILE_HASH}.json"),
        ("dshield", "8.8.8.8", "dshield/8.8.8.8.json"),
        ("dshield", "2001:db8::1", "dshield/2001:db8::1.json"),
        ("hibp", "21BD1", "hibp/21/21BD1.json"),
        ("pwned_passwords", "21BD1", "hibp/21/21BD1.json"),
        ("greynoise", "8.8.8.8", "greynoise/83/838c4c2573848f58e74332341a7ca6bc5cd86a8aec7d644137d53b4d597f10f5.json"),
    ],
)
def test_files_are_where_earlier_installations_have_them(disk: DiskCache, service: str, key: str, place: str) -> None:
    assert disk.path_of(service, key) == disk.folder / place


HOSTILE = ["", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\0b", "x" * 5000, "fe80::1%/../x", "AB" * 32, "é"]


@pytest.mark.parametrize("service", ["virustotal", "dshield", "hibp", "cymru"])
@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_never_becomes_a_path_outside_its_shard(disk: DiskCache, service: str, key: str) -> None:
    digest = sha256(key.encode()).hexdigest()
    assert disk.path_of(service, key) == disk.folder / service / digest[:2] / f"{digest}.json"
    disk.put_many([outcome(service=service, key=key)])
    assert disk.get_many(service, [key]).keys() == {key}


@given(st.text())
def test_whatever_the_key_its_file_is_below_the_folder_of_its_service(key: str) -> None:
    folder = Path("/cache")
    for service in ("virustotal", "dshield", "hibp", "spur"):
        path = DiskCache(folder).path_of(service, key)
        assert Path(os.path.normpath(path)) == path
        assert path.is_relative_to(folder / service)


@pytest.mark.parametrize("service", ["", "..", "a/b", "/", "Upper", ".hidden"])
def test_a_service_that_is_no_name_of_a_folder_is_refused(disk: DiskCache, service: str) -> None:
    with pytest.raises(ValueError, match="service's name"):
        disk.path_of(service, "8.8.8.8")


@pytest.mark.parametrize(
    "given_outcome",
    [
        outcome(response_code=200, latency_ms=1.5, payload={"a": {"b": [1, 2.5, True, "ü"]}}),
        outcome(Status.NOT_FOUND, payload={}),
        outcome(expires_at=None, key="2001:db8::1"),
    ],
    ids=["hit", "not_found", "without_expiry"],
)
def test_an_answer_comes_back_as_it_was_written(disk: DiskCache, given_outcome: Outcome) -> None:
    disk.put_many([given_outcome])
    assert disk.get_many("dshield", [given_outcome.key, "1.1.1.1"]) == {given_outcome.key: given_outcome}
    assert disk.path_of("dshield", given_outcome.key).stat().st_mtime == pytest.approx(NOW.timestamp(), abs=1e-3)
    assert disk.findings(NOW) == []


@pytest.mark.parametrize("status", [status for status in Status if not status.is_answer])
def test_what_is_no_answer_leaves_the_file_alone(disk: DiskCache, status: Status) -> None:
    disk.put_many([outcome()])
    disk.put_many([outcome(status, payload={})])
    disk.put_many([outcome(status, key="1.1.1.1", payload={})])
    assert disk.get_many("dshield", ["8.8.8.8", "1.1.1.1"]) == {"8.8.8.8": outcome()}


# ---- what earlier installations wrote


def test_a_raw_answer_is_as_old_as_its_file(disk: DiskCache) -> None:
    write_raw(disk, "dshield", "8.8.8.8", {"ip": "8.8.8.8", "facts": {"count": 5}})
    write_raw(disk, "dshield", "1.1.1.1", {"facts": {}})
    found = disk.get_many("dshield", ["8.8.8.8", "1.1.1.1"])
    assert [
        (each.status, dict(each.payload), each.expires_at - each.fetched_at)
        for each in found.values()
        if each.expires_at
    ] == [
        (Status.HIT, {"count": 5}, timedelta(days=7)),
        (Status.NOT_FOUND, {}, timedelta(hours=12)),
    ]
    assert all(abs(each.fetched_at - NOW) < timedelta(milliseconds=1) for each in found.values())


def test_a_raw_answer_of_a_service_without_terms_is_due_at_once(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, converters={"spur": convert})
    write_raw(disk, "spur", "8.8.8.8", {"facts": {"as": 1}})
    assert disk.get_many("spur", ["8.8.8.8"])["8.8.8.8"].is_due(NOW)


def test_a_new_answer_takes_the_place_of_a_raw_one(disk: DiskCache) -> None:
    path = write_raw(disk, "dshield", "8.8.8.8", {"facts": {"count": 5}})
    disk.put_many([outcome()])
    assert disk.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}
    assert list(path.parent.iterdir()) == [path]


OURS = json.loads('{"format": "cowrie_pipeline answer 1", "service": "dshield", "key": "8.8.8.8", "status": "hit"}')
BROKEN = {
    "empty": "",
    "NUL": "\0" * 512,
    "cut": '{"ip": "8.8.8.8", "facts": {"cou',
    "HTML": "<html>502 Bad Gateway</html>",
    "null": "null",
    "a number cut": "12",
    "a list": "[]",
    "of another key": '{"ip": "9.9.9.9", "facts": {}}',
    "without what is read": '{"ip": "8.8.8.8"}',
    "nested without end": "[" * 100_000,
    "ours, without its time": json.dumps(OURS),
    "ours, of a strange status": json.dumps({**OURS, "fetched_at": "2026-01-01T00:00:00Z", "status": "great"}),
    "ours, of no answer": json.dumps({**OURS, "fetched_at": "2026-01-01T00:00:00Z", "status": "error"}),
    "ours, of another key": json.dumps({**OURS, "fetched_at": "2026-01-01T00:00:00Z", "key": "9.9.9.9"}),
    "ours, without a zone": json.dumps({**OURS, "fetched_at": "2026-01-01T00:00:00"}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_without_an_answer_is_a_miss_that_is_named(disk: DiskCache, content: str) -> None:
    path = write_raw(disk, "dshield", "8.8.8.8", content)
    write_raw(disk, "dshield", "1.1.1.1", {"facts": {}})
    assert disk.get_many("dshield", ["8.8.8.8", "1.1.1.1"]).keys() == {"1.1.1.1"}
    (finding,) = disk.findings(NOW)
    assert (finding.service, finding.where) == ("dshield", str(path))
    assert disk.read_file(path).outcome is None
    disk.put_many([outcome()])
    assert disk.get_many("dshield", ["8.8.8.8"]) == {"8.8.8.8": outcome()}


def test_what_is_no_file_is_a_miss_that_is_named(disk: DiskCache) -> None:
    disk.path_of("dshield", "8.8.8.8").mkdir(parents=True)
    assert disk.get_many("dshield", ["8.8.8.8"]) == {}
    disk.put_many([outcome()])
    assert len(disk.findings(NOW)) >= 1
    assert [path.name for path in (disk.folder / "dshield").iterdir()] == ["8.8.8.8.json"]


def test_findings_count_the_files_of_a_reason_and_name_one(disk: DiskCache) -> None:
    for n in range(3):
        write_raw(disk, "dshield", f"8.8.8.{n}", "{")
    disk.get_many("dshield", [f"8.8.8.{n}" for n in range(3)])
    (finding,) = disk.findings(NOW)
    assert finding.found == "3 that gave none: not JSON, or cut"


# ---- finding out what a file is about


def test_every_file_is_found_with_its_key(disk: DiskCache) -> None:
    given_outcomes = [
        outcome(),
        outcome(service="virustotal", key=FILE_HASH),
        outcome(service="pwned_passwords", key="21BD1"),
        outcome(service="cymru", key="AS15169"),
    ]
    disk.put_many(given_outcomes)
    (disk.folder / "dshield" / ".8.8.8.8.json.part").write_text("{", encoding="utf-8")
    (disk.folder / "README.txt").write_text("not ours", encoding="utf-8")
    found = [disk.read_file(path).outcome for path in disk.paths()]
    assert sorted(found, key=repr) == sorted(given_outcomes, key=repr)
    assert list(DiskCache(disk.folder / "nowhere").paths()) == []


def test_the_key_of_a_raw_answer_is_its_name_or_what_has_its_name_as_hash(disk: DiskCache) -> None:
    by_name = write_raw(disk, "dshield", "8.8.8.8", {"facts": {}})
    by_text = write_raw(disk, "greynoise", "8.8.4.4", {"facts": {"seen": ["no", {"address": "8.8.4.4"}]}})
    by_list = write_raw(disk, "greynoise", "9.9.9.9", {"facts": {}})
    nowhere = write_raw(disk, "greynoise", "1.1.1.1", {"facts": {}})
    misplaced = disk.folder / "dshield" / "nonsense.json"
    misplaced.write_text('{"facts": {}}', encoding="utf-8")
    known = {sha256(b"9.9.9.9").hexdigest(): "9.9.9.9"}
    for path, key in ((by_name, "8.8.8.8"), (by_text, "8.8.4.4"), (by_list, "9.9.9.9")):
        found = disk.read_file(path, known_keys=known).outcome
        assert found is not None
        assert found.key == key
    assert disk.read_file(nowhere, known_keys=known).reason == (
        "its name is the hash of a key that is neither in it nor known"
    )
    assert disk.read_file(misplaced).reason == "about a key that belongs into another file"
