"""The rows of one forward pass, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Rows `first` … `last` of the pass are the tokens `start` … of the text in `slot`."""

    first: int
    last: int
    slot: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.last - self.first


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Rows of different sequences in one line: first `decode` rows, the newest token of each slot, then the spans.

    tokens, positions, slots: one of each row. A position counts from 0 in its own sequence.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    slots: tuple[int, ...]
    decode: int
    spans: tuple[Span, ...]


def pack_texts(texts: Sequence[Sequence[int]]) -> PackedBatch:
    """Whole texts one behind the other, each of them a span and, in place of a slot, its index."""
    spans: list[Span] = []
    for index, text in enumerate(texts):
        first = spans[-1].last if spans else 0
        spans.append(Span(first, first + len(text), index, 0))
    return PackedBatch(
        tokens=tuple(token for text in texts for token in text),
        positions=tuple(position for text in texts for position in range(len(text))),
        slots=tuple(index for index, text in enumerate(texts) for _ in text),
        decode=0,
        spans=tuple(spans),
    )
