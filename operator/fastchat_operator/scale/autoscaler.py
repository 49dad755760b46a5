"""Lets the number of workers follow the demand, by the scale subresource, as a HorizontalPodAutoscaler would."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fastchat._kube.errors import ApiError
from fastchat._kube.kind import Object
from fastchat.demand import Demand, Loading
from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat_operator.key import GatewayKey, Key, ModelKey
from fastchat_operator.kube.token import Tokens
from fastchat_operator.metrics import Metrics
from fastchat_operator.observe.cause import Cause
from fastchat_operator.plan.workloads import progress
from fastchat_operator.reconcile.applier import Applier
from fastchat_operator.reconcile.contest import Subject
from fastchat_operator.scale.decision import Decision, History, begin, decide
from fastchat_operator.scale.listener import Listeners
from fastchat_operator.scale.loads import Loads
from fastchat_operator.scale.moves import Moves
from fastchat_operator.store import Store

logger = logging.getLogger(__name__)

COST = "controller.kubernetes.io/pod-deletion-cost"
"""Of ready pods the ReplicaSet stops those with the lowest first; 0 where there is none.

https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
"""
_LOOK_SECONDS = 0.5
"""Every model is decided on this often, also where its demand is as it was: delays run out, and pods come and go."""
_GATHER_SECONDS = 0.05
"""Changes of the demand within this time are handled together."""
_RETRY_SECONDS = 2.0


@dataclass
class _Scaled:
    """What is remembered of one model."""

    history: History
    cause: Cause | None = None
    """Why it has as many workers as it has."""
    written: int = 0
    """The version that our last write made: a decision about an earlier one would be about the past."""
    not_before: float = 0.0
    """When it may be written again after a failure."""


class Autoscaler:
    """Scales the ModelDeployments with `autoscaling`, and no others; of all of them it tells what `moves`."""

    def __init__(
        self,
        applier: Applier,
        store: Store,
        tokens: Tokens,
        metrics: Metrics,
        know: Callable[[str], bool],
        wake: Callable[[Iterable[Key]], None],
    ) -> None:
        """`know` says whether a namespace may be acted on, `wake` has keys reconciled, because `cause` has changed."""
        self._applier = applier
        self._store = store
        self._metrics = metrics
        self._know = know
        self._wake = wake
        self._news: set[str] = set()
        self._has_news = asyncio.Event()
        self._listeners = Listeners(tokens.find, self._note)
        self._moves = Moves(applier, store, self._listeners)
        self._loads = Loads(store, self._listeners, wake)
        self._scaled: dict[ModelKey, _Scaled] = {}

    def cause(self, key: ModelKey) -> Cause | None:
        """Why a ModelDeployment has as many workers as it has; None: nothing is known yet."""
        scaled = self._scaled.get(key)
        return scaled.cause if scaled else None

    def loads(self, key: ModelKey) -> Mapping[str, Loading]:
        """How far the workers of a ModelDeployment are that load, by their pods' UIDs."""
        return self._loads.of(key)

    async def run(self) -> None:
        """Scale until cancelled: at once in a namespace whose demand has changed, everywhere twice a second."""
        due = 0.0
        try:
            async with self._listeners:
                while True:
                    models = {_key(each): each for each in self._store.all_models() if self._is_scaled(each)}
                    news, self._news = self._news, set()
                    if time.monotonic() >= due:
                        due = time.monotonic() + _LOOK_SECONDS
                        news = {key.namespace for key in models}
                        self._forget(self._scaled.keys() - models.keys())
                        await self._look_at_all()
                    await asyncio.gather(*[self._try(key, models[key]) for key in models if key.namespace in news])
                    await self._wait(due)
        finally:
            self._forget(self._scaled.copy())  # the gauges are those of the operator that leads

    def _note(self, namespace: str) -> None:
        self._news.add(namespace)
        self._has_news.set()

    async def _wait(self, due: float) -> None:
        """Return when a demand has changed, or when it is `due` to decide on every model."""
        with suppress(TimeoutError):
            async with asyncio.timeout(due - time.monotonic()):
                await self._has_news.wait()
                await asyncio.sleep(_GATHER_SECONDS)
        self._has_news.clear()

    def _is_scaled(self, deployment: ModelDeployment) -> bool:
        """Whether its number of workers is to follow the demand; not where it serves no requests.

        It serves none while it is being deleted, and none where an older ModelDeployment has its name.
        """
        if deployment.spec.autoscaling is None or deployment.metadata.deletion_timestamp:
            return False
        if not self._know(_key(deployment).namespace):
            return False
        return not any(name == deployment.name for name, _ in self._store.name_conflicts(deployment))

    async def _look_at_all(self) -> None:
        """Listen to the gateways of all models, scaled or not: how far loads are, what became of responses."""
        keys = [key for each in self._store.all_models() if self._know((key := _key(each)).namespace)]
        self._follow({key.namespace for key in keys})
        self._loads.look(keys)
        try:
            await self._moves.look(keys)
        except Exception:  # it only tells; what it was is logged
            logger.exception("what became of responses cannot be told: the operator is at fault")

    def _follow(self, namespaces: Iterable[str]) -> None:
        pods = (pod for namespace in namespaces for pod in self._store.pods(GatewayKey(namespace)))
        self._listeners.follow(pod for pod in pods if self._store.is_gateways(pod))

    def _forget(self, keys: Iterable[ModelKey]) -> None:
        for key in keys:
            del self._scaled[key]
            self._metrics.forget(key)

    async def _try(self, key: ModelKey, deployment: ModelDeployment) -> None:
        try:
            await self._scale(key, deployment)
        except Exception:  # one model must not stop all others; what it was is logged
            logger.exception("%s: the autoscaler is at fault", key)

    async def _scale(self, key: ModelKey, deployment: ModelDeployment) -> None:
        now = time.monotonic()
        pods = [pod for pod in self._store.pods(GatewayKey(key.namespace)) if self._store.is_gateways(pod) is not False]
        demands = self._listeners.demands(pods, deployment.name)
        before = self._scaled.get(key)
        history = begin(deployment, before.history if before else None, now)
        decision = decide(deployment, demands, history, now, rolling=_rolls(self._store.workload(key)))
        scaled = self._scaled.setdefault(key, _Scaled(decision.history))
        scaled.history = decision.history
        self._metrics.decided(key, decision.replicas, decision.requests)
        self._say(key, scaled, self._applier.contested(Subject.of_model(key, "scale")) or decision.cause)
        overtaken = int(deployment.metadata.resource_version or 0) < scaled.written or now < scaled.not_before
        if decision.replicas != deployment.spec.replicas and not overtaken and self._applier.may_scale(key):
            await self._act(key, scaled, deployment, decision, demands)

    def _say(self, key: ModelKey, scaled: _Scaled, cause: Cause | None) -> None:
        if cause is not None and cause != scaled.cause:
            scaled.cause = cause
            self._wake([key])

    async def _act(
        self,
        key: ModelKey,
        scaled: _Scaled,
        deployment: ModelDeployment,
        decision: Decision,
        demands: Mapping[str, Demand | None],
    ) -> None:
        """Write what was decided.

        404 and 409 are no failures: the ModelDeployment has changed since, and the next decision sees that.
        """
        down = decision.replicas < deployment.spec.replicas
        try:
            if down:
                await self._mark_busy(key, demands)
            scaled.written = await self._applier.scale(key, deployment, decision.replicas)
        except ApiError as error:
            if error.status not in (404, 409):
                delay = max(_RETRY_SECONDS, error.retry_after)
                logger.warning("%s was not scaled: %s; again in %.0f s", key, error, delay)
                scaled.not_before = time.monotonic() + delay
            return
        self._metrics.scaled("down" if down else "up")
        logger.info("%s: %s", key, decision.message)
        await self._applier.tell(deployment, "ScaledDown" if down else "ScaledUp", decision.message)

    async def _mark_busy(self, key: ModelKey, demands: Mapping[str, Demand | None]) -> None:
        """Tell the ReplicaSet how many requests each pod has, so that it stops the idle ones."""
        outstanding: Counter[str] = Counter()
        for demand in demands.values():
            outstanding.update(demand.outstanding if demand else {})
        for pod in self._store.pods(key):
            metadata = pod["metadata"]
            cost = str(outstanding[metadata["uid"]])
            if metadata.get("annotations", {}).get(COST, "0") != cost and not metadata.get("deletionTimestamp"):
                await self._applier.annotate(pod, {COST: cost})


def _key(deployment: ModelDeployment) -> ModelKey:
    return ModelKey(deployment.metadata.namespace or "default", deployment.metadata.name)


def _rolls(workers: Object | None) -> bool:
    """Whether pods are being replaced, or will be as soon as the Deployment's controller has looked."""
    if workers is None:
        return False
    state = progress(workers)
    return not state.observed or state.updated < state.current
