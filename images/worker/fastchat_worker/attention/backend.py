"""What a way to compute attention offers, and how transformers comes to call it.

A model that uses transformers' `AttentionInterface` runs on any backend unchanged: it sees a batch of one with all rows
in line; which sequence and position a row belongs to is the backend's to know.
"""

from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import AttentionInterface

from fastchat_worker.attention.batch import PackedBatch
from fastchat_worker.attention.layer import Layer

NAME = "fastchat"
"""Of the attention implementation that a model is set to."""

S = TypeVar("S")


class AttentionBackend(Protocol[S]):
    """One way to compute attention. What a step needs in every layer is prepared once."""

    def prepare(self, batch: PackedBatch) -> S:
        """The step that `forward` gets in each layer."""

    def forward(self, step: S, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query [1, heads, rows, size], key and value [1, kv heads, rows, size] → [1, rows, heads, size]."""


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001  # the interface's; the step knows better
    scaling: float | None = None,
    *,
    backend: AttentionBackend[Any],
    step: Any,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function: `backend` and `step` are what was passed to the model."""
    index: int = module.layer_idx  # type: ignore[assignment]
    layer = Layer(index, scaling, sliding_window, softcap, s_aux)
    return backend.forward(step, layer, query, key, value), None


AttentionInterface.register(NAME, attend)
