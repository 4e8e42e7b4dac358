"""What holds for every file that a publisher could send: it is taken or refused, and nothing else happens."""

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from cowrie_pipeline.enrichment.downloads import Contents, InvalidFileError
from cowrie_pipeline.enrichment.lists.delegated import DELEGATED
from cowrie_pipeline.enrichment.lists.geoip import GEOLITE2_ASN
from cowrie_pipeline.enrichment.lists.published import PublishedList
from cowrie_pipeline.enrichment.lists.research_scanners import RESEARCH_SCANNERS
from cowrie_pipeline.enrichment.lists.spamhaus import ASN_DROP, DROP_V4
from cowrie_pipeline.enrichment.lists.tor import TOR_EXITS
from cowrie_pipeline_tests.enrichment.databases import asn_record, write_database
from cowrie_pipeline_tests.enrichment.made_lists import (
    asn_drop_record,
    delegated,
    drop_record,
    research,
    spamhaus,
    tor_exits,
)
from cowrie_pipeline_tests.properties.fuzzing import edited, edits

GOOD: list[tuple[PublishedList, bytes]] = [
    (TOR_EXITS, tor_exits(f"9.9.{n}.1" for n in range(250))),
    (DROP_V4, spamhaus(drop_record(f"9.{n}.0.0/16") for n in range(20))),
    (ASN_DROP, spamhaus(asn_drop_record(n) for n in range(1, 20))),
    (RESEARCH_SCANNERS, research({f"9.9.{n}.1": "shodan" for n in range(150)})),
    (DELEGATED[0], delegated(f"arin|US|asn|{n}|1|20000330|assigned|x" for n in range(1, 30))),
]


def validate(published: PublishedList, content: bytes) -> Contents | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, published.file.file_name)
        path.write_bytes(content)
        try:
            return published.file.validate(path)
        except InvalidFileError:
            return None


@pytest.mark.parametrize(("published", "content"), GOOD, ids=[each.name for each, _ in GOOD])
@given(changes=edits)
def test_a_damaged_list_is_taken_or_refused(published: PublishedList, content: bytes, changes: Any) -> None:
    found = validate(published, edited(content, changes))
    assert found is None or found.records > 0


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("mmdb") / "x.mmdb"
    return write_database(
        path, "GeoLite2-ASN", {"9.8.0.0/16": asn_record(5, "ORG"), "9.9.0.0/16": asn_record(6)}
    ).read_bytes()


@given(changes=edits)
def test_a_damaged_database_is_taken_or_refused(database: bytes, changes: Any) -> None:
    validate(GEOLITE2_ASN, edited(database, changes))


def test_no_damage_ends_the_process(database: bytes) -> None:
    """The reader in C corrupted its memory on one of some thousand of these, which no exception can catch."""
    random = Random(1)
    for _ in range(3_000):
        changes = [
            (random.random(), random.randint(0, 20), bytes(random.choices(range(256), k=random.randint(0, 8))))
            for _ in range(random.randint(1, 3))
        ]
        validate(GEOLITE2_ASN, edited(database, changes))
