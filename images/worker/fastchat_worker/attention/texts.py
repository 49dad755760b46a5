"""Attention without a cache: every span is a whole text that only sees itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.attention.layer import Layer
from fastchat_worker.attention.masks import Masks
from fastchat_worker.kv.tensors import LayerShape


@dataclass(frozen=True, slots=True)
class TextStep:
    """One pass over whole texts, and the masks of its layers."""

    batch: PackedBatch
    masks: Masks


class TextAttention:
    """An `AttentionBackend` for texts whose keys and values nobody needs again.

    `shapes` is what each layer that ran would store in a cache.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.shapes: dict[int, LayerShape] = {}

    def prepare(self, batch: PackedBatch) -> TextStep:
        return TextStep(batch, Masks(self._device))

    def forward(self, step: TextStep, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.shapes[layer.index] = LayerShape(key.shape[1], key.shape[3], value.shape[3])
        parts = []
        for span in step.batch.spans:
            own = (slice(None), slice(None), slice(span.first, span.last))
            parts.append(layer.span(query[own], key[own], value[own], step.masks.span(span, layer.window)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
