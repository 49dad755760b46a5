"""Text that comes in pieces, read from its beginning; what is read does not depend on where it was cut.

Readers are generators: they pause where more text is needed, so that each form is written as if its text were whole.
"""

import re
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A reader: it yields where it needs more text, and returns what it found."""

Emit = Callable[[str], object]

_BLANKS = re.compile(r"\s*")


class Source:
    """What came and was not read yet. Each character is looked at a bounded number of times."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._kept: list[str] | None = None
        self.ended = False
        """No text follows."""

    def add(self, text: str) -> None:
        self._text = self._text[self._at :] + text
        self._at = 0

    def keep(self, read: str) -> None:
        """From here on what is read can be given back, after the text that was read last."""
        self._kept = [read]

    def given_back(self) -> str:
        """What was read since `keep`."""
        kept, self._kept = self._kept or [], None
        return "".join(kept)

    @property
    def waiting(self) -> tuple[str, int]:
        """(text, where in it what was not read begins)."""
        return self._text, self._at

    def take(self, length: int) -> str:
        """Reads so many characters of those that came."""
        text = self._text[self._at : self._at + length]
        self._at += len(text)
        if self._kept is not None:
            self._kept.append(text)
        return text

    def peek(self) -> Steps[str]:
        """The next character, unread; empty where the text ends."""
        while self._at >= len(self._text) and not self.ended:
            yield
        return self._text[self._at : self._at + 1]

    def blanks(self) -> Steps[str]:
        """Reads blanks and what follows them: the first character after them, unread."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self.take(blanks.end() - self._at if blanks else 0)
            if self._at < len(self._text) or self.ended:
                return self._text[self._at : self._at + 1]
            yield

    def literal(self, *texts: str) -> Steps[str]:
        """Reads the first of these texts that comes next; empty, and nothing read, where none does."""
        longest = max(map(len, texts))
        while True:
            near = self._text[self._at : self._at + longest]
            open_ended = not self.ended and any(len(near) < len(each) and each.startswith(near) for each in texts)
            if not open_ended:
                return self.take(len(next((each for each in texts if near.startswith(each)), "")))
            yield

    def closing(self, *texts: str) -> Steps[str]:
        """Reads like `literal`; where the text ends within one of these, it reads what there is of it."""
        found = yield from self.literal(*texts)
        rest = self._text[self._at :] if self.ended and not found else ""
        if rest and len(rest) < max(map(len, texts)) and any(each.startswith(rest) for each in texts):
            self.take(len(rest))
        return found

    def until(self, marks: Sequence[str], emit: Emit) -> Steps[str]:
        """Hands on what stands before the first of these marks, reads the mark, and returns it; empty at the end."""
        if not marks:
            return (yield from self._all(emit))
        search = _search(tuple(marks))
        while True:
            found = search.search(self._text, self._at)
            begun = len(self._text) if self.ended else _begun(self._text, self._at, marks)
            if found and found.start() <= begun:
                emit(self.take(found.start() - self._at))
                return self.take(len(found[0]))
            if begun > self._at:
                emit(self.take(begun - self._at))
            if self.ended:
                return ""
            yield

    def _all(self, emit: Emit) -> Steps[str]:
        while True:
            if self._at < len(self._text):
                emit(self.take(len(self._text) - self._at))
            if self.ended:
                return ""
            yield

    def word(self, characters: "re.Pattern[str]", longest: int = 256) -> Steps[str]:
        """Reads characters of a kind, at most so many."""
        parts: list[str] = []
        while True:
            found = characters.match(self._text, self._at, self._at + longest)
            part = self.take(found.end() - self._at) if found else ""
            parts.append(part)
            longest -= len(part)
            if self._at < len(self._text) or self.ended or not longest:
                return "".join(parts)
            yield


@lru_cache(maxsize=256)
def _search(marks: tuple[str, ...]) -> "re.Pattern[str]":
    return re.compile("|".join(re.escape(each) for each in sorted(marks, key=len, reverse=True)))


def _begun(text: str, start: int, marks: Sequence[str]) -> int:
    """Where at the end of a text one of the marks may have begun; the text's length where none has."""
    longest = max(map(len, marks))
    for at in range(max(start, len(text) - longest + 1), len(text)):
        end = text[at:]
        if any(each.startswith(end) for each in marks):
            return at
    return len(text)
