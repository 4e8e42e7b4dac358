"""Days made in other ways because there is much of them: by processes beside this one, or a part at a time."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cowrie_pipeline.cowrie import lines
from cowrie_pipeline.cowrie.folded_days import Piece, fold_pieces
from cowrie_pipeline.cowrie.segments import packed_lines
from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, write_logs
from cowrie_pipeline.cowrie.workers import Workers
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import raw_sessions, scan_logs
from cowrie_pipeline.steps.days import DAYS_TOGETHER, DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import loaded_days, log_segments
from cowrie_pipeline_tests.conftest import Databases
from cowrie_pipeline_tests.steps.made_days import connect, facts, scan, write_log

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PLAN = SyntheticPlan(seed=5, first_day=date(2026, 11, 1), days=3, sessions_per_day=150, addresses=60)
DAYS = DayRange(date(2026, 11, 1), date(2026, 11, 3))


def facts_of_a_load(databases: Databases, folder: Path, settings: Settings) -> dict[str, list[Mapping[str, Any]]]:
    warehouse = Warehouse(databases.fresh())
    scan_logs.scan_logs(warehouse, [str(folder)], settings=settings, now=NOW)
    raw_sessions.load_days(warehouse, DAYS, now=NOW)
    found = facts(warehouse)
    with warehouse.read() as connection:
        segments = connection.execute(select(func.count()).select_from(log_segments)).scalar_one()
    assert segments > len(DAYS)
    warehouse.dispose()
    return found


def test_days_folded_by_other_processes_and_days_written_in_parts_are_the_same_days(
    databases: Databases, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_logs(PLAN, tmp_path)
    # several segments a day, so that sessions are cut into parts
    monkeypatch.setattr(scan_logs, "_BUFFERED_EVENTS", 200)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 4096)
    plainly = facts_of_a_load(databases, tmp_path, settings)
    assert plainly["session_summaries"]

    monkeypatch.setattr(scan_logs, "_workers_for", lambda _: 2)
    monkeypatch.setattr(raw_sessions, "_workers_for", lambda _: 1)
    assert facts_of_a_load(databases, tmp_path, settings) == plainly

    monkeypatch.setattr(scan_logs, "_workers_for", lambda _: 0)
    monkeypatch.setattr(raw_sessions, "_workers_for", lambda _: 0)
    monkeypatch.setattr(raw_sessions, "_EVENTS_AT_ONCE", 0)
    assert facts_of_a_load(databases, tmp_path, settings) == plainly


def test_a_year_of_few_lines_is_some_transactions_of_some_days(warehouse: Warehouse, tmp_path: Path) -> None:
    year = DayRange(date(2025, 3, 1), date(2026, 2, 28))
    write_log(tmp_path / "cowrie.json", [connect(f"{day} 10:00", session=f"{day:%Y%m%d}") for day in year])
    scan(warehouse, tmp_path)
    committed = [0]

    def count_committed(*_: int) -> None:
        with warehouse.read() as connection:
            committed.append(connection.execute(select(func.count()).select_from(loaded_days)).scalar_one())

    report = raw_sessions.load_days(warehouse, year, now=NOW, on_progress=count_committed)
    assert len(report.made) == len(year)
    assert [after - before for before, after in pairwise(committed)] == [DAYS_TOGETHER] * 11 + [24]


def test_days_whose_keys_and_indexes_are_filled_afterwards_are_the_same_days(
    databases: Databases, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_logs(PLAN, tmp_path)
    monkeypatch.setattr(scan_logs, "_BUFFERED_EVENTS", 200)
    plainly = facts_of_a_load(databases, tmp_path, settings)
    monkeypatch.setattr(raw_sessions, "_EVENTS_WRITTEN_TOGETHER", 1)
    assert facts_of_a_load(databases, tmp_path, settings) == plainly
    # a day at a time, the later ones beside those that are there
    monkeypatch.setattr(raw_sessions, "_EVENTS_TOGETHER", 1)
    assert facts_of_a_load(databases, tmp_path, settings) == plainly


def test_a_day_is_folded_here_when_the_processes_have_died() -> None:
    line = b'{"eventid":"cowrie.session.connect","session":"a","src_ip":"1.2.3.4","timestamp":"2026-11-01T00:00:00.5Z"}'
    pieces = [Piece(date(2026, 11, day), [packed_lines([line])], True) for day in (1, 2)]
    with Workers(1) as workers:
        list(fold_pieces(workers, pieces))
        assert workers._executor is not None
        for process in list(workers._executor._processes.values()):
            process.kill()
            process.join()
        folded = list(fold_pieces(workers, pieces))
    assert [each.day for each in folded] == [date(2026, 11, 1), date(2026, 11, 2)]
    assert all(len(each.rows.session_days) == 1 for each in folded)
