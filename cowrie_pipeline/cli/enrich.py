"""The command `cowrie-enrich`: what is asked of whom, what is known, and what is remembered and downloaded.

Belongs here: each command's options, help and example. Does not belong here: what it does and shows (its own module).
"""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cowrie_pipeline.cli.console import fail
from cowrie_pipeline.cli.options import (
    DbOption,
    FromOption,
    JsonOption,
    NoProgressOption,
    ToOption,
    VerboseOption,
    VersionOption,
    complete_source,
    examples,
    guarded,
    name_command,
    parse_address,
    parse_amount,
    parse_day,
    parse_network,
    refuse_reversed_days,
    refuse_unknown_source,
    settings_for,
)
from cowrie_pipeline.enrichment.outcomes import Status
from cowrie_pipeline.steps.network_view import Ranking

__all__ = ["app"]

_ABOUT = "Look after the facts about attackers: who is asked, what is known, what is remembered and downloaded."
# Each on a line of its own, that nothing breaks.
_EXIT_CODES = """\b
Exit codes:
  0    all is well
  1    something failed, could not be read, or is not known here
  2    wrong use, or a wrong setting
  130  stopped by Ctrl-C; what was committed is kept

\b
Results go to standard output, progress and errors to standard error.
Completion of commands and names of sources: cowrie-enrich --install-completion"""

