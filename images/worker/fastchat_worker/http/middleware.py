"""What is done for every request but the probes: it is counted, traced, and refused where the worker begins none."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastchat._runtime.resuming import HANDOVER_PATH
from fastchat_worker.errors import not_ready
from fastchat_worker.http import unknown
from fastchat_worker.http.refusal import PROBES, refuse
from fastchat_worker.serving.service import Service


class Middleware:
    """ASGI middleware, which also writes into each response how busy the worker is and which fields it ignored."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["path"].rstrip("/") or "/"  # a slash at the end does no harm
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        if self._service.refuses and scope["path"] != HANDOVER_PATH:
            return await refuse(scope, send, not_ready(self._service.phase))
        status = 500

        async def note_start(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if load := self._service.models.load:
                    MutableHeaders(scope=message)["x-fastchat-load"] = load
                if ignored := scope.get("ignored"):
                    MutableHeaders(scope=message)[unknown.HEADER] = ignored
            await send(message)

        self._service.in_flight += 1
        scope["trace"] = trace = self._service.tracer.begin(Headers(scope=scope)) if scope["method"] == "POST" else None
        try:
            await self._app(scope, receive, note_start)
        finally:
            self._service.in_flight -= 1
            route = getattr(scope.get("route"), "path", "unknown")
            self._service.metrics.requests.labels(route, str(status)).inc()
            if trace:
                trace.end(route, status)
        return None
