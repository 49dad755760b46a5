"""Responses that a middleware gives before any route has seen the request."""

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope, Send

from fastchat.api.messages import messages_error
from fastchat.api.routes import style_of
from fastchat_worker.errors import RequestError

PROBES = frozenset({"/health", "/ready", "/metrics"})
"""Paths that are open to everyone, counted nowhere and served to the end."""


def body_of(error: RequestError, scope: MutableMapping[str, Any]) -> bytes:
    """The error as the document that a client of this route expects."""
    if style_of(scope["path"]) != "messages":
        return error.body
    return messages_error(error.status, error.error, Headers(scope=scope).get("x-request-id"))


async def refuse(scope: Scope, send: Send, error: RequestError) -> None:
    """Sends the error as the response, after which the connection is closed."""
    headers = {"content-type": "application/json", "connection": "close", **error.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body_of(error, scope)})
