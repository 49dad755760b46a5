"""Discovery on one machine: a fixed list of workers, each probed once a period."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Self, cast, get_args

from fastchat.api import Task
from fastchat_gateway.discovery.probe import Card, Probe
from fastchat_gateway.routing.catalog import Catalog, EndpointRecord, LoadBalancing, ModelRecord, QueueLimits

logger = logging.getLogger(__name__)


class _Worker:
    """One worker as last seen. A worker tells its models' names while it loads them, and keeps them while away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ready = False
        self.cards: list[Card] = []

    def see(self, ready: bool, cards: list[Card] | None) -> bool:
        """Take in a new look; did anything change?"""
        before = (self.ready, self.cards)
        self.ready = ready
        self.cards = self.cards if cards is None else cards
        return before != (self.ready, self.cards)


class StaticDiscovery:
    """Each worker is probed once a period: what it serves and whether it is ready."""

    ready = True
    contact = None

    def __init__(
        self,
        catalog: Catalog,
        probe: Probe,
        workers: Sequence[str],
        aliases: Mapping[str, str],
        queue: QueueLimits,
        *,
        period: float,
        load_balancing: LoadBalancing = "LeastRequests",
    ) -> None:
        self._catalog = catalog
        self._probe = probe
        self._workers = [_Worker(url) for url in workers]
        self._aliases = aliases
        self._queue = queue
        self._period = period
        self._load_balancing = load_balancing

    async def __aenter__(self) -> Self:
        self._catalog.update((), complete=False)
        await asyncio.gather(*[self._look(worker) for worker in self._workers])
        self._tasks = [asyncio.create_task(self._watch(worker)) for worker in self._workers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, worker: _Worker) -> None:
        while True:
            await asyncio.sleep(self._period)
            await self._look(worker)

    async def _look(self, worker: _Worker) -> None:
        ready, cards = await asyncio.gather(self._probe.ready(worker.url), self._probe.cards(worker.url))
        if ready is None:
            return
        if worker.see(ready, cards):
            names = ", ".join(card.id for card in worker.cards) or "no model yet"
            logger.info("worker %s is %s: %s", worker.url, "ready" if ready else "not ready", names)
            self._catalog.update(self._records(), complete=all(worker.cards for worker in self._workers))
        if ready:
            self._catalog.confirm(worker.url)

    def _records(self) -> list[ModelRecord]:
        """One record per model: what the first worker says of it, the endpoints of all."""
        found: dict[str, tuple[Card, list[EndpointRecord]]] = {}
        for worker in self._workers:
            for card in worker.cards:
                endpoints = found.setdefault(card.id, (card, []))[1]
                endpoints.append(EndpointRecord(worker.url, worker.ready))
        # A model's own name wins over another's alias.
        aliases = {alias: name for alias, name in self._aliases.items() if alias not in found}
        return [self._record(card, tuple(endpoints), aliases) for card, endpoints in found.values()]

    def _record(self, card: Card, endpoints: tuple[EndpointRecord, ...], aliases: Mapping[str, str]) -> ModelRecord:
        return ModelRecord(
            name=card.id,
            names=(card.id, *(alias for alias, name in aliases.items() if name == card.id)),
            endpoints=endpoints,
            task=cast(Task, card.task) if card.task in get_args(Task) else None,
            max_model_len=card.max_model_len,
            root=card.root,
            parent=card.parent,
            created=card.created,
            queue=self._queue,
            replicas=len(endpoints),
            load_balancing=self._load_balancing,
        )
