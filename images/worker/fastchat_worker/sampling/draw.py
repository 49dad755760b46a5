"""Draws from weights, so that weights that are nearly the same nearly always give the same.

Each index waits for a random time with its weight as the rate, and the first one is drawn (the Gumbel-max trick,
https://arxiv.org/abs/1611.01144, without logarithms of weights). A sum of weights up to a random point would tell
another index as soon as it is off by the weight of one token: a sequence that is continued by another worker, or in a
batch of another size, has logits that differ in the last digits.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastchat_worker.sampling.noise import Noise

BLOCK = 128
"""Weights that are summed up, for one such sum to be drawn first."""
BLOCKS_AT, WITHIN_AT = 2**32, 2**33
"""Places of the noise for a block, and for an index within the one that is drawn."""


def draw(weights: Tensor, noise: Noise) -> Tensor:
    """[rows]: an index into each row of weights [rows, n], with the probability of its weight, by the row's noise.

    An index without weight is never drawn.
    """
    width = weights.shape[-1]
    if width <= 2 * BLOCK:
        return first(weights, noise, np.arange(width))
    missing = -width % BLOCK
    padded = torch.nn.functional.pad(weights, (0, missing)) if missing else weights
    blocks = padded.view(len(weights), -1, BLOCK)
    number = first(blocks.sum(-1), noise, BLOCKS_AT + np.arange(blocks.shape[1]))
    block = blocks.gather(1, number[:, None, None].expand(-1, 1, BLOCK))[:, 0]
    return number * BLOCK + first(block, noise, WITHIN_AT + np.arange(BLOCK))


def first(weights: Tensor, noise: Noise, places: NDArray[np.int64]) -> Tensor:
    """[rows]: the index that is drawn, by the noise at these places, [n] or [rows, n]."""
    times = torch.from_numpy(noise.exponentials(places)).to(weights.device)
    return (weights / times).argmax(-1)
