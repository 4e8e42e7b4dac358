"""Classify networks by the name that their row has, and give their addresses the type that follows.

Belongs here: which rows change when a name or a rule did, and writing them.
Does not belong here: the rules (enrichment/network_types.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, FromClause, Text, case, null, select, update

from cowrie_pipeline.enrichment.merge import IpType, merge
from cowrie_pipeline.enrichment.network_types import NetworkRules, first_type, ip_type_of
from cowrie_pipeline.warehouse.bulk import staged
from cowrie_pipeline.warehouse.tables import asn_inventory, ip_inventory

__all__ = ["classify_networks"]

_TYPE_COLUMNS = ("asn_type", "asn_type_basis", "is_known_hosting", "is_known_vpn")
_ROWS_AT_ONCE = 10_000
_TYPES: Mapping[str | None, IpType] = {kind.value: kind for kind in IpType}


def classify_networks(connection: Connection, asns: Iterable[int] | None, *, rules: NetworkRules, now: datetime) -> int:
    """Give each network the type that the rules say of its number and name; return how many rows changed.

    Only rows that change are written. Where that changes what the network says of its addresses, their `ip_type` is
    made anew: the first of what their sources and their network say.

    Args:
        connection: a transaction that writes inventories (`Warehouse.begin(lock="facts")`).
        asns: the networks; None for all.
        rules: the rules.
        now: time of the work, UTC.
    """
    changed = []
    claims = []
    with _chosen(connection, asns) as networks:
        # Locked in the order of their numbers, as all who write networks do, so that none waits for the other.
        for asn, name, *before in connection.execute(networks):
            after = rules.classify(asn, name)
            if tuple(before) == (after.asn_type.value, *after[1:]):
                continue
            changed.append((asn, after.asn_type.value, *after[1:], now))
            said, says = ip_type_of(before[0]), ip_type_of(after.asn_type)
            if said is not says:
                claims.append((asn, said, says))
    if not changed:
        return 0
    kinds = {name: asn_inventory.c[name].type for name in ("asn_number", *_TYPE_COLUMNS, "updated_at")}
    with staged(connection, "classified_networks", kinds, changed) as found:
        values = {name: found.c[name] for name in (*_TYPE_COLUMNS, "updated_at")}
        connection.execute(update(asn_inventory).where(asn_inventory.c.asn_number == found.c.asn_number).values(values))
    if claims:
        _retype_addresses(connection, claims)
    return len(changed)


@contextmanager
def _chosen(connection: Connection, asns: Iterable[int] | None) -> Iterator[Any]:
    """Give the query for the networks to classify."""
    columns = [asn_inventory.c[name] for name in ("asn_number", "organization_name", *_TYPE_COLUMNS)]
    query = select(*columns).order_by(asn_inventory.c.asn_number).with_for_update(of=asn_inventory)
    if asns is None:
        yield query
        return
    numbers = ((asn,) for asn in sorted(set(asns)))
    with staged(connection, "asked_networks", {"asn_number": BigInteger()}, numbers) as asked:
        yield query.join(asked, asked.c.asn_number == asn_inventory.c.asn_number)


def _retype_addresses(connection: Connection, claims: Sequence[tuple[int, IpType | None, IpType | None]]) -> None:
    """Make `ip_type` anew of the addresses of networks, given with what each said of its addresses and says now."""
    kinds: Mapping[str, Any] = {"asn_number": BigInteger(), "said": Text(), "says": Text()}
    with staged(connection, "network_claims", kinds, claims) as of_network:
        retyped = list(_retyped(connection, of_network))
        # Of the others nobody had said anything.
        connection.execute(
            update(ip_inventory)
            .where(ip_inventory.c.current_asn == of_network.c.asn_number, ip_inventory.c.ip_type.is_(None))
            .values(ip_type=of_network.c.says)
        )
    kinds = {name: ip_inventory.c[name].type for name in ("ip_address", "ip_type")}
    with staged(connection, "retyped_addresses", kinds, retyped) as found:
        connection.execute(
            update(ip_inventory).where(ip_inventory.c.ip_address == found.c.ip_address).values(ip_type=found.c.ip_type)
        )


def _retyped(connection: Connection, of_network: FromClause) -> Iterator[tuple[str, str | None]]:
    """Yield the addresses whose type becomes another, of those that have one."""
    # Only where the type is the one that the network gave can the sources have said something else, or nothing.
    is_of_network = ip_inventory.c.ip_type == of_network.c.said
    query = (
        select(
            ip_inventory.c.ip_address,
            ip_inventory.c.ip_type,
            of_network.c.says,
            is_of_network.label("is_of_network"),
            case((is_of_network, ip_inventory.c.enrichment), else_=null()).label("enrichment"),
        )
        .join(of_network, of_network.c.asn_number == ip_inventory.c.current_asn)
        .where(ip_inventory.c.ip_type.is_not(None))
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    for address, before, says, given_by_network, document in connection.execute(query):
        said = merge(document).ip_type if given_by_network else _TYPES.get(before)
        after = first_type(said, _TYPES.get(says))
        if after != before and (after is not None or given_by_network):
            yield address, after
