"""A gateway with a model, and the command in a terminal or without one."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.eventually import eventually
from support.gateways import GatewayProcess
from support.models.small import save_small
from support.tools.terminal import Terminal
from support.workers import WorkerProcess

from fastchat.cli.main import main


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def served(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a gateway with the model `small`."""
    folder = tmp_path_factory.mktemp("served")
    worker = WorkerProcess(folder, "--model-name=small", f"--model-path={small}", "--max-model-len=512")
    gateway = GatewayProcess(f"--worker={worker.url}", "--no-access-log", "--open-metrics")
    try:
        eventually(lambda: _models(gateway.url) == {"small"}, 180, said=worker.log.read_text)
        yield gateway.url
    finally:
        gateway.popen.kill()
        gateway.popen.wait()
        worker.stop()


def _models(url: str) -> set[str]:
    try:
        return {card["id"] for card in httpx.get(f"{url}/v1/models").json()["data"]}
    except httpx.TransportError:
        return set()


@dataclass
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(served: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `fastchat`, the gateway in its environment; without `stdin` that is empty."""

    def start(*arguments: str, stdin: str = "", **env: str) -> Done:
        for name, value in {"FASTCHAT_BASEURL": served, **env}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*arguments])
        return Done(code, out.getvalue(), err.getvalue())

    return start


@pytest.fixture
def terminal(served: str, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `fastchat` in a terminal, the gateway in its environment."""
    started: list[Terminal] = []

    def start(*arguments: str, **env: str) -> Terminal:
        home = {"FASTCHAT_BASEURL": served, "XDG_STATE_HOME": str(tmp_path), "NO_COLOR": "1"}
        started.append(Terminal(*arguments, env=home | env))
        return started[-1]

    yield start
    for each in started:
        each.close()
