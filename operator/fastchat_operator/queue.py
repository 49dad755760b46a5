"""Keys that wait to be reconciled: each once, never two at a time, again later where it failed."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from fastchat._kube.errors import ApiError
from fastchat_operator.key import Key

logger = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 8.0
_LONGEST_FINAL_DELAY_SECONDS = 60.0
_NEWS_SECONDS = 1.0
"""A key whose retry the API server has put off is reconciled within this time all the same when it is added.

What changed may be what was in the way.
"""


class _Phase(Enum):
    IDLE = auto()
    """It may wait for its next try."""
    WAITING = auto()
    RUNNING = auto()
    AGAIN = auto()
    """It runs, and was added meanwhile."""


@dataclass
class _Entry:
    """What the queue knows of one key."""

    phase: _Phase = _Phase.IDLE
    failures: int = 0
    """In a row."""
    logged: str = ""
    """The last failure, which is logged once."""
    timer: asyncio.TimerHandle | None = None
    """Adds the key for its next try."""
    put_off: bool = False
    """Whether the API server said when that may be."""


class Queue:
    """Each key is in it once; one that is added while it is reconciled is reconciled again after that."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._entries: defaultdict[Key, _Entry] = defaultdict(_Entry)

    def add(self, keys: Iterable[Key]) -> None:
        for key in keys:
            entry = self._entries[key]
            if entry.phase is _Phase.RUNNING:
                entry.phase = _Phase.AGAIN
            elif entry.phase is _Phase.IDLE and entry.put_off and entry.timer:
                self._start_timer(key, entry, min(_NEWS_SECONDS, entry.timer.when() - self._now()))
            elif entry.phase is _Phase.IDLE:
                entry.phase = _Phase.WAITING
                self._ready.put_nowait(key)

    async def run(self, reconcile: Callable[[Key], Awaitable[None]], workers: int) -> None:
        """Reconcile what is added, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(reconcile))
        finally:
            for entry in self._entries.values():
                _cancel_timer(entry)

    async def _work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        while True:
            key = await self._ready.get()
            entry = self._entries[key]
            entry.phase = _Phase.RUNNING
            try:
                await reconcile(key)
                entry.failures, entry.logged = 0, ""
            except ApiError as error:
                self._retry(key, entry, error)
            except Exception:  # one object must not stop all others; what it was is logged
                logger.exception("%s: the operator is at fault", key)
                self._retry(key, entry, None)
            self._end(key, entry)

    def _end(self, key: Key, entry: _Entry) -> None:
        added, entry.phase = entry.phase is _Phase.AGAIN, _Phase.IDLE
        if added:
            self.add([key])
        elif entry.timer is None:
            del self._entries[key]

    def _retry(self, key: Key, entry: _Entry, error: ApiError | None) -> None:
        """Add it again after a delay that doubles each time, up to a minute where the same call would be refused again.

        Not before the time that the API server gave in its Retry-After.
        """
        entry.failures += 1
        longest = _LONGEST_DELAY_SECONDS if error is not None and not error.final else _LONGEST_FINAL_DELAY_SECONDS
        delay = min(longest, _FIRST_DELAY_SECONDS * 2 ** min(entry.failures - 1, 10))
        if error is not None:
            delay = max(delay, error.retry_after)
            if entry.logged != str(error):
                logger.warning("%s: %s; again in %.1f s", key, error, delay)
            entry.logged = str(error)
        entry.put_off = error is not None and error.retry_after > 0
        self._start_timer(key, entry, delay)

    def _start_timer(self, key: Key, entry: _Entry, delay: float) -> None:
        _cancel_timer(entry)
        entry.timer = asyncio.get_running_loop().call_later(delay, self._due, key)

    def _due(self, key: Key) -> None:
        entry = self._entries[key]
        entry.timer, entry.put_off = None, False
        self.add([key])

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _cancel_timer(entry: _Entry) -> None:
    if entry.timer is not None:
        entry.timer.cancel()
        entry.timer = None
