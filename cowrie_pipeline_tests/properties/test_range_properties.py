"""What holds for every table of ranges: it finds what a scan of all of them would find."""

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.lists.ranges import AddressTable, RangeTable

# Few bits differ, so that prefixes nest and meet, at both ends of the address space too.
bases = st.sampled_from([0, 9 << 24, 255 << 24])
four = st.builds(lambda base, low, length: (base | low << 20, length), bases, st.integers(0, 15), st.integers(0, 32))
six = st.builds(
    lambda base, low, length: (base << 96 | low << 64, length), bases, st.integers(0, 15), st.integers(0, 128)
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(pair: tuple[int, int], octets: int) -> Network:
    number, length = pair
    return ipaddress.ip_network((number.to_bytes(octets), length), strict=False)


networks = st.lists(
    four.map(lambda pair: network_of(pair, 4)) | six.map(lambda pair: network_of(pair, 16)), max_size=12
)


@given(networks, st.data())
def test_an_address_is_found_in_the_longest_prefix_that_covers_it(given_networks: list[Network], data: Any) -> None:
    table = AddressTable((str(network), str(network)) for network in given_networks)
    edges = [address for each in given_networks for address in (each[0], each[-1])] or [ipaddress.ip_address("9.9.9.9")]
    near = data.draw(st.sampled_from(edges))
    number = int(near) + data.draw(st.integers(-1, 1))
    if not 0 <= number < 1 << near.max_prefixlen:
        return
    address = ipaddress.ip_address(number.to_bytes(near.max_prefixlen // 8))
    covering = [each for each in given_networks if each.version == address.version and address in each]
    expected = max(covering, key=lambda each: each.prefixlen, default=None)
    packed = number.to_bytes(near.max_prefixlen // 8)
    assert table.find(packed) == (str(expected) if expected else None)
    if packed_address(str(address)) != packed:
        return
    assert table.find(packed_address(str(address))) == (str(expected) if expected else None)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=15), st.integers(0, 60))
def test_a_number_is_found_in_the_narrowest_range_that_holds_it(pairs: list[tuple[int, int]], number: int) -> None:
    ranges = [(first, first + width, index) for index, (first, width) in enumerate(pairs)]
    holding = [(last - first, index) for first, last, index in ranges if first <= number <= last]
    assert RangeTable(ranges).find(number) == (min(holding)[1] if holding else None)
