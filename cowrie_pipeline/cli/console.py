"""What commands show: progress, tables, errors.

Results go to standard output, everything else to standard error, so that output can be piped.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cowrie_pipeline.observability.progress import ProgressListener, listening
from cowrie_pipeline.observability.status_files import note_progress
from cowrie_pipeline.steps.harmless import defanged_urls

__all__ = [
    "ERR",
    "OUT",
    "fail",
    "harmless",
    "in_words",
    "made_table",
    "print_error",
    "print_json",
    "print_line",
    "print_table",
    "show_progress",
    "time_shown",
]

# Where nobody looks at the width, tables are not squeezed into the 80 columns that rich assumes.
_WIDTH_OF_FILES = 160


def _console(*, stderr: bool) -> Console:
    # no emoji: in 2001:db8:100::1 there is none
    console = Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(stderr=stderr, highlight=False, emoji=False, width=_WIDTH_OF_FILES)


_log = logging.getLogger(__name__)
OUT = _console(stderr=False)
ERR = _console(stderr=True)


def harmless(text: str) -> str:
    """Return `text` with everything escaped that a terminal would obey or could not show.

    Attackers choose names and commands, and file names may be no UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_line(text: str, style: str = "") -> None:
    """Print one line that may hold what others wrote: it is neither markup, nor wrapped, nor obeyed."""
    OUT.print(harmless(text), markup=False, soft_wrap=True, style=style)


def print_error(message: str) -> None:
    """Print what went wrong, and what to do, as one line on standard error."""
    ERR.print(f"error: {harmless(message)}", markup=False, soft_wrap=True, style="red")


def fail(message: str, code: int) -> typer.Exit:
    """Print an error; return what to raise to end with `code`."""
    print_error(message)
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """Print a value as JSON of plain ASCII, which no terminal obeys and every file can hold."""
    OUT.print_json(json.dumps(value, default=str), ensure_ascii=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows, if there are any."""
    if rows:
        OUT.print(made_table(title, columns, rows))
        OUT.print()


def made_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return rows as a table; numbers stand to the right, and nothing attackers wrote is markup or a link."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for index, column in enumerate(columns):
        is_number = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(_shown(value) for value in row))
    return table


def _shown(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return Text(harmless(defanged_urls(str(value))))


def in_words(span: timedelta) -> str:
    """Say a span of time as a person would, such as `3 days`; never less than it is by more than half a unit."""
    minutes = span / timedelta(minutes=1)
    for size, name, up_to in ((1, "minute", 90), (60, "hour", 48 * 60), (1440, "day", float("inf"))):
        if minutes < up_to:
            number = max(1, round(minutes / size))
            return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
    raise AssertionError("every span is less than infinity")


def time_shown(time: datetime | None) -> str | None:
    """Return a time as tables show it, to the minute and in UTC."""
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[ProgressListener]:
    """Show how far the steps are: as bars on a terminal, as one plain line for each step elsewhere."""
    if quiet:
        yield _noted(_show_nothing)
    elif ERR.is_terminal:
        with _bars() as update, listening(update):
            yield _noted(update)
    else:
        with listening(_print_when_done):
            yield _noted(_print_when_done)


def _noted(listener: ProgressListener) -> ProgressListener:
    """Tell the status files, too."""

    def tell(step: str, done: int, total: int) -> None:
        listener(step, done, total)
        note_progress(done, total)

    return tell


def _show_nothing(step: str, done: int, total: int) -> None:
    _log.debug("%s: %d of %d", step, done, total)


@contextmanager
def _bars() -> Iterator[ProgressListener]:
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR) as progress:
        tasks: dict[str, TaskID] = {}

        def update(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield update


def _print_when_done(step: str, done: int, total: int) -> None:
    if done == total:
        ERR.print(f"{step}: {done:,} of {total:,}", markup=False)
