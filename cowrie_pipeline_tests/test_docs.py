"""The pages that repeat what the code says: they are made from it, and these tests see when they are not.

`python -m cowrie_pipeline_tests.test_docs` writes docs/checks.md, docs/checks/, docs/tables.md, docs/sources.md and the
table in README.md anew.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from cowrie_pipeline.enrichment.build import build_enrichment
from cowrie_pipeline.enrichment.lists.catalog import ALL_LISTS
from cowrie_pipeline.enrichment.outcomes import Source
from cowrie_pipeline.settings import Settings, describe_settings
from cowrie_pipeline.steps.checks import CheckWords, described_checks
from cowrie_pipeline.warehouse.sql_files import sql_files
from cowrie_pipeline.warehouse.tables import metadata
from cowrie_pipeline_tests.enrichment.allowances import MemoryAllowance

ROOT = Path(__file__).resolve().parents[1]
CHECKS, TABLES, README = ROOT / "docs" / "checks.md", ROOT / "docs" / "tables.md", ROOT / "README.md"
SOURCES = ROOT / "docs" / "sources.md"
OF_SQL = frozenset(sql_files("checks"))
SETTINGS_HEADER = "| variable | default | what it is |\n|---|---|---|\n"

ROWS = {
    "log_files": (
        "a file seen: where it is, how far it was read, and the accounting of its lines. `events` and `duplicates` say "
        "what was new when the file was read, so for a line in two files they depend on which came first; their totals "
        "do not"
    ),
    "log_segments": (
        "what one reading of one file brought for one day: the lines as they were, compressed, and their fingerprints"
    ),
    "dead_letters": "a line that could not be read, or a file that is no Cowrie log",
    "loaded_days": "a day whose sessions were made, and from what",
    "day_requests": "a day that the log sensor or a schedule asked Dagster to make, and what became of it",
    "retired_days": "a day whose details were removed, since they were older than COWRIE_KEEP_DETAIL_DAYS",
    "session_days": "what one session did on one UTC day",
    "session_summaries": "a session: its days rolled up, and the snapshot of its address",
    "login_attempts": "a log-in",
    "commands": "a line entered, or what became of a command of it",
    "session_files": "a file fetched or brought",
    "tunnels": "a tunnel asked for, or data sent into it",
    "client_keys": "a public key offered",
    "ip_inventory": "an address, current state",
    "asn_inventory": "a network (ASN)",
    "file_reputation": "a file that was transferred, and what scanners say of it",
    "password_exposure": "a password that was tried, by its SHA-1 alone, and how often it was seen in leaks",
    "retired_files": "a file and a retired day: what file_reputation counts of that day",
    "retired_passwords": "a password and a retired day: what password_exposure counts of that day",
    "ip_asn_history": "a span of time in which an address belonged to a network",
    "asn_fact_history": "a fact of a network that was replaced by that of a better source",
    "ip_country_changes": "a time at which an address's country became another",
    "asn_session_counts": "a day and a network, at attack time",
    "asn_addresses": "an address of a network that attacked in a month, and on which days, at attack time",
    "asn_session_totals": "a network over all its days, at attack time",
    "country_session_counts": "a day and a country, at attack time",
    "enrichment_documents": "one distinct enrichment document, stored once",
    "enrichment_cache": "the last outcome of one look-up at one service",
    "enrichment_cache_stats": "a service and a day: what was read from the cache and asked",
    "enrichment_claims": "a key that one process is asking a service about, until it has the outcome or its time is up",
    "enrichment_budget": "the calls that a quota counts in one 24th of its window",
    "enrichment_paces": "a service and a limit whose calls are spread evenly",
    "enrichment_pauses": "a service that nobody asks for a time, because it said so",
    "legacy_imports": "one part of the import of an earlier database: how far it is, and what became of its rows",
    "imported_sessions": "a session of an earlier database: what it became here, and what else its row said",
    "imported_records": "a network, address or file of an earlier database: what it became here, and what else it said",
    "alert_incidents": "trouble that somebody was told of, from its beginning to its end",
    "alert_recoveries": "a check, step or condition that was found well lately: failures seen before that are over",
    "alert_outbox": "a message to one receiver, kept until it is delivered",
    "step_runs": "a piece of work done; the newest 10,000 are kept",
    "metric_counts": "a counter, or a bucket of a histogram, for one combination of labels, over all processes",
}


def checks_page() -> str:
    lines = [
        "# Checks",
        "",
        "After each materialization these are checked, for its days. A check that blocks keeps later assets from",
        "running. Most are a file of the same name in `sql/checks/` that returns the rows at fault; the first 20 are",
        "shown in the check's metadata. Each has a page: what it means, why it matters, what to do. A failure is told",
        "to the receivers of [alerts](alerts.md). Thresholds are settings, listed in the README.",
        "",
    ]
    asset = ""
    for check in described_checks():
        if check.asset != asset:
            asset = check.asset
            lines += [*([""] if lines[-1] else []), f"## {asset}", "", "| check | says | |", "|---|---|---|"]
        lines.append(f"| [{check.name}](checks/{check.name}.md) | {check.title} | {how_bad(check)} |")
    return "\n".join([*lines, ""])


def how_bad(check: CheckWords) -> str:
    return f"{check.severity.value}{', blocks' if check.blocks else ''}"


def check_page(check: CheckWords) -> str:
    """Return the page on one check."""
    statement = f" It is [a query](../../sql/checks/{check.name}.sql)." if f"checks/{check.name}" in OF_SQL else ""
    return "\n".join(
        [
            f"# {check.name}",
            "",
            f"Of `{check.asset}`, *{how_bad(check)}*. [All checks](../checks.md)",
            "",
            "## What it means",
            "",
            f"{check.title}.{statement}",
            "",
            "## Why it matters",
            "",
            check.why,
            "",
            "## What to do if it fails",
            "",
            check.remedy,
            "",
        ]
    )


def tables_page() -> str:
    lines = [
        "# Tables",
        "",
        "Times are UTC. Text is as it was logged; NUL, half a surrogate pair and U+241B in it are written as U+241B",
        "and four hex digits (`cowrie_pipeline.cowrie.text.unescape_text` gives it back). NULL means unknown, never",
        "JSON null. `*` marks the primary key. Types are PostgreSQL's.",
        "",
    ]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for name, row in ROWS.items():
        lines += [f"## {name}", "", f"One row is {row}.", "", "| column | type | |", "|---|---|---|"]
        for column in metadata.tables[name].columns:
            target = " ".join(f"-> `{key.target_fullname}`" for key in column.foreign_keys)
            note = f"{target} {column.comment or ''}".strip()
            kind = column.type.compile(dialect=dialect).lower() + ("" if column.nullable else ", not null")
            lines.append(f"| `{column.name}`{'*' if column.primary_key else ''} | {kind} | {note} |")
        lines.append("")
    lines += [
        "## network_sessions",
        "",
        "A view: for each network `sessions_at_attack`, by the network that an address had when it attacked (the same",
        "as `total_session_count`), and `sessions_now`, by the network that the address has today.",
        "",
    ]
    return "\n".join(lines)


def sources_page() -> str:
    lines = [
        "# Sources",
        "",
        "Each is asked once for each thing, in this order unless `COWRIE_ENRICHMENT_POLICY` says another. Limits and",
        "times are the defaults; settings change them. What its answers may be used for is between you and the",
        "service: this page repeats what services said when it was written.",
        "",
        "## Asked",
        "",
        "| source | it tells | it needs | asked at most | a hit holds | a negative holds |",
        "|---|---|---|---|---|---|",
    ]
    settings = Settings(cymru_resolver="127.0.0.1:53")
    with build_enrichment(settings, {}, MemoryAllowance()) as enrichment:
        sources = [state.source for state in enrichment.sources]
    asked = [source for source in sources if source.cached]
    for source in asked:
        terms = source.terms
        limits = ", ".join(f"{each.calls:,} in {span_words(each.window)}" for each in terms.limits) or "no limit"
        lines.append(
            f"| `{source.name}` [{terms.title}]({terms.url}) | {terms.about} | {needs(source)} | {limits} | "
            f"{span_words(terms.hit_for)} | {span_words(terms.negative_for)} |"
        )
    lines += ["", "## Looked up on this machine", "", "| list | it tells | it needs |", "|---|---|---|"]
    for each in ALL_LISTS:
        what = "account id and licence key" if each.terms.needs_key else "nothing"
        what = "`COWRIE_CONTACT`" if each.terms.needs_contact else what
        lines.append(f"| `{each.name}` [{each.terms.title}]({each.terms.url}) | {each.terms.about} | {what} |")
    lines += ["", "## Terms", "", "| source | terms | to be named |", "|---|---|---|"]
    of_all = {terms.title: terms for terms in [*(each.terms for each in asked), *(each.terms for each in ALL_LISTS)]}
    for title, terms in of_all.items():
        lines.append(f"| {title} | {terms.licence} | {terms.attribution or ''} |")
    return "\n".join([*lines, ""])


def needs(source: Source) -> str:
    terms, switch = source.terms, f"COWRIE_{source.name.upper()}"
    if terms.needs_key:
        return f"`{switch}_KEY`"
    if terms.needs_contact:
        return "`COWRIE_CONTACT`"
    of_service = Settings().services.get(source.name)
    return "nothing" if of_service is None or of_service.enabled else f"`{switch}_ENABLED`"


def span_words(span: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if span >= unit:
            return f"{span / unit:g} {name}"
    return f"{span.total_seconds():g} s"


def settings_table() -> str:
    return SETTINGS_HEADER + "".join(
        f"| `{each.variable}` | {f'`{each.default}`' if each.default else ''} | {each.help} |\n"
        for each in describe_settings()
    )


def test_every_table_is_described() -> None:
    assert ROWS.keys() == metadata.tables.keys()


@pytest.mark.parametrize(
    ("page", "wanted"),
    [(CHECKS, checks_page), (TABLES, tables_page), (SOURCES, sources_page)],
    ids=["checks", "tables", "sources"],
)
def test_a_page_made_from_the_code_says_what_the_code_says(page: Path, wanted: Callable[[], str]) -> None:
    assert page.read_text(encoding="utf-8") == wanted(), "run: python -m cowrie_pipeline_tests.test_docs"


def test_every_check_has_a_page_with_all_its_parts() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "checks").iterdir()}
    assert pages == {f"{check.name}.md": check_page(check) for check in described_checks()}, (
        "run: python -m cowrie_pipeline_tests.test_docs"
    )
    for check in described_checks():
        assert (ROOT / check.page).is_file()


def test_the_readme_lists_every_setting() -> None:
    assert settings_table() in README.read_text(encoding="utf-8"), "run: python -m cowrie_pipeline_tests.test_docs"


def main() -> None:
    """Write the pages anew."""
    CHECKS.write_text(checks_page(), encoding="utf-8")
    pages = ROOT / "docs" / "checks"
    pages.mkdir(exist_ok=True)
    for page in pages.iterdir():
        page.unlink()
    for check in described_checks():
        (ROOT / check.page).write_text(check_page(check), encoding="utf-8")
    TABLES.write_text(tables_page(), encoding="utf-8")
    SOURCES.write_text(sources_page(), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    before, header, rest = text.partition(SETTINGS_HEADER)
    assert header, "README.md has lost its table of settings"
    README.write_text(before + settings_table() + rest[rest.index("\n\n") + 1 :], encoding="utf-8")


if __name__ == "__main__":
    main()
