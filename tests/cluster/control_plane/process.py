"""A process that a test starts and stops."""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

# A test run that is killed takes its processes with it.
_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Process:
    """One command with its output in a log; it can be started again after it ended."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = [*_WITH_US, *command]
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def require(self) -> None:
        """Raise RuntimeError with the end of its log if it has ended by itself."""
        if self._running and self._running.poll() is not None:
            tail = self._log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{self._log.stem} ended with {self._running.returncode}:\n{tail}")

    def signal(self, number: signal.Signals) -> None:
        if self._running:
            self._running.send_signal(number)

    def stop(self) -> None:
        """End it at once: what it serves is for tests, there is nothing to save."""
        if self._running:
            self._running.kill()
            self._running.wait()
            self._running = None
