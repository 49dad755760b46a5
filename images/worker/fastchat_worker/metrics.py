"""What the worker counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """One worker's metrics; each worker of a process has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "fastchat_worker_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self.tokens = Counter(
            "fastchat_worker_tokens", "Tokens by kind: prompt, completion.", ["kind"], registry=self._registry
        )
        self.first_token = Histogram(
            "fastchat_worker_time_to_first_token_seconds",
            "From the request to its first piece of text.",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that reads its value when asked."""
        Gauge(f"fastchat_worker_{name}", text, registry=self._registry).set_function(read)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
