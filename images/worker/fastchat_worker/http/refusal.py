"""Responses that a middleware gives before any route has seen the request."""

from starlette.types import Send

from fastchat_worker.errors import RequestError

PROBES = frozenset({"/health", "/ready", "/metrics"})
"""Paths that are open to everyone, counted nowhere and served to the end."""


async def refuse(send: Send, error: RequestError) -> None:
    """Sends the error as the response, after which the connection is closed."""
    headers = {"content-type": "application/json", "connection": "close", **error.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": error.body})
