"""What holds for every DNS message: the quick way through it finds what dnspython finds in the whole."""

import contextlib
import struct
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.enrichment.bogons import packed_address
from cowrie_pipeline.enrichment.sources.cymru import origin_name
from cowrie_pipeline.enrichment.sources.dns_client import _read_texts

labels = st.text("abcxyz0189-", min_size=1, max_size=12)
names = st.lists(labels, min_size=1, max_size=4).map(lambda parts: dns.name.from_text(".".join(parts) + "."))
chunks = st.lists(st.text("abc |0189", max_size=40).map(lambda text: f'"{text}"'), min_size=1, max_size=3).map(" ".join)
records = st.one_of(
    st.tuples(names, st.just("TXT"), st.lists(chunks, min_size=1, max_size=3, unique=True)),
    st.tuples(names, st.just("CNAME"), names.map(lambda name: [name.to_text()])),
    st.tuples(names, st.just("A"), st.just(["192.0.2.1"])),
)


def in_chunks(texts: list[bytes]) -> bytes:
    return b"".join(bytes([len(text)]) + text for text in texts)


def question_end(message: dns.message.Message) -> int:
    return 12 + len(message.question[0].name.to_digestable()) + 4


@given(names, st.lists(records, max_size=4), st.lists(records, max_size=2))
def test_the_texts_of_a_reply_are_those_that_dnspython_reads(
    asked: dns.name.Name,
    answer: list[tuple[dns.name.Name, str, list[str]]],
    additional: list[tuple[dns.name.Name, str, list[str]]],
) -> None:
    message = dns.message.make_response(dns.message.make_query(asked, "TXT", use_edns=False))
    for section, rows in ((message.answer, answer), (message.additional, additional)):
        for name, kind, values in rows:
            section.append(dns.rrset.from_text_list(name, 60, "IN", kind, values))
    wire = message.to_wire()
    read = dns.message.from_wire(wire)
    expected = {
        b"".join(record.strings).decode() for rrset in read.answer for record in rrset if hasattr(record, "strings")
    }
    count = sum(len(rrset) for rrset in message.answer)
    assert set(_read_texts(wire, question_end(message), count)) == expected


@given(st.one_of(st.binary(max_size=20), st.lists(st.binary(max_size=9), max_size=3).map(in_chunks)))
def test_the_data_of_a_record_is_read_or_refused_as_dnspython_does(data: bytes) -> None:
    record = b"\0" + struct.pack("!HHIH", dns.rdatatype.TXT, dns.rdataclass.IN, 60, len(data)) + data
    try:
        read = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, data, 0, len(data))
        expected = cast("TXT", read).strings
    except dns.exception.FormError:
        with pytest.raises(dns.exception.FormError):
            _read_texts(record, 0, 1)
    else:
        assert _read_texts(record, 0, 1) == (b"".join(expected).decode(errors="replace"),)


@given(st.binary(max_size=80), st.integers(0, 80), st.integers(0, 5))
def test_noise_is_no_reply(wire: bytes, at: int, count: int) -> None:
    with contextlib.suppress(dns.exception.DNSException):
        _read_texts(wire, at, count)


@given(st.ip_addresses().map(str))
def test_the_name_of_an_address_is_its_reverse_name_in_team_cymrus_zone(address: str) -> None:
    packed = packed_address(address)
    if len(packed) == 4:
        expected = ".".join(str(octet) for octet in reversed(packed)) + ".origin.asn.cymru.com."
    else:
        expected = ".".join(reversed(packed.hex())) + ".origin6.asn.cymru.com."
    assert origin_name(address) == dns.name.from_text(expected).to_digestable()
