"""Hostile text in every field of every event goes through a whole run, and out of every door, as text."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import Connection, Table, inspect, select

from cowrie_pipeline.cowrie.passwords import sha1_of
from cowrie_pipeline.cowrie.text import unescape_text
from cowrie_pipeline.enrichment.made_geoip import write_geoip
from cowrie_pipeline.steps.harmless import in_spreadsheet
from cowrie_pipeline.steps.reports import Kind, all_reports
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import (
    commands,
    ip_inventory,
    log_files,
    login_attempts,
    session_files,
    session_summaries,
)
from cowrie_pipeline_tests.cli.in_process import invoke, invoke_enrich, only_environment
from cowrie_pipeline_tests.cli.processes import SCRIPTS, environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.contract.http_server import Answer, HttpServer
from cowrie_pipeline_tests.contract.smtp_server import SmtpServer
from cowrie_pipeline_tests.security.hostile import DAY, HOSTILE, address_of, geo_rows, write_hostile_logs
from cowrie_pipeline_tests.security.terminal import shown_on_terminal, unseen_in
from cowrie_pipeline_tests.steps.test_attack_page import Parsed

RECEIVERS = """
[[receiver]]
name = "hook"
kind = "webhook"
url = "{http}/hook"
[[receiver]]
name = "chat"
kind = "slack"
url = "{http}/chat"
[[receiver]]
name = "phone"
kind = "ntfy"
url = "{http}/topic"
[[receiver]]
name = "mail"
kind = "email"
host = "127.0.0.1"
port = {mail}
security = "none"
from = "cowrie@example.org"
to = ["operator@example.org"]
"""
# links that a program would open
LIVE = ("://evil.", "http://", "https://", "://user:pw@198.51.100.7")
# what Markdown makes of text, once what is escaped is taken away
_ESCAPED = re.compile(r"\\[^0-9A-Za-z\s]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9])")
# every command that shows what is in the database
SHOWING = [
    ("status",),
    ("report", "--list"),
    ("alerts", "list"),
]
SHOWING_ENRICHED = [
    ("sources",),
    ("plan",),
    ("lists",),
    ("coverage",),
    ("top-passwords", "--limit", "500"),
    ("new-passwords", "--from", DAY),
    ("ssh-keys",),
    ("cache", "stats"),
    ("cache", "addresses", "--country", "NL"),
    ("cache", "flagged"),
    ("asn", "top", "--limit", "500"),
    *(("asn", "show", f"AS{64_500 + number}") for number in (0, 13, 25, 30)),
    ("asn", "history", "AS64500"),
    *(("ip", "show", address_of(number)) for number in (0, 13, 25, 30)),
]


@dataclass(frozen=True)
class World:
    """What was run, and what came of it: on the terminal, in the database, at the receivers."""

    folder: Path
    url: str
    lines: int
    code: int
    shown: str
    sent: list[Any]
    mails: list[Any]

    @property
    def variables(self) -> dict[str, str | Path]:
        return {"COWRIE_DB_URL": self.url, "COWRIE_GEOIP_DIR": self.folder / "geoip"}


@pytest.fixture(scope="module")
def world(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("hostile")
    url = databases.empty()
    lines = write_hostile_logs(folder / "logs")
    write_geoip(folder / "geoip", geo_rows())
    with HttpServer(lambda _: Answer(200)) as http, SmtpServer() as mail:
        alerts = folder / "alerts.toml"
        alerts.write_text(RECEIVERS.format(http=http.url, mail=mail.port), encoding="utf-8")
        variables = environment(folder, COWRIE_DB_URL=url, COWRIE_GEOIP_DIR=folder / "geoip", COWRIE_ALERTS_FILE=alerts)
        program = SCRIPTS / "cowrie-pipeline"
        code, shown = shown_on_terminal([program, "run", "--logs", folder / "logs"], folder, variables)
        _, more = shown_on_terminal([program, "alerts", "send"], folder, variables)
        yield World(folder, url, lines, code, (shown + more).replace("\r\n", "\n"), http.asked, mail.mails)
    databases.drop(url)


@pytest.fixture
def connection(world: World) -> Iterator[Connection]:
    warehouse = Warehouse(world.url)
    with warehouse.read() as connection:
        yield connection
    warehouse.dispose()


def texts_in(connection: Connection, table: Table, column: str) -> set[str]:
    """Return the texts of a column as they were logged."""
    values = connection.execute(select(table.c[column]).where(table.c[column].is_not(None))).scalars()
    return {unescape_text(value) for value in values}


def test_the_run_ends_well_and_accounts_for_every_line(world: World, connection: Connection) -> None:
    assert world.code == 0, world.shown
    files = connection.execute(select(log_files)).all()
    assert sum(file.lines for file in files) == world.lines
    assert sum(file.events + file.duplicates + file.dead_letters + file.blank_lines for file in files) == world.lines


def test_every_text_is_stored_to_the_letter_and_nothing_else_changed(
    world: World, connection: Connection, databases: Databases
) -> None:
    everything = set(HOSTILE.values())
    for table, column in (
        (login_attempts, "username"),
        (login_attempts, "password"),
        (commands, "input"),
        (session_files, "url"),
    ):
        assert everything <= texts_in(connection, table, column), column
    sources = connection.execute(select(ip_inventory.c.ip_address)).scalars().all()
    assert set(sources) == {address_of(number) for number in range(len(HOSTILE))}
    # one for each text, and those of a hostile id, sensor and source
    assert connection.execute(select(session_summaries)).all()
    fresh = Warehouse(databases.fresh())
    with fresh.read() as other:
        ours, theirs = inspect(connection), inspect(other)
        assert set(ours.get_table_names()) == set(theirs.get_table_names())
        for name in ours.get_table_names():
            columns = [[column["name"] for column in each.get_columns(name)] for each in (ours, theirs)]
            assert columns[0] == columns[1]
    fresh.dispose()


def test_nothing_was_run_or_written_elsewhere(world: World) -> None:
    assert not Path("/tmp/owned").exists()
    assert list(world.folder.rglob("owned")) == []
    assert {path.name for path in world.folder.iterdir()} == {"logs", "geoip", "alerts.toml", "var"}


def test_the_terminal_shows_it_and_obeys_nothing(world: World) -> None:
    assert unseen_in(world.shown) == set()
    assert "DROP TABLE" in world.shown
    assert "no Cowrie log, not loaded: " in world.shown


def test_every_command_shows_it_and_nothing_is_obeyed(world: World) -> None:
    program = [(invoke, each) for each in SHOWING] + [(invoke_enrich, each) for each in SHOWING_ENRICHED]
    for run, arguments in program:
        for form in ((), ("--json",)):
            if arguments == ("report", "--list") and form:
                continue
            done = run(world.folder, *arguments, *form, **world.variables)
            assert done.code in {0, 1}, (arguments, done.err)
            assert unseen_in(done.out + done.err) == set(), arguments
            if form:
                assert done.out.isascii()
                json.loads(done.out)
            else:
                assert [link for link in LIVE if link in done.out.lower()] == [], arguments


@pytest.mark.parametrize("name", [spec.name for spec in all_reports()])
def test_every_report_is_harmless_where_it_is_shown_and_exact_where_it_is_read(world: World, name: str) -> None:
    def report(form: str, *options: str | Path) -> str:
        done = invoke(world.folder, "report", name, "--from", DAY, "--to", DAY, "--format", form, *own, *options, **of)
        assert done.code == 0, done.err
        return done.out

    of = world.variables
    path = world.folder / "report.out"
    (spec,) = (each for each in all_reports() if each.name == name)
    own = ("--with", "country=NL") if name == "cached_addresses_of_country" else ()
    texts = [column.name for column in spec.columns if column.kind is Kind.TEXT]
    rows = json.loads(report("json"))["rows"]
    shown = report("table")
    assert unseen_in(shown) == set()
    assert [link for link in LIVE if link in shown.lower()] == []
    report("table", "--limit", "1000", "--output", path)
    markdown = path.read_text(encoding="utf-8")
    assert unseen_in(markdown) == set()
    assert [link for link in LIVE if link in markdown.lower()] == []
    assert not set("<>[]`*_~") & set(_ESCAPED.sub("", markdown.partition("\n")[2]))
    # each row is one line of as many cells as there are columns
    assert {_ESCAPED.sub("", line).count("|") for line in markdown.splitlines()} == {len(spec.columns) + 1}
    report("csv", "--output", path)
    read = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))
    assert len(read) == len(rows)
    for cells, row in zip(read, rows, strict=True):
        for column in texts:
            assert cells[column] == in_spreadsheet(row[column] or "")
            assert not cells[column].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    report("parquet", "--output", path)
    frame = pd.read_parquet(path)
    for column in texts:
        assert [value if isinstance(value, str) else None for value in frame[column]] == [row[column] for row in rows]
    path.unlink()


def test_the_pages_have_no_element_and_no_link_of_an_attackers(world: World) -> None:
    pages = sorted((world.folder / "var" / "reports").glob("*.html"))
    assert len(pages) == 2
    for path in pages:
        content = path.read_text(encoding="utf-8")
        page = Parsed(content)
        assert unseen_in(content) == set()
        assert {"script", "iframe", "img", "object", "form", "base"}.isdisjoint(tag for tag, _ in page.elements)
        links = {value for name, value in page.values if name in {"href", "src"}}
        assert {link for link in links if not link.startswith("#")} == {"data:,"}
        assert page.other == []
        assert not [name for name, _ in page.values if name.startswith("on") or name == "style"]
        assert [link for link in LIVE if link in "".join(page.text).lower()] == []


def test_nothing_that_dagster_keeps_is_markup_or_deceives(world: World) -> None:
    home = str(world.folder / "var" / "dagster")
    with (
        only_environment(environment(world.folder, **world.variables)),
        dg.DagsterInstance.from_config(home) as instance,
    ):
        (run,) = instance.get_runs()
        logs = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    metadata = [each for event in logs for each in _metadata_of(event)]
    pictures = [each for each in metadata if isinstance(each, dg.MarkdownMetadataValue)]
    tables = [each for each in metadata if isinstance(each, dg.TableMetadataValue)]
    assert pictures
    assert tables
    for picture in pictures:
        assert unseen_in(picture.value or "") == set()
        assert (picture.value or "").startswith("![")
        title, _, image = (picture.value or "").removeprefix("![").partition("](")
        assert image.startswith("data:image/svg+xml;base64,")
        assert not {"<", "]"} & set(title.replace("\\]", "").replace("\\<", ""))
    cells = [str(value) for table in tables for record in table.records for value in record.data.values()]
    assert any("\\x1b" in cell for cell in cells)
    assert [cell for cell in cells if unseen_in(cell) or any(link in cell.lower() for link in LIVE)] == []


def _metadata_of(event: dg.DagsterEvent) -> list[Any]:
    if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        return list(event.step_materialization_data.materialization.metadata.values())
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return list(event.asset_check_evaluation_data.metadata.values())
    return []


def test_alerts_name_no_text_of_an_attackers_but_the_names_of_files(world: World) -> None:
    assert {asked.path for asked in world.sent} == {"/hook", "/chat", "/"}
    assert world.mails
    for asked in world.sent:
        assert asked.body.isascii()
        assert unseen_in(asked.body.decode("ascii")) == set()
        assert b"<" not in asked.body
        for text in _texts_of(json.loads(asked.body)):
            assert unseen_in(text) == set()
            if asked.path == "/chat":
                assert not {"<", ">", "@"} & set(text)
    for mail in world.mails:
        assert mail.message.get_content_type() == "text/plain"
        assert mail.recipients == ("operator@example.org",)
        assert unseen_in(mail.text.replace("\r\n", "\n")) == set()
    told = b"".join(asked.body for asked in world.sent) + b"".join(mail.content for mail in world.mails)
    for text in HOSTILE.values():
        # what is so short or common that our own words hold it is none of theirs
        if len(text) > 9:
            assert text.encode("utf-8", "replace") not in told
            assert sha1_of(text).encode() not in told


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.split("\n")
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_of(each)


def test_no_file_that_the_run_left_writes_to_a_terminal(world: World) -> None:
    texts = [path for path in (world.folder / "var").rglob("*") if path.suffix in {".out", ".err", ".html", ".json"}]
    assert texts
    for path in texts:
        assert unseen_in(path.read_text(encoding="utf-8")) == set(), path
