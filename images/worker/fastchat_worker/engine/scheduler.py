"""Which sequences take part in the next step."""

from collections.abc import Sequence as Ordered
from dataclasses import dataclass

from fastchat_worker.engine.drafts import Drafter
from fastchat_worker.engine.sequence import Phase, Sequence
from fastchat_worker.engine.suspects import Suspects
from fastchat_worker.engine.turns import Turns
from fastchat_worker.kv.cache import KVCache
from fastchat_worker.kv.edits import Edit

_FEW = 2  # sequences, for which drafts are checked: with more the rows of a step cost what they take
_RECOVERY = 64  # steps that work before one more sequence may run again


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
        return self.end == self.sequence.to_read

    @property
    def samples(self) -> bool:
        """Whether a token is chosen after it."""
        return self.completes_prompt and len(self.sequence.tokens) < self.sequence.max_tokens

    @property
    def scored(self) -> range:
        """Positions after which it gives the score of the next token, which is known."""
        unscored = self.sequence.unscored
        return range(max(self.start, unscored.start), min(self.end, unscored.stop))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step: row i of `decode` is slot i; each chunk of a prompt follows as rows of its own.

    `edits` are what the cache's tensors have to do before it. `drafts` are, for each of `decode`, tokens that may
    follow and are checked in the same step; empty where there are none.
    """

    decode: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]
    edits: tuple[Edit, ...]
    drafts: tuple[tuple[int, ...], ...] = ()

    @property
    def sequences(self) -> list[Sequence]:
        return [*self.decode, *(chunk.sequence for chunk in self.chunks)]

    @property
    def sampled(self) -> list[Sequence]:
        """Sequences that get a token from this step, in the order of the logits' rows."""
        return [*self.decode, *(chunk.sequence for chunk in self.chunks if chunk.samples)]


