"""What the gateway counts. Labels are names of models and keys and known routes, so that no caller can add a series."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fastchat_gateway.catalog import Catalog, Model
from fastchat_gateway.discovery import Discovery

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per series, of no use here

PREFIX = "fastchat_gateway"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

Watched = Literal["keys", "open_connections", "streams"]
_WATCHED: Mapping[Watched, str] = {
    "keys": "API keys that are configured.",
    "open_connections": "Connections that clients hold.",
    "streams": "Streams being answered.",
}


class _Demand(Collector):
    """Gauges read off the catalog when they are scraped; a request pays nothing for them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def collect(self) -> Iterable[Metric]:
        yield self._gauge("requests_in_flight", "Requests at a worker.", lambda model: model.in_flight)
        yield self._gauge("requests_held", "Requests that wait for a worker.", lambda model: len(model.hold))
        yield self._gauge("endpoints_ready", "Workers that take requests.", _ready)

    def _gauge(self, name: str, documentation: str, measure: Callable[[Model], int]) -> Metric:
        """Models of one name are one series: their requests cannot be told apart by it."""
        values: dict[str, int] = {}
        for model in self._catalog:
            values[model.name] = values.get(model.name, 0) + measure(model)
        family = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=["model"])
        for model_name, value in values.items():
            family.add_metric([model_name], value)
        return family


def _ready(model: Model) -> int:
    return sum(endpoint.ready for endpoint in model.endpoints)


class _Contact(Collector):
    """How it stands with the Kubernetes API."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    def collect(self) -> Iterable[Metric]:
        contact = self._discovery.contact
        if contact is not None:
            yield self._gauge("discovery_connected", "1 while the Kubernetes API is followed.", contact.connected)
            yield self._gauge("discovery_silent_seconds", "Since the Kubernetes API's last word.", contact.seconds)

    @staticmethod
    def _gauge(name: str, documentation: str, value: float) -> Metric:
        return GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value=value)


class Metrics:
    """Counters and histograms; their children are bound once, because looking one up costs more than counting.

    A `key` is the name of the API key, empty without one. Histograms are not told apart by it: each key would add
    their two dozen series for every model.
    """

    def __init__(self, catalog: Catalog, discovery: Discovery) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Demand(catalog))
        self.registry.register(_Contact(discovery))
        self._requests = self._counter("requests", "Requests answered.", "model", "route", "status", "outcome", "key")
        self._tokens = self._counter("tokens", "Tokens of prompts (in) and answers (out).", "model", "key", "direction")
        self._retries = self._counter("retries", "Tries that failed before the first byte.", "model")
        self._ejections = self._counter("ejections", "Workers left out for a while.", "model")
        self._queue_refused = self._counter("queue_refused", "Requests that waited in vain.", "model", "reason")
        self._first_byte = self._histogram(
            "time_to_first_byte_seconds", "From the request to the answer's first byte.", "model", "route"
        )
        self._duration = self._histogram(
            "request_duration_seconds", "From the request to the answer's last byte.", "model", "route"
        )
        self._held = self._histogram("held_seconds", "That a request waited for a worker, if it did.", "model")
        self._count: dict[tuple[str, str, int, str, str], Callable[[], None]] = {}
        self._time: dict[tuple[str, str], tuple[Callable[[float], None], Callable[[float], None]]] = {}
        self._use: dict[tuple[str, str], tuple[Callable[[float], None], Callable[[float], None]]] = {}

    def watch(self, name: Watched, read: Callable[[], float]) -> None:
        """A gauge that reads its value when it is scraped."""
        Gauge(f"{PREFIX}_{name}", _WATCHED[name], registry=self.registry).set_function(read)

    def request(self, model: str, route: str, status: int, outcome: str, key: str = "") -> None:
        labels = (model, route, status, outcome, key)
        count = self._count.get(labels)
        if count is None:
            count = self._count[labels] = self._requests.labels(*labels).inc
        count()

    def times(self, model: str, route: str, first_byte: float | None, duration: float) -> None:
        """Seconds; no first byte where nothing was answered."""
        observe = self._time.get((model, route))
        if observe is None:
            observe = self._first_byte.labels(model, route).observe, self._duration.labels(model, route).observe
            self._time[model, route] = observe
        if first_byte is not None:
            observe[0](first_byte)
        observe[1](duration)

    def tokens(self, model: str, key: str, prompt: int, completion: int) -> None:
        """What one answer says it used."""
        use = self._use.get((model, key))
        if use is None:
            use = self._tokens.labels(model, key, "in").inc, self._tokens.labels(model, key, "out").inc
            self._use[model, key] = use
        use[0](prompt)
        use[1](completion)

    def held(self, model: str, seconds: float) -> None:
        """A request's wait for a worker has ended, however it did."""
        self._held.labels(model).observe(seconds)

    def queue_refused(self, model: str, reason: Literal["full", "timeout"]) -> None:
        self._queue_refused.labels(model, reason).inc()

    def retry(self, model: str, *, ejected: bool) -> None:
        self._retries.labels(model).inc()
        if ejected:
            self._ejections.labels(model).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", documentation, labels, buckets=_SECONDS, registry=self.registry)
