"""What the gateway counts. Labels are names of models and keys and known routes, so that no caller can add a series."""

from collections.abc import Callable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from fastchat_gateway.discovery.protocol import Discovery
from fastchat_gateway.routing.catalog import Catalog
from fastchat_gateway.telemetry.collectors import (
    PREFIX,
    ContactCollector,
    CountsCollector,
    DemandCollector,
    TimesCollector,
)
from fastchat_gateway.telemetry.counts import Counts, Times

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

Resumed = Literal["lost", "handed_over", "reconnected"]
"""Why a response went on: its worker was lost or has stopped, or its client came back."""
Watched = Literal["keys", "open_connections", "resume_bytes", "streams"]
_WATCHED: Mapping[Watched, str] = {
    "keys": "API keys that are configured.",
    "open_connections": "Connections that clients hold.",
    "resume_bytes": "Kept of responses in progress, so that they can be resumed.",
    "streams": "Streams in progress.",
}


class Metrics:
    """Counters and histograms.

    A `key` is the name of the API key, empty without one. Histograms are not told apart by it: each key would add
    their two dozen series for every model.
    """

    def __init__(self, catalog: Catalog, discovery: Discovery) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(DemandCollector(catalog))
        self.registry.register(ContactCollector(discovery))
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
        self._resumed = self._histogram(
            "resumed_seconds", "Pause of responses until they went on, mostly at another worker.", "model", "reason"
        )
        self._cut = self._counter("cut", "Responses that ended in the middle.", "model", "reason")
        self._pausing: dict[str, int] = {}
        self._held = self._histogram("held_seconds", "Time that requests waited for a worker, those that did.", "model")

    def watch(self, name: Watched, read: Callable[[], float]) -> None:
        """A gauge that reads its value when it is scraped."""
        Gauge(f"{PREFIX}_{name}", _WATCHED[name], registry=self.registry).set_function(read)

    def request(self, model: str, route: str, status: int, outcome: str, key: str = "") -> None:
        self._requests.add((model, route, str(status), outcome, key))

    def times(self, model: str, route: str, first_byte: float | None, duration: float) -> None:
        """Seconds; no first byte where there was no response."""
        if first_byte is not None:
            self._first_byte.add((model, route), first_byte)
        self._duration.add((model, route), duration)

    def tokens(self, model: str, key: str, prompt: int, completion: int) -> None:
        """Those of one request."""
        self._tokens.add((model, key, "in"), prompt)
        self._tokens.add((model, key, "out"), completion)

    def held(self, model: str, seconds: float) -> None:
        """A request's wait for a worker has ended, however it did."""
        self._held.add((model,), seconds)

    def queue_refused(self, model: str, reason: Literal["full", "timeout"]) -> None:
        self._queue_refused.add((model, reason))

    def resumed(self, model: str, reason: Resumed, seconds: float) -> None:
        """A response goes on after a pause."""
        self._resumed.add((model, reason), seconds)

    def cut(self, model: str, reason: str) -> None:
        """A response that had begun could not be resumed."""
        self._cut.add((model, reason))

    def pausing(self, model: str, more: int) -> None:
        """So many more responses that have begun wait for a worker that goes on with them; -1: one fewer."""
        self._pausing[model] = self._pausing.get(model, 0) + more

    def ends(self) -> Mapping[str, tuple[int, int, int]]:
        """By model: responses that went on at another worker, that ended in the middle, that wait to go on."""
        found = {model: (0, 0, paused) for model, paused in self._pausing.items()}
        for (model, reason), pauses in self._resumed.by_labels.items():
            if reason != "reconnected":
                moved, cut, paused = found.get(model, (0, 0, 0))
                found[model] = moved + pauses.count, cut, paused
        for (model, _), count in self._cut.by_labels.items():
            moved, cut, paused = found.get(model, (0, 0, 0))
            found[model] = moved, cut + count, paused
        return found

    def retry(self, model: str, *, ejected: bool) -> None:
        self._retries.add((model,))
        if ejected:
            self._ejections.add((model,))

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counts:
        made = Counts()
        self.registry.register(CountsCollector(made, name, documentation, *labels))
        return made

    def _histogram(self, name: str, documentation: str, *labels: str) -> Times:
        made = Times(_BOUNDS)
        self.registry.register(TimesCollector(made, name, documentation, *labels))
        return made
