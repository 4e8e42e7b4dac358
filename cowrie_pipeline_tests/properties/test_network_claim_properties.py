"""What documents say of networks: whatever is stored, it is read, and the same whichever way it is taken out."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.network_claims import PATHS, Said, read_document_text, read_said

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything = st.recursive(
    values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
)
entries = st.fixed_dictionaries({}, optional=dict.fromkeys(sorted({key for _, key in PATHS}), anything))
documents = anything | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(sorted({service for service, _ in PATHS}), entries | anything)
)


@given(documents)
def test_a_document_of_any_kind_is_read_alike_by_either_way(document: Any) -> None:
    found, fault = read_document_text(json.dumps(document).encode())
    taken_out = [
        entry.get(key) if isinstance(document, dict) and isinstance(entry := document.get(service), dict) else None
        for service, key in PATHS
    ]
    said, fault_of_value = read_said(json.dumps(taken_out))
    # a whole number written as a fraction, such as 3.0, is a number of JSON that one of the two readers takes
    if not any(isinstance(each, float) and each.is_integer() for each in taken_out):
        assert {path: value for path, value in zip(PATHS, found, strict=True) if value is not None} == said
    if fault_of_value and not any(isinstance(each, float) for each in taken_out):
        assert fault is not None


@given(st.binary())
def test_bytes_of_any_kind_end_nothing(text: bytes) -> None:
    found, _ = read_document_text(text)
    assert len(found) == len(PATHS)


@given(st.lists(st.tuples(documents, st.integers(1, 5)), max_size=5), st.randoms())
def test_the_order_in_which_documents_come_decides_nothing(told: list[tuple[Any, int]], random: Any) -> None:
    def best(of: list[tuple[Any, int]]) -> list[Any]:
        said = Said()
        for document, addresses in of:
            found, _ = read_document_text(json.dumps(document).encode())
            said.add(1, dict(zip(PATHS, found, strict=True)), addresses)
        return [said.best(name) for name in ("organization", "country", "registry")]

    shuffled = list(told)
    random.shuffle(shuffled)
    assert best(told) == best(shuffled)
