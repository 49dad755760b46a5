"""Python processes that begin with everything imported: each is forked of one that imported it once.

Importing torch and transformers takes eight seconds of a core, and serving a small model a fraction of one.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_READ_WHEN_NEEDED = ("AWS_", "FASTCHAT_", "PYTEST_")
"""Variables of the environment that no library reads when it is imported."""


class ForkedProcess:
    """A process that another one waits for; as subprocess.Popen, as far as tests use that."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile()
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = int(self._lines.readline())
            self._connection.close()
        return self.returncode


class WarmPython:
    """A process that has imported these modules, of which others are forked. It ends with this one.

    unread: beginnings of the names of further variables that these modules do not read when they are imported.
    """

    def __init__(self, modules: Sequence[str], unread: Sequence[str] = ()) -> None:
        self._unread = (*_READ_WHEN_NEEDED, *unread)
        self._environment = self._lasting(os.environ)
        self._address = str(Path(tempfile.mkdtemp()) / "warm")
        command = [sys.executable, "-P", __file__, self._address, *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self._process.stdout.readline()

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether what was imported would be the same in this environment."""
        return self._lasting(environment) == self._environment

    def start(self, program: Sequence[str], environment: Mapping[str, str], log: Path) -> ForkedProcess:
        """Runs what `python PROGRAM…` runs, `-m NAME` or a file and its arguments; the log has its output only."""
        log.write_bytes(b"")
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        wanted = {"program": list(program), "environment": dict(environment), "log": str(log), "folder": os.getcwd()}
        connection.sendall(json.dumps(wanted).encode() + b"\n")
        return ForkedProcess(connection)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _lasting(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if not name.startswith(self._unread)}


@functools.cache
def warm_python(*modules: str, unread: tuple[str, ...] = ()) -> WarmPython:
    """One for all tests."""
    made = WarmPython(modules, unread)
    atexit.register(made.close)
    return made


def main(address: str, modules: Sequence[str]) -> None:
    """Imports the modules, says so, and forks for each connection until the process that started it has ended."""
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run_and_tell(connection)
            connection.close()


def _run_and_tell(connection: socket.socket) -> None:
    """Forks the process that is wanted and tells what becomes of it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    wanted = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        _become(wanted)
    connection.sendall(f"{child}\n".encode())
    status = os.waitpid(child, 0)[1]
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(wanted: Mapping[str, Any]) -> None:
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for file, number in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(file, number)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    first, *arguments = wanted["program"]
    if first == "-m":
        name, *arguments = arguments
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *arguments]
        runpy.run_path(first, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
