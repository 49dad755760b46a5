"""Turns away whoever does not know the internal token of the namespace's gateways and workers; who does is believed."""

import hmac

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fastchat.v1alpha1.names import KEY_HEADER
from fastchat_worker.errors import unauthorized
from fastchat_worker.http.refusal import PROBES, refuse


def key_of(request: Request) -> str:
    """Name of the API key whose request it is, as a gateway says; nobody else is asked."""
    key: str = request.scope.get("key", "")
    return key


class Auth:
    """ASGI middleware around everything but the probes."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if not self._admits(headers):
            return await refuse(send, unauthorized())
        scope["key"] = headers.get(KEY_HEADER, "")
        return await self._app(scope, receive, send)

    def _admits(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)
