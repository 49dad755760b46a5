"""Runs the model in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.adapters.adapter import read_adapter
from fastchat_worker.adapters.hooks import AdapterHooks
from fastchat_worker.adapters.targets import targets_of
from fastchat_worker.attention.backend import NAME, AttentionBackend
from fastchat_worker.attention.batch import PackedBatch, pack_texts
from fastchat_worker.attention.graphs import SPARE, CUDARecorder, DecodeGraphs, Record
from fastchat_worker.attention.slots import SlotAttention, SlotStep
from fastchat_worker.attention.texts import TextAttention
from fastchat_worker.engine.choosing import output, wanted_rows
from fastchat_worker.engine.executor import ModelInput, ModelOutput
from fastchat_worker.engine.sequence import Sequence as TokenSequence
from fastchat_worker.kv.memory import free_bytes
from fastchat_worker.kv.slots import SlotCache
from fastchat_worker.kv.tensors import LayerShape, SlotTensors, bytes_per_token


class UnsupportedModelError(Exception):
    """The architecture cannot run on slots of keys and values."""


class Runner:
    """An `Executor` of a transformers model on our attention. `open_cache` comes before the first `execute`.

    Raises: UnsupportedModelError where the model does not use transformers' attention interface in every layer.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device: torch.device = model.device
        self.vocabulary: int = model.get_input_embeddings().weight.shape[0]
        if not getattr(model, "_supports_attention_backend", False) or getattr(model, "_is_stateful", False):
            raise UnsupportedModelError(
                f"{type(model).__name__} does not use transformers' attention interface; serve it with engine VLLM"
            )
        model.set_attn_implementation(NAME)
        self._texts = TextAttention(self.device)
        self._adapters = AdapterHooks(model)
        self._shapes = self._layer_shapes()
        self._tensors: SlotTensors
        self._slots: SlotAttention
        self._record: Record | None = None
        self._graphs: DecodeGraphs | None = None
        self._out_of_memory = False

    @property
    def token_bytes(self) -> int:
        """Cache bytes that one token of one sequence takes."""
        return bytes_per_token(self._shapes, self._model.dtype)

    def record_decode(self, record: Record | None = None) -> None:
        """Steps in which all rows decode are recorded and replayed, by CUDA graphs where nothing else is given.

        It comes before `open_cache`.
        """
        self._record = record or CUDARecorder()

    def open_cache(self, slots: int, max_len: int, kept_tokens: int = 0) -> SlotCache[TokenSequence]:
        """Takes the memory for so many sequences of so many tokens. Returns who has which part of it.

        kept_tokens: of sequences that have ended, at most.
        """
        spare = SPARE if self._record else 0
        self._tensors = SlotTensors(self._shapes, slots, max_len, self._model.dtype, self.device, spare)
        self._slots = SlotAttention(self._tensors, self.device)
        if self._record:
            self._graphs = DecodeGraphs(self._tensors, slots, self._decode, self._record)
        return SlotCache(slots, kept_tokens // max_len)

    def free_bytes(self) -> int:
        """Memory of the model's device that can still be had."""
        return free_bytes(self.device)

    @torch.inference_mode()
    def execute(self, step: ModelInput) -> ModelOutput:
        return output(self.compute(step), step)

    def compute(self, step: ModelInput) -> Tensor:
        """[wanted rows, vocabulary]: the logits of a step."""
        if self._out_of_memory:  # what the failed step held is free by now, but not given back to the device
            self._out_of_memory = False
            torch.cuda.empty_cache()
        try:
            return self._compute(step)
        except torch.OutOfMemoryError:
            self._out_of_memory = True
            raise

    @torch.inference_mode()
    def _compute(self, step: ModelInput) -> Tensor:
        self._tensors.apply(step.edits)
        rows = wanted_rows(step)
        if self._graphs and not step.adapters and self._graphs.suits(step.batch):
            logits = self._graphs.logits(step.batch)
            return logits if rows == [*range(len(logits))] else logits[rows]
        keep = self._tensor(rows or [0])  # of no row at all some models would not know what to make
        with self._adapters.rows(step.adapters):
            made: Tensor = self._forward(self._model, self._slots, step.batch, logits_to_keep=keep).logits
        return made[0, : len(rows)]

    @torch.inference_mode()
    def logits(self, text: Sequence[int]) -> Tensor:
        """[tokens, vocabulary]: the logits after each token of a text, in float32. The cache has no part in it."""
        logits: Tensor = self._forward(self._model, self._texts, pack_texts([text])).logits
        return logits[0].float()

    @torch.inference_mode()
    def embed(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        batch = pack_texts(texts)
        states: Tensor = self._forward(self._model.base_model, self._texts, batch).last_hidden_state[0].float()
        means = torch.stack([states[span.first : span.last].mean(0) for span in batch.spans])
        return torch.nn.functional.normalize(means, dim=-1).cpu().numpy()

    def add_adapter(self, key: str, name: str, folder: Path) -> None:
        self._adapters.add(key, read_adapter(folder, name, targets_of(self._model)).layers)

    def remove_adapter(self, key: str) -> None:
        self._adapters.remove(key)

    def _layer_shapes(self) -> dict[int, LayerShape]:
        """What each attention layer stores per token, found by running one token."""
        self._forward(self._model, self._texts, pack_texts([[0]]))
        if len(self._texts.shapes) != self._model.config.get_text_config().num_hidden_layers:
            raise UnsupportedModelError(
                f"{type(self._model).__name__} has layers other than attention; serve it with engine VLLM"
            )
        return self._texts.shapes

    @torch.inference_mode()
    def _forward(self, model: Any, backend: AttentionBackend[Any], batch: PackedBatch, **options: Any) -> Any:
        return model(
            input_ids=self._tensor([batch.tokens]),
            position_ids=self._tensor([batch.positions]),
            use_cache=False,
            backend=backend,
            step=backend.prepare(batch),
            **options,
        )

    def _decode(self, step: SlotStep, tokens: Tensor, positions: Tensor) -> Tensor:
        """[1, rows, vocabulary]: the logits of a step whose inputs are tensors already, both [1, rows]."""
        logits: Tensor = self._model(
            input_ids=tokens, position_ids=positions, use_cache=False, backend=self._slots, step=step
        ).logits
        return logits

    def _tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)
