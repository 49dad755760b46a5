"""One request over HTTP: reading it, noticing that the client has gone, streaming to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from fastchat.api import request_error, structure
from fastchat_worker.errors import RequestError, bad_request, too_large

PROBES = frozenset({"/health", "/ready", "/metrics"})
"""Open to everyone, not counted, answered to the end."""

_QUICK_BYTES = 4096
"""A body of this size takes less time to validate, right or wrong, than to hand to a thread."""

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


async def parse(request: Request, model: type[R], limit: int) -> R:
    """The body, of at most `limit` bytes, as a request; RequestError names what is wrong with it."""
    body = await _read(request, limit)
    if len(body) <= _QUICK_BYTES:
        return _validated(body, model)
    return await asyncio.to_thread(_validated, body, model)


def _validated(body: bytes, model: type[R]) -> R:
    try:
        structure.check(body)
        structure.check_objects(body)  # an error is built for each field that is unknown or wrong
        return model.model_validate_json(body)
    except structure.TooComplexError as error:
        raise bad_request(f"The body is more than is served: {error}.", code="too_complex") from None
    except ValidationError as invalid:
        raise RequestError(400, request_error(invalid)) from None


async def _read(request: Request, limit: int) -> bytes:
    """The body. What is over the limit is read and dropped, so that the client hears why instead of a reset."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > 16 * limit:
            break
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


async def refuse(send: Send, error: RequestError) -> None:
    """Answers before any route has seen the request."""
    headers = {"content-type": "application/json", "connection": "close", **error.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": error.body})


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled as soon as the client hangs up."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "The client hung up.")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events. `end` is called however the stream ends, also where the client left before it began."""

    def __init__(self, stream: AsyncIterator[bytes], end: Callable[[], None]) -> None:
        super().__init__(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()
