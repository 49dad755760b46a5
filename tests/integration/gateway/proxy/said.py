"""What workers of each API say: usage, whole answers, streams."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

PROMPT, ANSWER = 37, 1234
USAGE = {"prompt_tokens": PROMPT, "completion_tokens": ANSWER, "total_tokens": PROMPT + ANSWER}
HUGE = "x" * (2**20 + 1)
TRICKY = 'say "usage": {"prompt_tokens": 9, "completion_tokens": 9} and \\"usage\\":null'


def event(document: Any, end: str = "\n\n", **style: Any) -> str:
    return f"data: {json.dumps(document, **style)}{end}"


def piece(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


LAST = {"id": "c", "choices": [], "usage": USAGE}
DONE = "data: [DONE]\n\n"
PIECES = [piece("", x=1), *(piece(f" {number}") for number in range(5)), piece(TRICKY)]


def whole(document: Any) -> Callable[[Any], Any]:
    async def behave(connection) -> None:
        connection.answer(200, document)

    return behave


def streamed(
    shown: list[str],
    hidden: list[str],
    after: tuple[str, ...] = (DONE,),
    *,
    cut: int = 0,
    merged: bool = False,
    at_once: bool = False,
):
    """A worker that says `hidden` before `after` where it was asked for usage.

    Its bytes come chunk by chunk, all `at_once`, or in pieces of `cut`; `merged`: all events are one chunk.
    """

    async def behave(connection) -> None:
        options = connection.request.json.get("stream_options") or {}
        events = [*shown, *(hidden if options.get("include_usage") else []), *after]
        connection.start_stream()
        data = [each.encode() for each in (["".join(events)] if merged else events)]
        parts = [*(b"%x\r\n%b\r\n" % (len(each), each) for each in data), b"0\r\n\r\n"]
        if at_once or cut:
            whole = b"".join(parts)
            parts = [whole[at : at + (cut or len(whole))] for at in range(0, len(whole), cut or len(whole))]
        for part in parts:
            connection.writer.write(part)
            await connection.writer.drain()
            await asyncio.sleep(0)

    return behave


INPUT_USAGE = {
    "input_tokens": PROMPT,
    "input_tokens_details": {"cached_tokens": 30},
    "output_tokens": ANSWER,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": PROMPT + ANSWER,
}
CACHED_USAGE = {"input_tokens": 7, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 10}
RESPONSES, MESSAGES, COUNT = "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"
TOOLS = [{"type": "function", "name": "bill", "parameters": {"usage": {"input_tokens": 1, "output_tokens": 1}}}]


def named(kind: str, **fields: Any) -> str:
    return f"event: {kind}\n" + event({"type": kind, **fields})


RESPONDED = [
    named("response.created", response={"id": "r", "tools": TOOLS, "usage": None}),
    *(named("response.output_text.delta", delta=text) for text in ("a", TRICKY)),
]
COMPLETED = named("response.completed", response={"id": "r", "tools": TOOLS, "usage": INPUT_USAGE})
LONG = named("response.completed", response={"id": "r", "tools": TOOLS, "x": "y" * 99_000, "usage": INPUT_USAGE})
SAID_HELLO = [
    named("message_start", message={"id": "m", "usage": {**CACHED_USAGE, "output_tokens": 1}}),
    named("ping"),
    *(named("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in ("a", TRICKY)),
]
ENDED = named("message_delta", delta={"stop_reason": "end_turn"}, usage={**CACHED_USAGE, "output_tokens": ANSWER})
ENDED_SHORT = named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": ANSWER})
STOP = named("message_stop")
