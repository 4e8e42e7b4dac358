"""The command `ssh-keys`: what it shows and exports, and that nothing attackers wrote is obeyed."""

import csv
import io
from pathlib import Path

import pytest

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import Done, invoke_enrich
from cowrie_pipeline_tests.cli.processes import cowrie_enrich, report_of
from cowrie_pipeline_tests.steps.made_days import load_events
from cowrie_pipeline_tests.steps.test_planted_keys import ONE, TWO, fingerprints_of, planting

SHA256, MD5 = fingerprints_of(ONE)


@pytest.fixture
def planted(warehouse: Warehouse, tmp_path: Path) -> None:
    events = [
        *planting(1, f"{ONE} =cmd|calc"),
        *planting(2, f"{ONE}", wrapping="by base64 -d"),
        *planting(3, f"{TWO} \x1b[2Jred", day="2026-03-02", wrapping="by a heredoc"),
    ]
    load_events(warehouse, tmp_path / "logs", events)


@pytest.mark.usefixtures("planted")
def test_keys_are_shown_as_json_by_a_process(tmp_path: Path, database_url: str) -> None:
    report = report_of(cowrie_enrich(tmp_path, "ssh-keys", "--db", database_url, "--json"))
    assert (report["distinct"], report["days"]) == (2, ["2026-03-01", "2026-03-02"])
    first = report["keys"][0]
    assert (first["fingerprint"], first["md5"], first["sessions"], first["bits"]) == (SHA256, MD5, 2, 256)


@pytest.mark.usefixtures("planted")
def test_keys_are_shown_as_tables_and_nothing_is_obeyed(tmp_path: Path, database_url: str) -> None:
    def run(*options: str) -> Done:
        return invoke_enrich(tmp_path, "ssh-keys", "--db", database_url, *options)

    done = run()
    assert done.code == 0
    assert SHA256 in done.out
    assert "2 keys were planted; 3 sessions were looked through." in done.out
    assert "\x1b" not in done.out
    assert done.err == "reading sessions: 3 of 3\n"
    assert "1 more keys are shown with a higher --limit" in run("--limit", "1").out
    shown = run("--key", MD5, "--no-progress")
    assert (f"Newest sessions with {SHA256}" in shown.out, shown.err) == (True, "")
    assert "0 keys were planted" in run("--from", "2026-03-05").out
    assert "0 keys were planted" in run("--to", "2026-02-05").out


@pytest.mark.usefixtures("planted")
def test_keys_are_exported_as_csv_that_no_spreadsheet_obeys(tmp_path: Path, database_url: str) -> None:
    done = invoke_enrich(tmp_path, "ssh-keys", "--db", database_url, "--csv", "keys.csv")
    assert (done.code, done.out) == (0, "keys.csv: 2 keys\n")
    text = (tmp_path / "keys.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (rows[0]["fingerprint"], rows[0]["sessions"], rows[0]["bits"]) == (SHA256, "2", "256")
    assert rows[0]["comment"].startswith("'=cmd")
    assert "\x1b" not in text
    piped = invoke_enrich(tmp_path, "ssh-keys", "--db", database_url, "--csv", "-", "--no-progress")
    assert (piped.out, piped.err) == (text, "")


@pytest.mark.usefixtures("planted")
def test_a_key_that_was_not_planted_ends_with_one(tmp_path: Path, database_url: str) -> None:
    done = invoke_enrich(tmp_path, "ssh-keys", "--db", database_url, "--key", "SHA256:x", "--no-progress")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert "no session planted the key SHA256:x" in line


def test_json_and_csv_cannot_both_go_to_standard_output(tmp_path: Path) -> None:
    done = invoke_enrich(tmp_path, "ssh-keys", "--json", "--csv", "-")
    assert (done.code, "name a file for one of them" in done.err) == (2, True)
