"""The command `report`: every format read back, by real processes and on both databases, and what wrong use is told."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cowrie_pipeline.cli import report as module
from cowrie_pipeline.steps.asn_session_counts import count_sessions
from cowrie_pipeline.steps.reports import all_reports
from cowrie_pipeline.steps.session_snapshots import take_snapshots
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import SCRIPTS, cowrie_pipeline, environment
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import NOW, World, connect, load_events, login, span

ASNS = {"8.8.8.8": 15169, "8.8.4.4": 15169, "1.1.1.1": 13335}
# what could do harm on a terminal or in a spreadsheet, as an organization's or a file's name
NAMES = {15169: '=HYPERLINK("http://x","y")', 13335: "\x1b[31mred\x1b[0m"}


@pytest.fixture(scope="module")
def url(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Six sessions on two days from two networks with dangerous names, and one of an unknown network."""
    url = databases.fresh()
    warehouse = Warehouse(url)
    events = []
    for number, (day, address) in enumerate(
        (
            ("01", "8.8.8.8"),
            ("01", "8.8.8.8"),
            ("01", "8.8.4.4"),
            ("02", "8.8.8.8"),
            ("02", "1.1.1.1"),
            ("02", "9.9.9.9"),
        )
    ):
        session = f"{number:08x}"
        events.append(connect(f"2026-03-{day} 10:00:{number:02}", session=session, src_ip=address))
        events.append(login(f"2026-03-{day} 10:01:{number:02}", session=session, src_ip=address, username="root"))
    load_events(warehouse, tmp_path_factory.mktemp("logs"), events)
    days = span("2026-03-01", "2026-03-02")
    World(ASNS.get).enrich(warehouse, "2026-03-01", "2026-03-02")
    with warehouse.begin() as connection:
        take_snapshots(connection, days, now=NOW)
        count_sessions(connection, days)
        for asn, name in NAMES.items():
            statement = "UPDATE asn_inventory SET organization_name = {} WHERE asn_number = {}".format(
                "'" + name.replace("'", "''") + "'", asn
            )
            connection.exec_driver_sql(statement)
    warehouse.dispose()
    yield url
    databases.drop(url)


def run(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = cowrie_pipeline(folder, "report", *arguments, "--db", url)
    assert done.returncode == 0, done.stderr
    return done


EXPECTED = [(15169, NAMES[15169], 4, 4 / 6), (13335, NAMES[13335], 1, 1 / 6)]
COLUMNS = ("asn_number", "organization_name", "sessions", "share")


def test_a_table_shows_what_is_harmless(url: str, tmp_path: Path) -> None:
    done = run(tmp_path, url, "top_networks_by_sessions")
    assert done.stdout.startswith("Networks by sessions, 2026-03-01 to 2026-03-02\n")
    assert "\x1b" not in done.stdout
    (google,) = (line for line in done.stdout.splitlines() if line.startswith("15169"))
    # nobody follows it by mistake
    shown = NAMES[15169].replace("http://", "hxxp://")
    assert google.split()[1:] == [shown, "NL", "CLOUD", "4", "66.7%", "4", "0", "0", "0", "2"]
    assert "\\x1b[31mred" in done.stdout


def test_csv_is_read_back_and_has_no_formula(url: str, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(tmp_path, url, "top_networks_by_sessions", "--format", "csv").stdout)))
    assert [(int(r["asn_number"]), r["organization_name"], int(r["sessions"]), float(r["share"])) for r in rows] == [
        (15169, "'" + NAMES[15169], 4, 4 / 6),
        EXPECTED[1],
    ]


def test_json_is_read_back_to_the_letter(url: str, tmp_path: Path) -> None:
    done = run(tmp_path, url, "top_networks_by_sessions", "--format", "json")
    assert done.stdout.isascii()
    found: dict[str, Any] = json.loads(done.stdout)
    assert [tuple(row[name] for name in COLUMNS) for row in found.pop("rows")] == EXPECTED
    assert found == {
        "report": "top_networks_by_sessions",
        "title": "Networks by sessions",
        "first_day": "2026-03-01",
        "last_day": "2026-03-02",
        "is_cut": False,
    }


def test_parquet_is_read_back_with_its_types(url: str, tmp_path: Path) -> None:
    run(tmp_path, url, "top_networks_by_sessions", "--output", "networks.parquet")
    frame = pd.read_parquet(tmp_path / "networks.parquet", dtype_backend="numpy_nullable")
    assert [tuple(row) for row in frame[list(COLUMNS)].itertuples(index=False)] == EXPECTED
    assert [str(frame[name].dtype) for name in COLUMNS] == ["Int64", "string", "Int64", "Float64"]


