"""What the tokens so far allow and favour as the next one."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from fastchat_worker.sampling.parameters import Sampling


class Constraint(Protocol):
    """The state of one sequence that changes its logits. It holds no tensors; the engine's thread calls it."""

    def mask(self) -> Mapping[int, float]:
        """What is added to the next token's logits, by token id; the mapping is valid until the next `accept`."""

    def accept(self, token: int) -> None:
        """The token was chosen and is part of the sequence from here on."""


class Penalties:
    """`logit_bias`, `presence_penalty` and `frequency_penalty` of OpenAI's reference.

    The penalties count the generated tokens, not those of the prompt.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._counts: Counter[int] = Counter()
        self._mask: dict[int, float] = dict(sampling.logit_bias)

    def mask(self) -> Mapping[int, float]:
        return self._mask

    def accept(self, token: int) -> None:
        sampling = self._sampling
        if not sampling.presence_penalty and not sampling.frequency_penalty:
            return
        self._counts[token] += 1
        penalty = sampling.presence_penalty + sampling.frequency_penalty * self._counts[token]
        self._mask[token] = sampling.logit_bias.get(token, 0.0) - penalty
