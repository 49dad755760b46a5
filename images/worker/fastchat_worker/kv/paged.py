"""Keys and values in blocks that sequences share."""

from collections.abc import Hashable, Iterator
from collections.abc import Sequence as Tokens
from dataclasses import dataclass
from itertools import islice

from fastchat_worker.kv.blocks import Block, BlockPool, Key
from fastchat_worker.kv.cache import Match, T, common_prefix
from fastchat_worker.kv.edits import Assign, CopyBlock, Move
from fastchat_worker.kv.places import PlacedCache

_PART = 4  # of a first block at least one token in so many: nearly all prompts begin with the same token
_CANDIDATES = 64  # that are looked at


@dataclass(slots=True)
class _Table:
    """The blocks of a sequence. Of them the first `published` can be found by others; with `open` more will be."""

    blocks: list[Block]
    published: int
    open: bool


class PagedCache(PlacedCache[T]):
    """A `KVCache` of blocks of so many tokens: a sequence has a table of them, whose row is its place in `sequences`.

    A full block can be found by whoever begins with the same tokens, of the same owner, from when it has been read. Of
    the block after those that are found, a new sequence gets a copy, for as many tokens as it has in common with it.
    `most_kept`: tokens of ended sequences that stay at most; 0: nothing is found.
    """

    def __init__(self, capacity: int, max_len: int, block_tokens: int, most_kept: int) -> None:
        super().__init__(capacity)
        self._size = block_tokens
        self._longest = -(-max_len // block_tokens)
        self._pool = BlockPool(capacity * self._longest, most_kept // block_tokens)
        self._tables: dict[T, _Table] = {}

    @property
    def kept(self) -> int:
        return self._pool.kept * self._size

    @property
    def in_use(self) -> int:
        return self._pool.in_use * self._size

    def match(self, sequence: T) -> Match:
        if not self._pool.most_kept:
            return Match()
        blocks = list(self._walk(sequence))
        held = len(blocks) * self._size + self._find_part(sequence, blocks)[1]
        return Match.of(sequence, held, self.sequences, least=self._size)

    def allocate(self, sequence: T) -> bool:
        if self._places.full:
            return False
        blocks = list(self._walk(sequence))
        part, length = self._find_part(sequence, blocks)
        for block in blocks:
            self._pool.share(block)
        table = self._tables[sequence] = _Table(blocks, len(blocks), open=self._pool.most_kept > 0)
        self.sequences.append(sequence)
        self._lookups.count(sequence, len(blocks) * self._size + length)
        if part:
            self._copy(part, table)
        self._assign(sequence, 0)
        return True

    def append(self, sequence: T, tokens: int) -> None:
        sequence.cached += tokens
        self._grow(sequence, sequence.cached)
        self._publish_full(sequence, self._tables[sequence])

    def reserve(self, sequence: T, tokens: int) -> int:
        room = min(tokens, self._longest * self._size - sequence.cached)
        self._grow(sequence, sequence.cached + room)
        return room

    def free(self, sequence: T) -> None:
        table = self._tables.pop(sequence)
        if sequence.failed:
            self._pool.withdraw(table.blocks)
        else:
            self._publish_part(sequence, table)
        for block in reversed(table.blocks):
            self._pool.release(block)
        for source, target in self._places.remove(sequence):
            if length := self.sequences[target].cached:
                self._edits.append(Move(source, target, length))

    def reset(self) -> None:
        self._places.sequences = []
        self._tables, self._edits = {}, []
        self._pool.forget()

    def _grow(self, sequence: T, tokens: int) -> None:
        """Takes blocks until so many tokens have room."""
        blocks = self._tables[sequence].blocks
        had, wanted = len(blocks), min(-(-tokens // self._size), self._longest)
        while len(blocks) < wanted:
            blocks.append(self._pool.take())
        self._assign(sequence, had)

    def _walk(self, sequence: T) -> Iterator[Block]:
        """The full blocks that are found of a new sequence, in its order, as far as it need not read itself."""
        block = self._pool.root
        for number in range(sequence.reusable // self._size):
            found = block.children.get(self._key(sequence, number, self._size))
            if found is None:
                return
            yield found
            block = found

    def _find_part(self, sequence: T, blocks: list[Block]) -> tuple[Block | None, int]:
        """The block that has most of what follows on these in a new sequence, and how many tokens it has of it."""
        first, best = len(blocks) * self._size, None
        most = 0 if blocks else self._size // _PART - 1
        wanted = tuple(sequence.read(first, min(first + self._size, sequence.reusable)))
        if len(wanted) > most:
            for block, tokens in self._candidates(sequence.owner, blocks):
                common = common_prefix(wanted, tokens, self._size)
                if common > most:
                    best, most = block, common
        return (best, most) if best else (None, 0)

    def _candidates(self, owner: Hashable, blocks: list[Block]) -> Iterator[tuple[Block, Tokens[int]]]:
        """Blocks that follow on these, with their tokens: the newest that are found, and those of running sequences."""
        parent, number = blocks[-1] if blocks else self._pool.root, len(blocks)
        for block in islice(reversed(parent.children.values()), _CANDIDATES):
            if block.key and block.key[0] == owner:
                yield block, block.key[1]
        for other, table in self._tables.items():
            filling = table.open and table.published == number < len(table.blocks)
            if filling and other.owner == owner and table.blocks[:number] == blocks:
                end = min((number + 1) * self._size, other.cached)
                yield table.blocks[number], tuple(other.read(number * self._size, end))

    def _copy(self, part: Block, table: _Table) -> None:
        source = part.number
        self._pool.touch(part)
        table.blocks.append(self._pool.take())  # maybe the same
        self._edits.append(CopyBlock(source, table.blocks[-1].number))

    def _assign(self, sequence: T, first: int) -> None:
        """Tells the sequence's blocks from this one on."""
        if numbers := tuple(block.number for block in self._tables[sequence].blocks[first:]):
            self._edits.append(Assign(self.sequences.index(sequence), first, numbers))

    def _publish_full(self, sequence: T, table: _Table) -> None:
        """Lets the blocks be found that have been filled, up to the first of which there is one already."""
        full = min(sequence.cached // self._size, len(table.blocks))
        while table.open and table.published < full:
            self._publish(sequence, table, self._size)

    def _publish_part(self, sequence: T, table: _Table) -> None:
        """Lets the block be found that an ended sequence did not fill."""
        tokens = sequence.cached - table.published * self._size
        if table.open and 0 < tokens < self._size:
            self._publish(sequence, table, tokens)

    def _publish(self, sequence: T, table: _Table, tokens: int) -> None:
        number = table.published
        parent = table.blocks[number - 1] if number else self._pool.root
        table.open = self._pool.publish(table.blocks[number], parent, self._key(sequence, number, tokens))
        table.published += table.open

    def _key(self, sequence: T, number: int, tokens: int) -> Key:
        """Of its block of this number, which has so many tokens."""
        first = number * self._size
        return sequence.owner, tuple(sequence.read(first, first + tokens))
