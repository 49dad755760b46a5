"""`fastchat chat`, in a terminal."""

import json
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp
from support.eventually import eventually
from support.tools.terminal import Terminal

from .conftest import Run
from .scripted import Scripted

Serve = Callable[[ASGIApp], str]
Start = Callable[..., Terminal]
BRIEF = ("--set", "temperature=0", "--set", "max_tokens=8")


def test_a_conversation_streams_is_saved_and_goes_on(terminal: Start, tmp_path: Path) -> None:
    chat = terminal("chat", "small", *BRIEF)
    chat.says("small – /help")
    chat.says(">>> ")
    chat.types("Hello!")
    chat.says("cut off")
    chat.says(">>> ")
    chat.types(f"/save {tmp_path / 'saved.json'}")
    chat.says("written to")
    chat.types("/exit")
    assert chat.ends()[0] == 0
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert (saved["model"], saved["settings"]) == ("small", {"temperature": 0, "max_tokens": 8})
    assert [turn["role"] for turn in saved["messages"]] == ["user", "assistant"]
    again = terminal("chat", "--load", str(tmp_path / "saved.json"))
    again.says(">>> ")
    again.types("And then?")
    again.says("cut off")
    again.presses("ctrl-d")
    assert again.ends()[0] == 0


def test_the_arrow_up_brings_back_a_line_of_an_earlier_conversation(terminal: Start, serve: Serve) -> None:
    scripted = Scripted({"content": "Yes."})
    url = serve(scripted.app)
    for keys in (("first question\r",), ("up", "left", "left", "?", "\r")):
        chat = terminal("chat", "--url", url)
        chat.says(">>> ")
        chat.presses(*keys)
        chat.says("Yes.")
        chat.says(">>> ")
        chat.presses("ctrl-d")
        assert chat.ends()[0] == 0
    assert [request["messages"][-1]["content"] for request in scripted.requests] == [
        "first question",
        "first questi?on",
    ]


def test_several_lines_are_one_question(terminal: Start, serve: Serve) -> None:
    scripted = Scripted({"content": "Yes."})
    chat = terminal("chat", "--url", serve(scripted.app))
    chat.says(">>> ")
    for line, prompt in (('"""one', r"\.\.\. "), ("", r"\.\.\. "), ('three"""', "Yes."), ("four\\", r"\.\.\. ")):
        chat.types(line)
        chat.says(prompt)
    chat.types("five")
    chat.says("Yes.")
    asked = [request["messages"][-1]["content"] for request in scripted.requests]
    assert asked == ["one\n\nthree", "four\nfive"]


def test_ctrl_c_stops_the_answer_at_the_server_and_not_the_program(terminal: Start, serve: Serve) -> None:
    scripted = Scripted(endless_after=0)
    chat = terminal("chat", "--url", serve(scripted.app))
    chat.says(">>> ")
    chat.types("Count.")
    chat.says("and and")
    chat.presses("ctrl-c")
    chat.says("stopped")
    eventually(lambda: scripted.left == 1)
    chat.says(">>> ")
    chat.types("Go on.")
    chat.says("and and")
    chat.presses("ctrl-c")
    chat.says(">>> ")
    roles = [message["role"] for message in scripted.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    chat.presses("ctrl-c")
    chat.says("Ctrl-D or /exit ends")
    chat.presses("ctrl-d")
    assert chat.ends()[0] == 0


def test_reasoning_is_dim_and_what_a_model_writes_does_not_steer_the_terminal(terminal: Start, serve: Serve) -> None:
    scripted = Scripted({"reasoning_content": "Hm."}, {"content": "\x1b]0;title\x07Yes.\x9b2J"})
    chat = terminal("chat", "--url", serve(scripted.app), NO_COLOR="")
    chat.says(">>> ")
    chat.types("Well?")
    chat.says(r"\x1b\[2mHm\.\x1b\[0m\r\n\r\n" + r"\\x1b\]0;title\\x07Yes\.\\x9b2J")


def test_what_goes_wrong_is_told_and_the_next_question_may_be_asked(terminal: Start) -> None:
    chat = terminal("chat", "small", "--set", "max_tokens=100000")
    chat.says(">>> ")
    chat.types("Hello!")
    chat.says("400: .*100000 in the completion")
    chat.says(">>> ")
    chat.types("/set max_tokens=4")
    chat.says("max_tokens=4")
    chat.types("/retry")
    chat.says("nothing was asked yet")
    chat.types("Hello!")
    chat.says("cut off")


def test_a_conversation_from_a_pipe_is_answered_line_by_line(run: Run) -> None:
    done = run("chat", *BRIEF, "-v", stdin="Hello!\n/model\nAnd?\n")
    assert (done.code, done.err.count("8 tokens, the first after")) == (0, 2)
    assert "* small\n" in done.out


def test_a_server_that_is_not_there_is_told_with_where_to_say_another(run: Run) -> None:
    done = run("chat", "--url", "http://127.0.0.1:1")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Cannot reach http://127.0.0.1:1: connection refused.")
    assert done.err.endswith(
        "say where it is with --url or FASTCHAT_BASEURL, or for a cluster's with --namespace NAME.\n"
    )
