"""An executor whose tokens depend on all that its cache has of a sequence, so that a wrong block shows in the text."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.engine.breakage import PROBE
from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.kv.edits import Assign, Clear, CopyBlock, Edit, Move
from fastchat_worker.kv.tensors import LayerShape, SlotTensors
from fastchat_worker.sampling.score import Score

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
            if isinstance(edit, Clear):  # of a trial after a failure
                self._tables.setdefault(edit.slot, {}).setdefault(0, 0)
            elif isinstance(edit, Move):
                self._tables[edit.target] = dict(self._tables[edit.source])
            elif isinstance(edit, CopyBlock):
                self._blocks[edit.target] = dict(self._blocks[edit.source])
            else:
                assert isinstance(edit, Assign)
                self._tables.setdefault(edit.slot, {}).update(enumerate(edit.blocks, edit.first))

    def write(self, slot: int, position: int, token: int) -> None:
        number = self._tables[slot][position // self._size]
        self._blocks.setdefault(number, {})[position % self._size] = token

    def read(self, slot: int, length: int) -> list[int]:
        table = self._tables[slot]
        return [self._blocks[table[at // self._size]][at % self._size] for at in range(length)]


class SlotMemory:
    """Dense slots, whose tensors hold each token plus one; what nobody wrote is zero."""

    def __init__(self, slots: int, max_len: int) -> None:
        self._tensors = SlotTensors({0: LayerShape(1, 1, 1)}, slots, max_len, torch.float32, torch.device("cpu"))
        self._ends: dict[int, int] = {}

    def apply(self, edits: Sequence[Edit]) -> None:
        self._tensors.apply(edits)

    def write(self, slot: int, position: int, token: int) -> None:
        self._ends[slot] = position + 1
        for tensor in (self._tensors.keys[0], self._tensors.values[0]):
            tensor[slot, 0, position, 0] = token + 1

    def read(self, slot: int, length: int) -> list[int]:
        keys, values = (tensor[0][slot, 0, :, 0].tolist() for tensor in (self._tensors.keys, self._tensors.values))
        assert keys == values
        assert not any(keys[self._ends[slot] :])
        return [int(number) - 1 for number in keys[:length]]


class Remembering:
    """An executor over such a memory. It writes before it raises."""

    vocabulary = VOCABULARY

    def __init__(self, memory: PagedMemory | SlotMemory, fails: Callable[[ModelInput], bool] = lambda _: False) -> None:
        self._memory, self._fails = memory, fails
        self.tokens_read = 0

    def execute(self, step: ModelInput) -> ModelOutput:
        self._memory.apply(step.edits)
        rows = step.batch
        for token, position, slot in zip(rows.tokens, rows.positions, rows.slots, strict=True):
            self._memory.write(slot, position, token)
        self.tokens_read += len(rows.tokens) - rows.decode
        if step is PROBE:  # the slot still has what the failed step had there
            return ModelOutput((0,))
        if self._fails(step):
            raise RuntimeError("out of memory")
        tokens = tuple(self._after(rows, row) for row in step.sampled)
        scores = (self._after(rows, scored.row) for scored in step.scored)
        return ModelOutput(tokens, (), tuple(Score(math.nan if token is None else token) for token in scores))

    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        raise NotImplementedError

    def _after(self, rows: PackedBatch, row: int) -> int | None:
        content = self._memory.read(rows.slots[row], rows.positions[row] + 1)
        return None if NAN in content else token_after(content)
