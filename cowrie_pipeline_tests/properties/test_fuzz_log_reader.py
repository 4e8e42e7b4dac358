"""Any octets in any file: lines come out of it, each an event, a dead letter or blank, and nothing else happens."""

import io
import json
from contextlib import suppress
from datetime import date
from typing import Any, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.decode import DeadLetterError, Oddities, decode_event, duration_ms, utc_text
from cowrie_pipeline.cowrie.events import EVENT_TYPES, CowrieEvent, UnknownEvent
from cowrie_pipeline.cowrie.files import ContentReader
from cowrie_pipeline.cowrie.fold import DayFold, FoldedRows
from cowrie_pipeline.cowrie.lines import read_blocks
from cowrie_pipeline.cowrie.segments import lines_of
from cowrie_pipeline.cowrie.sorting import sort_lines
from cowrie_pipeline.cowrie.ssh_keys import keys_in
from cowrie_pipeline_tests.cowrie.log_lines import COMPRESSIONS, event, log, numbered
from cowrie_pipeline_tests.properties.fuzzing import anything, edited, edits, spoilt

MAX_LINE_BYTES = 3000
LARGEST = 2**63 - 1
LOG = log(numbered(30))
compressions = st.lists(st.sampled_from([bytes, *COMPRESSIONS.values()]), max_size=4)


def names_of(kind: type[CowrieEvent]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event of any kind, with some of its fields, each of them anything, and some that it has not."""
    event_id = draw(st.sampled_from(sorted(EVENT_TYPES)) | st.text(max_size=10))
    names = names_of(EVENT_TYPES.get(event_id, CowrieEvent))
    fields = draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=6), anything, max_size=6))
    return draw(spoilt(event(event_id))) if draw(st.integers(0, 3)) == 0 else event(event_id) | fields


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line as a log may hold it: an event, an event with octets changed, or no event at all."""
    made = draw(events())
    text = json.dumps(made, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    how = draw(st.integers(0, 4))
    if how == 0:
        text = edited(text, draw(edits))
    if how == 1:
        text = draw(st.binary(max_size=60))
    return text.replace(b"\n", b" ")


def content_of(packed: bytes) -> tuple[bytes, ContentReader]:
    """Return what comes out of a file: never more at once than was asked for."""
    reader = ContentReader(io.BytesIO(packed))
    found = bytearray()
    while piece := reader.read(1000):
        assert len(piece) <= 1000
        found += piece
    return bytes(found), reader


@given(packed=compressions, changes=edits | st.just([]))
def test_a_damaged_file_gives_what_it_has_and_says_what_is_wrong(packed: list[Any], changes: Any) -> None:
    whole = LOG
    for pack in packed:
        whole = pack(whole)
    content, reader = content_of(edited(whole, changes))
    assert len(reader.formats) <= 3
    layers = sum(pack is not bytes for pack in packed)
    if not changes and layers <= 3:
        assert content == LOG
        assert reader.damage is None


@given(st.sampled_from([b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b""]), st.binary(max_size=300))
def test_octets_that_begin_as_a_compressed_file_are_read_to_their_end(magic: bytes, rest: bytes) -> None:
    content_of(magic + rest)


@given(st.lists(lines(), max_size=8), st.booleans(), st.integers(1, MAX_LINE_BYTES))
def test_every_line_is_an_event_a_dead_letter_or_blank(given_lines: list[bytes], hashed: bool, longest: int) -> None:
    content = b"\n".join(given_lines)
    total = kept = 0
    for block in read_blocks(io.BytesIO(content), max_line_bytes=longest):
        found = sort_lines(block, hash_passwords=hashed)
        events_of_days = sum(day.events for day in found.days)
        assert found.lines == events_of_days + len(found.letters) + found.blanks
        for letter in found.letters:
            assert letter.sample.isprintable()
            assert letter.detail
        for day in found.days:
            packed = lines_of(day.packed)
            assert len(packed) == len(day.fingerprints) == day.events
            fold_all(date.fromordinal(day.day), packed)
        total += found.lines
        kept += events_of_days
    # the end of a file that ends with a newline is no line
    assert total == len(content.split(b"\n")) - (content == b"" or content.endswith(b"\n"))
    assert kept <= len(given_lines)


def fold_all(day: date, events_of_day: list[bytes]) -> None:
    """Fold the events of a day, and see that both databases can hold what comes of it."""
    fold = DayFold(day)
    fold.add_lines(b"".join(line + b"\n" for line in events_of_day))
    folded: FoldedRows = fold.take()
    for rows in folded:
        for row in rows:
            for value in row:
                check_storable(value)


def check_storable(value: Any) -> None:
    if isinstance(value, str):
        assert "\0" not in value
        value.encode("utf-8")
    elif isinstance(value, int):
        assert -LARGEST - 1 <= value <= LARGEST
    else:
        assert value is None or isinstance(value, bytes | date), type(value)


@given(lines())
def test_an_event_has_fields_of_its_types_or_is_none(line: bytes) -> None:
    with suppress(DeadLetterError):
        found = decode_event(line.strip(), Oddities())
        for field in msgspec.structs.fields(type(found)):
            value = getattr(found, field.name)
            if isinstance(found, UnknownEvent) and field.name == "fields":
                continue
            kinds = get_args(field.type) or (field.type,)
            if field.type is msgspec.Raw:
                assert isinstance(value, msgspec.Raw | bytes)
            elif isinstance(value, str):
                assert str in kinds
            else:
                assert value is None or isinstance(value, int | float)
        # of a good time there is a text, and of any duration a number that a column can hold
        with suppress(DeadLetterError):
            assert len(utc_text(found.timestamp)) == 26
        spent = duration_ms(getattr(found, "duration", None), getattr(found, "duration_ms", None))
        assert spent is None or 0 <= spent < LARGEST


@given(
    st.lists(st.text(max_size=200) | st.text("echo 'ssh-rsa AAAAB3NzaC1yc2E=\\x41\n<|>;\"' base64 -d", max_size=300))
)
def test_no_command_keeps_the_search_for_keys_busy_or_breaks_it(commands: list[str]) -> None:
    for key in keys_in(commands):
        assert key.fingerprint.startswith("SHA256:")
        assert key.bits > 0
