"""An executor whose tokens depend on all that its cache has of a sequence, so that a wrong block shows in the text."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.kv.edits import Assign, Edit, Move

VOCABULARY = 97
BAD = 96
"""A token that tests let steps fail on."""
NAN = 95
"""A token after which, wherever it stands, there are no finite logits."""


def token_after(content: Sequence[int]) -> int:
    """The token after these; it depends on each of them and on their order."""
    value = 0
    for token in content:
        value = (value * 31 + token + 1) % 1_000_003
    return value % NAN


def text_after(prompt: Sequence[int], tokens: int) -> list[int]:
    """So many tokens after a prompt."""
    made: list[int] = []
    for _ in range(tokens):
        made.append(token_after([*prompt, *made]))
    return made


class PagedMemory:
    """Blocks of tokens, as the tensors of a paged cache would hold their keys and values."""

    def __init__(self, block_tokens: int) -> None:
        self._size = block_tokens
        self._blocks: dict[int, dict[int, int]] = {}
        self._tables: dict[int, dict[int, int]] = {}

    def apply(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            if isinstance(edit, Move):
                self._tables[edit.target] = dict(self._tables[edit.source])
            else:
                assert isinstance(edit, Assign)
                self._tables.setdefault(edit.slot, {}).update(enumerate(edit.blocks, edit.first))

    def write(self, slot: int, position: int, token: int) -> None:
        number = self._tables[slot][position // self._size]
        self._blocks.setdefault(number, {})[position % self._size] = token

    def read(self, slot: int, length: int) -> list[int]:
        table = self._tables[slot]
        return [self._blocks[table[at // self._size]][at % self._size] for at in range(length)]


class Remembering:
    """An executor over such a memory. It writes before it raises."""

    vocabulary = VOCABULARY

    def __init__(self, memory: PagedMemory, fails: Callable[[ModelInput], bool] = lambda _: False) -> None:
        self._memory, self._fails = memory, fails
        self.tokens_read = 0

    def execute(self, step: ModelInput) -> ModelOutput:
        self._memory.apply(step.edits)
        rows = step.batch
        for token, position, slot in zip(rows.tokens, rows.positions, rows.slots, strict=True):
            self._memory.write(slot, position, token)
        self.tokens_read += len(rows.tokens) - rows.decode
        if self._fails(step):
            raise RuntimeError("out of memory")
        return ModelOutput(tuple(self._after(rows.slots[row], rows.positions[row]) for row in step.sampled))

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _after(self, slot: int, position: int) -> int | None:
        content = self._memory.read(slot, position + 1)
        return None if NAN in content else token_after(content)
