"""Looking at workers again and again, and doing something about those that need it, each by itself."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Watch(ABC, Generic[T]):
    """Has at most one task under way for each worker; an async context, in which it looks every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._task, *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @abstractmethod
    def look(self) -> Mapping[str, T]:
        """URLs of workers about which something is to be done, and what is known of them."""

    @abstractmethod
    async def act(self, url: str, found: T) -> None:
        """Do it."""

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            for url, found in self.look().items():
                if url not in self._under_way:
                    self._under_way[url] = asyncio.create_task(self._act(url, found))

    async def _act(self, url: str, found: T) -> None:
        try:
            await self.act(url, found)
        finally:
            del self._under_way[url]
