"""Keys and values in blocks that sequences share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic

from fastchat_worker.kv.blocks import Block, BlockPool, Key
from fastchat_worker.kv.cache import Match, T, Usage
from fastchat_worker.kv.edits import Assign, Edit, Move
from fastchat_worker.kv.places import Places


@dataclass(slots=True)
class _Table:
    """The blocks of a sequence. Of them the first `published` can be found by others; with `open` more will be."""

    blocks: list[Block] = field(default_factory=list)
    published: int = 0
    open: bool = True


class PagedCache(Generic[T]):
    """A `KVCache` of blocks of so many tokens: a sequence has a table of them, whose row is its place in `sequences`.

    A full block can be found by whoever begins with the same tokens, of the same owner, as soon as it has been read; a
    prompt's blocks are announced before, so that those who come meanwhile wait for them. `most_kept`: tokens of ended
    sequences that stay at most; 0: nothing is found.
    """

    def __init__(self, capacity: int, max_len: int, block_tokens: int, most_kept: int) -> None:
        self._size = block_tokens
        self._longest = -(-max_len // block_tokens)
        self._pool = BlockPool(capacity * self._longest, most_kept // block_tokens)
        self._places: Places[T] = Places(capacity)
        self._tables: dict[T, _Table] = {}
        self._edits: list[Edit] = []
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        return self._usage

    @property
    def capacity(self) -> int:
        return self._places.capacity

    @property
    def sequences(self) -> list[T]:
        return self._places.sequences

    @property
    def kept(self) -> int:
        return self._pool.kept * self._size

    @property
    def in_use(self) -> int:
        return self._pool.in_use * self._size

    def match(self, sequence: T) -> Match:
        """How much of a new sequence need not be read."""
        held, coming = 0, 0
        for block in self._walk(sequence):
            held += block.ready
            coming += not block.ready
        return Match(held * self._size, coming * self._size)

    def allocate(self, sequence: T) -> bool:
        if self._places.full:
            return False
        table = self._tables[sequence] = _Table(open=self._pool.most_kept > 0)
        for block in self._walk(sequence):
            if not block.ready:
                break
            self._pool.share(block)
            table.blocks.append(block)
        table.published = len(table.blocks)
        self._places.sequences.append(sequence)
        self._usage.count(sequence, len(table.blocks) * self._size)
        self._extend(sequence, table, sequence.to_read, from_first=True)
        self._publish(sequence, table, sequence.to_read, ready=False)
        return True

    def append(self, sequence: T, tokens: int) -> None:
        table, before = self._tables[sequence], sequence.cached // self._size
        sequence.cached += tokens
        self._extend(sequence, table, sequence.cached)
        for block in table.blocks[before : min(sequence.cached // self._size, table.published)]:
            block.ready = True
        self._publish(sequence, table, sequence.cached, ready=True)

    def free(self, sequence: T) -> None:
        table = self._tables.pop(sequence)
        if sequence.failed:
            self._pool.withdraw(table.blocks)
        for block in reversed(table.blocks):
            self._pool.release(block)
        for source, target in self._places.remove(sequence):
            self._edits.append(Move(source, target, self.sequences[target].cached))

    def reset(self) -> None:
        self._places.sequences = []
        self._tables, self._edits = {}, []
        self._pool.forget()

    def take_edits(self) -> tuple[Edit, ...]:
        edits, self._edits = tuple(self._edits), []
        return edits

    def _walk(self, sequence: T) -> Iterator[Block]:
        """The blocks that can be found of a new sequence, in its order, as far as it need not read itself."""
        block: Block | None = self._pool.root
        for number in range(sequence.reusable // self._size):
            block = block.children.get(self._key(sequence, number)) if block else None
            if block is None:
                return
            yield block

    def _extend(self, sequence: T, table: _Table, tokens: int, *, from_first: bool = False) -> None:
        """Gives a sequence blocks for so many tokens, but not more than the longest may have."""
        had, wanted = len(table.blocks), min(-(-tokens // self._size), self._longest)
        while len(table.blocks) < wanted:
            table.blocks.append(self._pool.take())
        first = 0 if from_first else had
        if len(table.blocks) > first:
            numbers = tuple(block.number for block in table.blocks[first:])
            self._edits.append(Assign(self.sequences.index(sequence), first, numbers))

    def _publish(self, sequence: T, table: _Table, tokens: int, *, ready: bool) -> None:
        """Lets the blocks be found that so many tokens fill, up to the first of which there is one already."""
        while table.open and table.published < min(tokens // self._size, len(table.blocks)):
            number = table.published
            parent = table.blocks[number - 1] if number else self._pool.root
            key = self._key(sequence, number)
            table.open = self._pool.publish(table.blocks[number], parent, key, ready=ready)
            table.published += table.open

    def _key(self, sequence: T, number: int) -> Key:
        return sequence.owner, tuple(sequence.read(number * self._size, (number + 1) * self._size))
