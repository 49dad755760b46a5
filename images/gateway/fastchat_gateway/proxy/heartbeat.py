"""Workers that are silent in the middle of a request are asked whether they live: a frozen one closes no connection."""

import asyncio
import logging
from typing import Self

from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.proxy.upstream import Pool

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_TIMES = 3


class Heartbeat:
    """Gives up what a worker has when it leaves three questions in a row unanswered; any answer is a sign of life.

    What may have silenced it is not sent to another: the requests that came after it was last heard and before the
    first of these questions. Where its port refuses connections it is dead, and what it had is merely lost.
    """

    def __init__(self, pool: Pool, probe: Probe, silence_seconds: float) -> None:
        self._pool = pool
        self._probe = probe
        self._silence_seconds = silence_seconds
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._task, *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for url in self._pool.silent(self._silence_seconds) - self._asking.keys():
                self._asking[url] = asyncio.create_task(self._ask(url))

    async def _ask(self, url: str) -> None:
        asked, sign = self._pool.clock.now, "silent"
        try:
            for _ in range(_TIMES):
                sign = await self._probe.sign(url)
                if sign == "alive":
                    self._pool.note_life(url)
                    await asyncio.sleep(self._silence_seconds)  # it may well think for longer
                    return
            logger.warning("worker %s does not answer any more", url)
            if sign == "gone":
                self._pool.lose(url, "its port refuses connections")
            else:
                self._pool.give_up(url, asked, "it is silent and does not answer /health")
        finally:
            del self._asking[url]
