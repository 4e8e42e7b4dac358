"""The command `health`: is all well, for monitoring systems.

It ends with 0 where all is well, 1 for a warning, 2 for something critical and 3 where that cannot be known, as
monitoring plugins do, within the time that COWRIE_HEALTH_SECONDS gives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread
from time import monotonic
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from cowrie_pipeline.cli.console import print_json, print_line
from cowrie_pipeline.observability.status_files import read_status
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps import health
from cowrie_pipeline.steps.health import RULES, DatabaseState, Health, Level
from cowrie_pipeline.warehouse.engine import WarehouseError

__all__ = ["HEALTH_SCHEMA", "show_health"]

# Raised when a reader of the last version would misunderstand the object that --json prints.
HEALTH_SCHEMA = 1
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.CRITICAL: "red", Level.UNKNOWN: "magenta"}
# What each check is judged by; what no check asks for is not read.
_READS = {
    "database": ("database",),
    "disk": ("rooms",),
    "sources": ("database", "status"),
    "freshness": ("database",),
    "geoip": ("geoip",),
    "runs": ("instance", "status"),
    "queue": ("instance",),
    "processes": ("instance", "status"),
}


@dataclass(slots=True)
class _Reading:
    """What was read, or why it could not be; neither while it is still being read."""

    value: Any = None
    error: Exception | None = None
    is_done: bool = False


def show_health(settings: Settings, checks: Sequence[str], *, as_json: bool) -> int:
    """Do the checks, all where none is named; print a line for each, the worst first in one; return the exit code."""
    names = [name for name in RULES if name in checks or not checks]
    now = datetime.now(UTC)
    results = _results(settings, names, now)
    level = health.worst(results)
    if as_json:
        print_json(
            {
                "schema": HEALTH_SCHEMA,
                "at": now,
                "state": level.name.lower(),
                "code": int(level),
                "checks": [
                    {
                        "check": each.check,
                        "state": each.level.name.lower(),
                        "code": int(each.level),
                        "expected": each.expected,
                        "found": each.found,
                        "remedy": each.remedy or None,
                    }
                    for each in results
                ],
            }
        )
        return int(level)
    # monitoring systems show the first line
    bad = ", ".join(f"{each.check} {each.level.name.lower()}" for each in results if each.level is not Level.OK)
    print_line(f"COWRIE {level.name}: {bad or f'{len(results)} checks'}", _STYLES[level])
    for each in results:
        line = f"{each.level.name:<8} {each.check:<9} {each.found}"
        if each.level is not Level.OK:
            line += f" | expected: {each.expected} | do: {each.remedy}"
        print_line(line, _STYLES[each.level])
    return int(level)


def _results(settings: Settings, names: Sequence[str], now: datetime) -> list[Health]:
    readers: dict[str, Callable[[], Any]] = {
        # of the time of all half, so that it is the database that gives up and says why
        "database": lambda: health.read_database(settings, seconds=settings.health_seconds / 2, now=now),
        "rooms": lambda: health.read_rooms(settings),
        "geoip": lambda: health.read_geoip(settings),
        "status": lambda: read_status(settings.status_folder, now=now),
    }
    wanted = {reading for name in names for reading in _READS[name]}
    if "instance" in wanted:
        # it takes a second to import, which is not to count
        from cowrie_pipeline.orchestration.health import read_instance

        readers["instance"] = lambda: read_instance(settings, now=now)
    readings = _read({name: reader for name, reader in readers.items() if name in wanted}, settings.health_seconds)
    return [_judged(name, readings, settings, now) for name in names]


def _read(readers: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, _Reading]:
    """Read all at the same time, and wait no longer than `seconds`: a disk or a server may never answer."""
    readings = {name: _Reading() for name in readers}

    def read(name: str) -> None:
        reading = readings[name]
        try:
            reading.value = readers[name]()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is found and told
            reading.error = error
        reading.is_done = True

    # daemons, so that one that never ends does not keep the process
    threads = [Thread(target=read, args=(name,), name=f"health {name}", daemon=True) for name in readers]
    deadline = monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return readings


def _judged(name: str, readings: Mapping[str, _Reading], settings: Settings, now: datetime) -> Health:
    """Judge one check, or say why it cannot be.

    Where Dagster's storage is away, the status files alone tell of trouble; that all is well they cannot tell alone.
    """
    values = {needed: readings[needed].value for needed in _READS[name]}
    unread = [
        _unread(name, needed, readings[needed], settings)
        for needed in values
        if not readings[needed].is_done or readings[needed].error is not None
    ]
    if unread and not (_READS[name] == ("instance", "status") and readings["status"].value is not None):
        return unread[0]
    database = values.get("database")
    if isinstance(database, DatabaseState) and name != "database" and not database.is_usable:
        return Health(name, Level.UNKNOWN, RULES[name].expected, "see the check database", RULES["database"].remedy)
    judges: dict[str, Callable[..., Health]] = {
        "database": health.judge_database,
        "disk": lambda rooms: health.judge_disk(rooms, settings),
        "sources": lambda database, status: health.judge_sources(database, status, settings, now=now),
        "freshness": lambda database: health.judge_freshness(database, now=now),
        "geoip": lambda geoip: health.judge_geoip(geoip, settings, now=now),
        "runs": lambda instance, status: health.judge_runs(instance, status, settings, now=now),
        "queue": lambda instance: health.judge_queue(instance, settings, now=now),
        "processes": lambda instance, status: health.judge_processes(instance, status, now=now),
    }
    judged = judges[name](*values.values())
    return unread[0] if unread and judged.level is Level.OK else judged


def _unread(name: str, needed: str, reading: _Reading, settings: Settings) -> Health:
    """Say why something could not be read; critical where that is what the check is about."""
    rule = RULES[name]
    if name != "database" and needed == "database":
        return Health(name, Level.UNKNOWN, rule.expected, "see the check database", RULES["database"].remedy)
    level = Level.CRITICAL if (name, needed) in (("database", "database"), ("queue", "instance")) else Level.UNKNOWN
    if not reading.is_done:
        found = f"no answer within {settings.health_seconds:g} seconds (COWRIE_HEALTH_SECONDS)"
    elif isinstance(reading.error, WarehouseError):
        # it says what to do
        return Health(name, level, rule.expected, str(reading.error), rule.remedy)
    elif isinstance(reading.error, OSError):
        found = f"{reading.error.filename or needed}: {reading.error.strerror or reading.error}"
    elif isinstance(reading.error, SQLAlchemyError):
        cause = getattr(reading.error, "orig", None) or reading.error
        found = str(cause).strip().splitlines()[0]
    else:
        found = f"an unexpected {type(reading.error).__name__} while reading the {needed}"
    return Health(name, level, rule.expected, found, rule.remedy)
