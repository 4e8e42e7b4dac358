"""Every line of every file is accounted for, once, whatever happened to the files."""

import gzip
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import select

from cowrie_pipeline.cowrie.files import open_content
from cowrie_pipeline.cowrie.segments import lines_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import scan_logs as scan_logs_module
from cowrie_pipeline.steps.scan_logs import ScanReport, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import dead_letters, log_files, log_segments
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.cowrie.log_lines import COMPRESSIONS, event_line, log, numbered

NOW = datetime(2026, 3, 20, tzinfo=UTC)
EVENING = datetime(2026, 3, 18, 23, 59, 0, tzinfo=UTC)
MORNING = datetime(2026, 3, 19, 0, 1, 0, tzinfo=UTC)
COUNTS = ("lines", "events", "duplicates", "dead_letters", "blank_lines")


class Scanner:
    """Scans a folder into a database, and sees to what must hold after every scan."""

    def __init__(self, warehouse: Warehouse, settings: Settings, folder: Path) -> None:
        self.warehouse = warehouse
        self.settings = settings
        self.folder = folder

    def __call__(self, *names: str, now: datetime = NOW) -> ScanReport:
        paths = [str(self.folder / name) for name in names] or [str(self.folder)]
        report = scan_logs(self.warehouse, paths, settings=self.settings, now=now)
        for each in (report, *self.rows(log_files)):
            assert each.lines == each.events + each.duplicates + each.dead_letters + each.blank_lines
        assert sum(report.days.values()) <= report.events + report.duplicates
        assert sum(report.dead_letters_by_reason.values()) == report.dead_letters
        events = self.events()
        assert len(events) == len(set(events)) == sum(row.events for row in self.rows(log_files))
        assert sum(row.lines for row in self.letters()) == sum(row.dead_letters for row in self.rows(log_files))
        return report

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def append(self, name: str, content: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(content)

    def rows(self, table: Any) -> list[Any]:
        with self.warehouse.read() as connection:
            return list(connection.execute(select(table)))

    def letters(self) -> list[Any]:
        with self.warehouse.read() as connection:
            return list(connection.execute(select(dead_letters).order_by(dead_letters.c.byte_offset)))

    def events(self) -> list[bytes]:
        return sorted(line for row in self.rows(log_segments) for line in lines_of(row.lines))


@pytest.fixture
def scan(warehouse: Warehouse, settings: Settings, tmp_path: Path) -> Scanner:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Scanner(warehouse, replace(settings, max_line_bytes=100_000), folder)


def counts(report: ScanReport) -> tuple[int, ...]:
    """Lines, events, duplicates, dead letters, blank lines."""
    return tuple(getattr(report, name) for name in COUNTS)


# --- every kind of line ----------------------------------------------------------------------------


def test_every_kind_of_line_is_accounted_for(scan: Scanner) -> None:
    first, second, third = numbered(3)
    content = [
        first,
        b"",
        b"  \t\r",
        b"\x00\x00",
        b'{"eventid": "x"',
        first,
        second + b"\r",
        b"\x00" * 5000 + third + b" ",
        b"no json",
        b"no json",
        event_line("made.up", username="x", colour="red"),
        event_line(colour="red"),
        b"y" * 100_001,
        event_line(username="\ud800\x00"),
    ]
    path = scan.write("cowrie.json", log(content))
    report = scan()
    assert counts(report) == (14, 6, 2, 3, 3)
    assert report.dead_letters_by_reason == {"cut": 1, "not_json": 1, "too_long": 1}
    assert report.unknown_events == {"made.up": 1}
    assert report.unknown_fields == {"colour": 1}
    assert report.days == {date(2026, 3, 18): 7}
    assert (report.files, report.files_read, report.lines_read, report.events_read) == (1, 1, 14, 6)
    assert not report.lost_something
    assert not report.foreign_files
    cut, no_json, too_long = scan.letters()
    offsets = [sum(len(line) + 1 for line in content[:index]) for index in range(len(content))]
    assert (cut.line_number, cut.byte_offset, cut.reason, cut.sample) == (5, offsets[4], "cut", '{"eventid": "x"')
    assert (no_json.line_number, no_json.byte_offset, no_json.reason) == (9, offsets[8], "not_json")
    assert (too_long.line_number, too_long.byte_offset, too_long.reason) == (13, offsets[12], "too_long")
    assert too_long.sample == "y" * 500 + "..."
    assert "100,001 bytes" in too_long.detail
    assert {row.path for row in scan.letters()} == {str(path)}
    assert {row.seen_at for row in scan.letters()} == {NOW}


def test_the_ledger_knows_when_a_file_begins_and_ends(scan: Scanner) -> None:
    scan.write("cowrie.json", log(reversed(numbered(10))))
    scan()
    (row,) = scan.rows(log_files)
    assert row.first_event_at == datetime(2026, 3, 18, 12, 0, 0, 123456, UTC)
    assert row.last_event_at == datetime(2026, 3, 18, 12, 0, 9, 123456, UTC)
    assert row.days == {"2026-03-18": 10}
    assert row.read_at == NOW


def test_lines_are_kept_as_they_were(scan: Scanner) -> None:
    lines = [event_line(username="\x00é"), b'{ "timestamp": "2026-03-18T12:00:00Z", "eventid":"\xff" }']
    scan.write("cowrie.json", b"\x00\x00" + b"  \r\n".join(lines))
    assert counts(scan()) == (2, 2, 0, 0, 0)
    assert scan.events() == sorted(lines)


@pytest.mark.parametrize("content", [b"", b"\n", b"\x00" * 100_000])
def test_a_file_without_anything_in_it_is_nothing_to_speak_of(content: bytes, scan: Scanner) -> None:
    scan.write("cowrie.json", content)
    scan.write("cowrie.json.1.gz", b"")
    report = scan()
    assert counts(report) == (bool(content), 0, 0, 0, bool(content))
    assert not report.foreign_files
    assert not report.lost_something


def test_nothing_at_all_is_an_empty_report(scan: Scanner) -> None:
    assert scan() == ScanReport()


def test_a_byte_order_mark_is_no_part_of_the_first_line(scan: Scanner) -> None:
    scan.write("a.json", b"\xef\xbb\xbf" + log(numbered(2)))
    scan.write("b.json", log(numbered(2)))
    assert counts(scan()) == (4, 2, 2, 0, 0)


def test_days_long_ago_and_to_come_are_kept_and_counted(scan: Scanner) -> None:
    times = ["0001-01-01T00:00:00.000000Z", "2015-12-31T23:59:59Z", "2026-03-18T00:00:00Z", "9999-12-31T23:59:59Z"]
    scan.write("cowrie.json", log(event_line(time=time) for time in times))
    report = scan()
    assert list(report.days) == [date(1, 1, 1), date(2015, 12, 31), date(2026, 3, 18), date(9999, 12, 31)]
    assert report.events == 4


def test_extreme_times_beside_a_cut_line_do_no_harm(scan: Scanner) -> None:
    scan.write("a", log([event_line(time="0001-01-01T00:00:00Z")]) + b'{"eventid":"x","timestamp":"2026-03-')
    scan.write("b", b'18T00:00:00Z"}\n' + log([event_line(time="9999-12-31T23:59:59Z")]))
    assert counts(scan()) == (4, 2, 0, 2, 0)


def test_a_day_is_that_of_utc(scan: Scanner) -> None:
    scan.write("cowrie.json.2026-03-19", log([event_line(time="2026-03-19T01:30:00.000000+0200")]))
    assert scan().days == {date(2026, 3, 18): 1}


def test_names_that_cannot_be_stored_do_no_harm(scan: Scanner) -> None:
    unstorable: dict[str, Any] = {"c\x00\ud800": 1}
    scan.write("cowrie.json", log([event_line("a\x00\ud800", **unstorable), event_line(**unstorable)]))
    (scan.folder / "cowrie.json").rename(scan.folder / os.fsdecode(b"cowrie\xff.json"))
    report = scan()
    assert report.events == 2
    assert report.unknown_events == {"a\u241b0000\u241bd800": 1}
    assert report.unknown_fields == {"c\u241b0000\u241bd800": 1}
    assert scan().files_read == 0
    (scan.folder / os.fsdecode(b"cowrie\xff.json")).rename(scan.folder / os.fsdecode(b"cowrie\xfe.json"))
    assert counts(scan()) == (2, 2, 0, 0, 0)


def test_progress_goes_up_to_all_bytes(scan: Scanner) -> None:
    size = sum(scan.write(name, log(numbered(9))).stat().st_size for name in ("a", "b"))
    seen: list[tuple[int, int]] = []
    scan_logs(
        scan.warehouse,
        [str(scan.folder)],
        settings=scan.settings,
        now=NOW,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(size // 2, size), (size, size)]


# --- the same line again ---------------------------------------------------------------------------


def test_a_copy_counts_once(scan: Scanner) -> None:
    path = scan.write("cowrie.json", log([*numbered(5), b"bad", b""]))
    assert counts(scan()) == (7, 5, 0, 1, 1)
    shutil.copy(path, scan.folder / "copy.json")
    assert counts(scan()) == (14, 5, 6, 1, 2)
    assert counts(scan("copy.json")) == (7, 0, 6, 0, 1)


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_recompressed_copy_counts_once(scan: Scanner, compress: Any) -> None:
    scan.write("cowrie.json", log(numbered(500)))
    scan.write("cowrie.json.1.gz", compress(log(numbered(500))))
    assert counts(scan()) == (1000, 500, 500, 0, 0)


def test_overlapping_files_count_once(scan: Scanner) -> None:
    lines = numbered(300)
    scan.write("a", log(lines[:200]))
    scan.write("b", log(lines[100:]))
    scan.write("c", log(lines[50:250:3]))
    assert counts(scan()) == (200 + 200 + 67, 300, 167, 0, 0)


def test_a_file_that_did_not_change_is_not_read_again(scan: Scanner) -> None:
    scan.write("cowrie.json", log([*numbered(5), b"bad"]))
    scan.write("cowrie.json.1.gz", gzip.compress(log(numbered(5, first=5))))
    first = scan()
    assert (first.files, first.files_read, first.files_unchanged) == (2, 2, 0)
    again = scan()
    assert (again.files, again.files_read, again.files_unchanged) == (2, 0, 2)
    assert (again.lines_read, again.events_read) == (0, 0)
    assert counts(again) == counts(first)
    assert again.days == first.days
    assert again.dead_letters_by_reason == first.dead_letters_by_reason


def test_a_file_that_was_touched_has_nothing_new(scan: Scanner) -> None:
    path = scan.write("cowrie.json", log(numbered(5)) + b'{"cut')
    first = scan()
    os.utime(path, (1, 1))
    again = scan()
    assert again.lines_read == 0
    assert counts(again) == counts(first)


@pytest.mark.parametrize("compress", [bytes, *COMPRESSIONS.values()], ids=["plain", *COMPRESSIONS])
def test_of_a_file_that_grew_only_what_is_new_is_read(scan: Scanner, compress: Any) -> None:
    lines = numbered(400)
    scan.write("cowrie.json", compress(log(lines[:300])))
    assert scan().lines_read == 300
    scan.write("cowrie.json", compress(log([*lines, b"bad"])))
    report = scan()
    assert (report.lines_read, report.events_read) == (101, 100)
    assert counts(report) == (401, 400, 0, 1, 0)
    (letter,) = scan.letters()
    assert (letter.line_number, letter.byte_offset) == (401, len(log(lines)))


def test_a_renamed_file_is_the_same_file(scan: Scanner) -> None:
    path = scan.write("cowrie.json", log(numbered(50)))
    scan()
    path.rename(scan.folder / "cowrie.json.2026-03-18")
    report = scan()
    assert (report.lines_read, report.files) == (0, 1)
    assert counts(report) == (50, 50, 0, 0, 0)
    (row,) = scan.rows(log_files)
    assert row.path.endswith("cowrie.json.2026-03-18")


def test_a_renamed_and_compressed_file_is_the_same_file(scan: Scanner) -> None:
    path = scan.write("cowrie.json", log(numbered(50)))
    scan()
    path.unlink()
    scan.write("cowrie.json.1.gz", gzip.compress(log(numbered(50))))
    report = scan()
    assert report.lines_read == 0
    assert counts(report) == (50, 50, 0, 0, 0)


def test_a_renamed_file_that_grew_is_the_same_file(scan: Scanner) -> None:
    path = scan.write("cowrie.json", log(numbered(3)))
    scan()
    path.rename(scan.folder / "cowrie.json.1")
    scan.append("cowrie.json.1", log(numbered(2, first=3)))
    report = scan()
    assert report.lines_read == 2
    assert counts(report) == (5, 5, 0, 0, 0)


def test_rotation_costs_only_what_is_new(scan: Scanner) -> None:
    lines = numbered(600)
    scan.write("cowrie.json", log(lines[:100]))
    scan()
    for age in (1, 2, 3):
        # what was written since the last scan, then rotation, then a new file
        scan.append("cowrie.json", log(lines[age * 150 - 50 : age * 150]))
        for older in range(age - 1, 0, -1):
            (scan.folder / f"cowrie.json.{older}").rename(scan.folder / f"cowrie.json.{older + 1}")
        (scan.folder / "cowrie.json").rename(scan.folder / "cowrie.json.1")
        scan.write("cowrie.json", log(lines[age * 150 : age * 150 + 100]))
        report = scan()
        assert report.lines_read == 150
        assert counts(report) == (age * 150 + 100, age * 150 + 100, 0, 0, 0)


def test_a_file_replaced_by_another_is_read_from_its_beginning(scan: Scanner) -> None:
    scan.write("cowrie.json", log(numbered(50)))
    scan()
    scan.write("cowrie.json", log(numbered(70, first=100)))
    report = scan()
    assert report.lines_read == 70
    assert counts(report) == (70, 70, 0, 0, 0)
    assert len(scan.events()) == 120


def test_a_file_that_shrank_or_changed_behind_its_beginning_is_read_again(scan: Scanner) -> None:
    lines = numbered(200)
    scan.write("cowrie.json", log(lines))
    scan()
    scan.write("cowrie.json", log(lines[:150]))
    assert counts(scan()) == (150, 0, 150, 0, 0)
    other = numbered(60, first=500)
    scan.write("cowrie.json", log(lines[:150] + other))
    scan()
    scan.write("cowrie.json", log(lines[:100] + other + lines[100:199]))
    report = scan()
    assert counts(report) == (259, 0, 259, 0, 0)
    assert len(scan.events()) == 260


def test_a_file_truncated_after_copying_leaves_a_hole_that_costs_nothing(scan: Scanner) -> None:
    lines = numbered(120)
    scan.write("cowrie.json", log(lines[:100]))
    scan()
    size = (scan.folder / "cowrie.json").stat().st_size
    shutil.copy(scan.folder / "cowrie.json", scan.folder / "cowrie.json.1")
    # the writer keeps its offset, so that what it writes stands behind a hole
    scan.write("cowrie.json", b"\x00" * size + log(lines[100:110]))
    report = scan()
    assert counts(report) == (110, 110, 0, 0, 0)
    scan.append("cowrie.json", log(lines[110:]))
    report = scan()
    assert report.lines_read == 10
    assert counts(report) == (120, 120, 0, 0, 0)
    scan.append("cowrie.json", b"bad\n")
    scan()
    (letter,) = scan.letters()
    assert (letter.line_number, letter.byte_offset) == (21, size + len(log(lines[100:])))


# --- last lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [b"\n", b"\r\n", b"  \x00\n"])
def test_an_event_whose_newline_comes_later_is_one_line(scan: Scanner, rest: bytes) -> None:
    scan.write("cowrie.json", log(numbered(3))[:-1])
    assert counts(scan()) == (3, 3, 0, 0, 0)
    scan.append("cowrie.json", rest + b"bad\n")
    assert counts(scan()) == (4, 3, 0, 1, 0)
    (letter,) = scan.letters()
    assert (letter.line_number, letter.byte_offset) == (4, len(log(numbered(3))) - 1 + len(rest))


def test_lines_keep_their_numbers_behind_a_newline_that_came_alone(scan: Scanner) -> None:
    scan.write("cowrie.json", log(numbered(3))[:-1])
    scan()
    scan.append("cowrie.json", b'\n{"cut')
    assert counts(scan()) == (4, 3, 0, 1, 0)
    assert [row.line_number for row in scan.letters()] == [4]


def test_a_last_line_cut_in_the_middle_is_an_event_when_the_rest_has_come(scan: Scanner) -> None:
    lines = numbered(4)
    content = log(lines)
    for cut in (len(log(lines[:3])) + 1, len(content) - 2):
        name = f"cut-at-{cut}"
        scan.write(name, content[:cut])
        report = scan(name)
        assert report.dead_letters == 1
        assert report.dead_letters_by_reason == {"cut": 1}
        scan.append(name, content[cut:])
        report = scan(name)
        assert report.lines == 4
        assert report.dead_letters == 0
        assert report.dead_letters_by_reason == {}
        assert scan.letters() == []
    assert scan.events() == sorted(lines)


def test_a_line_that_comes_in_small_pieces_is_the_line(scan: Scanner) -> None:
    line = event_line(username="a  b\x00 ", password=" ")
    old_separators = json.dumps(json.loads(line)).encode()
    content = b"\x00\x00 " + log([line]) + b"\n" + log([old_separators])
    scan.write("cowrie.json", b"")
    for start in range(0, len(content), 9):
        # one byte first, where lines begin and end
        for piece in (content[start : start + 1], content[start + 1 : start + 9]):
            scan.append("cowrie.json", piece)
            report = scan()
    assert counts(report) == (3, 2, 0, 0, 1)
    assert scan.events() == sorted([line, old_separators])
    assert scan.letters() == []


def test_a_blank_at_the_end_of_the_first_half_is_part_of_the_line(scan: Scanner) -> None:
    line = event_line(username="two words", time=EVENING)
    cut = line.index(b" ") + 1
    scan.write("grows", log(numbered(1)) + line[:cut])
    scan.write("ends", log(numbered(2)) + line[:cut])
    scan()
    scan.append("grows", line[cut:])
    scan.write("begins", line[cut:] + b"\n" + log(numbered(3, start=MORNING)))
    scan()
    assert line in scan.events()
    assert not [each for each in scan.events() if b"twowords" in each]


# --- lines split by rotation -----------------------------------------------------------------------


SPLIT = event_line("cowrie.command.input", EVENING + timedelta(seconds=59), input="echo  one;  echo two")
BEFORE = numbered(5, start=EVENING)
BEHIND = numbered(5, first=100, start=MORNING)


def halves(cut: int) -> tuple[bytes, bytes]:
    return log(BEFORE) + SPLIT[:cut], SPLIT[cut:] + b"\n" + log(BEHIND)


@pytest.mark.parametrize("cut", [1, 40, SPLIT.index(b"  ") + 1, len(SPLIT) - 1])
@pytest.mark.parametrize("arrival", ["together", "in order", "in reverse"])
def test_a_line_split_over_two_files_is_one_event(scan: Scanner, cut: int, arrival: str) -> None:
    old, new = halves(cut)
    if arrival == "in order":
        scan.write("cowrie.json.2026-03-18", old)
        assert scan().dead_letters == 1
    scan.write("cowrie.json", new)
    if arrival == "in reverse":
        assert scan().dead_letters == 1
    scan.write("cowrie.json.2026-03-18", old)
    report = scan()
    assert counts(report) == (11, 11, 0, 0, 0)
    assert report.days == {date(2026, 3, 18): 6, date(2026, 3, 19): 5}
    assert scan.events() == sorted([*BEFORE, SPLIT, *BEHIND])
    assert scan.letters() == []
    assert report.dead_letters_by_reason == {}


def test_a_new_file_that_is_only_half_a_line_yet_is_joined(scan: Scanner) -> None:
    old, new = halves(40)
    rest = SPLIT[40:] + b"\n"
    scan.write("cowrie.json", rest)
    report = scan()
    assert report.foreign_files == ()
    assert report.dead_letters == 1
    scan.write("cowrie.json.2026-03-18", old)
    assert counts(scan()) == (6, 6, 0, 0, 0)
    scan.append("cowrie.json", new.removeprefix(rest) + b"bad\n")
    assert counts(scan()) == (12, 11, 0, 1, 0)
    (letter,) = scan.letters()
    assert (letter.line_number, letter.byte_offset) == (7, len(new))


@pytest.mark.parametrize("order", list(permutations(["old", "new", "old copy", "new copy"], 4))[::7])
@pytest.mark.parametrize("together", [1, 4])
def test_copies_of_split_files_change_nothing(scan: Scanner, order: tuple[str, ...], together: int) -> None:
    old, new = halves(40)
    for start in range(0, 4, together):
        for name in order[start : start + together]:
            scan.write(name, old if name.startswith("old") else new)
        report = scan()
    assert counts(report) == (22, 11, 11, 0, 0)
    assert scan.events() == sorted([*BEFORE, SPLIT, *BEHIND])
    assert scan.letters() == []


def test_a_whole_copy_of_a_split_line_is_a_duplicate_in_either_order(scan: Scanner) -> None:
    old, new = halves(40)
    scan.write("whole", log([SPLIT]))
    scan()
    scan.write("old", old)
    scan.write("new", new)
    assert counts(scan()) == (12, 11, 1, 0, 0)


def test_of_pieces_that_fit_the_nearest_are_joined(scan: Scanner) -> None:
    # one log cut in three pieces, each within a text
    middle = numbered(5, first=50, start=EVENING + timedelta(minutes=2))
    second = event_line("cowrie.command.input", EVENING + timedelta(minutes=3), input="echo three; echo four")
    last = numbered(5, first=80, start=EVENING + timedelta(minutes=4))
    content = log([*BEFORE, SPLIT, *middle, second, *last])
    first_cut, second_cut = content.index(b"one;"), content.index(b"three;")
    scan.write("xaa", content[:first_cut])
    scan.write("xab", content[first_cut:second_cut])
    scan.write("xac", content[second_cut:])
    assert counts(scan()) == (17, 17, 0, 0, 0)
    assert scan.events() == sorted([*BEFORE, SPLIT, *middle, second, *last])


@pytest.mark.parametrize("days", [1, 400])
def test_halves_of_different_midnights_are_not_joined(scan: Scanner, days: int) -> None:
    old, _ = halves(40)
    scan.write("old", old)
    scan.write("new", SPLIT[40:] + b"\n" + log(numbered(5, start=MORNING + timedelta(days=days))))
    assert counts(scan()) == (12, 10, 0, 2, 0)


def test_a_renamed_file_keeps_its_joined_line(scan: Scanner) -> None:
    old, new = halves(40)
    scan.write("cowrie.json", old)
    scan()
    (scan.folder / "cowrie.json").rename(scan.folder / "cowrie.json.1")
    scan.write("cowrie.json", new)
    assert counts(scan()) == (11, 11, 0, 0, 0)
    (scan.folder / "cowrie.json.1").rename(scan.folder / "cowrie.json.2")
    (scan.folder / "cowrie.json").rename(scan.folder / "cowrie.json.1")
    report = scan()
    assert report.lines_read == 0
    assert counts(report) == (11, 11, 0, 0, 0)


# --- damage and hostility --------------------------------------------------------------------------


def test_a_truncated_file_gives_what_it_has_and_the_rest_when_it_is_whole(scan: Scanner) -> None:
    content = log(numbered(2000))
    packed = gzip.compress(content)
    path = scan.write("cowrie.json.1.gz", packed[: len(packed) // 2])
    report = scan()
    assert 500 < report.events < 1500
    assert list(report.damaged_files) == [str(path)]
    assert "cut off" in report.damaged_files[str(path)]
    assert not report.foreign_files
    scan.write("cowrie.json.1.gz", packed)
    report = scan()
    assert counts(report) == (2000, 2000, 0, 0, 0)
    assert report.damaged_files == {}


def test_a_file_with_a_wrong_checksum_gives_everything_and_is_reported(scan: Scanner) -> None:
    packed = gzip.compress(log(numbered(20)))
    path = scan.write("cowrie.json.1.gz", packed[:-6] + b"\x00\x00" + packed[-4:])
    report = scan()
    assert counts(report) == (20, 20, 0, 0, 0)
    assert "damaged" in report.damaged_files[str(path)]


FOREIGN = [f"2026-03-18T12:00:{n:05d} [SSHService] connection lost".encode() for n in range(10_000)]


def test_a_file_that_is_no_cowrie_log_is_one_finding(scan: Scanner) -> None:
    path = scan.write("cowrie.log", log(FOREIGN))
    scan.write("cowrie.json", log(numbered(5)))
    report = scan()
    assert report.foreign_files == (str(path),)
    assert counts(report) == (10_005, 5, 0, 10_000, 0)
    assert report.dead_letters_by_reason == {"not_a_cowrie_log": 10_000}
    (letter,) = scan.letters()
    assert (letter.lines, letter.line_number, letter.byte_offset) == (10_000, 1, 0)
    assert "10,000 lines" in letter.detail
    assert letter.sample.startswith("2026-03-18T12:00:00000 [SSH")


def test_a_foreign_file_that_grows_stays_one_finding(scan: Scanner) -> None:
    path = scan.write("cowrie.log", log(FOREIGN[:10]))
    for count in (10, 20, 5000):
        scan.write("cowrie.log", log(FOREIGN[:count]))
        report = scan()
        assert report.foreign_files == (str(path),)
        assert counts(report) == (count, 0, 0, count, 0)
        assert len(scan.letters()) == 1


def test_a_foreign_file_that_becomes_a_log_has_all_its_dead_letters(scan: Scanner) -> None:
    scan.write("cowrie.json", log(FOREIGN[:1100]))
    assert len(scan().foreign_files) == 1
    scan.append("cowrie.json", log(numbered(3)))
    report = scan()
    assert report.foreign_files == ()
    assert counts(report) == (1103, 3, 0, 1100, 0)
    assert len(scan.letters()) == 1100


@pytest.mark.parametrize("behind", [0, 1, 1100])
def test_a_file_with_an_event_behind_many_bad_lines_is_a_log(scan: Scanner, behind: int) -> None:
    lines = [*FOREIGN[:1100], *numbered(1), *FOREIGN[1100 : 1100 + behind]]
    scan.write("cowrie.json", log(lines))
    report = scan()
    assert report.foreign_files == ()
    assert counts(report) == (1101 + behind, 1, 0, 1100 + behind, 0)
    letters = scan.letters()
    assert len(letters) == 1100 + behind
    assert [row.line_number for row in letters] == [n for n, line in enumerate(lines, 1) if line in set(FOREIGN)]
    assert {row.reason for row in letters} == {"not_json"}


def test_a_copy_of_a_foreign_file_is_a_duplicate(scan: Scanner) -> None:
    scan.write("a.log", log(FOREIGN[:100]))
    scan.write("b.log", log(FOREIGN[:100]))
    report = scan()
    assert len(report.foreign_files) == 2
    assert counts(report) == (200, 0, 100, 100, 0)


def test_the_same_bad_line_is_a_dead_letter_once(scan: Scanner) -> None:
    scan.write("a", log([*numbered(1), b"bad", b"bad", b"worse"]))
    scan.write("b", log([*numbered(1), b" bad\r", b"\x00worse"]))
    report = scan()
    assert counts(report) == (7, 1, 4, 2, 0)
    assert {(row.sample, Path(row.path).name) for row in scan.letters()} == {("bad", "a"), ("worse", "a")}


def test_lines_behind_an_overlong_line_are_read(scan: Scanner) -> None:
    for name, newline in (("a", b"\n"), ("b", b"")):
        scan.write(name, log([b"z" * 300_000, *numbered(3), b"bad"])[:-1] + newline)
    report = scan()
    assert counts(report) == (10, 3, 5, 2, 0)
    assert [(row.reason, row.line_number, row.byte_offset) for row in scan.letters()] == [
        ("too_long", 1, 0),
        ("not_json", 5, len(log([b"z" * 300_000, *numbered(3)]))),
    ]


def test_a_path_that_gives_nothing_is_a_problem_and_the_rest_is_read(scan: Scanner) -> None:
    scan.write("cowrie.json", log(numbered(2)))
    (scan.folder / "dangling").symlink_to("nowhere")
    report = scan("cowrie.json", "missing.json", "dangling")
    assert counts(report) == (2, 2, 0, 0, 0)
    assert {Path(problem.path).name: problem.is_missing for problem in report.problems} == {
        "missing.json": True,
        "dangling": False,
    }
    assert report.lost_something


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read")
def test_a_file_that_cannot_be_read_is_a_problem_and_the_rest_is_read(scan: Scanner) -> None:
    scan.write("cowrie.json", log(numbered(2)))
    report = scan("/proc/self/mem", "cowrie.json")
    assert counts(report) == (2, 2, 0, 0, 0)
    (problem,) = report.problems
    assert (problem.path, problem.reason, problem.is_missing) == ("/proc/self/mem", "Input/output error", False)


class _Failing:
    """A reader of a disk that fails half way; no disk here does so when asked."""

    def __init__(self, reader: Any, readable: int) -> None:
        self._reader = reader
        self._left = readable
        self.damage = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()

    def read(self, size: int, /) -> bytes:
        if self._left <= 0:
            raise OSError(5, "Input/output error")
        data: bytes = self._reader.read(min(size, self._left))
        self._left -= len(data)
        return data


def test_what_a_failing_file_gave_is_undone_and_read_from_elsewhere(
    scan: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = log(numbered(30))
    scan.write("a-fails.json", content)
    scan.write("b-copy.json", content)
    opened = open_content

    def open_or_fail(path: Path) -> Any:
        return _Failing(opened(path), len(content) // 2) if "fails" in path.name else opened(path)

    monkeypatch.setattr(scan_logs_module, "open_content", open_or_fail)
    monkeypatch.setattr(scan_logs_module, "_BUFFERED_EVENTS", 1)
    report = scan()
    assert [Path(problem.path).name for problem in report.problems] == ["a-fails.json"]
    assert counts(report) == (30, 30, 0, 0, 0)
    assert len(scan.events()) == 30


def test_two_scans_at_once_count_each_line_once(scan: Scanner) -> None:
    for name in ("a", "b", "c"):
        scan.write(name, log(numbered(20)))
    others: list[ScanReport] = []

    def scan_meanwhile(done: int, total: int) -> None:
        # between two files of one scan another reads everything else
        if not others:
            others.append(scan_logs(scan.warehouse, [str(scan.folder / "b")], settings=scan.settings, now=NOW))
            scan.write("d", log(numbered(20, first=100)))
            others.append(scan_logs(scan.warehouse, [str(scan.folder / "d")], settings=scan.settings, now=NOW))

    scan.write("c", log(numbered(40, first=90)))
    scan_logs(scan.warehouse, [str(scan.folder)], settings=scan.settings, now=NOW, on_progress=scan_meanwhile)
    assert len(others) == 2
    report = scan()
    assert report.files_read == 0
    assert counts(report) == (100, 60, 40, 0, 0)


def test_many_events_are_written_in_parts(scan: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_logs_module, "_BUFFERED_EVENTS", 10)
    lines = [event_line(username=f"user{n}" * 20, password="x") for n in range(20_000)]
    scan.write("cowrie.json", log([*lines, *lines[:100]]))
    assert counts(scan()) == (20_100, 20_000, 100, 0, 0)
    assert len(scan.rows(log_segments)) > 3


# --- real logs -------------------------------------------------------------------------------------

EXPECTED: dict[str, Any] = json.loads((SHARED_DATA / "expected.json").read_text()) if SHARED_DATA.is_dir() else {}


def kinds_of(lines: Iterable[bytes]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for line in lines:
        event_id = json.loads(line)["eventid"]
        kinds[event_id] = kinds.get(event_id, 0) + 1
    return dict(sorted(kinds.items()))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", EXPECTED)
def test_real_logs_are_accounted_for_line_by_line(name: str, scan: Scanner) -> None:
    expected = EXPECTED[name]
    scan.folder = SHARED_DATA / "logs" / name
    scan.settings = replace(scan.settings, max_line_bytes=8 * 1024 * 1024)
    report = scan()
    assert counts(report) == tuple(expected[each] for each in ("lines", "events", "duplicates", "bad", "blank"))
    assert len(report.days) == expected["days"]
    assert kinds_of(scan.events()) == expected["kinds"]
    assert len(report.foreign_files) == (1 if name == "mixed-formats-2022-2024" else 0)
    assert not report.damaged_files
    assert not report.problems
    again = scan()
    assert (again.files_read, counts(again)) == (0, counts(report))


@pytest.mark.shared_data
def test_real_logs_that_overlap_add_up_in_one_database(scan: Scanner) -> None:
    for names in (["overlapping-2018"], ["overlapping-2018", "overlapping-2018-snapshots"]):
        report = scan_logs(
            scan.warehouse,
            [str(SHARED_DATA / "logs" / name) for name in names],
            settings=scan.settings,
            now=NOW,
        )
    assert counts(report) == (18_653, 14_783, 3_870, 0, 0)
