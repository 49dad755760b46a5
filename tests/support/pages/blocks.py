"""The code blocks of a page of Markdown, and where each is to be run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

ROOT = Path(__file__).parents[3]
QUICKSTARTS = [ROOT / "README.md", *sorted((ROOT / "docs/quickstart").glob("*.md"))]

Place = Literal[
    "",  # on this machine, once the page's server is up
    "in the background",  # on this machine, where it goes on while the rest of the page is run
    "api server",
    "nodes",  # in a cluster with nodes, in the namespace of the quickstart's models
    "nodes, in the background",
    "docker",
    "gpu",
    "hub",
    "by a test of its own",
]
"""What `<!-- run: PLACE -->` before a block says; Docker, GPUs and the hub are not to be had in tests."""

_BLOCK = re.compile(r"^(?:<!-- run: (?P<place>[^>\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A block: its language, its text, and where it is run."""

    language: str
    text: str
    place: str

    @property
    def file(self) -> str:
        """Name of the file that its first line calls it by, in a comment; empty where it does not."""
        named = re.match(r"# ([\w.-]+\.(?:yaml|py))\n", self.text)
        return named.group(1) if named else ""


def blocks(page: Path) -> list[Block]:
    """Those of a page, in order.

    Raises:
        ValueError: a place that is none.
    """
    found = [Block(it["language"], it["text"], it["place"] or "") for it in _BLOCK.finditer(page.read_text())]
    for block in found:
        if block.place not in get_args(Place):
            raise ValueError(f"{page}: {block.place!r} is no place; places are {', '.join(get_args(Place))}")
    return found


def commands(page: Path, *places: str) -> list[Block]:
    """The blocks of shell that are run in one of these places."""
    return [block for block in blocks(page) if block.language == "bash" and block.place in places]


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows and names."""
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
