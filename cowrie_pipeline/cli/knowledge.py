"""The commands `asn` and `ip show`: what is known of networks and addresses, who said so, and how it changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

import typer

from cowrie_pipeline.cli.console import fail, in_words, print_json, print_line, print_table, time_shown
from cowrie_pipeline.cli.database import open_filled, span_of
from cowrie_pipeline.settings import Settings
from cowrie_pipeline.steps.address_view import AddressView, address_view
from cowrie_pipeline.steps.network_view import (
    Fact,
    NetworkHistory,
    NetworkView,
    Ranking,
    SourceFacts,
    network_history,
    network_view,
    top_networks,
)

__all__ = ["show_address", "show_network", "show_network_history", "show_top_networks"]

_SAID = 100


def show_top_networks(
    settings: Settings, first: date | None, last: date | None, *, by: Ranking, limit: int, as_json: bool
) -> int:
    """Print the networks that attacked most, at attack time; return the exit code."""
    with open_filled(settings) as warehouse:
        days = span_of(warehouse, first, last)
        with warehouse.read() as connection:
            found = [] if days is None else top_networks(connection, days, by=by, limit=limit)
        url = warehouse.safe_url
    if as_json:
        span = None if days is None else [days.first, days.last]
        print_json({"database": url, "days": span, "by": by, "networks": [asdict(each) for each in found]})
        return 0
    title = "no days with sessions" if days is None else f"{days.first} to {days.last}"
    print_table(
        f"Networks by {by.replace('-', ' ')}, {title}",
        (
            "network",
            "organization",
            "country",
            "type",
            "sessions",
            "addresses",
            "log-ins",
            "successful",
            "commands",
            "downloads",
        ),
        [
            (
                f"AS{each.asn}",
                each.organization,
                each.country,
                each.asn_type,
                each.sessions,
                each.addresses,
                each.logins,
                each.successful_logins,
                each.commands,
                each.downloads,
            )
            for each in found
        ],
    )
    if not found:
        print_line(f"No network is known of any session, {title}.")
    return 0


def show_network(settings: Settings, asn: int, *, limit: int, as_json: bool) -> int:
    """Print a network; return the exit code: 1 if it never attacked."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        found = network_view(connection, asn, limit=limit)
    if found is None:
        raise _unknown_network(asn)
    if as_json:
        print_json(asdict(found))
        return 0
    _print_network(found)
    return 0


def _unknown_network(asn: int) -> typer.Exit:
    return fail(f"AS{asn} is not known here: no address of it attacked; `cowrie-enrich asn top` shows who did", 1)


def _print_network(network: NetworkView) -> None:
    print_line(f"AS{network.asn}", style="bold")
    print_line(
        f"first seen {time_shown(network.first_seen) or '-'}, last {time_shown(network.last_seen) or '-'} (UTC); "
        f"{network.unique_addresses:,} addresses are in it today"
    )
    print_line(
        f"{network.sessions_at_attack:,} sessions came from it when they attacked; {network.sessions_now:,} sessions "
        "are of addresses that are in it today"
    )
    print_line("")
    _print_facts(network.facts)
    _print_sources(network.sources)
    print_table(
        "Its addresses with most sessions",
        ("address", "country", "type", "sessions", "first", "last"),
        [
            (
                each.address,
                each.country,
                each.ip_type,
                each.sessions,
                time_shown(each.first_seen),
                time_shown(each.last_seen),
            )
            for each in network.addresses
        ],
    )


def show_network_history(settings: Settings, asn: int, *, limit: int, as_json: bool) -> int:
    """Print how a network changed; return the exit code: 1 if it never attacked."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        found = network_history(connection, asn, limit=limit)
    if found is None:
        raise _unknown_network(asn)
    if as_json:
        print_json(asdict(found))
        return 0
    _print_history(found)
    return 0


def _print_history(history: NetworkHistory) -> None:
    print_line(f"AS{history.asn}", style="bold")
    _print_rows("Facts that were replaced, the newest first", history.replaced, without=("asn_number",))
    _print_rows(
        f"Addresses in it and since when, the newest {len(history.spans):,} of {history.span_count:,} spans",
        history.spans,
    )
    _print_rows("Days, at attack time", history.days, without=("asn_number",))
    if not history.replaced:
        print_line("No fact of it was ever replaced.")


def show_address(settings: Settings, address: str, *, limit: int, as_json: bool) -> int:
    """Print everything that is known of an address; return the exit code: 1 if it never attacked."""
    with open_filled(settings) as warehouse, warehouse.read() as connection:
        found = address_view(connection, address, limit=limit)
    if found is None:
        raise fail(f"{address} is not known here: no session came from it", 1)
    if as_json:
        print_json(asdict(found))
        return 0
    _print_address(found)
    return 0


def _print_address(address: AddressView) -> None:
    print_line(address.address, style="bold")
    print_line(
        f"first seen {time_shown(address.first_seen) or '-'}, last {time_shown(address.last_seen) or '-'} (UTC); "
        f"looked up {_age(address.updated_at)}, {address.state or 'never looked up'}, due "
        f"{time_shown(address.due_at) or 'now'}"
    )
    totals = ((name.removesuffix("_count").replace("_", " "), count) for name, count in address.totals.items())
    print_line(", ".join(f"{name} {count:,}" for name, count in totals))
    print_line("")
    _print_facts(address.facts)
    _print_sources(address.sources)
    _print_rows("Networks that it belonged to", address.networks)
    _print_rows("Changes of country", address.country_changes)
    _print_rows("Who it was when it attacked", address.snapshots)
    _print_rows("Its newest sessions", address.sessions)


def _print_facts(facts: Sequence[Fact]) -> None:
    known = [(each.name, _text(each.value), each.basis) for each in facts if each.value is not None]
    print_table("What is believed", ("fact", "value", "by"), known)
    unknown = [each.name for each in facts if each.value is None]
    if unknown:
        print_line(f"Not known: {', '.join(unknown)}")
        print_line("")


def _print_sources(sources: Sequence[SourceFacts]) -> None:
    print_table(
        "What each source said",
        ("source", "outcome", "fetched", "age", "asked again", "said"),
        [
            (
                each.source,
                each.status,
                time_shown(each.fetched_at),
                _age(each.fetched_at),
                time_shown(each.asked_again_at) or "when next looked up",
                _shortened(each.last_error or _said(each.said)),
            )
            for each in sources
        ],
    )


def _print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, without: Sequence[str] = ()) -> None:
    if not rows:
        return
    columns = [name for name in rows[0] if name not in without]
    headings = [name.removeprefix("snapshot_").removesuffix("_count").replace("_", " ") for name in columns]
    print_table(title, headings, [[_cell(name, row[name]) for name in columns] for row in rows])


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return time_shown(value)
    # the number of a network is no amount
    return f"AS{value}" if "asn" in name and isinstance(value, int) else value


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _said(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()) or "-"


def _shortened(text: str) -> str:
    return text if len(text) <= _SAID else f"{text[: _SAID - 3]}..."


def _age(time: datetime | None) -> str:
    return "never" if time is None else f"{in_words(datetime.now(UTC) - time)} ago"
