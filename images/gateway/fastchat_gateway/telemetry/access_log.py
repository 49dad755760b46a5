"""One JSON line per request on stdout. Prompts and completions are never written."""

import asyncio
import os
import select
from collections import deque

import msgspec

from fastchat_gateway.telemetry.access_record import AccessRecord

FLUSH_SECONDS = 0.1
KEPT_LINES = 10_000
_PIPE_BUF = 4096  # what a pipe that says it is writable takes without blocking: pipe(7)


class AccessLog:
    """Collects lines and writes them a few times a second: a system call per request would cost more than the line.

    A reader that has stopped reading does not stop the gateway: the newest lines are kept, older ones are lost.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode
        self._lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._timer: asyncio.TimerHandle | None = None

    def write(self, record: AccessRecord) -> None:
        self._lines.append(self._encode(record) + b"\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_and_go_on)

    def flush(self) -> None:
        """Write what can be written now; what can never be is dropped."""
        try:
            while self._lines and select.select((), (self._descriptor,), (), 0)[1]:
                os.write(self._descriptor, self._piece())
        except OSError:  # the reader is gone, the disk is full
            self._lines.clear()

    def _piece(self) -> bytes:
        piece = self._lines.popleft()
        while self._lines and len(piece) + len(self._lines[0]) <= _PIPE_BUF:
            piece += self._lines.popleft()
        return piece

    def _flush_and_go_on(self) -> None:
        self.flush()
        self._timer = None
        if self._lines:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_and_go_on)
