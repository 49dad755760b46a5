"""One completion while it is generated: its tokens, how the next one is chosen, and how it ended."""

import secrets
from collections.abc import Callable, Hashable
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from fastchat_worker.engine.adapters import LoadedAdapter
from fastchat_worker.sampling.constraint import Penalties
from fastchat_worker.sampling.grammar_state import GrammarState
from fastchat_worker.sampling.parameters import GREEDY, Choice, Sampling
from fastchat_worker.sampling.score import Score

Finish = Literal["stop", "length", "cancelled", "aborted", "broken", "error", "grammar"]


class Phase(Enum):
    """Where a sequence stands; it passes through these in order and may leave out all but the last.

    After a step that failed it begins anew, with the tokens that it has as part of its prompt; so does a sequence that
    began on another worker.
    """

    WAITING = "waiting"
    """For room in the cache."""
    PREFILL = "prefill"
    """Its prompt is read, in one step or several."""
    DECODE = "decode"
    """The whole prompt is in the cache: each step feeds one token and yields one."""
    FINISHED = "finished"
    """`finish` says how."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Log probabilities that a sequence is to have, each with so many of the likeliest tokens; None: none at all."""

    tokens: int | None = None
    prompt: int | None = None


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and the tokens generated after it. With `max_tokens` 0 the prompt is read, and that is all.

    `cached` counts the tokens, from the first of the prompt on, whose keys and values stand in the cache.
    `to_read` are those that have to before it decodes.
    `listener` hears every token as it comes, on the engine's thread: `listener(token, finish)`; with `cancelled`
    (the caller's wish), `aborted` (the worker stops), `broken` (no step can work any more), `error` and `grammar`
    (which says why it cannot be kept) the token is None.
    `scores` and `prompt_scores` are there as far as `wanted` says: one for each of `tokens`, from before the listener
    hears of it, and one for each token of the prompt but its first.
    `owner` says with whose sequences it may share what is in the cache, `reused` how much of it was there already when
    it first got room.
    `key` and `request` say to whom and to what it belongs: they take turns where sequences wait.
    `prefill_at` and `decode_at` are when its prompt began to be read and when its first token was there, on
    time.monotonic's clock.
    `seed` is that of its sampling, or one drawn by chance where the request has none.
    `loaded` is the adapter that it runs with, which stays loaded for as long as the sequence is there.
    """

    prompt: Tokens[int]
    max_tokens: int
    end_tokens: frozenset[int] = frozenset()
    sampling: Sampling = GREEDY
    listener: Callable[[int | None, Finish | None], None] | None = None
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    phase: Phase = Phase.WAITING
    finish: Finish | None = None
    key: str = ""
    owner: Hashable = ""
    reused: int | None = None
    request: object = field(default_factory=object)
    prefill_at: float | None = None
    decode_at: float | None = None
    grammar: GrammarState | None = None
    wanted: Wanted = Wanted()
    loaded: LoadedAdapter | None = None
    scores: list[Score] = field(default_factory=list)
    prompt_scores: list[Score] = field(default_factory=list)
    seed: int = field(init=False)
    to_read: int = field(init=False)
    constraint: Penalties = field(init=False)

    def __post_init__(self) -> None:
        self.seed = secrets.randbits(64) if self.sampling.seed is None else self.sampling.seed
        self.to_read = len(self.prompt)
        if self.loaded:  # what it reads is not what the base, or another adapter, makes of the same tokens
            self.owner = self.owner, self.adapter
        self.constraint = Penalties(self.sampling, self.prompt, self.end_tokens)

    @property
    def adapter(self) -> str | None:
        """Key of its adapter, another for each time that one is loaded: keys and values of two are never the same."""
        return self.loaded.key if self.loaded else None

    @property
    def prompt_cached(self) -> bool:
        return self.cached >= self.to_read

    @property
    def reusable(self) -> int:
        """Tokens, from the first on, that it need not read: it needs logits after the last and after those scored."""
        return min(self.to_read - 1, self.unscored.start) if self.unscored else self.to_read - 1

    @property
    def unscored(self) -> range:
        """Positions after which the next token is known and its score is wanted, but not there yet."""
        prompt = len(self.prompt)
        last = prompt if self.wanted.tokens is None else self.to_read
        if self.wanted.prompt is not None and len(self.prompt_scores) < prompt - 1:
            return range(len(self.prompt_scores), last - 1)
        return range(prompt + len(self.scores) - 1, last - 1)

    @property
    def failed(self) -> bool:
        """What it computed cannot be relied on."""
        return self.finish == "error"

    @property
    def choice(self) -> Choice:
        """How its next token is chosen, given the logits after the last."""
        sampling, position = self.sampling, len(self.prompt) + len(self.tokens)
        return Choice(
            sampling.temperature, sampling.top_p, sampling.top_k, self.seed, position, self.constraint.mask(),
            sampling.min_p, sampling.repetition_penalty, self.constraint.seen, self.wanted.tokens,
        )  # fmt: skip

    def read(self, start: int, end: int) -> Tokens[int]:
        """Tokens `start` … `end` of the prompt and what was generated after it."""
        prompt = len(self.prompt)
        if end <= prompt:
            return self.prompt[start:end]
        return [*self.prompt[start:], *self.tokens[max(start - prompt, 0) : end - prompt]]

    def likeliest_at(self, position: int) -> int:
        """How many of the likeliest tokens are wanted with the score of the one at this position."""
        return (self.wanted.prompt if position < len(self.prompt) else self.wanted.tokens) or 0

    def add_scores(self, scores: Tokens[Score]) -> None:
        """The next of those that `unscored` says are wanted."""
        of_prompt = 0 if self.wanted.prompt is None else max(len(self.prompt) - 1 - len(self.prompt_scores), 0)
        self.prompt_scores += scores[:of_prompt]
        self.scores += scores[of_prompt:]

    def begin_anew(self) -> None:
        """Nothing of it is in the cache, or not any more; what it generated stays and is read like a prompt."""
        self.cached, self.to_read, self.phase = 0, len(self.prompt) + len(self.tokens), Phase.WAITING

    def append(self, token: int, score: Score | None = None) -> None:
        self.tokens.append(token)
        if score:
            self.scores.append(score)
        self.constraint.accept(token)
        if token in self.end_tokens or self._completes(token):
            self.end("stop", token)
        elif len(self.tokens) >= self.max_tokens:
            self.end("length", token)
        elif self.listener:
            self.listener(token, None)

    def _completes(self, token: int) -> bool:
        """Whether nothing can follow this token."""
        if self.grammar is None:
            return False
        self.grammar.accept(token)
        return self.grammar.complete

    def end(self, finish: Finish, token: int | None = None) -> None:
        self.phase, self.finish = Phase.FINISHED, finish
        if self.listener:
            self.listener(token, finish)
