"""Random numbers that depend on a seed, a position and a place only, so that a sequence can be continued anywhere."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_WORD = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


class Noise:
    """A source for each row of a batch, by its seed and its position.

    Any integer is a seed; those that agree in their lowest 64 bits give the same numbers. Neighbouring seeds, positions
    and places give unrelated numbers. The generator is SplitMix64 of Steele, Lea and Flood,
    https://doi.org/10.1145/2660193.2660195: of each seed's sequence the number at the position begins another one, of
    which the number at the place counts.
    """

    def __init__(self, states: Words) -> None:
        self._states = states

    @classmethod
    def of(cls, sources: Sequence[tuple[int, int]]) -> Self:
        """sources: seed and position, counted from 0, of each row."""
        return cls(np.array([splitmix64(_mixed(seed & _WORD), position) for seed, position in sources], np.uint64))

    def rows(self, rows: Sequence[int]) -> Self:
        """Those of some rows."""
        return type(self)(self._states[list(rows)])

    def exponentials(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """[rows, n], above 0, with mean 1: at these places, [n] for all rows or [rows, n]."""
        words = self._states[:, None] + (places.astype(np.uint64) + np.uint64(1)) * np.uint64(_STEP)
        numbers: NDArray[np.float64] = -np.log(((_mix(words) >> np.uint64(11)) + 0.5) * 2.0**-53)
        return numbers


def splitmix64(state: int, index: int) -> int:
    """Output `index`, counted from 0, of SplitMix64 from this state: 64 bits."""
    return _mixed((state + (index + 1) * _STEP) & _WORD)


def _mixed(word: int) -> int:
    return int(_mix(np.array([word], np.uint64))[0])


def _mix(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
