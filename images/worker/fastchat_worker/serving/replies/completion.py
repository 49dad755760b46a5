"""`text_completion`, whole and in pieces."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from fastchat.api import Completion, CompletionChoice, CompletionRequest, Response, Usage, new_id, now
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import joined
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.chunks import Chunks
from fastchat_worker.serving.replies.reply import Message


class CompletionReply:
    """Writes completions. `echo`: the text that each choice begins with; empty where none does."""

    def __init__(self, request: CompletionRequest, echo: Sequence[str]) -> None:
        self._id, self._created, self._model, self._echo = new_id("cmpl"), now(), request.model, echo
        self._chunks = Chunks(request.stream_options)

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = [
            self._choice(index, self._begin(index) + message.delta.content, message.finish)
            for index, message in enumerate(messages)
        ]
        whole = self._completion(*choices)
        whole.usage = usage
        return whole

    def opening(self, choices: int) -> Iterator[bytes]:
        for index in range(choices if self._echo else 0):
            yield self._chunks.write(self._completion(self._choice(index, self._begin(index), None)), Usage)

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:
        choice = self._choice(update.index, joined(update.deltas).content, update.finish)
        yield self._chunks.write(self._completion(choice), usage)

    def closing(self, usage: Usage) -> Iterable[bytes]:
        return self._chunks.close(self._completion(), usage)

    def error(self, error: RequestError) -> bytes:
        return self._chunks.error(error)

    def _begin(self, index: int) -> str:
        return self._echo[index] if self._echo else ""

    def _choice(self, index: int, text: str, finish: str | None) -> CompletionChoice:
        return CompletionChoice(index=index, text=text, logprobs=None, finish_reason=finish)

    def _completion(self, *choices: CompletionChoice) -> Completion:
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices))
