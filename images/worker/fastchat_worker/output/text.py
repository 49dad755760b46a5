"""Tokens to text, piece by piece."""

from collections.abc import Callable, Sequence
from functools import lru_cache

_TAIL = 5  # tokens of the prompt that the first piece is decoded with; some tokenizers drop a leading space otherwise
_LONGEST_CHARACTER = 4  # tokens: a token is at least a byte


class TextStream:
    """Turns the tokens of one answer into pieces of text that add up to it.

    A character is never split: tokens that end in the middle of one wait for the rest. A stop text never shows, nor
    does the beginning of one: text that may become one waits until it is clear.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._decode = decode
        self._stops = [_StopText(text) for text in stops]
        self._ids = list(prompt[-_TAIL:])
        self._shown = decode(self._ids)  # the text of the window, as far as it was handed on
        self._next = len(self._ids)  # where the next window begins
        self._held = ""
        self.stopped = False

    def feed(self, token: int) -> str:
        """Text that is certain once this token is there; `stopped` is set when it completes a stop text."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd") and len(self._ids) - self._next < _LONGEST_CHARACTER:
            return ""
        return self._advance(text)

    def flush(self) -> str:
        """What was held back, at the end of the answer; half a character becomes U+FFFD."""
        text = self._advance(self._decode(self._ids))
        held, self._held = self._held, ""
        return text if self.stopped else text + held

    def _advance(self, text: str) -> str:
        new = text[len(self._shown) :]
        del self._ids[: self._next]
        self._next = len(self._ids)
        self._shown = self._decode(self._ids)
        return self._release(new)

    def _release(self, new: str) -> str:
        if not self._stops or self.stopped:
            return "" if self.stopped else new
        text = self._held + new
        begins = [at for stop in self._stops if (at := stop.search(new)) is not None]
        if begins:
            self.stopped, held = True, len(self._held)
            self._held = ""
            return text[: held + min(begins)]
        keep = max(stop.matched for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


class _StopText:
    """Looks for one stop text in a text that grows; each character is looked at once (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._shorter = _borders(text)
        self.matched = 0
        """Characters at the end of what was searched that begin the stop text."""

    def search(self, new: str) -> int | None:
        """Where it begins, counted from the beginning of the new piece, so below 0 where it began before."""
        if not self.matched and self._text[0] not in new:
            return None
        for at, character in enumerate(new):
            while self.matched and character != self._text[self.matched]:
                self.matched = self._shorter[self.matched - 1]
            self.matched += character == self._text[self.matched]
            if self.matched == len(self._text):
                return at + 1 - len(self._text)
        return None


@lru_cache(maxsize=256)
def _borders(text: str) -> tuple[int, ...]:
    """For each beginning of the text, the length of the longest shorter one that it ends with."""
    lengths = [0]
    for character in text[1:]:
        length = lengths[-1]
        while length and character != text[length]:
            length = lengths[length - 1]
        lengths.append(length + (character == text[length]))
    return tuple(lengths)
