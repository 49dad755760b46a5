"""Ctrl-C at any moment, imports included: every command ends, and shows nobody a traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from .conftest import Up

FASTCHAT = [sys.executable, str(Path(sys.executable).with_name("fastchat"))]
COMMANDS = {
    "fastchat": [*FASTCHAT, "--help"],
    "fastchat.serve.api": [sys.executable, "-m", "fastchat.serve.api", "--help"],
    "fastchat.serve.model_worker": [sys.executable, "-m", "fastchat.serve.model_worker", "--help"],
    "fastchat_gateway": [sys.executable, "-m", "fastchat_gateway", "--help"],
    "fastchat_operator": [sys.executable, "-m", "fastchat_operator", "--help"],
    "fastchat_worker": [sys.executable, "-m", "fastchat_worker", "--help"],
}

# Python reads this before its first line of ours: it counts what is imported once a command has begun to, and says so.
WITNESS = """
import os, sys

FIRST = {"fastchat", "fastchat._runtime", "fastchat._runtime.interrupt", "fastchat.__main__", "fastchat.serve"}
imports = 0

def hook(event, arguments):
    global imports
    if event == "import" and (imports or "signal" in sys.modules and arguments[0].startswith("fastchat")):
        if arguments[0] in FIRST:
            return
        imports += 1
        if imports == 1 and "BEGUN" in os.environ:
            open(os.environ["BEGUN"], "w").close()
        if imports == int(os.environ.get("INTERRUPTED_AT", 0)):
            os.kill(os.getpid(), 2)

sys.addaudithook(hook)
"""
IMPORTS = (1, 2, 8)
SECONDS = [0.1 * moment for moment in range(14)]


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness/sitecustomize.py").write_text(WITNESS)
    return tmp_path / "witness"


def heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_during_its_imports_ends_a_command_without_a_word(name: str, witness: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "preexec_fn": heed_ctrl_c}
    started = []
    for number in IMPORTS:
        env = os.environ | {"PYTHONPATH": str(witness), "INTERRUPTED_AT": str(number)}
        started.append(subprocess.Popen(COMMANDS[name], env=env, **pipes))
    said = [process.communicate(timeout=180)[0] for process in started]
    assert said == [""] * len(IMPORTS)
    assert {process.returncode for process in started} == {-signal.SIGINT}


@pytest.fixture
def ups(tmp_path: Path, witness: Path, start_up: object, manifest: Callable[..., str]) -> Iterator[list[Up]]:
    """As many `fastchat up` as there are moments to interrupt one at, all just begun."""
    started = []
    for number in range(len(SECONDS)):
        folder = tmp_path / f"up{number}"
        folder.mkdir()
        path = os.pathsep.join([str(witness), str(tmp_path / "stand_ins")])
        env = os.environ | {"PYTHONPATH": path, "BEGUN": str(folder / "begun")}
        started.append(Up([manifest("chat"), "--port", "0"], env, folder))
    yield started
    for up in started:
        up.end()


def test_ctrl_c_at_any_moment_of_fastchat_up_ends_it_and_all_that_it_started(ups: list[Up]) -> None:
    due = dict(zip(ups, SECONDS, strict=True))
    begun: dict[Up, float] = {}
    deadline = time.monotonic() + 180
    while due:
        now = time.monotonic()
        assert now < deadline
        for up in list(due):
            if up not in begun and (up.out.parent / "begun").exists():
                begun[up] = now
            if up in begun and now >= begun[up] + due[up]:
                up.seen.update(psutil.Process(up.process.pid).children(recursive=True))
                up.process.send_signal(signal.SIGINT)
                del due[up]
        time.sleep(0.005)
    assert {up.exit_code() for up in ups} <= {0, -signal.SIGINT}
    assert [up.said() for up in ups if "Traceback" in up.said() or "Exception" in up.said()] == []
    assert [up.left() for up in ups if up.left()] == []
