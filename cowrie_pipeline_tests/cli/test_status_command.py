"""`status` while work goes on: what a run writes, the one object, and a screen or lines that change until Ctrl-C."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, write_logs
from cowrie_pipeline.observability.status_files import Days, Shown, StatusBoard, WorkState, read_status
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.cli.in_process import invoke
from cowrie_pipeline_tests.cli.processes import SCRIPTS, cowrie_pipeline, environment, report_of, start
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import NOW, add_day

PATIENCE = 120
DAYS = Days(date(2026, 3, 1), date(2026, 3, 2))
KEYS = {
    "schema", "at", "database", "running", "troubled", "phases", "unreadable_status_files",
    "days", "rows", "files", "coverage", "sources", "dead_letters", "last_runs",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_logs(
        SyntheticPlan(seed=3, first_day=DAYS.first, days=2, sessions_per_day=30, addresses=10, sensors=1), folder
    )
    return folder


def until(found: str, lines: Iterator[str]) -> str:
    """Return the first of the lines in which something is found; they end if the process does."""
    return next(line for line in lines if found in line)


def test_a_run_shows_each_step_with_its_run_days_and_counts(tmp_path: Path, logs: Path, databases: Databases) -> None:
    url = databases.empty()
    report = report_of(cowrie_pipeline(tmp_path, "run", "--logs", logs, "--db", url, "--json"))
    status = read_status(tmp_path / "var" / "status", now=NOW)
    assert set(status.phases) == {
        "scan_logs", "raw_sessions", "ip_inventory", "session_snapshots", "asn_session_counts", "file_reputation",
        "password_exposure", "attack_report", "attack_report_30_days",
    }  # fmt: skip
    assert (status.running, status.troubled) == ((), ())
    (run_id,) = report["runs"]
    for name, phase in status.phases.items():
        newest = phase.works[0]
        assert (phase.state, newest.run_id) == (WorkState.DONE, run_id), name
        if name not in {"scan_logs", "attack_report_30_days"}:
            assert newest.days == DAYS, name
    # the logs are read before there is a run, and looked at again in it
    scans = status.phases["scan_logs"].works
    assert [work.run_id for work in scans] == [run_id, None]
    assert scans[1].counts["lines_read"] == report["lines"]
    assert (scans[1].done, scans[1].total) == (scans[1].total, scans[1].total)
    sessions = status.phases["raw_sessions"].works[0]
    assert (sessions.counts["days_made"], sessions.done) == (2, report["events"])
    snapshots = status.phases["session_snapshots"].works[0]
    assert (snapshots.done, snapshots.total) == (2, 2)

    state = invoke(tmp_path, "status", "--db", url, "--json").json
    assert set(state) == KEYS
    assert state["schema"] == 1
    assert state["phases"]["raw_sessions"]["works"][0]["counts"]["days_made"] == 2
    plain = invoke(tmp_path, "status", "--db", url)
    assert "Phases" in plain.out
    databases.drop(url)


def test_a_status_folder_that_cannot_be_written_fails_no_run_and_is_told_once(tmp_path: Path, logs: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = cowrie_pipeline(tmp_path, "run", "--logs", logs, "--json", COWRIE_STATUS_DIR=tmp_path / "file" / "status")
    assert report_of(done)["ok"]
    assert done.stderr.count("the status files are not written") == 1


def test_a_step_that_fails_is_shown_as_failed(tmp_path: Path, logs: Path) -> None:
    """The folder of pages is a file: that step fails, and the steps before it are done."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "reports").write_text("in the way")
    done = cowrie_pipeline(tmp_path, "run", "--logs", logs, "--json")
    assert done.returncode == 1
    status = read_status(tmp_path / "var" / "status", now=NOW)
    assert set(status.troubled) == {"attack_report", "attack_report_30_days"}
    newest = status.phases["attack_report"].works[0]
    assert newest.state is WorkState.FAILED
    assert newest.error is not None
    assert "Error" in newest.error
    assert status.phases["asn_session_counts"].state is WorkState.DONE