app = typer.Typer(
    name="cowrie-enrich",
    help=_ABOUT,
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cache = typer.Typer(help="Look after the memory of look-ups.", no_args_is_help=True)
app.add_typer(cache, name="cache")
asn = typer.Typer(help="Show networks: which attack most, what one is, and how it changed.", no_args_is_help=True)
app.add_typer(asn, name="asn")
ip = typer.Typer(help="Show addresses.", no_args_is_help=True)
app.add_typer(ip, name="ip")

_NetworkArgument = Annotated[str, typer.Argument(metavar="ASN", help="Number of a network, such as AS64500.")]
_RowsOption = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many rows of each kind.")]


@app.callback(invoke_without_command=True)
def main(context: typer.Context, version: VersionOption = False) -> None:
    """Leave the work to the commands."""
    del version  # is eager
    name_command("cowrie-enrich", context)


@app.command(epilog=examples("cowrie-enrich sources --terms"))
def sources(
    terms: Annotated[bool, typer.Option("--terms", help="Also show what answers may be used for, in full.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every source: on or off and why, its key, budget, last success and last error, and its terms.

    Asks nobody, and works without a database too.
    """
    from cowrie_pipeline.cli.sources import show_sources

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_sources(settings, with_terms=terms, as_json=as_json), verbose=verbose))


@app.command(epilog=examples("cowrie-enrich plan --from 2026-11-01 --db sqlite:////srv/cowrie.db"))
def plan(
    db: DbOption = None,
    first: FromOption = None,
    last: ToOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what the next run would ask of whom, and how long the rest needs at the present budget. Asks nobody."""
    from cowrie_pipeline.cli.plan import show_plan

    settings = settings_for(db)
    refuse_reversed_days(first, last)
    raise typer.Exit(
        guarded(
            lambda: show_plan(settings, first, last, quiet=no_progress or as_json, as_json=as_json), verbose=verbose
        )
    )


@app.command(epilog=examples("cowrie-enrich lists --refresh"))
def lists(
    refresh: Annotated[bool, typer.Option("--refresh", help="Download what is due now.")] = False,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every list that is downloaded: its date and size, where it is, or why it is not fetched.

    With --refresh, exit code 1 says that a list failed that is configured.
    """
    from cowrie_pipeline.cli.lists import refresh_lists, show_lists

    settings = settings_for()
    if refresh:
        quiet = no_progress or as_json
        raise typer.Exit(guarded(lambda: refresh_lists(settings, quiet=quiet, as_json=as_json), verbose=verbose))
    raise typer.Exit(guarded(lambda: show_lists(settings, as_json=as_json), verbose=verbose))


@app.command(epilog=examples("cowrie-enrich migrate-cache --from-disk /srv/old-cache --to-database --dry-run"))
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
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
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
    quiet = no_progress or as_json
    raise typer.Exit(
        guarded(lambda: work(settings, folder, dry_run=dry_run, quiet=quiet, as_json=as_json), verbose=verbose)
    )


@app.command(epilog=examples("cowrie-enrich build-asn-inventory --dry-run --db sqlite:////srv/cowrie.db"))
def build_asn_inventory(
    batch_size: Annotated[int, typer.Option(min=1, help="How many networks are written in one transaction.")] = 1_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, and say what would be.")] = False,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Complete the inventory of networks from the addresses in the database, for databases filled before.

    Facts that a network lacks are taken from what most of its addresses' documents say, and all counts are counted
    again; a fact that is there is never replaced. Asks nobody. The same command again finds nothing to do, and goes on
    where one that was stopped had come to. Malformed documents are skipped, counted and named.
    """
    from cowrie_pipeline.cli.build_asn_inventory import build_networks

    settings = settings_for(db)
    quiet = no_progress or as_json
    raise typer.Exit(
        guarded(
            lambda: build_networks(settings, batch_size=batch_size, dry_run=dry_run, as_json=as_json, quiet=quiet),
            verbose=verbose,
        )
    )


@app.command(
    epilog=examples("cowrie-enrich import-legacy --from sqlite:////srv/old.db --db sqlite:////srv/cowrie.db --dry-run")
)
def import_legacy(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URL", help="The earlier database, such as sqlite:////srv/old.db. Only read."),
    ],
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of one transaction.")] = 5_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing, and say what would be.")] = False,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Move a database of the older, session-level layout into this schema. Nothing is dropped in either.

    Stopped in the middle, the same command goes on where it was; when all is there, it changes nothing. Exit code 1
    says that rows on one side are not accounted for on the other.
    """
    from cowrie_pipeline.cli.import_legacy import bring_in

    settings = settings_for(db)
    quiet = no_progress or as_json
    raise typer.Exit(
        guarded(
            lambda: bring_in(settings, source, dry_run=dry_run, batch_size=batch_size, as_json=as_json, quiet=quiet),
            verbose=verbose,
        )
    )


@app.command(
    epilog=examples(
        "cowrie-enrich refresh --ips 5000 --sessions all",
        "cowrie-enrich refresh --ips all --source greynoise --older-than 30 --commit-interval 200",
        "cowrie-enrich refresh --files 500",
    )
)
def refresh(
    ips: Annotated[
        str | None, typer.Option(metavar="N|all", help="Addresses whose facts have expired, so many at most.")
    ] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            metavar="N|all",
            help="Sessions without a snapshot, the oldest first: due addresses of theirs are looked up, and the "
            "sessions get their snapshots, which never change afterwards.",
        ),
    ] = None,
    files: Annotated[
        str | None, typer.Option(metavar="N|all", help="Files that VirusTotal is to be asked about again.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only addresses or files of which this source's answer has expired. What else of them has expired is "
            "asked, too.",
            autocompletion=complete_source,
        ),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="DAYS", help="Also answers that still hold, if they are older; 0 for all. Not for sessions."
        ),
    ] = None,
    commit_interval: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many are looked up and committed together.")
    ] = 1_000,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Ask again what has expired: addresses, sessions without a snapshot, files.

    What is done is committed and not due any more: stopped or killed, the same command goes on from there. Exit code 1
    says that a source that was asked failed and gave not one answer.
    """
    from cowrie_pipeline.cli.refresh import refresh_facts

    amounts = {
        name: parse_amount(f"--{name}", given)
        for name, given in (("ips", ips), ("sessions", sessions), ("files", files))
    }
    if source is not None:
        refuse_unknown_source("--source", source)
    settings = settings_for(db)
    raise typer.Exit(
        guarded(
            lambda: refresh_facts(
                settings,
                addresses=amounts["ips"],
                sessions=amounts["sessions"],
                files=amounts["files"],
                source=source,
                older_than_days=older_than,
                commit_interval=commit_interval,
                quiet=no_progress or as_json,
                as_json=as_json,
            ),
            verbose=verbose,
        )
    )


_PasswordLimit = Annotated[int, typer.Option(min=1, metavar="N", help="How many passwords.")]


@app.command(epilog=examples("cowrie-enrich passwords --limit 500"))
def passwords(
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many passwords are asked about at most.")] = 1_000,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Ask Pwned Passwords about tried passwords that are due, and show how many are in leaks.

    Only the first five digits of a password's SHA-1 leave this machine. Exit code 1 says that the service cannot be
    asked, or gave not one answer.
    """
    from cowrie_pipeline.cli.passwords import check_passwords

    settings = settings_for(db)
    quiet = no_progress or as_json
    raise typer.Exit(guarded(lambda: check_passwords(settings, limit, quiet=quiet, as_json=as_json), verbose=verbose))


@app.command(epilog=examples("cowrie-enrich top-passwords --from 2026-11-01 --to 2026-11-07 --limit 50"))
def top_passwords(
    first: FromOption = None,
    last: ToOption = None,
    limit: _PasswordLimit = 25,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the passwords that were tried most, by how many, and how often they are in leaks."""
    from cowrie_pipeline.cli.passwords import show_top_passwords

    refuse_reversed_days(first, last)
    settings = settings_for(db)
    work = partial(show_top_passwords, settings, first, last, limit, quiet=no_progress or as_json, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@app.command(epilog=examples("cowrie-enrich new-passwords --from 2026-11-01"))
def new_passwords(
    first: FromOption = None,
    last: ToOption = None,
    limit: _PasswordLimit = 100,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the passwords that were tried on these days and never before, those tried most first.

    Without --from it is the last day that has sessions.
    """
    from cowrie_pipeline.cli.passwords import show_new_passwords

    refuse_reversed_days(first, last)
    settings = settings_for(db)
    work = partial(show_new_passwords, settings, first, last, limit, quiet=no_progress or as_json, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@app.command(
    epilog=examples(
        "cowrie-enrich ssh-keys --from 2026-11-01 --csv keys.csv",
        "cowrie-enrich ssh-keys --key SHA256:MkYY9qiVsFGBC5WkjoClCkwEFW5iSjcGQF7m4n4H7Cw",
    )
)
def ssh_keys(
    first: FromOption = None,
    last: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many keys, those of most sessions first.")] = 100,
    key: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Only this key, as SHA256:... or MD5 digits, and its sessions."),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the keys as CSV; - for standard output.")
    ] = None,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the SSH keys that sessions planted into authorized_keys, who planted them, and where else they were seen.

    Keys are found in commands also where these write them by echo, printf or heredoc, or hide them in base64.
    """
    from cowrie_pipeline.cli.ssh_keys import show_ssh_keys

    if as_json and str(csv_file) == "-":
        raise fail("--json and --csv - both write to standard output: name a file for one of them", 2)
    refuse_reversed_days(first, last)
    settings = settings_for(db)
    raise typer.Exit(
        guarded(
            lambda: show_ssh_keys(
                settings,
                first,
                last,
                limit=limit,
                key=key,
                csv_file=csv_file,
                quiet=no_progress or as_json,
                as_json=as_json,
            ),
            verbose=verbose,
        )
    )


@cache.command(epilog=examples("cowrie-enrich cache stats --days 30"))
def stats(
    days: Annotated[int, typer.Option(min=1, help="How many days of use are shown, today included.")] = 14,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what is remembered of each service, and how often it was read and asked on each day."""
    from cowrie_pipeline.cli.cache import show_stats

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_stats(settings, days, as_json=as_json), verbose=verbose))


@cache.command(epilog=examples("cowrie-enrich cache invalidate --service greynoise --older-than 30"))
def invalidate(
    service: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Whose answers, as `cowrie-enrich sources` names it.", autocompletion=complete_source
        ),
    ],
    status: Annotated[Status | None, typer.Option(help="Only outcomes of this kind.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Only what was fetched longer ago.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Only what was said of this address, hash, prefix or AS64500.")
    ] = None,
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the answers of a service due, so that the next run asks again. What is known is kept until then."""
    from cowrie_pipeline.cli.cache import invalidate_service

    settings = settings_for(db)
    refuse_unknown_source("--service", service)
    raise typer.Exit(
        guarded(
            lambda: invalidate_service(
                settings,
                service,
                status=status,
                older_than_days=older_than,
                key=key,
                quiet=no_progress or as_json,
                as_json=as_json,
            ),
            verbose=verbose,
        )
    )


@cache.command(epilog=examples("cowrie-enrich cache clean-up"))
def clean_up(
    db: DbOption = None,
    no_progress: NoProgressOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Remove what expired longer ago than COWRIE_CACHE_KEEP_DAYS; a schedule does it, too."""
    from cowrie_pipeline.cli.cache import remove_expired

    settings = settings_for(db)
    raise typer.Exit(
        guarded(lambda: remove_expired(settings, quiet=no_progress or as_json, as_json=as_json), verbose=verbose)
    )


@cache.command(epilog=examples("cowrie-enrich cache addresses --country FR"))
def addresses(
    country: Annotated[str, typer.Option(metavar="XX", help="Two letters, such as FR.")],
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the addresses that services place in a country, and who says so since when."""
    from cowrie_pipeline.cli.cache import show_addresses

    if not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise fail(f"--country must be two letters such as FR, found {country!r}", 2)
    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_addresses(settings, country.upper(), as_json=as_json), verbose=verbose))


@cache.command(epilog=examples("cowrie-enrich cache flagged --days 30 --json"))
def flagged(
    days: Annotated[float, typer.Option(min=0, help="Of how many days.")] = 7,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the files that scanners call malicious, as VirusTotal said lately, the worst first."""
    from cowrie_pipeline.cli.cache import show_flagged

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_flagged(settings, days, as_json=as_json), verbose=verbose))


@app.command(epilog=examples("cowrie-enrich coverage --from 2026-11-01 --source greynoise"))
def coverage(
    first: Annotated[
        date | None,
        typer.Option("--from", metavar="DAY", parser=parse_day, help="First day. Default: the newest 14 days."),
    ] = None,
    last: ToOption = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only look-ups of this source.", autocompletion=complete_source),
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show how complete the facts are, by field, source and day. A value that says nothing does not count as known."""
    from cowrie_pipeline.cli.coverage import show_coverage

    refuse_reversed_days(first, last)
    if source is not None:
        refuse_unknown_source("--source", source)
    settings = settings_for(db)
    work = partial(show_coverage, settings, first, last, source=source, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@asn.command(epilog=examples("cowrie-enrich asn top --from 2026-11-01 --by addresses --limit 50"))
def top(
    first: FromOption = None,
    last: ToOption = None,
    by: Annotated[Ranking, typer.Option(help="What networks are ordered by.")] = Ranking.SESSIONS,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many networks.")] = 25,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the networks that attacked most, as they were when they attacked."""
    from cowrie_pipeline.cli.knowledge import show_top_networks

    refuse_reversed_days(first, last)
    settings = settings_for(db)
    work = partial(show_top_networks, settings, first, last, by=by, limit=limit, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@asn.command("show", epilog=examples("cowrie-enrich asn show AS64500"))
def show_asn(
    network: _NetworkArgument,
    limit: _RowsOption = 20,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show all that is known of a network: facts and who told them, counts, type and its reason, addresses.

    Exit code 1 says that it is not known here.
    """
    from cowrie_pipeline.cli.knowledge import show_network

    number = parse_network(network)
    settings = settings_for(db)
    work = partial(show_network, settings, number, limit=limit, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@asn.command(epilog=examples("cowrie-enrich asn history AS64500 --json"))
def history(
    network: _NetworkArgument,
    limit: _RowsOption = 50,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show how a network changed: facts that were replaced, addresses that came and left, and its days.

    Exit code 1 says that it is not known here.
    """
    from cowrie_pipeline.cli.knowledge import show_network_history

    number = parse_network(network)
    settings = settings_for(db)
    work = partial(show_network_history, settings, number, limit=limit, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))


@ip.command("show", epilog=examples("cowrie-enrich ip show 203.0.113.7"))
def show_ip(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An IPv4 or IPv6 address.")],
    limit: _RowsOption = 20,
    db: DbOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show all that is known of an address, by source and age, its sessions and its history.

    Exit code 1 says that no session came from it.
    """
    from cowrie_pipeline.cli.knowledge import show_address

    wanted = parse_address(address)
    settings = settings_for(db)
    work = partial(show_address, settings, wanted, limit=limit, as_json=as_json)
    raise typer.Exit(guarded(work, verbose=verbose))
