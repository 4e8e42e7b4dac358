"""What all commands share: options, settings, and how an error ends a command.

Belongs here: what more than one command line needs. Does not belong here: any one command, what is shown (console.py).
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy.exc import DatabaseError

from cowrie_pipeline import __version__
from cowrie_pipeline.cli.console import ERR, OUT, fail, harmless
from cowrie_pipeline.cowrie.addresses import source_address
from cowrie_pipeline.observability.telemetry import set_up_telemetry
from cowrie_pipeline.observability.tracing import fail as fail_span
from cowrie_pipeline.observability.tracing import run_span
from cowrie_pipeline.settings import Settings, SettingsError, export_settings
from cowrie_pipeline.warehouse.engine import WarehouseError

__all__ = [
    "STOPPED",
    "DbOption",
    "FromOption",
    "JsonOption",
    "NoProgressOption",
    "ReportFormat",
    "ToOption",
    "VerboseOption",
    "VersionOption",
    "complete_source",
    "examples",
    "guarded",
    "name_command",
    "parse_address",
    "parse_amount",
    "parse_day",
    "parse_network",
    "refuse_reversed_days",
    "refuse_unknown_source",
    "settings_for",
    "source_names",
]

# As a shell says it of a program that ended by Ctrl-C.
STOPPED = 130

_command: ContextVar[str] = ContextVar("command", default="command")


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
NoProgressOption = Annotated[bool, typer.Option("--no-progress", help="Show no progress.")]


class _HarmlessFormatter(logging.Formatter):
    """Writes what others wrote, too, as one line that no terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def _write_log(wanted: bool) -> bool:
    """Have what the package notes of its work written to standard error, or nowhere."""
    logger = logging.getLogger("cowrie_pipeline")
    # of a command before in the same process
    logger.handlers.clear()
    logger.setLevel(logging.DEBUG if wanted else logging.NOTSET)
    if wanted:
        handler = logging.StreamHandler(ERR.file)
        handler.setFormatter(_HarmlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    return wanted


VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        help="Write a log of the work to standard error, and the traceback of an unexpected error.",
        callback=_write_log,
    ),
]


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


def parse_amount(option: str, given: str | None) -> int | None:
    """Return how many are meant: a number, None for `all`, 0 where the option is not given; end with 2 else."""
    if given is None:
        return 0
    if given == "all":
        return None
    if given.isascii() and given.isdigit() and 0 < int(given) < 10**12:
        return int(given)
    raise fail(f"{option} must be a number above 0 or all, found {given!r}", 2)


def parse_network(text: str) -> int:
    """Read the number of a network, such as AS64500 or 64500; end with 2 if it is none."""
    from cowrie_pipeline.enrichment.values import asn_number

    number = asn_number(text.upper().removeprefix("AS"))
    if number is None:
        raise fail(f"expected the number of a network such as AS64500, found {text!r}", 2)
    return number


def parse_address(text: str) -> str:
    """Read an address and return it as it is stored; end with 2 if it is none."""
    address = source_address(text).ip
    if address is None:
        raise fail(f"expected an IP address such as 203.0.113.7 or 2001:db8::1, found {text!r}", 2)
    return address


FromOption = Annotated[
    date | None, typer.Option("--from", metavar="DAY", parser=parse_day, help="First day. Default: of sessions.")
]
ToOption = Annotated[
    date | None, typer.Option("--to", metavar="DAY", parser=parse_day, help="Last day. Default: of sessions.")
]


def source_names() -> tuple[str, ...]:
    """Return the names of all sources, on or off. A shell waits for them, so that nothing is built for it."""
    from cowrie_pipeline.enrichment.cascade import ADDRESS_POLICY, NETWORK_LISTS, NETWORK_SERVICE
    from cowrie_pipeline.enrichment.sources.pwned_passwords import PwnedPasswordsSource
    from cowrie_pipeline.enrichment.sources.virustotal import VirusTotalSource

    others = (VirusTotalSource.terms.service, PwnedPasswordsSource.terms.service)
    return (*(stage.service for stage in ADDRESS_POLICY), NETWORK_SERVICE, *NETWORK_LISTS, *others)


def complete_source(incomplete: str) -> Iterator[str]:
    """Yield the names of sources that a shell may put in the place of what was begun."""
    yield from (name for name in source_names() if name.startswith(incomplete))


def examples(*commands: str) -> str:
    """Return what stands below a command's help, a line for each example that nothing breaks."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(("\b", title, *(f"  {command}" for command in commands)))


def refuse_unknown_source(option: str, name: str) -> None:
    """End with 2 if there is no source of that name."""
    if name not in source_names():
        raise fail(f"{option} must be one of {', '.join(source_names())}, found {name!r}", 2)


def refuse_reversed_days(first: date | None, last: date | None) -> None:
    """End with 2 if the last day comes before the first."""
    if first and last and last < first:
        raise fail(f"--to {last} comes before --from {first}", 2)


def settings_for(db_url: str | None = None, logs: tuple[str, ...] = ()) -> Settings:
    """Read the settings, with the options of the command line in their place; end with 2 if one is wrong."""
    export_settings(db_url=db_url, logs=logs)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        raise fail(str(error), 2) from None
    set_up_telemetry(settings)
    return settings


def guarded(work: Callable[[], int], *, verbose: bool = True) -> int:
    """Do a command's work; tell an error in one line, with what its user can do.

    Without `verbose` that holds for unexpected errors too; with it they come with their traceback.
    """
    try:
        return _in_trace(work)
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
    except KeyboardInterrupt:
        raise fail("stopped; what was committed is kept, and the same command goes on from there", STOPPED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in one line
        if verbose:
            for line in "".join(traceback.format_exception(error)).splitlines():
                ERR.print(harmless(line), markup=False, soft_wrap=True)
        raise fail(_unexpected(error), 1) from None


def name_command(program: str, context: typer.Context) -> None:
    """Note which command of a program is run, for its trace."""
    _command.set(f"{program} {context.invoked_subcommand}")


def _in_trace(work: Callable[[], int]) -> int:
    """Do a command's work as one trace, named after the command."""
    with run_span(_command.get()) as run:
        code = work()
        run.set_attribute("process.exit.code", code)
        if code:
            fail_span(run, f"exit code {code}")
        return code


def _unexpected(error: Exception) -> str:
    """Say what kind of error nobody foresaw, where, and how to have it mended; not what it says: it may hold a secret.

    A message can quote what was sent or read: a key, a password that somebody tried.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "cowrie_pipeline" in frame.filename] or list(frames)
    where = f" in {ours[-1].name} (line {ours[-1].lineno})" if ours else ""
    return (
        f"an unexpected {type(error).__name__}{where} in version {__version__}: this is a fault of cowrie_pipeline. "
        "What was committed is kept. Run the same command with --verbose, and report what it prints after looking that "
        "no key or password is in it."
    )
