"""What the gateway counts. Labels are names of models and keys and known routes, so that no caller can add a series."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastchat._runtime.histogram import Histogram
from fastchat_gateway.discovery.protocol import Discovery
from fastchat_gateway.routing.catalog import Catalog, Model

PREFIX = "fastchat_gateway"
_MOST_AT_ONCE = 2**53
"""So that no sum ever outgrows a float."""
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

Watched = Literal["keys", "open_connections", "streams"]
_WATCHED: Mapping[Watched, str] = {
    "keys": "API keys that are configured.",
    "open_connections": "Connections that clients hold.",
    "streams": "Streams in progress.",
}


class _Demand(Collector):
    """Gauges read off the catalog when they are scraped; a request pays nothing for them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def collect(self) -> Iterable[Metric]:
        yield self._gauge("requests_in_flight", "Requests at a worker.", lambda model: model.in_flight)
        yield self._gauge("requests_held", "Requests that wait for a worker.", lambda model: model.queue.length)
        yield self._gauge("endpoints_ready", "Workers that take requests.", lambda model: model.ready)

    def _gauge(self, name: str, documentation: str, measure: Callable[[Model], int]) -> Metric:
        """Models of one name are one series: their requests cannot be told apart by it."""
        values: dict[str, int] = {}
        for model in self._catalog:
            values[model.name] = values.get(model.name, 0) + measure(model)
        family = GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=["model"])
        for model_name, value in values.items():
            family.add_metric(_printable([model_name]), value)
        return family


def _printable(labels: Iterable[str]) -> list[str]:
    """Whatever a model or a key is called, /metrics is UTF-8."""
    return [label if label.isascii() else label.encode(errors="replace").decode() for label in labels]


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


class _Counter(Collector):
    """Counts in a dict, by labels: prometheus_client's own takes a lock for each, and costs ten times as much."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self._about = f"{PREFIX}_{name}", documentation
        self._labels = labels
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def add(self, *labels: str, count: int = 1) -> None:
        self._counts[labels] += min(count, _MOST_AT_ONCE)

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(_printable(labels), count)
        yield family


class _Histogram(Collector):
    """Seconds, by labels."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self._about = f"{PREFIX}_{name}", documentation
        self._labels = labels
        self._histograms: defaultdict[tuple[str, ...], Histogram] = defaultdict(lambda: Histogram(_BOUNDS))

    def observe(self, seconds: float, *labels: str) -> None:
        self._histograms[labels].add(seconds)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for labels, histogram in self._histograms.items():
            family.add_metric(_printable(labels), histogram.buckets, histogram.sum)
        yield family


class Metrics:
    """Counters and histograms.

    A `key` is the name of the API key, empty without one. Histograms are not told apart by it: each key would add
    their two dozen series for every model.
    """

    def __init__(self, catalog: Catalog, discovery: Discovery) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Demand(catalog))
        self.registry.register(_Contact(discovery))
        self._requests = self._counter(
            "requests", "Requests that have ended.", "model", "route", "status", "outcome", "key"
        )
        self._tokens = self._counter(
            "tokens", "Tokens of prompts (in) and completions (out).", "model", "key", "direction"
        )
        self._retries = self._counter("retries", "Attempts that failed before the first byte.", "model")
        self._ejections = self._counter("ejections", "Workers left out for a while.", "model")
        self._queue_refused = self._counter(
            "queue_refused",
            "Requests refused because their model's queue was full, or after the longest wait in it.",
            "model",
            "reason",
        )
        self._first_byte = self._histogram(
            "time_to_first_byte_seconds", "From the request to the response's first byte.", "model", "route"
        )
        self._duration = self._histogram(
            "request_duration_seconds", "From the request to the response's last byte.", "model", "route"
        )
        self._held = self._histogram("held_seconds", "Time that requests waited for a worker, those that did.", "model")

    def watch(self, name: Watched, read: Callable[[], float]) -> None:
        """A gauge that reads its value when it is scraped."""
        Gauge(f"{PREFIX}_{name}", _WATCHED[name], registry=self.registry).set_function(read)

    def request(self, model: str, route: str, status: int, outcome: str, key: str = "") -> None:
        self._requests.add(model, route, str(status), outcome, key)

    def times(self, model: str, route: str, first_byte: float | None, duration: float) -> None:
        """Seconds; no first byte where there was no response."""
        if first_byte is not None:
            self._first_byte.observe(first_byte, model, route)
        self._duration.observe(duration, model, route)

    def tokens(self, model: str, key: str, prompt: int, completion: int) -> None:
        """Those of one request."""
        self._tokens.add(model, key, "in", count=prompt)
        self._tokens.add(model, key, "out", count=completion)

    def held(self, model: str, seconds: float) -> None:
        """A request's wait for a worker has ended, however it did."""
        self._held.observe(seconds, model)

    def queue_refused(self, model: str, reason: Literal["full", "timeout"]) -> None:
        self._queue_refused.add(model, reason)

    def retry(self, model: str, *, ejected: bool) -> None:
        self._retries.add(model)
        if ejected:
            self._ejections.add(model)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> _Counter:
        made = _Counter(name, documentation, *labels)
        self.registry.register(made)
        return made

    def _histogram(self, name: str, documentation: str, *labels: str) -> _Histogram:
        made = _Histogram(name, documentation, *labels)
        self.registry.register(made)
        return made
