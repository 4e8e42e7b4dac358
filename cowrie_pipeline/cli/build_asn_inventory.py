"""The command `build-asn-inventory`: the inventory of networks completed from the addresses that are there."""

from dataclasses import asdict
from datetime import UTC, datetime

from cowrie_pipeline.cli.console import print_json, print_line, print_table, show_progress
from cowrie_pipeline.cli.database import open_filled
from cowrie_pipeline.enrichment.build import network_rules_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.asn_inventory_build import AsnBuildReport, build_asn_inventory

__all__ = ["build_networks"]


def build_networks(settings: Settings, *, batch_size: int, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Complete the inventory of networks, or say what that would change; return the exit code."""
    with open_filled(settings) as warehouse, show_progress(quiet=quiet) as on_progress:
        report = build_asn_inventory(
            warehouse,
            rules=network_rules_of(settings),
            now=datetime.now(UTC),
            batch_size=batch_size,
            dry_run=dry_run,
            on_progress=lambda done, total: on_progress("writing networks", done, total),
        )
    if as_json:
        print_json(asdict(report) | {"changed": report.changed})
    else:
        _print(report)
    return 0


def _print(report: AsnBuildReport) -> None:
    note = " (dry run: nothing is written)" if report.dry_run else ""
    print_line(f"{report.networks:,} networks have addresses{note}")
    if report.changed:
        verb = "would be" if report.dry_run else "were"
        print_line(
            f"{report.created:,} {verb} created, {report.classified:,} {verb} classified, {report.recounted:,} {verb} "
            f"recounted; {verb} filled: organization {report.organizations:,}, country {report.countries:,}, registry "
            f"{report.registries:,}"
        )
    else:
        print_line("All of them are complete as far as their addresses know: nothing to change.")
    if report.malformed:
        print_line(
            f"{report.malformed:,} addresses have documents of which something could not be used, and was skipped:",
            style="yellow",
        )
        print_table(
            "Malformed documents",
            ("first address", "network", "found", "addresses"),
            [(each.ip_address, f"AS{each.asn_number}", each.found, each.addresses) for each in report.malformed_named],
        )
