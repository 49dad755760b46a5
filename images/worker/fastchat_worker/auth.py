"""Turns away whoever does not know the internal token of the namespace's gateways and workers."""

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fastchat_worker.errors import unauthorized
from fastchat_worker.exchange import PROBES, refuse


class Auth:
    """ASGI middleware around everything but the probes."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or self._admits(Headers(scope=scope)):
            return await self._app(scope, receive, send)
        return await refuse(send, unauthorized())

    def _admits(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)
