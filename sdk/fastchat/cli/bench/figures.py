"""What a load has shown, in numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fastchat.cli.bench.load import Timed

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Spread:
    """How times are spread, in seconds; all 0 where there are none."""

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, times: Sequence[float]) -> "Spread":
        ordered = sorted(times)
        mean = sum(ordered) / len(ordered) if ordered else 0.0
        return cls(mean, *(percentile(ordered, percent) for percent in PERCENTILES))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the times that at least so many per cent of them do not exceed (nearest rank); 0 of none."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else 0.0


@dataclass(frozen=True)
class Figures:
    """A load's result. A stream that failed counts as an error, and in nothing else."""

    seconds: float
    """From the first beginning to the last end."""
    succeeded: int
    prompt_tokens: int
    completion_tokens: int
    first_token: Spread
    """From a request to its first text."""
    between_events: Spread
    """Between two events of a stream with text: what a reader sees. An event may hold several tokens."""
    per_token: Spread
    """Of each stream, the time after its first text for each further token."""
    whole: Spread
    """From a request to its stream's end."""
    errors: Counter[str]
    """What went wrong → how often."""

    @property
    def requests_per_second(self) -> float:
        return self.succeeded / self.seconds if self.seconds else 0.0

    @property
    def completion_tokens_per_second(self) -> float:
        return self.completion_tokens / self.seconds if self.seconds else 0.0

    @property
    def prompt_tokens_per_second(self) -> float:
        return self.prompt_tokens / self.seconds if self.seconds else 0.0


def figures(streams: Sequence[Timed]) -> Figures:
    good = [stream for stream in streams if not stream.error]
    began, ended = (min(each.began for each in streams), max(each.ended for each in streams)) if streams else (0.0, 0.0)
    return Figures(
        seconds=ended - began,
        succeeded=len(good),
        prompt_tokens=sum(stream.prompt_tokens for stream in good),
        completion_tokens=sum(stream.completion_tokens for stream in good),
        first_token=Spread.of([stream.events[0] - stream.began for stream in good if stream.events]),
        between_events=Spread.of([gap for stream in good for gap in gaps(stream)]),
        per_token=Spread.of([_per_token(stream) for stream in good if len(stream.events) > 1]),
        whole=Spread.of([stream.ended - stream.began for stream in good]),
        errors=Counter(stream.error for stream in streams if stream.error),
    )


def gaps(stream: Timed) -> list[float]:
    """Times between two events with text."""
    return [later - earlier for earlier, later in zip(stream.events, stream.events[1:], strict=False)]


def _per_token(stream: Timed) -> float:
    further = max(stream.completion_tokens, len(stream.events)) - 1
    return (stream.events[-1] - stream.events[0]) / further
