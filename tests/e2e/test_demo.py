"""`make demo`, as a newcomer runs it."""

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.eventually import eventually

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, str(ROOT / "examples/demo.py")]


@pytest.fixture(autouse=True)
def _port_8000_is_free():
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 8000)) == 0:
            pytest.skip("port 8000 is taken by another program")


def test_without_a_terminal_it_answers_and_ends():
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert "The capital of France is Paris." in done.stdout
    assert "384 dimensions" in done.stdout
    assert done.stdout.count("curl http://localhost:8000/v1/") == 3
    assert not _served()


@pytest.fixture
def start():
    """Starts the demo as a shell does and sees to it that nothing is left."""
    started: list[subprocess.Popen] = []

    def start(**streams) -> subprocess.Popen:
        started.append(subprocess.Popen(DEMO, preexec_fn=_heed_ctrl_c, **streams))
        return started[-1]

    yield start
    for demo in started:
        if demo.poll() is None:
            demo.terminate()
        demo.wait(60)


def _heed_ctrl_c() -> None:
    """What runs in the background of a script ignores it, and so would all that this starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_in_a_terminal_it_goes_on_serving_until_ctrl_c(start):
    ours, theirs = pty.openpty()
    demo = start(stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    while b"Ctrl-C stops it.\r\n" not in said.rpartition(b"create_embeddings")[2]:
        said += os.read(ours, 4096)
    assert _served()
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0
    assert not _served()
    os.close(ours)


def test_ctrl_c_while_models_load_leaves_nothing(start):
    demo = start(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    eventually(_served)  # the gateway comes before the models
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert "Traceback" not in errors
    assert not _served()


def test_a_port_that_is_taken_is_told_at_once():
    with socket.create_server(("127.0.0.1", 8000)):
        done = subprocess.run(DEMO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1:8000" in done.stderr
    assert "Traceback" not in done.stderr


def _served() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 8000)) == 0
