"""A request's place in its model's queue."""

import asyncio
import time
from typing import TYPE_CHECKING

from fastchat_gateway.routing.dispatch import Wait

if TYPE_CHECKING:
    from fastchat_gateway.proxy.attempts import Attempts


class Waiting:
    """A place in a model's queue, with what happens there."""

    def __init__(self, attempts: "Attempts", step: Wait, key: str, comment_seconds: float | None) -> None:
        """`comment_seconds`: comments keep the client's stream alive."""
        self.model = step.model
        self.sequences = attempts.sequences
        self._attempts = attempts
        self._deadline = step.deadline
        self._key = key
        self._comment_seconds = comment_seconds
        self._since = time.monotonic()
        self._timers: list[asyncio.TimerHandle] = []

    def enter(self, *, first: bool) -> bool:
        """Take the place, the `first` of its key or the last; False where the queue is full."""
        if first:
            self.model.queue.enter_first(self, self._key)
        elif not self.model.queue.enter(self, self._key, self.model.record.queue.max_requests):
            return False
        loop = asyncio.get_running_loop()
        left = self._deadline - time.monotonic()
        self._timers = [loop.call_later(left, self._attempts.give_up_waiting, self.model)]
        if self._comment_seconds is not None:
            self._timers.append(loop.call_later(self._comment_seconds, self._comment))
        if self.model.ready:
            loop.call_soon(self.model.queue.wake)  # those before it may all wait for what only they lack
        return True

    def look(self) -> bool:
        return self._attempts.look_again()

    def evict(self) -> None:
        self._attempts.evict(self.model)

    def leave(self) -> float:
        """Seconds that it lasted."""
        for timer in self._timers:
            timer.cancel()
        self.model.queue.leave(self, self._key)
        return time.monotonic() - self._since

    def _comment(self) -> None:
        self._timers[1] = asyncio.get_running_loop().call_later(self._comment_seconds or 0, self._comment)
        self._attempts.comment()
