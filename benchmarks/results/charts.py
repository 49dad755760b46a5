"""Results of a benchmark as a file: bars in panels, as benchmarks write them with --json and plots.py draws them."""

import argparse
import os
from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")
Text = Annotated[str, Field(min_length=1, max_length=200)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class Panel:
    """Bars that are compared with each other, and with no bar of another panel."""

    title: Text
    bars: Annotated[dict[Text, Amount], Field(min_length=1, max_length=30)]
    ratios: dict[Text, Amount] = field(default_factory=dict)
    """Ours to others: where rounds take turns the median of the rounds' own ratios, not the ratio of the medians."""


@dataclass(frozen=True, config=_STRICT)
class Chart:
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """Of its picture, without the ending."""
    title: Text
    unit: Text
    ours: Text
    """The bar of each panel that is ours."""
    panels: Annotated[list[Panel], Field(min_length=1, max_length=12)]
    less_is_better: bool = False


@dataclass(frozen=True, config=_STRICT)
class Results:
    measured: Text
    """Machine, date and number of rounds, in words."""
    charts: list[Chart]


_RESULTS = TypeAdapter(Results)


class ResultsError(Exception):
    """A file of results cannot be read; what is wrong, in one line."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """`args.json`: the path that the results are written to, or None. Its folder is made at once."""
    about = "write the results there too; benchmarks/results/plots.py draws them"
    parser.add_argument("--json", type=_writable, metavar="FILE", help=about)


def _writable(name: str) -> Path:
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {path}: {error.strerror}") from None
    return path


def write(path: Path | None, results: Results) -> None:
    """Nothing where there is no path. Another's file is never seen half written."""
    if path:
        new = path.with_suffix(".new")
        new.write_bytes(_RESULTS.dump_json(results, indent=2) + b"\n")
        os.replace(new, path)


def read(path: Path) -> Results:
    """Raises: ResultsError."""
    try:
        return _RESULTS.validate_json(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultsError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from None
