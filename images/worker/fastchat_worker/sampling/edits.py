"""What biases and penalties do to rows of logits, for all rows at once."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.sampling.parameters import Choice

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and tokens, one of each for each place in the logits."""


def penalize_repetition(logits: Tensor, choices: Sequence[Choice]) -> None:
    """Divides the positive logits of the tokens seen, and multiplies the negative ones (arXiv:1909.05858).

    A finite logit stays finite, whatever the penalty.
    """
    rows = [row for row, choice in enumerate(choices) if choice.repetition_penalty != 1]
    if not rows:
        return
    seen = [np.asarray(choices[row].seen, np.int64) for row in rows]
    penalties = [np.full(len(each), choices[row].repetition_penalty) for row, each in zip(rows, seen, strict=True)]
    at, (penalty,) = _within(logits, rows, seen, penalties)
    values, limits = logits[at], torch.finfo(logits.dtype)
    penalty = penalty.clamp(limits.tiny, limits.max)
    changed = torch.where(values > 0, values / penalty, values * penalty).clamp(limits.min, limits.max)
    logits[at] = torch.where(values.isfinite(), changed, values)


def add_masks(logits: Tensor, choices: Sequence[Choice]) -> None:
    """Adds every row's mask; tokens outside the vocabulary are left out."""
    rows = [row for row, choice in enumerate(choices) if choice.mask]
    if not rows:
        return
    masks = [choices[row].mask for row in rows]
    tokens = [np.fromiter(mask.keys(), np.int64, len(mask)) for mask in masks]
    at, (added,) = _within(logits, rows, tokens, [np.fromiter(mask.values(), np.float64, len(mask)) for mask in masks])
    logits[at] += added


def _within(
    logits: Tensor, rows: Sequence[int], tokens: Sequence[NDArray[np.int64]], *values: Iterable[NDArray[np.float64]]
) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
    """Places in the logits, and their values; tokens outside the vocabulary are left out."""
    columns = np.concatenate(tokens)
    lines = np.repeat(np.asarray(rows, np.int64), [len(each) for each in tokens])
    inside = columns < logits.shape[-1]
    at = (torch.from_numpy(lines[inside]).to(logits.device), torch.from_numpy(columns[inside]).to(logits.device))
    return at, [torch.from_numpy(np.concatenate([*each])[inside]).to(logits.device, logits.dtype) for each in values]
