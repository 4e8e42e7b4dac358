"""What days hold, in the few numbers that somebody wants to see first."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from cowrie_pipeline.cli.console import OUT, print_table
from cowrie_pipeline.steps.days import DayRange
from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.tables import asn_inventory, session_summaries

__all__ = ["Overview", "overview_of", "print_overview"]

_TOP = 8


@dataclass(frozen=True, slots=True)
class Overview:
    """Totals of some days, and the networks and countries that attacked most."""

    days: DayRange
    totals: dict[str, int]
    networks: list[tuple[Any, ...]]
    countries: list[tuple[Any, ...]]


def overview_of(warehouse: Warehouse, days: DayRange) -> Overview:
    """Read the overview of the sessions that began in `days`."""
    table = session_summaries.c
    began = (table.first_event_at >= days.start) & (table.first_event_at < days.end)
    with warehouse.read() as connection:
        totals = connection.execute(
            select(
                func.count().label("sessions"),
                func.count(table.source_ip.distinct()).label("addresses"),
                func.count().filter(table.source_ip.is_(None)).label("sessions without an address"),
                func.count(table.snapshot_asn.distinct()).label("networks"),
                func.count(table.snapshot_country.distinct()).label("countries"),
                func.coalesce(func.sum(table.login_success_count), 0).label("successful log-ins"),
                func.coalesce(func.sum(table.command_count), 0).label("commands"),
                func.coalesce(func.sum(table.file_download_count), 0).label("downloads"),
            ).where(began)
        ).one()
        networks = connection.execute(
            select(
                table.snapshot_asn,
                func.min(asn_inventory.c.organization_name),
                func.count(),
                func.count(table.source_ip.distinct()),
                func.sum(table.login_success_count),
            )
            .join(asn_inventory, asn_inventory.c.asn_number == table.snapshot_asn)
            .where(began)
            .group_by(table.snapshot_asn)
            .order_by(func.count().desc(), table.snapshot_asn)
            .limit(_TOP)
        ).all()
        countries = connection.execute(
            select(table.snapshot_country, func.count(), func.count(table.source_ip.distinct()))
            .where(began, table.snapshot_country.is_not(None))
            .group_by(table.snapshot_country)
            .order_by(func.count().desc(), table.snapshot_country)
            .limit(_TOP)
        ).all()
    return Overview(
        days,
        {name: int(value) for name, value in totals._mapping.items()},  # noqa: SLF001 - SQLAlchemy's public name
        [tuple(row) for row in networks],
        [tuple(row) for row in countries],
    )


def print_overview(overview: Overview) -> None:
    """Print it."""
    OUT.print(f"[bold]{overview.days.first} to {overview.days.last}[/bold]")
    OUT.print("   ".join(f"{count:,} {name}" for name, count in overview.totals.items() if count))
    OUT.print()
    print_table(
        "Top networks",
        ("network", "organization", "sessions", "addresses", "successful log-ins"),
        [
            (f"AS{asn}", name or "-", sessions, addresses, int(logins))
            for asn, name, sessions, addresses, logins in overview.networks
        ],
    )
    print_table("Top countries", ("country", "sessions", "addresses"), overview.countries)
