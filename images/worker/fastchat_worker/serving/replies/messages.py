"""`message` of `/v1/messages`, whole and in events."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pydantic_core

from fastchat.api import Response, Usage
from fastchat.api.messages import (
    ContentBlock,
    MessagesEvent,
    MessagesRequest,
    MessagesResponse,
    MessagesUsage,
    TextContent,
    ThinkingContent,
    ToolUseContent,
    messages_error,
)
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import Delta
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.reply import Message, event
from fastchat_worker.serving.resuming.identity import Identity


class MessagesReply:
    """Writes a message. usage: of the prompt, which the first event tells."""

    def __init__(self, request: MessagesRequest, identity: Identity, usage: Usage) -> None:
        self._request, self._usage = request, usage
        self._id = identity.new_id("msg", "_")
        thinking = request.thinking
        self._blocks = _Blocks(identity, omits_thinking=bool(thinking and thinking.display == "omitted"))
        self._finish = ""
        self._stop_text: str | None = None

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        message = messages[0]
        for update in message.updates:
            for delta in update.deltas:
                list(self._blocks.feed(delta))
        list(self._blocks.close())
        self._finish, self._stop_text = message.finish, message.stop_text
        return self._message(content=self._blocks.content, usage=_usage(usage), **self._end(usage))

    def opening(self, choices: int) -> Iterable[bytes]:  # noqa: ARG002  # there is one
        begun = self._message(usage=_usage(self._usage), stop_reason=None, stop_sequence=None)
        yield _event("message_start", message=begun)
        yield _event("ping")

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:  # noqa: ARG002  # told at the end
        for delta in update.deltas:
            yield from self._blocks.feed(delta)
        if update.finish:
            self._finish, self._stop_text = update.finish, update.stop_text

    def closing(self, usage: Usage) -> Iterable[bytes]:
        yield from self._blocks.close()
        yield _event("message_delta", delta=self._end(usage), usage=_usage(usage))
        yield _event("message_stop")

    def error(self, error: RequestError) -> bytes:
        return b"event: error\ndata: %b\n\n" % messages_error(error.status, error.error)

    def _message(self, **fields: Any) -> MessagesResponse:
        return MessagesResponse(id=self._id, model=self._request.model, **fields)

    def _end(self, usage: Usage) -> dict[str, str | None]:
        """Why it ended. A stop text of the model's own conversation is its end, and none of the request's."""
        if self._finish == "length":
            whole = usage.completion_tokens >= self._request.max_tokens
            return {"stop_reason": "max_tokens" if whole else "model_context_window_exceeded", "stop_sequence": None}
        if self._stop_text is not None and self._stop_text in (self._request.stop_sequences or ()):
            return {"stop_reason": "stop_sequence", "stop_sequence": self._stop_text}
        return {"stop_reason": "tool_use" if self._blocks.called else "end_turn", "stop_sequence": None}


class _Blocks:
    """The content while it grows: one block is open at a time, and each event is of that one."""

    def __init__(self, identity: Identity, *, omits_thinking: bool) -> None:
        self._identity = identity
        self._omits_thinking = omits_thinking
        self._pieces: list[str] = []
        self._is_open = False
        self.content: list[ContentBlock] = []
        self.called = False
        """A tool was called."""

    def feed(self, delta: Delta) -> Iterator[bytes]:
        """Events of what the content has gained."""
        if delta.reasoning:
            yield from self._begin_unless(ThinkingContent)
            if not self._omits_thinking:
                yield self._grow("thinking_delta", thinking=delta.reasoning)
        if delta.content:
            yield from self._begin_unless(TextContent)
            yield self._grow("text_delta", text=delta.content)
        for call in delta.calls:
            if call.name is not None:
                self.called = True
                yield from self._begin(ToolUseContent(id=self._identity.new_id("toolu", "_"), name=call.name))
            if call.arguments:
                yield self._grow("input_json_delta", partial_json=call.arguments)

    def close(self) -> Iterator[bytes]:
        """Events of the open block's end."""
        if not self._is_open:
            return
        self._is_open = False
        block, text = self.content[-1], "".join(self._pieces)
        if isinstance(block, ThinkingContent):
            block.thinking, block.signature = text, self._identity.digest("signature")
            yield self._delta(type="signature_delta", signature=block.signature)
        elif isinstance(block, TextContent):
            block.text = text
        else:
            block.input = _object(text)
        yield _event("content_block_stop", index=len(self.content) - 1)

    def _begin_unless(self, kind: type[TextContent] | type[ThinkingContent]) -> Iterator[bytes]:
        if not (self._is_open and isinstance(self.content[-1], kind)):
            yield from self._begin(kind())

    def _begin(self, block: ContentBlock) -> Iterator[bytes]:
        yield from self.close()
        self.content.append(block)
        self._pieces, self._is_open = [], True
        yield _event("content_block_start", index=len(self.content) - 1, content_block=block)

    def _grow(self, kind: str, **piece: str) -> bytes:
        self._pieces += piece.values()
        return self._delta(type=kind, **piece)

    def _delta(self, **delta: str) -> bytes:
        return _event("content_block_delta", index=len(self.content) - 1, delta=delta)


def _object(arguments: str) -> dict[str, Any]:
    """Arguments as an object; of those that were cut off, what is there."""
    try:
        value = pydantic_core.from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _event(kind: str, **fields: Any) -> bytes:
    return event(MessagesEvent(type=kind, **fields), kind)


def _usage(usage: Usage) -> MessagesUsage:
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    return MessagesUsage(
        input_tokens=usage.prompt_tokens - cached,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=cached,
        output_tokens=usage.completion_tokens,
    )
