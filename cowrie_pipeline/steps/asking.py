"""Ask one source about the things that a table keeps, some at a time, and write what it says into their rows.

Belongs here: what files and passwords have in common: counting what became of the questions, and the writing.
Does not belong here: which things are asked about (file_reputation.py, password_exposure.py), how (enrichment/).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, case, update

from cowrie_pipeline.enrichment.desk import Answers, Desk
from cowrie_pipeline.enrichment.findings import Reporter
from cowrie_pipeline.enrichment.outcomes import Source, Status
from cowrie_pipeline.observability.instruments import LOOKUPS
from cowrie_pipeline.observability.metrics import Tally
from cowrie_pipeline.observability.progress import OnProgress, unheard
from cowrie_pipeline.steps.ledger import Ledger
from cowrie_pipeline.warehouse.bulk import staged

__all__ = ["AskingReport", "as_day", "ask", "count_look_ups", "due_again_at", "write_answers"]

_ANSWERS = tuple(status.value for status in Status if status.is_answer)
# What a source cannot be asked about at all is looked at again in case the source has changed.
_LONGEST_REST = timedelta(days=365)


@dataclass(slots=True)
class AskingReport:
    """What became of the keys that were due.

    `outcomes` counts those that were asked by status, `remembered` those whose answer the ledger had. `findings` are
    troubles of the source, in words for the operator. `not_asked` says why nobody was asked, None where somebody was.
    """

    due: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    remembered: int = 0
    findings: tuple[str, ...] = ()
    not_asked: str | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """The report as a journal keeps it."""
        return {"due": self.due, "look_ups": dict(self.outcomes), "remembered": self.remembered}


def ask(
    source: Source,
    desk: Desk,
    keys: Sequence[str],
    *,
    at_once: int,
    ledger: Ledger,
    now: datetime,
    report: AskingReport,
    on_progress: OnProgress = unheard,
) -> Iterator[tuple[Sequence[str], Answers]]:
    """Yield the answers to `keys`, `at_once` at a time and in their order; count in `report` what became of them."""
    for start in range(0, len(keys), at_once):
        some = keys[start : start + at_once]
        answers = desk.look_up(source, some, cache=ledger, now=now)
        ledger.flush()
        report.outcomes.update(str(outcome.status) for outcome in answers.asked.values())
        report.remembered += len(some) - len(answers.asked)
        yield some, answers
        on_progress(start + len(some), len(keys))
    if isinstance(source, Reporter):
        report.findings = tuple(str(finding) for finding in source.findings(now))


def count_look_ups(tally: Tally, source: Source, answers: Answers) -> None:
    """Count what became of the keys that were asked about, with the transaction that writes the answers."""
    for status, number in Counter(outcome.status for outcome in answers.asked.values()).items():
        tally.count(LOOKUPS, number, service=source.name, outcome=status)


def due_again_at(answers: Answers, key: str, now: datetime) -> datetime:
    """Return when a key that was looked up must be asked again."""
    return answers.due_at(key) or now + _LONGEST_REST


def write_answers(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write what was said of rows of `table`, which has `status` and `due_at`; only an answer replaces an answer.

    Args:
        connection: a transaction.
        table: its first column is its key.
        columns: the key, and all that is written.
        rows: values of `columns`.
    """
    key = table.columns[0].name
    kinds: Mapping[str, Any] = {name: table.c[name].type for name in columns}
    with staged(connection, "staged_answers", kinds, rows) as found:
        is_kept = table.c.status.in_(_ANSWERS) & found.c.status.not_in(_ANSWERS)
        facts = [name for name in columns if name not in (key, "due_at")]
        values = {name: case((is_kept, table.c[name]), else_=found.c[name]) for name in facts}
        connection.execute(
            update(table).where(table.c[key] == found.c[key]).values({**values, "due_at": found.c.due_at})
        )


def as_day(value: date | str) -> date:
    """Return a day as SQLite, which has it as text, or PostgreSQL gives it."""
    return date.fromisoformat(value) if isinstance(value, str) else value
