"""The command `cowrie-pipeline`.

Exit codes: 0 when all is well, 1 when a blocking check failed or something could not be read, 2 for wrong use.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from cowrie_pipeline.cli.console import OUT, fail
from cowrie_pipeline.cli.options import (
    DbOption,
    FromOption,
    JsonOption,
    NoProgressOption,
    ReportFormat,
    ToOption,
    VersionOption,
    guarded,
    name_command,
    parse_day,
    refuse_reversed_days,
    settings_for,
)
from cowrie_pipeline.warehouse.engine import Warehouse

__all__ = ["app"]

# Of monitoring plugins: whether all is well cannot be known.
_UNKNOWN = 3

app = typer.Typer(
    name="cowrie-pipeline",
    help="Cowrie honeypot logs become sessions, attacking addresses and networks, day by day.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
database = typer.Typer(help="Look after the database.", no_args_is_help=True)
app.add_typer(database, name="db")
alerts = typer.Typer(help="See who is told of trouble, and what is wrong now.", no_args_is_help=True)
app.add_typer(alerts, name="alerts")


@app.callback(invoke_without_command=True)
def main(context: typer.Context, version: VersionOption = False) -> None:
    """Cowrie honeypot logs become sessions, attacking addresses and networks, day by day."""
    del version  # is eager
    name_command("cowrie-pipeline", context)


@app.command()
def run(
    logs: Annotated[
        list[str] | None,
        typer.Option("--logs", metavar="PATH...", help="Log files, folders or globs. Default: COWRIE_LOGS."),
    ] = None,
    more_logs: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="More of them.")] = None,
    db: DbOption = None,
    first: Annotated[
        date | None, typer.Option("--from", metavar="DAY", parser=parse_day, help="First day to materialize.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", metavar="DAY", parser=parse_day, help="Last day to materialize.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the days in the logs and materialize every asset for them, in one process.

    Example: cowrie-pipeline run --logs /srv/cowrie/log/cowrie.json* --db sqlite:////srv/cowrie.db
    """
    # Dagster takes a second to import, which the other commands need not wait for
    from cowrie_pipeline.cli.run import run_pipeline

    paths = (*(logs or ()), *(more_logs or ()))
    settings = settings_for(db, paths)
    if not settings.log_paths:
        raise fail("no logs are named: give --logs PATH or set COWRIE_LOGS", 2)
    refuse_reversed_days(first, last)
    raise typer.Exit(guarded(lambda: run_pipeline(settings, first, last, as_json=as_json)))


@app.command()
def status(
    db: DbOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C: a screen that changes, or a line for each change.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="How often --watch looks.")
    ] = 2.0,
) -> None:
    """Show what is done now and the state of the database in one screen.

    Example: cowrie-pipeline status --watch
    """
    from cowrie_pipeline.cli.status import show_status, watch_status

    if watch and as_json:
        raise fail("--json is one object and --watch has no end: give one of them", 2)
    settings = settings_for(db)
    if watch:
        raise typer.Exit(guarded(lambda: watch_status(settings, seconds=interval)))
    raise typer.Exit(guarded(lambda: show_status(settings, as_json=as_json)))


def _complete_check(incomplete: str) -> list[tuple[str, str]]:
    """Return the checks of `health` whose names begin so, for the shell."""
    from cowrie_pipeline.steps.health import RULES

    return [(name, rule.expected) for name, rule in RULES.items() if name.startswith(incomplete)]


