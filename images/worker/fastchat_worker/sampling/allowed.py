"""Leaves only allowed tokens to a row of logits."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fastchat_worker.sampling.parameters import Choice

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_ADDED = np.where(_BITS == 1, np.float32(0), np.float32(-np.inf))
"""[256, 8]: for each byte of a mask what is added to its eight logits."""


def restrict(logits: Tensor, choices: Sequence[Choice]) -> None:
    """Takes minus infinity to what `Choice.allowed` leaves out, in logits [choices, vocabulary] float32, in place.

    What is no number stays so.
    """
    masks = [(row, choice.allowed) for row, choice in enumerate(choices) if choice.allowed is not None]
    if not masks:
        return
    rows, width = [row for row, _ in masks], logits.shape[-1]
    packed = np.stack([words for _, words in masks]).view(np.uint8)
    missing = -(-width // 8) - packed.shape[1]
    if missing > 0:  # the model has more logits than tokens
        packed = np.pad(packed, ((0, 0), (0, missing)))
    if logits.device.type == "cpu":  # numpy takes a tenth of the time of torch 2.15
        logits.numpy()[rows_of(rows, logits)] += np.take(_ADDED, packed, axis=0).reshape(len(rows), -1)[:, :width]
    else:
        table = torch.from_numpy(_ADDED).to(logits.device)
        added = table[torch.from_numpy(packed).to(logits.device).int()].view(len(rows), -1)[:, :width]
        logits[rows_of(rows, logits)] += added


def rows_of(rows: list[int], logits: Tensor) -> list[int] | slice:
    """An index of these rows, which takes no copy where they are all."""
    return slice(None) if len(rows) == len(logits) else rows
