"""Days folded in pieces, in this process or another, and their rows packed to come back from there.

Belongs here: a piece of a day's lines in, its rows out.
Does not belong here: what is added up (fold.py), processes (workers.py).
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple, cast

import msgspec

from cowrie_pipeline.cowrie.fold import DayFold, FoldedRows
from cowrie_pipeline.cowrie.segments import pieces_of_lines
from cowrie_pipeline.cowrie.workers import Workers, without_collector
from cowrie_pipeline.observability.tracing import span

__all__ = ["FoldedPiece", "Piece", "fold_pieces"]


class Piece(NamedTuple):
    """Segments of one day, and whether they are its last."""

    day: date
    segments: list[bytes]
    is_last: bool


class FoldedPiece(NamedTuple):
    """The rows of a piece, and how many of its events belong to no session."""

    day: date
    is_last: bool
    rows: FoldedRows
    events_without_session: int


class _Packed(NamedTuple):
    """`FoldedPiece` as it comes from a process: rows are plain tuples there, which are made five times as fast."""

    day: date
    is_last: bool
    rows: tuple[list[tuple], list[tuple], list[tuple], list[tuple], list[tuple], list[tuple]]  # type: ignore[type-arg]
    events_without_session: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def fold_pieces(workers: Workers, pieces: Iterable[Piece]) -> Iterator[FoldedPiece]:
    """Fold each piece; yield them in the order in which they came."""
    for packed in workers.map(_fold, pieces):
        folded = _decode(packed)
        # plain tuples serve as rows
        rows = FoldedRows(*cast("FoldedRows", folded.rows))
        yield FoldedPiece(folded.day, folded.is_last, rows, folded.events_without_session)


def _fold(piece: Piece) -> bytes:
    with span("fold lines", {"cowrie.day": piece.day.isoformat()}) as folding, without_collector():
        fold = DayFold(piece.day)
        for segment in piece.segments:
            for lines in pieces_of_lines(segment):
                fold.add_lines(lines)
        rows = fold.take()
        folding.set_attribute("cowrie.session_days", len(rows.session_days))
        return _encode((piece.day, piece.is_last, rows, fold.events_without_session))
