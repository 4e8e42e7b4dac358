"""Dashboard, rules and docs name what is exported, and what is exported is named there."""

import re

import pytest
import yaml

from cowrie_pipeline.observability.instruments import CATALOG, Kind
from cowrie_pipeline_tests.monitoring.files import (
    DOCS,
    MONITORING,
    RULES_TEST,
    Expression,
    alerts,
    documented,
    documented_queries,
    expressions,
    family,
    names_in,
    panels,
    rules,
)

FAMILIES = {instrument.family for instrument in CATALOG}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
SAMPLES = {
    f"{instrument.family}{end}"
    for instrument in CATALOG
    for end in {
        Kind.COUNTER: ("_total",),
        Kind.GAUGE: ("",),
        Kind.HISTOGRAM: ("_bucket", "_count", "_sum"),
    }[instrument.kind]
}
ALL = [*expressions(), *documented_queries()]


@pytest.mark.parametrize("expression", ALL, ids=lambda each: each.where)
def test_a_query_names_samples_that_are_exported_or_sums_that_are_kept(expression: Expression) -> None:
    names = names_in(expression.query)
    assert names or expression.query.startswith("up{"), "expected a metric of ours"
    assert names <= SAMPLES | RECORDED


@pytest.mark.parametrize("expression", ALL, ids=lambda each: each.where)
def test_a_query_names_labels_that_the_metric_has(expression: Expression) -> None:
    """A label that no series has makes a query empty, or one line of all, without an error."""
    labels = {label for instrument in CATALOG for label in instrument.label_names} | {"le", "job"}
    grouped = re.findall(r"\b(?:by|ignoring|on) \(([a-z_, ]*)\)", expression.query)
    matched = re.findall(r"([a-z_]+)(?:=~|!=|=)\"", expression.query)
    assert {name for group in grouped for name in group.split(", ") if name} | set(matched) <= labels


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other_is() -> None:
    exported = {f"{each.family}_total" if each.kind is Kind.COUNTER else each.family: each for each in CATALOG}
    rows = documented()
    assert rows.keys() == exported.keys()
    for name, instrument in exported.items():
        assert rows[name][1].split(", ")[0] == instrument.kind.value, name
        assert rows[name][2] == (", ".join(instrument.label_names) or "-"), name


def test_every_metric_is_on_the_dashboard_or_asked_for_by_a_rule() -> None:
    asked = {family(name, FAMILIES) for each in expressions() for name in names_in(each.query)}
    assert FAMILIES - asked == set()


def test_every_sum_is_used() -> None:
    used = {name for each in ALL for name in names_in(each.query)}
    assert used >= RECORDED


def test_every_panel_says_what_it_shows() -> None:
    assert [panel["title"] for panel in panels() if not panel["description"].endswith(".")] == []
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_runbook_and_says_what_happened(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description", "runbook_url"} == alert["annotations"].keys()
    page, anchor = alert["annotations"]["runbook_url"].split("#")
    headings = {line[4:].lower(): line[4:] for line in DOCS.read_text().splitlines() if line.startswith("### ")}
    assert page == "docs/observability.md"
    assert anchor in headings
    _, _, runbook = DOCS.read_text().partition(f"### {headings[anchor]}\n")
    assert name == headings[anchor] or name in runbook.partition("\n### ")[0]
    assert "1. " in runbook.partition("\n### ")[0], "expected what to do, step by step"


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_must_not(name: str) -> None:
    cases = [
        case["exp_alerts"]
        for test in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    labels = [{**alert["exp_labels"]} for case in cases for alert in case]
    assert labels, "expected a case in which it fires"
    # of an alert with labels a case fires for some of them only
    assert [] in cases or any(len(label) > 1 for label in labels), "expected a case in which it must not"


def test_the_docs_name_the_files_that_there_are() -> None:
    named = set(re.findall(r"`((?:grafana/)?[a-z_]+\.(?:yml|json))`", DOCS.read_text()))
    there = {path.relative_to(MONITORING).as_posix() for path in MONITORING.rglob("*") if path.is_file()}
    assert there == named
