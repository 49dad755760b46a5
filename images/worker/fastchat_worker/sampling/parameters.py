"""How the next token is to be chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen from the logits; names and ranges are those of OpenAI's reference.

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
