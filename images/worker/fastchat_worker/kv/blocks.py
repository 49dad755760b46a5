"""Blocks of tokens that sequences share, found by what they hold."""

from collections.abc import Hashable, Iterable
from itertools import count

Key = tuple[Hashable, tuple[int, ...]]
"""Whose the tokens are, and the tokens."""


class Block:
    """Room for the keys and values of so many tokens. `users`: sequences that have it.

    With a `key` it can be found as what follows on its parent.
    """

    __slots__ = ("children", "key", "number", "parent", "users")

    def __init__(self, number: int) -> None:
        self.number = number
        self.users = 1
        self.parent: Block | None = None
        self.key: Key | None = None
        self.children: dict[Key, Block] = {}


class BlockPool:
    """All blocks of a cache: private ones of sequences, those that can be found, and free ones.

    The blocks that can be found form a tree, in which the path to a block is all that came before it. One that nobody
    uses any more is kept, at most `most_kept` of them, until its room is needed, the least recently used first. Whoever
    uses a block uses all before it and gives the last one back first, so the first of those kept is always a leaf.
    """

    def __init__(self, blocks: int, most_kept: int) -> None:
        self.blocks, self.most_kept = blocks, most_kept
        self._reset()

    def _reset(self) -> None:
        self.root = Block(-1)
        self.root.key = (None, ())
        self._fresh = count()
        self._free: list[int] = []  # those that were used last come first, for their memory is there
        self._kept: dict[Block, None] = {}
        self.in_use = 0
        """Blocks that sequences have."""

    @property
    def kept(self) -> int:
        """Blocks of sequences that have ended."""
        return len(self._kept)

    def take(self) -> Block:
        """A block of one's own. There is one, as long as those in use are fewer than all."""
        if self.in_use == self.blocks:
            raise MemoryError("more blocks of the cache are wanted than there are")
        if not self._free and self.in_use + len(self._kept) == self.blocks:
            self._evict()
        self.in_use += 1
        return Block(self._free.pop() if self._free else next(self._fresh))

    def share(self, block: Block) -> None:
        """One more sequence uses a block that was found."""
        if not block.users:
            del self._kept[block]
            self.in_use += 1
        block.users += 1

    def touch(self, block: Block) -> None:
        """A block that was found has been read."""
        if block in self._kept:
            del self._kept[block]
            self._kept[block] = None

    def publish(self, block: Block, parent: Block, key: Key) -> bool:
        """Lets a block be found; False where there is such a block already, or its parent cannot be found."""
        if parent.key is None or key in parent.children:
            return False
        parent.children[key] = block
        block.parent, block.key = parent, key
        return True

    def release(self, block: Block) -> None:
        """A sequence uses it no more. One that can be found is kept."""
        block.users -= 1
        if block.users:
            return
        self.in_use -= 1
        if block.key:
            self._kept[block] = None
            if len(self._kept) > self.most_kept:
                self._evict()
        else:
            self._free.append(block.number)

    def withdraw(self, blocks: Iterable[Block]) -> None:
        """Neither these blocks nor what follows on them can be found any more; those that nobody uses are free."""
        left = [block for block in blocks if block.key]
        while left:
            block = left.pop()
            left += block.children.values()
            self._hide(block)
            if not block.users and block in self._kept:
                del self._kept[block]
                self._free.append(block.number)

    def forget(self) -> None:
        """All blocks are free, whoever had them."""
        self._reset()

    def _evict(self) -> None:
        """Frees the least recently used of those kept."""
        block = next(iter(self._kept))
        del self._kept[block]
        self._hide(block)
        self._free.append(block.number)

    def _hide(self, block: Block) -> None:
        if block.key and block.parent:
            del block.parent.children[block.key]
        block.parent = block.key = None
