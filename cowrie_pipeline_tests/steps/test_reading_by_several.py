"""Log files read in spans by several workers: in the end the same lines are kept as if one had read them all."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.files import LogFile
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.scan_logs import FileSpan, ScanReport, plan_reading, scan_logs
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import NOW, closed, connect, facts, load, login

FIRST, LAST = "2026-03-01", "2026-03-05"


def write_logs(folder: Path) -> None:
    """Five files: each repeats the last event of the one before, and a line is split over the third and the fourth."""
    folder.mkdir()
    before: list[dict[str, Any]] = []
    half = b""
    for day in range(1, 6):
        of = {"session": f"{day:012x}", "src_ip": f"198.51.100.{day}"}
        events = [make(f"2026-03-{day:02} 10:00:0{n}", **of) for n, make in enumerate((connect, login, closed))]
        lines = half + b"".join(json.dumps(event).encode() + b"\n" for event in (*before, *events))
        half = b""
        if day == 3:
            lines, half = lines[:-40], lines[-40:]
        (folder / f"cowrie.json.2026-03-{day:02}").write_bytes(lines)
        before = events[-1:]


def read(warehouse: Warehouse, folder: Path, size: int | None, order: int) -> tuple[list[ScanReport], ScanReport]:
    """Read the folder in spans, in one order or the other, and say what is known of all of it in the end."""
    spans = plan_reading(warehouse, [str(folder)], size=size)[::order]
    reports = [
        scan_logs(warehouse, [str(folder)], settings=Settings(), now=NOW, files=files) for files in (*spans, spans[0])
    ]
    # one that is read again, as a step that is delivered twice, finds nothing new
    assert reports.pop().files_read == 0
    return reports, scan_logs(warehouse, [str(folder)], settings=Settings(), now=NOW)


def test_files_read_in_spans_in_any_order_give_the_same_facts(databases: Databases, tmp_path: Path) -> None:
    write_logs(tmp_path / "logs")
    found = []
    for size, order, expected in ((None, 1, 1), (1, 1, 5), (1, -1, 5), (700, 1, 3)):
        url = databases.fresh()
        warehouse = Warehouse(url)
        try:
            reports, whole = read(warehouse, tmp_path / "logs", size, order)
            assert len(reports) == expected
            assert sum(report.files_read for report in reports) == whole.files == 5
            assert (whole.files_read, whole.events, whole.duplicates, whole.dead_letters) == (0, 15, 4, 0)
            load(warehouse, FIRST, LAST)
            found.append(facts(warehouse))
        finally:
            warehouse.dispose()
            databases.drop(url)
    assert len(found[0]["session_summaries"]) == 5
    # which of two files has a line and which a duplicate of it depends on who comes first; nothing else does
    for each in found:
        each.pop("log_files", None)
    assert found[1:] == found[:1] * 3


@given(st.lists(st.text("ab/.-", min_size=1), max_size=8, unique=True), st.text("ab/.-", min_size=1))
def test_every_file_is_in_one_span_also_one_that_came_later(bounds: list[str], name: str) -> None:
    bounds.sort()
    spans = [FileSpan(*pair) for pair in zip([None, *bounds], [*bounds, None], strict=True)]
    file = LogFile(Path(name), 0, 0)
    assert sum(files.has(file) for files in spans) == 1
