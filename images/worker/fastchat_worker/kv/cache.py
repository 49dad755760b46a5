"""What the scheduler asks of a cache: room for sequences. Which tensors hold the keys and values is not said here."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from fastchat_worker.kv.edits import Edit


class Cached(Protocol):
    """A sequence as the cache sees it. `cached`: tokens, from the first on, whose keys and values it holds."""

    cached: int

    @property
    def prompt_cached(self) -> bool:
        """The whole prompt is in the cache."""


T = TypeVar("T", bound=Cached)


class KVCache(Protocol[T]):
    """Room for the keys and values of sequences. There is no lookup by prefix: nothing of an ended sequence is kept."""

    @property
    def capacity(self) -> int:
        """Sequences that can have room at once."""

    @property
    def sequences(self) -> Sequence[T]:
        """Those that have room, in the order in which the rows of a step have to stand."""

    def allocate(self, sequence: T) -> bool:
        """Makes room for a new sequence; False where there is none."""

    def append(self, sequence: T, tokens: int) -> None:
        """The next step stores so many more tokens of the sequence."""

    def free(self, sequence: T) -> None:
        """Gives the sequence's room back."""

    def reset(self) -> None:
        """Takes everybody's room, because what the tensors hold cannot be relied on."""

    def take_edits(self) -> tuple[Edit, ...]:
        """What the tensors have to do before the next step, in this order. Each is handed out once."""
