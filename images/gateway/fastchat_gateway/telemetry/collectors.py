"""How /metrics reads what the gateway knows. By prometheus_client's classes, so not compiled."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastchat_gateway.discovery.protocol import Discovery
from fastchat_gateway.routing.catalog import Catalog, Model
from fastchat_gateway.telemetry.counts import Counts, Times

PREFIX = "fastchat_gateway"


class DemandCollector(Collector):
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


class ContactCollector(Collector):
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


class CountsCollector(Collector):
    """A counter."""

    def __init__(self, counts: Counts, name: str, documentation: str, *labels: str) -> None:
        self._counts = counts
        self._about = f"{PREFIX}_{name}", documentation
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self._counts.by_labels.items():
            family.add_metric(_printable(labels), count)
        yield family


class TimesCollector(Collector):
    """A histogram."""

    def __init__(self, times: Times, name: str, documentation: str, *labels: str) -> None:
        self._times = times
        self._about = f"{PREFIX}_{name}", documentation
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for labels, histogram in self._times.by_labels.items():
            family.add_metric(_printable(labels), histogram.buckets, histogram.sum)
        yield family
