"""Workers that are silent in the middle of a request are probed: a frozen one closes no connection."""

import asyncio
import logging
from collections.abc import Mapping

from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.workers.pool import Pool
from fastchat_gateway.workers.watch import Watch

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_PROBES = 3


class Heartbeat(Watch[None]):
    """Gives up what a worker has when three probes in a row get no response; any response is a sign of life.

    What may have silenced it is not sent to another: the requests that came after it was last heard and before the
    first of these probes. Where its port refuses connections it is dead, and what it had is merely lost.
    """

    def __init__(self, pool: Pool, probe: Probe, silence_seconds: float) -> None:
        super().__init__(_LOOK_SECONDS)
        self._pool = pool
        self._probe = probe
        self._silence_seconds = silence_seconds

    def look(self) -> Mapping[str, None]:
        """Workers that are silent in the middle of a request."""
        return dict.fromkeys(self._pool.silent(self._silence_seconds))

    async def act(self, url: str, found: None) -> None:  # noqa: ARG002  # nothing is known
        """Probe it until it is known whether it lives."""
        began, sign = self._pool.clock.now, "silent"
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
