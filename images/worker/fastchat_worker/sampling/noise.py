"""Random numbers that depend on a seed and a position only, so that a sequence can be continued anywhere."""

_WORD = 2**64 - 1


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1): number `position`, counted from 0, of the SplitMix64 sequence that the seed begins.

    Any integer is a seed; those that agree in their lowest 64 bits give the same numbers. Neighbouring seeds give
    unrelated sequences, because a seed is mixed before it becomes a state. The generator is that of Steele, Lea and
    Flood, https://doi.org/10.1145/2660193.2660195.
    """
    return (splitmix64(_mix(seed & _WORD), position) >> 11) * 2.0**-53


def splitmix64(state: int, index: int) -> int:
    """Output `index`, counted from 0, of SplitMix64 from this state: 64 bits."""
    return _mix((state + (index + 1) * 0x9E3779B97F4A7C15) & _WORD)


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)