@app.command("health")
def show_health(
    checks: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME",
            autocompletion=_complete_check,
            help="Only this one; may be given again. Default: all, as docs/status.md lists them.",
        ),
    ] = None,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether all is well: exit code 0 if so, 1 for a warning, 2 if critical, 3 if that cannot be known.

    Example: cowrie-pipeline health --check database --check disk
    """
    from cowrie_pipeline.cli.health import show_health as show
    from cowrie_pipeline.steps.health import RULES

    if wrong := [name for name in checks or () if name not in RULES]:
        raise fail(f"--check must be one of {', '.join(RULES)}, found {wrong[0]!r}", _UNKNOWN)
    try:
        settings = settings_for(db)
        code = guarded(lambda: show(settings, checks or (), as_json=as_json))
    except typer.Exit as ended:
        # the error is told; what monitoring is to make of it is that nothing is known
        code = _UNKNOWN if ended.exit_code else 0
    raise typer.Exit(code)


@app.command()
def metrics(
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen; others see it only if it is not local.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, metavar="PORT", help="Default: COWRIE_METRICS_PORT. 0 for any that is free."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print all metrics and exit.")] = False,
    db: DbOption = None,
) -> None:
    """Serve what the pipeline does to Prometheus, until it is stopped.

    Example: cowrie-pipeline metrics --port 9464
    """
    from cowrie_pipeline.cli.metrics import print_metrics, serve_metrics

    settings = settings_for(db)
    served_at = settings.metrics_port if port is None else port
    raise typer.Exit(
        guarded(lambda: print_metrics(settings) if once else serve_metrics(settings, host=host, port=served_at))
    )


@app.command()
def worker(
    queues: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="NAME", help="Take steps from this queue; may be given again. Default: all."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1024, metavar="N", help="How many steps at once. Default: one a core.")
    ] = None,
) -> None:
    """Do steps of runs whose COWRIE_EXECUTOR is celery, until it is stopped (docs/workers.md).

    Example: cowrie-pipeline worker --queue cowrie --concurrency 2
    """
    from cowrie_pipeline.cli.worker import work

    settings = settings_for()
    raise typer.Exit(guarded(lambda: work(settings, queues or (), concurrency)))


def _complete_report(incomplete: str) -> list[tuple[str, str]]:
    """Return the reports whose names begin so, for the shell."""
    from cowrie_pipeline.steps.reports import all_reports

    return [(spec.name, spec.title) for spec in all_reports() if spec.name.startswith(incomplete)]


@app.command()
def report(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=_complete_report, help="Which; without it all are listed."),
    ] = None,
    first: Annotated[
        date | None, typer.Option("--from", metavar="DAY", parser=parse_day, help="First day. Default: the report's.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", metavar="DAY", parser=parse_day, help="Last day. Default: the report's.")
    ] = None,
    as_format: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="Default: what the name of the --output file ends with, or a table."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows at most. Default: 50 in a table, else all.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE", help="A parameter of the report's own; may be given again."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write this file. Default: standard output.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List all reports and the questions they answer.")] = False,
    db: DbOption = None,
) -> None:
    """Answer a question about networks, addresses, countries or coverage over a span of days.

    Example: cowrie-pipeline report top_networks_by_sessions --from 2026-11-01 --format csv --output networks.csv
    """
    from cowrie_pipeline.cli.report import list_reports, show_report

    if list_all or name is None:
        raise typer.Exit(list_reports(as_json=as_format is ReportFormat.JSON))
    refuse_reversed_days(first, last)
    settings = settings_for(db)
    raise typer.Exit(
        guarded(
            lambda: show_report(
                settings, name, first, last, as_format=as_format, limit=limit, values=values or (), output=output
            )
        )
    )


@app.command()
def generate_logs(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")],
    days: Annotated[int, typer.Option(min=1, help="How many days.")] = 3,
    sessions_per_day: Annotated[int, typer.Option(min=1, help="How many sessions begin on each day.")] = 500,
    addresses: Annotated[int, typer.Option(min=1, help="How many addresses attack.")] = 200,
    sensors: Annotated[int, typer.Option(min=1, help="How many honeypots write.")] = 2,
    first_day: Annotated[
        date | None,
        typer.Option(metavar="DAY", parser=parse_day, help="First day. Default: so that the last is yesterday."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same logs.")] = 1,
    compress: Annotated[bool, typer.Option(help="Write .gz files.")] = False,
    geoip: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write GeoLite2-shaped databases that know the addresses."),
    ] = None,
) -> None:
    """Write synthetic Cowrie logs, the same for the same seed."""
    from cowrie_pipeline.cli.demo import write_synthetic_logs
    from cowrie_pipeline.cowrie.synthetic import SyntheticPlan

    plan = SyntheticPlan(
        seed=seed,
        first_day=first_day or _days_ago(days),
        days=days,
        sessions_per_day=sessions_per_day,
        addresses=addresses,
        sensors=sensors,
    )
    raise typer.Exit(guarded(lambda: write_synthetic_logs(plan, folder, geoip, compress=compress)))


@app.command()
def demo(as_json: JsonOption = False) -> None:
    """Make logs of a few days, materialize everything into SQLite, and show what came out."""
    from cowrie_pipeline.cli.demo import run_demo

    settings = settings_for()
    raise typer.Exit(guarded(lambda: run_demo(settings, as_json=as_json)))


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Where the webserver listens.")] = 3000) -> None:
    """Open Dagster's webserver and daemon on localhost, with the demo's data if nothing else is there yet."""
    from cowrie_pipeline.cli.demo import run_ui

    settings = settings_for()
    guarded(lambda: run_ui(settings, port))


@database.command()
def upgrade(db: DbOption = None) -> None:
    """Bring the database's schema up to date; `run` does it by itself."""
    from cowrie_pipeline.warehouse.schema import upgrade_schema

    settings = settings_for(db)

    def work() -> int:
        warehouse = Warehouse.of(settings)
        before, after = upgrade_schema(warehouse)
        OUT.print(f"{warehouse.safe_url}: schema {before or 'none'} -> {after}", markup=False)
        warehouse.dispose()
        return 0

    raise typer.Exit(guarded(work))


