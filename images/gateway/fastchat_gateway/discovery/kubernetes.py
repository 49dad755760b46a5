"""Discovery in a cluster: ModelDeployments and the EndpointSlices of their workers, as the Kubernetes API has them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self, TypeVar

from fastchat._kube import location
from fastchat._kube.aio import AsyncClient
from fastchat._kube.kind import Object
from fastchat._kube.reflector import Reflector
from fastchat._kube.watch import Selection
from fastchat_gateway.discovery import resources
from fastchat_gateway.discovery.probe import READY_PATHS, Probe
from fastchat_gateway.discovery.protocol import Contact
from fastchat_gateway.routing.catalog import Catalog, Endpoint, ModelRecord

logger = logging.getLogger(__name__)

_ASKED_AT_ONCE = 8
_BETWEEN_UPDATES_SECONDS = 0.02

Connect = Callable[[], AbstractAsyncContextManager[AsyncClient]]
"""A new connection, by credentials that are looked up anew; raises fastchat's CredentialsError."""
_T = TypeVar("_T")


def connect_by(kubeconfig: str | None) -> Connect:
    """To the cluster of this pod, or of a kubeconfig."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[AsyncClient]:
        access = await asyncio.to_thread(location.for_a_program, kubeconfig)
        async with AsyncClient(access, "fastchat-gateway", trust_env=True) as client:
            yield client

    return connect


class KubernetesDiscovery:
    """Tells the catalog of every change as it happens, and probes workers for what the Kubernetes API does not know.

    That is a model's context length, once of each worker, and after a failure whether the worker is ready all the
    same: Kubernetes says nothing of a worker that has been ready all along.
    """

    def __init__(
        self,
        catalog: Catalog,
        probe: Probe,
        connect: Connect,
        namespace: str,
        count_gateways: Callable[[int], None],
        *,
        period: float,
    ) -> None:
        """`count_gateways` is told how many gateways there are, whenever that may have changed."""
        self._catalog = catalog
        self._count_gateways = count_gateways
        self._probe = probe
        self._period = period
        self._deployments = _reflector(
            connect, resources.model_deployments(namespace), resources.read_model_deployment, self._schedule_update
        )
        self._slices = _reflector(
            connect, resources.worker_slices(namespace), resources.read_endpoint_slice, self._schedule_update
        )
        self._gateways = _reflector(
            connect, resources.gateway_slices(namespace), resources.read_endpoint_slice, self._count
        )
        self._pending: asyncio.TimerHandle | None = None
        self._updated = 0.0
        self._workers: dict[tuple[str, str], str] = {}  # those that are ready → their ModelDeployment's name
        self._lengths: dict[str, int] = {}  # ModelDeployment's name → context length
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._under_examination: set[Endpoint] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = False

    @property
    def contact(self) -> Contact:
        heard = min(self._deployments.heard, self._slices.heard)
        return Contact(self._deployments.connected and self._slices.connected, time.monotonic() - heard)

    async def __aenter__(self) -> Self:
        self._catalog.update((), complete=False)
        for work in (self._deployments.run(), self._slices.run(), self._gateways.run(), self._examine_suspects()):
            self._start(work)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pending is not None:
            self._pending.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self) -> None:
        self._count_gateways(resources.gateways(self._gateways))

    def _schedule_update(self) -> None:
        """At once, but once for all that comes in together, and not before both kinds have been listed."""
        if self._pending is None and self._deployments.listed and self._slices.listed:
            when = self._updated + _BETWEEN_UPDATES_SECONDS
            self._pending = asyncio.get_running_loop().call_at(when, self._update)

    def _update(self) -> None:
        self._pending = None
        self._updated = asyncio.get_running_loop().time()
        records = resources.records(self._deployments, self._slices, self._lengths)
        self._catalog.update([*records.values(), *resources.adapter_records(self._deployments, records)])
        self.ready = True
        self._lengths = {name: length for name, length in self._lengths.items() if name in records}
        self._note_workers(records)

    def _note_workers(self, records: Mapping[str, ModelRecord]) -> None:
        """Ask those that have become ready what only they know."""
        before = self._workers.keys()
        self._workers = {
            endpoint.key: name for name, record in records.items() for endpoint in record.endpoints if endpoint.ready
        }
        if self._workers.keys() != before:
            logger.info("%d models, %d workers ready", len(records), len(self._workers))
        for key in self._workers.keys() - before:
            name = self._workers[key]
            self._start(self._ask_length(key[0], name, records[name].name))

    async def _ask_length(self, url: str, deployment: str, model: str) -> None:
        async with self._asking:
            cards = await self._probe.cards(url)
        for card in cards or ():
            if card.id == model and card.max_model_len not in (None, self._lengths.get(deployment)):
                self._lengths[deployment] = card.max_model_len
                self._schedule_update()

    async def _examine_suspects(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            for endpoint in self._catalog.suspects():
                if endpoint not in self._under_examination:
                    self._start(self._examine(endpoint))

    async def _examine(self, endpoint: Endpoint) -> None:
        self._under_examination.add(endpoint)
        try:
            if await self._probe.ready(endpoint.url, self._ready_paths(endpoint)):
                self._catalog.confirm(endpoint.url, endpoint.uid)
        finally:
            self._under_examination.discard(endpoint)

    def _ready_paths(self, endpoint: Endpoint) -> Sequence[str]:
        deployment = self._deployments.get(self._workers.get((endpoint.url, endpoint.uid), ""))
        own = deployment.spec.engine.ready_path if deployment else None
        return (own,) if own else READY_PATHS


def _reflector(
    connect: Connect, selection: Selection, read: Callable[[Object], _T], changed: Callable[[], None]
) -> Reflector[_T]:
    """One that leaves out what cannot be read, and says so."""

    def read_or_leave_out(thing: Object) -> _T | None:
        try:
            return read(thing)
        except resources.UnreadableError as error:
            logger.warning("%s %s is left out: it cannot be read: %s", selection, thing["metadata"]["name"], error)
            return None

    return Reflector(connect, selection, read_or_leave_out, changed)
