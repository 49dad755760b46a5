"""A process that fetches a model and does nothing else, which takes a tenth of the time of a worker's start."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.eventually import eventually
from support.processes.warm import ForkedProcess, warm_python

_PROGRAM = str(Path(__file__).with_name("fetch.py"))
_WARM = ((("fastchat_worker.sources.files",), ()), (("gguf", "httpx", "obstore"), ("HF_",)))
"""What is imported before a process begins, and variables that are not read by then, as the hub's library does."""


class Fetcher:
    """It uses the files until it is killed. `inside`: a command that runs it."""

    def __init__(self, source: str, log: Path, env: dict[str, str], inside: Sequence[str] = ()) -> None:
        self._log = log
        self.process = _started(source, log, os.environ | env, inside)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str) -> "Fetcher":
        """Returns when it has said so."""
        eventually(lambda: text in self.log or self.process.poll() is not None, said=lambda: self.log)
        assert text in self.log, self.log
        return self

    def wait_here(self) -> "Fetcher":
        return self.wait_for("INFO here\n")

    def refusal(self) -> str:
        """What it was refused with."""
        assert self.process.wait(60) == 1, self.log
        return self.log.strip().splitlines()[-1].removeprefix("refused: ")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _started(
    source: str, log: Path, environment: dict[str, str], inside: Sequence[str]
) -> "subprocess.Popen[bytes] | ForkedProcess":
    for modules, unread in () if inside else _WARM:
        if (warm := warm_python(*modules, unread=unread)).suits(environment):
            return warm.start([_PROGRAM, source], environment, log)
    with log.open("w") as file:
        return subprocess.Popen([*inside, sys.executable, _PROGRAM, source], env=environment, stdout=file, stderr=file)
