"""What a cache has to copy when sequences change their slots."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """`length` tokens of the cache go from one slot to another."""

    source: int
    target: int
    length: int
