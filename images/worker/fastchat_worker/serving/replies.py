"""Responses in OpenAI's shape: deltas → one document, or the chunks of a stream."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastchat.api import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    Completion,
    CompletionChoice,
    Response,
    Usage,
    new_id,
    now,
)
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import Delta, joined
from fastchat_worker.serving.generation import Generation, Update


@dataclass(frozen=True)
class Message:
    """All that a choice said, and why it ended."""

    delta: Delta
    finish: str


class Reply(Protocol):
    """How one kind of completion is written."""

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        """The whole response; messages by choice."""

    def opening(self, choices: int) -> list[Response]:
        """Chunks before the first token."""

    def chunks(self, update: Update) -> list[Response]:
        """What one choice gained."""

    def closing(self, usage: Usage) -> Response:
        """The chunk with the token counts and no choices."""


class ChatReply:
    """`chat.completion` and `chat.completion.chunk`."""

    def __init__(self, model: str) -> None:
        self._id, self._created, self._model = new_id("chatcmpl"), now(), model

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = [
            ChatChoice(
                index=index,
                message=ChatMessage(role="assistant", content=message.delta.content),
                finish_reason=message.finish,
            )
            for index, message in enumerate(messages)
        ]
        return ChatCompletion(id=self._id, created=self._created, model=self._model, choices=choices, usage=usage)

    def opening(self, choices: int) -> list[Response]:
        first = ChatMessage(role="assistant", content="")
        return [self._chunk(ChatChunkChoice(index=index, delta=first, finish_reason=None)) for index in range(choices)]

    def chunks(self, update: Update) -> list[Response]:
        chunks: list[Response] = []
        if update.deltas:
            delta = ChatMessage(content=joined(update.deltas).content)
            chunks.append(self._chunk(ChatChunkChoice(index=update.index, delta=delta, finish_reason=None)))
        if update.finish:  # in a chunk of its own, as OpenAI does
            last = ChatChunkChoice(index=update.index, delta=ChatMessage(), finish_reason=update.finish)
            chunks.append(self._chunk(last))
        return chunks

    def closing(self, usage: Usage) -> Response:
        chunk = self._chunk()
        chunk.usage = usage
        return chunk

    def _chunk(self, *choices: ChatChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(id=self._id, created=self._created, model=self._model, choices=list(choices))


class CompletionReply:
    """`text_completion`. `echo`: the text that each choice begins with; empty where none does."""

    def __init__(self, model: str, echo: Sequence[str]) -> None:
        self._id, self._created, self._model, self._echo = new_id("cmpl"), now(), model, echo

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = [
            self._choice(index, self._begin(index) + message.delta.content, message.finish)
            for index, message in enumerate(messages)
        ]
        whole = self._completion(*choices)
        whole.usage = usage
        return whole

    def opening(self, choices: int) -> list[Response]:
        echoed = range(choices if self._echo else 0)
        return [self._completion(self._choice(index, self._begin(index), None)) for index in echoed]

    def chunks(self, update: Update) -> list[Response]:
        return [self._completion(self._choice(update.index, joined(update.deltas).content, update.finish))]

    def closing(self, usage: Usage) -> Response:
        chunk = self._completion()
        chunk.usage = usage
        return chunk

    def _begin(self, index: int) -> str:
        return self._echo[index] if self._echo else ""

    def _choice(self, index: int, text: str, finish: str | None) -> CompletionChoice:
        return CompletionChoice(index=index, text=text, logprobs=None, finish_reason=finish)

    def _completion(self, *choices: CompletionChoice) -> Completion:
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices))


async def document(generation: Generation, reply: Reply) -> Response:
    """The response, once all of it is there. Raises: RequestError where it cannot be had."""
    deltas: list[list[Delta]] = [[] for _ in range(generation.choices)]
    reasons = [""] * generation.choices
    async for update in generation.updates():
        deltas[update.index] += update.deltas
        reasons[update.index] = update.finish or ""
    messages = [Message(joined(each), reason) for each, reason in zip(deltas, reasons, strict=True)]
    return reply.document(messages, generation.usage)


async def events(generation: Generation, reply: Reply, *, with_usage: bool) -> AsyncIterator[bytes]:
    """The response as server-sent events; after an error no `[DONE]` follows."""
    for chunk in reply.opening(generation.choices):
        yield _event(chunk, with_usage)
    try:
        async for update in generation.updates():
            for chunk in reply.chunks(update):
                yield _event(chunk, with_usage)
    except RequestError as error:
        yield b"data: %b\n\n" % error.body
        return
    if with_usage:
        yield _event(reply.closing(generation.usage), with_usage)
    yield b"data: [DONE]\n\n"


def _event(chunk: Response, with_usage: bool) -> bytes:
    if with_usage and "usage" not in chunk:
        chunk.usage = None  # type: ignore[attr-defined]  # OpenAI sends null until the last chunk
    return b"data: %b\n\n" % chunk.to_json()
