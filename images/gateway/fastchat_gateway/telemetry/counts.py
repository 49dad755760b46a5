"""What requests add to, by labels: dicts, because prometheus_client's own take a lock for each value."""

from collections.abc import Sequence
from typing import Final

from fastchat._runtime.histogram import Histogram

Labels = tuple[str, ...]

_MOST_AT_ONCE: Final = 2**53
"""So that no sum ever outgrows a float."""


class Counts:
    """Numbers that grow."""

    def __init__(self) -> None:
        self.by_labels: dict[Labels, int] = {}

    def add(self, labels: Labels, count: int = 1) -> None:
        self.by_labels[labels] = self.by_labels.get(labels, 0) + min(count, _MOST_AT_ONCE)


class Times:
    """Seconds, and how often which occurred."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.by_labels: dict[Labels, Histogram] = {}
        self._bounds = [float(bound) for bound in bounds]

    def add(self, labels: Labels, seconds: float) -> None:
        histogram = self.by_labels.get(labels)
        if histogram is None:
            histogram = self.by_labels[labels] = Histogram(self._bounds)
        histogram.add(seconds)
