"""Tokens to text, piece by piece."""

from collections.abc import Callable, Sequence

_TAIL = 5  # tokens of the prompt that the first piece is decoded with; some tokenizers drop a leading space otherwise
_LONGEST_CHARACTER = 4  # tokens: a token is at least a byte


class Detokenizer:
    """Turns the tokens that follow a prompt into pieces of text that add up to it.

    A character is never split: tokens that end in the middle of one wait for the rest.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._ids = list(prompt[-_TAIL:])
        self._shown = decode(self._ids)  # the text of the window, as far as it was handed on
        self._next = len(self._ids)  # where the next window begins

    def feed(self, token: int) -> str:
        """The text that is certain once this token is there."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd") and len(self._ids) - self._next < _LONGEST_CHARACTER:
            return ""
        return self._advance(text)

    def end(self) -> str:
        """What waited for the rest of its character, which becomes U+FFFD."""
        return self._advance(self._decode(self._ids))

    def _advance(self, text: str) -> str:
        new = text[len(self._shown) :]
        del self._ids[: self._next]
        self._next = len(self._ids)
        self._shown = self._decode(self._ids)
        return new
