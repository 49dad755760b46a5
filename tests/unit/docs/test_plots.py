"""Pictures of benchmarks, drawn from what the benchmarks write."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "docs/images/benchmarks").glob("*.json"))
PAGE = (ROOT / "docs/benchmarks.md").read_text()
PANEL = {"title": "four clients", "bars": {"theirs": 1200.4, "ours": 2401}, "ratios": {"theirs": 2.01}}
CHART = {"name": "a-chart", "title": "Gateways", "unit": "requests a second", "ours": "ours", "panels": [PANEL]}


def draw(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/results/plots.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def results(folder: Path, **changes: Any) -> Path:
    file = folder / "results.json"
    file.write_text(json.dumps({"measured": "one machine", "charts": [CHART | changes]}))
    return file


def texts(picture: Path) -> list[str]:
    elements = ElementTree.fromstring(picture.read_text()).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in elements]


def numbers(text: str) -> set[float]:
    return {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}


def test_a_picture_has_every_bar_with_its_figure_and_how_ours_compares(tmp_path):
    done = draw(results(tmp_path), "--into", tmp_path / "pictures")
    assert (done.returncode, done.stderr) == (0, "")
    assert texts(tmp_path / "pictures/a-chart.svg") == [
        "theirs",
        "ours",
        "1,200",
        "2,401",
        "four clients – ours: 2.01× theirs",
        "Gateways: requests a second, more is better",
        "one machine",
    ]


def test_a_wrong_file_is_refused_in_one_line_that_says_what_is_wrong(tmp_path):
    file = results(tmp_path, panels=[PANEL | {"bars": {"ours": "fast"}}])
    done = draw(file)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"{file}: charts.0.panels.0.bars.ours: Input should be a valid number, unable to parse string as a number\n"
    )


def test_the_page_shows_what_its_files_draw(tmp_path):
    assert draw(*FILES, "--into", tmp_path).returncode == 0
    drawn = {picture.name: texts(picture) for picture in tmp_path.iterdir()}
    there = {picture.name: picture for picture in FILES[0].parent.glob("*.svg")}
    assert drawn == {name: texts(picture) for name, picture in there.items()}
    assert set(re.findall(r"!\[.{60,}\]\(images/benchmarks/(.+)\)", PAGE)) == drawn.keys()
    assert max(picture.stat().st_size for picture in there.values()) < 60_000


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_figure_that_is_drawn_stands_in_the_pages_tables(file):
    tables = numbers("".join(line for line in PAGE.splitlines() if line.startswith("|")))
    panels = [panel for chart in json.loads(file.read_text())["charts"] for panel in chart["panels"]]
    figures = {figure for panel in panels for figure in (*panel["bars"].values(), *panel["ratios"].values())}
    assert figures - tables == set()
