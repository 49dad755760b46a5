"""In which order sequences stand, and what every cache has around that."""

from typing import Generic

from fastchat_worker.kv.cache import Lookups, T
from fastchat_worker.kv.edits import Edit


class Places(Generic[T]):
    """At most `capacity` sequences. Those whose prompt is cached come first, the others in the order they came.

    So the rows of a step that decode are always the places 0, 1, … without a hole.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.sequences: list[T] = []

    @property
    def full(self) -> bool:
        return len(self.sequences) == self.capacity

    def remove(self, sequence: T) -> list[tuple[int, int]]:
        """Closes the hole: the last sequence that decodes moves into it, or the prompts being read move up.

        Returns (from, to) of each move, in this order.
        """
        hole = self.sequences.index(sequence)
        last = sum(each.prompt_cached for each in self.sequences) - 1
        moves = []
        if hole < last:
            moves.append((last, hole))
            hole = last
        moves += [(place + 1, place) for place in range(hole, len(self.sequences) - 1)]
        for source, target in moves:
            self.sequences[target] = self.sequences[source]
        self.sequences.pop()
        return moves


class PlacedCache(Generic[T]):
    """What a `KVCache` has whatever its tensors are: its sequences in their places, edits to hand out, and counts."""

    def __init__(self, capacity: int) -> None:
        self._places: Places[T] = Places(capacity)
        self._edits: list[Edit] = []
        self._lookups = Lookups()

    @property
    def lookups(self) -> Lookups:
        return self._lookups

    @property
    def capacity(self) -> int:
        return self._places.capacity

    @property
    def sequences(self) -> list[T]:
        return self._places.sequences

    def take_edits(self) -> tuple[Edit, ...]:
        edits, self._edits = tuple(self._edits), []
        return edits
