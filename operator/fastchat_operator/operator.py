"""The operator: kopf watches, the store remembers, the queue reconciles, a periodic pass repairs what was missed.

The autoscaler writes `replicas` beside it, as anybody else might.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Kind, Object
from fastchat_operator.key import Key
from fastchat_operator.kube.api import Api
from fastchat_operator.kube.kind import MODEL_DEPLOYMENT, WATCHED
from fastchat_operator.kube.scopes import Scope, Scopes
from fastchat_operator.kube.token import Tokens
from fastchat_operator.kube.watch import WatchEndedError, kopf_settings, log_in, selector
from fastchat_operator.metrics import Metrics
from fastchat_operator.queue import Queue
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.contest import Contests
from fastchat_operator.reconcile.gateway import GatewayReconciler
from fastchat_operator.reconcile.model import ModelReconciler
from fastchat_operator.reconcile.reconciler import Reconciler
from fastchat_operator.scale.autoscaler import Autoscaler
from fastchat_operator.settings import Settings
from fastchat_operator.store import Store

logger = logging.getLogger(__name__)

_WORKERS = 16
_CRD_SECONDS = 2.0
"""How often it is looked for while it is not there."""
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 8.0
_LONGEST_FINAL_DELAY_SECONDS = 30.0
_NO_CRD = (
    f"the CRD {MODEL_DEPLOYMENT.plural}.{MODEL_DEPLOYMENT.group} is not installed: "
    "it comes with FastChat's Helm chart (crds.install)"
)


class Operator:
    """Watches one cluster."""

    def __init__(self, api: Api, settings: Settings, metrics: Metrics, scopes: Scopes) -> None:
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self._scopes = scopes
        self._store = Store()
        self._queue = Queue()
        contests = Contests()
        tokens = Tokens(api, settings.resync_seconds / 2)
        applier = Applier(api, self._store, tokens, contests, self._queue.add)
        self._autoscaler = Autoscaler(applier, self._store, tokens, metrics, scopes.know, self._queue.add)
        gateways = GatewayReconciler(api, applier, self._store, settings, tokens, self._queue.add)
        scaler = self._autoscaler
        models = ModelReconciler(applier, self._store, settings, gateways.trouble, scaler.cause, scaler.loads)
        self._reconciler = Reconciler(applier, models, gateways)
        metrics.show(scopes, contests)
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Operate until SIGTERM or SIGINT; raises WatchEndedError, and whatever else ends one of its tasks."""
        namespaces = self._settings.namespaces
        with self._metrics.leader.track_inprogress(), self._scopes.leading():
            try:
                await kopf.operator(
                    registry=self._registry(),
                    settings=kopf_settings(),
                    standalone=True,
                    clusterwide=not namespaces,
                    namespaces=namespaces,
                    stop_flag=self._ended,
                )
            except Exception as error:  # kopf has no public name for what ends a watch
                raise WatchEndedError(str(error.args[0] if error.args else error)) from error
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(log_in)
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
        """Start when the CRD is there: kopf looks only once for the kinds that it is to watch."""
        try:
            await self._wait_for_crd()
        except asyncio.CancelledError:
            self._ended.set()  # or kopf's own tasks, which wait for this one, would keep it from ending
            raise
        logger.info("acting on %s", ", ".join(map(str, self._scopes)))
        reconcile = self._metrics.counted(self._reconciler.reconcile)
        self._tasks = [
            asyncio.create_task(self._queue.run(self._where_known(reconcile), _WORKERS), name="queue"),
            asyncio.create_task(self._autoscaler.run(), name="autoscaler"),
            *(asyncio.create_task(self._follow(scope), name=f"follow {scope}") for scope in self._scopes),
        ]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._ended.set())

    async def _wait_for_crd(self) -> None:
        while True:
            try:
                missing = "" if await self._api.serves(MODEL_DEPLOYMENT) else _NO_CRD
            except ApiError as error:
                missing = str(error)
            if missing and missing != self._scopes.trouble:
                logger.warning("%s; nothing is done until then", missing)
            self._scopes.trouble = missing
            if not missing:
                return
            await asyncio.sleep(_CRD_SECONDS)

    def _where_known(self, reconcile: Callable[[Key], Awaitable[None]]) -> Callable[[Key], Awaitable[None]]:
        """Reconciles only where everything was listed: an object not listed yet would look as if it were not there."""

        async def run(key: Key) -> None:
            if self._scopes.know(key.namespace):
                await reconcile(key)

        return run

    async def _stop(self, **_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, scope: Scope) -> None:
        """List everything of a scope now and then: a watch that missed something does not matter."""
        while True:
            delay: float = self._settings.resync_seconds
            try:
                for kind in WATCHED:
                    await self._relist(kind, scope.namespace)
                self._note(scope, None)
                self._queue.add(key for key in list(self._store.keys()) if scope.namespace in (None, key.namespace))
            except ApiError as error:
                self._note(scope, error)
                delay = min(delay, _delay(scope.failures, error))
            except Exception:  # one namespace must not stop all others; what it was is logged
                logger.exception("%s: the operator is at fault", scope)
                self._note(scope, ApiError(0, "the operator is at fault: its log says how"))
            await asyncio.sleep(delay)

    def _note(self, scope: Scope, error: ApiError | None) -> None:
        """Remember how a listing ended, and log it where that is another end than before."""
        before, known = scope.trouble, scope.known
        if error:
            scope.failed(error)
        else:
            scope.listed()
        if scope.trouble and scope.trouble != before:
            consequence = "what is known still holds" if scope.known else "nothing is done there"
            logger.warning("%s: not everything could be listed, %s: %s", scope, consequence, scope.trouble)
        elif scope.known and not known:
            logger.info("%s: everything is known", scope)

    async def _relist(self, kind: Kind, namespace: str | None) -> None:
        before = self._store.snapshot(kind)
        things: list[Object] = [thing async for thing in self._api.list(kind, namespace, selector(kind))]
        self._queue.add(self._store.replace(kind, things, namespace, before))


def _delay(failures: int, error: ApiError) -> float:
    """Seconds until the next try: twice as long each time."""
    longest = _LONGEST_FINAL_DELAY_SECONDS if error.final else _LONGEST_DELAY_SECONDS
    return max(error.retry_after, min(longest, _FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 10)))
