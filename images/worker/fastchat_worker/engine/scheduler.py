"""Which sequences take part in the next step, and in which cache slot each one lives.

A sequence's slot is its place in `running`. Those that decode come first and those whose prompt is still being read
follow in the order they came, so the decode rows of a step are always the slots 0, 1, … without a hole.
"""

from dataclasses import dataclass

from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.engine.turns import Turns
from fastchat_worker.kv.edits import Move


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
    """One step: row i of `decode` is slot i; each chunk of a prompt follows as rows of its own."""

    decode: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]

    @property
    def sampled(self) -> list[Sequence]:
        """Sequences that get a token from this step, in the order of the logits' rows."""
        return [*self.decode, *(chunk.sequence for chunk in self.chunks if chunk.completes_prompt)]


class Scheduler:
    """Admits waiting sequences by turns of key and request, and splits each step between decoding and reading prompts.

    slots: sequences that run at once. budget: tokens a step may carry, so that a long prompt does not stall the
    others for longer than a step of this size. max_waiting: sequences that may wait for a slot.
    """

    def __init__(self, slots: int, budget: int, max_waiting: int) -> None:
        self.slots = slots
        self.budget = max(budget, slots + 1)
        self.max_waiting = max_waiting
        self.waiting: Turns[Sequence] = Turns()
        self.running: list[Sequence] = []

    def add(self, sequence: Sequence) -> None:
        self.waiting.add(sequence.key, sequence.request, sequence)

    def schedule(self) -> Batch | None:
        """The next step, or None when there is nothing to do. Its tokens count as cached from here on."""
        while self.waiting and len(self.running) < self.slots:
            self.running.append(self.waiting.pop())
        decode = tuple(sequence for sequence in self.running if sequence.decoding)
        chunks = self._chunks(first_slot=len(decode))
        if not decode and not chunks:
            return None
        for sequence in decode:
            sequence.cached += 1
        for chunk in chunks:
            chunk.sequence.cached = chunk.end
        return Batch(decode, tuple(chunks))

    def _chunks(self, first_slot: int) -> list[Chunk]:
        chunks, left = [], self.budget - first_slot
        for slot, sequence in enumerate(self.running[first_slot:], first_slot):
            length = min(left, len(sequence.prompt) - sequence.cached)
            if length <= 0:
                break
            chunks.append(Chunk(sequence, slot, sequence.cached, length))
            left -= length
        return chunks

    def retire(self) -> list[Move]:
        """Drops what has ended and closes the holes it leaves; returns what the cache has to copy, in this order."""
        self.waiting.keep(lambda sequence: not sequence.finish)
        moves: list[Move] = []
        for slot in reversed(range(len(self.running))):
            if self.running[slot].finish:
                moves += self._close(slot)
        return moves

    def _close(self, hole: int) -> list[Move]:
        moves = []
        last = sum(sequence.decoding for sequence in self.running) - 1
        if hole < last:  # the last one that decodes fills the hole
            moves.append(Move(last, hole, self.running[last].cached))
            self.running[hole], hole = self.running[last], last
        for slot in range(hole, len(self.running) - 1):  # and prompts being read move up; all but one are still unread
            self.running[slot] = self.running[slot + 1]
            moves.append(Move(slot + 1, slot, self.running[slot].cached))
        self.running.pop()
        return [move for move in moves if move.length]
