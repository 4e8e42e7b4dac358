"""Count the files that sessions brought, and ask the scanners about those that are new or due.

Only hashes are asked about; no file is ever sent. The scarce calls go to the files seen on the newest day, and among
those to the ones seen most often.

Belongs here: which files are asked about, and the writing.
Does not belong here: how VirusTotal is asked (enrichment/).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from cowrie_pipeline.enrichment.build import Enrichment
from cowrie_pipeline.enrichment.desk import Answers
from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource
from cowrie_pipeline.enrichment.values import count_value, short_text
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.asking import AskingReport, as_day, ask, count_look_ups, due_again_at, write_answers
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.metric_store import counting
from cowrie_pipeline.warehouse.sql_files import read_sql
from cowrie_pipeline.warehouse.statements import with_parameters
from cowrie_pipeline.warehouse.tables import file_reputation, retired_files, session_files

__all__ = ["DayFiles", "FileReputationReport", "ask_about_files", "look_up_files"]

_FILES_AT_ONCE = 500
_COLUMNS = (
    "sha256",
    "status",
    "malicious",
    "suspicious",
    "label",
    "file_type",
    "size",
    "reputation_at",
    "due_at",
)
_NEVER = "never asked"


@dataclass(frozen=True, slots=True)
class DayFiles:
    """The distinct files of a day, by the status of their look-up; `flagged` are called malicious by a scanner."""

    files: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    flagged: int = 0


@dataclass(frozen=True, slots=True)
class FileReputationReport:
    """What was asked, and what is known now of each day's files."""

    asking: AskingReport
    days: dict[date, DayFiles]


def look_up_files(
    warehouse: Warehouse,
    enrichment: Enrichment,
    days: DayRange,
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> FileReputationReport:
    """Count the files of `days` anew, ask about those that are due, and write what is said of them.

    Where nobody can be asked the files are still counted, and the report says why nobody was.
    """
    # Of its own, so that what is counted is not counted by another at the same time, while logs can be loaded.
    with warehouse.begin(lock="file_reputation") as connection:
        for name in ("recount_files", "forget_files"):
            connection.execute(_statement(connection, name, days))
        due = connection.execute(_statement(connection, "due_files", days, now=now)).scalars().all()
    asking = ask_about_files(warehouse, enrichment, due, ledger=ledger, now=now, on_progress=on_progress)
    with warehouse.read() as connection:
        return FileReputationReport(asking, _describe(connection, days))


def ask_about_files(
    warehouse: Warehouse,
    enrichment: Enrichment,
    hashes: Sequence[str],
    *,
    ledger: Ledger,
    now: datetime,
    on_progress: OnProgress = unheard,
) -> AskingReport:
    """Ask about files by their SHA-256, in the order given, and write what is said of them."""
    report = AskingReport(due=len(hashes))
    report.not_asked = enrichment.not_asked.get(VirusTotalSource.terms.service)
    if enrichment.files is None or report.not_asked is not None:
        return report
    answered = ask(
        enrichment.files,
        enrichment.desk,
        hashes,
        at_once=_FILES_AT_ONCE,
        ledger=ledger,
        now=now,
        report=report,
        on_progress=on_progress,
    )
    for some, answers in answered:
        with counting(warehouse, lock="file_reputation") as (connection, tally):
            write_answers(connection, file_reputation, _COLUMNS, _rows(some, answers, now))
            count_look_ups(tally, enrichment.files, answers)
    return report


def _rows(hashes: Iterable[str], answers: Answers, now: datetime) -> Iterator[tuple[Any, ...]]:
    for sha256 in hashes:
        outcome = answers.latest(sha256)
        assert outcome is not None  # noqa: S101 - the desk gives every key an outcome
        facts = outcome.payload
        yield (
            sha256,
            outcome.status.value,
            count_value(facts.get("malicious")),
            count_value(facts.get("suspicious")),
            short_text(facts.get("label")),
            short_text(facts.get("type")),
            count_value(facts.get("size")),
            outcome.fetched_at,
            due_again_at(answers, sha256, now),
        )


def _statement(connection: Connection, name: str, days: DayRange, **more: Any) -> Any:
    statement = read_sql(f"transforms/{name}", connection.dialect.name).statement
    return with_parameters(statement, start=days.start, end=days.end, **more)


def _describe(connection: Connection, days: DayRange) -> dict[date, DayFiles]:
    transfer = session_files.c
    day = func.date(transfer.event_at).label("day")
    seen = (
        select(day, transfer.sha256)
        .where(transfer.event_at >= days.start, transfer.event_at < days.end, transfer.sha256.is_not(None))
        .union(
            select(func.date(retired_files.c.first_seen), retired_files.c.sha256).where(
                retired_files.c.day.between(days.first, days.last)
            )
        )
        .subquery()
    )
    known = file_reputation.c
    status = func.coalesce(known.status, _NEVER)
    rows = connection.execute(
        select(seen.c.day, status, func.count(), func.count().filter(known.malicious > 0))
        .join(file_reputation, known.sha256 == seen.c.sha256)
        .group_by(seen.c.day, status)
        .order_by(seen.c.day, status)
    ).all()
    described = {}
    for each in days:
        of_day = [row[1:] for row in rows if as_day(row[0]) == each]
        described[each] = DayFiles(
            files=sum(files for _, files, _ in of_day),
            statuses={name: files for name, files, _ in of_day},
            flagged=sum(flagged for _, _, flagged in of_day),
        )
    return described
