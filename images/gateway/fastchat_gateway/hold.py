"""Requests that wait for a worker: bounded, first in, first out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Full(Exception):  # noqa: N818  # a state, not a fault
    """As many requests wait as may."""


class Place:
    """One request's place in the queue."""

    def __init__(self) -> None:
        self._called = asyncio.Event()

    def call(self) -> None:
        self._called.set()

    async def wait(self, seconds: float) -> bool:
        """True as soon as it is worth looking for an endpoint again, False when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._called.wait()
        except TimeoutError:
            return False
        self._called.clear()
        return True


class Hold:
    """The queue of one model."""

    def __init__(self) -> None:
        self._places: dict[Place, None] = {}

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def enter(self, limit: int) -> Iterator[Place]:
        """A place until the block is left; raises Full."""
        if len(self._places) >= limit:
            raise Full
        place = Place()
        self._places[place] = None
        try:
            yield place
        finally:
            del self._places[place]

    def release(self) -> None:
        """Something changed: everyone looks again, the longest waiting first; who finds nothing keeps its place."""
        for place in self._places:
            place.call()
