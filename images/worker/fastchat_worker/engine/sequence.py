"""One answer being generated: its tokens, how to choose the next one, and how it ended."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from fastchat_worker.sampling.parameters import GREEDY, Sampling

Finish = Literal["stop", "length", "cancelled", "aborted", "error"]


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and the tokens generated after it.

    `cached` counts the tokens, from the first of the prompt on, whose keys and values stand in the cache.
    `listener` hears every token as it comes, on the engine's thread: `listener(token, finish)`; with `cancelled`
    (the caller's wish), `aborted` (the worker stops) and `error` the token is None.
    `key` and `request` say to whom and to what it belongs: they take turns where sequences wait.
    `prefill_at` and `decode_at` are when its prompt began to be read and when its first token was there, on
    time.monotonic's clock.
    """

    prompt: Tokens[int]
    max_tokens: int
    end_tokens: frozenset[int] = frozenset()
    sampling: Sampling = GREEDY
    listener: Callable[[int | None, Finish | None], None] | None = None
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    finish: Finish | None = None
    cancelled: bool = False
    key: str = ""
    request: object = field(default_factory=object)
    prefill_at: float | None = None
    decode_at: float | None = None
    counts: Counter[int] = field(default_factory=Counter)
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.sampling.seed)  # noqa: S311  # sampling is no cryptography

    @property
    def decoding(self) -> bool:
        """The whole prompt is in the cache: each step from here on feeds one token and yields one."""
        return self.cached >= len(self.prompt)

    def append(self, token: int) -> None:
        self.tokens.append(token)
        self.counts[token] += 1
        if token in self.end_tokens:
            self.end("stop", token)
        elif len(self.tokens) >= self.max_tokens:
            self.end("length", token)
        elif self.listener:
            self.listener(token, None)

    def end(self, finish: Finish, token: int | None = None) -> None:
        self.finish = finish
        if self.listener:
            self.listener(token, finish)
