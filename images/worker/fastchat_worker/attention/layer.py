"""Attention proper, of queries that all see the same keys."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's attention, with what some models add to it.

    index: the layer's in the model. scaling: of the scores, None for 1/√size. window: tokens a row sees, itself
    included; None for all. softcap: bound of the scores (Gemma 2). sinks: [heads], scores of no token (gpt-oss).
    """

    index: int
    scaling: float | None = None
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    def decode(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """query [1, heads, rows, size], one token of each sequence; key, value [rows, kv heads, width, size]."""
        heads, rows, kv_heads = query.shape[1], query.shape[2], key.shape[1]
        # The query heads that share a key head become query rows: the keys are read once and never repeated.
        grouped = query[0].transpose(0, 1).reshape(rows, kv_heads, heads // kv_heads, -1)
        out = self._scores(grouped, key, value, mask)
        return out.reshape(1, rows, heads, -1)

    def span(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """query [1, heads, length, size]; key, value [1, kv heads, end, size]; mask None is the causal one."""
        if self.softcap is None and self.sinks is None:
            out = scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=mask is None, scale=self.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )  # fmt: skip
            return out.transpose(1, 2)
        length, groups = query.shape[2], query.shape[1] // key.shape[1]
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril_()
        grouped = query.reshape(1, key.shape[1], groups * length, -1)
        out = self._scores(grouped, key, value, mask.repeat(groups, 1))
        return out.reshape(1, query.shape[1], length, -1).transpose(1, 2)

    def _scores(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """query [batch, kv heads, groups × length, size]; mask broadcasts over [batch, kv heads, …, columns]."""
        if self.softcap is None and self.sinks is None:
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scaling)
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if self.scaling is None else self.scaling)
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        if self.sinks is None:
            return scores.softmax(-1, torch.float32).to(value.dtype) @ value
        length = query.shape[2] * key.shape[1] // len(self.sinks)
        sinks = self.sinks.view(1, key.shape[1], -1, 1).repeat_interleave(length, 2).expand(len(query), -1, -1, 1)
        weights = torch.cat([scores, sinks.to(scores.dtype)], -1).softmax(-1, torch.float32)[..., :-1]
        return weights.to(value.dtype) @ value
