"""`text_completion`, whole and in pieces."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from fastchat.api import Completion, CompletionChoice, CompletionRequest, Response, Usage
from fastchat_worker.errors import RequestError
from fastchat_worker.output.parser import joined
from fastchat_worker.serving.generation import Update
from fastchat_worker.serving.replies.chunks import Chunks
from fastchat_worker.serving.replies.logprobs import completion_logprobs
from fastchat_worker.serving.replies.reply import Message
from fastchat_worker.serving.resuming.identity import Identity


class CompletionReply:
    """Writes completions. `echo`: the text that each choice begins with; empty where none does.

    prompts: the tokens of each choice's prompt.
    """

    def __init__(
        self,
        request: CompletionRequest,
        identity: Identity,
        echo: Sequence[str],
        prompts: Sequence[Sequence[int]] = (),
    ) -> None:
        self._id, self._created, self._model = identity.new_id("cmpl"), identity.created, request.model
        self._echo = echo
        self._chunks = Chunks(request.stream_options)
        self._logprobs = request.logprobs is not None
        self._prompts = prompts if request.return_token_ids else ()
        self._begun: set[int] = set()  # choices of a stream that have had a chunk

    def document(self, messages: Sequence[Message], usage: Usage) -> Response:
        choices = []
        for index, message in enumerate(messages):
            choice = self._choice(index, message, message.delta.content, message.finish)
            choice.text = self._begin(index) + choice.text
            choices.append(self._with_prompt(choice))
        whole = self._completion(*choices)
        whole.usage = usage
        return whole

    def opening(self, choices: int) -> Iterator[bytes]:
        """The echo; with log probabilities it comes when those of the prompt are there."""
        for index in range(0 if self._logprobs or not self._echo else choices):
            choice = CompletionChoice(index=index, text=self._begin(index), logprobs=None, finish_reason=None)
            yield self._write(choice, Usage)

    def update(self, update: Update, usage: Callable[[], Usage]) -> Iterator[bytes]:
        choice = self._choice(update.index, update, joined(update.deltas).content, update.finish)
        if update.prompt_logprobs:
            choice.text = self._begin(update.index) + choice.text
        yield self._write(choice, usage)

    def closing(self, usage: Usage) -> Iterable[bytes]:
        return self._chunks.close(self._completion(), usage)

    def error(self, error: RequestError) -> bytes:
        return self._chunks.error(error)

    def _begin(self, index: int) -> str:
        return self._echo[index] if self._echo else ""

    def _choice(self, index: int, gained: Message | Update, text: str, finish: str | None) -> CompletionChoice:
        begin, logprobs = len(self._begin(index)), None
        if self._logprobs:
            logprobs = completion_logprobs(gained.prompt_logprobs, gained.logprobs, begin)
        choice = CompletionChoice(index=index, text=text, logprobs=logprobs, finish_reason=finish)
        if self._prompts:
            choice.token_ids = list(gained.tokens)
        return choice

    def _with_prompt(self, choice: CompletionChoice) -> CompletionChoice:
        if self._prompts:
            choice.prompt_token_ids = list(self._prompts[choice.index])
        return choice

    def _write(self, choice: CompletionChoice, usage: Callable[[], Usage]) -> bytes:
        if choice.index not in self._begun:
            self._begun.add(choice.index)
            choice = self._with_prompt(choice)
        return self._chunks.write(self._completion(choice), usage)

    def _completion(self, *choices: CompletionChoice) -> Completion:
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices))
