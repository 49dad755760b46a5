"""A server under measurement, as the kernel sees it."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Process:
    """A running server with all processes that it started."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """User and system time of all threads."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._all()))

    def memory_mib(self) -> float:
        """Resident now."""
        return float(sum(one.memory_info().rss for one in self._all())) / 2**20

    def _all(self) -> list[psutil.Process]:
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]


@contextmanager
def started(port: int, *command: str, patience: float = 10, **environ: str) -> Iterator[Process]:
    """A process from when it listens until the end of the block; what it prints is dropped."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            until = time.monotonic() + patience
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    errors.seek(0)
                    raise RuntimeError(f"did not start: {' '.join(command)}\n{errors.read().decode()}")
                time.sleep(0.05)
            yield Process(port, process.pid)
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
