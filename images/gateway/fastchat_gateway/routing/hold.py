"""Requests that wait for a worker: bounded, fair between API keys, first in first out within one."""

from collections.abc import Iterator
from typing import Protocol


class Waiter(Protocol):
    """A request in the queue."""

    sequences: int
    """What it will take of a worker."""

    def look(self) -> bool:
        """Look for a worker again, and leave the queue where there is one. False: whoever comes next finds none."""

    def turn_away(self) -> None:
        """Leave for good: somebody with fewer requests in the queue needs the place."""


class Hold:
    """The queue of one model: a line for each key; the lines are served in turn."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Waiter, None]] = {}
        self.length = 0
        """Requests that wait."""
        self.sequences = 0
        """What they will take together."""

    def enter(self, waiter: Waiter, key: str, limit: int) -> bool:
        """Take the last place of a key's line; False where as many wait as may.

        Where one key's line is longer than this one's would be, the last one in it gives way.
        """
        line = self._lines.setdefault(key, {})
        if self.length >= limit and not self._make_room(len(line) + 1):
            if not line:
                del self._lines[key]
            return False
        self._lines.setdefault(key, line)[waiter] = None
        self.length += 1
        self.sequences += waiter.sequences
        return True

    def leave(self, waiter: Waiter, key: str) -> None:
        """Give up the place; the key's next one has its turn after the others'."""
        line = self._lines.pop(key, None)
        if line is None:
            return
        if waiter in line:
            del line[waiter]
            self.length -= 1
            self.sequences -= waiter.sequences
        if line:
            self._lines[key] = line

    def release(self) -> None:
        """There may be a worker now: those who wait look again, in turn, until one finds nothing."""
        for waiter in self._in_turn():
            if not waiter.look():
                break

    def release_all(self) -> None:
        """What holds for the model has changed: everyone looks again."""
        for waiter in self._in_turn():
            waiter.look()

    def _in_turn(self) -> Iterator[Waiter]:
        lines = [list(line) for line in self._lines.values()]
        for place in range(max(map(len, lines), default=0)):
            yield from [line[place] for line in lines if place < len(line)]

    def _make_room(self, length: int) -> bool:
        longest = max(self._lines.values(), key=len, default={})
        if len(longest) <= length:
            return False
        next(reversed(longest)).turn_away()
        return True
