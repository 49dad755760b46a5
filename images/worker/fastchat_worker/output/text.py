"""Tokens to text, piece by piece."""

from collections.abc import Callable, Sequence

_TAIL = 5  # tokens of the prompt that the first piece is decoded with; some tokenizers drop a leading space otherwise
_LONGEST_CHARACTER = 4  # tokens: a token is at least a byte
_REPLACEMENT = "\ufffd"  # what a character that is not whole is decoded to


class Detokenizer:
    """Turns the tokens that follow a prompt into pieces of text that add up to it.

    A character is never split: what stands before it is handed on, and it waits for the tokens with the rest of it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._ids = list(prompt[-_TAIL:])  # the window: what is decoded together
        self._shown = decode(self._ids)  # the text of the window, as far as it was handed on
        self._next = len(self._ids)  # where the next window begins
        self._waited = 0  # tokens for which nothing could be handed on

    def feed(self, token: int) -> str:
        """The text that is certain once this token is there."""
        self._ids.append(token)
        text = self._decode(self._ids)
        certain = text.rstrip(_REPLACEMENT) if self._waited + 1 < _LONGEST_CHARACTER else text
        if len(certain) == len(text):
            return self._advance(text)
        new = certain[len(self._shown) :]
        if new:
            self._shown = certain
        self._waited = 1 if new else self._waited + 1
        return new

    def end(self) -> str:
        """What waited for the rest of its character, which becomes U+FFFD."""
        return self._advance(self._decode(self._ids))

    def _advance(self, text: str) -> str:
        new = text[len(self._shown) :]
        del self._ids[: self._next]
        self._next = len(self._ids)
        self._shown = self._decode(self._ids)
        self._waited = 0
        return new