@pytest.mark.parametrize("name", [spec.name for spec in all_reports()])
def test_every_report_is_written_in_every_format(url: str, tmp_path: Path, name: str) -> None:
    values = ("--with", "country=DE") if name == "cached_addresses_of_country" else ()
    rows = []
    for suffix in ("csv", "json", "parquet", "table"):
        done = invoke(tmp_path, "report", name, *values, "--output", f"r.{suffix}", "--db", url)
        assert (done.code, done.out) == (0, ""), done.err
    rows.append(len(list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))))
    rows.append(len(json.loads((tmp_path / "r.json").read_text())["rows"]))
    rows.append(len(pd.read_parquet(tmp_path / "r.parquet")))
    rows.append(len((tmp_path / "r.table").read_text().splitlines()) - 2)
    assert rows[0] == rows[1] == rows[2] == rows[3] or rows[3] == 50
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_days_and_limit_are_those_of_the_options(url: str, tmp_path: Path) -> None:
    done = run(
        tmp_path, url, "countries", "--from", "2026-03-02", "--to", "2026-03-02", "--limit", "1", "--format", "json"
    )
    found = json.loads(done.stdout)
    assert (found["first_day"], found["last_day"], found["is_cut"]) == ("2026-03-02", "2026-03-02", True)
    assert [(row["country"], row["sessions"]) for row in found["rows"]] == [("FR", 2)]
    assert "The first 1 rows; there are more: --limit N" in done.stderr


def test_a_set_of_sessions_is_named_by_its_own_parameters(url: str, tmp_path: Path) -> None:
    done = run(tmp_path, url, "networks_of_sessions", "--with", "session_id=00000004", "--format", "json")
    assert [(row["asn_number"], row["sessions"]) for row in json.loads(done.stdout)["rows"]] == [(13335, 1)]


@pytest.mark.parametrize("arguments", [("--list",), ()])
def test_all_reports_are_listed_with_their_questions(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = cowrie_pipeline(tmp_path, "report", *arguments)
    assert done.returncode == 0
    for spec in all_reports():
        assert spec.name in done.stdout
        assert spec.question in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == []


def test_the_list_is_also_json(tmp_path: Path) -> None:
    listed = invoke(tmp_path, "report", "--list", "--format", "json").json["reports"]
    assert [each["report"] for each in listed] == [spec.name for spec in all_reports()]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("top_network_by_session",),
            "there is no report 'top_network_by_session': did you mean top_networks_by_session",
        ),
        (("zzz",), "there is no report 'zzz': `cowrie-pipeline report --list` names all"),
        (("countries", "--from", "2026-03-02", "--to", "2026-03-01"), "--to 2026-03-01 comes before --from 2026-03-02"),
        (("countries", "--from", "soon"), "found 'soon'"),
        (("countries", "--format", "xls"), "'xls'"),
        (("countries", "--limit", "0"), "--limit"),
        (("countries", "--with", "x"), "expected --with NAME=VALUE"),
        (("countries", "--with", "x=1"), "the report countries has no parameter x"),
        (("cached_addresses_of_country",), "needs country: give --with country=VALUE"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_is_wrong(
    url: str, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = invoke(tmp_path, "report", *arguments, "--db", url)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    if done.err.startswith("error:"):
        assert done.err.count("\n") == 1


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    done = invoke(tmp_path, "report", "countries")
    assert done.code == 1
    assert "there is no database" in done.err
    assert list(tmp_path.rglob("*.db")) == []


def test_parquet_without_pyarrow_ends_in_one_line_with_the_remedy(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    done = invoke(tmp_path, "report", "countries", "--output", "x.parquet", "--db", url)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "pip install 'cowrie_pipeline[parquet]'" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told_in_one_line(url: str, tmp_path: Path) -> None:
    done = invoke(tmp_path, "report", "countries", "--output", "none/x.csv", "--db", url)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "No such file or directory" in done.err


def test_csv_on_a_terminal_is_harmless_and_parquet_is_refused(url: str, tmp_path: Path) -> None:
    def on_terminal(form: str) -> tuple[int, bytes]:
        ours, theirs = pty.openpty()
        command = [
            str(SCRIPTS / "cowrie-pipeline"),
            "report",
            "top_networks_by_sessions",
            "--format",
            form,
            "--db",
            url,
        ]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path, TERM="dumb"), stdout=theirs, stderr=subprocess.PIPE
        ) as process:
            _, told = process.communicate()
        os.close(theirs)
        shown = os.read(ours, 65536) if process.returncode == 0 else told
        os.close(ours)
        return process.returncode, shown

    code, shown = on_terminal("csv")
    assert code == 0
    assert b"\\x1b[31mred" in shown
    assert b"\x1b[31mred" not in shown
    code, told = on_terminal("parquet")
    assert code == 2
    assert b"give --output FILE" in told


def test_the_shell_completes_the_name_of_a_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / "cowrie-pipeline"],
        env=environment(tmp_path)
        | {
            "_COWRIE_PIPELINE_COMPLETE": "complete_bash",
            "COMP_WORDS": "cowrie-pipeline report top_networks_by_s",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["top_networks_by_sessions", "top_networks_by_successful_logins"]


def test_pandas_is_imported_by_nothing_but_a_frame(tmp_path: Path) -> None:
    code = (
        "import sys, cowrie_pipeline.cli.main, cowrie_pipeline.cli.report, cowrie_pipeline.steps.reports;"
        "sys.exit('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), check=False)
    assert done.returncode == 0
