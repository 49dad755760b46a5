"""The operator: kopf watches, the store remembers, the queue reconciles, a periodic pass repairs what was missed.

The autoscaler writes `replicas` beside it, as anybody else might.
"""

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import kopf

from fastchat.naming import MANAGED_BY
from fastchat_operator.api import Api, ApiError
from fastchat_operator.autoscaler import Autoscaler
from fastchat_operator.kind import MODEL_DEPLOYMENT, WATCHED, Kind, Object
from fastchat_operator.metrics import Metrics
from fastchat_operator.queue import Queue
from fastchat_operator.reconciler import Reconciler
from fastchat_operator.settings import Settings
from fastchat_operator.store import Store
from fastchat_operator.token import Tokens

log = logging.getLogger(__name__)

_WORKERS = 16
_SELECTOR = ",".join(f"{name}={value}" for name, value in MANAGED_BY.items())


class Operator:
    """Watches one cluster."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics) -> None:
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self._scopes: Sequence[str | None] = settings.namespaces or [None]
        self._store = Store()
        self._queue = Queue()
        tokens = Tokens(api, settings.resync_seconds / 2)
        self._autoscaler = Autoscaler(api, self._store, tokens, metrics, self._queue.add)
        self._reconciler = Reconciler(api, self._store, settings, tokens, self._autoscaler.cause, self._queue.add)
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Operate until SIGTERM or SIGINT; raises what it could not go on after."""
        namespaces = self._settings.namespaces
        with self._metrics.leader.track_inprogress():
            await kopf.operator(
                registry=self._registry(),
                settings=_kopf_settings(),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=self._ended,
            )
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_log_in)
        kopf.on.startup(registry=registry)(self._start)
        kopf.on.cleanup(registry=registry)(self._stop)
        for kind in WATCHED:
            self._watch(kind, registry)
        return registry

    def _watch(self, kind: Kind, registry: kopf.OperatorRegistry) -> None:
        @kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            thing = {"apiVersion": kind.api_version, "kind": kind.name, **event["object"]}
            gone = event["type"] == "DELETED"
            self._queue.add(self._store.forget(kind, thing) if gone else self._store.see(kind, thing))

    async def _start(self, **_: Any) -> None:
        """Know everything before anything is done: a child not seen yet would look as if it were not there."""
        try:
            while not await self._resync():  # noqa: ASYNC110  # the API server has the answer
                await asyncio.sleep(1)
        except asyncio.CancelledError:
            self._ended.set()  # or kopf would wait for whoever of its own waits for this
            raise
        log.info("acting on %s", ", ".join(self._settings.namespaces) or "all namespaces")
        reconcile = self._metrics.counted(self._reconciler.reconcile)
        self._tasks = [
            asyncio.create_task(self._queue.run(reconcile, _WORKERS), name="queue"),
            asyncio.create_task(self._autoscaler.run(), name="autoscaler"),
            asyncio.create_task(self._resync_for_ever(), name="resync"),
        ]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._ended.set())

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            await self._resync()

    async def _resync(self) -> bool:
        """List everything and look at all of it: a watch that missed something does not matter."""
        try:
            for kind in WATCHED:
                for namespace in self._scopes:
                    await self._relist(kind, namespace)
        except ApiError as error:
            log.warning("not everything could be listed: %s", error)
            return False
        self._queue.add(self._store.keys())
        return True

    async def _relist(self, kind: Kind, namespace: str | None) -> None:
        before = self._store.snapshot(kind)
        selector = "" if kind == MODEL_DEPLOYMENT else _SELECTOR
        things: list[Object] = [thing async for thing in self._api.list(kind, namespace, selector)]
        self._queue.add(self._store.replace(kind, things, namespace, before))


class _Backoffs:
    """Delays between tries of kopf's calls, without end: the API server may be away for as long as it likes."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain([0.2, 0.5, 1], itertools.repeat(2))


class _NoDiffs(kopf.DiffBaseStorage):
    """Handlers of changes would need copies of every object to compare; these only watch."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""


def _kopf_settings() -> kopf.OperatorSettings:
    """A watch ends after half a minute, by the server or, where its connection died in silence, by us."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill the process, which goes on to wait for the Lease
    settings.watching.server_timeout = 30
    settings.watching.inactivity_timeout = 35
    settings.watching.client_timeout = 40
    settings.watching.connect_timeout = 5
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 20
    settings.networking.error_backoffs = _Backoffs()
    settings.scanning.disabled = True  # neither namespaces nor CRDs need watching, nor the rights for it
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffs()
    for kind in WATCHED:
        if kind != MODEL_DEPLOYMENT:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = _SELECTOR
    return settings


def _log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
