"""One request over ASGI, from its first byte to its answer's last, and what there is to report about it."""

import asyncio
import random
import re
import time
from typing import Any, Literal

from starlette.types import Receive, Scope, Send

from fastchat_gateway.errors import Refused, too_large
from fastchat_gateway.transport import Headers

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ClientGone(Exception):  # noqa: N818  # its decision, not a fault
    """The client closed the connection before it had sent its request."""


class Exchange:
    """The request and the answer as it is being sent."""

    __slots__ = (
        "_receive",
        "_send",
        "broken",
        "endpoint",
        "first_byte",
        "headers",
        "method",
        "model",
        "path",
        "request_id",
        "sent",
        "started",
        "status",
        "stopped",
        "streams",
        "task",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given if _SANE_ID.fullmatch(given) else b"%032x" % random.getrandbits(128)
        self.task = asyncio.current_task()
        self.stopped: Literal["client_gone", "shutdown", None] = None
        self.status = 0
        self.streams = False
        self.broken = False
        self.sent = 0
        self.first_byte: float | None = None
        self.model = ""
        self.endpoint = ""

    async def body(self, limit: int) -> bytes:
        """The whole body; raises Refused when it is too large.

        Its rest is not awaited then: uvicorn throws it away, and the connection stays usable.
        """
        if int(self.headers.get(b"content-length", 0)) > limit:
            raise too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def stop_when_client_leaves(self) -> None:
        """To run beside the work on an answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.stop("client_gone")

    def stop(self, reason: Literal["client_gone", "shutdown"]) -> None:
        """Cancel the work on this request."""
        self.stopped = reason
        if self.task is not None:
            self.task.cancel()

    async def start(self, status: int, headers: Headers, *, streams: bool = False) -> None:
        self.status = status
        self.streams = streams
        headers.append((b"x-request-id", self.request_id))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        self.sent += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def comment(self) -> None:
        """Keep a held stream alive. Its status is decided by the first comment."""
        if not self.status:
            await self.start(200, list(_EVENT_STREAM), streams=True)
        await self.write(b": waiting for a worker\n\n")

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer."""
        headers.append((b"content-length", b"%d" % len(body)))
        await self.start(status, headers)
        await self.write(body, more=False)

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error; as an event where a stream has begun, by cutting off any other answer that has."""
        if not self.status:
            headers = [(b"content-type", b"application/json"), *refused.headers]
            await self.answer(refused.status, headers, refused.body)
            return
        self.broken = True
        if self.streams:
            await self.write(refused.event, more=False)

    async def send(self, message: Any) -> None:
        """An ASGI send for other apps that answer this request."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)
