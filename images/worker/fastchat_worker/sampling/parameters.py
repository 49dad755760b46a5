"""How the next token is to be chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastchat_worker.sampling.grammar_state import Words

_COLDEST = 1e-5
"""A lower temperature takes the likeliest token: logits divided by it would leave what float32 can tell apart."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of a sequence are chosen from logits; names and ranges are those of OpenAI's and vLLM's reference.

    `temperature` 0 and `top_p` 0 take the likeliest token. `top_k` 0, `top_p` 1 and `min_p` 0 leave every token in.
    `repetition_penalty` 1 and `min_tokens` 0 change nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """How one token is chosen from its row of logits; plain values.

    `seen` are the tokens that `repetition_penalty` makes less likely, each once. `mask` is added to the logits, by
    token id. `seed` and `position`, the token's index in its sequence with the prompt counted, decide the random
    number. `allowed` are the tokens that a grammar takes, None for all. `logprobs`: how many of the likeliest tokens
    are told with the chosen one's log probability; None: nothing.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    position: int = 0
    mask: Mapping[int, float] = field(default_factory=dict)
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seen: Sequence[int] = ()
    logprobs: int | None = None
    allowed: Words | None = None

    @property
    def draws(self) -> bool:
        """Whether chance has a part in it."""
        return self.temperature >= _COLDEST and self.top_p > 0

    @property
    def truncates(self) -> bool:
        """Whether unlikely tokens are left out before the draw."""
        return self.draws and (self.top_p < 1 or self.top_k > 0 or self.min_p > 0)
