"""How much of a text is worth splitting into tokens: that takes a second a megabyte, and memory for each token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 2**18
"""Of all texts of a request together, unless the context is longer; OpenAI takes 300,000."""

_PIECE = 2**15
"""Characters that are split at a time while it is not known whether a text fits."""
_CUT = 64
"""Tokens that a cut may add, because it goes through one."""


@dataclass(frozen=True)
class Measure:
    """Of one tokenizer. `longest_token` in characters; `count` splits a text and says into how many tokens."""

    longest_token: int
    count: Callable[[str], int]

    def least(self, text: str, most: int) -> int | None:
        """A number of tokens above `most` that the text has at least; None where it may have no more than that.

        Most texts that are too long are known by their number of characters.
        """
        if len(text) > self._longest_text(most):
            return max(len(text) // self.longest_token, most + 1)
        return None if self._enough(text, most) == len(text) else most + 1

    def beginning(self, text: str, most: int) -> str:
        """As much of a text as has `most` tokens, and rather more; all of a text that has not so many.

        Generous with characters that make no token, such as blanks, but not without end.
        """
        text = text[: self._longest_text(2 * most)]
        return text[: self._enough(text, most)]

    def _longest_text(self, most: int) -> int:
        return max(2 * _PIECE, most * self.longest_token)

    def _enough(self, text: str, most: int) -> int:
        """Characters after which it has more than `most` tokens, or all."""
        tokens = 0
        for end in range(_PIECE, len(text), _PIECE):
            tokens += self.count(text[end - _PIECE : end])
            if tokens > most + _CUT * (end // _PIECE):
                return end
        return len(text)


def longest_token(tokenizer: Any) -> int:
    """In characters; at least 16, for what a tokenizer's normalisation may drop."""
    return max(16, max(map(len, tokenizer.get_vocab()), default=16))
