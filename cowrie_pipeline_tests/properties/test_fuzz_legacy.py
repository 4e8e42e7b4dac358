"""Any row of an earlier database: it is read into known types, or refused as unusable."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.steps.legacy import rows
from cowrie_pipeline.steps.legacy.documents import converted, fetch_times, named_organization
from cowrie_pipeline.steps.legacy.rows import UnusableRowError
from cowrie_pipeline.steps.legacy.values import read_document
from cowrie_pipeline_tests.properties.fuzzing import anything, leaves, octets_of, scalars, spoilt

DOCUMENT = {
    "maxmind": {"asn": 64500, "organization": "EXAMPLE", "country": "NL", "city": "Amsterdam"},
    "cymru": {"asn": "64500", "prefix": "203.0.113.0/24", "country": "NL", "registry": "ripencc"},
    "greynoise": {"classification": "malicious", "noise": True, "riot": False, "last_seen": "2025-12-30"},
    "dshield": {"ip": {"count": "12", "attacks": 3, "asname": "X", "network": "203.0.113.0/24"}},
    "urlhaus": {"url_count": 4, "threat": "malware_download"},
    "spur": ["64500", "EXAMPLE", "Org", "DATACENTER"],
}
READERS: dict[str, tuple[rows.LegacyTable, Callable[[Any, Any], Any]]] = {
    "sessions": (rows.SESSIONS, rows.read_session),
    "addresses": (rows.ADDRESSES, rows.read_address),
    "networks": (rows.NETWORKS, rows.read_network),
    "files": (rows.FILES, rows.read_file),
}
LARGEST = 2**63 - 1
values = st.one_of(
    scalars,
    anything,
    st.datetimes(),
    st.dates(),
    st.binary(max_size=20),
    st.floats(),
    st.just(DOCUMENT).flatmap(spoilt).map(json.dumps),
    octets_of(DOCUMENT).map(lambda octets: octets.decode("utf-8", "replace")),
    st.sampled_from(
        ["2025-12-30 10:00:00", "2025-12-30T10:00:00Z", "a1b2c3d4", "203.0.113.7", "203.0.113.7/32", 64500]
    ),
)


def parts_of(value: Any) -> Iterator[Any]:
    """Yield what a row that was read is made of."""
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from parts_of(getattr(value, each.name))
    elif isinstance(value, msgspec.Struct):
        yield from parts_of(msgspec.structs.asdict(value))
    elif isinstance(value, dict):
        for key, each in value.items():
            assert isinstance(key, str)
            yield from parts_of(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from parts_of(each)
    else:
        yield value


def check(found: Any) -> None:
    for part in parts_of(found):
        if isinstance(part, str) and not isinstance(part, Enum):
            assert "\0" not in part
            part.encode("utf-8")
        elif isinstance(part, int):
            assert abs(part) <= LARGEST
        elif isinstance(part, datetime):
            assert part.tzinfo is not None
        else:
            assert part is None or isinstance(part, float | date | bytes | Enum), type(part)


@pytest.mark.parametrize("table", READERS)
@given(data=st.data())
def test_any_row_is_read_or_unusable(table: str, data: st.DataObject) -> None:
    layout, read = READERS[table]
    names = sorted({name for each in layout.fields.values() for name in each})
    row = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=len(names)))
    with suppress(UnusableRowError):
        check(read(row, Counter()))


@given(st.just(DOCUMENT).flatmap(spoilt) | anything)
def test_any_document_is_converted_into_facts(document: Any) -> None:
    oddities: Counter[str] = Counter()
    read = read_document(json.dumps(document), "enrichment", oddities)
    found = converted(read, oddities)
    json.dumps(found, allow_nan=False)
    for leaf in leaves(found):
        assert isinstance(leaf, str | int | float | bool)
    assert all(time.tzinfo is not None for time in fetch_times(read))
    name = named_organization(found)
    assert name is None or name
