"""How far workers are that load, as the gateways say that reach them."""

import time
from collections.abc import Callable, Iterable, Mapping

from fastchat.demand import Loading
from fastchat_operator.key import GatewayKey, Key, ModelKey
from fastchat_operator.observe.progress import join
from fastchat_operator.plan.workloads import progress
from fastchat_operator.scale.listener import Listeners
from fastchat_operator.store import Store

_LEAST_SECONDS = 3.0
_PER_SECOND = 20
"""ModelDeployments whose progress is looked at within a second, at most."""


class Loads:
    """Has those ModelDeployments reconciled now and then of whose workers gateways say that they load."""

    def __init__(self, store: Store, listeners: Listeners, wake: Callable[[Iterable[Key]], None]) -> None:
        self._store = store
        self._listeners = listeners
        self._wake = wake
        self._due = 0.0

    def of(self, key: ModelKey) -> Mapping[str, Loading]:
        """How far a ModelDeployment's workers are, by their pods' UIDs; those are missing of which nothing is known."""
        deployment = self._store.model(key)
        if deployment is None:
            return {}
        pods = [pod for pod in self._store.pods(GatewayKey(key.namespace)) if self._store.is_gateways(pod)]
        demands = self._listeners.demands(pods, deployment.name).values()
        workers = (worker for demand in demands if demand for worker in demand.workers)
        return join((worker.uid, worker.loading) for worker in workers if worker.loading)

    def look(self, keys: Iterable[ModelKey]) -> None:
        """Wake those of whose workers gateways say something, every few seconds."""
        if time.monotonic() < self._due:
            return
        loading = [key for key in keys if _starts(self._store, key) and self.of(key)]
        self._due = time.monotonic() + max(_LEAST_SECONDS, len(loading) / _PER_SECOND)
        self._wake(loading)


def _starts(store: Store, key: ModelKey) -> bool:
    state = progress(store.workload(key))
    return state.ready < max(state.current, state.wanted)
