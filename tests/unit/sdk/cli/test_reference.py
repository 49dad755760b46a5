"""The page of the command line has every command and every option."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from fastchat.cli.main import app

PAGE = Path(__file__).parents[4] / "docs/reference/cli.md"
OF_TYPER = {"--help", "--show-completion"}


def commands(command: Any, name: str = "fastchat") -> Iterator[tuple[str, Any]]:
    for below, each in getattr(command, "commands", {}).items():
        yield f"{name} {below}", each
        yield from commands(each, f"{name} {below}")


def test_every_command_and_option_stands_on_its_page() -> None:
    text = PAGE.read_text()
    words = set(re.findall(r"--[a-z-]+", text))
    listed = dict(commands(typer.main.get_command(app)))
    assert len(listed) > 10
    assert [name for name in listed if f"`{name}`" not in text] == []
    options = {
        option for each in listed.values() for param in each.params for option in param.opts if option[:2] == "--"
    }
    assert options - words - OF_TYPER == set()
