"""Runs a model in this process by code of our own for the CPU."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.attention.batch import pack_texts
from fastchat_worker.engine.choosing import output, wanted_rows
from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.memory import free_bytes
from fastchat_worker.kv.edits import Edit, Move
from fastchat_worker.kv.tensors import lazy_zeros
from fastchat_worker.native.model import NativeModel

_ROWS_KEPT = 64  # rows of logits whose memory is kept for the next step


class NativeRunner:
    """An `Executor` of a native model. `open_cache` comes before the first `execute`.

    A slot is a number of blocks that follow each other. Where a sequence moves to another slot its blocks stay where
    they are: the two slots exchange their places. Nothing is cleared, because no row reads what its own sequence has
    not written.
    """

    device = torch.device("cpu")

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        self.vocabulary = model.vocabulary
        self._cache: Tensor
        self._blocks = 0  # of a slot
        self._places: list[int] = []
        self._logits = torch.empty(0, model.logits_stride)

    @property
    def token_bytes(self) -> int:
        """Cache bytes that one token of one sequence takes."""
        return self._model.block_size // self._model.block_tokens * self._model.layers * 4

    def free_bytes(self) -> int:
        """Memory that can still be had."""
        return free_bytes(self.device)

    def open_cache(self, slots: int, max_len: int) -> None:
        """Takes the memory for so many sequences of so many tokens."""
        self._blocks = self._blocks_of(max_len)
        self._places = list(range(slots))
        shape = (self._model.layers, slots * self._blocks, self._model.block_size)
        self._cache = lazy_zeros(shape, torch.float32, self.device)
        self._model.settle()

    @torch.inference_mode()
    def execute(self, step: ModelInput) -> ModelOutput:
        self._apply(step.edits)
        batch, rows = step.batch, wanted_rows(step)
        if max(batch.positions) >= self._blocks * self._model.block_tokens:
            raise ValueError("a sequence is longer than its slot")  # it would write into another's
        blocks = [self._places[slot] * self._blocks for slot in batch.slots]
        logits = self._room(len(rows))
        stride = self._cache.stride(0)
        self._model.run(
            batch.tokens, batch.positions, blocks, rows, cache=self._cache, layer_stride=stride, logits=logits
        )
        return output(logits[:, : self.vocabulary], step)

    @torch.inference_mode()
    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        states = self._forward_texts(texts, hidden=True)
        spans = pack_texts(texts).spans
        means = torch.stack([states[span.first : span.last].mean(0) for span in spans])
        return torch.nn.functional.normalize(means, dim=-1).numpy()

    @torch.inference_mode()
    def logits(self, text: Sequence[int]) -> Tensor:
        """[tokens, vocabulary]: the logits after each token of a text. The cache has no part in it."""
        return self._forward_texts([text], hidden=False)[:, : self.vocabulary]

    def _forward_texts(self, texts: Sequence[Sequence[int]], *, hidden: bool) -> Tensor:
        """[tokens, hidden size or padded vocabulary]. One layer's keys and values are overwritten by the next one's."""
        batch, begins = pack_texts(texts), [0]
        for text in texts:
            begins.append(begins[-1] + self._blocks_of(len(text)))
        cache = lazy_zeros((begins[-1], self._model.block_size), torch.float32, self.device)
        out = torch.empty(len(batch.tokens), self._model.hidden_size if hidden else self._model.logits_stride)
        self._model.run(
            batch.tokens,
            batch.positions,
            [begins[text] for text in batch.slots],
            range(len(batch.tokens)),
            cache=cache,
            layer_stride=0,
            **{"hidden" if hidden else "logits": out},
        )
        return out

    def _apply(self, edits: Iterable[Edit]) -> None:
        places = self._places
        for edit in edits:
            if isinstance(edit, Move):
                places[edit.source], places[edit.target] = places[edit.target], places[edit.source]

    def _room(self, rows: int) -> Tensor:
        """Room for so many rows of logits; few of them are the last step's."""
        if rows > _ROWS_KEPT:
            return torch.empty(rows, self._model.logits_stride)
        if rows > len(self._logits):
            self._logits = torch.empty(rows, self._model.logits_stride)
        return self._logits[:rows]

    def _blocks_of(self, tokens: int) -> int:
        return -(-tokens // self._model.block_tokens)
