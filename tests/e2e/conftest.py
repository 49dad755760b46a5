"""The whole product on one machine: `fastchat up` on the quickstart, as a newcomer runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from support.eventually import eventually
from support.ports import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class Served:
    """A running `fastchat up`."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def children(self, module: str) -> list[int]:
        """Process ids of the gateway or of the workers."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == self.process.pid and module.encode() in command.split(b"\0"):
                found.append(int(folder.name))
        return found

    def wait_ready(self, seconds: float = 180) -> "Served":

        def serves() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return "Serving on" in self.log.read_text()

        eventually(serves, seconds, said=self.log.read_text)
        return self

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()


@pytest.fixture(scope="session")
def up(tmp_path_factory) -> Iterator[Callable[..., Served]]:
    """Starts `fastchat up` on manifests."""
    started: list[Served] = []

    def start(*files: Path) -> Served:
        port = free_port()
        log = tmp_path_factory.mktemp("up") / "log"
        command = [sys.executable, "-m", "fastchat", "up", *map(str, files), "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, env=dict(os.environ))
        started.append(Served(f"http://127.0.0.1:{port}", process, log))
        return started[-1].wait_ready()

    yield start
    for served in started:
        served.stop()


@pytest.fixture(scope="session")
def served(up, tmp_path_factory) -> Served:
    """The quickstart: smollm2 (alias vicuna-7b-v1.1) and all-minilm-l6-v2 behind a gateway at `.url`.

    But for the context: asked for no limit, a model this small may talk until that is full.
    """
    models = list(yaml.safe_load_all((ROOT / "examples/quickstart.yaml").read_text()))
    models[0]["spec"]["engine"] = {"args": ["--max-model-len=512"]}
    manifest = tmp_path_factory.mktemp("quickstart") / "quickstart.yaml"
    manifest.write_text(yaml.safe_dump_all(models))
    return up(manifest)


@pytest.fixture
def http(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=120) as client:
        yield client


@pytest.fixture
def free_ports() -> tuple[int, int]:
    return free_port(), free_port()
