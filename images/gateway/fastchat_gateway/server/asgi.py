"""The bridge to the pages: one request's way through an ASGI app, and its response's way back through the exchange."""

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Any

import httptools
from starlette.types import ASGIApp, Message

from fastchat_gateway.errors import RefusedError, server_error, shutting_down
from fastchat_gateway.http.headers import render
from fastchat_gateway.proxy.exchange import Exchange

logger = logging.getLogger(__name__)

_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""The connection's to say."""
_NOT_IN_A_LINE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Pages:
    """An ASGI app, and the tasks that serve its requests."""

    def __init__(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """`tasks`: where they are kept while they run."""
        self._app = app
        self._tasks = tasks

    def serve(self, exchange: Exchange) -> "Page":
        """Begin to serve it."""
        page = Page(exchange)
        task = asyncio.get_running_loop().create_task(page.run(self._app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return page


class Page:
    """One request. HEAD is served as GET: the connection leaves the body out."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_read = False
        self._start: tuple[int, bytes] | None = None
        """Status and header lines; they go out with the first of the body."""
        self._over = asyncio.Event()
        """Nothing more can be sent."""
        self._writable = asyncio.Event()
        self._writable.set()

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(_scope(self._exchange), self._receive, self._send)
        except Exception:
            logger.exception("request %s %s failed", self._exchange.request_id.decode(), self._exchange.path)
            self._fail(server_error())
        except asyncio.CancelledError:
            self._fail(shutting_down())
            raise
        else:
            self._fail(server_error())

    def pause(self) -> None:
        """The client does not keep up."""
        self._writable.clear()

    def resume(self) -> None:
        self._writable.set()

    def client_gone(self) -> None:
        self._over.set()
        self._writable.set()

    async def _receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._exchange.body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._writable.wait()
        if self._over.is_set():
            return
        if message["type"] == "http.response.start":
            self._start = message["status"], _lines(message.get("headers", ()))
            return
        start, self._start = self._start, None
        body, more = message.get("body", b""), message.get("more_body", False)
        if not more:
            self._over.set()
        if start is not None and not more:
            self._exchange.respond(*start, body)
            return
        if start is not None:
            self._exchange.begin(*start, streams=False)
        if more:
            self._exchange.write(body)
        else:
            self._exchange.end(body)

    def _fail(self, refusal: RefusedError) -> None:
        """The app has ended: unless its response has, too, say so."""
        if not self._over.is_set():
            self._over.set()
            self._exchange.refuse(refusal)


def _scope(exchange: Exchange) -> dict[str, Any]:
    head = exchange.head
    parsed = httptools.parse_url(head.url)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.0" if head.http_1_0 else "1.1",
        "scheme": "http",
        "root_path": "",
        "headers": list(head.named.items()),
        "method": "GET" if head.method == "HEAD" else head.method,
        "path": head.path,
        "raw_path": parsed.path,
        "query_string": parsed.query or b"",
        "exchange": exchange,
    }


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, but for those of the framing; raises ValueError where one is none."""
    sent = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
    for name, value in sent:
        if _NOT_IN_A_LINE.search(name + value):
            raise ValueError(f"not a header: {name!r}: {value!r}")
    return render(sent)
