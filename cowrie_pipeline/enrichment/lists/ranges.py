"""Which of many ranges of numbers a number is in: prefixes of addresses, runs of AS numbers.

Belongs here: the flattened table and its search.
Does not belong here: what the ranges stand for, files.
"""

import heapq
import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["AddressTable", "RangeTable"]

Value = TypeVar("Value")


class RangeTable(Generic[Value]):
    """Values by ranges (first, last, value), both ends included; of several that hold a number, the narrowest counts.

    Of equally narrow ones the first given counts. The ranges are cut into pieces of one value each, so that a look-up
    is one binary search, however they overlap.
    """

    def __init__(self, ranges: Iterable[tuple[int, int, Value]]) -> None:
        ordered = sorted(
            ((first, last - first, index, last, value) for index, (first, last, value) in enumerate(ranges)),
            key=lambda each: each[:3],
        )
        self._starts: list[int] = []
        self._values: list[Value | None] = []
        edges = sorted({each[0] for each in ordered} | {each[3] + 1 for each in ordered})
        covering: list[tuple[int, int, int, Value]] = []
        at = 0
        for edge in edges:
            while at < len(ordered) and ordered[at][0] == edge:
                _, width, index, last, value = ordered[at]
                heapq.heappush(covering, (width, index, last, value))
                at += 1
            # What has ended is dropped when it comes to the top: further down it does no harm.
            while covering and covering[0][2] < edge:
                heapq.heappop(covering)
            self._starts.append(edge)
            self._values.append(covering[0][3] if covering else None)

    def find(self, number: int) -> Value | None:
        """Return the value of the narrowest range that holds `number`."""
        place = bisect_right(self._starts, number)
        return self._values[place - 1] if place else None


class AddressTable(Generic[Value]):
    """Values by prefixes of either family (single addresses among them); the longest prefix counts."""

    def __init__(self, prefixes: Iterable[tuple[str, Value]]) -> None:
        families: dict[int, list[tuple[int, int, Value]]] = {4: [], 16: []}
        for prefix, value in prefixes:
            network = ipaddress.ip_network(prefix)
            first, last = int(network.network_address), int(network.broadcast_address)
            families[network.max_prefixlen // 8].append((first, last, value))
        self._tables = {octets: RangeTable(ranges) for octets, ranges in families.items()}

    def find(self, packed: bytes) -> Value | None:
        """Return the value of the longest prefix that holds an address of 4 or 16 octets."""
        return self._tables[len(packed)].find(int.from_bytes(packed))
