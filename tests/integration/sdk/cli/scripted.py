"""A server that streams what a test says, and notices when its client goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


class Scripted:
    """Answers each chat with these deltas, and endless ones then go on for as long as somebody listens.

    endless_after: so many chats end before those; None: all do. fails_after: it answers so many chats, then none.
    """

    def __init__(
        self, *deltas: dict[str, Any], endless_after: int | None = None, fails_after: int | None = None
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = 0
        self._deltas = deltas
        self._endless_after = endless_after
        self._fails_after = fails_after
        self.app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    async def _models(self, _request: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def _chat(self, request: Request) -> Response:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        if self._fails_after is not None and len(self.requests) > self._fails_after:
            return JSONResponse({"error": {"message": "it failed"}}, status_code=500)
        return StreamingResponse(self._events(self._is_endless), media_type="text/event-stream")

    @property
    def _is_endless(self) -> bool:
        return self._endless_after is not None and len(self.requests) > self._endless_after

    async def _events(self, endless: bool) -> AsyncIterator[bytes]:
        try:
            for delta in self._deltas:
                yield _event(delta)
            while endless:
                yield _event({"content": "and "})
                await asyncio.sleep(0.05)
        finally:
            self.left += endless
        yield _event({}, "stop")
        yield b"data: [DONE]\n\n"


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
