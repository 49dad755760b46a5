"""Keys that wait to be reconciled: each once, never two at a time, again later where it failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from fastchat_operator.key import Key
from fastchat_operator.kube.api import ApiError

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 8.0
_LONGEST_FINAL_DELAY_SECONDS = 60.0
_NEWS_SECONDS = 1.0
"""A key whose retry the API server has put off is reconciled within this time all the same when it is added.

What changed may be what was in the way.
"""


class Queue:
    """Each key is in it once; one that is added while it is reconciled is reconciled again after that."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._slowed: set[Key] = set()
        self._said: dict[Key, str] = {}

    def add(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key in self._running:
                self._again.add(key)
            elif key in self._slowed:
                self._start_timer(key, min(_NEWS_SECONDS, self._timers[key].when() - self._now()))
            elif key not in self._waiting:
                self._waiting.add(key)
                self._ready.put_nowait(key)

    async def run(self, reconcile: Callable[[Key], Awaitable[None]], workers: int) -> None:
        """Reconcile what is added, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(reconcile))
        finally:
            for key in list(self._timers):
                self._cancel_timer(key)

    async def _work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._running.add(key)
            try:
                await reconcile(key)
                self._failures.pop(key, None)
                self._said.pop(key, None)
            except ApiError as error:
                self._retry(key, error)
            except Exception:  # one object must not stop all others; what it was is logged
                logger.exception("%s: the operator is at fault", key)
                self._retry(key, None)
            finally:
                self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add([key])

    def _retry(self, key: Key, error: ApiError | None) -> None:
        """Add it again after a delay that doubles each time, up to a minute where the same call would be refused again.

        Not before the time that the API server gave in its Retry-After.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = _LONGEST_DELAY_SECONDS if error is not None and not error.final else _LONGEST_FINAL_DELAY_SECONDS
        delay = min(longest, _FIRST_DELAY_SECONDS * 2 ** min(failures - 1, 10))
        if error is not None:
            delay = max(delay, error.retry_after)
            if self._said.get(key) != str(error):
                logger.warning("%s: %s; again in %.1f s", key, error, delay)
            self._said[key] = str(error)
        self._start_timer(key, delay)
        if error is not None and error.retry_after:
            self._slowed.add(key)

    def _start_timer(self, key: Key, delay: float) -> None:
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._slowed.discard(key)
        self.add([key])

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
