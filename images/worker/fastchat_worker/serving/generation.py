"""The choices of one request while they are generated: prompts → sequences → deltas."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from fastchat.api import CompletionTokensDetails, PromptTokensDetails, Usage
from fastchat_worker.engine.adapters import LoadedAdapter
from fastchat_worker.engine.scheduler import QueueFullError
from fastchat_worker.engine.sequence import Finish
from fastchat_worker.engine.sequence import Sequence as TokenSequence
from fastchat_worker.errors import not_ready, queue_full, server_error
from fastchat_worker.output.choice import ChoiceOutput, Ending
from fastchat_worker.output.logprobs import LoggedToken, logged_prompt
from fastchat_worker.output.parser import Delta
from fastchat_worker.output.text import context_of
from fastchat_worker.sampling.grammar_state import GrammarError, GrammarState
from fastchat_worker.serving.forms import invalid_grammar
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.prompts import GenerationRequest, Prompts
from fastchat_worker.serving.sampling import parameters_of


@dataclass(frozen=True, slots=True)
class Update:
    """What choice `index` gained; the last one of a choice carries its finish reason and which stop text ended it.

    tokens: generated since the last update. logprobs: of the tokens whose text this is, where wanted. prompt_logprobs:
    of the prompt's tokens, with the first update, where wanted.
    """

    index: int
    deltas: Sequence[Delta]
    finish: str | None
    tokens: Sequence[int] = ()
    logprobs: Sequence[LoggedToken] = ()
    prompt_logprobs: Sequence[LoggedToken] = ()
    stop_text: str | None = None


class Generation:
    """Runs the choices of each prompt and hands out their deltas in the order they come.

    After `start` the caller calls `stop`, whether or not it read all updates.
    """

    def __init__(
        self,
        generator: Generator,
        prompts: Prompts,
        request: GenerationRequest,
        adapter: LoadedAdapter | None = None,
    ) -> None:
        self.prompts = prompts
        self.first_token: float | None = None
        """Seconds from the request to the first token."""
        self._generator = generator
        self._engine = generator.engine
        self._request = request
        self._adapter = adapter
        self._texts = generator.texts_of(request)
        self._parameters = parameters_of(request, generator.language_model, prompts)
        self._grammar = _compiled(generator, prompts.grammar, request)
        self._sequences: list[TokenSequence] = []
        self._outputs: list[ChoiceOutput] = []
        self._arrived: deque[tuple[int, int | None, Finish | None]] = deque()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._counted = 0
        self._began = time.monotonic()
        ending = Ending(prompts.stops, bool(request.include_stop_str_in_output), request.min_tokens or 0)
        for prompt in prompts.tokens:
            self._add_choices(prompt, ending)
        self._told = [0] * self.choices  # tokens of each choice that updates have had

    @property
    def echo(self) -> list[str]:
        """The text that each choice of the response begins with; empty where none does."""
        return [text for text in self.prompts.echo for _ in range(self._parameters.n)]

    @property
    def prompt_tokens(self) -> list[list[int]]:
        """The prompt's tokens of each choice of the response."""
        return [prompt for prompt in self.prompts.tokens for _ in range(self._parameters.n)]

    @property
    def choices(self) -> int:
        """As many in a row for each prompt."""
        return len(self._sequences)

    @property
    def has_logprobs(self) -> bool:
        """Whether updates carry them; a response of it may take a while to write."""
        return self._parameters.wanted.tokens is not None

    @property
    def returned(self) -> list[int]:
        """The choices of the response: `n` for each prompt, those with the highest mean log probability first.

        Where no more than `n` were generated, all in their order.
        """
        n, generated = self._parameters.n, self._parameters.generated
        groups = [range(first, first + generated) for first in range(0, self.choices, generated)]
        if n == generated:
            return list(range(self.choices))
        return [choice for group in groups for choice in sorted(group, key=self._mean_logprob, reverse=True)[:n]]

    @property
    def usage(self) -> Usage:
        """Tokens so far; a prompt counts once, however many choices it has."""
        prompt = sum(map(len, self.prompts.tokens))
        reasoning = sum(output.reasoning_tokens for output in self._outputs)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=self._counted,
            total_tokens=prompt + self._counted,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=self._cached_tokens),
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning),
        )

    @property
    def _cached_tokens(self) -> int:
        """Of the prompts, those that nobody had to read: of several choices the one that found least says so."""
        found = [sequence.reused or 0 for sequence in self._sequences]
        generated = self._parameters.generated
        return sum(min(found[first : first + generated]) for first in range(0, len(found), generated))

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
        owner = self._generator.owner(key, self._request)
        for sequence in self._sequences:
            sequence.owner = owner, sequence.adapter
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
                told_before = self._told[index]
                update = self._update(index, token, finish)
                if update is None:
                    continue
                if update.finish:
                    unfinished.discard(index)
                if self._parameters.wanted.prompt is not None and not told_before:  # there may be many
                    update = replace(update, prompt_logprobs=await asyncio.to_thread(self._logged_prompt, index))
                yield update

    def stop(self) -> None:
        """Takes what is unfinished out of the engine."""
        self._engine.cancel([sequence for sequence in self._sequences if not sequence.finish])

    def _add_choices(self, prompt: list[int], ending: Ending) -> None:
        parameters, context = self._parameters, context_of(self._texts, prompt)
        for choice in range(parameters.generated):
            sequence = TokenSequence(
                prompt,
                self.prompts.max_tokens,
                parameters.end_tokens,
                parameters.of_choice(choice),
                self._listener(len(self._sequences)),
                wanted=parameters.wanted,
                loaded=self._adapter,
            )
            sequence.grammar = self._grammar() if self._grammar else None
            self._sequences.append(sequence)
            self._outputs.append(
                ChoiceOutput(self._texts, context, ending, self.prompts.parser(), self.prompts.visible)
            )

    def _update(self, index: int, token: int | None, finish: Finish | None) -> Update | None:
        """What a token, or the end, brings the choice; None where nothing can be told yet."""
        if finish == "error":
            raise server_error()
        if finish == "grammar":
            raise invalid_grammar(self._reason(index), self._request)
        if finish in ("aborted", "broken"):
            raise not_ready("draining" if finish == "aborted" else finish)
        if self.first_token is None:
            self.first_token = time.monotonic() - self._began
        output = self._outputs[index]
        deltas = [] if token is None else self._feed(index, token)
        if output.stopped and not finish:  # the engine does not know of stop texts
            self._engine.cancel([self._sequences[index]])
        if output.stopped or finish:
            deltas += output.end()
            finish = "stop" if output.stopped else finish
        return self._told_of(index, deltas, finish) if deltas or finish else None

    def _feed(self, index: int, token: int) -> list[Delta]:
        self._counted += 1
        sequence, output = self._sequences[index], self._outputs[index]
        score = sequence.scores[output.fed] if self.has_logprobs else None
        return output.feed(token, score, ends=token in sequence.end_tokens)

    def _told_of(self, index: int, deltas: Sequence[Delta], finish: Finish | None) -> Update:
        sequence, output, told = self._sequences[index], self._outputs[index], self._told[index]
        self._told[index] = output.fed
        tokens = sequence.tokens[told : output.fed]
        logprobs = output.take_logged(final=finish is not None) if self.has_logprobs else ()
        return Update(index, deltas, finish, tokens, logprobs, stop_text=output.stop_text)

    def _logged_prompt(self, index: int) -> list[LoggedToken]:
        sequence, offsets = self._sequences[index], self.prompts.offsets[index // self._parameters.generated]
        return logged_prompt(self._texts, sequence.prompt, sequence.prompt_scores, offsets)

    def _mean_logprob(self, index: int) -> float:
        scores = self._sequences[index].scores
        return sum(score.logprob for score in scores) / max(len(scores), 1)

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