@database.command()
def move(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="Database to move; it is only read.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="Empty database, or one half moved to.")],
    as_json: JsonOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Copy a whole database to one of another kind, and compare every table. Stop the pipeline first.

    Example: cowrie-pipeline db move --from sqlite:////srv/cowrie.db --to postgresql+psycopg://cowrie@db.example.org/cowrie
    """
    from cowrie_pipeline.cli.move_database import move as work

    settings = settings_for()
    raise typer.Exit(guarded(lambda: work(settings, source, target, as_json=as_json, quiet=no_progress)))


@database.command()
def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What to write.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a file of that name.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Write the database to one file while everything runs: an SQLite database, or a dump of PostgreSQL.

    Example: cowrie-pipeline db backup /var/backups/cowrie.db
    """
    from cowrie_pipeline.cli.care import make_backup

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: make_backup(settings, path, replace=replace, as_json=as_json, quiet=no_progress)))


@database.command()
def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Lose what is in the database now.")] = False,
    db: DbOption = None,
    as_json: JsonOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Put what a backup holds in the place of the database, or leave it as it is. Stop the pipeline first.

    Example: cowrie-pipeline db restore /var/backups/cowrie.db --replace
    """
    from cowrie_pipeline.cli.care import restore_backup

    settings = settings_for(db)
    raise typer.Exit(
        guarded(lambda: restore_backup(settings, path, replace=replace, as_json=as_json, quiet=no_progress))
    )


@database.command()
def check(
    first: FromOption = None,
    last: ToOption = None,
    db: DbOption = None,
    as_json: JsonOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Run every check at once: of the files, indexes and constraints, and of all rows. Ends with 1 if one failed.

    Example: cowrie-pipeline db check --json
    """
    from cowrie_pipeline.cli.care import show_checks

    refuse_reversed_days(first, last)
    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show_checks(settings, first, last, as_json=as_json, quiet=no_progress)))


@alerts.command("test")
def alerts_test(as_json: JsonOption = False) -> None:
    """Send a test message to every receiver of COWRIE_ALERTS_FILE, and show what each says."""
    from cowrie_pipeline.cli.alerts import test_receivers

    settings = settings_for()
    raise typer.Exit(guarded(lambda: test_receivers(settings, as_json=as_json)))


@alerts.command("list")
def list_alerts(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show incidents that are not over, and messages that wait to be delivered."""
    from cowrie_pipeline.cli.alerts import list_alerts as show

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: show(settings, as_json=as_json)))


@alerts.command("send")
def send_alerts(db: DbOption = None, as_json: JsonOption = False) -> None:
    """Look for trouble and deliver what waits, once, as Dagster's sensors do: for cron, or where no daemon runs."""
    from cowrie_pipeline.cli.alerts import send_alerts as send

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: send(settings, as_json=as_json)))


@alerts.command("close")
def close_alert(
    incident: Annotated[str, typer.Argument(help="The incident, as `alerts list` names it.")], db: DbOption = None
) -> None:
    """End an incident that nothing will end, such as a run that nobody means to repeat."""
    from cowrie_pipeline.cli.alerts import close_alert as close

    settings = settings_for(db)
    raise typer.Exit(guarded(lambda: close(settings, incident)))


def _days_ago(days: int) -> date:
    today = datetime.now(UTC).date()
    return date.fromordinal(today.toordinal() - days)
