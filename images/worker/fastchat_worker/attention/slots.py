"""Attention over dense slots."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.attention.layer import Layer
from fastchat_worker.attention.masks import Masks
from fastchat_worker.kv.tensors import SlotTensors

_BUCKET = 64  # the cache is read up to the next multiple, so that lengths, and with them kernels, change rarely


@dataclass(frozen=True, slots=True)
class SlotStep:
    """One step on slots.

    slots, positions: [rows], where each row's key and value go. lengths: [decode], tokens that each decode row sees.
    width: columns of the cache that the decode rows read.
    """

    batch: PackedBatch
    slots: Tensor
    positions: Tensor
    lengths: Tensor
    width: int
    masks: Masks


class SlotAttention:
    """An `AttentionBackend` that stores keys and values in slots; row i of those that decode reads slot i."""

    def __init__(self, tensors: SlotTensors, device: torch.device) -> None:
        self._tensors = tensors
        self._device = device

    def prepare(self, batch: PackedBatch) -> SlotStep:
        lengths = [position + 1 for position in batch.positions[: batch.decode]]
        width = -(-max(lengths, default=0) // _BUCKET) * _BUCKET
        return SlotStep(
            batch,
            torch.tensor(batch.slots, device=self._device),
            torch.tensor(batch.positions, device=self._device),
            torch.tensor(lengths, dtype=torch.long, device=self._device),
            min(width, self._tensors.max_len),
            Masks(self._device),
        )

    def forward(self, step: SlotStep, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys, values = self._tensors.keys[layer.index], self._tensors.values[layer.index]
        keys[step.slots, :, step.positions] = key[0].transpose(0, 1)
        values[step.slots, :, step.positions] = value[0].transpose(0, 1)
        parts = []
        if rows := step.batch.decode:
            seen = (slice(rows), slice(None), slice(step.width))
            mask = step.masks.decode(step.lengths, step.width, layer.window)
            parts.append(layer.decode(query[:, :, :rows], keys[seen], values[seen], mask))
        for span in step.batch.spans:
            seen = (slice(span.slot, span.slot + 1), slice(None), slice(span.end))
            mask_or_none = step.masks.span(span, layer.window)
            parts.append(layer.span(query[:, :, span.first : span.last], keys[seen], values[seen], mask_or_none))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
