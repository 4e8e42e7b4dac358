"""All facts of a database, without what depends on when the work was done: to compare runs with each other."""

from collections.abc import Collection, Mapping
from typing import Any

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.steps.made_days import facts

# When the sources were asked and pictures were taken; digests are of documents that hold such times.
TIMES_OF_LOOK_UPS = frozenset(
    {
        "asn_last_verified",
        "enrichment_updated_at",
        "enrichment_due_at",
        "enrichment_digest",
        "observed_from",
        "last_confirmed",
        "snapshot_at",
        "snapshot_seal",
        "snapshot_document",
        "digest",
    }
)
_TIMES_IN_DOCUMENTS = {"fetched_at", "expires_at", "retry_at"}


def all_facts(url: str, *, but: Collection[str] = ()) -> dict[str, list[Any]]:
    """Return every row of every table of facts, without times of work and of look-ups.

    What the sources `but` said of addresses is left out of documents.
    """
    warehouse = Warehouse(url)
    try:
        found = facts(warehouse, without=TIMES_OF_LOOK_UPS)
    finally:
        warehouse.dispose()
    documents = [_without_times(row["document"], but) for row in found.pop("enrichment_documents")]
    return {
        # in an order that does not depend on those times either
        **{name: sorted((_timeless(row, but) for row in rows), key=repr) for name, rows in found.items()},
        # a document is kept once for each distinct content, of which times are a part
        "enrichment_documents": sorted({repr(sorted(each.items())) for each in documents}),
    }


def _timeless(row: Mapping[str, Any], but: Collection[str]) -> Mapping[str, Any]:
    return {
        name: _without_times(value, but) if name == "enrichment" and value is not None else value
        for name, value in row.items()
    }


def _without_times(document: Mapping[str, Any], but: Collection[str]) -> dict[str, Any]:
    return {
        source: {name: value for name, value in sorted(said.items()) if name not in _TIMES_IN_DOCUMENTS}
        if isinstance(said, dict)
        else said
        for source, said in document.items()
        if source not in but
    }
