"""What the scheduler asks of a cache: room for sequences. Which tensors hold the keys and values is not said here."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastchat_worker.kv.edits import Edit


class Cached(Protocol):
    """A sequence as the cache sees it. `cached`: tokens, from the first on, whose keys and values it holds.

    `reused`: how many of them were there when it got room first; None before. `owner`: sequences of the same owner may
    use each other's keys and values. `to_read`: tokens that are read before it decodes.
    """

    cached: int
    reused: int | None
    owner: Hashable
    to_read: int

    @property
    def prompt_cached(self) -> bool:
        """The whole prompt is in the cache."""

    @property
    def reusable(self) -> int:
        """Tokens, from the first on, that it need not read itself."""

    @property
    def failed(self) -> bool:
        """What it computed cannot be relied on."""

    def read(self, start: int, end: int) -> Sequence[int]:
        """Tokens `start` … `end`."""


T = TypeVar("T", bound=Cached)


@dataclass(frozen=True, slots=True)
class Match:
    """Tokens of a new sequence, from its first on, that need not be read: `held` are there, `coming` ones are just
    being read by a sequence that runs."""

    held: int = 0
    coming: int = 0

    @classmethod
    def of(cls, sequence: T, held: int, running: Sequence[T], least: int) -> "Match":
        """Of what others are just reading, only so many tokens count."""
        soon = max((common(sequence, each, each.to_read) for each in running if not each.prompt_cached), default=0)
        return cls(held, soon - held if soon > held and soon >= least else 0)


def common(sequence: T, other: T, length: int) -> int:
    """How much of what a new sequence need not read is the beginning of another one, of which so many tokens count."""
    if sequence.owner != other.owner:
        return 0
    most = min(length, sequence.reusable)
    return common_prefix(list(sequence.read(0, most)), list(other.read(0, most)), most)


def common_prefix(first: Sequence[int], second: Sequence[int], most: int) -> int:
    """With how many tokens both begin, at most so many; both are lists, or both are tuples."""
    same, end = 0, min(len(first), len(second), most)
    while same < end:
        middle = (same + end + 1) // 2
        if first[same:middle] == second[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same


@dataclass(slots=True)
class Lookups:
    """Tokens of new sequences since the cache was made: `asked` were looked for, `found` were there."""

    asked: int = 0
    found: int = 0

    def count(self, sequence: Cached, found: int) -> None:
        """A sequence gets room, with so many tokens that are held already."""
        sequence.cached = found
        if sequence.reused is None:
            sequence.reused = found
            self.asked += sequence.to_read
            self.found += found


class KVCache(Protocol[T]):
    """Room for the keys and values of sequences, which stay where they are until the room is needed.

    A new sequence takes over what there is of its beginning, of running sequences and of those that have ended.
    """

    @property
    def lookups(self) -> Lookups:
        """What was looked for so far, and what was found."""

    @property
    def capacity(self) -> int:
        """Sequences that can have room at once."""

    @property
    def sequences(self) -> Sequence[T]:
        """Those that have room, in the order in which the rows of a step have to stand."""

    @property
    def in_use(self) -> int:
        """Tokens for which those have room; what several share counts once."""

    @property
    def kept(self) -> int:
        """Tokens of sequences that have ended."""

    def match(self, sequence: T) -> Match:
        """How much of a new sequence need not be read."""

    def allocate(self, sequence: T) -> bool:
        """Makes room for a new sequence, and says in `cached` what is there of it; False where there is none."""

    def append(self, sequence: T, tokens: int) -> None:
        """The next step stores so many more tokens of the sequence."""

    def reserve(self, sequence: T, tokens: int) -> int:
        """How many tokens the next step may write behind those that are stored, which count only once appended."""

    def free(self, sequence: T) -> None:
        """Gives the sequence's room back. What it read stays to be found, unless it failed."""

    def reset(self) -> None:
        """Takes everybody's room and forgets all, because what the tensors hold cannot be relied on."""

    def take_edits(self) -> tuple[Edit, ...]:
        """What the tensors have to do before the next step, in this order. Each is handed out once."""
