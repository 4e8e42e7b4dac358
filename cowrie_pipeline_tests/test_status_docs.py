"""docs/status.md and docs/status.schema.json say what the code does.

`python -m cowrie_pipeline_tests.test_status_docs` writes the schema and the table of checks anew.
"""

import re
from dataclasses import astuple
from pathlib import Path

import msgspec

from cowrie_pipeline.cli.health import HEALTH_SCHEMA
from cowrie_pipeline.observability.status_files import SCHEMA, PhaseStatus, Status, Work
from cowrie_pipeline.settings import describe_settings
from cowrie_pipeline.steps.health import RULES

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, SCHEMA_FILE = DOCS / "status.md", DOCS / "status.schema.json"
HEADER = "| check | expected | warning | critical | unknown | what to do |\n|---|---|---|---|---|---|\n"


def checks_table() -> str:
    return HEADER + "".join(f"| `{name}` | {' | '.join(astuple(rule))} |\n" for name, rule in RULES.items())


def schema_text() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Status)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def test_the_table_of_checks_is_that_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"{checks_table()}\n" in page, "run: python -m cowrie_pipeline_tests.test_status_docs"


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m cowrie_pipeline_tests.test_status_docs"
    )


def test_every_key_of_the_files_is_described_and_every_setting_named_is_one() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in (Status, PhaseStatus, Work):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in page, f"{kind.__name__}.{name}"
    settings = {each.variable for each in describe_settings()}
    assert set(re.findall(r"COWRIE_[A-Z_]+", page)) <= settings
    assert (SCHEMA, HEALTH_SCHEMA) == (1, 1)


def main() -> None:
    """Write both anew."""
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    before, header, rest = PAGE.read_text(encoding="utf-8").partition(HEADER)
    assert header, "docs/status.md has lost its table of checks"
    rest = rest.lstrip() if not rest.startswith("|") else rest.partition("\n\n")[2]
    PAGE.write_text(f"{before}{checks_table()}\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
