"""What each line of a block is, whatever its neighbours are."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowrie_pipeline.cowrie.decode import DeadLetterError, Oddities, decode_event, parse_timestamp
from cowrie_pipeline.cowrie.lines import Block, line_fingerprint, strip_line
from cowrie_pipeline.cowrie.segments import lines_of, packed_lines, pieces_of_lines
from cowrie_pipeline.cowrie.sorting import SortedLines, sort_lines
from cowrie_pipeline_tests.conftest import SHARED_DATA
from cowrie_pipeline_tests.cowrie.log_lines import START, event_line, log, numbered

EVENT = event_line(username="root", password="1")
TOMORROW = event_line(time=START + timedelta(days=1))
# Lines that would be taken for others if they were only read together: halves of an object, and two objects.
HALF, OTHER_HALF, TWO = EVENT[:40], EVENT[40:], EVENT + EVENT
ODD = [
    b"",
    b" \t\r",
    b"\x00" * 3 + EVENT,
    b" " + EVENT + b"\r",
    HALF,
    OTHER_HALF,
    TWO,
    EVENT + b"," + EVENT,
    b'{"eventid":"cowrie.login.failed","timestamp":"2026-03-18T12:00:00Z","message":[',
    b"{}",
    b"]}",
    b"{" + EVENT + b"}",
    b'{"eventid":"cowrie.login.failed","username":"a}',
    b'{b","timestamp":"2026-03-18T12:00:00Z"}',
    b"\xef\xbb\xbf" + EVENT,
    EVENT.replace(b"root", b"\xff"),
    EVENT.replace(b"root", "h\u00e4".encode()),
    event_line(time="no time at all"),
    event_line(time="2026-03-18"),
    event_line(time="2026-03-18T23:30:00-0200"),
    event_line("cowrie.of.a.fork"),
    event_line(of_no_release=1),
]


def block_of(lines: list[bytes]) -> Block:
    return Block(2, 0, lines)


def one_by_one(lines: Iterable[bytes]) -> tuple[dict[int, list[bytes]], int, int, Oddities, list[datetime]]:
    """The lines of events by day, the number of dead letters and of blanks, and the times, each line seen alone."""
    days: dict[int, list[bytes]] = {}
    letters = blanks = 0
    oddities, times = Oddities(), []
    for raw in lines:
        line = strip_line(raw)
        if not line:
            blanks += 1
            continue
        try:
            times.append(parse_timestamp(decode_event(line, oddities).timestamp))
        except DeadLetterError:
            letters += 1
        else:
            days.setdefault(times[-1].toordinal(), []).append(line)
    return days, letters, blanks, oddities, times


def assert_as_if_alone(found: SortedLines, lines: list[bytes]) -> None:
    days, letters, blanks, oddities, times = one_by_one(lines)
    assert {each.day: lines_of(each.packed) for each in found.days} == days
    assert {each.day: list(each.fingerprints) for each in found.days} == {
        day: [line_fingerprint(line) for line in of_day] for day, of_day in days.items()
    }
    assert (len(found.letters), found.blanks, found.oddities) == (letters, blanks, oddities)
    assert found.lines == sum(each.events for each in found.days) + letters + blanks
    assert (found.first, found.last) == ((min(times), max(times)) if times else (None, None))


@given(st.lists(st.sampled_from([EVENT, TOMORROW, *ODD]), max_size=8), st.integers(0, 600))
def test_a_line_is_what_it_is_whatever_stands_around_it(lines: list[bytes], before: int) -> None:
    lines = [*numbered(before), *lines]
    assert_as_if_alone(sort_lines(block_of(lines), hash_passwords=False), lines)


@pytest.mark.parametrize("lines", [[HALF, OTHER_HALF, TWO], [ODD[12], ODD[13], TWO], [TWO, HALF, OTHER_HALF, EVENT]])
def test_two_objects_on_a_line_do_not_make_up_for_one_on_two(lines: list[bytes]) -> None:
    assert_as_if_alone(sort_lines(block_of(lines), hash_passwords=False), lines)


@pytest.mark.shared_data
def test_real_lines_are_sorted_as_if_each_were_alone() -> None:
    lines = (SHARED_DATA / "logs/docker-ssh-2018/cowrie.json.2018-06-13").read_bytes().split(b"\n")
    assert_as_if_alone(sort_lines(block_of(lines), hash_passwords=False), lines)


@given(st.lists(st.lists(st.sampled_from([EVENT, b"x" * 70_000, b"x" * 200_000]), min_size=1, max_size=5), max_size=4))
def test_packed_lines_come_back_in_pieces_of_whole_lines(parts: list[list[bytes]]) -> None:
    packed = b"".join(map(packed_lines, parts))
    pieces = list(pieces_of_lines(packed))
    assert b"".join(pieces) == log(line for part in parts for line in part)
    assert all(piece.endswith(b"\n") for piece in pieces)
