"""What the cache's tensors have to copy and clear when sequences come and go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """The first `length` tokens go from one slot to another; zeros are left behind."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Clear:
    """The first `length` tokens of a slot become zeros."""

    slot: int
    length: int


Edit = Move | Clear
