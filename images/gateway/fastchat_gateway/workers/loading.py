"""Workers that load are asked how far they are: the operator, who is told, may not reach them itself."""

import asyncio
from typing import Self

from fastchat_gateway.discovery.probe import Probe
from fastchat_gateway.routing.catalog import Catalog, Endpoint

_LOOK_SECONDS = 1.0
_ASKED_AT_ONCE = 8


class LoadWatch:
    """Asks each worker that takes no requests once a second, a few at a time; an async context."""

    def __init__(self, catalog: Catalog, probe: Probe) -> None:
        self._catalog = catalog
        self._probe = probe
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.gather(*(self._ask(endpoint) for endpoint in self._catalog.unready()))

    async def _ask(self, endpoint: Endpoint) -> None:
        async with self._asking:
            said = await self._probe.loading(endpoint.url)
        endpoint.loading = None if endpoint.ready else said
