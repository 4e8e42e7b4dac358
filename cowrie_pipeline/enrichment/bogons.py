"""Bogons: addresses that nobody on the Internet can have, so that nobody is asked about them.

Belongs here: the blocks that IANA set apart (`iana_special_purpose.csv`, dated there) and the longest match over them.
Does not belong here: blocks that are merely unallocated today, or what an address outside them is.

The most specific block that covers an address decides. It is a bogon where that block is not globally reachable. Where
the registry says "N/A" (Teredo, 6to4) it depends on relays: real hosts do write from there, so it is no bogon.
A terminated assignment says nothing any more: the block around it decides, if there is one.

`ipaddress.is_global` is not asked: what it knows differs between Python's versions, and so would the stored facts.
"""

import csv
import ipaddress
import socket
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["BogonBlock", "bogon_block", "is_bogon", "packed_address", "special_purpose_blocks"]

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class BogonBlock:
    """A block set apart: `prefix` in CIDR form; `globally_reachable` is yes, no, n/a or terminated."""

    prefix: str
    name: str
    globally_reachable: str
    registry: str


def is_bogon(address: str) -> bool:
    """Whether nobody on the Internet can have `address`.

    Raises:
        ValueError: `address` is no IP address.
    """
    return bogon_block(address) is not None


def bogon_block(address: str) -> BogonBlock | None:
    """Return the most specific block that makes `address` a bogon, None where it is none.

    An IPv4-mapped IPv6 address is judged by its IPv4 part.

    Raises:
        ValueError: `address` is no IP address.
    """
    packed = packed_address(address)
    starts, blocks = _ranges(len(packed))
    return blocks[bisect_right(starts, int.from_bytes(packed)) - 1]


def packed_address(address: str) -> bytes:
    """Return the 4 or 16 octets of an address; of an IPv4-mapped IPv6 address, the 4 of its IPv4 part.

    `inet_pton` takes a tenth of the time of `ipaddress.ip_address`, and this runs for every address of every batch.

    Raises:
        ValueError: `address` is no IP address.
    """
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError) as error:
        raise ValueError(f"expected an IPv4 or IPv6 address, found {address!r}") from error
    return packed[12:] if packed.startswith(_MAPPED_PREFIX) else packed


@cache
def special_purpose_blocks() -> tuple[BogonBlock, ...]:
    """Return every block of the table, bogon or not, in the table's order."""
    text = resources.files(__package__).joinpath("iana_special_purpose.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(BogonBlock(**row) for row in csv.DictReader(lines))


@cache
def _ranges(octets: int) -> tuple[list[int], list[BogonBlock | None]]:
    """Cut the address space into ranges of one verdict each: their first addresses, and the bogon block of each."""
    networks = [
        (ipaddress.ip_network(block.prefix), block)
        for block in special_purpose_blocks()
        if block.globally_reachable != "terminated"
    ]
    family = [
        (int(network.network_address), int(network.broadcast_address), network.prefixlen, block)
        for network, block in networks
        if network.max_prefixlen == octets * 8
    ]
    edges = {0} | {first for first, *_ in family} | {last + 1 for _, last, *_ in family}
    starts = sorted(edge for edge in edges if edge < 1 << octets * 8)
    blocks: list[BogonBlock | None] = []
    for start in starts:
        covering = [(length, block) for first, last, length, block in family if first <= start <= last]
        _, most_specific = max(covering, key=lambda pair: pair[0], default=(0, None))
        reachable = most_specific is None or most_specific.globally_reachable != "no"
        blocks.append(None if reachable else most_specific)
    return starts, blocks
