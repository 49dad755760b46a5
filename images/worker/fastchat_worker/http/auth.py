"""The internal token of a namespace's gateways and workers: requests without it are refused."""

import hmac

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fastchat.v1alpha1.names import KEY_HEADER
from fastchat_worker.errors import unauthorized
from fastchat_worker.http.refusal import PROBES, refuse


def key_of(request: Request) -> str:
    """Name of the API key that a gateway has the request from; empty where the worker has no internal token."""
    key: str = request.scope.get("key", "")
    return key


class Auth:
    """ASGI middleware: 401 without the token, except for probes. With it the gateway's word for the API key counts."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if not self._admits(headers):
            return await refuse(scope, send, unauthorized())
        scope["key"] = headers.get(KEY_HEADER, "")
        return await self._app(scope, receive, send)

    def _admits(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token)
