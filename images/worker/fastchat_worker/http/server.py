"""The process: loads the model while the server runs already, and stops at a signal."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import uvicorn

from fastchat._runtime.listen import ListenError, listen, url_of
from fastchat_worker.errors import LoadError, first_line
from fastchat_worker.http.app import create_app
from fastchat_worker.http.protocol import HttpProtocol
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings
from fastchat_worker.telemetry import tracing
from fastchat_worker.telemetry.watchdog import activity, stands_still

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, but after SIGTERM the port stays open: requests in flight end, new ones get 503."""

    def __init__(self, settings: Settings, fail: Callable[[str], NoReturn]) -> None:
        self._service = Service(settings, fail, tracer=tracing.start())
        self._fail = fail
        super().__init__(
            uvicorn.Config(
                create_app(self._service),
                host=settings.host,
                port=settings.port,
                http=HttpProtocol,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until stopped. A port that cannot be had ends the process before the model is loaded."""
        listener = sockets or [self._listen()]
        logger.info("listening on %s, loading %s", url_of(listener[0]), self._service.settings.model_path)
        threading.Thread(target=self._load, name="loader", daemon=True).start()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        super().run(listener)
        self._service.tracer.close()
        logging.shutdown()
        os._exit(0)  # a thread that still computes would abort the interpreter's own exit

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """First signal: drain. While the model loads, or at a second signal: stop at once."""
        if self._service.phase in ("loading", "draining"):
            os._exit(0)
        if self._service.phase == "broken":
            return  # it ends by itself
        logger.info("draining: %d requests in flight", self._service.in_flight)
        self._service.drain()

    async def on_tick(self, counter: int) -> bool:
        if reason := self._service.broken(time.monotonic()):
            self._fail(f"{reason}; the worker ends, to be started again")
        self._service.relieve(time.monotonic())
        return self._service.drained(time.monotonic()) or await super().on_tick(counter)

    def _listen(self) -> socket.socket:
        settings = self._service.settings
        try:
            return listen(settings.host, settings.port)
        except ListenError as error:
            self._fail(str(error))

    def _load(self) -> None:
        try:
            self._service.load()
        except LoadError as error:
            self._fail(str(error))
        except MemoryError:
            self._fail("the model does not fit into memory; take a smaller one or --dtype bfloat16")
        except Exception as error:  # transformers raises nearly anything for a broken model
            logger.debug("loading failed", exc_info=True)
            self._fail(f"cannot load {self._service.settings.model_path}: {first_line(error)}")
        logger.info("serving %s", self._service.settings.model_name)

    def _watch(self) -> None:
        """Ends a worker whose loading stands still, for Kubernetes to start it again."""
        service, seconds = self._service, self._service.settings.load_timeout_seconds
        if stands_still(lambda: activity(service.detail), lambda: service.phase != "loading", seconds):
            self._fail(
                f"loading stands still: for {seconds} s nothing moved while {service.detail}; "
                "check what the model is read from, or raise --load-timeout-seconds"
            )
