"""Draws from weights, by numbers that are given."""

import torch
from torch import Tensor

_BLOCK = 128  # weights that are summed up, for one such sum to be drawn first


def draw(weights: Tensor, points: Tensor) -> Tensor:
    """[rows]: an index into each row of weights [rows, n], with the probability of its weight.

    points: [rows, 1] float64, evenly spread over [0, 1). An index without weight is never drawn.
    """
    if weights.shape[-1] <= 2 * _BLOCK:
        return _locate(weights, points)[0][:, 0]
    missing = -weights.shape[-1] % _BLOCK
    padded = torch.nn.functional.pad(weights, (0, missing)) if missing else weights
    blocks = padded.view(len(weights), -1, _BLOCK)
    number, rest = _locate(blocks.sum(-1), points)
    block = blocks.gather(1, number[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    inner = _locate(block, rest)[0]
    return (number * _BLOCK + inner)[:, 0].clamp(max=weights.shape[-1] - 1)


def _locate(weights: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """[rows, 1] each: the index at this share of the row's sum, and the share of its own weight that this is at."""
    cumulative = weights.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # Rounded up to the sum it would be beyond the last that has a weight.
    at = torch.minimum(points * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, at, right=True).clamp(max=weights.shape[-1] - 1)
    weight = weights.gather(1, index).double()
    return index, ((at - cumulative.gather(1, index) + weight) / weight).clamp(min=0)
