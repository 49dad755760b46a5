"""How likely the model found a token."""

import math
from dataclasses import dataclass

_LEAST = -9999.0  # what OpenAI's API says of a token that cannot be; JSON has no infinity


@dataclass(frozen=True, slots=True)
class Score:
    """The natural logarithm of a token's probability, and the likeliest tokens in its place, likeliest first.

    Of those `ids` and `logprobs` have one entry each. NaN where the model's logits were not finite.
    """

    logprob: float
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()

    @property
    def valid(self) -> bool:
        return not math.isnan(self.logprob)

    @property
    def top(self) -> list[tuple[int, float]]:
        """(token, logprob) of the likeliest."""
        return [(token, finite(logprob)) for token, logprob in zip(self.ids, self.logprobs, strict=True)]


UNKNOWN = Score(0.0)
"""Of a token whose score nobody will be told, or not before it is computed again."""


def finite(logprob: float) -> float:
    """The logprob as JSON can have it."""
    return max(logprob, _LEAST)
