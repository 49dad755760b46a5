"""The choices of one request while they are generated: prompts → sequences → deltas."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from fastchat.api import CompletionTokensDetails, PromptTokensDetails, Usage
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.engine.sequence import Finish
from fastchat_worker.engine.sequence import Sequence as TokenSequence
from fastchat_worker.errors import not_ready, queue_full, server_error
from fastchat_worker.output.choice import ChoiceOutput
from fastchat_worker.output.parser import Delta
from fastchat_worker.sampling.grammar_state import GrammarError, GrammarState
from fastchat_worker.sampling.parameters import Sampling
from fastchat_worker.serving.forms import invalid_grammar
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.prompts import GenerationRequest, Prompts


@dataclass(frozen=True, slots=True)
class Update:
    """What choice `index` gained; the last one of a choice carries its finish reason, and which stop text ended it."""

    index: int
    deltas: Sequence[Delta]
    finish: str | None
    stop_text: str | None = None


class Generation:
    """Runs the `n` choices of each prompt and hands out their deltas in the order they come.

    After `start` the caller calls `stop`, whether or not it read all updates.
    """

    def __init__(self, generator: Generator, prompts: Prompts, request: GenerationRequest) -> None:
        self._prompts = prompts
        self.first_token: float | None = None
        """Seconds from the request to the first token."""
        self._engine = generator.engine
        self._request = request
        self._sequences: list[TokenSequence] = []
        self._outputs: list[ChoiceOutput] = []
        self._arrived: deque[tuple[int, int | None, Finish | None]] = deque()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._counted = 0
        self._began = time.monotonic()
        model, sampling, n = generator.language_model, sampling_of(request), request.n or 1
        ends = model.end_tokens | prompts.end_tokens
        grammar = _compiled(generator, prompts.grammar, request)
        for prompt in prompts.tokens:
            for choice in range(n):
                own = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + choice)
                listener = self._listener(len(self._sequences))
                sequence = TokenSequence(prompt, prompts.max_tokens, ends, own, listener)
                sequence.grammar = grammar() if grammar else None
                self._sequences.append(sequence)
                self._outputs.append(
                    ChoiceOutput(model.decode, prompt, prompts.stops, prompts.parser(), prompts.visible)
                )

    @property
    def echo(self) -> list[str]:
        """The text that each choice begins with; empty where none does."""
        n = self.choices // len(self._prompts.tokens)
        return [text for text in self._prompts.echo for _ in range(n)]

    @property
    def choices(self) -> int:
        """`n` in a row for each prompt."""
        return len(self._sequences)

    @property
    def usage(self) -> Usage:
        """Tokens so far; a prompt counts once, however many choices it has."""
        prompt = sum(map(len, self._prompts.tokens))
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=self._counted,
            total_tokens=prompt + self._counted,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=0),
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=0),
        )

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

    def start(self, key: str = "") -> None:
        """Queues the sequences as those of an API key, on the event loop that reads `updates`.

        Raises: RequestError 429 where the queue is full.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._engine.submit(self._sequences, key)
        except QueueFullError:
            raise queue_full() from None

    async def updates(self) -> AsyncIterator[Update]:
        """What the choices gain, as it comes.

        Raises: RequestError 500 where the engine failed, 503 where the worker stops.
        """
        unfinished = set(range(self.choices))
        while unfinished:
            await self._wake.wait()
            self._wake.clear()
            while self._arrived:
                index, token, finish = self._arrived.popleft()
                if index not in unfinished:
                    continue  # generated between the stop text and the engine's next step
                update = self._update(index, token, finish)
                if update.finish:
                    unfinished.discard(index)
                if update.deltas or update.finish:
                    yield update

    def stop(self) -> None:
        """Takes what is unfinished out of the engine."""
        self._engine.cancel([sequence for sequence in self._sequences if not sequence.finish])

    def _update(self, index: int, token: int | None, finish: Finish | None) -> Update:
        if finish == "error":
            raise server_error()
        if finish == "grammar":
            raise invalid_grammar(self._reason(index), self._request)
        if finish == "aborted":
            raise not_ready("draining")
        if self.first_token is None:
            self.first_token = time.monotonic() - self._began
        output, deltas = self._outputs[index], []
        if token is not None:
            self._counted += 1
            deltas += output.feed(token)
        if output.stopped and not finish:  # the engine does not know of stop texts
            self._engine.cancel([self._sequences[index]])
        if output.stopped or finish:
            deltas += output.end()
        return Update(index, deltas, "stop" if output.stopped else finish, stop_text=output.stop_text)

    def _reason(self, index: int) -> str:
        """Why a choice could not keep its grammar."""
        grammar = self._sequences[index].grammar
        return grammar.error if grammar else ""

    def _listener(self, index: int) -> Callable[[int | None, Finish | None], None]:
        def listener(token: int | None, finish: Finish | None) -> None:
            self._arrived.append((index, token, finish))
            # With more than one waiting, a call is under way that will see this one.
            if len(self._arrived) == 1 and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._wake.set)

        return listener


def _compiled(
    generator: Generator, grammar: str | None, request: GenerationRequest
) -> Callable[[], GrammarState] | None:
    """Makes a choice's state in the grammar. Raises: RequestError 400 where it cannot be used."""
    if grammar is None:
        return None
    try:
        return generator.grammars.compile(grammar)
    except GrammarError as error:
        raise invalid_grammar(error, request) from None


def sampling_of(request: GenerationRequest) -> Sampling:
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
