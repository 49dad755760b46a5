"""Counts the requests under way and turns new ones away while the worker drains."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastchat_worker.errors import RequestError, not_ready
from fastchat_worker.service import Service

_PROBES = ("/health", "/ready", "/metrics")


class InFlight:
    """ASGI middleware around everything but the probes."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            return await self._app(scope, receive, send)
        if self._service.state == "draining":
            return await _refuse(send, not_ready("draining"))
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._service.in_flight += 1
        try:
            await self._app(scope, receive, note_status)
        finally:
            self._service.in_flight -= 1
            route = getattr(scope.get("route"), "path", "unknown")
            self._service.metrics.requests.labels(route, str(status)).inc()
        return None

