"""The commands `demo` and `generate-logs`: something to look at on a fresh machine."""

import os
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

from cowrie_pipeline.cli.console import OUT
from cowrie_pipeline.cowrie.synthetic import SyntheticPlan, networks, write_logs
from cowrie_pipeline.enrichment.made_geoip import GeoRow, write_geoip
from cowrie_pipeline.settings import Settings, export_settings

__all__ = ["run_demo", "run_ui", "write_synthetic_logs"]

_DAYS = 4
_SESSIONS_PER_DAY = 600
_ADDRESSES = 400


def write_synthetic_logs(plan: SyntheticPlan, folder: Path, geoip: Path | None, *, compress: bool) -> int:
    """Write the logs of `plan`, and databases that know their addresses; return the exit code."""
    report = write_logs(plan, folder, compress=compress)
    OUT.print(
        f"{folder}: {report.files:,} files, {report.lines:,} lines, {report.sessions:,} sessions from "
        f"{report.addresses:,} addresses",
        markup=False,
    )
    if geoip is not None:
        _write_geoip(plan, geoip)
        OUT.print(f"{geoip}: made City and ASN databases that know them", markup=False)
    return 0


def _write_geoip(plan: SyntheticPlan, folder: Path) -> None:
    write_geoip(folder, (GeoRow(**asdict(network)) for network in networks(plan)))


def run_demo(settings: Settings, *, as_json: bool) -> int:
    """Make logs and databases, materialize everything into a database of the demo's own, and say how to go on."""
    from cowrie_pipeline.cli.run import run_pipeline

    folder = _demo_folder(settings)
    # the demo is the same each time, whatever was there before
    shutil.rmtree(folder, ignore_errors=True)
    today = datetime.now(UTC).date()
    plan = SyntheticPlan(
        seed=1,
        first_day=date.fromordinal(today.toordinal() - _DAYS),
        days=_DAYS,
        sessions_per_day=_SESSIONS_PER_DAY,
        addresses=_ADDRESSES,
    )
    if not as_json:
        OUT.print("Writing synthetic logs: invented attackers, invented networks, nothing leaves this machine.")
    write_logs(plan, folder / "logs")
    _write_geoip(plan, folder / "geoip")
    _use_demo(folder)
    code = run_pipeline(Settings.from_environment(), None, None, as_json=as_json)
    if not as_json:
        OUT.print()
        OUT.print("What next:")
        OUT.print("  make ui                                     look at assets, runs and checks on localhost:3000")
        OUT.print(f"  .venv/bin/cowrie-pipeline status --db {_database_of(folder)}", markup=False)
        OUT.print("  .venv/bin/cowrie-pipeline run --logs PATH   the same with your own logs")
    return code


def run_ui(settings: Settings, port: int) -> NoReturn:
    """Become Dagster's webserver and daemon, until they are stopped."""
    from cowrie_pipeline.orchestration.runs import open_instance

    folder = _demo_folder(settings)
    has_own_data = settings.db_url or settings.logs or (settings.state_dir / "cowrie.db").exists()
    if not has_own_data and folder.is_dir():
        _use_demo(folder)
        OUT.print("Nothing of your own is there yet, so this is the demo's data.")
    open_instance(settings).dispose()  # sets DAGSTER_HOME for the child
    OUT.print(f"Open http://127.0.0.1:{port} - stop it with Ctrl+C.")
    # in a checkout the name that other commands know the code by: a run of another name could not be tried again
    code = ("-w", "workspace.yaml") if Path("workspace.yaml").exists() else ("-m", "cowrie_pipeline.definitions")
    command = ("-m", "dagster", "dev", *code, "-h", "127.0.0.1", "-p", str(port))
    OUT.file.flush()
    # in the place of this process, so that whatever stops it stops Dagster
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - our own words, and no shell


def _demo_folder(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "demo"


def _database_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'cowrie.db'}"


def _use_demo(folder: Path) -> None:
    """Have this process and its children use the demo's logs, databases and warehouse, and ask nobody."""
    export_settings(db_url=_database_of(folder), logs=(str(folder / "logs"),), geoip_dir=folder / "geoip", offline=True)
