"""The choices of one request while they are generated."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from fastchat.api import ChatCompletionRequest, CompletionRequest, Usage
from fastchat_worker.chat.template import render
from fastchat_worker.engine.loop import Engine
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.engine.sequence import Finish
from fastchat_worker.engine.sequence import Sequence as Tokens
from fastchat_worker.errors import (
    bad_request,
    context_length_exceeded,
    not_ready,
    queue_full,
    server_error,
    too_many_tokens,
)
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.model.measure import MOST_TOKENS
from fastchat_worker.output.text import TextStream
from fastchat_worker.sampling.parameters import Sampling

_SHORT = 16  # tokens of a completion that asked for no length, as in OpenAI's reference


@dataclass(frozen=True, slots=True)
class Piece:
    """What choice `index` gained; the last piece of a choice carries its finish reason."""

    index: int
    text: str
    finish: str | None


class Answer:
    """Runs the `n` choices of each prompt and hands out their text in the order it comes.

    Whoever starts it stops it, whether or not the client waited for the end.
    """

    def __init__(
        self,
        engine: Engine,
        language_model: LanguageModel,
        prompts: Sequence[list[int]],
        request: ChatCompletionRequest | CompletionRequest,
        max_tokens: int,
    ) -> None:
        n = request.n or 1
        sampling = sampling_of(request)
        self._engine = engine
        self._prompts = prompts
        self.first_piece: float | None = None  # seconds from the request to the first text
        self._sequences: list[Tokens] = []
        self._texts: list[TextStream] = []
        self._heard: deque[tuple[int, int | None, Finish | None]] = deque()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._counted = 0
        self._began = time.monotonic()
        for index in range(len(prompts) * n):
            prompt = prompts[index // n]
            seed = None if sampling.seed is None else sampling.seed + index % n
            sequence = Tokens(
                prompt, max_tokens, language_model.end_tokens, replace(sampling, seed=seed), self._listener(index)
            )
            self._sequences.append(sequence)
            self._texts.append(TextStream(language_model.decode, prompt, request.stops))

    @property
    def usage(self) -> Usage:
        """Tokens so far; a prompt counts once, however many choices it has."""
        prompt = sum(map(len, self._prompts))
        return Usage(prompt_tokens=prompt, completion_tokens=self._counted, total_tokens=prompt + self._counted)

    @property
    def phases(self) -> list[tuple[str, float, float]]:
        """(queue, prefill or decode, when it began, when it ended) as far as it came, on time.monotonic's clock.

        Of several choices the first to get so far counts.
        """
        now = time.monotonic()
        prefill = min((each.prefill_at for each in self._sequences if each.prefill_at), default=now)
        decode = min((each.decode_at for each in self._sequences if each.decode_at), default=now)
        spans = [("queue", self._began, prefill), ("prefill", prefill, decode), ("decode", decode, now)]
        return [span for span in spans if span[1] < now]

    @property
    def prompts(self) -> Sequence[list[int]]:
        """Each of them has as many choices in a row as the request asked for."""
        return self._prompts

    @property
    def choices(self) -> int:
        return len(self._sequences)

    def start(self, key: str = "") -> None:
        """Queues a key's sequences, on the event loop that reads `pieces`; RequestError 429 when the queue is full."""
        self._loop = asyncio.get_running_loop()
        try:
            self._engine.submit(self._sequences, key)
        except QueueFullError:
            raise queue_full() from None

    async def pieces(self) -> AsyncIterator[Piece]:
        """Text as it comes; RequestError 500 when the engine failed, 503 when the worker stops."""
        unfinished = set(range(self.choices))
        while unfinished:
            await self._wake.wait()
            self._wake.clear()
            while self._heard:
                piece = self._piece(*self._heard.popleft(), unfinished)
                if piece is not None:
                    yield piece

    def stop(self) -> None:
        """Takes what is unfinished out of the engine."""
        self._engine.cancel([sequence for sequence in self._sequences if not sequence.finish])

    def _piece(self, index: int, token: int | None, finish: Finish | None, unfinished: set[int]) -> Piece | None:
        if index not in unfinished:
            return None  # generated between the stop text and the engine's next step
        if finish == "error":
            raise server_error()
        if finish == "aborted":
            raise not_ready("draining")
        text = self._texts[index]
        new = ""
        if token is not None:
            self._counted += 1
            new = text.feed(token)
        if self.first_piece is None:
            self.first_piece = time.monotonic() - self._began
        if finish:
            new += text.flush()
        reason = "stop" if text.stopped else finish
        if reason:
            unfinished.discard(index)
        if text.stopped and not finish:  # the engine does not know of stop texts
            self._engine.cancel([self._sequences[index]])
        return Piece(index, new, reason) if new or reason else None

    def _listener(self, index: int) -> Callable[[int | None, Finish | None], None]:
        def hear(token: int | None, finish: Finish | None) -> None:
            self._heard.append((index, token, finish))
            if len(self._heard) == 1 and not self._loop.is_closed():  # else a call is under way that will see this one
                self._loop.call_soon_threadsafe(self._wake.set)

        return hear


