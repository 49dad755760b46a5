"""Stop texts: where a text ends, and what of it may be shown before that is clear."""

from collections.abc import Sequence
from functools import lru_cache


class StopTexts:
    """Cuts a text that grows before the first stop text to be complete; of two that end together, before the longer.

    How the text is cut into pieces changes nothing. A stop text never shows, nor does the beginning of one: text that
    may become one waits until it is clear. With `include` the text ends after the stop text, and nothing waits.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = [_StopText(text) for text in stops]
        self._include = include
        self._held = ""
        self.found = False
        """A stop text is complete: nothing more is shown."""
        self.text: str | None = None
        """Which one."""

    def feed(self, text: str, *, ends: bool = True) -> str:
        """What may be shown now that this text is there; `found` is set where it completes a stop text.

        ends: whether it may; else a stop text that is complete with it is text like any other.
        """
        if not self._stops or self.found:
            return "" if self.found else text
        found = [
            (end, end - len(stop.text), stop.text)
            for stop in self._stops
            if (end := stop.search(text, ends)) is not None
        ]
        grown, held = self._held + text, len(self._held)
        if found:
            self.found, self._held = True, ""
            end, start, self.text = min(found)
            return grown[: held + (end if self._include else start)]
        keep = len(grown) - (0 if self._include else max(stop.matched for stop in self._stops))
        self._held = grown[keep:]
        return grown[:keep]

    def end(self) -> str:
        """What was held back, where the text ends without having become a stop text."""
        held, self._held = self._held, ""
        return held


class _StopText:
    """Looks for one stop text in a text that grows; each character is looked at once (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._shorter = _borders(text)
        self.matched = 0
        """Characters at the end of what was searched that begin the stop text."""

    def search(self, new: str, counts: bool) -> int | None:
        """Where in the new piece it ends for the first time; None where it does not, or where that does not count."""
        if not self.matched and self.text[0] not in new:
            return None
        for at, character in enumerate(new):
            while self.matched and character != self.text[self.matched]:
                self.matched = self._shorter[self.matched - 1]
            self.matched += character == self.text[self.matched]
            if self.matched == len(self.text):
                if counts:
                    return at + 1
                self.matched = self._shorter[self.matched - 1]
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
