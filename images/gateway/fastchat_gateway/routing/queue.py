"""Requests that wait for a worker: bounded, fair between API keys, first in first out within one."""

from collections.abc import Iterator
from typing import Protocol


class Waiter(Protocol):
    """A request in the queue."""

    sequences: int
    """What it will take of a worker."""

    def look(self) -> bool:
        """Look for a worker again, and leave the queue where there is one.

        False: no worker is free; stop waking further waiters.
        """

    def evict(self) -> None:
        """Leave for good: somebody with fewer requests in the queue needs the place."""


class RequestQueue:
    """The requests of one model that wait: one queue for each API key, which take turns."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Waiter, None]] = {}
        self.length = 0
        """Requests that wait."""
        self.sequences = 0
        """What they will take together."""

    def enter_first(self, waiter: Waiter, key: str) -> None:
        """Take the first place in a key's queue, however many wait: the request has been served in part."""
        self._waiting[key] = {waiter: None, **self._waiting.get(key, {})}
        self._count(waiter)

    def enter(self, waiter: Waiter, key: str, limit: int) -> bool:
        """Take the last place in a key's queue; False where `limit` requests wait.

        Where another key's queue is longer than this one's would be, the last one in that is evicted instead.
        """
        own = self._waiting.setdefault(key, {})
        if self.length >= limit and not self._make_room(len(own) + 1):
            if not own:
                del self._waiting[key]
            return False
        self._waiting.setdefault(key, own)[waiter] = None
        self._count(waiter)
        return True

    def leave(self, waiter: Waiter, key: str) -> None:
        """Give up the place; the key's next one has its turn after the others'."""
        own = self._waiting.pop(key, None)
        if own is None:
            return
        if waiter in own:
            del own[waiter]
            self.length -= 1
            self.sequences -= waiter.sequences
        if own:
            self._waiting[key] = own

    def wake(self) -> None:
        """There may be a worker now: waiters look again, in turn, until one finds none free."""
        for waiter in self._in_turn():
            if not waiter.look():
                break

    def wake_all(self) -> None:
        """The model has changed: every waiter looks again."""
        for waiter in self._in_turn():
            waiter.look()

    def _count(self, waiter: Waiter) -> None:
        self.length += 1
        self.sequences += waiter.sequences

    def _in_turn(self) -> Iterator[Waiter]:
        keys = [list(waiters) for waiters in self._waiting.values()]
        for place in range(max(map(len, keys), default=0)):
            yield from [waiters[place] for waiters in keys if place < len(waiters)]

    def _make_room(self, length: int) -> bool:
        longest = max(self._waiting.values(), key=len, default={})
        if len(longest) <= length:
            return False
        next(reversed(longest)).evict()
        return True
