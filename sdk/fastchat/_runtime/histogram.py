"""How often which values occurred."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts of values up to each of the bounds, as Prometheus' histograms have them.

    Written by one thread, without a lock, which prometheus_client's own takes for each value: a step of the worker's
    engine adds to three, and a value for each of its sequences.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, or so many of the same."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self._counts)

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """(bound, count of the values up to it), the last bound being +Inf: `buckets` of a HistogramMetricFamily."""
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))
