"""What the cache's tensors have to do when sequences come and go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """The first `length` tokens go from one slot to another. A slot that is memory of its own is zero afterwards."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Rotate:
    """What stands in each of these slots goes to the one before it, and what stands in the first to the last.

    lengths: tokens of each slot, as they stand before.
    """

    slots: tuple[int, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """The first `length` tokens of a slot are written into another one, which is zero, too."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Clear:
    """The tokens `first` … `end` of a slot become zeros."""

    slot: int
    end: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class Assign:
    """The tokens of a slot's sequence stand in these blocks, from its block number `first` on."""

    slot: int
    first: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyBlock:
    """A block is written into another one."""

    source: int
    target: int


Edit = Move | Rotate | Copy | Clear | Assign | CopyBlock
