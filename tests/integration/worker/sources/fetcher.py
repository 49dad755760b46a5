"""A process that fetches a model and does nothing else, which takes a tenth of the time of a worker's start."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.eventually import eventually

_FETCH = """
import logging, sys
from pathlib import Path
from fastchat_worker.errors import LoadError
from fastchat_worker.sources.files import locate
from fastchat_worker.settings import parse
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
settings = parse(["--model-name", "m", "--model-path", sys.argv[1]])
try:
    locate(settings.model_path, Path(settings.cache_dir), lambda text: logging.info("report: %s", text))
except LoadError as error:
    sys.exit(f"refused: {error}")
logging.info("here")
sys.stdin.read()
"""


class Fetcher:
    """It uses the files until it is killed. `inside`: a command that runs it."""

    def __init__(self, source: str, log: Path, env: dict[str, str], inside: Sequence[str] = ()) -> None:
        self._log = log
        with log.open("w") as output:
            command = [*inside, sys.executable, "-c", _FETCH, source]
            self.process = subprocess.Popen(
                command, env=os.environ | env, stdin=subprocess.PIPE, stdout=output, stderr=output
            )

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
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
