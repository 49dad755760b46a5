"""What the worker counts, for Prometheus."""

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastchat._runtime.histogram import Histogram
from fastchat_worker.telemetry.start import StartPhases

disable_created_metrics()  # type: ignore[no-untyped-call]
PREFIX = "fastchat_worker"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class CountedLookups(Protocol):
    """Tokens of prompts that were looked for in a cache, and those of them that were there."""

    asked: int
    found: int


class CountedCache(Protocol):
    """The cache of an engine, in tokens."""

    @property
    def lookups(self) -> CountedLookups: ...

    @property
    def in_use(self) -> int: ...

    @property
    def kept(self) -> int: ...


class Counted(Protocol):
    """An engine as it is counted: sequences, tokens, and how long its steps took."""

    tokens_read: int
    tokens_generated: int
    step_seconds: Histogram
    step_sequences: Histogram
    token_seconds: Histogram

    @property
    def slots(self) -> int: ...

    @property
    def running(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def cached(self) -> int: ...

    @property
    def cache(self) -> CountedCache: ...


class _Steps(Collector):
    """What the engine has computed, read when it is scraped."""

    def __init__(self, engine: Counted) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        engine = self._engine
        yield CounterMetricFamily(
            f"{PREFIX}_prompt_tokens_read", "Tokens of prompts, as they are read.", engine.tokens_read
        )
        yield CounterMetricFamily(
            f"{PREFIX}_tokens_generated", "Tokens, as they are generated.", engine.tokens_generated
        )
        lookups = engine.cache.lookups
        yield CounterMetricFamily(
            f"{PREFIX}_prefix_queried_tokens", "Tokens of prompts that were looked for in the cache.", lookups.asked
        )
        yield CounterMetricFamily(f"{PREFIX}_prefix_hit_tokens", "Those of them that were there.", lookups.found)
        for name, documentation, values in (
            ("step_seconds", "Duration of a step of the model.", engine.step_seconds),
            ("step_sequences", "Sequences that took part in a step: the batch.", engine.step_sequences),
            ("inter_token_seconds", "From a sequence's token to its next.", engine.token_seconds),
        ):
            yield HistogramMetricFamily(f"{PREFIX}_{name}", documentation, buckets=values.buckets, sum_value=values.sum)


class _Start(Collector):
    """How long each phase of the start took."""

    def __init__(self, phases: StartPhases) -> None:
        self._phases = phases

    def collect(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            f"{PREFIX}_start_seconds", "From the start of the process until it was ready, by phase.", labels=["phase"]
        )
        for phase, seconds in tuple(self._phases.seconds.items()):
            gauge.add_metric([phase], seconds)
        yield gauge


class Metrics:
    """One worker's metrics; each worker of a process has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            f"{PREFIX}_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self.tokens = Counter(
            f"{PREFIX}_tokens", "Tokens by kind: prompt, completion.", ["kind"], registry=self._registry
        )
        self.ignored_fields = Counter(
            f"{PREFIX}_ignored_fields", "Fields of requests that nobody knows.", registry=self._registry
        )
        self.resumed = Counter(f"{PREFIX}_resumed", "Responses that began on another worker.", registry=self._registry)
        self.handed_over = Counter(
            f"{PREFIX}_handed_over", "Responses that are to go on on another worker.", registry=self._registry
        )
        self.first_token = PrometheusHistogram(
            f"{PREFIX}_time_to_first_token_seconds",
            "From the request to its first token.",
            buckets=_SECONDS,
            registry=self._registry,
        )

    def watch_start(self, phases: StartPhases) -> None:
        """The seconds of each phase that has ended."""
        self._registry.register(_Start(phases))

    def watch_engine(self, engine: Counted, max_len: int) -> None:
        """Everything of an engine whose sequences have up to `max_len` tokens."""
        self.watch("sequences_running", "Sequences in the batch, each in a slot of the cache.", lambda: engine.running)
        self.watch("sequences_waiting", "Sequences that wait for a slot.", lambda: engine.waiting)
        self.watch("slots", "Sequences that can run at once.", lambda: engine.slots)
        self.watch("cached_tokens", "Tokens of the running sequences that the cache holds.", lambda: engine.cached)
        self.watch(
            "cache_tokens_in_use", "Tokens for which running sequences have room; shared ones count once.",
            lambda: engine.cache.in_use,
        )  # fmt: skip
        self.watch(
            "prefix_kept_tokens", "Tokens of ended sequences that the cache still holds.", lambda: engine.cache.kept
        )
        self.watch("cache_tokens", "Tokens that the cache has room for.", lambda: engine.slots * max_len)
        self._registry.register(_Steps(engine))

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge whose value is read at each scrape."""
        Gauge(f"{PREFIX}_{name}", text, registry=self._registry).set_function(read)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
