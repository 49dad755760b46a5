"""Where the catalog's entries come from. One seam: a Kubernetes implementation stands beside the static one."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, Self, cast, get_args

import aiohttp
import msgspec

from fastchat.api import Task
from fastchat_gateway.catalog import Catalog, EndpointRecord, ModelRecord, QueueLimits

logger = logging.getLogger(__name__)


class Discovery(Protocol):
    """An async context that keeps a catalog up to date; entered when the catalog holds a first state.

    It calls `Catalog.update` with the whole state on every change, and `Catalog.confirm` whenever it has itself just
    seen a worker ready: without that, a request whose workers all failed once waits for nothing.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class _Card(msgspec.Struct):
    """What is read of an entry of a worker's `GET /v1/models`."""

    id: str
    created: int = 0
    root: str | None = None
    task: str | None = None
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class _Worker:
    """One worker as last seen. A worker tells its models' names while it loads them, and keeps them while away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ready = False
        self.cards: list[_Card] = []

    def see(self, ready: bool, cards: list[_Card] | None) -> bool:
        """Take in a new look; did anything change?"""
        before = (self.ready, self.cards)
        self.ready = ready
        self.cards = self.cards if cards is None else cards
        return before != (self.ready, self.cards)


class StaticDiscovery:
    """A fixed list of workers, each asked once a period what it serves and whether it is ready."""

    def __init__(
        self,
        catalog: Catalog,
        workers: Sequence[str],
        aliases: Mapping[str, str],
        queue: QueueLimits,
        *,
        period: float,
        timeout: float,
    ) -> None:
        self._catalog = catalog
        self._workers = [_Worker(url) for url in workers]
        self._aliases = aliases
        self._queue = queue
        self._period = period
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._catalog.update((), complete=False)
        await asyncio.gather(*[self._look(worker) for worker in self._workers])
        self._tasks = [asyncio.create_task(self._watch(worker)) for worker in self._workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _watch(self, worker: _Worker) -> None:
        while True:
            await asyncio.sleep(self._period)
            await self._look(worker)

    async def _look(self, worker: _Worker) -> None:
        ready, cards = await asyncio.gather(self._ready(worker.url), self._cards(worker.url))
        if worker.see(ready, cards):
            names = ", ".join(card.id for card in worker.cards) or "no model yet"
            logger.info("worker %s is %s: %s", worker.url, "ready" if ready else "not ready", names)
            self._catalog.update(self._records(), complete=all(worker.cards for worker in self._workers))
        if ready:
            self._catalog.confirm(worker.url)

    async def _ready(self, url: str) -> bool:
        """`GET /ready`; of engines without it `GET /health`."""
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._status(f"{url}/ready")
                return (await self._status(f"{url}/health") if status == 404 else status) == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def _status(self, url: str) -> int:
        async with self._session.get(url) as answer:
            return answer.status

    async def _cards(self, url: str) -> list[_Card] | None:
        """The models of a worker; None where it does not say."""
        try:
            async with asyncio.timeout(self._timeout), self._session.get(f"{url}/v1/models") as answer:
                cards = msgspec.json.decode(await answer.read(), type=_Cards).data if answer.status == 200 else None
        except (aiohttp.ClientError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return cards and list({card.id: card for card in cards}.values())

    def _records(self) -> list[ModelRecord]:
        """One record per name: what the first worker says of it, the endpoints of all."""
        found: dict[str, tuple[_Card, list[EndpointRecord]]] = {}
        for worker in self._workers:
            for card in worker.cards:
                endpoints = found.setdefault(card.id, (card, []))[1]
                endpoints.append(EndpointRecord(worker.url, worker.ready))
        return [self._record(card, tuple(endpoints)) for card, endpoints in found.values()]

    def _record(self, card: _Card, endpoints: tuple[EndpointRecord, ...]) -> ModelRecord:
        return ModelRecord(
            name=card.id,
            endpoints=endpoints,
            aliases=tuple(alias for alias, name in self._aliases.items() if name == card.id),
            task=cast(Task, card.task) if card.task in get_args(Task) else None,
            max_model_len=card.max_model_len,
            root=card.root,
            created=card.created,
            queue=self._queue,
        )
