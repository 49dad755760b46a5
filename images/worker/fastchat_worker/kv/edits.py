"""What the cache's tensors have to do when sequences come and go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """The first `length` tokens go from one slot to another. A slot that is memory of its own is zero afterwards."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Clear:
    """The first `length` tokens of a slot become zeros."""

    slot: int
    length: int


@dataclass(frozen=True, slots=True)
class Assign:
    """The tokens of a slot's sequence stand in these blocks, from its block number `first` on."""

    slot: int
    first: int
    blocks: tuple[int, ...]


Edit = Move | Clear | Assign
