"""Dense slots: which sequence has which part of the cache's tensors."""

from typing import Generic

from fastchat_worker.kv.cache import Match, T, Usage
from fastchat_worker.kv.edits import Clear, Edit, Move
from fastchat_worker.kv.places import Places


class SlotCache(Generic[T]):
    """A `KVCache` of equal slots; a sequence's slot is its place in `sequences`.

    Whatever a slot's sequence has not written is zero: a NaN that one leaves behind would reach the next through the
    columns that are masked, because 0 × NaN is NaN.
    """

    kept = 0

    def __init__(self, capacity: int) -> None:
        self._places: Places[T] = Places(capacity)
        self._edits: list[Edit] = []
        self._used = 0  # slots that were written
        self._longest = 0  # tokens that one of them had
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        return self._usage

    @property
    def capacity(self) -> int:
        return self._places.capacity

    @property
    def sequences(self) -> list[T]:
        return self._places.sequences

    @property
    def in_use(self) -> int:
        return sum(sequence.cached for sequence in tuple(self.sequences))

    def match(self, sequence: T) -> Match:  # noqa: ARG002
        return Match()

    def allocate(self, sequence: T) -> bool:
        if self._places.full:
            return False
        self.sequences.append(sequence)
        self._usage.count(sequence, 0)
        self._used = max(self._used, len(self.sequences))
        return True

    def append(self, sequence: T, tokens: int) -> None:
        sequence.cached += tokens
        self._longest = max(self._longest, sequence.cached)

    def free(self, sequence: T) -> None:
        if sequence.cached:
            self._edits.append(Clear(self.sequences.index(sequence), sequence.cached))
        for source, target in self._places.remove(sequence):
            if length := self.sequences[target].cached:
                self._edits.append(Move(source, target, length))

    def reset(self) -> None:
        """Clears all that was ever written: which of the edits were carried out is not known."""
        self._places.sequences = []
        self._edits = [Clear(slot, self._longest) for slot in range(self._used)]

    def take_edits(self) -> tuple[Edit, ...]:
        edits, self._edits = tuple(self._edits), []
        return edits
