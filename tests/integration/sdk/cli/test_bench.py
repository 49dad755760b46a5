"""`fastchat bench`, against a real gateway and worker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp
from support.tools.terminal import Terminal

from .conftest import Run
from .scripted import Scripted

Serve = Callable[[ASGIApp], str]
SHORT = ("--requests", "6", "-c", "3", "--prompt-tokens", "40", "--max-tokens", "8")


def test_a_load_is_told_in_tables_with_a_bar_while_it_goes_on(terminal: Callable[..., Terminal]) -> None:
    bench = terminal("bench", "--set", "temperature=0", *SHORT)
    bench.says("streams")
    bench.says("6/6|small at http")
    code, said = bench.ends()
    assert code == 0
    assert [line.split()[0] for line in said.splitlines() if line.startswith(("requests", "errors"))] == [
        "requests",
        "errors",
    ]
    assert "time to first token" in said


def test_ctrl_c_ends_it_and_shows_the_cursor_again(terminal: Callable[..., Terminal], serve: Serve) -> None:
    bench = terminal("bench", serve(Scripted(endless_after=2).app), "--requests", "6", "-c", "1")
    bench.says("1/6")
    bench.presses("ctrl-c")
    code, said = bench.ends()
    assert (code, "Traceback" in said) == (130, False)
    assert said.rpartition("\x1b[?25")[2].startswith("h")


def test_its_figures_are_those_of_what_was_sent(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "bench.png"
    done = run("bench", "--json", "--set", "temperature=0", "--plot", str(picture), *SHORT)
    said = done.json
    assert (done.code, said["model"], said["requests"], said["errors"]) == (0, "small", 6, {})
    assert said["completion_tokens"] == 6 * 8
    assert 6 * 25 < said["prompt_tokens"] < 6 * 80
    assert 0 < said["first_token"]["p50"] <= said["first_token"]["p99"] <= said["whole"]["p99"] <= said["seconds"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_begins_streams_for_as_long_as_it_is_told_to(run: Run) -> None:
    said = run("bench", "--json", "--seconds", "1", "-c", "2", "--max-tokens", "2").json
    assert said["requests"] >= 2
    assert said["seconds"] >= 1


def test_streams_that_fail_are_errors_with_their_reason(run: Run, serve: Serve) -> None:
    failing = Scripted({"content": "Yes."}, fails_after=3)
    done = run("bench", serve(failing.app), "--requests", "4", "-c", "1", "--json")
    assert (done.code, done.json["requests"], done.json["errors"]) == (1, 2, {"500: it failed": 2})
    assert done.err == "2 × 500: it failed\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--requests", "0"], 2, "'0' is not a whole number from 1 to 1000000"),
        (["--requests", "1", "--seconds", "1"], 2, "--requests and --seconds exclude each other"),
        (["--model", "none"], 1, "404: The model 'none' does not exist"),
        (["--plot", "x.foo"], 2, "x.foo is none of FILE.png, FILE.svg, FILE.pdf"),
        (["--plot", "/nowhere/x.png"], 1, "cannot write /nowhere/x.png: there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(run: Run, arguments: list[str], code: int, message: str) -> None:
    done = run("bench", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
