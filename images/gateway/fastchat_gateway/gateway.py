"""The ASGI app: what holds for every request (keys, draining, errors, the report), then who answers it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

from fastchat_gateway.access_log import AccessLog
from fastchat_gateway.auth import authorized
from fastchat_gateway.drain import Drain
from fastchat_gateway.errors import Refused, invalid_api_key, server_error, shutting_down
from fastchat_gateway.exchange import ClientGone, Exchange
from fastchat_gateway.metrics import Metrics

logger = logging.getLogger(__name__)

PROBES = frozenset({"/health", "/ready"})
"""Open to everyone, answered to the end, not reported."""

Handler = Callable[[Exchange, bytes], Awaitable[None]]


class Gateway:
    """POST requests to `handlers`' paths go to them, all others to `pages`."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        pages: ASGIApp,
        *,
        drain: Drain,
        metrics: Metrics,
        access_log: AccessLog | None,
        key_digests: frozenset[bytes],
        max_body_bytes: int,
    ) -> None:
        self.drain = drain
        self._handlers = handlers
        self._pages = pages
        self._metrics = metrics
        self._access_log = access_log
        self._key_digests = key_digests
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._pages(_as_get(scope), receive, send)
            return
        exchange = Exchange(scope, receive, send)
        turn_away = self.drain.draining
        self.drain.enter(exchange)
        try:
            await self._answer_or_refuse(exchange, scope, receive, turn_away=turn_away)
        except ClientGone:
            exchange.stopped = "client_gone"
        except asyncio.CancelledError:
            await self._stopped(exchange)
        finally:
            self.drain.leave(exchange)
            self._report(exchange)

    async def _answer_or_refuse(self, exchange: Exchange, scope: Scope, receive: Receive, *, turn_away: bool) -> None:
        try:
            if not authorized(exchange.headers.get(b"authorization", b""), self._key_digests):
                await exchange.refuse(invalid_api_key())
            elif turn_away:
                await exchange.body(self._max_body_bytes)  # closing on unread bytes would destroy the answer
                await exchange.refuse(shutting_down())
            elif exchange.method == "POST" and (handler := self._handlers.get(exchange.path)):
                await self._handle(exchange, handler)
            else:
                await self._pages(_as_get(scope), receive, exchange.send)
        except Refused as refused:
            await exchange.refuse(refused)
        except ClientGone:
            raise
        except Exception:
            logger.exception("request %s %s failed", exchange.request_id.decode(), exchange.path)
            await exchange.refuse(server_error())

    async def _handle(self, exchange: Exchange, handler: Handler) -> None:
        body = await exchange.body(self._max_body_bytes)
        watch = asyncio.create_task(exchange.stop_when_client_leaves())
        try:
            await handler(exchange, body)
        finally:
            watch.cancel()

    async def _stopped(self, exchange: Exchange) -> None:
        """The work was cancelled; by us, or else by whoever runs the server."""
        if exchange.stopped is None or exchange.task is None:
            raise asyncio.CancelledError
        exchange.task.uncancel()
        if exchange.stopped == "shutdown":
            await exchange.refuse(shutting_down())

    def _report(self, exchange: Exchange) -> None:
        duration = time.perf_counter() - exchange.started
        route = exchange.path if exchange.path in self._handlers else "other"
        status = exchange.status or 499  # nginx's number for a client that did not wait
        outcome = _outcome(exchange, status)
        self._metrics.request(exchange.model, route, status, outcome)
        self._metrics.times(exchange.model, route, exchange.first_byte, duration)
        if self._access_log is not None:
            self._access_log.write(_line(exchange, status, outcome, duration))


def _as_get(scope: Scope) -> Scope:
    """HEAD as GET. uvicorn leaves the body out; its own view of the scope must stay HEAD for that."""
    return {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope


def _outcome(exchange: Exchange, status: int) -> str:
    if exchange.stopped is not None:
        return exchange.stopped
    if status >= 400:
        return "client_error" if status < 500 else "server_error"
    return "broken" if exchange.broken else "ok"


def _line(exchange: Exchange, status: int, outcome: str, duration: float) -> dict[str, object]:
    first_byte = exchange.first_byte
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": exchange.request_id.decode(),
        "method": exchange.method,
        "path": exchange.path[:256],
        "model": exchange.model,
        "endpoint": exchange.endpoint,
        "status": status,
        "outcome": outcome,
        "ttfb_ms": None if first_byte is None else round(first_byte * 1000, 2),
        "duration_ms": round(duration * 1000, 2),
        "bytes": exchange.sent,
    }
