"""Panels of the chart's dashboard, drawn from what a Prometheus answers."""

import json
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from support.monitoring.prometheus import Prometheus

DASHBOARD = Path(__file__).parents[3] / "charts/fastchat/files/dashboard.json"
VARIABLES = {"$namespace": ".*", "$model": ".*", "$__rate_interval": "10s"}
UNITS = {"reqps": "a second", "s": "seconds", "bytes": "MiB", "percentunit": "%", "short": ""}
SCALES = {"bytes": 1 / 2**20, "percentunit": 100.0}
SECTIONS = ("Gateway", "Workers")
"""Rows of the dashboard that are drawn: the operator is not among what is run."""
COLUMNS = 3
COLOURS = 48
"""Of the file, which has a third of the bytes then."""
SMALL: dict[str, Any] = {"fontsize": 6.5}


def draw(prometheus: Prometheus, seconds: float, file: Path) -> None:
    """The last seconds of every panel."""
    sections = [panels for title, panels in _sections() if title in SECTIONS]
    heights = [-(-len(panels) // COLUMNS) for panels in sections]
    figure = Figure(figsize=(12, 2.4 * sum(heights) + 0.6), layout="constrained", facecolor="white")
    parts = figure.subfigures(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, title, panels, rows in zip(parts, SECTIONS, sections, heights, strict=True):
        part.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
        for axes, panel in zip(part.subplots(rows, COLUMNS).flat, panels, strict=True):
            _show(axes, panel, prometheus, seconds)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).quantize(COLOURS).save(file, optimize=True)


def _sections() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Title of each row, and its panels."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for row in (each for each in panels if each["type"] == "row"):
        behind = panels[panels.index(row) + 1 :]
        last = next((number for number, each in enumerate(behind) if each["type"] == "row"), len(behind))
        yield row["title"], behind[:last]


def _show(axes: Axes, panel: dict[str, Any], prometheus: Prometheus, seconds: float) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        for series in prometheus.history(_filled(target["expr"]), seconds):
            label = _legend(target["legendFormat"], series["metric"])
            axes.plot(*_points(series["values"], SCALES.get(unit, 1.0)), linewidth=1, label=label)
    axes.set_title(panel["title"], loc="left", fontsize=8)
    axes.set_ylabel(UNITS[unit], **SMALL)
    axes.set(xlim=(0, seconds), ylim=(0, None))
    axes.tick_params(labelsize=6.5)
    axes.grid(color="#e4e7eb", linewidth=0.6)
    axes.spines[:].set_color("#c3c9d1")
    if axes.lines:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.08), ncols=2, frameon=False, borderpad=0, **SMALL)
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", **SMALL)


def _legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), form)


def _filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def _points(values: Sequence[tuple[float, str]], scale: float) -> tuple[list[float], list[float]]:
    """Seconds since the beginning, and numbers; what is not a number makes a gap."""
    return [second for second, _ in values], [float(value) * scale for _, value in values]
