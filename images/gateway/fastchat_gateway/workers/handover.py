"""Workers that stop give back what they have in flight, as soon as others are there that can go on with it."""

import asyncio
import logging
from collections.abc import Mapping

from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.routing.catalog import Catalog, Model
from fastchat_gateway.workers.pool import Pool
from fastchat_gateway.workers.watch import Watch

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_AGAIN_SECONDS = 1.0


class Handover(Watch[list[str]]):
    """Asks each worker that takes no new requests, and has some of this gateway's, to hand them over.

    It is asked once another one is ready that has the same model, by its digest, and at once where none is ready and
    one can only come when this one has gone. Else it goes on for as long as it may. A worker that does not stop
    refuses.
    """

    def __init__(self, catalog: Catalog, pool: Pool, probe: Probe) -> None:
        super().__init__(_LOOK_SECONDS)
        self._catalog = catalog
        self._pool = pool
        self._probe = probe
        self._served: Mapping[str, Model] = {}
        """URL → the model that its worker has, or had when it was last seen with a request."""

    def look(self) -> dict[str, list[str]]:
        """Workers with requests that take no new ones → those that do, of the same model."""
        active = self._pool.active()
        models = {each.url: model for model in self._catalog for each in model.endpoints}
        self._served = {url: models.get(url) or self._served[url] for url in active & (models.keys() | self._served)}
        ready = {url: _ready(model) for url, model in self._served.items()}
        in_place = {url for url, model in self._served.items() if model.record.replaced_in_place}
        return {url: others for url, others in ready.items() if url not in others and (others or url in in_place)}

    async def act(self, url: str, found: list[str]) -> None:
        """`found`: ready workers of the same model; empty: it is replaced in place."""
        if (not found or await self._has_equal(url, found)) and await self._probe.hand_over(url):
            logger.info("worker %s stops and hands over what it has", url)
        await asyncio.sleep(_AGAIN_SECONDS)

    async def _has_equal(self, url: str, others: list[str]) -> bool:
        digest = await self._probe.digest(url)
        return digest is not None and digest in [await self._probe.digest(other) for other in others]


def _ready(model: Model) -> list[str]:
    return [endpoint.url for endpoint in model.endpoints if endpoint.ready and not endpoint.silent]
