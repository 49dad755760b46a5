"""uvicorn with our way to stop: new requests are turned away at once, connections stay until all work is done."""

import logging
import signal
import time
from types import FrameType

import uvicorn

from fastchat_gateway.gateway import Gateway
from fastchat_gateway.protocol import Protocol

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Serves a gateway until SIGTERM or SIGINT; `run` returns when it has stopped gracefully."""

    def __init__(self, gateway: Gateway) -> None:
        config = uvicorn.Config(
            gateway,
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,  # after the drain, for what does not end when it is cancelled
        )
        super().__init__(config)
        self._drain = gateway.drain
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Only take note, and do not let uvicorn raise the signal again: a graceful stop is a success."""
        self._signals += 1
        if self._signals > 1 and sig == signal.SIGINT:
            self.force_exit = self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second."""
        now = time.monotonic()
        if self._signals and not self._drain.draining:
            logger.info("stopping when the requests in flight have finished")
            self._drain.begin(now)
        if self._drain.done(now):
            self.should_exit = True
        return await super().on_tick(counter)
