"""The command `cowrie-enrich`: what is asked of whom, what is remembered, and what is downloaded.

Exit codes: 0 when all is well, 1 when something failed or could not be read, 2 for wrong use.
"""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from cowrie_pipeline.cli.console import fail
from cowrie_pipeline.cli.options import (
    DbOption,
    JsonOption,
    VersionOption,
    guarded,
    parse_day,
    refuse_reversed_days,
    settings_for,
)
from cowrie_pipeline.enrichment.outcomes import Status

__all__ = ["app"]

app = typer.Typer(
    name="cowrie-enrich",
    help="Look after the sources of facts, the memory of look-ups, and downloaded lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cache = typer.Typer(help="Look after the memory of look-ups.", no_args_is_help=True)
app.add_typer(cache, name="cache")


@app.callback(invoke_without_command=True)
def main(version: VersionOption = False) -> None:
    """Look after the sources of facts, the memory of look-ups, and downloaded lists."""


@app.command()
def sources(
    terms: Annotated[bool, typer.Option("--terms", help="Also show what answers may be used for, in full.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every source: on or off and why, its key, budget, last success and last error, and its terms.

    Asks nobody, and works without a database too.
    """
    from cowrie_pipeline.cli.sources import show_sources

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_sources(settings, with_terms=terms, as_json=as_json)))


@app.command()
def plan(
    db: DbOption = None,
    first: Annotated[
        date | None, typer.Option("--from", metavar="DAY", parser=parse_day, help="First day. Default: of sessions.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", metavar="DAY", parser=parse_day, help="Last day. Default: of sessions.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the next run would ask of whom, and how long the rest needs at the present budget. Asks nobody."""
    from cowrie_pipeline.cli.plan import show_plan

    settings = settings_for(db)
    refuse_reversed_days(first, last)
    raise typer.Exit(guarded(lambda: show_plan(settings, first, last, as_json=as_json)))


@app.command()
def lists(
    refresh: Annotated[bool, typer.Option("--refresh", help="Download what is due now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every list that is downloaded: its date and size, where it is, or why it is not fetched.

    With --refresh, exit code 1 says that a list failed that is configured.
    """
    from cowrie_pipeline.cli.lists import refresh_lists, show_lists

    settings = settings_for()
    show = refresh_lists if refresh else show_lists
    raise typer.Exit(guarded(lambda: show(settings, as_json=as_json)))


@app.command()
def migrate_cache(
    folder: Annotated[
        Path, typer.Option("--from-disk", metavar="DIR", help="Folder of the files: one folder for each service.")
    ],
    to_database: Annotated[
        bool, typer.Option("--to-database", help="Take the answers in the files into the database.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Write the database's answers to the files, where these lack them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, and say what would be.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the answers of earlier installations from files into the database, or back.

    Neither way removes anything. Stopped in the middle, the same command goes on where it was.
    """
    from cowrie_pipeline.cli.migrate import bring_in, give_back

    if not to_database and not rollback:
        raise fail("nothing to do: give --to-database, or --rollback for the way back", 2)
    if not rollback and not folder.is_dir():
        raise fail(f"--from-disk {folder}: expected a folder with answers, found none", 2)
    settings = settings_for(db)
    work = give_back if rollback else bring_in
    raise typer.Exit(guarded(lambda: work(settings, folder, dry_run=dry_run, as_json=as_json)))


@app.command()
def import_legacy(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URL", help="The earlier database, such as sqlite:////srv/old.db. Only read."),
    ],
    db: DbOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, and say what would be.")] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rows of one transaction.", show_default=True)
    ] = 5_000,
    as_json: JsonOption = False,
) -> None:
    """Move a database of the older, session-level layout into this schema. Nothing is dropped in either.

    Stopped in the middle, the same command goes on where it was; when all is there, it changes nothing. Exit code 1
    says that rows on one side are not accounted for on the other.

    Example: cowrie-enrich import-legacy --from sqlite:////srv/old.db --db sqlite:////srv/cowrie.db --dry-run
    """
    from cowrie_pipeline.cli.import_legacy import bring_in

    settings = settings_for(db)
    raise typer.Exit(
        guarded(lambda: bring_in(settings, source, dry_run=dry_run, batch_size=batch_size, as_json=as_json))
    )


@cache.command()
def stats(
    days: Annotated[int, typer.Option(min=1, help="How many days of use are shown, today included.")] = 14,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is remembered of each service, and how often it was read and asked on each day."""
    from cowrie_pipeline.cli.cache import show_stats

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_stats(settings, days, as_json=as_json)))


@cache.command()
def invalidate(
    service: Annotated[str, typer.Option(help="Whose answers, as `cowrie-enrich sources` names it.")],
    status: Annotated[Status | None, typer.Option(help="Only outcomes of this kind.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Only what was fetched longer ago.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Only what was said of this address, hash, prefix or AS64500.")
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the answers of a service due, so that the next run asks again. What is known is kept until then."""
    from cowrie_pipeline.cli.cache import invalidate_service

    settings = settings_for(db)
    raise typer.Exit(
        guarded(
            lambda: invalidate_service(
                settings, service, status=status, older_than_days=older_than, key=key, as_json=as_json
            )
        )
    )


@cache.command()
def clean_up(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Remove what expired longer ago than COWRIE_CACHE_KEEP_DAYS; a schedule does it, too."""
    from cowrie_pipeline.cli.cache import remove_expired

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: remove_expired(settings, as_json=as_json)))


@cache.command()
def addresses(
    country: Annotated[str, typer.Option(metavar="XX", help="Two letters, such as FR.")],
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the addresses that services place in a country, and who says so since when."""
    from cowrie_pipeline.cli.cache import show_addresses

    if not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise fail(f"--country must be two letters such as FR, found {country!r}", 2)
    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_addresses(settings, country.upper(), as_json=as_json)))


@cache.command()
def flagged(
    days: Annotated[float, typer.Option(min=0, help="Of how many days.")] = 7,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the files that scanners call malicious, as VirusTotal said lately, the worst first."""
    from cowrie_pipeline.cli.cache import show_flagged

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_flagged(settings, days, as_json=as_json)))