def test_one_object_has_no_end_that_a_watch_has(tmp_path: Path) -> None:
    done = invoke(tmp_path, "status", "--watch", "--json")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_lines_tell_of_what_changes_until_ctrl_c(tmp_path: Path, databases: Databases) -> None:
    url = databases.empty()
    process = start(tmp_path, "status", "--watch", "--interval", "0.1", "--db", url)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    if databases.dialect == "sqlite":
        assert "there is no database" in until("there is no", lines)
    else:
        assert "is empty" in until("is empty", lines)
    board = StatusBoard(tmp_path / "var" / "status", "run-1", every_seconds=0)
    work_id = board.begin("raw_sessions", DAYS)
    assert "raw_sessions running, 2026-03-01 to 2026-03-02" in until("raw_sessions", lines)
    board.progress(5, 10)
    until("raw_sessions running, 2026-03-01 to 2026-03-02, 5 of 10", lines)
    assert invoke(tmp_path, "db", "upgrade", "--db", url).code == 0
    warehouse = Warehouse(url)
    add_day(warehouse, DAYS.first, at=NOW)
    warehouse.dispose()
    until("1 day loaded, 2026-03-01 to 2026-03-01", lines)
    shown = Shown()
    shown.counts = {"days_made": 2}
    board.end(work_id, shown, error=None)
    until("raw_sessions done, 2026-03-01 to 2026-03-02, 5 of 10: days_made 2", lines)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    # what does not change is not said again
    assert "raw_sessions" not in rest
    databases.drop(url)


def read_terminal(ours: int) -> str:
    """Return what was drawn next; nothing when the other end is closed, or draws nothing for long."""
    if not select.select([ours], [], [], PATIENCE)[0]:
        return ""
    try:
        return os.read(ours, 65536).decode("utf-8", "replace")
    except OSError:  # as Linux says that nobody has the other end any more
        return ""


def test_a_terminal_has_a_screen_that_ctrl_c_ends_with_zero(tmp_path: Path, logs: Path) -> None:
    report_of(cowrie_pipeline(tmp_path, "run", "--logs", logs, "--json"))
    board = StatusBoard(tmp_path / "var" / "status", every_seconds=0)
    board.begin("hostile \x1b[31m[bold]", DAYS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [SCRIPTS / "cowrie-pipeline", "status", "--watch", "--interval", "0.1"],
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm-256color", COLUMNS="100", LINES="60"),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    with process:
        shown = ""
        for wanted in ("Phases", "raw_sessions", "running", "2 days loaded", "Rows", "Last runs"):
            while wanted not in shown:
                drawn = read_terminal(ours)
                assert drawn, f"ended without {wanted}: {shown}"
                shown += drawn
        process.send_signal(signal.SIGINT)
        while read_terminal(ours):
            pass
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(PATIENCE)) == (b"", 0)
    os.close(ours)
    assert "\x1b[31m[bold]" not in shown
    assert "hostile \\x1b" in shown


def test_a_watcher_that_never_stops_reading_never_sees_half_a_state(tmp_path: Path) -> None:
    """`status.json` is what other programs read: a thousand times while two processes write it."""
    folder = tmp_path / "status"
    module = "cowrie_pipeline_tests.observability.status_writer"
    writers = [
        subprocess.Popen([sys.executable, "-m", module, folder, name, "40"], stderr=subprocess.PIPE) for name in "ab"
    ]
    seen = 0
    done: dict[str, int] = {}
    while any(writer.poll() is None for writer in writers):
        try:
            found = json.loads((folder / "status.json").read_bytes())
        except FileNotFoundError:
            assert seen == 0
            continue
        seen += 1
        for name, phase in found["phases"].items():
            # nothing that was there is ever missing again
            assert phase["ended"].get("done", 0) >= done.get(name, 0)
            done[name] = phase["ended"].get("done", 0)
        assert set(done) == set(found["phases"])
    for writer in writers:
        assert writer.communicate()[1] == b""
    assert seen > 0
    last = json.loads((folder / "status.json").read_bytes())["phases"]
    assert {name: phase["ended"]["done"] for name, phase in last.items()} == {"own_a": 40, "own_b": 40, "shared": 80}
