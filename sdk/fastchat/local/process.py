"""One child process: its start, output and end, and the delay before it is started again."""

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
HEALTHY_AFTER = 60.0
"""Seconds: after a run this long the delays begin anew."""


@dataclass(frozen=True)
class RestartBackoff:
    """How long to wait before a process that ended is started again. Times are seconds of one monotonic clock."""

    started_at: float = 0.0
    was_ready: bool = False
    """Whether it ever was, in an earlier run too. A process that never was ready is not started again."""
    exits: int = 0
    """How often in a row it ended before it had run for HEALTHY_AFTER."""

    def started(self, now: float) -> Self:
        return replace(self, started_at=now)

    def ready(self) -> Self:
        return replace(self, was_ready=True)

    def exited(self, now: float) -> Self:
        return replace(self, exits=1 if now - self.started_at >= HEALTHY_AFTER else self.exits + 1)

    @property
    def delay(self) -> float:
        """Seconds to wait after the last exit: 1, 2, 4 … 30."""
        return min(FIRST_DELAY * 2.0 ** min(self.exits - 1, 16), LONGEST_DELAY)


def describe_exit(code: int) -> str:
    """How a process ended, from its return code; a negative one is a signal."""
    return f"exited with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


class Child:
    """A process in a session of its own, so that Ctrl-C in the terminal does not reach it.

    It must be started in the main thread: Linux kills it when the *thread* that started it ends.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it with `env` added to this process's environment."""
        self._process = subprocess.Popen(  # noqa: S603  # the command lines are our own
            argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,  # no lock is taken in there
        )
        self._output = _Output()

    async def listen(self, on_line: Callable[[str], None]) -> None:
        """Call `on_line` with each line of its output from now on."""
        self._output.on_line = on_line
        await asyncio.get_running_loop().connect_read_pipe(lambda: self._output, self._process.stdout)

    @property
    def code(self) -> int | None:
        """Return code, None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the child and to the processes that it started."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def last_line(self) -> str:
        """The last line of its output. Called once it has ended; waits at most a second for the output's end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._output.closed.wait(), timeout=1)
        return self._output.last_line


class _Output(asyncio.Protocol):
    """Splits output into lines. A carriage return ends one too: progress bars rewrite theirs."""

    def __init__(self) -> None:
        self.on_line: Callable[[str], None]
        self.last_line = ""
        self._rest = b""
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = re.split(rb"[\r\n]+", self._rest + data)
        for line in lines:
            self._take(line)

    def connection_lost(self, _: Exception | None) -> None:
        self._take(self._rest)
        self.closed.set()

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self.last_line = text
            self.on_line(text)


def _die_with(parent: int) -> Callable[[], None]:
    """A function for the child to run before its program: Linux then kills it when the parent dies (prctl(2))."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return request_signal


_PR_SET_PDEATHSIG = 1
