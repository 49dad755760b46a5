"""Dense slots: which sequence has which part of the cache's tensors."""

from fastchat_worker.kv.cache import Match, T, common, common_prefix
from fastchat_worker.kv.edits import Clear, Copy, Move, Rotate
from fastchat_worker.kv.places import PlacedCache
from fastchat_worker.kv.texts import KeptTexts, Text

_LEAST = 32  # tokens that are worth being found


class SlotCache(PlacedCache[T]):
    """A `KVCache` of equal slots; a sequence's slot is its place in `sequences`.

    Behind those that run stand the texts of at most `most_kept` that have ended; 0: nothing is found. A new sequence
    takes over the slot of the text that it begins with, or gets a copy of what it has in common with a text or with
    another that runs.

    Whatever a slot's sequence has not written is zero: a NaN that one leaves behind would reach the next through the
    columns that are masked, because 0 × NaN is NaN.
    """

    def __init__(self, capacity: int, most_kept: int = 0) -> None:
        super().__init__(capacity)
        self._texts = KeptTexts()
        self._most_kept = most_kept
        self._used = 0  # slots that were written
        self._longest = 0  # tokens that one of them had

    @property
    def in_use(self) -> int:
        return sum(sequence.cached for sequence in tuple(self.sequences))

    @property
    def kept(self) -> int:
        return self._texts.tokens

    def match(self, sequence: T) -> Match:
        if not self._most_kept:
            return Match()
        return Match.of(sequence, self._find(sequence)[1], self.sequences, least=_LEAST)

    def allocate(self, sequence: T) -> bool:
        if self._places.full:
            return False
        slot, (source, length) = len(self.sequences), self._find(sequence)
        text = self._texts.get(source)
        if text and (2 * length >= len(text.tokens) or not self._has_empty):
            self._take_over(source, text, slot, length)
        else:
            moved = self._vacate(slot)
            if length:
                self._copy(moved if source == slot else source, slot, length)
        self.sequences.append(sequence)
        self._lookups.count(sequence, length)
        self._used = max(self._used, len(self.sequences))
        return True

    def append(self, sequence: T, tokens: int) -> None:
        sequence.cached += tokens
        self._longest = max(self._longest, sequence.cached)

    def reserve(self, _sequence: T, _tokens: int) -> int:
        return 0  # what is not appended afterwards would have to be cleared

    def free(self, sequence: T) -> None:
        place, length = self.sequences.index(sequence), sequence.cached
        moves = self._places.remove(sequence)
        if self._most_kept and length >= _LEAST and not sequence.failed:
            self._keep(sequence, (place, *(source for source, _ in moves)))
            return
        if length:
            self._edits.append(Clear(place, length))
        for source, target in moves:
            if moved := self.sequences[target].cached:
                self._edits.append(Move(source, target, moved))

    def reset(self) -> None:
        """Clears all that was ever written: which of the edits were carried out is not known."""
        self._places.sequences = []
        self._texts = KeptTexts()
        self._edits = [Clear(slot, self._longest) for slot in range(self._used)]

    @property
    def _has_empty(self) -> bool:
        return len(self.sequences) + len(self._texts) < self.capacity

    def _find(self, sequence: T) -> tuple[int, int]:
        """The slot that has most of what a new sequence begins with, and how many tokens; -1 and 0 where none has."""
        best = (0, -1)
        if not self._most_kept:
            return -1, 0
        prompt, most = list(sequence.read(0, sequence.reusable)), sequence.reusable
        for slot, text in self._texts:
            if text.owner == sequence.owner:
                best = max(best, (common_prefix(prompt, text.tokens, most), slot))
        for slot, other in enumerate(self.sequences):
            best = max(best, (common(sequence, other, other.cached), slot))
        return (best[1], best[0]) if best[0] >= _LEAST else (-1, 0)

    def _take_over(self, source: int, text: Text, slot: int, length: int) -> None:
        """A slot gets the text of another one as far as this length; what it had itself goes there."""
        self._texts.take(source)
        if len(text.tokens) > length:
            self._edits.append(Clear(source, len(text.tokens), first=length))
        if source == slot:
            return
        other = self._texts.get(slot)
        self._edits.append(Rotate((slot, source), (len(other.tokens) if other else 0, length)))
        if other:
            self._texts.move(slot, source)

    def _copy(self, source: int, slot: int, length: int) -> None:
        self._edits.append(Copy(source, slot, length))
        self._texts.touch(source)

    def _vacate(self, slot: int) -> int:
        """Makes a slot behind those that run empty. Where its text stands then; -1: nowhere."""
        if not self._has_empty:
            self._evict()
        text = self._texts.get(slot)
        if text is None:
            return -1
        target = next(at for at in range(slot + 1, self.capacity) if self._texts.get(at) is None)
        self._edits.append(Move(slot, target, len(text.tokens)))
        self._texts.move(slot, target)
        self._used = max(self._used, target + 1)
        return target

    def _keep(self, sequence: T, cycle: tuple[int, ...]) -> None:
        """What a sequence that ended has read goes behind those that run: they go up, each into the slot before it."""
        if len(self._texts) == self._most_kept:
            self._evict()
        text = Text(list(sequence.read(0, sequence.cached)), sequence.owner)
        if len(cycle) > 1:
            lengths = [self.sequences[target].cached for target in cycle[:-1]]
            self._edits.append(Rotate(cycle, (len(text.tokens), *lengths)))
        self._texts.put(cycle[-1], text)

    def _evict(self) -> None:
        slot, text = self._texts.pop_oldest()
        self._edits.append(Clear(slot, len(text.tokens)))
