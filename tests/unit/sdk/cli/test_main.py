"""How the `fastchat` command begins and ends."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fastchat.cli.main import main

FASTCHAT = [sys.executable, "-m", "fastchat"]
HEAVY = ("aiohttp", "httpx", "matplotlib", "numpy", "rich.console", "torch", "transformers", "yaml")


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:\n  up " in capsys.readouterr().out


def test_a_command_that_is_none_is_told_in_a_line_with_one_that_it_may_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upp"]) == 2
    assert capsys.readouterr() == ("", "fastchat: No such command 'upp'. Did you mean 'up'?; see fastchat --help\n")


def test_an_argument_that_is_missing_is_named_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "delete"]) == 2
    said = "fastchat keys delete: Missing argument 'NAME'; see fastchat keys delete --help\n"
    assert capsys.readouterr() == ("", said)


def test_help_waits_for_nothing_heavy() -> None:
    script = "import sys; from fastchat.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stderr.split())


def test_without_typer_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*FASTCHAT, "--help"], capture_output=True, text=True, env=env)
    said = "the command line needs typer and rich: pip install 'fastchat-k8s[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_shell_completes_commands() -> None:
    env = os.environ | {"_FASTCHAT_COMPLETE": "complete_bash", "COMP_WORDS": "fastchat ke", "COMP_CWORD": "1"}
    assert subprocess.check_output(FASTCHAT, text=True, env=env) == "keys\n"


def test_a_reader_that_has_read_enough_hears_of_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*FASTCHAT, "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""


def in_a_terminal(*arguments: str, **env: str) -> bytes:
    """What a command that ends shows in a terminal."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([*FASTCHAT, *arguments], stdout=theirs, stderr=theirs, env=os.environ | env)
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # Linux's end of a terminal
        pass
    done.wait(60)
    os.close(ours)
    return said


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_whose_user_wants_them(tmp_path: Path, env: dict[str, str], coloured: bool) -> None:
    main(["keys", "create", "alice", f"--dir={tmp_path}"])
    wanted = {"TERM": "xterm", "NO_COLOR": ""} | env
    assert (b"\x1b[32mvalid" in in_a_terminal("keys", "list", f"--dir={tmp_path}", **wanted)) is coloured
    assert (b"\x1b[31m" in in_a_terminal("upp", **wanted)) is coloured


def test_json_is_one_line_for_a_pipe_and_indented_in_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "create", "alice", f"--dir={tmp_path}", "--max-concurrent=4"])
    capsys.readouterr()
    arguments = ["keys", "list", "--json", f"--dir={tmp_path}"]
    assert main(arguments) == 0
    limits = '"requestsPerMinute": null, "tokensPerMinute": null, "maxConcurrent": 4, "expires": null'
    assert capsys.readouterr().out == f'[{{"name": "alice", "state": "valid", "models": null, {limits}}}]\n'
    assert b'\r\n    "name": "alice",\r\n' in in_a_terminal(*arguments)