class Scheduler:
    """Admits waiting sequences by turns of key and request, and splits each step between decoding and reading prompts.

    cache: has room for those that run. budget: tokens a step may carry, so that a long prompt does not stall the
    others for longer than a step of this size. max_waiting: sequences that may wait for room. drafter: drafts for those
    that run with at most one other.

    After a step that failed, each sequence of it runs alone until it gets a token; of one that fails alone the caller
    is told, and all others go on together. Where each of them works alone, half as many run at once from then on, and
    one more after every 64 steps that work.
    """

    def __init__(self, cache: KVCache[Sequence], budget: int, max_waiting: int, drafter: Drafter | None = None) -> None:
        self.cache = cache
        self._drafter = drafter
        self.budget = max(budget, cache.capacity + 1)
        self.max_waiting = max_waiting
        self.waiting: Turns[Sequence] = Turns()
        self.limit = cache.capacity
        """Sequences that may run at once, for now."""
        self._suspects = Suspects()
        self._again: list[Sequence] = []  # they ran until a step failed, and go before those that wait
        self._worked = 0  # steps since one failed

    @property
    def slots(self) -> int:
        """Sequences that can run at once."""
        return self.cache.capacity

    @property
    def running(self) -> Ordered[Sequence]:
        return self.cache.sequences

    @property
    def interrupted(self) -> list[Sequence]:
        """Sequences that ran until a step failed and have not begun anew."""
        return [*self._again, *(each for each in self._suspects.sequences if each.phase is Phase.WAITING)]

    def add(self, sequence: Sequence) -> None:
        self.waiting.add(sequence.key, sequence.request, sequence)

    def schedule(self) -> Batch | None:
        """The next step, or None when there is nothing to do. Its tokens count as cached from here on."""
        if self._suspects.cleared():
            self._run_fewer(self._suspects.number // 2)
        suspect = self._suspects.next
        self._admit(suspect)
        decode = () if suspect else tuple(each for each in self.running if each.phase is Phase.DECODE)
        chunks = self._chunks(self.running.index(suspect), 0) if suspect else self._chunks(len(decode), len(decode))
        if not decode and not chunks:
            return None
        for sequence in decode:
            self.cache.append(sequence, 1)
        for chunk in chunks:
            self.cache.append(chunk.sequence, chunk.length)
            if chunk.completes_prompt:
                chunk.sequence.phase = Phase.DECODE
        drafts = () if chunks else self._drafts(decode)
        return Batch(decode, tuple(chunks), self.cache.take_edits(), drafts)

    def worked(self) -> None:
        """The last step did."""
        self._worked += 1
        if self.limit < self.cache.capacity and self._worked % _RECOVERY == 0:
            self.limit += 1

    def failed(self, batch: Batch) -> Sequence | None:
        """The last step raised: all that ran is read anew. Returns the one whose fault it is, where that is known."""
        self._worked = 0
        culprit = batch.sequences[0] if len(batch.sequences) == 1 else None
        interrupted = [each for each in (*self.running, *self.interrupted) if each.phase is not Phase.FINISHED]
        self.cache.reset()
        for sequence in interrupted:
            sequence.begin_anew()
        self._suspects = Suspects([] if culprit else batch.sequences)
        self._again = [each for each in interrupted if each is not culprit and each not in self._suspects.sequences]
        return culprit

    def retire(self) -> None:
        """Drops what has finished and gives its room back."""
        self.waiting.keep(lambda sequence: sequence.phase is not Phase.FINISHED)
        self._again = [each for each in self._again if each.phase is not Phase.FINISHED]
        for sequence in [each for each in reversed(self.running) if each.phase is Phase.FINISHED]:
            self.cache.free(sequence)

    def _admit(self, suspect: Sequence | None) -> None:
        """Makes room: for a suspect alone, else for those that ran before, then for those that wait."""
        if suspect:
            if suspect.phase is Phase.WAITING and self.cache.allocate(suspect):
                suspect.phase = Phase.PREFILL
            return
        self._allocate(self._again)
        while not self._again and self.waiting and self._may_begin(self.waiting.next):
            if not self.cache.allocate(self.waiting.next):
                return
            self.waiting.pop().phase = Phase.PREFILL

    def _allocate(self, sequences: list[Sequence]) -> None:
        while sequences and self._may_begin(sequences[0]) and self.cache.allocate(sequences[0]):
            sequences.pop(0).phase = Phase.PREFILL

    def _may_begin(self, sequence: Sequence) -> bool:
        """Not while another reads what it begins with; without that its turn to read would come after it as well."""
        return len(self.running) < self.limit and not self.cache.match(sequence).coming

    def _run_fewer(self, limit: int) -> None:
        """Takes those that came last out of the cache again, so that not more than `limit` run, but one does."""
        self.limit = max(limit, 1)
        for sequence in reversed(self.running[self.limit :]):
            self.cache.free(sequence)
            if sequence.phase is not Phase.FINISHED:
                sequence.begin_anew()
                self._again.insert(0, sequence)

    def _drafts(self, decode: Ordered[Sequence]) -> tuple[tuple[int, ...], ...]:
        if self._drafter is None or len(decode) > _FEW:
            return ()
        drafts = [self._drafter.draft(sequence) for sequence in decode]
        room = [self.cache.reserve(sequence, len(draft)) for sequence, draft in zip(decode, drafts, strict=True)]
        return tuple(draft[:most] for draft, most in zip(drafts, room, strict=True))

    def _chunks(self, first_slot: int, used: int) -> list[Chunk]:
        """Of the prompts from this slot on as much as a step can carry beside `used` other rows."""
        chunks, left = [], self.budget - used
        for slot, sequence in enumerate(self.running[first_slot:], first_slot):
            length = min(left, sequence.to_read - sequence.cached)
            if length <= 0:
                break
            chunks.append(Chunk(sequence, slot, sequence.cached, length))
            left -= length
        return chunks
