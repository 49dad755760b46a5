"""A request of a page's own to a worker: its response as a whole."""

import asyncio
import time

from fastchat_gateway.errors import RefusedError
from fastchat_gateway.proxy.attempts import Attempts
from fastchat_gateway.proxy.call import Call
from fastchat_gateway.proxy.context import RelayContext
from fastchat_gateway.proxy.documents import Tokens
from fastchat_gateway.routing.catalog import Model


async def collect(context: RelayContext, call: Call, model: Model) -> tuple[int, bytes]:
    """A worker's status and body; raises RefusedError."""
    sink = _Collected()
    attempts = Attempts(context, call, sink, model)
    attempts.start(time.monotonic())
    try:
        return await sink.future
    except asyncio.CancelledError:
        attempts.cancel()
        raise


class _Collected:
    """A sink that keeps a whole response for whoever awaits it."""

    request_id = b"of a page"

    def __init__(self) -> None:
        self.future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._parts: list[bytes] = []

    def respond(self, status: int, lines: bytes, body: bytes) -> None:  # noqa: ARG002  # a sink's
        self._set(status, body)

    def begin(self, status: int, lines: bytes, *, streams: bool) -> None:  # noqa: ARG002  # a sink's
        self._status = status

    def write(self, data: bytes, *, chunks: int = 0, more: bool = False) -> None:  # noqa: ARG002  # never asked for
        self._parts.append(data)

    def end(self, data: bytes) -> None:
        self._set(self._status, b"".join([*self._parts, data]))

    def used(self, tokens: Tokens) -> None:
        """It costs nothing."""

    def refuse(self, refusal: RefusedError) -> None:
        if not self.future.done():
            self.future.set_exception(refusal)

    def comment(self) -> None:
        """Nobody listens meanwhile."""

    def _set(self, status: int, body: bytes) -> None:
        if not self.future.done():
            self.future.set_result((status, body))
