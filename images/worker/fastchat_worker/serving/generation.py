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
from fastchat_worker.sampling.score import UNKNOWN
from fastchat_worker.serving.forms import invalid_grammar
from fastchat_worker.serving.models import Generator
from fastchat_worker.serving.prompts import GenerationRequest, Prompts
from fastchat_worker.serving.resuming.progress import NONE, ChoiceProgress, Progress, Resumption, wrong
from fastchat_worker.serving.resuming.replay import ends_before, extend
from fastchat_worker.serving.sampling import parameters_of


class HandedOverError(Exception):
    """The response ends here, to go on elsewhere."""


@dataclass(frozen=True, slots=True)
class Update:
    """What choice `index` gained; the last one of a choice carries its finish reason and which stop text ended it.

    tokens: generated since the last update. logprobs: of the tokens whose text this is, where wanted. prompt_logprobs:
    of the prompt's tokens, with the first update, where wanted. cached: tokens of the prompt that were in the cache,
    with the first update. had: it was made on another worker already.
    """

    index: int
    deltas: Sequence[Delta]
    finish: str | None
    tokens: Sequence[int] = ()
    logprobs: Sequence[LoggedToken] = ()
    prompt_logprobs: Sequence[LoggedToken] = ()
    stop_text: str | None = None
    cached: int | None = None
    had: bool = False


