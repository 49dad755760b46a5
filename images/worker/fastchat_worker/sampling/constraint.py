"""What the tokens so far allow and favour as the next one."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf
from typing import Protocol

from fastchat_worker.sampling.parameters import Sampling


class Constraint(Protocol):
    """The state of one sequence that changes its logits. It holds no tensors; the engine's thread calls it."""

    def mask(self) -> Mapping[int, float]:
        """What is added to the next token's logits, by token id; the mapping is valid until the next `accept`."""

    def accept(self, token: int) -> None:
        """The token was chosen and is part of the sequence from here on."""


class Penalties:
    """`logit_bias`, the penalties and `min_tokens`.

    Presence and frequency count the generated tokens, not those of the prompt (OpenAI's reference); repetition is about
    both (vLLM's). `end_tokens` are banned until there are `min_tokens`.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = (), end_tokens: Iterable[int] = ()) -> None:
        self._sampling = sampling
        self._counts: Counter[int] = Counter()
        self._mask: dict[int, float] = dict(sampling.logit_bias)
        self._banned = tuple(end_tokens) if sampling.min_tokens else ()
        self._left = sampling.min_tokens
        self._mask.update(dict.fromkeys(self._banned, -inf))
        self._seen = dict.fromkeys(prompt) if sampling.repetition_penalty != 1 else {}
        self.seen: list[int] = list(self._seen)
        """Tokens that `repetition_penalty` is about, each once; it grows."""

    def mask(self) -> Mapping[int, float]:
        return self._mask

    def accept(self, token: int) -> None:
        self._left -= 1
        if self._banned and self._left == 0:
            self._allow_end()
        sampling = self._sampling
        if sampling.repetition_penalty != 1 and token not in self._seen:
            self._seen[token] = None
            self.seen.append(token)
        if not sampling.presence_penalty and not sampling.frequency_penalty:
            return
        self._counts[token] += 1
        penalty = sampling.presence_penalty + sampling.frequency_penalty * self._counts[token]
        self._mask[token] = sampling.logit_bias.get(token, 0.0) - penalty

    def _allow_end(self) -> None:
        for token in self._banned:
            del self._mask[token]
            if token in self._sampling.logit_bias:
                self._mask[token] = self._sampling.logit_bias[token]
        self._banned = ()
