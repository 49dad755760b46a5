"""Tokens to text, piece by piece."""

from collections.abc import Callable, Sequence

_TAIL = 5  # tokens of the prompt that the first piece is decoded with; some tokenizers drop a leading space otherwise
_LONGEST_CHARACTER = 4  # tokens: a token is at least a byte


class TextStream:
    """Turns the tokens of one answer into pieces of text that add up to it.

    A character is never split: tokens that end in the middle of one wait for the rest. A stop text never shows, nor
    does the beginning of one: text that may become one waits until it is clear.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._decode = decode
        self._stops = stops
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
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text that begins the stop text."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
