"""A load's result as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastchat.cli.bench.figures import gaps
from fastchat.cli.bench.load import Timed
from fastchat.cli.errors import CommandError


def require_matplotlib() -> None:
    """Raises CommandError where matplotlib is missing; called before a load is sent for a picture."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise CommandError("a picture needs matplotlib: pip install 'fastchat-k8s[plots]'")


def plot(streams: Sequence[Timed], title: str, path: Path) -> None:
    """Write what was seen: times of all streams as they are spread, and the tokens of each second.

    Raises:
        CommandError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    good = [stream for stream in streams if not stream.error]
    figure = Figure(figsize=(10, 4), layout="constrained")
    times, rate = figure.subplots(1, 2)
    figure.suptitle(title)
    _spread(times, {"time to first token": [each.events[0] - each.began for each in good if each.events]})
    _spread(times, {"between events": [gap for stream in good for gap in gaps(stream)]})
    times.set(xlabel="seconds", ylabel="share of them that took no longer", xscale="log", ylim=(0, 1))
    times.legend()
    _rate(rate, good)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {path}: {error}") from None


def _spread(axes: Any, named: dict[str, list[float]]) -> None:
    for name, times in named.items():
        if times:
            axes.ecdf(times, label=name)


def _rate(axes: Any, good: Sequence[Timed]) -> None:
    began = min((stream.began for stream in good), default=0.0)
    seconds = [event - began for stream in good for event in stream.events]
    bins = max(min(int(max(seconds, default=0.0)), 200), 1)
    counts, edges = _histogram(seconds, bins)
    axes.stairs(counts, edges, fill=True)
    axes.set(xlabel="seconds since the first request", ylabel="events with text a second", ylim=(0, None))


def _histogram(seconds: Sequence[float], bins: int) -> tuple[list[float], list[float]]:
    """Events a second in each of so many parts of the time, and where these begin and end."""
    width = max(max(seconds, default=1.0), 1e-9) / bins
    counts = [0] * bins
    for second in seconds:
        counts[min(int(second / width), bins - 1)] += 1
    return [count / width for count in counts], [number * width for number in range(bins + 1)]
