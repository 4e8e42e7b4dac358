"""Status files: what many processes write is all there, nobody reads half of it, and who was killed is told."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.observability.processes import is_gone, this_process
from cowrie_pipeline.observability.progress import listening, progress_of
from cowrie_pipeline.observability.status_files import (
    AGGREGATE,
    Days,
    PhaseStatus,
    Shown,
    Status,
    StatusBoard,
    Work,
    WorkState,
    note_progress,
    read_status,
    shown,
    shown_on,
    unresolved,
)

PATIENCE = 60
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAYS = Days(date(2026, 3, 1), date(2026, 3, 3))
NOBODY = f"{this_process().partition(':')[0]}:{2**22 + 7}:1"


def start(folder: Path, name: str, works: int, *hold: str) -> subprocess.Popen[str]:
    module = "cowrie_pipeline_tests.observability.status_writer"
    return subprocess.Popen(
        [sys.executable, "-m", module, folder, name, str(works), *hold],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def whole_files(folder: Path) -> Iterator[dict[str, object]]:
    """Read every file that is there, as a watcher would that knows nothing of ours."""
    for path in folder.glob("*.json"):
        found = json.loads(path.read_bytes())
        assert found["schema"] == 1
        if path.name == AGGREGATE:
            msgspec.json.decode(path.read_bytes(), type=Status)
        else:
            msgspec.json.decode(path.read_bytes(), type=PhaseStatus)
        yield found


def work(started: int, state: WorkState, days: Days | None = DAYS, process: str | None = None) -> Work:
    at = NOW + timedelta(minutes=started)
    return Work(
        id=f"{started}-{state}", state=state, process=process or this_process(), pid=1, days=days, started_at=at,
        updated_at=at,
    )  # fmt: skip


def test_four_processes_that_write_at_once_lose_nothing_and_no_watcher_ever_reads_half_a_file(tmp_path: Path) -> None:
    writers = [start(tmp_path, name, 25) for name in "abcd"]
    read = 0
    while any(writer.poll() is None for writer in writers):
        read += sum(1 for _ in whole_files(tmp_path))
    for writer in writers:
        _, err = writer.communicate()
        assert (writer.returncode, err) == (0, "")
    assert read > 0
    status = read_status(tmp_path, now=NOW)
    assert status.phases["shared"].ended == {WorkState.DONE: 100}
    assert {name: each.ended for name, each in status.phases.items() if name != "shared"} == {
        f"own_{name}": {WorkState.DONE: 25} for name in "abcd"
    }
    assert status.running == status.troubled == status.unreadable == ()
    # the aggregate has what the files have, to the last work
    aggregate = msgspec.json.decode((tmp_path / AGGREGATE).read_bytes(), type=Status)
    assert aggregate.phases == status.phases
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".lock")} == {
        AGGREGATE, "shared.json", *(f"own_{name}.json" for name in "abcd")
    }  # fmt: skip


def test_a_process_that_is_killed_anywhere_leaves_whole_files_and_is_told_as_killed(tmp_path: Path) -> None:
    choose = random.Random(20260321)
    for n in range(6):
        writer = start(tmp_path, f"k{n}", 100_000)
        began = monotonic()
        while not (tmp_path / f"own_k{n}.json").exists() and monotonic() - began < PATIENCE:
            sleep(0.01)
        sleep(choose.uniform(0, 0.1))
        writer.kill()
        writer.communicate()
        assert list(whole_files(tmp_path))
    last = start(tmp_path, "after", 1)
    assert last.wait(PATIENCE) == 0
    last.communicate()
    status = read_status(tmp_path, now=NOW)
    assert status.unreadable == ()
    assert status.running == ()
    for phase in status.phases.values():
        # at most one of each process was under way
        assert phase.ended.get(WorkState.KILLED, 0) <= 6
    assert status.phases["own_after"].state is WorkState.DONE


def test_a_killed_process_is_seen_by_readers_at_once_and_in_the_aggregate_with_the_next_writing(tmp_path: Path) -> None:
    writer = start(tmp_path, "a", 1, "hold")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "holding\n"
    held = read_status(tmp_path, now=NOW).phases["held"].works[0]
    assert (held.state, held.pid, held.run_id, held.done, held.total) == (WorkState.RUNNING, writer.pid, "run-a", 3, 9)
    # nobody has asked yet how it ended: it is a zombie, and gone all the same
    os.kill(writer.pid, signal.SIGKILL)
    began = monotonic()
    while not is_gone(held.process) and monotonic() - began < PATIENCE:
        sleep(0.01)
    status = read_status(tmp_path, now=NOW)
    assert status.phases["held"].state is WorkState.KILLED
    assert (status.running, status.troubled) == ((), ("held",))
    writer.communicate()
    with shown_on(StatusBoard(tmp_path)), shown("other", None):
        pass
    aggregate = msgspec.json.decode((tmp_path / AGGREGATE).read_bytes(), type=Status)
    assert aggregate.troubled == ("held",)
    # the same work, done by the next process
    with shown_on(StatusBoard(tmp_path)), shown("held", held.days):
        pass
    status = read_status(tmp_path, now=NOW)
    assert status.troubled == ()
    assert status.phases["held"].ended == {WorkState.KILLED: 1, WorkState.DONE: 1}


def test_a_work_is_shown_from_its_beginning_to_its_end_with_what_it_came_to(tmp_path: Path) -> None:
    heard = []
    with (
        shown_on(StatusBoard(tmp_path, "r1", every_seconds=0)),
        listening(lambda *each: heard.append(each)),
        shown("raw_sessions", DAYS) as outer,
    ):
        with shown("scan_logs", None):
            progress_of("reading logs")(5, 10)
            status = read_status(tmp_path, now=NOW)
            assert status.running == ("raw_sessions", "scan_logs")
            assert (status.phases["scan_logs"].works[0].done, status.phases["raw_sessions"].works[0].done) == (5, 0)
        progress_of("raw_sessions")(7, 8)
        outer.counts = {"days_made": 3, "on": date(2026, 3, 1), "name \udcff": 1}
        outer.findings = ["maxmind: /srv/\udcff.mmdb"]
    assert heard == [("reading logs", 5, 10), ("raw_sessions", 7, 8)]
    done = read_status(tmp_path, now=NOW).phases["raw_sessions"].works[0]
    assert (done.state, done.days, done.run_id, done.done, done.total) == (WorkState.DONE, DAYS, "r1", 7, 8)
    assert done.counts == {"days_made": 3, "on": "2026-03-01", "name ?": 1}
    assert done.findings == ("maxmind: /srv/?.mmdb",)
    assert done.ended_at is not None
    assert done.process == this_process()
    # nothing of it is shown any more, and nothing is written
    with shown("raw_sessions", DAYS):
        note_progress(1, 2)
    assert read_status(tmp_path, now=NOW).phases["raw_sessions"].ended == {WorkState.DONE: 1}


def test_a_work_that_fails_says_what_kind_of_error_it_was_and_nothing_that_may_be_a_secret(tmp_path: Path) -> None:
    for error in (ValueError("hunter2"), OSError(28, "No space left on device"), KeyboardInterrupt()):
        with shown_on(StatusBoard(tmp_path)), pytest.raises(type(error)), shown("raw_sessions", DAYS):
            raise error
    phase = read_status(tmp_path, now=NOW).phases["raw_sessions"]
    assert [each.error for each in phase.works] == [
        "KeyboardInterrupt",
        "OSError: No space left on device",
        "ValueError",
    ]
    assert phase.ended == {WorkState.FAILED: 3}
    assert "hunter2" not in (tmp_path / AGGREGATE).read_text()


@pytest.mark.parametrize("place", ["file/in/the/way", "/dev/full/status", "/proc/status"])
def test_a_folder_that_cannot_be_written_is_told_once_and_fails_no_work(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.observability.status_files._told", set())
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with shown_on(StatusBoard(tmp_path / place, every_seconds=0)), shown("raw_sessions", DAYS) as each:
                note_progress(1, 2)
                each.counts = {"done": 1}
    (told,) = caplog.messages
    assert "the status files are not written, all else goes on" in told
    assert "COWRIE_STATUS_DIR" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device on which every writing fails")
def test_a_full_disk_leaves_the_files_as_they_were_and_what_was_not_written_comes_with_the_next_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.observability.status_files._told", {tmp_path})
    board = StatusBoard(tmp_path)
    with shown_on(board), shown("first", None):
        pass
    before = (tmp_path / "first.json").read_bytes()
    full = tmp_path / ".first.json.new"
    full.symlink_to("/dev/full")
    with shown_on(board), shown("first", None):
        pass
    # the link to the full device was taken for what a failed writing left
    assert not full.is_symlink()
    with shown_on(board), shown("second", None):
        pass
    assert json.loads(before)["ended"] == {"done": 1}
    status = read_status(tmp_path, now=NOW)
    assert status.phases["first"].ended == {WorkState.DONE: 2}
    assert status.phases["second"].ended == {WorkState.DONE: 1}


def test_progress_does_not_wait_for_another_that_writes_and_an_end_comes_later_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cowrie_pipeline.observability.status_files._LOCK_SECONDS", 0.01)
    monkeypatch.setattr("cowrie_pipeline.observability.status_files._told", {tmp_path})
    board = StatusBoard(tmp_path, every_seconds=0)
    with shown_on(board), shown("first", None) as each:
        with FileLock(tmp_path / ".lock"):
            note_progress(1, 2)
            with shown("inner", None):
                pass
        assert "inner" not in read_status(tmp_path, now=NOW).phases
        note_progress(2, 2)
        assert read_status(tmp_path, now=NOW).phases["inner"].state is WorkState.DONE
        each.counts = {"all": 2}
    assert read_status(tmp_path, now=NOW).phases["first"].works[0].counts == {"all": 2}


def test_a_file_that_is_none_of_ours_is_named_by_readers_and_replaced_by_the_next_work(tmp_path: Path) -> None:
    for content in (b"", b"{", b"[]", b'{"schema": 99, "phase": "raw_sessions"}', b"\xff\xfe"):
        (tmp_path / "raw_sessions.json").write_bytes(content)
        assert read_status(tmp_path, now=NOW).unreadable == ("raw_sessions.json",)
        with shown_on(StatusBoard(tmp_path)), shown("raw_sessions", DAYS):
            pass
        status = read_status(tmp_path, now=NOW)
        assert status.unreadable == ()
        assert status.phases["raw_sessions"].ended == {WorkState.DONE: 1}


def test_a_phase_file_stays_small_however_many_works_end(tmp_path: Path) -> None:
    board = StatusBoard(tmp_path)
    with shown_on(board), shown("raw_sessions", None):
        for n in range(60):
            days = Days(date(2026, 3, 1), date(2026, 3, 1 + n % 30))
            board.end(board.begin("raw_sessions", days), Shown(), error="ValueError" if n % 2 else None)
        phase = read_status(tmp_path, now=NOW).phases["raw_sessions"]
        assert phase.state is WorkState.RUNNING
        assert len(phase.works) < 30
        assert phase.ended == {WorkState.DONE: 30, WorkState.FAILED: 30}


def test_of_other_machines_and_of_what_no_process_is_called_nothing_is_said() -> None:
    assert is_gone(NOBODY)
    assert not is_gone(this_process())
    assert is_gone(this_process() + "1")
    for other in ("elsewhere:1:1", "", "x", "a:b:c"):
        assert not is_gone(other)


@pytest.mark.parametrize(
    ("works", "left"),
    [
        ([work(0, WorkState.FAILED)], 1),
        ([work(0, WorkState.KILLED)], 1),
        ([work(0, WorkState.FAILED), work(1, WorkState.DONE)], 0),
        ([work(0, WorkState.FAILED), work(1, WorkState.RUNNING)], 1),
        ([work(1, WorkState.FAILED), work(0, WorkState.DONE)], 1),
        ([work(0, WorkState.FAILED), work(1, WorkState.DONE, Days(date(2026, 3, 1), date(2026, 3, 2)))], 1),
        ([work(0, WorkState.FAILED), work(1, WorkState.DONE, Days(date(2026, 2, 1), date(2026, 4, 2)))], 0),
        ([work(0, WorkState.FAILED), work(1, WorkState.DONE, None)], 0),
        ([work(0, WorkState.FAILED, None), work(1, WorkState.DONE)], 1),
        ([work(0, WorkState.FAILED, None), work(1, WorkState.DONE, None)], 0),
    ],
)
def test_a_failure_is_over_when_a_later_work_did_all_its_days(works: list[Work], left: int) -> None:
    assert len(unresolved(works)) == left


OPERATIONS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["p", "q"]), st.sampled_from(["begin", "progress", "end"])),
    max_size=25,
)


@given(OPERATIONS)
def test_whatever_boards_do_in_whatever_order_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("status")
    boards = {name: StatusBoard(folder, name, every_seconds=0) for name in "ab"}
    opened: dict[str, list[tuple[str, str]]] = {"a": [], "b": []}
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    for name, phase, what in operations:
        if what == "begin":
            opened[name].append((phase, boards[name].begin(phase, None)))
            begun[phase] = begun.get(phase, 0) + 1
        elif what == "progress":
            boards[name].progress(1, 2)
        elif opened[name]:
            which, work_id = opened[name].pop()
            boards[name].end(work_id, Shown(), error=None)
            ended[which] = ended.get(which, 0) + 1
        list(whole_files(folder))
    status = read_status(folder, now=NOW)
    for phase, begins in begun.items():
        found = status.phases[phase]
        assert found.ended.get(WorkState.DONE, 0) == ended.get(phase, 0)
        running = [each for each in found.works if each.state is WorkState.RUNNING]
        assert len(running) == begins - ended.get(phase, 0)
