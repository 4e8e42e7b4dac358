"""What `deploy/monitoring` and docs/observability.md say: expressions of the dashboard and rules, and names in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES, RULES_TEST = MONITORING / "rules.yml", MONITORING / "rules_test.yml"
DASHBOARD = MONITORING / "grafana" / "dashboard.json"
DOCS = ROOT / "docs" / "observability.md"

_NAME = re.compile(r"\b(?:asn_inventory|cowrie)[_:][a-zA-Z0-9_:]+")
_TEXT = re.compile(r'"[^"]*"')
_OF_SAMPLES = ("_total", "_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Expression:
    """A query, and where it stands."""

    where: str
    query: str


def rules() -> list[dict[str, Any]]:
    """Return the rules of all groups."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[Expression]:
    """Yield each query of the dashboard and of the rules."""
    for panel in panels():
        for target in panel["targets"]:
            yield Expression(f"panel {panel['title']}", target["expr"])
    for rule in rules():
        yield Expression(f"rule {rule.get('alert') or rule['record']}", rule["expr"])


def documented_queries() -> list[Expression]:
    """Return the queries in the table of metrics."""
    return [Expression(f"docs of {name}", row[4].strip("`")) for name, row in documented().items()]


def documented() -> dict[str, list[str]]:
    """Return the rows of the docs' table of metrics by name: their cells."""
    rows = [line.split(" | ") for line in DOCS.read_text().splitlines() if line.startswith(("| `asn_", "| `cowrie_"))]
    return {row[0].strip("| `"): row for row in rows}


def names_in(query: str) -> set[str]:
    """Return the names of our metrics and recorded sums in a query."""
    return set(_NAME.findall(_TEXT.sub('""', query)))


def family(name: str, families: set[str]) -> str:
    """Return the family that a sample belongs to: the name without the ending that its kind adds."""
    if name in families:
        return name
    return next((name.removesuffix(end) for end in _OF_SAMPLES if name.removesuffix(end) in families), name)
