"""An answer in OpenAI's shape: as one document, or as the chunks of a stream."""

from collections.abc import AsyncIterator, Sequence
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
from fastchat_worker.serving.generation import Answer, Piece


class Reply(Protocol):
    """How one kind of completion writes its answer."""

    def document(self, texts: Sequence[str], reasons: Sequence[str], usage: Usage) -> Response:
        """The whole answer; texts and finish reasons by choice."""

    def opening(self, choices: int) -> list[Response]:
        """Chunks before the first text."""

    def chunk(self, piece: Piece) -> list[Response]:
        """What one choice gained."""

    def closing(self, usage: Usage) -> Response:
        """The chunk with the token counts and no choices."""


class ChatReply:
    """`chat.completion` and `chat.completion.chunk`."""

    def __init__(self, model: str) -> None:
        self._id, self._created, self._model = new_id("chatcmpl"), now(), model

    def document(self, texts: Sequence[str], reasons: Sequence[str], usage: Usage) -> Response:
        choices = [
            ChatChoice(index=index, message=ChatMessage(role="assistant", content=text), finish_reason=reason)
            for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ]
        return ChatCompletion(id=self._id, created=self._created, model=self._model, choices=choices, usage=usage)

    def opening(self, choices: int) -> list[Response]:
        first = ChatMessage(role="assistant", content="")
        return [self._chunk(ChatChunkChoice(index=index, delta=first, finish_reason=None)) for index in range(choices)]

    def chunk(self, piece: Piece) -> list[Response]:
        chunks: list[Response] = []
        if piece.text:
            delta = ChatMessage(content=piece.text)
            chunks.append(self._chunk(ChatChunkChoice(index=piece.index, delta=delta, finish_reason=None)))
        if piece.finish:  # in a chunk of its own, as OpenAI does
            last = ChatChunkChoice(index=piece.index, delta=ChatMessage(), finish_reason=piece.finish)
            chunks.append(self._chunk(last))
        return chunks

    def closing(self, usage: Usage) -> Response:
        chunk = self._chunk()
        chunk.usage = usage
        return chunk

    def _chunk(self, *choices: ChatChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(id=self._id, created=self._created, model=self._model, choices=list(choices))


class CompletionReply:
    """`text_completion`. `echo`: what each choice begins with."""

    def __init__(self, model: str, echo: Sequence[str] | None) -> None:
        self._id, self._created, self._model, self._echo = new_id("cmpl"), now(), model, echo

    def document(self, texts: Sequence[str], reasons: Sequence[str], usage: Usage) -> Response:
        answer = self._completion(
            *(
                CompletionChoice(index=index, text=self._begin(index) + text, logprobs=None, finish_reason=reason)
                for index, (text, reason) in enumerate(zip(texts, reasons, strict=True))
            )
        )
        answer.usage = usage
        return answer

    def opening(self, choices: int) -> list[Response]:
        return [
            self._completion(CompletionChoice(index=index, text=self._begin(index), logprobs=None, finish_reason=None))
            for index in range(choices if self._echo else 0)
        ]

    def chunk(self, piece: Piece) -> list[Response]:
        choice = CompletionChoice(index=piece.index, text=piece.text, logprobs=None, finish_reason=piece.finish)
        return [self._completion(choice)]

    def closing(self, usage: Usage) -> Response:
        chunk = self._completion()
        chunk.usage = usage
        return chunk

    def _begin(self, index: int) -> str:
        return self._echo[index] if self._echo else ""

    def _completion(self, *choices: CompletionChoice) -> Completion:
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices))


async def document(answer: Answer, reply: Reply) -> Response:
    """The answer, once all of it is there; RequestError when it cannot be had."""
    pieces: list[list[str]] = [[] for _ in range(answer.choices)]
    reasons = [""] * answer.choices
    async for piece in answer.pieces():
        pieces[piece.index].append(piece.text)
        reasons[piece.index] = piece.finish or ""
    return reply.document(["".join(each) for each in pieces], reasons, answer.usage)


async def events(answer: Answer, reply: Reply, *, with_usage: bool) -> AsyncIterator[bytes]:
    """The answer as server-sent events; after an error no `[DONE]` follows."""
    for chunk in reply.opening(answer.choices):
        yield _event(chunk, with_usage)
    try:
        async for piece in answer.pieces():
            for chunk in reply.chunk(piece):
                yield _event(chunk, with_usage)
    except RequestError as error:
        yield b"data: %b\n\n" % error.body
        return
    if with_usage:
        yield _event(reply.closing(answer.usage), with_usage)
    yield b"data: [DONE]\n\n"


def _event(chunk: Response, with_usage: bool) -> bytes:
    if with_usage and "usage" not in chunk:
        chunk.usage = None  # type: ignore[attr-defined]  # OpenAI sends null until the last chunk
    return b"data: %b\n\n" % chunk.to_json()
