"""Draws what benchmarks wrote with --json: a picture (SVG) for each chart of each file.

    python benchmarks/results/plots.py FILE... [--into FOLDER]

Pictures lie beside their file unless another folder is named. Each panel has a scale of its own; every bar has its
figure, and above them stands how ours compares with others.
"""

import argparse
import sys
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1]))

from results.charts import Chart, Panel, ResultsError, read

OURS, OTHER, QUIET = "#1f5fa8", "#c3c9d1", "#55606e"
WIDTH, BAR, PANEL, EDGES = 8.0, 0.24, 0.42, 1.0
"""Inches: the picture's width, a bar's height, what a panel's title takes, what title and last line take."""
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and a picture has 10 kB
    "svg.hashsalt": "fastchat",  # the same results make the same file
    "font.size": 9,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    try:
        for file in args.files:
            draw(file, args.into or file.parent)
    except (ResultsError, OSError) as error:
        sys.exit(str(error))


def draw(file: Path, folder: Path) -> None:
    """Raises: ResultsError; OSError where the folder cannot be written."""
    results = read(file)
    folder.mkdir(parents=True, exist_ok=True)
    for chart in results.charts:
        path = folder / f"{chart.name}.svg"
        with matplotlib.rc_context(STYLE):
            picture(chart, results.measured).savefig(path, metadata={"Date": None}, facecolor="white")
        print(path)


def picture(chart: Chart, measured: str) -> Figure:
    heights = [PANEL + BAR * len(panel.bars) for panel in chart.panels]
    figure = Figure(figsize=(WIDTH, EDGES + sum(heights)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06)
    better = "less is better" if chart.less_is_better else "more is better"
    figure.suptitle(f"{chart.title}: {chart.unit}, {better}", x=0.01, ha="left", weight="bold", size=10)
    figure.supxlabel(measured, x=0.01, ha="left", size=7.5, color=QUIET)
    rows = figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, panel in zip(rows[:, 0], chart.panels, strict=True):
        show(axes, panel, chart.ours)
    return figure


def show(axes: Axes, panel: Panel, ours: str) -> None:
    names, values = list(panel.bars), list(panel.bars.values())
    drawn = axes.barh(names, values, height=0.72, color=[OURS if name == ours else OTHER for name in names])
    axes.bar_label(drawn, [number(value) for value in values], padding=4)
    axes.set_title(headline(panel, ours), loc="left", size=9, color=QUIET)
    axes.set_xlim(0, max(values) * 1.15)  # room for the longest bar's label
    axes.invert_yaxis()
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def headline(panel: Panel, ours: str) -> str:
    ratios = [f"{ratio:.2f}× {other}" for other, ratio in panel.ratios.items()]
    return f"{panel.title} – {ours}: {'; '.join(ratios)}" if ratios else panel.title


if __name__ == "__main__":
    main()
