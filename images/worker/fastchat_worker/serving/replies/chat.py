"""`chat.completion` and `chat.completion.chunk`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastchat.api import (
    CalledFunction,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatMessage,
    Response,
    ResponseToolCall,
    Usage,
    new_id,
    now,
)
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import CallDelta, Delta, joined
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.chunks import Chunks
from fastchat_worker.serving.replies.reply import Message


class ChatReply:
    """Writes the turns of a chat; of a request with `functions` calls are written under OpenAI's older name."""

    def __init__(self, request: ChatCompletionRequest) -> None:
        self._id, self._created, self._model = new_id("chatcmpl"), now(), request.model
        self._chunks = Chunks(request.stream_options)
        self._older = not request.tools and bool(request.functions)
        self._called: set[int] = set()  # choices that called a tool

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = [
            ChatChoice(
                index=index,
                message=self._message(message.delta),
                logprobs=None,
                finish_reason=self._reason(message.finish, bool(message.delta.calls)),
            )
            for index, message in enumerate(messages)
        ]
        return ChatCompletion(id=self._id, created=self._created, model=self._model, choices=choices, usage=usage)

    def opening(self, choices: int) -> Iterator[bytes]:
        for index in range(choices):
            yield self._write(ChatChunkChoice(index=index, delta=ChatMessage(role="assistant", content="")), Usage)

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:
        if update.deltas:
            delta = joined(update.deltas)
            if delta.calls:
                self._called.add(update.index)
            yield self._write(ChatChunkChoice(index=update.index, delta=self._piece(delta)), usage)
        if update.finish:  # in a chunk of its own, as OpenAI does
            reason = self._reason(update.finish, update.index in self._called)
            yield self._write(ChatChunkChoice(index=update.index, delta=ChatMessage(), finish_reason=reason), usage)

    def closing(self, usage: Usage) -> Iterable[bytes]:
        return self._chunks.close(self._chunk(), usage)

    def error(self, error: RequestError) -> bytes:
        return self._chunks.error(error)

    def _message(self, whole: Delta) -> ChatMessage:
        message = ChatMessage(role="assistant", content=whole.content or (None if whole.calls else ""), refusal=None)
        return self._add(message, whole)

    def _piece(self, delta: Delta) -> ChatMessage:
        return self._add(ChatMessage(content=delta.content) if delta.content else ChatMessage(), delta, streams=True)

    def _add(self, message: ChatMessage, delta: Delta, *, streams: bool = False) -> ChatMessage:
        if delta.reasoning:
            message.reasoning = message.reasoning_content = delta.reasoning
        if delta.calls and self._older:
            message.function_call = _called(delta.calls[0])
        elif delta.calls:
            message.tool_calls = [_tool_call(call, streams=streams) for call in delta.calls]
        return message

    def _reason(self, finish: str, called: bool) -> str:
        if not called or finish != "stop":
            return finish
        return "function_call" if self._older else "tool_calls"

    def _write(self, choice: ChatChunkChoice, usage: Callable[[], Usage]) -> bytes:
        if "finish_reason" not in choice:
            choice.finish_reason = None
        return self._chunks.write(self._chunk(choice), usage)

    def _chunk(self, *choices: ChatChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(id=self._id, created=self._created, model=self._model, choices=list(choices))


def _tool_call(call: CallDelta, *, streams: bool) -> ResponseToolCall:
    named: dict[str, Any] = {"id": new_id("call"), "type": "function"} if call.name else {}
    index: dict[str, Any] = {"index": call.index} if streams else {}
    return ResponseToolCall(**index, **named, function=_called(call))


def _called(call: CallDelta) -> CalledFunction:
    return CalledFunction(**({"name": call.name} if call.name else {}), arguments=call.arguments)
