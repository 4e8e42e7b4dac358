"""What all commands share: options, settings, and how an error ends a command.

Belongs here: what more than one command line needs. Does not belong here: any one command, what is shown (console.py).
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline import __version__
from cowrie_pipeline.cli.console import OUT, fail
from cowrie_pipeline.settings import Settings, SettingsError, export_settings
from cowrie_pipeline.warehouse.engine import WarehouseError

__all__ = [
    "DbOption",
    "JsonOption",
    "ReportFormat",
    "VersionOption",
    "guarded",
    "parse_day",
    "refuse_reversed_days",
    "settings_for",
]


class ReportFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


DbOption = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="Database, such as sqlite:////srv/cowrie.db. Default: COWRIE_DB_URL."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        OUT.print(__version__)
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
]


def parse_day(text: str) -> date:
    """Read a day from an option."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"expected a day such as 2026-11-01, found {text!r}") from None


def refuse_reversed_days(first: date | None, last: date | None) -> None:
    """End with 2 if the last day comes before the first."""
    if first and last and last < first:
        raise fail(f"--to {last} comes before --from {first}", 2)


def settings_for(db_url: str | None = None, logs: tuple[str, ...] = ()) -> Settings:
    """Read the settings, with the options of the command line in their place; end with 2 if one is wrong."""
    export_settings(db_url=db_url, logs=logs)
    try:
        return Settings.from_environment()
    except SettingsError as error:
        raise fail(str(error), 2) from None


def guarded(work: Callable[[], int]) -> int:
    """Do a command's work; tell an error that its user can act on in one line."""
    try:
        return work()
    except SettingsError as error:
        raise fail(str(error), 2) from None
    except WarehouseError as error:
        raise fail(str(error), 1) from None
    except DatabaseError as error:
        found = str(error.orig).strip().splitlines()[0]
        raise fail(
            f"the database failed in the middle of the work: {found}. What was committed is kept, and the same command "
            "goes on from there; if the file is damaged or the disk full, mend that first.",
            1,
        ) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise fail(f"{where}{error.strerror or error}", 1) from None
