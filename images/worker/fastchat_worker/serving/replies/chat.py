"""`chat.completion` and `chat.completion.chunk`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

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
)
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import CallDelta, Delta, joined
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.chunks import Chunks
from fastchat_worker.serving.replies.logprobs import chat_logprobs
from fastchat_worker.serving.replies.reply import Message
from fastchat_worker.serving.resuming.identity import Identity

R = TypeVar("R", ChatCompletion, ChatCompletionChunk)


class ChatReply:
    """Writes the turns of a chat; of a request with `functions` calls are written under OpenAI's older name.

    prompt: the tokens of the conversation.
    """

    def __init__(self, request: ChatCompletionRequest, identity: Identity, prompt: Sequence[int] = ()) -> None:
        self._id, self._created, self._model = identity.new_id("chatcmpl"), identity.created, request.model
        self._identity = identity
        self._chunks = Chunks(request.stream_options)
        self._older = not request.tools and bool(request.functions)
        self._called: set[int] = set()  # choices that called a tool
        self._logprobs = bool(request.logprobs)
        self._prompt = list(prompt) if request.return_token_ids else None

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = [self._choice(index, message) for index, message in enumerate(messages)]
        whole = ChatCompletion(id=self._id, created=self._created, model=self._model, choices=choices, usage=usage)
        return self._with_prompt(whole)

    def opening(self, choices: int) -> Iterator[bytes]:
        for index in range(choices):
            choice = ChatChunkChoice(index=index, delta=ChatMessage(role="assistant", content=""), finish_reason=None)
            yield self._chunks.write(self._with_prompt(self._chunk(choice)), Usage)

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:
        if update.deltas:
            delta = joined(update.deltas)
            if delta.calls:
                self._called.add(update.index)
            choice = ChatChunkChoice(index=update.index, delta=self._piece(update.index, delta), finish_reason=None)
            yield self._write(choice, update, usage)
        if update.finish:  # in a chunk of its own, as OpenAI does
            reason = self._reason(update.finish, update.index in self._called)
            choice = ChatChunkChoice(index=update.index, delta=ChatMessage(), finish_reason=reason)
            yield self._write(choice, None if update.deltas else update, usage)

    def closing(self, usage: Usage) -> Iterable[bytes]:
        return self._chunks.close(self._chunk(), usage)

    def error(self, error: RequestError) -> bytes:
        return self._chunks.error(error)

    def _choice(self, index: int, message: Message) -> ChatChoice:
        choice = ChatChoice(
            index=index,
            message=self._message(index, message.delta),
            logprobs=chat_logprobs(message.logprobs) if self._logprobs else None,
            finish_reason=self._reason(message.finish, bool(message.delta.calls)),
        )
        if self._prompt is not None:
            choice.token_ids = list(message.tokens)
        return choice

    def _message(self, index: int, whole: Delta) -> ChatMessage:
        message = ChatMessage(role="assistant", content=whole.content or (None if whole.calls else ""), refusal=None)
        return self._add(index, message, whole)

    def _piece(self, index: int, delta: Delta) -> ChatMessage:
        message = ChatMessage(content=delta.content) if delta.content else ChatMessage()
        return self._add(index, message, delta, streams=True)

    def _add(self, index: int, message: ChatMessage, delta: Delta, *, streams: bool = False) -> ChatMessage:
        if delta.reasoning:
            message.reasoning = message.reasoning_content = delta.reasoning
        if delta.calls and self._older:
            message.function_call = _called(delta.calls[0])
        elif delta.calls:
            message.tool_calls = [self._tool_call(index, call, streams=streams) for call in delta.calls]
        return message

    def _tool_call(self, choice: int, call: CallDelta, *, streams: bool) -> ResponseToolCall:
        id_ = self._identity.new_id("call", choice=choice) if call.name else None
        named: dict[str, Any] = {"id": id_, "type": "function"} if id_ else {}
        index: dict[str, Any] = {"index": call.index} if streams else {}
        return ResponseToolCall(**index, **named, function=_called(call))

    def _reason(self, finish: str, called: bool) -> str:
        if not called or finish != "stop":
            return finish
        return "function_call" if self._older else "tool_calls"

    def _write(self, choice: ChatChunkChoice, gained: Update | None, usage: Callable[[], Usage]) -> bytes:
        """gained: whose tokens come with the chunk."""
        if self._logprobs:
            choice.logprobs = chat_logprobs(gained.logprobs) if gained else None
        if self._prompt is not None and gained:
            choice.token_ids = list(gained.tokens)
        return self._chunks.write(self._chunk(choice), usage)

    def _with_prompt(self, response: R) -> R:
        if self._prompt is not None:
            response.prompt_token_ids = self._prompt
        return response

    def _chunk(self, *choices: ChatChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(id=self._id, created=self._created, model=self._model, choices=list(choices))


def _called(call: CallDelta) -> CalledFunction:
    return CalledFunction(**({"name": call.name} if call.name else {}), arguments=call.arguments)
