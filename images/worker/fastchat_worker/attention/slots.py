"""Attention for rows of different sequences packed into one forward pass.

Registered with transformers' `AttentionInterface`, so that any model that uses it runs on our cache unchanged. The
model sees a batch of one with all rows in line; which sequence and position a row belongs to stands in `Step`.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from fastchat_worker.kv.tensors import Cache, LayerShape

NAME = "fastchat_slots"
_BUCKET = 64  # the cache is read up to the next multiple, so that lengths, and with them kernels, change rarely


@dataclass(frozen=True, slots=True)
class Span:
    """Rows `first` … `last` of the pass are the tokens `start` … of the prompt in `slot`."""

    first: int
    last: int
    slot: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.last - self.first


@dataclass(slots=True)
class Step:
    """The rows of one forward pass: first `decode` rows, row i the newest token of slot i, then the spans.

    slots, positions: [rows], where each row's key and value go. lengths: [decode], tokens that each decode row sees.
    Without a cache every span is a whole text that only sees itself.
    """

    cache: Cache | None
    spans: list[Span]
    slots: Tensor
    positions: Tensor
    lengths: Tensor
    longest: int = 0
    shapes: dict[int, LayerShape] = field(default_factory=dict)
    _masks: dict[Any, Tensor] = field(default_factory=dict)

    @property
    def decode(self) -> int:
        return len(self.lengths)

    @property
    def width(self) -> int:
        """Cache columns the decode rows read."""
        width = -(-self.longest // _BUCKET) * _BUCKET
        return min(width, self.cache.max_len) if self.cache else width

    def decode_mask(self, window: int | None) -> Tensor:
        """[decode, 1, 1, width]: True where a row may look."""
        mask = self._masks.get(window)
        if mask is None:
            column = torch.arange(self.width, device=self.lengths.device)[None]
            mask = column < self.lengths[:, None]
            if window is not None:
                mask &= column >= self.lengths[:, None] - window
            mask = self._masks[window] = mask[:, None, None]
        return mask

    def span_mask(self, span: Span, window: int | None) -> Tensor | None:
        """[length, end], True where a row may look; None for the plain causal mask."""
        if span.start == 0 and (window is None or span.end <= window):
            return None
        mask = self._masks.get((span, window))
        if mask is None:
            column = torch.arange(span.end, device=self.positions.device)[None]
            row = column[0, span.start :, None]
            mask = column <= row
            if window is not None:
                mask &= column > row - window
            self._masks[span, window] = mask
        return mask


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001  # the interface's; the step knows better
    scaling: float | None = None,
    *,
    step: Step,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, rows, size], key and value [1, kv heads, rows, size] → [1, rows, heads, size]."""
    layer: int = module.layer_idx  # type: ignore[assignment]
    attend = _Attend(scaling, softcap, s_aux)
    if step.cache is None:
        step.shapes[layer] = LayerShape(key.shape[1], key.shape[3], value.shape[3])
        parts = [
            attend.span(query[:, :, s.first : s.last], key[:, :, s.first : s.last], value[:, :, s.first : s.last],
                        step.span_mask(s, sliding_window))
            for s in step.spans
        ]  # fmt: skip
        return (parts[0] if len(parts) == 1 else torch.cat(parts, 1)), None
    keys, values = step.cache.keys[layer], step.cache.values[layer]
    keys[step.slots, :, step.positions] = key[0].transpose(0, 1)
    values[step.slots, :, step.positions] = value[0].transpose(0, 1)
    parts = []
    if rows := step.decode:
        mask = step.decode_mask(sliding_window)
        parts.append(
            attend.decode(query[:, :, :rows], keys[:rows, :, : step.width], values[:rows, :, : step.width], mask)
        )
    for s in step.spans:
        mask_or_none = step.span_mask(s, sliding_window)
        own = slice(s.slot, s.slot + 1)
        parts.append(
            attend.span(query[:, :, s.first : s.last], keys[own, :, : s.end], values[own, :, : s.end], mask_or_none)
        )
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 1)), None


@dataclass(frozen=True, slots=True)
class _Attend:
    """Attention proper, with what some models add to it: soft-capped scores (Gemma 2), sinks (gpt-oss)."""

    scaling: float | None
    softcap: float | None
    sinks: Tensor | None

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


AttentionInterface.register(NAME, slot_attention)
