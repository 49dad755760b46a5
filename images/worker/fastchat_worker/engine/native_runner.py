"""Runs a model in this process by code of our own for the CPU."""

from collections.abc import Iterable
from collections.abc import Sequence as Ordered
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.adapters.adapter import read_adapter
from fastchat_worker.adapters.targets import targets_of
from fastchat_worker.attention.batch import pack_texts
from fastchat_worker.engine.choosing import output, wanted_rows
from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.sequence import Sequence
from fastchat_worker.kv.edits import Assign, CopyBlock, Edit, Move
from fastchat_worker.kv.memory import free_bytes
from fastchat_worker.kv.paged import PagedCache
from fastchat_worker.kv.tensors import lazy_zeros
from fastchat_worker.native.adapter import NativeAdapter
from fastchat_worker.native.model import NativeModel

_ROWS_KEPT = 64  # rows of logits whose memory is kept for the next step


class NativeRunner:
    """An `Executor` of a native model. `open_cache` comes before the first `execute`.

    Each slot has a row in a table of blocks. Where a sequence moves to another slot its row does, and the blocks stay
    where they are. Nothing is cleared, because no row reads what its own sequence has not written.
    """

    device = torch.device("cpu")

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        self.vocabulary = model.vocabulary
        self._cache: Tensor
        self._tables = np.zeros((0, 0), np.int32)
        self._adapters: dict[str, NativeAdapter] = {}
        self._logits = torch.empty(0, model.logits_stride)

    @property
    def weight_bytes(self) -> int:
        """Of all linear layers and the head."""
        return self._model.weight_bytes

    @property
    def token_bytes(self) -> int:
        """Cache bytes that one token of one sequence takes."""
        return self._model.block_size // self._model.block_tokens * self._model.layers * 4

    def free_bytes(self) -> int:
        """Memory that can still be had."""
        return free_bytes(self.device)

    def open_cache(self, slots: int, max_len: int, kept_tokens: int = 0) -> PagedCache[Sequence]:
        """Takes the memory for so many sequences of so many tokens. Returns who has which part of it.

        kept_tokens: of sequences that have ended, at most.
        """
        self._tables = np.zeros((slots, self._blocks_of(max_len)), np.int32)
        shape = (self._model.layers, self._tables.size, self._model.block_size)
        self._cache = lazy_zeros(shape, torch.float32, self.device)
        self._model.settle()
        return PagedCache(slots, max_len, self._model.block_tokens, kept_tokens)

    @torch.inference_mode()
    def execute(self, step: ModelInput) -> ModelOutput:
        self._apply(step.edits)
        batch, rows = step.batch, wanted_rows(step)
        logits = self._room(len(rows))
        adapters = [self._adapters[key] if key else None for key in step.adapters]
        self._model.run(
            batch.tokens,
            batch.positions,
            batch.slots,
            rows,
            tables=self._tables,
            cache=self._cache,
            blocks=self._tables.size,
            layer_stride=self._cache.stride(0),
            logits=logits,
            adapters=adapters,
        )
        return output(logits[:, : self.vocabulary], step)

    @torch.inference_mode()
    def embed(self, texts: Ordered[Ordered[int]]) -> NDArray[np.float32]:
        states = self._forward_texts(texts, hidden=True)
        spans = pack_texts(texts).spans
        means = torch.stack([states[span.first : span.last].mean(0) for span in spans])
        return torch.nn.functional.normalize(means, dim=-1).numpy()

    @torch.inference_mode()
    def logits(self, text: Ordered[int]) -> Tensor:
        """[tokens, vocabulary]: the logits after each token of a text. The cache has no part in it."""
        return self._forward_texts([text], hidden=False)[:, : self.vocabulary]

    def add_adapter(self, key: str, name: str, folder: Path) -> None:
        targets = targets_of(self._model.description.model)
        self._adapters[key] = self._model.adapter(read_adapter(folder, name, targets).layers)

    def remove_adapter(self, key: str) -> None:
        self._adapters.pop(key, None)

    def _forward_texts(self, texts: Ordered[Ordered[int]], *, hidden: bool) -> Tensor:
        """[tokens, hidden size or padded vocabulary]. One layer's keys and values are overwritten by the next one's."""
        batch, longest = pack_texts(texts), self._blocks_of(max(map(len, texts)))
        tables, blocks = np.zeros((len(texts), longest), np.int32), 0
        for table, text in zip(tables, texts, strict=True):
            own = self._blocks_of(len(text))
            table[:own] = range(blocks, blocks + own)
            blocks += own
        cache = lazy_zeros((blocks, self._model.block_size), torch.float32, self.device)
        out = torch.empty(len(batch.tokens), self._model.hidden_size if hidden else self._model.logits_stride)
        self._model.run(
            batch.tokens,
            batch.positions,
            batch.slots,
            range(len(batch.tokens)),
            tables=tables,
            cache=cache,
            blocks=blocks,
            layer_stride=0,
            logits=None if hidden else out,
            hidden=out if hidden else None,
        )
        return out

    def _apply(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            if isinstance(edit, Move):
                self._tables[edit.target] = self._tables[edit.source]
            elif isinstance(edit, Assign):
                self._tables[edit.slot, edit.first : edit.first + len(edit.blocks)] = edit.blocks
            elif isinstance(edit, CopyBlock):
                self._cache[:, edit.target] = self._cache[:, edit.source]

    def _room(self, rows: int) -> Tensor:
        """Room for so many rows of logits; few of them are the last step's."""
        if rows > _ROWS_KEPT:
            return torch.empty(rows, self._model.logits_stride)
        if rows > len(self._logits):
            self._logits = torch.empty(rows, self._model.logits_stride)
        return self._logits[:rows]

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self._model.block_tokens)
