"""Which sequences take part in the next step."""

from collections.abc import Sequence as Ordered
from dataclasses import dataclass

from fastchat_worker.engine.sequence import Phase, Sequence
from fastchat_worker.engine.turns import Turns
from fastchat_worker.kv.cache import KVCache
from fastchat_worker.kv.edits import Edit


class QueueFullError(Exception):
    """As many sequences wait as may wait."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` … `start + length` of a prompt, read into `slot` in one step."""

    sequence: Sequence
    slot: int
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def completes_prompt(self) -> bool:
        return self.end == len(self.sequence.prompt)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step: row i of `decode` is slot i; each chunk of a prompt follows as rows of its own.

    `edits` are what the cache's tensors have to do before it.
    """

    decode: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]
    edits: tuple[Edit, ...]

    @property
    def sequences(self) -> list[Sequence]:
        return [*self.decode, *(chunk.sequence for chunk in self.chunks)]

    @property
    def sampled(self) -> list[Sequence]:
        """Sequences that get a token from this step, in the order of the logits' rows."""
        return [*self.decode, *(chunk.sequence for chunk in self.chunks if chunk.completes_prompt)]


class Scheduler:
    """Admits waiting sequences by turns of key and request, and splits each step between decoding and reading prompts.

    cache: has room for those that run. budget: tokens a step may carry, so that a long prompt does not stall the
    others for longer than a step of this size. max_waiting: sequences that may wait for room.
    """

    def __init__(self, cache: KVCache[Sequence], budget: int, max_waiting: int) -> None:
        self._cache = cache
        self.budget = max(budget, cache.capacity + 1)
        self.max_waiting = max_waiting
        self.waiting: Turns[Sequence] = Turns()

    @property
    def slots(self) -> int:
        """Sequences that can run at once."""
        return self._cache.capacity

    @property
    def running(self) -> Ordered[Sequence]:
        return self._cache.sequences

    def add(self, sequence: Sequence) -> None:
        self.waiting.add(sequence.key, sequence.request, sequence)

    def schedule(self) -> Batch | None:
        """The next step, or None when there is nothing to do. Its tokens count as cached from here on."""
        while self.waiting and self._cache.allocate(self.waiting.next):
            self.waiting.pop().phase = Phase.PREFILL
        decode = tuple(sequence for sequence in self.running if sequence.phase is Phase.DECODE)
        chunks = self._chunks(first_slot=len(decode))
        if not decode and not chunks:
            return None
        for sequence in decode:
            self._cache.append(sequence, 1)
        for chunk in chunks:
            self._cache.append(chunk.sequence, chunk.length)
            if chunk.completes_prompt:
                chunk.sequence.phase = Phase.DECODE
        return Batch(decode, tuple(chunks), self._cache.take_edits())

    def retire(self) -> None:
        """Drops what has finished and gives its room back."""
        self.waiting.keep(lambda sequence: sequence.phase is not Phase.FINISHED)
        for sequence in [each for each in reversed(self.running) if each.phase is Phase.FINISHED]:
            self._cache.free(sequence)

    def _chunks(self, first_slot: int) -> list[Chunk]:
        chunks, left = [], self.budget - first_slot
        for slot, sequence in enumerate(self.running[first_slot:], first_slot):
            length = min(left, len(sequence.prompt) - sequence.cached)
            if length <= 0:
                break
            chunks.append(Chunk(sequence, slot, sequence.cached, length))
            left -= length
        return chunks
