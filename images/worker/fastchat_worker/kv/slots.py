"""Dense slots: which sequence has which part of the cache's tensors."""

from typing import Generic

from fastchat_worker.kv.cache import T
from fastchat_worker.kv.edits import Clear, Edit, Move


class SlotCache(Generic[T]):
    """A `KVCache` of equal slots; a sequence's slot is its place in `sequences`.

    Those whose prompt is cached come first and the others follow in the order they came, so the rows of a step that
    decode are always the slots 0, 1, … without a hole. Whatever a slot's sequence has not written is zero: a NaN that
    one leaves behind would reach the next through the columns that are masked, because 0 × NaN is NaN.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.sequences: list[T] = []
        self._edits: list[Edit] = []
        self._used = 0  # slots that were written
        self._longest = 0  # tokens that one of them had

    def allocate(self, sequence: T) -> bool:
        if len(self.sequences) == self.capacity:
            return False
        self.sequences.append(sequence)
        self._used = max(self._used, len(self.sequences))
        return True

    def append(self, sequence: T, tokens: int) -> None:
        sequence.cached += tokens
        self._longest = max(self._longest, sequence.cached)

    def free(self, sequence: T) -> None:
        """Closes the hole: the last sequence that decodes moves into it, or the prompts being read move up."""
        hole = self.sequences.index(sequence)
        last = sum(each.prompt_cached for each in self.sequences) - 1
        if sequence.cached:
            self._edits.append(Clear(hole, sequence.cached))
        if hole < last:
            self._move(last, hole)
            hole = last
        for slot in range(hole, len(self.sequences) - 1):  # all of them but one are still unread
            self._move(slot + 1, slot)
        self.sequences.pop()

    def reset(self) -> None:
        """Clears all that was ever written: which of the edits were carried out is not known."""
        self.sequences = []
        self._edits = [Clear(slot, self._longest) for slot in range(self._used)]

    def take_edits(self) -> tuple[Edit, ...]:
        edits, self._edits = tuple(self._edits), []
        return edits

    def _move(self, source: int, target: int) -> None:
        self.sequences[target] = self.sequences[source]
        if length := self.sequences[target].cached:
            self._edits.append(Move(source, target, length))
