"""How the next token is to be chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastchat_worker.sampling.grammar_state import Words


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of a sequence are chosen from logits; names and ranges are those of OpenAI's reference.

    `temperature` 0 takes the likeliest token. `top_k` 0 and `top_p` 1 leave every token in.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """How one token is chosen from its row of logits; plain values.

    `mask` is added to the logits, by token id. `seed` and `position`, the token's index in its sequence with the prompt
    counted, decide the random number. `allowed` are the tokens that a grammar takes, None for all.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    position: int = 0
    mask: Mapping[int, float] = field(default_factory=dict)
    allowed: Words | None = None

    @property
    def draws(self) -> bool:
        """Whether chance has a part in it."""
        return self.temperature > 0

    @property
    def truncates(self) -> bool:
        """Whether unlikely tokens are left out before the draw."""
        return self.draws and (self.top_p < 1 or self.top_k > 0)
