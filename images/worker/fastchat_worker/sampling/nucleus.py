"""Draws from what min_p, top_k and top_p leave of a distribution."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.sampling.draw import first
from fastchat_worker.sampling.noise import Noise
from fastchat_worker.sampling.parameters import Choice
from fastchat_worker.sampling.top import top

Numbers = NDArray[np.float32]
_WIDTH = 64  # tokens among which it is looked for first
_STEP = 1 / 16  # of the least weight that is looked at before, where those are too few
_SMALLEST = 1e-37  # weight in float32 that is told from none


class Limits(NamedTuple):
    """[rows, 1] float64 each. total: the sum of what top_k and min_p leave; infinite where top_k leaves a part only."""

    top_k: Tensor
    top_p: Tensor
    min_p: Tensor
    total: Tensor

    def of(self, rows: Tensor) -> "Limits":
        return Limits(*(each[rows] for each in self))


def draw_truncated(weights: Tensor, noise: Noise, choices: Sequence[Choice]) -> Tensor:
    """[rows]: a token of what min_p, top_k and top_p leave, in this order; top_p is a share of what the others leave.

    weights: [rows, vocabulary]. Nothing about a row depends on the others.
    """
    limits, width = _limits(weights, choices), min(_WIDTH, weights.shape[-1])
    likely, ids = top(weights, width)
    kept, settled = _truncate(likely, limits, whole=width == weights.shape[-1])
    tokens = _first(kept, ids, noise)
    left = (~settled).nonzero()[:, 0]
    if len(left) and weights.device.type != "cpu":
        likely, ids = weights[left].sort(descending=True)
        kept, _ = _truncate(likely, limits.of(left), whole=True)
        tokens[left] = _first(kept, ids, noise.rows(left.tolist()))
        return tokens
    for row in left.tolist():
        own = [float(each[row]) for each in limits]
        tokens[row] = _draw_wide(weights[row].numpy(), float(likely[row, -1]), noise.rows([row]), own)
    return tokens


def _first(weights: Tensor, ids: Tensor, noise: Noise) -> Tensor:
    """[rows]: the token that is drawn, by noise of its own, wherever it stands among the others."""
    return ids.gather(1, first(weights, noise, ids.cpu().numpy())[:, None])[:, 0]


def _limits(weights: Tensor, choices: Sequence[Choice]) -> Limits:
    vocabulary = weights.shape[-1]
    values = [(choice.top_k or vocabulary, choice.top_p, choice.min_p) for choice in choices]
    top_k, top_p, min_p = torch.tensor(values, dtype=torch.float64, device=weights.device).T[:, :, None]
    left = weights * (weights >= min_p) if any(choice.min_p for choice in choices) else weights
    total = left.sum(-1, keepdim=True).double()
    return Limits(top_k, top_p, min_p, torch.where(top_k < vocabulary, torch.inf, total))


def _draw_wide(row: Numbers, least: float, noise: Noise, limits: Sequence[float]) -> int:
    """As `draw_truncated`, for one row of which more is left than tokens of at least this weight.

    Those that may be left are found before they are sorted; numpy sorts in a tenth of the time of torch 2.15.
    """
    top_k, top_p, min_p, total = limits
    while True:
        least = least * _STEP if least > _SMALLEST else 0.0
        ids = np.flatnonzero(row >= least)
        if not least or len(ids) >= top_k or least < min_p or row[ids].sum() >= top_p * total:
            break
    ids = ids[np.argsort(-row[ids])][: int(top_k)]
    likely = row[ids].astype(np.float64)
    open_ended = least > 0 and least >= min_p and len(ids) < top_k
    likely = likely[likely >= min_p]
    sums = likely.cumsum()
    before = sums - likely
    left = before < top_p * (total if open_ended else sums[-1])
    ids, likely = ids[: len(likely)][left], likely[left]
    return int(ids[(likely / noise.exponentials(ids)[0]).argmax()])


def _truncate(likely: Tensor, limits: Limits, *, whole: bool) -> tuple[Tensor, Tensor]:
    """The weights of the likeliest tokens that are left, and [rows] whether none beyond them would be.

    likely: [rows, tokens], likeliest first. whole: there are no others.
    """
    top_k, top_p, min_p, total = limits
    least = min_p * likely[:, :1]
    rank = torch.arange(likely.shape[-1], device=likely.device)[None]
    kept = likely * ((rank < top_k) & (likely >= least))
    sums = kept.sum(-1, keepdim=True)
    open_ended = (top_k > likely.shape[-1]) & (likely[:, -1:] >= least) & (not whole)
    left = torch.where(open_ended, total, sums)
    before = kept.cumsum(-1) - kept
    return kept * (before < top_p * left), ~(open_ended & (sums < top_p * total))[:, 0]
