"""uvicorn with our connections, and our way to stop: connections stay until all work is done.

The only file that knows uvicorn's inside; `tests/unit/gateway/server/test_server.py` names what it relies on.
"""

import logging
import signal
import time
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fastchat_gateway.proxy.gateway import Gateway
from fastchat_gateway.server.asgi import Pages
from fastchat_gateway.server.connection import Connection

logger = logging.getLogger(__name__)

_TICKS_PER_SWEEP = 10


class Server(uvicorn.Server):
    """Serves a gateway until SIGTERM or SIGINT; `run` returns when it has stopped gracefully."""

    def __init__(self, gateway: Gateway, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=self._connection,  # type: ignore[arg-type]  # it is only called
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,  # after the drain, for what does not end when it is cancelled
        )
        super().__init__(config)
        self.gateway = gateway
        self._pages = Pages(app, self.server_state.tasks)
        self.server_state.connections = gateway.connections  # type: ignore[assignment]  # it only calls `shutdown`
        self._signals = 0

    def _connection(self, **_: Any) -> Connection:
        """For a client that has connected; uvicorn's own state is not needed."""
        return Connection(self.gateway, self._pages)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Only take note, and do not let uvicorn raise the signal again: a graceful stop is a success."""
        self._signals += 1
        if self._signals > 1 and sig == signal.SIGINT:
            self.force_exit = self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second."""
        gateway, now = self.gateway, time.monotonic()
        gateway.clock.tick()
        if counter % _TICKS_PER_SWEEP == 0:
            gateway.sweep()
        if self._signals and not gateway.drain.draining:
            logger.info("stopping when the requests in flight have finished")
            gateway.drain.begin(now)
        if gateway.drain.done(now, connections=len(gateway.connections)):
            self.should_exit = True
        return await super().on_tick(counter)
