"""A server that says it is OpenAI's and is wrong in one thing at a time."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

COLOUR = '{"colour": "red"}'
FAULTS = {
    "a model that is not listed": "models",
    "no finish reason": "chat",
    "tokens that do not add up": "usage",
    "no [DONE]": "stream",
    "an id for each event": "stream",
    "an error in the stream": "stream",
    "no usage in the stream": "stream usage",
    "errors without a form": "errors",
    "everything is accepted": "errors",
    "500 for an unknown model": "unknown model",
    "no chunked requests": "chunked requests",
    "another tool": "tools",
    "no index": "streamed tools",
    "no schema": "schema",
    "one id for all": "concurrency",
    "vectors out of order": "embeddings",
    "vectors of two sizes": "embeddings",
}
"""What is wrong → the check that has to find it."""


class WrongServer:
    """Right in everything but `fault`; with None in everything."""

    def __init__(self, fault: str | None) -> None:
        self.app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/models/m", self._card),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )
        self._fault = fault
        self._count = 0

    def _is(self, fault: str) -> bool:
        assert fault in FAULTS
        return self._fault == fault

    async def _models(self, _request: Request) -> Response:
        cards = [{"id": "m", "object": "model"}, {"id": "e", "object": "model", "task": "Embed"}]
        return JSONResponse({"object": "list", "data": cards})

    async def _card(self, _request: Request) -> Response:
        status = 404 if self._is("a model that is not listed") else 200
        return JSONResponse({"id": "m", "object": "model"}, status_code=status)

    async def _embeddings(self, request: Request) -> Response:
        form = (await request.json())["encoding_format"]
        size = 2 if form == "base64" and self._is("vectors of two sizes") else 1
        vector = base64.b64encode(bytes(4 * size)).decode() if form == "base64" else [0.0]
        order = (1, 0) if self._is("vectors out of order") else (0, 1)
        return JSONResponse({"data": [{"index": number, "embedding": vector} for number in order]})

    async def _chat(self, request: Request) -> Response:
        if self._is("no chunked requests") and "content-length" not in request.headers:
            return self._refused(411)
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = {}
        right = isinstance(body.get("messages"), list) and isinstance(body.get("temperature", 0), int)
        if not right and not self._is("everything is accepted"):
            return self._refused(400)
        if body.get("model") == "no-such-model":
            return self._refused(500 if self._is("500 for an unknown model") else 404)
        self._count += not self._is("one id for all")
        if body.get("stream"):
            return StreamingResponse(self._events(body, self._count), media_type="text/event-stream")
        return JSONResponse(self._whole(body))

    def _refused(self, status: int) -> Response:
        error = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
        return JSONResponse({"detail": "no"} if self._is("errors without a form") else {"error": error}, status)

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "total_tokens": 9 - (not self._is("tokens that do not add up")),
        }

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        if "tools" in body:
            name = "draw" if self._is("another tool") else "paint"
            call = {"id": "c", "type": "function", "function": {"name": name, "arguments": COLOUR}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        has_schema = "response_format" in body and not self._is("no schema")
        return {"role": "assistant", "content": COLOUR if has_schema else "Red."}

    def _whole(self, body: dict[str, Any]) -> dict[str, Any]:
        reason = None if self._is("no finish reason") else "stop"
        choice = {"index": 0, "message": self._message(body), "finish_reason": reason}
        head = {"id": f"chat-{self._count}", "object": "chat.completion", "created": 1, "model": "m"}
        return {**head, "choices": [choice], "usage": self._usage()}

    async def _events(self, body: dict[str, Any], name: int) -> AsyncIterator[bytes]:
        message = self._message(body)
        for number, call in enumerate(message.get("tool_calls", ())):
            call.update({} if self._is("no index") else {"index": number})
        choices = [
            {"index": 0, "delta": message, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        for number, choice in enumerate(choices):
            yield self._event(f"{name}-{number}" if self._is("an id for each event") else str(name), [choice])
        if self._is("an error in the stream"):
            yield b'data: {"error": {"message": "lost"}}\n\n'
        if body.get("stream_options") and not self._is("no usage in the stream"):
            yield self._event(str(name), [], usage=self._usage())
        if not self._is("no [DONE]"):
            yield b"data: [DONE]\n\n"

    def _event(self, name: str, choices: list[Any], **more: Any) -> bytes:
        chunk = {"id": f"chat-{name}", "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"