class Generation:
    """Runs the choices of each prompt and hands out their deltas in the order they come.

    After `start` the caller calls `stop`, whether or not it read all updates.

    Where the response began on another worker, `replayed` are the updates that it had there, or else they come first,
    with `had`. Raises then: RequestError 400 where the tokens cannot be those of this request.
    """

    def __init__(
        self,
        generator: Generator,
        prompts: Prompts,
        request: GenerationRequest,
        adapter: LoadedAdapter | None = None,
        resumption: Resumption = NONE,
    ) -> None:
        self.prompts = prompts
        self.resumption = resumption
        self.identity = resumption.identity
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
        self._unfinished = set(range(self.choices))
        self.handed_over = False
        """It ends here, to go on elsewhere."""
        self._unscored: dict[int, int] = {}  # newest tokens of a choice, to be told, whose scores are computed again
        self._late: dict[int, tuple[ChoiceProgress, Finish | None]] = {}  # choices of whose tokens all scores are
        self.replayed_tokens = 0
        """Tokens that were generated on another worker."""
        self.replayed = self._replay(resumption.progress) if resumption.progress else []

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
    def resumed(self) -> bool:
        """The response began on another worker."""
        return self.resumption.progress is not None

    @property
    def digest(self) -> str:
        """Of the model that generates."""
        return self._generator.digest_with(self._adapter)

    @property
    def progress(self) -> Progress:
        """All that it takes to go on elsewhere, after the tokens whose updates were made."""
        identity, choices = self.identity, [self._progress_of(index) for index in range(self.choices)]
        return Progress(created=identity.created, seed=f"{identity.seed:016x}", model=self.digest, choices=choices)

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
        unfinished = [self._sequences[index] for index in sorted(self._unfinished)]
        for index, sequence in zip(sorted(self._unfinished), unfinished, strict=True):
            sequence.owner = owner, sequence.adapter
            sequence.listener = self._listener(index)
        try:
            self._engine.submit(unfinished, key)
        except QueueFullError:
            raise queue_full() from None

    async def updates(self) -> AsyncIterator[Update]:
        """What the choices gain, as it comes.

        Raises: RequestError 500 where the engine failed, 503 where the worker stops; HandedOverError in place of that
        where it may go on elsewhere, and after `hand_over`.
        """
        while self._unfinished:
            await self._wake.wait()
            self._wake.clear()
            while self._arrived and not self.handed_over:
                index, token, finish = self._arrived.popleft()
                if index not in self._unfinished:
                    continue  # generated between the stop text and the engine's next step
                self._check(index, finish)
                if index in self._late:
                    for had in await asyncio.to_thread(self._fed_late, index):
                        yield had
                    if index not in self._unfinished:
                        continue
                told_before = self._told[index]
                update = self._update(index, token, finish)
                if update is None:
                    continue
                if self._parameters.wanted.prompt is not None and not told_before:  # there may be many
                    update = replace(update, prompt_logprobs=await asyncio.to_thread(self._logged_prompt, index))
                yield update
            if self.handed_over and self._unfinished:
                raise HandedOverError

    def hand_over(self) -> None:
        """Ends `updates`. It is called on their event loop."""
        self.handed_over = True
        self._wake.set()

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
                parameters.of_choice(choice, self.identity.sampling_seed(len(self._sequences))),
                wanted=parameters.wanted,
                loaded=self._adapter,
            )
            sequence.grammar = self._grammar() if self._grammar else None
            self._sequences.append(sequence)
            self._outputs.append(
                ChoiceOutput(self._texts, context, ending, self.prompts.parser(), self.prompts.visible)
            )

    def _check(self, index: int, finish: Finish | None) -> None:
        """Raises: what `updates` does, for an end that is none of the text."""
        if finish == "error":
            raise server_error()
        if finish == "grammar":
            raise invalid_grammar(self._reason(index), self._request)
        if finish in ("aborted", "broken"):
            if self.resumption.offered:
                self.handed_over = True
                raise HandedOverError
            raise not_ready("draining" if finish == "aborted" else finish)

    def _update(self, index: int, token: int | None, finish: Finish | None) -> Update | None:
        """What a token, or the end, brings the choice; None where nothing can be told yet."""
        if self.first_token is None:
            self.first_token = time.monotonic() - self._began
        if index in self._unscored:
            self._rescore(index, self._unscored.pop(index))
        update = self._gained(index, token, finish)
        if self._outputs[index].stopped and not finish:  # the engine does not know of stop texts
            self._engine.cancel([self._sequences[index]])
        return update

    def _gained(self, index: int, token: int | None, finish: Finish | None) -> Update | None:
        """What a token, or the end, brings the choice; None where nothing can be told yet."""
        output = self._outputs[index]
        deltas = [] if token is None else self._feed(index, token)
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
        if finish:
            self._unfinished.discard(index)
        tokens = sequence.tokens[told : output.fed]
        logprobs = output.take_logged(final=finish is not None) if self.has_logprobs else ()
        cached = None if told else sequence.reused or 0
        return Update(index, deltas, finish, tokens, logprobs, stop_text=output.stop_text, cached=cached)

    def _replay(self, progress: Progress) -> list[Update]:
        """The updates that the choices had elsewhere, which are here as if they had been made here."""
        if len(progress.choices) > self.choices:
            raise wrong(f"it has {len(progress.choices)} choices, and the request {self.choices}")
        replayed = [self._replayed(index, choice) for index, choice in enumerate(progress.choices)]
        self.replayed_tokens = sum(len(choice.tokens) for choice in progress.choices)
        return [update for updates in replayed for update in updates]

    def _replayed(self, index: int, choice: ChoiceProgress) -> list[Update]:
        sequence, output = self._sequences[index], self._outputs[index]
        finish = extend(sequence, choice, index, self._engine.vocabulary)
        if not self.has_logprobs:
            return self._fed_again(index, choice, finish)
        if (self.prompts.repeats_logprobs or not self._request.stream) and (choice.tokens or finish):
            self._late[index] = choice, finish
            if choice.ended:
                sequence.max_tokens = len(choice.tokens)
            return []
        sequence.scores = [UNKNOWN] * len(choice.tokens)
        updates = self._fed_again(index, choice, finish)
        self._unscored[index] = output.unlogged
        del sequence.scores[len(choice.tokens) - output.unlogged :]
        if updates:  # the first of them has told the scores of the prompt
            sequence.wanted = replace(sequence.wanted, prompt=None)
        return updates

    def _fed_again(self, index: int, choice: ChoiceProgress, finish: Finish | None) -> list[Update]:
        """The updates that the choice had. finish: how its tokens end it, its text aside."""
        output, last = self._outputs[index], len(choice.tokens) - 1
        updates = [self._gained(index, None, finish)] if finish and not choice.tokens else []
        for number, token in enumerate(choice.tokens):
            if output.stopped:
                raise ends_before(index)
            updates.append(self._gained(index, token, finish if number == last else None))
        if choice.ended == (index in self._unfinished):
            raise wrong(f"by its tokens choice {index} has {'not ' * choice.ended}ended")
        return [update for update in updates if update]

    def _fed_late(self, index: int) -> list[Update]:
        """The updates that a choice had, now that all scores are there."""
        updates = [replace(update, had=True) for update in self._fed_again(index, *self._late.pop(index))]
        if updates and self._parameters.wanted.prompt is not None:
            updates[0] = replace(updates[0], prompt_logprobs=self._logged_prompt(index))
        return updates

    def _progress_of(self, index: int) -> ChoiceProgress:
        if index in self._late:
            return self._late[index][0]
        sequence, fed = self._sequences[index], self._outputs[index].fed
        return ChoiceProgress(
            tokens=sequence.tokens[:fed], cached=sequence.reused or 0, ended=index not in self._unfinished
        )

    def _rescore(self, index: int, unscored: int) -> None:
        sequence, output = self._sequences[index], self._outputs[index]
        output.rescore(sequence.scores[output.fed - unscored : output.fed])

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
