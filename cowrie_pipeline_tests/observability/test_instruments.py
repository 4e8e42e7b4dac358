"""The catalog of metrics: its words are those of the code that counts."""

import ast
from pathlib import Path

from cowrie_pipeline.cli.options import source_names
from cowrie_pipeline.cowrie.decode import Reason
from cowrie_pipeline.definitions import defs
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.enrichment.values import registry_name
from cowrie_pipeline.observability import instruments
from cowrie_pipeline.observability.instruments import CATALOG, Instrument, Kind, Label
from cowrie_pipeline.orchestration.retention import RETENTION_JOB
from cowrie_pipeline.orchestration.upkeep import CLEAN_UP_JOB
from cowrie_pipeline.steps.checks import Severity

PACKAGE = Path(instruments.__file__).parents[1]
# as the issue that asked for them names them
LABELS: dict[str, tuple[str, ...]] = {
    "asn_inventory_records_created": (
        "source",
        "country",
        "rir",
    ),
    "asn_inventory_records_updated": (
        "source",
        "update_type",
    ),
    "asn_inventory_total_count": (),
    "asn_inventory_operation_duration_ms": ("operation",),
    "asn_inventory_with_metadata_count": (),
    "asn_inventory_by_rir_count": ("rir",),
    "cowrie_lines_read": (),
    "cowrie_events_read": (),
    "cowrie_duplicates_read": (),
    "cowrie_dead_letters": ("reason",),
    "cowrie_sessions": ("protocol",),
    "cowrie_lookups": (
        "service",
        "outcome",
    ),
    "cowrie_lookup_duration_ms": ("service",),
    "cowrie_cache_requests": (
        "layer",
        "result",
    ),
    "cowrie_budget_used": (
        "service",
        "window",
    ),
    "cowrie_budget_limit": (
        "service",
        "window",
    ),
    "cowrie_coverage_ratio": (
        "table",
        "field",
    ),
    "cowrie_addresses": ("state",),
    "cowrie_snapshots": ("basis",),
    "cowrie_step_duration_seconds": ("step",),
    "cowrie_geoip_age_seconds": ("file",),
    "cowrie_list_age_seconds": ("list",),
    "cowrie_asset_last_success_timestamp_seconds": ("asset",),
    "cowrie_runs_in_progress": (),
    "cowrie_alerts_sent": (
        "receiver",
        "severity",
    ),
}


def test_every_metric_that_was_promised_is_there_once_with_its_labels() -> None:
    assert {each.family: each.label_names for each in CATALOG} == LABELS
    assert len(CATALOG) == len(LABELS)
    assert instruments.OPERATION_DURATION.buckets == (1, 5, 10, 25, 50, 100, 250, 500, 1000)


def test_histograms_have_buckets_in_order_and_nothing_else_has() -> None:
    for each in CATALOG:
        assert bool(each.buckets) == (each.kind is Kind.HISTOGRAM)
        assert list(each.buckets) == sorted(set(each.buckets))


def test_every_instrument_says_what_it_means_in_one_line() -> None:
    for each in CATALOG:
        assert each.help.endswith(".")
        assert each.help.isprintable()


def test_the_values_of_labels_are_the_words_of_the_code() -> None:
    assert instruments.SERVICE.values == set(source_names())
    assert instruments.SOURCE.values == {*source_names(), "imported"}
    assert instruments.OUTCOME.values == set(Status)
    assert instruments.REASON.values == set(Reason)
    assert instruments.SEVERITY.values == set(Severity)
    assert instruments.LIST.values == {each.name for each in ALL_LISTS}
    assert all(registry_name(name) == name for name in instruments.RIR.values)
    assert len(instruments.COUNTRY.values) == 249
    assert all(len(code) == 2 and code.isupper() for code in instruments.COUNTRY.values)


def test_every_asset_and_every_journaled_step_has_its_value() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert instruments.ASSET.values == keys
    assert instruments.STEP.values == set(_journaled_steps())


def _journaled_steps() -> list[str]:
    """Return the names under which work is journaled anywhere in the package."""
    named = {"CLEAN_UP_JOB": CLEAN_UP_JOB, "RETENTION_JOB": RETENTION_JOB}
    steps = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "journaled":
                step = node.args[1]
                steps.append(named[step.id] if isinstance(step, ast.Name) else ast.literal_eval(step))
    return steps


def test_what_is_none_of_a_labels_values_is_other_and_what_is_not_known_unknown() -> None:
    label = Label("country", frozenset({"FR"}))
    assert label.bounded("FR") == "FR"
    assert {label.bounded(value) for value in ("fr", "FR ", "", "other")} == {"other"}
    assert {label.bounded(value) for value in (None, "unknown")} == {"unknown"}
    assert Instrument("x", Kind.GAUGE, "1", (label,), "X.").bounded({"country": "evil"}) == ("other",)
