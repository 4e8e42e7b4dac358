"""Source addresses in one canonical form."""

import socket
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from cowrie_pipeline.cowrie.text import escape_text

__all__ = ["SourceAddress", "source_address"]

_MAX_SOURCE_LENGTH = 256


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where a session came from.

    `source` tells sessions apart: the canonical address, or the text that stands in its place (a hash in anonymised
    logs), or nothing. `ip` is the address, None where there is none.
    """

    source: str
    ip: str | None


@lru_cache(maxsize=65536)
def source_address(text: str | None) -> SourceAddress:
    """Return the canonical form of a `src_ip`; IPv4-mapped IPv6 becomes IPv4, a zone such as `%eth0` is dropped."""
    if not text:
        return SourceAddress("", None)
    if _is_canonical_ipv4(text):
        return SourceAddress(text, text)
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return SourceAddress(escape_text(text[:_MAX_SOURCE_LENGTH]), None)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return SourceAddress(str(address), str(address))


def _is_canonical_ipv4(text: str) -> bool:
    """Say whether a text is four numbers as an address is written, twenty times as fast as `ip_address` would."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text)) == text
    except (OSError, ValueError):  # ValueError: NUL, or half a surrogate pair
        return False
