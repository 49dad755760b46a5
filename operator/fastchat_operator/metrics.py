"""What the operator counts, for Prometheus."""

from collections.abc import Awaitable, Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from fastchat._kube.errors import ApiError
from fastchat_operator.key import Key, ModelKey
from fastchat_operator.kube.scopes import Scopes
from fastchat_operator.reconcile.contest import Contests

_PREFIX = "fastchat_operator"

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per series, of no use here


class Metrics:
    """Counters and gauges of one operator."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = self._counter(
            "reconciles", "Reconciliations, by their end: ok, refused or failed.", "result"
        )
        self._errors = self._counter("reconcile_errors", "Reconciliations that have to be tried again.")
        self._decisions = self._counter(
            "scale_decisions", "Changes of replicas, by direction: up or down.", "direction"
        )
        for result in ("ok", "refused", "failed"):
            self._reconciles.labels(result)
        for direction in ("up", "down"):
            self._decisions.labels(direction)
        model = ("namespace", "model")
        self._desired = self._gauge("desired_replicas", "Workers that the autoscaler wants.", *model)
        self._demand = self._gauge("demand", "Sequences in flight and held, over all gateway pods.", *model)
        self.leader = self._gauge("leader", "1 while this operator is the one that acts.")
        self._synced = self._gauge(
            "namespace_synced", "1 while a namespace can be listed, 0 where it cannot; *: all of them.", "namespace"
        )
        self._contested = self._gauge(
            "contested", "1 for an object that somebody else changes back again and again.", "namespace", "kind", "name"
        )
        self._scopes: Scopes | None = None
        self._contests = Contests()

    def counted(self, reconcile: Callable[[Key], Awaitable[None]]) -> Callable[[Key], Awaitable[None]]:
        """`reconcile`, with each end counted; errors go on."""

        async def run(key: Key) -> None:
            result = "failed"
            try:
                await reconcile(key)
                result = "ok"
            except ApiError as error:
                result = "refused" if error.refusal else "failed"
                raise
            finally:
                self._reconciles.labels(result).inc()
                if result != "ok":
                    self._errors.inc()

        return run

    def decided(self, key: ModelKey, replicas: int, requests: int) -> None:
        self._desired.labels(key.namespace, key.name).set(replicas)
        self._demand.labels(key.namespace, key.name).set(requests)

    def scaled(self, direction: Literal["up", "down"]) -> None:
        self._decisions.labels(direction).inc()

    def forget(self, key: ModelKey) -> None:
        """Drop the gauges of a model that is not scaled any more."""
        for gauge in (self._desired, self._demand):
            gauge.remove(key.namespace, key.name)

    def show(self, scopes: Scopes, contests: Contests) -> None:
        """Render the state of these from now on."""
        self._scopes, self._contests = scopes, contests

    def render(self) -> bytes:
        """Prometheus' text format."""
        self._synced.clear()
        for scope in self._scopes or ():
            self._synced.labels(scope.namespace or "*").set(not scope.trouble)
        self._contested.clear()
        for each in self._contests.subjects():
            self._contested.labels(each.namespace, each.kind.name, each.name).set(1)
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry)
