"""Every line is accounted for, whatever files hold and however they come."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from cowrie_pipeline.cowrie.segments import lines_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.scan_logs import ScanReport, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import dead_letters, log_files, log_segments
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.cowrie.log_lines import COMPRESSIONS, event_line, log, numbered

NOW = datetime(2026, 3, 20, tzinfo=UTC)
MAX_LINE_BYTES = 5000

# Lines and what is in them, known beforehand: the count below shares nothing with the pipeline but this table.
EVENTS = [
    *numbered(12),
    event_line("made.up", username="x"),
    event_line(src_port="odd", colour="red"),
    event_line(username="\x00\ud800é"),
    event_line("cowrie.command.input", "2015-01-01T00:00:00+0200", input="a  b"),
]
BAD = [
    b"no json 01",
    b"no json 02",
    b"[1, 2]",
    b'{"timestamp": "2026-03-18T12:00:00Z"}',
    b'{"eventid": "no.timestamp"}',
    b'{"eventid": "bad.timestamp", "timestamp": "soon"}',
    b'{"eventid": "cut here',
    b"\xff\xfe",
    b"w" * (MAX_LINE_BYTES + 1),
]
BLANK = [b"", b" ", b"\r", b"\x00\x00\t", b"\x00" * (2 * MAX_LINE_BYTES)]

surroundings = st.sampled_from([(b"", b"")] * 4 + [(b"\x00" * 6000, b""), (b" ", b"\r"), (b"\t\x00", b"\x00 ")])
lines = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(EVENTS), surroundings),
    st.tuples(st.just("event"), st.sampled_from(EVENTS), surroundings),
    st.tuples(st.just("bad"), st.sampled_from(BAD), st.just((b"", b""))),
    st.tuples(st.just("blank"), st.sampled_from(BLANK), st.just((b"", b""))),
)


@dataclass(frozen=True)
class File:
    """A file to be: its lines, how it is compressed, whether it ends with a newline, and how it comes."""

    lines: Sequence[tuple[str, bytes, tuple[bytes, bytes]]]
    compression: str
    ends_with_newline: bool
    share_at_first: float
    comes_at: int

    @property
    def content(self) -> bytes:
        texts = [before + line + behind for _, line, (before, behind) in self.lines]
        content = log(texts)
        return content if self.ends_with_newline else content[:-1]

    def write(self, path: Path, share: float) -> None:
        content = self.content
        content = content[: int(len(content) * share)]
        path.write_bytes(COMPRESSIONS.get(self.compression, bytes)(content))


files = st.builds(
    File,
    lines=st.lists(lines, min_size=1, max_size=12),
    compression=st.sampled_from(["plain", "plain", *COMPRESSIONS]),
    ends_with_newline=st.booleans(),
    share_at_first=st.sampled_from([1.0, 1.0, 0.1, 0.5, 0.77, 0.95]),
    comes_at=st.integers(0, 2),
)


@contextmanager
def fresh(databases: Databases) -> Iterator[tuple[Warehouse, Path]]:
    url = databases.fresh()
    warehouse = Warehouse(url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield warehouse, Path(folder)
    finally:
        warehouse.dispose()
        databases.drop(url)


def scanned(warehouse: Warehouse, folder: Path) -> ScanReport:
    """Scan a folder, and see to what must hold after every scan."""
    given_settings = Settings(state_dir=folder / "var", offline=True, max_line_bytes=MAX_LINE_BYTES)
    report = scan_logs(warehouse, [str(folder)], settings=given_settings, now=NOW)
    with warehouse.read() as connection:
        rows = connection.execute(select(log_files)).all()
        letters = connection.execute(select(dead_letters)).all()
    accounts: list[Any] = [report, *rows]
    for each in accounts:
        assert each.lines == each.events + each.duplicates + each.dead_letters + each.blank_lines
        assert min(each.events, each.duplicates, each.dead_letters, each.blank_lines) >= 0
    assert report.lines == sum(row.lines for row in rows)
    assert sum(letter.lines for letter in letters) == sum(row.dead_letters for row in rows)
    return report


def kept_events(warehouse: Warehouse) -> list[bytes]:
    with warehouse.read() as connection:
        return sorted(line for row in connection.execute(select(log_segments)) for line in lines_of(row.lines))


slow = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(st.lists(files, min_size=1, max_size=5), st.lists(st.integers(0, 4), max_size=2))
@slow
def test_every_line_is_accounted_for(databases: Databases, given_files: list[File], copied: list[int]) -> None:
    given_files = [*given_files, *(given_files[index] for index in copied if index < len(given_files))]
    with fresh(databases) as (warehouse, folder):
        for now in range(3):
            for number, file in enumerate(given_files):
                if file.comes_at == now:
                    file.write(folder / f"{number}.json", file.share_at_first)
            scanned(warehouse, folder)
        for number, file in enumerate(given_files):
            file.write(folder / f"{number}.json", 1.0)
        report = scanned(warehouse, folder)
        again = scanned(warehouse, folder)
        events = kept_events(warehouse)

    every = [(kind, line) for file in given_files for kind, line, _ in file.lines]
    # the last line of a file that does not end with a newline is none if nothing is in it
    empty = sum(
        not file.ends_with_newline and file.lines[-1][1] == b"" and file.lines[-1][0] == "blank" for file in given_files
    )
    blank = sum(kind == "blank" for kind, _ in every) - empty
    distinct = {line for kind, line in every if kind == "event"}
    assert events == sorted(distinct)
    assert report.lines == len(every) - empty
    assert report.events == len(distinct)
    assert report.blank_lines == blank
    assert sum(report.days.values()) == sum(kind == "event" for kind, _ in every)
    only_bad = [
        str(number)
        for number, file in enumerate(given_files)
        if any(kind == "bad" for kind, _, _ in file.lines) and not any(kind == "event" for kind, _, _ in file.lines)
    ]
    assert {Path(path).stem for path in report.foreign_files} <= set(only_bad)
    if not only_bad:
        assert report.dead_letters == len({line for kind, line in every if kind == "bad"})
    assert (again.files_read, again.lines, again.events, again.dead_letters) == (
        0,
        report.lines,
        report.events,
        report.dead_letters,
    )


def day_of_events(number: int) -> list[bytes]:
    """Events soon after a midnight and soon before the next."""
    midnight = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number)
    return [
        event_line(time=midnight + timedelta(minutes=minutes), username=f"two words  {number} {minutes}")
        for minutes in (1, 2, 24 * 60 - 2, 24 * 60 - 1)
    ]


@given(st.data(), st.integers(2, 4))
@slow
def test_lines_split_at_midnight_are_whole_again_whichever_file_comes_first(
    databases: Databases, data: st.DataObject, days: int
) -> None:
    events = [event for number in range(days) for event in day_of_events(number)]
    content = log(events)
    # a cut within the last event of each day but the last
    cuts = [0]
    for number in range(days - 1):
        end = len(log(events[: 4 * number + 4]))
        cuts.append(data.draw(st.integers(end - len(events[4 * number + 3]) - 1, end)))
    cuts.append(len(content))
    pieces = [content[start:end] for start, end in pairwise(cuts)]
    order = data.draw(st.permutations(range(days)))
    scans = data.draw(st.sets(st.sampled_from(range(days))))
    with fresh(databases) as (warehouse, folder):
        for at, number in enumerate(order):
            (folder / f"cowrie.json.{number}").write_bytes(pieces[number])
            if at in scans:
                scanned(warehouse, folder)
        report = scanned(warehouse, folder)
        assert kept_events(warehouse) == sorted(events)
    # a cut behind an event and before its newline leaves the newline as a line of the next file
    blank = sum(piece.startswith(b"\n") for piece in pieces[1:])
    assert (report.events, report.duplicates, report.dead_letters) == (len(events), 0, 0)
    assert (report.lines, report.blank_lines) == (len(events) + blank, blank)
