"""What the gateway counts. Labels are models' own names and known routes only, so that no caller can add a series."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fastchat_gateway.catalog import Catalog

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series per series, of no use here

PREFIX = "fastchat_gateway"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class _Demand(Collector):
    """Gauges read off the catalog when they are scraped; a request pays nothing for them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def collect(self) -> Iterable[Metric]:
        models = list(self._catalog)
        yield self._gauge("requests_in_flight", "Requests at a worker.", {m.name: m.in_flight for m in models})
        yield self._gauge("requests_held", "Requests that wait for a worker.", {m.name: len(m.hold) for m in models})
        ready = {m.name: sum(endpoint.ready for endpoint in m.endpoints) for m in models}
        yield self._gauge("endpoints_ready", "Workers that take requests.", ready)

    @staticmethod
    def _gauge(name: str, documentation: str, values: dict[str, int]) -> Metric:
        family = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=["model"])
        for model, value in values.items():
            family.add_metric([model], value)
        return family


class Metrics:
    """Counters and histograms; their children are bound once, because looking one up costs more than counting."""

    def __init__(self, catalog: Catalog) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Demand(catalog))
        self._requests = Counter(
            f"{PREFIX}_requests", "Requests answered.", ["model", "route", "status", "outcome"], registry=self.registry
        )
        self._first_byte = self._histogram("time_to_first_byte_seconds", "From the request to the answer's first byte.")
        self._duration = self._histogram("request_duration_seconds", "From the request to the answer's last byte.")
        self._retries = Counter(
            f"{PREFIX}_retries", "Tries that failed before the first byte.", ["model"], registry=self.registry
        )
        self._ejections = Counter(
            f"{PREFIX}_ejections", "Workers left out for a while.", ["model"], registry=self.registry
        )
        self._count: dict[tuple[str, str, int, str], Callable[[], None]] = {}
        self._time: dict[tuple[str, str], tuple[Callable[[float], None], Callable[[float], None]]] = {}

    def request(self, model: str, route: str, status: int, outcome: str) -> None:
        key = (model, route, status, outcome)
        count = self._count.get(key)
        if count is None:
            count = self._count[key] = self._requests.labels(model, route, str(status), outcome).inc
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

    def retry(self, model: str, *, ejected: bool) -> None:
        self._retries.labels(model).inc()
        if ejected:
            self._ejections.labels(model).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, documentation: str) -> Histogram:
        labels = ["model", "route"]
        return Histogram(f"{PREFIX}_{name}", documentation, labels, buckets=_SECONDS, registry=self.registry)
