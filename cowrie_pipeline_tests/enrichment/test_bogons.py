"""Bogons: the longest match over IANA's blocks."""

import csv
import re

import pytest

from cowrie_pipeline.enrichment.bogons import bogon_block, is_bogon, special_purpose_blocks
from cowrie_pipeline_tests.enrichment.shared_data import shared_folder


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "127.0.0.1", "169.254.3.4", "100.64.0.1",
        "100.127.255.255", "172.31.255.255", "192.0.0.1",
        "192.0.0.8", "192.0.0.171", "192.88.99.2", "198.19.255.255", "203.0.113.9", "224.0.0.1", "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255", "::", "::1", "fc00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1",
        "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "100::1", "100:0:0:1::1", "64:ff9b:1::1", "::ffff:10.0.0.1",
    ],
)  # fmt: skip
def test_an_address_that_nobody_can_have_is_a_bogon(address: str) -> None:
    assert is_bogon(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.0.0.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.32.0.0", "192.0.0.9",
        "192.0.0.10", "192.31.196.1", "192.52.193.1", "192.175.48.1", "192.88.99.1", "223.255.255.255", "2001:1::1",
        "2001:1::3", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1", "64:ff9b::808:808", "2620:4f:8000::1",
        "2002:102:304::1", "2001:0:1::1", "2a00:1450::1", "::ffff:8.8.8.8",
    ],
)  # fmt: skip
def test_an_address_that_somebody_can_have_is_no_bogon(address: str) -> None:
    assert not is_bogon(address)


def test_the_most_specific_block_is_named() -> None:
    block = bogon_block("192.0.0.5")
    assert block is not None
    assert block.prefix == "192.0.0.0/29"


def test_a_mapped_address_is_judged_by_its_ipv4_part() -> None:
    block = bogon_block("::ffff:192.168.1.1")
    assert block is not None
    assert block.prefix == "192.168.0.0/16"


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4\0", ":::", "a" * 64])
def test_what_is_no_address_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="expected an IPv4 or IPv6 address"):
        is_bogon(text)


@pytest.mark.shared_data
def test_our_table_agrees_with_the_registries_block_by_block() -> None:
    folder = shared_folder("iana")
    registered: dict[str, str] = {}
    for family in (4, 6):
        path = folder / f"iana-ipv{family}-special-registry-1.csv"
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                flag = re.sub(r"\[\d+\]", "", row["Globally Reachable"]).strip()
                ours = {"True": "yes", "False": "no", "N/A": "n/a", "": "terminated"}[flag]
                for block in re.sub(r"\[\d+\]", "", row["Address Block"]).split(","):
                    registered[block.strip()] = ours
    table = {each.prefix: each.globally_reachable for each in special_purpose_blocks() if each.registry != "multicast"}
    assert table == registered