def sampling_of(request: ChatCompletionRequest | CompletionRequest) -> Sampling:
    """The request's sampling, null fields at OpenAI's defaults."""
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(request.top_k or 0, 0),
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
        seed=request.seed,
    )


def chat_answer(engine: Engine, language_model: LanguageModel, request: ChatCompletionRequest) -> Answer:
    """The answer to a conversation; without a limit it may take the rest of the context."""
    _check_number(engine, 1, request.n or 1)
    prompt = language_model.rendered_tokens(render(language_model.tokenizer, request.messages), "messages")
    limit = _fit(language_model, prompt, request.limit, "messages")
    return Answer(engine, language_model, [prompt], request, limit)


def completion_answer(engine: Engine, language_model: LanguageModel, request: CompletionRequest) -> Answer:
    """The answers to one or more prompts, given as text or as tokens."""
    _check_number(engine, len(request.prompts), request.n or 1)
    prompts, left = [], max(MOST_TOKENS, language_model.max_len)
    for each in request.prompts:
        tokens = (
            language_model.tokens(each, "prompt") if isinstance(each, str) else language_model.checked(each, "prompt")
        )
        left -= len(tokens)
        if left < 0:
            raise too_many_tokens(MOST_TOKENS, "prompt")
        prompts.append(tokens)
    if not all(prompts):
        raise bad_request("The prompt is empty.", "prompt")
    limit = min(_fit(language_model, prompt, request.max_tokens or _SHORT, "prompt") for prompt in prompts)
    return Answer(engine, language_model, prompts, request, limit)


def _check_number(engine: Engine, prompts: int, n: int) -> None:
    """Refuse before any work is done what would keep others out for long."""
    if prompts * n > engine.max_per_request:
        message = (
            f"This request asks for {prompts * n} answers ({prompts} prompts, n={n} for each); this worker takes "
            f"at most {engine.max_per_request} in one request (--max-sequences-per-request): send several."
        )
        raise bad_request(message, "n" if n > 1 else "prompt", "too_many_sequences")


def echoed(language_model: LanguageModel, answer: Answer) -> list[str]:
    """What each choice begins with, where the prompt is to be a part of the answer."""
    texts = [language_model.decode(prompt) for prompt in answer.prompts]
    return [text for text in texts for _ in range(answer.choices // len(texts))]


def _fit(language_model: LanguageModel, prompt: Sequence[int], wanted: int | None, param: str) -> int:
    """Tokens the answer may have; RequestError where prompt and answer do not fit the context."""
    room = language_model.max_len - len(prompt)
    if room < 1:
        raise context_length_exceeded(language_model.max_len, f"your prompt has {len(prompt)} tokens", param)
    if wanted is not None and wanted > room:
        message = f"you asked for {len(prompt) + wanted} tokens: {len(prompt)} in the {param}, {wanted} in the answer"
        raise context_length_exceeded(language_model.max_len, message, param)
    return wanted or room
