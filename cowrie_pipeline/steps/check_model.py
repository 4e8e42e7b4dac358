"""What a check is, what it says of itself, and what it finds.

Belongs here: the words that every check has, its result, how bad a failure is.
Does not belong here: any check (checks.py, watch_checks.py), Dagster (orchestration/).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.days import DayRange

__all__ = ["ROWS_SHOWN", "Check", "CheckResult", "CheckWords", "Severity"]

ROWS_SHOWN = 20


class Severity(StrEnum):
    """How bad a failure is."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The rows at fault, the first of them with their columns; `at_fault` counts all.

    `notes` are what is worth knowing and no fault.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    at_fault: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], notes: Iterable[str] = ()) -> "CheckResult":
        """Return the result with these rows at fault, of which the first are shown."""
        found = tuple(rows)
        return cls(columns, found[:ROWS_SHOWN], len(found), tuple(notes))

    @property
    def passed(self) -> bool:
        """Whether there is no row at fault."""
        return self.at_fault == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckWords:
    """What one check of one asset says of itself.

    `title` says what should be so, `why` what goes wrong where it is not, `remedy` what to do then.
    """

    name: str
    asset: str
    title: str
    why: str
    remedy: str
    severity: Severity
    blocks: bool = False

    @property
    def page(self) -> str:
        """The page on the check, from the root of the project."""
        return f"docs/checks/{self.name}.md"

    def description(self, settings: Settings) -> str:
        """Return what Dagster's UI shows of the check; it turns an address into a link."""
        return f"{self.title}. {self.remedy} More: {settings.docs_page(self.page)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(CheckWords):
    """A check, and how it is run.

    `of_days` is whether it looks at the rows of its days alone, so that it can pass for some and fail for others.
    """

    run: Callable[[Connection, DayRange, Settings, datetime], CheckResult]
    of_days: bool = True
