"""Workers that are silent in the middle of a request are probed: a frozen one closes no connection."""

import asyncio
import logging
from typing import Self

from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.workers.pool import Pool

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_PROBES = 3


class Heartbeat:
    """Gives up what a worker has when three probes in a row get no response; any response is a sign of life.

    What may have silenced it is not sent to another: the requests that came after it was last heard and before the
    first of these probes. Where its port refuses connections it is dead, and what it had is merely lost.
    """

    def __init__(self, pool: Pool, probe: Probe, silence_seconds: float) -> None:
        self._pool = pool
        self._probe = probe
        self._silence_seconds = silence_seconds
        self._probing: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._task, *self._probing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for url in self._pool.silent(self._silence_seconds) - self._probing.keys():
                self._probing[url] = asyncio.create_task(self._probe_until_known(url))

    async def _probe_until_known(self, url: str) -> None:
        began, sign = self._pool.clock.now, "silent"
        try:
            for _ in range(_PROBES):
                sign = await self._probe.sign(url)
                if sign == "alive":
                    self._pool.note_life(url)
                    await asyncio.sleep(self._silence_seconds)  # it may well think for longer
                    return
            logger.warning("worker %s does not respond any more", url)
            if sign == "gone":
                self._pool.lose(url, "its port refuses connections")
            else:
                self._pool.give_up(url, began, "it is silent and does not respond to /health")
        finally:
            del self._probing[url]
