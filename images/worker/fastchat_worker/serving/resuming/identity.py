"""What is random in a response, all of it from one seed, so that another worker says the same."""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

from fastchat.api import now
from fastchat_worker.sampling.noise import splitmix64

_SEEDS = 2**32
"""Of the outputs that a seed begins, the first whose numbers are seeds of choices."""


@dataclass(frozen=True)
class Identity:
    """The 64 bits from which the ids and unseeded draws of a response come, and its time, in seconds since 1970."""

    seed: int = field(default_factory=lambda: secrets.randbits(64))
    created: int = field(default_factory=now)
    _made: Counter[tuple[str, int]] = field(default_factory=Counter, repr=False, compare=False)

    def new_id(self, prefix: str, joint: str = "-", choice: int = 0) -> str:
        """The next id of this prefix in a choice: in which order choices come changes none of them."""
        return f"{prefix}{joint}{self.digest(prefix, choice)}"

    def digest(self, purpose: str, choice: int = 0) -> str:
        """The next 128 bits for a purpose, in hex."""
        number = self._made[purpose, choice] = self._made[purpose, choice] + 1
        text = f"{purpose} {choice} {number}".encode()
        return blake2b(text, key=self.seed.to_bytes(8), digest_size=16).hexdigest()

    def sampling_seed(self, choice: int) -> int:
        """The seed of a choice whose request has none."""
        return splitmix64(self.seed, _SEEDS + choice)
